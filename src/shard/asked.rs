//! What legacy clients are asked on the streams of their calls, until they answer.
//!
//! The request a client gets bears an id of ours that names this shard: its answer may come over any connection, so to
//! any shard, and is brought here.

use crate::base::buf::Piece;
use crate::base::ids::ShardId;
use crate::base::limits::QUESTIONS_MAX;
use crate::rt::local::OneSender;
use crate::shard::session::SessionKey;
use crate::upstream::said::{Question, Reply};
use crate::wire::rpc;
use foldhash::HashMap;
use std::cell::{Cell, RefCell};

/// Begins the id of each request of ours to a client.
const PREFIX: &str = "tollgate-";

/// The questions of one shard to legacy clients.
#[derive(Default)]
pub(crate) struct Asked {
    open: RefCell<HashMap<u64, Open>>,
    count: Cell<u64>,
}

struct Open {
    session: SessionKey,
    reply: OneSender<Reply>,
}

/// Which question of which shard an id of ours names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuestionId {
    /// The shard that asked.
    pub(crate) shard: ShardId,
    /// Its number there.
    pub(crate) number: u64,
}

impl QuestionId {
    /// The raw JSON of the id.
    fn raw(self) -> String {
        format!("\"{PREFIX}{}-{}\"", self.shard.0, self.number)
    }

    /// Reads a raw JSON id; nothing where it is none of ours.
    pub(crate) fn read(raw: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(raw).ok()?.strip_prefix('"')?.strip_suffix('"')?;
        let (shard, number) = text.strip_prefix(PREFIX)?.split_once('-')?;
        Some(Self { shard: ShardId(shard.parse().ok()?), number: number.parse().ok()? })
    }
}

impl Asked {
    /// Enters a question for the client of a session; gives the request to send. Nothing where too many are open: it is
    /// then dropped, which tells the server that nobody will answer.
    pub(crate) fn ask(&self, shard: ShardId, session: SessionKey, question: Question) -> Option<Vec<u8>> {
        let mut open = self.open.borrow_mut();
        // What no call waits for any more was never answered, and will not be asked about again.
        open.retain(|_, question| !question.reply.is_closed());
        if open.len() >= QUESTIONS_MAX {
            return None;
        }
        let number = self.count.replace(self.count.get() + 1);
        let message = request(QuestionId { shard, number }, &question.method, &question.params);
        open.insert(number, Open { session, reply: question.reply });
        Some(message)
    }

    /// Takes a client's answer. One to no question, or to another session's, is nobody's.
    pub(crate) fn answer(&self, session: SessionKey, number: u64, reply: Reply) {
        let mut open = self.open.borrow_mut();
        if open.get(&number).is_none_or(|question| question.session != session) {
            return;
        }
        if let Some(question) = open.remove(&number) {
            // The call may have ended meanwhile.
            let _ = question.reply.send(reply);
        }
    }
}

fn request(id: QuestionId, method: &str, params: &Piece) -> Vec<u8> {
    let mut out = Vec::with_capacity(params.len() + 96);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.raw().as_bytes());
    out.extend_from_slice(br#","method":"#);
    rpc::quote(&mut out, method);
    if !params.is_empty() {
        out.extend_from_slice(br#","params":"#);
        out.extend_from_slice(params);
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::local;

    const OWN: ShardId = ShardId(3);

    fn question() -> (Question, local::OneReceiver<Reply>) {
        let (reply, answer) = local::oneshot();
        (Question { name: None, method: "roots/list".into(), params: Piece::default(), reply }, answer)
    }

    #[test]
    fn an_answer_finds_its_question_in_its_own_session_only() {
        let asked = Asked::default();
        let (asking, mut answer) = question();
        let message = asked.ask(OWN, [1; 16], asking).unwrap();
        let message = std::str::from_utf8(&message).unwrap();
        assert_eq!(message, r#"{"jsonrpc":"2.0","id":"tollgate-3-0","method":"roots/list"}"#);
        let reply = || Reply::Result(Piece::from("{}"));
        asked.answer([2; 16], 0, reply());
        asked.answer([1; 16], 7, reply());
        assert_eq!(answer.try_recv(), None);
        asked.answer([1; 16], 0, reply());
        assert_eq!(answer.try_recv(), Some(reply()));
        asked.answer([1; 16], 0, reply());
    }

    #[test]
    fn only_our_ids_are_read() {
        let id = QuestionId { shard: OWN, number: 41 };
        assert_eq!(QuestionId::read(id.raw().as_bytes()), Some(id));
        for other in
            ["1", "\"1\"", "\"tollgate-\"", "\"tollgate-3\"", "\"tollgate-x-1\"", "\"tollgate-99999999-1\"", "null"]
        {
            assert_eq!(QuestionId::read(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn questions_are_bounded_and_those_of_ended_calls_make_room() {
        let asked = Asked::default();
        let kept: Vec<_> = (0..QUESTIONS_MAX)
            .map(|_| {
                let (asking, answer) = question();
                asked.ask(OWN, [1; 16], asking).unwrap();
                answer
            })
            .collect();
        assert!(asked.ask(OWN, [1; 16], question().0).is_none());
        drop(kept);
        assert!(asked.ask(OWN, [1; 16], question().0).is_some());
    }
}
