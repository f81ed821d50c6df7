//! Which resources and tasks the open streams of this shard want to hear about, by server. Each server's home shard is
//! told the whole set whenever it changes: a message that was lost is made up for by the next.

use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::KeyId;
use crate::base::limits::{
    SESSION_TTL_S, SUBSCRIBE_WAIT_MS, SUBSCRIPTIONS_MAX, SUBSCRIPTIONS_PER_KEY_MAX, TASK_NOTICES_BYTES_MAX,
};
use crate::rt::local::Notify;
use crate::rt::{task, time};
use crate::shard::Shard;
use crate::shard::messages::{Stands, ToShard, Wants};
use crate::shard::session::SessionKey;
use crate::upstream::answer::ScopeKey;
use crate::upstream::watched::Subject;
use bytes::Bytes;
use foldhash::HashMap;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// A resource or a task at its server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Topic {
    /// The server's name.
    pub server: Box<str>,
    /// What the server knows it by.
    pub subject: Subject,
}

/// Word of a change.
pub struct News {
    /// What has changed.
    pub topic: Topic,
    /// All that the server says of it: the raw `params` of a task's notice.
    pub said: Option<Bytes>,
}

/// What changed for a stream, each with the last that its server said of it.
pub(crate) type Changes = BTreeMap<Topic, Option<Bytes>>;

/// What the streams of one shard want to hear about.
#[derive(Default)]
pub(crate) struct Interests {
    sessions: RefCell<Sessions>,
    streams: RefCell<Streams>,
    /// Servers whose homes do not know yet what is wanted of them.
    untold: RefCell<BTreeSet<Box<str>>>,
    telling: Cell<bool>,
    stood: Notify,
}

/// What legacy sessions are subscribed to, wherever their streams are.
#[derive(Default)]
struct Sessions {
    topics: HashMap<SessionKey, Held>,
    order: VecDeque<(Instant, SessionKey)>,
    counts: Counts,
}

/// What one session is subscribed to, and whose it is.
struct Held {
    key: KeyId,
    topics: BTreeSet<Topic>,
}

/// How many subscriptions each key has.
#[derive(Default)]
struct Counts(HashMap<KeyId, usize>);

#[derive(Default)]
struct Streams {
    by_place: HashMap<usize, Listener>,
    servers: HashMap<Box<str>, Audience>,
    counts: Counts,
    version: u64,
    /// Bytes of all news that streams have not taken yet.
    bytes: usize,
}

/// One stream.
struct Listener {
    key: KeyId,
    wants: BTreeSet<Topic>,
    /// What changed since it was last called on.
    news: Changes,
}

/// Who wants to hear of one server.
#[derive(Default)]
struct Audience {
    places: BTreeMap<Subject, Vec<usize>>,
    /// The version of the set, and the newest of which the home said what of it the server tells of.
    version: u64,
    stands: u64,
    /// What of that the server does not tell of.
    refused: BTreeSet<Subject>,
}

impl Interests {
    /// What a legacy session is subscribed to.
    pub(crate) fn of(&self, session: &SessionKey) -> BTreeSet<Topic> {
        self.sessions.borrow().topics.get(session).map(|held| held.topics.clone()).unwrap_or_default()
    }

    /// Notes that a legacy session of a key subscribes to a resource, or no longer does.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] where it, or its key, has as many as may be.
    pub(crate) fn note(&self, (session, key): (SessionKey, KeyId), topic: &Topic, begins: bool) -> Result<()> {
        let mut sessions = self.sessions.borrow_mut();
        if begins {
            return sessions.add(session, key, topic);
        }
        sessions.remove(&session, topic);
        Ok(())
    }

    /// Forgets the subscriptions of a session that has ended.
    pub(crate) fn forget(&self, session: &SessionKey) {
        self.sessions.borrow_mut().forget(session);
    }

