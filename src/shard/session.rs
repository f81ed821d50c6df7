//! What a shard keeps of legacy sessions although their state travels sealed in their id: which ones have ended, and
//! which of their requests are under way here.

use crate::base::clock::{Clock, Instant};
use crate::base::limits::{ENDED_SESSIONS_MAX, LOG_LEVELS_MAX, SESSION_TTL_S};
use crate::mcp::meta::LogLevel;
use crate::rt::local::Notify;
use foldhash::{HashMap, HashSet};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// The random part of a session's sealed state: what tells it from every other.
pub type SessionKey = [u8; 16];

/// Sessions that clients ended, until they would have expired anyway. Every shard has heard of each.
#[derive(Default)]
pub(crate) struct EndedSessions {
    ended: RefCell<Ended>,
}

#[derive(Default)]
struct Ended {
    known: HashSet<SessionKey>,
    order: VecDeque<(Instant, SessionKey)>,
}

impl EndedSessions {
    /// Remembers that a session has ended. The oldest is forgotten where the bound is reached.
    pub(crate) fn add(&self, session: SessionKey) {
        let mut ended = self.ended.borrow_mut();
        let forget_at = Clock::now() + Duration::from_secs(SESSION_TTL_S);
        if ended.known.insert(session) {
            ended.order.push_back((forget_at, session));
        }
        ended.forget(Clock::now());
    }

    /// Whether a session has ended.
    pub(crate) fn has(&self, session: &SessionKey) -> bool {
        self.ended.borrow().known.contains(session)
    }
}

impl Ended {
    fn forget(&mut self, now: Instant) {
        while let Some((at, session)) = self.order.front().copied() {
            if at > now && self.order.len() <= ENDED_SESSIONS_MAX {
                return;
            }
            self.known.remove(&session);
            self.order.pop_front();
        }
    }
}

/// The least log level each legacy session has asked for: it may change, so it cannot travel in the sealed id.
#[derive(Default)]
pub(crate) struct LogLevels {
    levels: RefCell<Levels>,
}

#[derive(Default)]
struct Levels {
    set: HashMap<SessionKey, LogLevel>,
    order: VecDeque<(Instant, SessionKey)>,
}

impl LogLevels {
    /// Remembers a session's level for as long as the session may live. The oldest is forgotten, which means that its
    /// client is sent all levels again, where the bound is reached.
    pub(crate) fn set(&self, session: SessionKey, level: LogLevel) {
        let mut levels = self.levels.borrow_mut();
        if levels.set.insert(session, level).is_none() {
            levels.order.push_back((Clock::now() + Duration::from_secs(SESSION_TTL_S), session));
        }
        levels.forget(Clock::now());
    }

    /// The level of a session; a client that has set none is sent all (2025-11-25 server/utilities/logging).
    pub(crate) fn of(&self, session: &SessionKey) -> LogLevel {
        self.levels.borrow().set.get(session).copied().unwrap_or(LogLevel::Debug)
    }
}

impl Levels {
    fn forget(&mut self, now: Instant) {
        while let Some((at, session)) = self.order.front().copied() {
            if at > now && self.order.len() <= LOG_LEVELS_MAX {
                return;
            }
            self.set.remove(&session);
            self.order.pop_front();
        }
    }
}

/// A request of a session: ids are unique within one session only.
type RequestKey = (SessionKey, Box<[u8]>);

/// Requests of legacy sessions that are under way on this shard, so that `notifications/cancelled` and the end of their
/// session find them.
#[derive(Default)]
pub(crate) struct InFlight {
    requests: RefCell<HashMap<RequestKey, Rc<Notify>>>,
}

/// A request under way; it can be cancelled until this is dropped.
pub(crate) struct Cancellable<'a> {
    in_flight: &'a InFlight,
    request: RequestKey,
    cancelled: Rc<Notify>,
}

