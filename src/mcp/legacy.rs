//! What the messages of a legacy session ask for, once its id is opened.

use super::call::CallMethod;
use super::inbound::invalid;
use super::meta::Params;
use super::refusal::Refusal;
use super::revision::Revision;
use super::session::Session;
use crate::base::error::{Error, Kind};
use crate::catalog::ListKind;
use crate::wire::rpc::{Envelope, Message, MessageKind};
use smallvec::SmallVec;

/// The messages of one POST.
#[derive(Debug)]
pub struct Admitted<'a> {
    /// Whether they came as a batch: then the answers go back as an array.
    pub batch: bool,
    /// The messages, in order.
    pub messages: SmallVec<[LegacyMessage<'a>; 1]>,
}

impl Admitted<'_> {
    /// Whether any message wants an answer; if none does, the POST is answered 202 without body.
    pub fn wants_answer(&self) -> bool {
        let wants =
            |message: &LegacyMessage<'_>| matches!(message, LegacyMessage::Request(_) | LegacyMessage::Refused(_));
        self.messages.iter().any(wants)
    }
}

/// One message of a legacy session.
#[derive(Debug)]
pub enum LegacyMessage<'a> {
    /// A request we serve.
    Request(LegacyRequest<'a>),
    /// A request that is answered with an error, in band.
    Refused(Refusal),
    /// `notifications/cancelled`: the raw id of a request of this session that is to be cancelled.
    Cancelled(&'a [u8]),
    /// A response: to a request of ours, if its raw id is one of ours.
    Answered {
        /// Its raw id.
        id: &'a [u8],
        /// The raw `result`, or the raw `error`.
        reply: Result<&'a [u8], &'a [u8]>,
    },
    /// Another notification: taken and dropped.
    Ignored,
}

/// A legacy request we serve.
#[derive(Debug)]
pub struct LegacyRequest<'a> {
    /// The raw id.
    pub id: &'a [u8],
    /// What is asked.
    pub method: LegacyMethod,
    /// The members of `params`.
    pub params: Params<'a>,
}

/// The legacy methods we serve in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyMethod {
    /// `ping`: answered `{}`.
    Ping,
    /// One of the lists.
    List(ListKind),
    /// What a server answers.
    Call(CallMethod),
    /// `logging/setLevel`: answered `{}`.
    SetLevel,
    /// `resources/subscribe`: answered `{}`.
    Subscribe,
    /// `resources/unsubscribe`: answered `{}`.
    Unsubscribe,
}

impl LegacyMethod {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "ping" => Some(Self::Ping),
            "logging/setLevel" => Some(Self::SetLevel),
            "resources/subscribe" => Some(Self::Subscribe),
            "resources/unsubscribe" => Some(Self::Unsubscribe),
            _ => ListKind::of_method(name).map(Self::List).or_else(|| CallMethod::parse(name).map(Self::Call)),
        }
    }
}

/// Admits the messages of a POST to an opened session.
///
/// # Errors
/// `Kind::InvalidRequest` (400) for a batch where the session's revision is not 2025-03-26.
pub fn admit<'a>(session: &Session, message: Message<'a>) -> Result<Admitted<'a>, Refusal> {
    match message {
        Message::Single(envelope) => Ok(Admitted { batch: false, messages: [read(&envelope)].into_iter().collect() }),
        Message::Batch(_) if session.revision != Revision::V2025_03_26 => {
            Err(Refusal::new(invalid("only 2025-03-26 has batches; send one message a request"), None))
        }
        Message::Batch(batch) => Ok(Admitted { batch: true, messages: batch.iter().map(read).collect() }),
    }
}

fn read<'a>(envelope: &Envelope<'a>) -> LegacyMessage<'a> {
    match (envelope.kind, envelope.id) {
        (MessageKind::Request, Some(id)) => request(envelope, id),
        (MessageKind::Notification, _) => notification(envelope),
        (MessageKind::Response, Some(id)) => response(envelope, id),
        _ => LegacyMessage::Ignored,
    }
}

fn request<'a>(envelope: &Envelope<'a>, id: &'a [u8]) -> LegacyMessage<'a> {
    match LegacyMethod::parse(envelope.method_name()) {
        Some(method) => LegacyMessage::Request(LegacyRequest { id, method, params: Params::of(envelope) }),
        None if envelope.method_name() == "initialize" => {
            LegacyMessage::Refused(Refusal::in_band(invalid("the session is initialized already"), Some(id)))
        }
        None => {
            let error = Error::new(Kind::MethodNotFound, "method not found");
            LegacyMessage::Refused(Refusal::in_band(error, Some(id)))
        }
    }
}

