//! Event streams that stay open: the GET stream of a legacy session and the answer to `subscriptions/listen`. Both tell
//! a client that one of its own lists changed, or a resource or task it asked about, and nothing else.
//!
//! A stream may be open for days and thousands of them at once. So a door only begins it; what keeps it open holds
//! nothing of the request: neither its head and body nor the snapshot it was answered under.

use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::{GrantId, KeyId};
use crate::catalog::Door;
use crate::config::Snapshot;
use crate::mcp::caps::ClientCaps;
use crate::mcp::refusal::Refusal;
use crate::mcp::subscribe::{self, Change, Listen};
use crate::mcp::task::{self, Task};
use crate::rt::stream::Stream;
use crate::shard::doors::notices::visited;
use crate::shard::event_sessions::Registered;
use crate::shard::exchange::Exchange;
use crate::shard::interests::Topic;
use crate::shard::relay::{SSE_HEADERS, framed};
use crate::shard::session::SessionKey;
use crate::shard::streams::{Call, OpenStream};
use crate::shard::{Shard, refuse};
use crate::upstream::watched::Subject;
use crate::wire::http::{RequestHead, ServerConn};
use futures_util::future::{Either, join_all, select};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::rc::Rc;

/// A comment line: it keeps proxies from closing a silent stream.
const BEAT: &[u8] = b": beat\n\n";

/// What is left to do on a connection once a door has answered.
pub(crate) enum After {
    /// Nothing: the next request may come.
    Done,
    /// To keep the event stream open that the answer has begun.
    Stream(Box<Held>),
}

/// What one stream says.
#[derive(Default)]
pub(crate) struct Script<'a> {
    /// The raw id of the listen request it answers, where it answers one.
    pub(crate) subscription: Option<&'a [u8]>,
    /// The legacy session it belongs to, where it belongs to one.
    pub(crate) session: Option<SessionKey>,
    /// The changes it tells of.
    pub(crate) listen: Listen,
    /// The resources and tasks that it tells of.
    pub(crate) topics: BTreeSet<Topic>,
    /// What of these a listen request has named, in the client's words.
    pub(crate) named: Vec<(Topic, &'a str)>,
    /// What its client can do.
    pub(crate) caps: ClientCaps,
}

impl Script<'_> {
    /// The first message of the answer to a listen request: what is honoured, as far as the servers have spoken.
    fn acknowledged(&self, shard: &Shard) -> Option<Vec<u8>> {
        let id = self.subscription?;
        let honoured = self.named.iter().filter(|(topic, _)| !shard.interests.is_refused(topic));
        let (mut resources, mut tasks) = (Vec::new(), Vec::new());
        for (topic, word) in honoured {
            match topic.subject {
                Subject::Resource(_) => resources.push(*word),
                Subject::Task(_) => tasks.push(*word),
            }
        }
        Some(self.listen.acknowledged(id, &resources, &tasks))
    }

    /// The ids by which the client knows its tasks.
    fn tasks(&self) -> BTreeMap<Topic, Box<str>> {
        let tasks = self.named.iter().filter(|(topic, _)| matches!(topic.subject, Subject::Task(_)));
        tasks.map(|(topic, id)| (topic.clone(), (*id).into())).collect()
    }
}

/// An open stream: all that is kept for it while it is silent.
pub(crate) struct Held {
    open: OpenStream,
    key: KeyId,
    /// The server at whose door it was opened; nothing for the door of all.
    server: Option<Box<str>>,
    session: Option<SessionKey>,
    subscription: Option<Box<[u8]>>,
    listen: Listen,
    tasks: BTreeMap<Topic, Box<str>>,
    caps: ClientCaps,
    /// The session over HTTP+SSE that this stream is.
    spoken: Option<Registered>,
    /// The lists that its client knows, or was told to forget.
    seen: Marks,
}

/// A mark of each list that may change: another mark, another list. Zero where no change of it is told.
type Marks = [u64; Change::ALL.len()];

/// Why a stream woke.
enum Wake {
    /// Its client is gone.
    Gone,
    /// The gate ends it.
    Ended,
    /// Its client reads slowly: these bytes still have to be written.
    Behind(Vec<u8>),
}

/// GET: the stream of a legacy session on which messages come that belong to no request (2025-11-25 transports).
pub(crate) async fn get<S: Stream>(exchange: &Exchange, conn: &mut ServerConn<S>, head: &RequestHead) -> Result<After> {
    let shard = &exchange.shard;
    if !head.accepts_events() {
        let error = Error::new(Kind::MethodNotAllowed, "GET opens an event stream: send \"Accept: text/event-stream\"");
        return refuse::plain(shard, conn, &error).await.map(|()| After::Done);
    }
    let session = match super::legacy::session_of(exchange, head) {
        Ok(session) => Some(session.id),
        Err(refusal) => return refuse::refusal(shard, conn, &refusal).await.map(|()| After::Done),
    };
    let topics = session.map(|session| shard.interests.of(&session)).unwrap_or_default();
    let script = Script { session, listen: Listen::ALL, topics, ..Script::default() };
    begin(exchange, conn, script).await
}

