//! What was said on one event stream of a legacy session, kept for a while: each event has an id, and a client whose
//! connection breaks comes back with the last one it had (docs/protocol.md 9).

use crate::base::clock::{Clock, Instant};
use crate::base::ids::{KeyId, ShardId};
use crate::base::limits::{REPLAY_BATCH_BYTES_MAX, REPLAY_EVENTS_MAX, REPLAY_STREAM_BYTES_MAX, REPLAY_TTL_MS};
use crate::mcp::event_id::{self, EventStream};
use crate::mcp::revision::Revision;
use crate::mcp::session::{Sealing, Session};
use crate::rt::local::Notify;
use crate::rt::random;
use crate::shard::messages::Rest;
use crate::shard::session::SessionKey;
use crate::wire::sse;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

/// What one event costs beside its bytes.
const EVENT_COST: usize = 64;
/// How long what was said is kept.
pub(super) const TTL: Duration = Duration::from_millis(REPLAY_TTL_MS);

/// One stream.
pub(crate) struct Replay {
    /// The session it belongs to.
    pub(super) session: SessionKey,
    /// Whose it is.
    pub(super) key: KeyId,
    /// What tells it from every other.
    pub(super) number: u64,
    /// What stands for it in the ids of its events.
    sealed: Box<str>,
    /// Its client knows events without data (2025-11-25).
    primes: bool,
    /// It is a call's: nothing else brings its client the answer.
    is_call: bool,
    events: RefCell<VecDeque<Event>>,
    bytes: Cell<usize>,
    /// The place of the next event; that of the first is 1.
    next: Cell<u64>,
    ended: Cell<bool>,
    closed: Cell<bool>,
    /// Counts those that came back; the last of them reads, and nobody else.
    reader: Cell<u64>,
    until: Cell<Instant>,
    /// Those who wait for more.
    listening: Cell<usize>,
    /// Rung where there is more to read, or somebody else reads.
    more: Notify,
    /// Where it stands among the streams of its shard, where it is a GET stream.
    place: Cell<Option<usize>>,
}

/// One event as it is written.
pub(super) struct Event {
    at: u64,
    wire: Bytes,
    kept: Instant,
}

/// Somebody who waits for more.
pub(crate) struct Listening<'a>(&'a Replay);

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.listening.set(self.0.listening.get() - 1);
    }
}

impl Replay {
    /// A stream of a session: the answer to the request with this raw id, or a GET stream.
    pub(super) fn new(sealing: &Sealing, shard: ShardId, session: &Session, request: Option<&[u8]>) -> Self {
        let number = u64::from_le_bytes(random::label());
        let stream = EventStream { session: session.id, shard, number, request: request.map(Box::from) };
        Self {
            session: session.id,
            key: session.key,
            number,
            sealed: event_id::seal(sealing, &stream).into(),
            primes: session.revision == Revision::V2025_11_25,
            is_call: request.is_some(),
            events: RefCell::default(),
            bytes: Cell::new(0),
            next: Cell::new(1),
            ended: Cell::new(false),
            closed: Cell::new(false),
            reader: Cell::new(0),
            until: Cell::new(Clock::recent()),
            listening: Cell::new(0),
            more: Notify::new(),
            place: Cell::new(None),
        }
    }

    /// An event without data, for clients that know such: its id is all there is to it, and how long to wait before
    /// coming back to it.
    pub(crate) fn prime(&self, retry_ms: u64) -> Option<Vec<u8>> {
        let id = event_id::event_id(&self.sealed, self.next.get() - 1, false);
        self.primes.then(|| primed(&id, retry_ms))
    }

    /// Whether its client has the id of any event of it, and so can come back to it.
    pub(crate) fn is_known(&self) -> bool {
        self.primes || self.next.get() > 1
    }

    /// Whether somebody came back to it, who reads from now on.
    pub(crate) fn is_taken(&self) -> bool {
        self.reader.get() > 0
    }

    /// Whether the last thing was said on it.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Whether nothing is kept of it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Waits until nothing is kept of it any more.
    pub(crate) async fn closed(&self) {
        while !self.is_closed() {
            self.changed().await;
        }
    }

    /// Waits until something is said, somebody else reads, or nothing is kept of it any more.
    pub(crate) async fn changed(&self) {
        self.more.notified().await;
    }

