//! Sessions over HTTP+SSE (2024-11-05) whose event stream is open on this shard: all that such a session is lives where
//! its stream is, and ends with it. Its messages come by POST to any shard, which hands them on to this one.

use crate::base::error::{Error, Kind};
use crate::base::ids::{KeyId, ShardId};
use crate::base::limits::{RELAY_BYTES_MAX, RELAY_EVENTS_MAX, SSE_KEY_REQUESTS_MAX, SSE_SESSION_REQUESTS_MAX};
use crate::catalog::Narrowing;
use crate::mcp::refusal::Refusal;
use crate::mcp::session::Session;
use crate::rt::local::{self, Notify};
use crate::rt::{random, time};
use crate::shard::Shard;
use crate::shard::entrance::Entrance;
use crate::shard::messages::{Posted, ToShard};
use crate::shard::session::SessionKey;
use foldhash::HashMap;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// Time another shard has to say whether it takes a message.
const TAKE_TIME: Duration = Duration::from_secs(5);

/// What became of a message that was handed to the shard of its session.
pub(crate) type Taken = Result<(), Refusal>;

/// The open sessions of one shard, and the messages it has handed to others.
#[derive(Default)]
pub(crate) struct EventSessions {
    open: RefCell<HashMap<SessionKey, Rc<EventSession>>>,
    /// Requests under way by key, those of ended sessions too.
    under_way: RefCell<HashMap<KeyId, usize>>,
    handed: RefCell<HashMap<u64, local::OneSender<Taken>>>,
}

/// One session.
pub(crate) struct EventSession {
    /// The key that opened it.
    pub(crate) key: KeyId,
    /// Where it was opened.
    pub(crate) entrance: Entrance<Box<str>>,
    /// What the request that opened it narrowed its rights to.
    pub(crate) narrowing: Option<Narrowing>,
    state: RefCell<Rc<Session>>,
    initialized: Cell<bool>,
    under_way: Cell<usize>,
    said: RefCell<VecDeque<Vec<u8>>>,
    bytes: Cell<usize>,
    room: Notify,
    /// Where its stream stands among those of its shard; nothing once it has ended.
    place: Cell<Option<usize>>,
}

/// A fresh id for a session of this shard, which it names.
pub(crate) fn session_key(shard: ShardId) -> SessionKey {
    let mut key = [0; 16];
    random::fill(&mut key);
    key[..2].copy_from_slice(&shard.0.to_le_bytes());
    key
}

/// The shard that an id names.
pub(crate) fn home(session: &SessionKey) -> ShardId {
    ShardId(u16::from_le_bytes([session[0], session[1]]))
}

/// One answer for all: never there, ended, another key's.
pub(crate) fn unknown() -> Refusal {
    Refusal::new(Error::new(Kind::SessionNotFound, "session not found or ended; open the event stream anew"), None)
}

impl EventSession {
    /// A session of a key that nobody has spoken in yet.
    pub(crate) fn new(state: Session, entrance: Entrance<Box<str>>, narrowing: Option<Narrowing>) -> Self {
        Self {
            key: state.key,
            entrance,
            narrowing,
            state: RefCell::new(Rc::new(state)),
            initialized: Cell::new(false),
            under_way: Cell::new(0),
            said: RefCell::default(),
            bytes: Cell::new(0),
            room: Notify::new(),
            place: Cell::new(None),
        }
    }

    /// What is known of its client.
    pub(crate) fn state(&self) -> Rc<Session> {
        self.state.borrow().clone()
    }

    /// Whether its client has said who it is.
    pub(crate) fn is_initialized(&self) -> bool {
        self.initialized.get()
    }

    /// Takes in who the client says it is.
    pub(crate) fn introduce(&self, state: Session) {
        self.state.replace(Rc::new(state));
        self.initialized.set(true);
    }

    /// Whether requests are under way or words wait to be written.
    pub(crate) fn owes(&self) -> bool {
        self.under_way.get() > 0 || !self.said.borrow().is_empty()
    }

    /// Enters a message; nothing where too many are under way in the session or of its key, unless it is only a word
    /// that asks for nothing.
    pub(crate) fn enter(self: &Rc<Self>, shard: &Rc<Shard>, is_word: bool) -> Option<UnderWay> {
        let sessions = &shard.event_sessions;
        let has_room = self.under_way.get() < SSE_SESSION_REQUESTS_MAX && sessions.has_room(self.key);
        (is_word || has_room).then(|| {
            sessions.count(self.key);
            self.under_way.set(self.under_way.get() + 1);
            UnderWay { shard: shard.clone(), session: self.clone() }
        })
    }

    /// Whether its stream has ended: nobody hears an answer any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.place.get().is_none()
    }

    /// Says something as soon as there is room: an answer must not be lost to a client that reads slowly. One message
    /// always finds room, however long. Said to nobody where the stream has ended.
    pub(crate) async fn say(&self, shard: &Shard, message: Vec<u8>) {
        while self.place.get().is_some() && !self.has_room(message.len()) {
            self.room.notified().await;
        }
        self.push(shard, message);
    }

    /// Says something if there is room for it now, and somebody who hears it.
    pub(crate) fn try_say(&self, shard: &Shard, message: Vec<u8>) -> bool {
        let fits = self.place.get().is_some() && self.has_room(message.len());
        if fits {
            self.push(shard, message);
        }
        fits
    }

    fn has_room(&self, len: usize) -> bool {
        let count = self.said.borrow().len();
        count == 0 || (count < RELAY_EVENTS_MAX && self.bytes.get() + len <= RELAY_BYTES_MAX)
    }

    fn push(&self, shard: &Shard, message: Vec<u8>) {
        let Some(place) = self.place.get() else { return };
        self.bytes.set(self.bytes.get() + message.len());
        self.said.borrow_mut().push_back(message);
        shard.streams.look(place);
    }

    /// The next message to be written.
    pub(crate) fn next(&self) -> Option<Vec<u8>> {
        let message = self.said.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get() - message.len());
        self.room.notify_all();
        Some(message)
    }

    /// Lets its stream look whether it must end.
    pub(crate) fn look(&self, shard: &Shard) {
        if let Some(place) = self.place.get() {
            shard.streams.look(place);
        }
    }

    /// Its stream stands here.
    pub(crate) fn stand_at(&self, place: usize) {
        self.place.set(Some(place));
    }

    fn end(&self) {
        self.place.set(None);
        self.said.borrow_mut().clear();
        self.room.notify_all();
    }
}