/// Begins a stream: its head, and its first message.
pub(crate) async fn begin<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    script: Script<'_>,
) -> Result<After> {
    start(exchange, conn, script, None, None).await
}

/// Begins the stream of a session over HTTP+SSE, with this first event.
pub(crate) async fn begin_session<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    script: Script<'_>,
    first: Vec<u8>,
    session: Registered,
) -> Result<After> {
    start(exchange, conn, script, Some(first), Some(session)).await
}

async fn start<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    script: Script<'_>,
    first: Option<Vec<u8>>,
    spoken: Option<Registered>,
) -> Result<After> {
    let (shard, key) = (&exchange.shard, exchange.principal.key);
    let opened = OpenStream::new(shard, key, script.session);
    let open = match opened.and_then(|open| open.want(&script.topics).map(|()| open)) {
        Ok(open) => open,
        Err(error) => {
            let refusal = Refusal::new(error, script.subscription);
            return refuse::refusal(shard, conn, &refusal).await.map(|()| After::Done);
        }
    };
    if let Some(spoken) = &spoken {
        spoken.session.stand_at(open.place());
    }
    if script.subscription.is_some() {
        settle(exchange, &script.topics).await;
    }
    let first = first.or_else(|| script.acknowledged(shard).as_deref().map(framed));
    conn.start_stream(200, SSE_HEADERS).await?;
    if let Some(first) = first {
        conn.write_stream(first).await?;
    }
    // What happened since the request came, or before the stream was entered, called on nobody.
    open.look();
    let server = match exchange.door {
        Door::All => None,
        Door::Server(id) => Some(exchange.catalog().server_name(id).into()),
    };
    Ok(After::Stream(Box::new(Held {
        open,
        key,
        server,
        session: script.session,
        subscription: script.subscription.map(Box::from),
        listen: script.listen,
        tasks: script.tasks(),
        caps: script.caps,
        spoken,
        seen: marks(exchange.snapshot(), exchange.principal.grant, exchange.door, script.listen),
    })))
}

/// Waits until the servers of these have said whether they will tell of them.
async fn settle(exchange: &Exchange, topics: &BTreeSet<Topic>) {
    let servers: BTreeSet<&str> = topics.iter().map(|topic| &*topic.server).collect();
    join_all(servers.into_iter().map(|server| exchange.shard.interests.settled(server))).await;
}

/// Whether its server offers to tell of such a thing.
pub(super) fn tells(exchange: &Exchange, topic: &Topic) -> bool {
    let catalog = exchange.catalog();
    let server = catalog.server_id(&topic.server).and_then(|id| catalog.server(id));
    server.is_some_and(|server| topic.subject.is_told_by(server.offers))
}

/// Keeps a stream open until the client goes, its key or session is no longer valid, or the shard drains.
pub(crate) async fn keep<S: Stream>(shard: &Rc<Shard>, conn: &mut ServerConn<S>, mut held: Box<Held>) -> Result<()> {
    conn.rest();
    loop {
        match hear(shard, conn, &mut held).await {
            Wake::Gone => return Ok(()),
            Wake::Ended => break,
            // On the heap, as what follows: an idle stream keeps no room for writes that must wait.
            Wake::Behind(rest) => Box::pin(conn.write_framed(rest)).await?,
        }
    }
    Box::pin(async {
        if let Some(id) = &held.subscription {
            conn.write_stream(framed(&subscribe::ended(id))).await?;
        }
        conn.finish_stream().await
    })
    .await
}

/// Waits, and says what there is to say as long as the client's side takes it without waiting: the watch for a client
/// that goes away then stays in place.
async fn hear<S: Stream>(shard: &Rc<Shard>, conn: &ServerConn<S>, held: &mut Held) -> Wake {
    let mut gone = pin!(conn.peer_gone());
    loop {
        let call = match select(pin!(held.open.called()), gone.as_mut()).await {
            Either::Left((call, _)) => call,
            Either::Right(((), _)) => return Wake::Gone,
        };
        let Some(now) = held.marks(shard) else { return Wake::Ended };
        if let Some(wake) = held.speak(conn) {
            return wake;
        }
        if shard.is_draining() && !held.owes() {
            return Wake::Ended;
        }
        let before = std::mem::replace(&mut held.seen, now);
        let said = match call {
            _ if before != now || held.open.has_news() || held.open.has_visits() => {
                conn.try_write_stream(&held.notices(shard, before))
            }
            Call::Beat => conn.try_write_stream(BEAT),
            Call::Look => continue,
        };
        match said {
            Ok(rest) if rest.is_empty() => {}
            Ok(rest) => return Wake::Behind(rest),
            Err(_) => return Wake::Gone,
        }
    }
}

