//! An event stream that stays open while it is silent: what is kept of it, when it speaks, and when it ends.
//!
//! It holds nothing of the request that opened it: neither its head and body nor the snapshot it was answered under. A
//! session's stream whose client is gone is kept for a while without a connection, for the client may come back.

use crate::base::clock::Clock;
use crate::base::error::Result;
use crate::base::ids::{GrantId, KeyId};
use crate::catalog::Door;
use crate::config::Snapshot;
use crate::mcp::caps::ClientCaps;
use crate::mcp::subscribe::{self, Change, Listen};
use crate::mcp::task::{self, Task};
use crate::rt::stream::Stream;
use crate::rt::task::spawn;
use crate::shard::Shard;
use crate::shard::doors::notices::visited;
use crate::shard::entrance::Entrance;
use crate::shard::event_sessions::Registered;
use crate::shard::interests::Topic;
use crate::shard::relay::framed;
use crate::shard::session::SessionKey;
use crate::shard::streams::{Call, OpenStream};
use crate::shard::teller::Teller;
use crate::upstream::watched::Subject;
use crate::wire::http::ServerConn;
use futures_util::future::{Either, select};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

/// A comment line: it keeps proxies from closing a silent stream. No empty line follows, for some clients take a block
/// with nothing but a comment in it for an event, once they have seen the id of one.
pub(super) const BEAT: &[u8] = b": beat\n";

/// An open stream: all that is kept for it while it is silent.
pub(crate) struct Held {
    open: OpenStream,
    kept: Kept,
    /// The lists that its client knows, or was told to forget.
    seen: Marks,
}

/// What is kept of how a stream began.
pub(crate) struct Kept {
    /// Whose it is.
    pub(crate) key: KeyId,
    /// Where it was opened.
    pub(crate) entrance: Entrance<Box<str>>,
    /// The legacy session it belongs to, where it belongs to one.
    pub(crate) session: Option<SessionKey>,
    /// The raw id of the listen request it answers, where it answers one.
    pub(crate) subscription: Option<Box<[u8]>>,
    /// The changes it tells of.
    pub(crate) listen: Listen,
    /// The tasks it tells of, with the ids by which the client knows them.
    pub(crate) tasks: BTreeMap<Topic, Box<str>>,
    /// What its client can do.
    pub(crate) caps: ClientCaps,
    /// Who else speaks on it, and how.
    pub(crate) voice: Voice,
}

/// Who speaks on a stream beside the gate itself, and how.
#[derive(Default)]
pub(crate) enum Voice {
    /// Nobody.
    #[default]
    Plain,
    /// The session over HTTP+SSE that it is.
    Spoken(Registered),
    /// Nobody, but what is said is kept for a client that comes back.
    Kept(Teller),
}

/// A mark of each list that may change: another mark, another list. Zero where no change of it is told.
type Marks = [u64; Change::ALL.len()];

/// Why a stream woke.
enum Wake {
    /// Its client is gone, or has come back on another connection.
    Gone,
    /// The gate ends it.
    Ended,
    /// Its client reads slowly: these bytes still have to be written.
    Behind(Vec<u8>),
}