    /// Begins to read in the place of whoever does; gives the reader's number.
    pub(crate) fn take_over(&self) -> u64 {
        self.reader.set(self.reader.get() + 1);
        self.more.notify_all();
        self.reader.get()
    }

    /// Whether somebody waits for more.
    pub(crate) fn is_heard(&self) -> bool {
        self.listening.get() > 0
    }

    /// Waits for more, until this is dropped.
    pub(crate) fn listen(&self) -> Listening<'_> {
        self.listening.set(self.listening.get() + 1);
        Listening(self)
    }

    /// Whether this reader still is the one.
    pub(crate) fn is_read_by(&self, reader: u64) -> bool {
        self.reader.get() == reader
    }

    /// Where it stands among the streams of its shard.
    pub(crate) fn place(&self) -> Option<usize> {
        self.place.get()
    }

    /// It stands here.
    pub(crate) fn stand_at(&self, place: usize) {
        self.place.set(Some(place));
    }

    /// Somebody reads it: a GET stream is kept on.
    pub(crate) fn touch(&self) {
        if !self.ended.get() {
            self.until.set(Clock::recent() + TTL);
        }
    }

    /// What comes after an event. Nothing where that cannot be told any more: of a call, where its answer is not kept;
    /// of a GET stream, where anything is missing.
    pub(crate) fn after(&self, at: u64) -> Option<Rest> {
        let last = self.next.get() - 1;
        let at = at.min(last);
        let events = self.events.borrow();
        let is_whole = events.front().map_or(last + 1, |event| event.at) <= at + 1;
        if !is_whole && (!self.is_call || self.ended.get() && events.is_empty()) {
            return None;
        }
        let mut bytes = 0;
        let fits = |event: &&Event| {
            bytes += event.wire.len();
            bytes == event.wire.len() || bytes <= REPLAY_BATCH_BYTES_MAX
        };
        let wanted = events.iter().filter(|event| event.at > at).take_while(fits);
        let events: Vec<_> = wanted.map(|event| (event.at, event.wire.clone())).collect();
        let end = events.last().map_or(at, |(at, _)| *at);
        Some(Rest { events, is_all: self.ended.get() && end == last })
    }

    /// A message as the next event; nothing comes after the last.
    pub(super) fn event(&self, json: &[u8], is_last: bool) -> Event {
        let at = self.next.replace(self.next.get() + 1);
        let mut wire = Vec::with_capacity(json.len() + self.sealed.len() + EVENT_COST);
        sse::encode(&mut wire, Some("message"), Some(&event_id::event_id(&self.sealed, at, is_last)), json);
        self.ended.set(is_last);
        Event { at, wire: wire.into(), kept: Clock::recent() }
    }

    /// Keeps an event; gives what it costs.
    pub(super) fn keep(&self, event: Event) -> usize {
        let cost = event.cost();
        self.bytes.set(self.bytes.get() + cost);
        self.events.borrow_mut().push_back(event);
        self.more.notify_all();
        cost
    }

    /// Nothing is kept of it any more.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.more.notify_all();
    }

    /// Nobody has come back to it in time.
    pub(super) fn is_late(&self) -> bool {
        self.until.get() <= Clock::recent()
    }

    /// From now on it is kept for a while.
    pub(super) fn leave(&self) {
        self.until.set(Clock::recent() + TTL);
    }

    /// Lets the oldest event go; gives what that frees.
    pub(super) fn forget_first(&self) -> usize {
        let freed = self.events.borrow_mut().pop_front().map_or(0, |event| event.cost());
        self.bytes.set(self.bytes.get() - freed);
        freed
    }

    /// Whether its oldest event is to go before any other stream's.
    pub(super) fn is_over(&self) -> bool {
        let events = self.events.borrow();
        let is_old = events.front().is_some_and(|event| event.kept + TTL <= Clock::recent());
        is_old || events.len() > REPLAY_EVENTS_MAX || self.bytes.get() > REPLAY_STREAM_BYTES_MAX
    }
}

impl Event {
    /// The event as it is written.
    pub(super) fn wire(&self) -> Bytes {
        self.wire.clone()
    }

    fn cost(&self) -> usize {
        self.wire.len() + EVENT_COST
    }
}

/// An event without data.
pub(crate) fn primed(id: &str, retry_ms: u64) -> Vec<u8> {
    format!("retry: {retry_ms}\nid: {id}\ndata: \n\n").into_bytes()
}