impl Held {
    /// What the key sees now; nothing once the key is no longer valid, the session has ended or the server is gone.
    fn marks(&self, shard: &Shard) -> Option<Marks> {
        if self.session.is_some_and(|session| shard.ended.has(&session)) {
            return None;
        }
        let in_force = shard.in_force();
        let snapshot = &in_force.snapshot;
        let principal = snapshot.keys.standing(self.key, Clock::recent_wall())?;
        Some(marks(snapshot, principal.grant, self.door(snapshot)?, self.listen))
    }

    /// The notices of all lists whose marks differ from these.
    fn notices(&self, shard: &Shard, before: Marks) -> Vec<u8> {
        let changed = Change::ALL.into_iter().filter(|change| before[*change as usize] != self.seen[*change as usize]);
        let id = self.subscription.as_deref();
        let lists = changed.flat_map(|change| framed(&change.notice(id)));
        let (in_force, news) = (shard.in_force(), self.open.news());
        let told = news.iter().filter_map(|(topic, said)| match &topic.subject {
            Subject::Resource(uri) => {
                let uri = self.known_as(&in_force.snapshot, (&topic.server, uri))?;
                Some(subscribe::updated(&uri, id))
            }
            Subject::Task(_) => self.task_notice(&in_force.snapshot, topic, said.as_deref()?),
        });
        let visits = self.open.visits();
        let visits = visits.iter().filter(|visit| self.admits(&in_force.snapshot, &visit.server));
        let told = told.chain(visits.map(|visit| visited(&visit.params)));
        lists.chain(told.flat_map(|message| framed(&message))).collect()
    }

    /// Whether its key may use a server of this name.
    fn admits(&self, now: &Snapshot, server: &str) -> bool {
        let principal = now.keys.standing(self.key, Clock::recent_wall());
        let admitted = |id| principal.is_some_and(|principal| now.grant(principal.grant).admits(id));
        now.catalog.server_id(server).is_some_and(admitted)
    }

    /// Word of a task, where its key may still use the server, and the server asks nothing of its client that it may
    /// not ask.
    fn task_notice(&self, now: &Snapshot, topic: &Topic, said: &[u8]) -> Option<Vec<u8>> {
        let id = self.tasks.get(topic)?;
        let (_, spec) = now.server_by_name(&topic.server)?;
        let is_granted = self.admits(now, &topic.server);
        let is_permitted = Task::read(said).is_ok_and(|task| task.is_permitted(self.caps.allowed_by(spec.asks)));
        let subscription = self.subscription.as_deref().filter(|_| is_granted && is_permitted)?;
        Some(task::notification(said, id, subscription))
    }

    /// The URI by which the client knows a resource, where it still may read it.
    fn known_as(&self, now: &Snapshot, (server, own): (&str, &str)) -> Option<String> {
        let (catalog, door) = (&now.catalog, self.door(now)?);
        let principal = now.keys.standing(self.key, Clock::recent_wall())?;
        let server = catalog.server_id(server)?;
        let uri = catalog.listed_uri(door, server, own);
        let owned = catalog.resolve_resource(door, &uri, now.grant(principal.grant))?;
        (owned.server == server && owned.uri == own).then(|| uri.clone().into_owned())
    }

    /// Writes what was said in the session over HTTP+SSE that it is, and why it cannot go on, if it cannot.
    fn speak<S: Stream>(&self, conn: &ServerConn<S>) -> Option<Wake> {
        let session = &self.spoken.as_ref()?.session;
        while let Some(message) = session.next() {
            match conn.try_write_stream(&framed(&message)) {
                Ok(rest) if rest.is_empty() => {}
                Ok(rest) => {
                    // What was said meanwhile follows once that is written.
                    self.open.look();
                    return Some(Wake::Behind(rest));
                }
                Err(_) => return Some(Wake::Gone),
            }
        }
        None
    }

    /// Whether an answer is still to come on it.
    fn owes(&self) -> bool {
        self.spoken.as_ref().is_some_and(|spoken| spoken.session.owes())
    }

    /// Its door in this snapshot; nothing where its server is gone.
    fn door(&self, now: &Snapshot) -> Option<Door> {
        match &self.server {
            None => Some(Door::All),
            Some(name) => now.catalog.server_id(name).map(Door::Server),
        }
    }
}

fn marks(snapshot: &Snapshot, grant: GrantId, door: Door, listen: Listen) -> Marks {
    Change::ALL.map(|change| {
        let lists = if listen.wants(change) { change.lists() } else { &[] };
        lists.iter().fold(0, |mark: u64, kind| {
            let digest = snapshot.view(grant, door, *kind).digest;
            mark.rotate_left(1) ^ digest.first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
        })
    })
}