/// A request under way in the counts of its session and its key.
pub(crate) struct UnderWay {
    shard: Rc<Shard>,
    session: Rc<EventSession>,
}

impl UnderWay {
    /// Says the answer, which ends the request.
    pub(crate) async fn answer(self, shard: &Shard, message: Vec<u8>) {
        self.session.say(shard, message).await;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.session.under_way.set(self.session.under_way.get() - 1);
        self.shard.event_sessions.uncount(self.session.key);
    }
}

/// A session that can be spoken to; it ends when this is dropped, as its stream is.
pub(crate) struct Registered {
    shard: Rc<Shard>,
    id: SessionKey,
    /// The session.
    pub(crate) session: Rc<EventSession>,
}

impl Registered {
    /// Lets a session be found by its id.
    pub(crate) fn new(shard: &Rc<Shard>, id: SessionKey, session: EventSession) -> Self {
        let session = Rc::new(session);
        shard.event_sessions.open.borrow_mut().insert(id, session.clone());
        Self { shard: shard.clone(), id, session }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.session.end();
        // Nobody will hear their answers, and their client can open the next session at once.
        self.shard.in_flight.cancel_all(&self.id);
        self.shard.event_sessions.open.borrow_mut().remove(&self.id);
        self.shard.interests.forget(&self.id);
    }
}

impl EventSessions {
    /// The open session of this id.
    pub(crate) fn get(&self, id: &SessionKey) -> Option<Rc<EventSession>> {
        self.open.borrow().get(id).cloned()
    }

    /// Whether one more request of a key may be under way.
    fn has_room(&self, key: KeyId) -> bool {
        self.under_way.borrow().get(&key).is_none_or(|count| *count < SSE_KEY_REQUESTS_MAX)
    }

    fn count(&self, key: KeyId) {
        *self.under_way.borrow_mut().entry(key).or_default() += 1;
    }

    fn uncount(&self, key: KeyId) {
        let mut keys = self.under_way.borrow_mut();
        let Some(count) = keys.get_mut(&key) else { return };
        *count -= 1;
        if *count == 0 {
            keys.remove(&key);
        }
    }

    /// Hands a message to the shard of its session, and waits for its word on it.
    pub(crate) async fn hand_over(&self, shard: &Shard, home: ShardId, posted: Posted) -> Taken {
        if !shard.peers.others().any(|other| other == home) {
            return Err(unknown());
        }
        let ticket = shard.peers.ticket();
        let (sender, taken) = local::oneshot();
        self.handed.borrow_mut().insert(ticket.number, sender);
        let _forget = Handed { sessions: self, number: ticket.number };
        let sent = shard.peers.send(home, ToShard::Posted(ticket, Box::new(posted)));
        sent.map_err(|error| Refusal::new(error, None))?;
        let late = || Error::new(Kind::Overloaded, "the shard of the session does not answer in time; it may have run");
        match time::timeout(TAKE_TIME, taken).await {
            Ok(Ok(taken)) => taken,
            Ok(Err(local::Closed)) | Err(_) => Err(Refusal::new(late(), None)),
        }
    }

    /// The word of another shard on a message handed to it.
    pub(crate) fn taken(&self, number: u64, taken: Taken) {
        if let Some(sender) = self.handed.borrow_mut().remove(&number) {
            // Nobody waits any more where the time was up.
            let _ = sender.send(taken);
        }
    }
}

/// A message that another shard has been handed.
struct Handed<'a> {
    sessions: &'a EventSessions,
    number: u64,
}

impl Drop for Handed<'_> {
    fn drop(&mut self) {
        self.sessions.handed.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_of_a_key_are_counted_over_all_its_sessions() {
        let (sessions, other) = (EventSessions::default(), KeyId::parse("k2").unwrap());
        (0..SSE_KEY_REQUESTS_MAX).for_each(|_| sessions.count(KeyId::ANONYMOUS));
        assert!(!sessions.has_room(KeyId::ANONYMOUS) && sessions.has_room(other));
        sessions.uncount(KeyId::ANONYMOUS);
        assert!(sessions.has_room(KeyId::ANONYMOUS));
        (1..SSE_KEY_REQUESTS_MAX).for_each(|_| sessions.uncount(KeyId::ANONYMOUS));
        assert!(sessions.under_way.borrow().is_empty());
    }

    #[test]
    fn an_id_names_its_shard_and_nothing_else_is_alike() {
        for shard in [0, 1, 513, u16::MAX] {
            let (one, other) = (session_key(ShardId(shard)), session_key(ShardId(shard)));
            assert_eq!((home(&one), home(&other)), (ShardId(shard), ShardId(shard)));
            assert_ne!(one, other);
        }
    }
}
