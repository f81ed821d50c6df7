//! Event streams that stay open: the GET stream of a legacy session and the answer to `subscriptions/listen`. Both tell
//! a client that one of its own lists changed, or a resource or task it asked about, and nothing else.
//!
//! A stream may be open for days and thousands of them at once. So a door only begins it; `held.rs` keeps it open.

use crate::base::error::{Error, Kind, Result};
use crate::mcp::caps::ClientCaps;
use crate::mcp::refusal::Refusal;
use crate::mcp::session::Session;
use crate::mcp::subscribe::Listen;
use crate::rt::stream::Stream;
use crate::shard::doors::held::{Held, Kept, Voice};
use crate::shard::doors::resume::{self, Reading};
use crate::shard::entrance::Entrance;
use crate::shard::exchange::Exchange;
use crate::shard::interests::Topic;
use crate::shard::relay::{SSE_HEADERS, framed};
use crate::shard::session::SessionKey;
use crate::shard::streams::OpenStream;
use crate::shard::teller::Teller;
use crate::shard::{Shard, refuse};
use crate::upstream::watched::Subject;
use crate::wire::http::{Found, Header, RequestHead, ServerConn};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};

/// What is left to do on a connection once a door has answered.
pub(crate) enum After {
    /// Nothing: the next request may come.
    Done,
    /// To keep the event stream open that the answer has begun.
    Stream(Box<Held>),
    /// To go on with a stream that its client has come back to.
    Resumed(Box<Reading>),
}

/// What one stream says.
#[derive(Default)]
pub(crate) struct Script<'a> {
    /// The raw id of the listen request it answers, where it answers one.
    pub(crate) subscription: Option<&'a [u8]>,
    /// The legacy session it belongs to, where it belongs to one.
    pub(crate) session: Option<SessionKey>,
    /// Its first event, as it is written, if there is one that is known before the servers have spoken.
    pub(crate) first: Option<Vec<u8>>,
    /// The changes it tells of.
    pub(crate) listen: Listen,
    /// The resources and tasks that it tells of.
    pub(crate) topics: BTreeSet<Topic>,
    /// What of these a listen request has named, in the client's words.
    pub(crate) named: Vec<(Topic, &'a str)>,
    /// What its client can do.
    pub(crate) caps: ClientCaps,
    /// Who else speaks on it, and how.
    pub(crate) voice: Voice,
    /// Whether its client may have missed anything of what it tells of.
    pub(crate) missed: bool,
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

/// GET: the stream of a legacy session on which messages come that belong to no request (2025-11-25 transports).
pub(crate) async fn get<S: Stream>(exchange: &Exchange, conn: &mut ServerConn<S>, head: &RequestHead) -> Result<After> {
    let shard = &exchange.shard;
    if !head.accepts_events() {
        let error = Error::new(Kind::MethodNotAllowed, "GET opens an event stream: send \"Accept: text/event-stream\"");
        return refuse::plain(shard, conn, &error).await.map(|()| After::Done);
    }
    let session = match super::legacy::session_of(exchange, head) {
        Ok(session) => session,
        Err(refusal) => return refuse::refusal(shard, conn, &refusal).await.map(|()| After::Done),
    };
    match head.find(Header::LastEventId) {
        Found::Absent => begin_get(exchange, conn, &session, false).await,
        Found::One(id) => resume::begin(exchange, conn, &session, id).await,
        Found::Repeated => resume::refuse_id(exchange, conn).await,
    }
}

/// Begins a GET stream; `missed` where the client comes back to one that nothing is known of any more.
pub(super) async fn begin_get<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    session: &Session,
    missed: bool,
) -> Result<After> {
    let teller = Teller::new(&exchange.shard, session, None);
    let script = Script {
        session: Some(session.id),
        first: teller.first(),
        listen: Listen::ALL,
        topics: exchange.shard.interests.of(&session.id),
        voice: Voice::Kept(teller),
        missed,
        ..Script::default()
    };
    begin(exchange, conn, script).await
}

/// Begins a stream: its head, and its first event.
pub(crate) async fn begin<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    mut script: Script<'_>,
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
    script.voice.stand_at(open.place());
    if script.missed {
        open.miss();
    }
    if script.subscription.is_some() {
        settle(exchange, &script.topics).await;
    }
    let acknowledged = script.acknowledged(shard).as_deref().map(framed);
    conn.start_stream(200, SSE_HEADERS).await?;
    if let Some(first) = script.first.take().or(acknowledged) {
        conn.write_stream(first).await?;
    }
    // What happened since the request came, or before the stream was entered, called on nobody.
    open.look();
    let entrance = Entrance::of(exchange);
    let (tasks, subscription) = (script.tasks(), script.subscription.map(Box::from));
    let Script { session, listen, caps, voice, missed, .. } = script;
    let kept = Kept { key, entrance, session, subscription, listen, tasks, caps, voice };
    let known = (!missed).then(|| (exchange.snapshot(), exchange.principal.grant, exchange.door));
    Ok(After::Stream(Box::new(Held::new(open, kept, known))))
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