fn response<'a>(envelope: &Envelope<'a>, id: &'a [u8]) -> LegacyMessage<'a> {
    let reply = envelope.result.ok_or_else(|| envelope.error.unwrap_or_default());
    LegacyMessage::Answered { id, reply }
}

fn notification<'a>(envelope: &Envelope<'a>) -> LegacyMessage<'a> {
    if envelope.method_name() != "notifications/cancelled" {
        return LegacyMessage::Ignored;
    }
    Params::of(envelope).request_id.map_or(LegacyMessage::Ignored, LegacyMessage::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::WallTime;
    use crate::base::ids::KeyId;
    use crate::mcp::caps::ClientCaps;
    use crate::wire::rpc;

    fn session(revision: Revision) -> Session {
        Session {
            key: KeyId::ANONYMOUS,
            revision,
            client_name: "c".into(),
            client_version: "1".into(),
            caps: ClientCaps::default(),
            created: WallTime(0),
            id: [0; 16],
        }
    }

    fn admitted(revision: Revision, body: &str) -> Result<Admitted<'_>, Refusal> {
        admit(&session(revision), rpc::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn methods_we_serve_are_requests_and_others_are_refused_in_band() {
        for (name, method) in [
            ("ping", LegacyMethod::Ping),
            ("tools/list", LegacyMethod::List(ListKind::Tools)),
            ("prompts/list", LegacyMethod::List(ListKind::Prompts)),
            ("tools/call", LegacyMethod::Call(CallMethod::Tool)),
            ("logging/setLevel", LegacyMethod::SetLevel),
            ("resources/subscribe", LegacyMethod::Subscribe),
            ("resources/unsubscribe", LegacyMethod::Unsubscribe),
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{name}"}}"#);
            let admitted = admitted(Revision::V2025_11_25, &body).unwrap();
            assert!(
                matches!(&admitted.messages[..], [LegacyMessage::Request(r)] if r.method == method && r.id == b"1")
            );
            assert!(admitted.wants_answer() && !admitted.batch);
        }
        for (name, code) in [("server/discover", -32601), ("resources/copy", -32601), ("initialize", -32600)] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{name}"}}"#);
            let mut admitted = admitted(Revision::V2025_11_25, &body).unwrap();
            let Some(LegacyMessage::Refused(refusal)) = admitted.messages.pop() else { panic!("{name}") };
            assert_eq!((refusal.status, refusal.error.kind.rpc_code()), (200, code), "404 would end the session");
        }
    }

    #[test]
    fn notifications_and_responses_want_no_answer() {
        for body in [
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}"#,
        ] {
            let admitted = admitted(Revision::V2025_11_25, body).unwrap();
            assert!(matches!(admitted.messages[..], [LegacyMessage::Ignored]) && !admitted.wants_answer());
        }
        let bodies = [
            (r#"{"jsonrpc":"2.0","id":"x","result":{}}"#, Ok(&b"{}"[..])),
            (r#"{"jsonrpc":"2.0","id":"x","error":{"code":-1}}"#, Err(&br#"{"code":-1}"#[..])),
        ];
        for (body, told) in bodies {
            let admitted = admitted(Revision::V2025_11_25, body).unwrap();
            let [LegacyMessage::Answered { id, reply }] = admitted.messages[..] else { panic!("{body}") };
            assert_eq!((id, reply, admitted.wants_answer()), (&br#""x""#[..], told, false));
        }
        let body = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}"#;
        let admitted = admitted(Revision::V2025_11_25, body).unwrap();
        assert!(matches!(admitted.messages[..], [LegacyMessage::Cancelled(br#""a""#)]));
    }

    /// Only 2025-03-26 has batches (2025-06-18 changelog removed them).
    #[test]
    fn batches_belong_to_one_revision() {
        let body =
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/initialized"}]"#;
        let taken = admitted(Revision::V2025_03_26, body).unwrap();
        assert!(taken.batch && taken.messages.len() == 2);
        for revision in [Revision::V2024_11_05, Revision::V2025_06_18, Revision::V2025_11_25] {
            let refusal = admitted(revision, body).unwrap_err();
            assert_eq!((refusal.status, refusal.error.kind.rpc_code()), (400, -32600));
        }
    }
}
