//! What a server's message means for us: an answer, an event of a call, a change of its list, or a request of its own.

use crate::base::buf::Piece;
use crate::base::error::{Error, Kind, Result};
use crate::mcp::meta::SUBSCRIPTION_ID;
use crate::mcp::result::RawResult;
use crate::upstream::answer::Outcome;
use crate::upstream::said::EventKind;
use crate::wire::rpc::{self, Envelope, Message, MessageKind};
use smallvec::{SmallVec, smallvec};

/// One message of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A response. The id is ours if it is a number that we minted; anything else is for the exchange to judge.
    Answer {
        /// The id as a number; absent where the server sent none, `null` or text.
        id: Option<u64>,
        /// What it answered.
        outcome: Outcome,
    },
    /// A notification that belongs to a call.
    Event {
        /// Our progress token, which is the id of the request it belongs to; absent on a log line.
        token: Option<u64>,
        /// What it is.
        kind: EventKind,
        /// The raw `params`.
        params: Piece,
    },
    /// `notifications/tools/list_changed`, or that of prompts or resources.
    ListChanged,
    /// `notifications/resources/updated`, with the URI.
    Updated(Box<str>),
    /// `notifications/elicitation/complete`, with its raw `params`.
    Visited(Piece),
    /// `notifications/tasks`, with its raw `params`.
    Task(Piece),
    /// `notifications/subscriptions/acknowledged`.
    Acknowledged {
        /// The id of the request that opened the stream, if the server says it.
        stream: Option<u64>,
        /// The raw object of what it honours.
        honoured: Piece,
    },
    /// A request of the server, to be answered with its raw id.
    Request {
        /// Raw JSON.
        id: Piece,
        /// What it wants.
        method: Box<str>,
        /// The raw `params`; empty where it has none.
        params: Piece,
    },
    /// A notification that concerns nobody here.
    Other(Box<str>),
}

/// The token of progress that bears none of ours: no request has it, as ids count up from 1.
const NOBODYS: u64 = 0;

/// The messages of one body, event or line: one, but for the batches that 2025-03-26 allows.
pub(super) type Batch = SmallVec<[Incoming; 1]>;

/// Reads one body, event or line.
///
/// # Errors
/// [`Kind::BadAnswer`]: it is not JSON-RPC that we accept (duplicate keys, depth, bounds).
pub(super) fn read(text: &Piece) -> Result<Batch> {
    let message = rpc::parse(text).map_err(|fault| {
        Error::new(Kind::BadAnswer, format!("the server sent no valid JSON-RPC: {}", fault.error.context))
    })?;
    Ok(match message {
        Message::Single(envelope) => smallvec![sort(text, &envelope)],
        Message::Batch(envelopes) => envelopes.iter().map(|envelope| sort(text, envelope)).collect(),
    })
}

fn sort(text: &Piece, envelope: &Envelope<'_>) -> Incoming {
    let raw = |span: Option<&[u8]>| text.part(span.unwrap_or(&[]));
    match envelope.kind {
        MessageKind::Response => Incoming::Answer {
            id: envelope.id.and_then(rpc::integer).and_then(|id| u64::try_from(id).ok()),
            outcome: match envelope.result {
                Some(_) => Outcome::Result(RawResult::of(envelope, text)),
                None => Outcome::Error(raw(envelope.error)),
            },
        },
        MessageKind::Request => {
            let (method, params) = (envelope.method_name().into(), raw(envelope.params));
            Incoming::Request { id: raw(envelope.id), method, params }
        }
        MessageKind::Notification => notification(envelope, raw(envelope.params)),
    }
}