    /// Takes what changed for a stream since the last time.
    pub(crate) fn take(&self, place: usize) -> Changes {
        let mut streams = self.streams.borrow_mut();
        let news = streams.by_place.get_mut(&place).map(|listener| std::mem::take(&mut listener.news));
        let news = news.unwrap_or_default();
        streams.bytes -= news.values().flatten().map(Bytes::len).sum::<usize>();
        news
    }

    /// Lets every resource count as changed that a stream wants to hear about.
    pub(crate) fn miss(&self, place: usize) {
        if let Some(Listener { wants, news, .. }) = self.streams.borrow_mut().by_place.get_mut(&place) {
            for topic in wants.iter() {
                news.entry(topic.clone()).or_default();
            }
        }
    }

    /// Whether something changed for a stream.
    pub(crate) fn has_news(&self, place: usize) -> bool {
        self.streams.borrow().by_place.get(&place).is_some_and(|listener| !listener.news.is_empty())
    }

    /// A server has said what it tells of.
    pub(crate) fn stands(&self, stands: Stands) {
        let Stands { server, version, refused } = stands;
        let mut streams = self.streams.borrow_mut();
        if let Some(audience) = streams.servers.get_mut(&server).filter(|audience| audience.stands <= version) {
            audience.stands = version;
            audience.refused = refused.into_iter().collect();
        }
        drop(streams);
        self.stood.notify_all();
    }

    /// Whether its server has said that it does not tell of it.
    pub(crate) fn is_refused(&self, topic: &Topic) -> bool {
        let streams = self.streams.borrow();
        streams.servers.get(&topic.server).is_some_and(|audience| audience.refused.contains(&topic.subject))
    }

    /// Waits until a server has said what it tells of that is wanted of it by now, but not for long: it may be down.
    pub(crate) async fn settled(&self, server: &str) {
        let version = self.streams.borrow().servers.get(server).map_or(0, |audience| audience.version);
        let stands = || self.streams.borrow().servers.get(server).is_none_or(|audience| audience.stands >= version);
        let standing = async {
            while !stands() {
                self.stood.notified().await;
            }
        };
        let _ = time::timeout(Duration::from_millis(SUBSCRIBE_WAIT_MS), standing).await;
    }
}

impl Sessions {
    fn add(&mut self, session: SessionKey, key: KeyId, topic: &Topic) -> Result<()> {
        self.expire(Clock::now());
        let held = self.topics.get(&session).map(|held| &held.topics);
        if held.is_some_and(|held| held.contains(topic)) {
            return Ok(());
        }
        room(held.map_or(0, BTreeSet::len), SUBSCRIPTIONS_MAX)?;
        let is_new = held.is_none();
        self.counts.add(key)?;
        if is_new {
            self.order.push_back((Clock::now() + Duration::from_secs(SESSION_TTL_S), session));
        }
        let held = self.topics.entry(session).or_insert_with(|| Held { key, topics: BTreeSet::new() });
        held.topics.insert(topic.clone());
        Ok(())
    }

    fn remove(&mut self, session: &SessionKey, topic: &Topic) {
        let Some(held) = self.topics.get_mut(session) else { return };
        if held.topics.remove(topic) {
            self.counts.remove(held.key, 1);
        }
        if held.topics.is_empty() {
            self.forget(session);
        }
    }

    fn forget(&mut self, session: &SessionKey) {
        if let Some(held) = self.topics.remove(session) {
            self.counts.remove(held.key, held.topics.len());
            self.order.retain(|(_, known)| known != session);
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some((_, session)) = self.order.front().copied().filter(|(at, _)| *at <= now) {
            self.forget(&session);
        }
    }
}

impl Streams {
    fn add(&mut self, (place, key): (usize, KeyId), topic: &Topic) -> Result<bool> {
        let silent = || Listener { key, wants: BTreeSet::new(), news: Changes::new() };
        let listener = self.by_place.entry(place).or_insert_with(silent);
        if listener.wants.contains(topic) {
            return Ok(false);
        }
        self.counts.add(key)?;
        listener.wants.insert(topic.clone());
        let audience = self.servers.entry(topic.server.clone()).or_default();
        let places = audience.places.entry(topic.subject.clone()).or_default();
        places.push(place);
        if places.len() > 1 {
            return Ok(false);
        }
        self.version += 1;
        audience.version = self.version;
        Ok(true)
    }

