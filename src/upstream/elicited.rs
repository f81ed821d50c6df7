//! The visits to pages that one session or process of a legacy server has asked clients for, by its own ids, until it
//! says that one is done (`notifications/elicitation/complete`, 2025-11-25): that is for the client that was asked.

use crate::base::clock::{Clock, Instant};
use crate::base::limits::{VISIT_ID_MAX, VISIT_NOTICE_MAX, VISIT_TTL_MS, VISITS_MAX};
use crate::upstream::said::{Event, EventKind, Sink, WeakSink};
use crate::wire::rpc;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

/// JSON-RPC code of a legacy server that wants pages visited before the call is made again.
const VISITS_REQUIRED: i64 = -32042;

/// Whom a server has asked to visit what.
#[derive(Default)]
pub(super) struct Elicited(RefCell<VecDeque<Visit>>);

struct Visit {
    id: Box<str>,
    /// The session of the client that was asked.
    client: [u8; 16],
    /// The call that it was asked during, as long as that is under way.
    call: WeakSink,
    until: Instant,
}

/// A visit that is done, where the call it belongs to has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// The session of the client that was asked.
    pub(super) client: [u8; 16],
    /// The raw `params` of the server's word.
    pub(super) params: Bytes,
}

impl Elicited {
    /// A question is put to a client.
    pub(super) fn asked(&self, sink: &Sink, method: &str, params: &[u8]) {
        if method == "elicitation/create" {
            self.note(sink, params);
        }
    }

    /// A call was answered with an error, which may name pages to visit first.
    pub(super) fn answered(&self, sink: &Sink, error: &[u8]) {
        let code = rpc::field(error, "code").and_then(rpc::integer);
        if code != Some(VISITS_REQUIRED) {
            return;
        }
        let visits = rpc::field(error, "data").and_then(|data| rpc::field(data, "elicitations"));
        visits.into_iter().flat_map(rpc::array_items).take(VISITS_MAX).for_each(|visit| self.note(sink, visit));
    }

    /// Only a legacy client knows such ids. The oldest make room.
    fn note(&self, sink: &Sink, visit: &[u8]) {
        let id = rpc::field(visit, "elicitationId").and_then(rpc::string).filter(|id| id.len() <= VISIT_ID_MAX);
        let (Some(id), Some(client)) = (id, sink.client()) else { return };
        let (now, mut open) = (Clock::recent(), self.0.borrow_mut());
        open.retain(|visit| visit.until > now && *visit.id != *id);
        if open.len() >= VISITS_MAX {
            open.pop_front();
        }
        let until = now + Duration::from_millis(VISIT_TTL_MS);
        open.push_back(Visit { id: (*id).into(), client, call: sink.downgrade(), until });
    }

    /// The server says that a visit is done: its call's client hears so on the call, or else is to hear elsewhere. What
    /// nobody was asked is nobody's.
    pub(super) fn done(&self, params: &[u8]) -> Option<Done> {
        let id = rpc::field(params, "elicitationId").and_then(rpc::string)?;
        let now = Clock::recent();
        let visit = {
            let mut open = self.0.borrow_mut();
            let at = open.iter().position(|visit| *visit.id == *id)?;
            open.remove(at).filter(|visit| visit.until > now && params.len() <= VISIT_NOTICE_MAX)?
        };
        let event = Event { kind: EventKind::Visited, params: params.into() };
        let said = visit.call.upgrade().is_some_and(|call| call.push(event).is_ok());
        (!said).then(|| Done { client: visit.client, params: Bytes::copy_from_slice(params) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::WallTime;
    use crate::upstream::said::{Said, relay};

    const ASKED: &[u8] = br#"{"mode":"url","elicitationId":"e\u0031","url":"https://a/b","message":"go"}"#;
    const DONE: &[u8] = br#"{"elicitationId":"e1","x":1.0}"#;

    #[test]
    fn only_the_client_that_was_asked_hears_and_only_once() {
        Clock::simulate(Instant(0), WallTime(0));
        let elicited = Elicited::default();
        let (sink, mut said) = relay();
        let sink = sink.of_client([1; 16]);
        assert_eq!(elicited.done(DONE), None, "nobody was asked");
        elicited.asked(&sink, "sampling/createMessage", ASKED);
        assert_eq!(elicited.done(DONE), None);
        elicited.asked(&sink, "elicitation/create", ASKED);
        assert_eq!(elicited.done(br#"{"elicitationId":"e2"}"#), None);
        assert_eq!(elicited.done(DONE), None, "told on the call");
        let Some(Said::Event(event)) = said.try_next() else { panic!("nothing was said") };
        assert_eq!((event.kind, &event.params[..]), (EventKind::Visited, DONE));
        assert_eq!(elicited.done(DONE), None, "once");
        elicited.asked(&sink, "elicitation/create", ASKED);
        drop((sink, said));
        let done = Done { client: [1; 16], params: Bytes::from_static(DONE) };
        assert_eq!(elicited.done(DONE), Some(done), "the call has ended");
        Clock::end_simulation();
    }

    #[test]
    fn visits_of_an_error_are_noted_and_a_modern_client_has_none() {
        Clock::simulate(Instant(0), WallTime(0));
        let elicited = Elicited::default();
        let visits = |code| {
            let visit = std::str::from_utf8(ASKED).unwrap();
            format!(r#"{{"code":{code},"message":"m","data":{{"elicitations":[{visit}]}}}}"#)
        };
        let sink = || Sink::nowhere().of_client([2; 16]);
        elicited.answered(&sink(), visits(-32603).as_bytes());
        elicited.answered(&Sink::nowhere(), visits(-32042).as_bytes());
        assert_eq!(elicited.done(DONE), None);
        elicited.answered(&sink(), visits(-32042).as_bytes());
        assert_eq!(elicited.done(DONE).map(|done| done.client), Some([2; 16]));
        elicited.answered(&sink(), visits(-32042).as_bytes());
        Clock::simulate(Instant(0) + Duration::from_millis(VISIT_TTL_MS), WallTime(0));
        assert_eq!(elicited.done(DONE), None, "too late");
        Clock::end_simulation();
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_stays() {
        Clock::simulate(Instant(0), WallTime(0));
        let elicited = Elicited::default();
        let id = |n: usize| format!(r#"{{"elicitationId":"{n}"}}"#);
        for n in 0..=VISITS_MAX {
            elicited.asked(&Sink::nowhere().of_client([1; 16]), "elicitation/create", id(n).as_bytes());
        }
        assert_eq!(elicited.0.borrow().len(), VISITS_MAX);
        assert_eq!(elicited.done(id(0).as_bytes()), None);
        assert!(elicited.done(id(VISITS_MAX).as_bytes()).is_some());
        let long = format!(r#"{{"elicitationId":"{}"}}"#, "x".repeat(VISIT_ID_MAX + 1));
        elicited.asked(&Sink::nowhere().of_client([1; 16]), "elicitation/create", long.as_bytes());
        assert_eq!(elicited.done(long.as_bytes()), None);
        Clock::end_simulation();
    }
}