/// Keeps a stream open until the client goes, its key or session is no longer valid, or the shard drains.
pub(crate) async fn keep<S: Stream>(shard: &Rc<Shard>, conn: &mut ServerConn<S>, mut held: Box<Held>) -> Result<()> {
    conn.rest();
    loop {
        match hear(shard, conn, &mut held).await {
            Wake::Gone => {
                linger(shard, held);
                return Ok(());
            }
            Wake::Ended => break,
            // On the heap, as what follows: an idle stream keeps no room for writes that must wait.
            Wake::Behind(rest) => {
                if let Err(error) = Box::pin(conn.write_framed(rest)).await {
                    linger(shard, held);
                    return Err(error);
                }
            }
        }
    }
    Box::pin(async {
        if let Some(last) = held.last_words(shard) {
            conn.write_stream(last).await?;
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
        if held.is_taken() {
            return Wake::Gone;
        }
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

/// Keeps a stream whose client is gone, if that may come back to it: it hears of changes as before, and says them once
/// somebody listens. It counts no longer against the bounds of open streams, but against those of kept ones.
fn linger(shard: &Rc<Shard>, mut held: Box<Held>) {
    let Voice::Kept(teller) = &held.kept.voice else { return };
    if shard.is_draining() || !teller.stream().is_known() {
        return;
    }
    teller.leave();
    held.open.uncount();
    let shard = shard.clone();
    drop(spawn(async move {
        while held.is_kept(&shard).await {
            let Some(now) = held.marks(&shard) else { return };
            let Voice::Kept(teller) = &held.kept.voice else { return };
            if !teller.stream().is_heard() {
                continue;
            }
            let before = std::mem::replace(&mut held.seen, now);
            held.notices(&shard, before);
        }
    }));
}

impl Held {
    /// A stream whose client knows the lists as they were here; nothing where it may have missed any change of them.
    pub(crate) fn new(open: OpenStream, kept: Kept, known: Option<(&Snapshot, GrantId, Door)>) -> Self {
        let seen = known.map(|(snapshot, grant, door)| marks(snapshot, grant, door, kept.listen));
        Self { open, kept, seen: seen.unwrap_or_default() }
    }

    /// Waits until it is called on; says whether it is still kept then.
    async fn is_kept(&self, shard: &Shard) -> bool {
        let Voice::Kept(teller) = &self.kept.voice else { return false };
        let closed = pin!(teller.stream().closed());
        matches!(select(pin!(self.open.called()), closed).await, Either::Left(_)) && !shard.is_draining()
    }

    /// Whether its client has come back on another connection.
    fn is_taken(&self) -> bool {
        matches!(&self.kept.voice, Voice::Kept(teller) if teller.stream().is_taken())
    }

    /// What the key sees now; nothing once the key is no longer valid, the session has ended, or server or group is
    /// gone.
    fn marks(&self, shard: &Shard) -> Option<Marks> {
        if self.kept.session.is_some_and(|session| shard.ended.has(&session)) {
            return None;
        }
        let in_force = shard.in_force();
        let snapshot = &in_force.snapshot;
        let (grant, door) = self.entered(snapshot)?;
        Some(marks(snapshot, grant, door, self.kept.listen))
    }

    /// The notices of all lists whose marks differ from these.
    fn notices(&self, shard: &Shard, before: Marks) -> Vec<u8> {
        let changed = Change::ALL.into_iter().filter(|change| before[*change as usize] != self.seen[*change as usize]);
        let id = self.kept.subscription.as_deref();
        let lists = changed.map(|change| change.notice(id));
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
        let mut out = Vec::new();
        lists.chain(told).for_each(|json| self.kept.voice.frame(&mut out, &json));
        out
    }

    /// Whether its key may use a server of this name.
    fn admits(&self, now: &Snapshot, server: &str) -> bool {
        let entered = self.entered(now);
        let admitted = |id| entered.is_some_and(|(grant, _)| now.grant(grant).admits(id));
        now.catalog.server_id(server).is_some_and(admitted)
    }

    /// Word of a task, where its key may still use the server, and the server asks nothing of its client that it may
    /// not ask.
    fn task_notice(&self, now: &Snapshot, topic: &Topic, said: &[u8]) -> Option<Vec<u8>> {
        let id = self.kept.tasks.get(topic)?;
        let (_, spec) = now.server_by_name(&topic.server)?;
        let is_granted = self.admits(now, &topic.server);
        let is_permitted = Task::read(said).is_ok_and(|task| task.is_permitted(self.kept.caps.allowed_by(spec.asks)));
        let subscription = self.kept.subscription.as_deref().filter(|_| is_granted && is_permitted)?;
        Some(task::notification(said, id, subscription))
    }

    /// The URI by which the client knows a resource, where it still may read it.
    fn known_as(&self, now: &Snapshot, (server, own): (&str, &str)) -> Option<String> {
        let (catalog, (grant, door)) = (&now.catalog, self.entered(now)?);
        let server = catalog.server_id(server)?;
        let uri = catalog.listed_uri(door, server, own);
        let owned = catalog.resolve_resource(door, &uri, now.grant(grant))?;
        (owned.server == server && owned.uri == own).then(|| uri.clone().into_owned())
    }

    /// Writes what was said in the session over HTTP+SSE that it is, and why it cannot go on, if it cannot.
    fn speak<S: Stream>(&self, conn: &ServerConn<S>) -> Option<Wake> {
        let session = self.spoken()?;
        while let Some(message) = session.session.next() {
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

    /// What is said where the gate ends it.
    fn last_words(&self, shard: &Shard) -> Option<Vec<u8>> {
        match (&self.kept.subscription, &self.kept.voice) {
            (Some(id), _) => Some(framed(&subscribe::ended(id))),
            (None, Voice::Kept(teller)) if shard.is_draining() => teller.closing(),
            (None, _) => None,
        }
    }

    fn spoken(&self) -> Option<&Registered> {
        match &self.kept.voice {
            Voice::Spoken(session) => Some(session),
            Voice::Plain | Voice::Kept(_) => None,
        }
    }

    /// Whether an answer is still to come on it.
    fn owes(&self) -> bool {
        self.spoken().is_some_and(|spoken| spoken.session.owes())
    }

    /// What its key sees in this snapshot, and at which door; nothing where it may not be there any more.
    fn entered(&self, now: &Snapshot) -> Option<(GrantId, Door)> {
        let principal = now.keys.standing(self.kept.key, Clock::recent_wall())?;
        self.kept.entrance.now(now, principal.grant)
    }
}

impl Voice {
    /// Its stream stands here among those of its shard.
    pub(super) fn stand_at(&self, place: usize) {
        match self {
            Self::Plain => {}
            Self::Spoken(session) => session.session.stand_at(place),
            Self::Kept(teller) => teller.stream().stand_at(place),
        }
    }

    /// Appends a message as an event.
    fn frame(&self, out: &mut Vec<u8>, json: &[u8]) {
        match self {
            Self::Plain | Self::Spoken(_) => out.extend_from_slice(&framed(json)),
            Self::Kept(teller) => out.extend_from_slice(&teller.say(json)),
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