    fn remove(&mut self, place: usize, topic: &Topic) -> bool {
        let Some(listener) = self.by_place.get_mut(&place) else { return false };
        if !listener.wants.remove(topic) {
            return false;
        }
        let news = listener.news.remove(topic).flatten();
        self.bytes -= news.map_or(0, |said| said.len());
        self.counts.remove(listener.key, 1);
        let Some(audience) = self.servers.get_mut(&topic.server) else { return false };
        let Some(places) = audience.places.get_mut(&topic.subject) else { return false };
        places.retain(|known| *known != place);
        if !places.is_empty() {
            return false;
        }
        audience.places.remove(&topic.subject);
        self.version += 1;
        audience.version = self.version;
        true
    }

    /// Enters word of a change for a stream. What a stream has not taken of the same makes room for it.
    fn inform(&mut self, place: usize, news: &News) {
        let Some(listener) = self.by_place.get_mut(&place) else { return };
        let len = |said: Option<&Bytes>| said.map_or(0, Bytes::len);
        let before = len(listener.news.get(&news.topic).and_then(Option::as_ref));
        let bytes = self.bytes - before + len(news.said.as_ref());
        if bytes > TASK_NOTICES_BYTES_MAX {
            tracing::warn!(
                server = &*news.topic.server,
                "word of a task was lost: clients read their streams too slowly"
            );
            return;
        }
        self.bytes = bytes;
        listener.news.insert(news.topic.clone(), news.said.clone());
    }
}

impl Counts {
    /// Counts one more of a key.
    fn add(&mut self, key: KeyId) -> Result<()> {
        let count = self.0.entry(key).or_default();
        room(*count, SUBSCRIPTIONS_PER_KEY_MAX)?;
        *count += 1;
        Ok(())
    }