impl InFlight {
    /// Enters a request by its session and raw id. A second one with the same id takes the first one's place: ids are
    /// unique among a client's requests under way, so only a client that breaks the rule is affected.
    pub(crate) fn enter(&self, session: SessionKey, id: &[u8]) -> Cancellable<'_> {
        let request = (session, id.into());
        let cancelled = Rc::new(Notify::default());
        self.requests.borrow_mut().insert(request.clone(), cancelled.clone());
        Cancellable { in_flight: self, request, cancelled }
    }

    /// Cancels all requests of a session.
    pub(crate) fn cancel_all(&self, session: &SessionKey) {
        let requests = self.requests.borrow();
        let own = requests.iter().filter(|((of, _), _)| of == session);
        own.for_each(|(_, cancelled)| cancelled.notify_one());
    }

    /// Cancels a request; says whether it was under way here.
    pub(crate) fn cancel(&self, session: SessionKey, id: &[u8]) -> bool {
        let found = self.requests.borrow().get(&(session, id.into())).cloned();
        found.inspect(|cancelled| cancelled.notify_one()).is_some()
    }
}

impl Cancellable<'_> {
    /// Waits until the client cancels the request.
    pub(crate) async fn cancelled(&self) {
        self.cancelled.notified().await;
    }
}

impl Drop for Cancellable<'_> {
    fn drop(&mut self) {
        let mut requests = self.in_flight.requests.borrow_mut();
        let is_ours = requests.get(&self.request).is_some_and(|held| Rc::ptr_eq(held, &self.cancelled));
        if is_ours {
            requests.remove(&self.request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::WallTime;
    use futures_util::FutureExt;

    #[test]
    fn an_ended_session_is_forgotten_once_it_would_have_expired() {
        Clock::simulate(Instant(0), WallTime(0));
        let ended = EndedSessions::default();
        ended.add([1; 16]);
        assert!(ended.has(&[1; 16]) && !ended.has(&[2; 16]));
        Clock::simulate(Instant(0) + Duration::from_secs(SESSION_TTL_S + 1), WallTime(0));
        ended.add([2; 16]);
        assert!(!ended.has(&[1; 16]) && ended.has(&[2; 16]));
        Clock::end_simulation();
    }

    #[test]
    fn a_session_keeps_its_log_level_and_the_number_is_bounded() {
        let levels = LogLevels::default();
        levels.set([1; 16], LogLevel::Error);
        levels.set([1; 16], LogLevel::Warning);
        assert_eq!(levels.of(&[1; 16]), LogLevel::Warning);
        assert_eq!(levels.of(&[2; 16]), LogLevel::Debug);
        for n in 0..=LOG_LEVELS_MAX as u128 {
            levels.set(n.to_be_bytes(), LogLevel::Info);
        }
        assert_eq!(levels.of(&[1; 16]), LogLevel::Debug, "the oldest was forgotten");
    }

    #[test]
    fn only_a_request_under_way_can_be_cancelled() {
        let in_flight = InFlight::default();
        let request = in_flight.enter([1; 16], b"7");
        assert!(!in_flight.cancel([2; 16], b"7"), "another session");
        assert!(!in_flight.cancel([1; 16], b"\"7\""), "another id");
        assert!(in_flight.cancel([1; 16], b"7"));
        drop(request);
        assert!(!in_flight.cancel([1; 16], b"7"));
    }

    #[test]
    fn a_session_that_ends_cancels_its_own_requests_and_no_others() {
        let in_flight = InFlight::default();
        let own = [in_flight.enter([1; 16], b"7"), in_flight.enter([1; 16], b"8")];
        let other = in_flight.enter([2; 16], b"7");
        in_flight.cancel_all(&[1; 16]);
        let is_cancelled = |request: &Cancellable<'_>| request.cancelled().now_or_never().is_some();
        assert!(own.iter().all(is_cancelled) && !is_cancelled(&other));
    }
}
