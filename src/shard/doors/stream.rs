//! Event streams that stay open: the GET stream of a legacy session and the answer to `subscriptions/listen`. Both tell
//! a client that its own list of tools changed, and nothing else.
//!
//! A stream may be open for days and thousands of them at once. So a door only begins it; what keeps it open holds
//! nothing of the request: neither its head and body nor the snapshot it was answered under.

use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::KeyId;
use crate::catalog::Door;
use crate::config::Snapshot;
use crate::mcp::refusal::Refusal;
use crate::mcp::subscribe;
use crate::rt::stream::Stream;
use crate::shard::exchange::Exchange;
use crate::shard::relay::{SSE_HEADERS, framed};
use crate::shard::session::SessionKey;
use crate::shard::streams::{Call, OpenStream};
use crate::shard::{Shard, refuse};
use crate::wire::http::{RequestHead, ServerConn};
use futures_util::future::{Either, select};
use std::borrow::Cow;
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
pub(crate) struct Script<'a> {
    /// The raw id of the request it answers, where it answers one.
    pub(crate) id: Option<&'a [u8]>,
    /// The legacy session it belongs to, where it belongs to one.
    pub(crate) session: Option<SessionKey>,
    /// Its first message, if there is one.
    pub(crate) first: Option<Vec<u8>>,
    /// The notice that the list changed; nothing if the client did not ask for it.
    pub(crate) changed: Option<Cow<'static, [u8]>>,
    /// Its last message when the gate ends it.
    pub(crate) farewell: Option<Vec<u8>>,
}

/// An open stream: all that is kept for it while it is silent.
pub(crate) struct Held {
    open: OpenStream,
    key: KeyId,
    /// The server at whose door it was opened; nothing for the door of all.
    server: Option<Box<str>>,
    session: Option<SessionKey>,
    changed: Option<Cow<'static, [u8]>>,
    farewell: Option<Box<[u8]>>,
    /// The digest of the list that its client knows, or was told to forget.
    seen: [u8; 32],
}

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
    let changed = Some(Cow::Borrowed(subscribe::LEGACY_TOOLS_CHANGED));
    let script = Script { id: None, session, first: None, changed, farewell: None };
    begin(exchange, conn, script).await
}

/// Begins a stream: its head, and its first message.
pub(crate) async fn begin<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    script: Script<'_>,
) -> Result<After> {
    let (shard, key) = (&exchange.shard, exchange.principal.key);
    let open = match OpenStream::new(shard, key, script.session) {
        Ok(open) => open,
        Err(error) => {
            let refusal = Refusal::new(error, script.id);
            return refuse::refusal(shard, conn, &refusal).await.map(|()| After::Done);
        }
    };
    conn.start_stream(200, SSE_HEADERS).await?;
    if let Some(first) = &script.first {
        conn.write_stream(framed(first)).await?;
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
        changed: script.changed,
        farewell: script.farewell.map(Vec::into_boxed_slice),
        seen: exchange.snapshot().view(exchange.principal.grant, exchange.door).digest,
    })))
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
        if let Some(farewell) = &held.farewell {
            conn.write_stream(framed(farewell)).await?;
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
        let now = if shard.is_draining() { None } else { held.digest(shard) };
        let Some(now) = now else { return Wake::Ended };
        let is_news = std::mem::replace(&mut held.seen, now) != now;
        let said = match (&held.changed, call) {
            (Some(changed), _) if is_news => conn.try_write_stream(&framed(changed)),
            (_, Call::Beat) => conn.try_write_stream(BEAT),
            (_, Call::Look) => continue,
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
    fn digest(&self, shard: &Shard) -> Option<[u8; 32]> {
        if self.session.is_some_and(|session| shard.ended.has(&session)) {
            return None;
        }
        let in_force = shard.in_force();
        let snapshot = &in_force.snapshot;
        let principal = snapshot.keys.standing(self.key, Clock::recent_wall())?;
        Some(snapshot.view(principal.grant, self.door(snapshot)?).digest)
    }

    /// Its door in this snapshot; nothing where its server is gone.
    fn door(&self, now: &Snapshot) -> Option<Door> {
        match &self.server {
            None => Some(Door::All),
            Some(name) => now.catalog.server_id(name).map(Door::Server),
        }
    }
}