    fn remove(&mut self, key: KeyId, less: usize) {
        let Some(count) = self.0.get_mut(&key) else { return };
        *count -= less;
        if *count == 0 {
            self.0.remove(&key);
        }
    }
}

/// Whether there is room for one more.
fn room(held: usize, most: usize) -> Result<()> {
    if held < most {
        return Ok(());
    }
    let words = format!("no more than {most} resources can be subscribed to here: unsubscribe from some first");
    Err(Error::new(Kind::Overloaded, words))
}

/// Enters what a stream of a key wants to hear about.
///
/// # Errors
/// [`Kind::Overloaded`] where the streams of the key have as many as may be.
pub(crate) fn enter(shard: &Rc<Shard>, (place, key): (usize, KeyId), topics: &BTreeSet<Topic>) -> Result<()> {
    for topic in topics {
        if shard.interests.streams.borrow_mut().add((place, key), topic)? {
            tell(shard, &topic.server);
        }
    }
    Ok(())
}

/// A stream no longer wants to hear about these.
pub(crate) fn withdraw(shard: &Rc<Shard>, place: usize, topics: &BTreeSet<Topic>) {
    for topic in topics {
        if shard.interests.streams.borrow_mut().remove(place, topic) {
            tell(shard, &topic.server);
        }
    }
}

/// A stream has ended.
pub(crate) fn leave(shard: &Rc<Shard>, place: usize) {
    let wants = shard.interests.streams.borrow().by_place.get(&place).map(|listener| listener.wants.clone());
    if let Some(wants) = wants {
        withdraw(shard, place, &wants);
        shard.interests.streams.borrow_mut().by_place.remove(&place);
    }
}

/// The streams that want to hear about something that changed are called on.
pub(crate) fn updated(shard: &Shard, news: &News) {
    let mut streams = shard.interests.streams.borrow_mut();
    let Topic { server, subject } = &news.topic;
    let audience = streams.servers.get(server).and_then(|audience| audience.places.get(subject));
    let places = audience.cloned().unwrap_or_default();
    places.iter().for_each(|place| streams.inform(*place, news));
    drop(streams);
    places.into_iter().for_each(|place| shard.streams.look(place));
}

/// Tells a server's home what is wanted of it, together with all else that changes in this moment.
fn tell(shard: &Rc<Shard>, server: &str) {
    shard.interests.untold.borrow_mut().insert(server.into());
    if shard.interests.telling.replace(true) {
        return;
    }
    let shard = shard.clone();
    drop(task::spawn(async move {
        task::yield_now().await;
        shard.interests.telling.set(false);
        tell_all(&shard);
    }));
}

/// Tells the homes what they do not know yet. A full mailbox loses nothing: it is told again at the next beat.
pub(crate) fn tell_all(shard: &Shard) {
    let untold = shard.interests.untold.take();
    for server in untold {
        let wants = shard.interests.wants(shard, &server);
        let home = shard.home_of(&server, &ScopeKey::Shared);
        if shard.peers.send(home, ToShard::Wants(Box::new(wants))).is_err() {
            shard.interests.untold.borrow_mut().insert(server);
        }
    }
}

impl Interests {
    fn wants(&self, shard: &Shard, server: &str) -> Wants {
        let mut streams = self.streams.borrow_mut();
        let audience = streams.servers.get(server);
        let subjects: Box<[_]> = audience.into_iter().flat_map(|audience| audience.places.keys().cloned()).collect();
        let version = audience.map_or(0, |audience| audience.version);
        if subjects.is_empty() {
            streams.servers.remove(server);
        }
        Wants { server: server.into(), from: shard.id, subjects, version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::WallTime;

    const ONE: (SessionKey, KeyId) = ([1; 16], KeyId::ANONYMOUS);

    fn other() -> KeyId {
        KeyId::parse("k2").unwrap()
    }

    fn topic(n: usize) -> Topic {
        Topic { server: "s".into(), subject: Subject::Resource(format!("a:{n}").into()) }
    }

    #[test]
    fn a_session_has_a_bounded_number_of_subscriptions_and_gets_room_back() {
        Clock::simulate(Instant(0), WallTime(0));
        let interests = Interests::default();
        for n in 0..SUBSCRIPTIONS_MAX {
            interests.note(ONE, &topic(n), true).unwrap();
        }
        interests.note(ONE, &topic(0), true).unwrap();
        let over = interests.note(ONE, &topic(SUBSCRIPTIONS_MAX), true).unwrap_err();
        assert_eq!(over.kind, Kind::Overloaded);
        interests.note(ONE, &topic(0), false).unwrap();
        interests.note(ONE, &topic(SUBSCRIPTIONS_MAX), true).unwrap();
        interests.forget(&[1; 16]);
        assert!(interests.sessions.borrow().counts.0.is_empty());
        assert!(interests.of(&[1; 16]).is_empty());
        Clock::end_simulation();
    }

    #[test]
    fn a_session_that_wants_nothing_any_more_keeps_no_room() {
        Clock::simulate(Instant(0), WallTime(0));
        let interests = Interests::default();
        interests.note(ONE, &topic(1), true).unwrap();
        interests.note(ONE, &topic(1), false).unwrap();
        let sessions = interests.sessions.borrow();
        assert!(sessions.topics.is_empty() && sessions.order.is_empty());
        Clock::end_simulation();
    }

    #[test]
    fn subscriptions_go_when_their_session_would_have_expired() {
        Clock::simulate(Instant(0), WallTime(0));
        let interests = Interests::default();
        interests.note(ONE, &topic(1), true).unwrap();
        Clock::simulate(Instant(0) + Duration::from_secs(SESSION_TTL_S + 1), WallTime(0));
        interests.note(([2; 16], other()), &topic(1), true).unwrap();
        assert!(interests.of(&[1; 16]).is_empty() && interests.of(&[2; 16]).contains(&topic(1)));
        Clock::end_simulation();
    }

    #[test]
    fn only_the_first_to_want_something_and_the_last_change_what_is_wanted() {
        let mut streams = Streams::default();
        assert_eq!(streams.add((1, KeyId::ANONYMOUS), &topic(1)), Ok(true));
        assert_eq!(streams.add((1, KeyId::ANONYMOUS), &topic(1)), Ok(false));
        assert_eq!(streams.add((2, KeyId::ANONYMOUS), &topic(1)), Ok(false));
        assert!(!streams.remove(1, &topic(1)));
        assert!(!streams.remove(1, &topic(1)));
        assert!(streams.remove(2, &topic(1)));
        assert!(streams.counts.0.is_empty());
    }

    #[test]
    fn one_key_uses_up_its_own_room_alone() {
        Clock::simulate(Instant(0), WallTime(0));
        let (interests, mut streams) = (Interests::default(), Streams::default());
        for n in 0..SUBSCRIPTIONS_PER_KEY_MAX {
            let session = u128::try_from(n / SUBSCRIPTIONS_MAX).unwrap().to_be_bytes();
            interests.note((session, KeyId::ANONYMOUS), &topic(n), true).unwrap();
            streams.add((n, KeyId::ANONYMOUS), &topic(1)).unwrap();
        }
        let full = [
            interests.note(([9; 16], KeyId::ANONYMOUS), &topic(1), true).unwrap_err(),
            streams.add((usize::MAX, KeyId::ANONYMOUS), &topic(1)).unwrap_err(),
        ];
        assert!(full.iter().all(|error| error.kind == Kind::Overloaded));
        interests.note(([9; 16], other()), &topic(1), true).unwrap();
        streams.add((usize::MAX - 1, other()), &topic(1)).unwrap();
        interests.forget(&[0; 16]);
        streams.remove(0, &topic(1));
        interests.note(([8; 16], KeyId::ANONYMOUS), &topic(1), true).unwrap();
        streams.add((0, KeyId::ANONYMOUS), &topic(1)).unwrap();
        Clock::end_simulation();
    }

    #[test]
    fn what_waits_for_slow_streams_is_bounded_and_the_last_word_counts() {
        let interests = Interests::default();
        let task = |n: usize| Topic { server: "s".into(), subject: Subject::Task(format!("t{n}").into()) };
        let mut streams = interests.streams.borrow_mut();
        let half = Bytes::from(vec![b'x'; TASK_NOTICES_BYTES_MAX / 2]);
        for n in 0..3 {
            streams.add((n % 2, KeyId::ANONYMOUS), &task(n)).unwrap();
            streams.inform(n % 2, &News { topic: task(n), said: Some(half.clone()) });
        }
        streams.inform(0, &News { topic: task(0), said: Some(Bytes::from_static(b"last")) });
        drop(streams);
        assert_eq!(interests.take(0), Changes::from([(task(0), Some(Bytes::from_static(b"last")))]));
        assert_eq!(interests.streams.borrow().bytes, half.len());
        interests.streams.borrow_mut().remove(1, &task(1));
        assert_eq!(interests.streams.borrow().bytes, 0);
    }

    #[test]
    fn a_servers_last_word_on_what_it_tells_of_counts() {
        let interests = Interests::default();
        interests.streams.borrow_mut().add((1, KeyId::ANONYMOUS), &topic(1)).unwrap();
        let said = |version, refused: &[Topic]| {
            let refused = refused.iter().map(|topic| topic.subject.clone()).collect();
            interests.stands(Stands { server: "s".into(), version, refused });
            interests.is_refused(&topic(1))
        };
        assert!(said(2, &[topic(1)]));
        assert!(said(1, &[]), "an older word");
        assert!(!said(3, &[]));
    }
}