fn notification(envelope: &Envelope<'_>, params: Piece) -> Incoming {
    match envelope.method_name() {
        "notifications/progress" => {
            let token = rpc::field(&params, "progressToken").and_then(rpc::integer);
            let token = token.and_then(|token| u64::try_from(token).ok());
            Incoming::Event { token: token.or(Some(NOBODYS)), kind: EventKind::Progress, params }
        }
        "notifications/message" => Incoming::Event { token: None, kind: EventKind::Log, params },
        "notifications/tools/list_changed"
        | "notifications/prompts/list_changed"
        | "notifications/resources/list_changed" => Incoming::ListChanged,
        method @ "notifications/resources/updated" => {
            let uri = rpc::field(&params, "uri").and_then(rpc::string);
            uri.map_or_else(|| Incoming::Other(method.into()), |uri| Incoming::Updated((*uri).into()))
        }
        "notifications/tasks" => Incoming::Task(params),
        "notifications/elicitation/complete" => Incoming::Visited(params),
        "notifications/subscriptions/acknowledged" => {
            let stream = rpc::field(&params, "_meta").and_then(|meta| rpc::field(meta, SUBSCRIPTION_ID));
            let stream = stream.and_then(rpc::integer).and_then(|id| u64::try_from(id).ok());
            let honoured = rpc::field(&params, "notifications").unwrap_or_default();
            Incoming::Acknowledged { stream, honoured: params.part(honoured) }
        }
        other => Incoming::Other(other.into()),
    }
}

/// The `code` of a JSON-RPC error object; 0 where it has none.
pub(super) fn error_code(error: &[u8]) -> i64 {
    rpc::field(error, "code").and_then(rpc::integer).unwrap_or(0)
}

/// The `message` of a JSON-RPC error object, cut to what fits a log line.
pub(super) fn error_message(error: &[u8]) -> String {
    let text = rpc::field(error, "message").and_then(rpc::string).unwrap_or_default();
    printable(&text, 200)
}

/// Text of a peer, made fit for a log or an error: control characters and what turns text around become escapes, and
/// it is cut after `max` characters.
pub(super) fn printable(text: &str, max: usize) -> String {
    let mut out = String::new();
    for character in text.chars().take(max) {
        let turns = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
        if character.is_control() || turns {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    if text.chars().nth(max).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &'static str) -> Incoming {
        let mut batch = read(&Piece::from(text)).expect(text);
        assert_eq!(batch.len(), 1);
        batch.remove(0)
    }

    #[test]
    fn answers_carry_their_raw_outcome() {
        let result = one(r#"{"jsonrpc":"2.0","id":7,"result":{ "x" : 1.50 }}"#);
        let outcome = Outcome::Result(r#"{ "x" : 1.50 }"#.into());
        assert_eq!(result, Incoming::Answer { id: Some(7), outcome });
        let error = one(r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"no\u001b"}}"#);
        let Incoming::Answer { id: None, outcome: Outcome::Error(error) } = error else { panic!("{error:?}") };
        assert_eq!((error_code(&error), error_message(&error)), (-32600, "no\\u{1b}".into()));
    }

    #[test]
    fn notifications_and_requests_are_told_apart() {
        let progress = one(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":3}}"#);
        let Incoming::Event { token: Some(3), kind, params } = progress else { panic!("{progress:?}") };
        assert_eq!((kind, &params[..]), (EventKind::Progress, &br#"{"progressToken":3}"#[..]));
        let theirs = one(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"x"}}"#);
        assert!(matches!(theirs, Incoming::Event { token: Some(NOBODYS), .. }), "{theirs:?}");
        assert_eq!(one(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#), Incoming::ListChanged);
        assert_eq!(one(r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#), Incoming::ListChanged);
        assert_eq!(one(r#"{"jsonrpc":"2.0","method":"notifications/resources/list_changed"}"#), Incoming::ListChanged);
        let ping = Incoming::Request { id: Piece::from("\"p\""), method: "ping".into(), params: Piece::default() };
        assert_eq!(one(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#), ping);
        assert_eq!(one(r#"{"jsonrpc":"2.0","method":"x"}"#), Incoming::Other("x".into()));
    }

    #[test]
    fn garbage_is_a_bad_answer() {
        for text in ["", "nope", "{}", "[]", r#"{"jsonrpc":"2.0","id":1,"result":1,"result":2}"#] {
            assert_eq!(read(&Piece::from(text)).expect_err(text).kind, Kind::BadAnswer);
        }
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(printable("a\nb\u{202e}cdef", 5), "a\\u{a}b\\u{202e}c…");
    }
}
