//! Event streams that stay open: the GET stream of a legacy session and the answer to `subscriptions/listen`. Both tell
//! a client that its own list of tools changed, and nothing else.

use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result};
use crate::catalog::Door;
use crate::config::Snapshot;
use crate::mcp::refusal::Refusal;
use crate::mcp::subscribe;
use crate::rt::stream::Stream;
use crate::rt::time;
use crate::shard::exchange::Exchange;
use crate::shard::refuse;
use crate::shard::relay::{SSE_HEADERS, accepts_events, framed};
use crate::shard::session::SessionKey;
use crate::wire::http::{RequestHead, ServerConn};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

/// Time between comment lines that keep proxies from closing a silent stream.
const BEAT: Duration = Duration::from_secs(15);
/// Time in which further changes become part of the first one's notice: a server that flaps causes no storm.
const COALESCE: Duration = Duration::from_millis(50);

/// What one stream says.
pub(crate) struct Script<'a> {
    /// The raw id of the request it answers, where it answers one.
    pub(crate) id: Option<&'a [u8]>,
    /// The legacy session it belongs to, where it belongs to one.
    pub(crate) session: Option<SessionKey>,
    /// Its first message, if there is one.
    pub(crate) first: Option<Vec<u8>>,
    /// The notice that the list changed; nothing if the client did not ask for it.
    pub(crate) changed: Option<Vec<u8>>,
    /// Its last message when the gate ends it.
    pub(crate) farewell: Option<Vec<u8>>,
}

/// Why a stream woke.
enum Wake {
    Gone,
    Beat,
    Look,
}

/// GET: the stream of a legacy session on which messages come that belong to no request (2025-11-25 transports).
pub(crate) async fn get<S: Stream>(exchange: Exchange, conn: &mut ServerConn<S>, head: &RequestHead) -> Result<()> {
    let shard = exchange.shard.clone();
    if !accepts_events(head) {
        let error = Error::new(Kind::MethodNotAllowed, "GET opens an event stream: send \"Accept: text/event-stream\"");
        return refuse::plain(&shard, conn, &error).await;
    }
    let session = match super::legacy::session_of(&exchange, head) {
        Ok(session) => Some(session.id),
        Err(refusal) => return refuse::refusal(&shard, conn, &refusal).await,
    };
    let changed = Some(subscribe::LEGACY_TOOLS_CHANGED.to_vec());
    let script = Script { id: None, session, first: None, changed, farewell: None };
    hold(exchange, conn, script).await
}

/// Keeps a stream open until the client goes, its key or session is no longer valid, or the shard drains.
pub(crate) async fn hold<S: Stream>(exchange: Exchange, conn: &mut ServerConn<S>, script: Script<'_>) -> Result<()> {
    let shard = exchange.shard.clone();
    let _open = match shard.streams.open(exchange.principal.key) {
        Ok(open) => open,
        Err(error) => return refuse::refusal(&shard, conn, &Refusal::new(error, script.id)).await,
    };
    shard.metrics.streams_open.inc();
    let held = tell(&exchange, conn, &script).await;
    shard.metrics.streams_open.dec();
    held
}

async fn tell<S: Stream>(exchange: &Exchange, conn: &mut ServerConn<S>, script: &Script<'_>) -> Result<()> {
    conn.start_stream(200, SSE_HEADERS).await?;
    if let Some(first) = &script.first {
        conn.write_stream(framed(first)).await?;
    }
    let mut epoch = exchange.snapshot().epoch;
    let mut seen = exchange.snapshot().view(exchange.principal.grant, exchange.door).digest;
    loop {
        // What happened while this was busy with something else woke nobody.
        let missed = exchange.shard.is_draining() || exchange.shard.in_force().snapshot.epoch != epoch;
        match if missed { Wake::Look } else { wait(exchange, conn).await } {
            Wake::Gone => return Ok(()),
            Wake::Beat if !stands(exchange, script) => break,
            Wake::Beat => conn.write_stream(b": beat\n\n".to_vec()).await?,
            Wake::Look if exchange.shard.is_draining() => break,
            Wake::Look => {
                time::sleep(COALESCE).await;
                epoch = exchange.shard.in_force().snapshot.epoch;
                let Some(now) = digest(exchange) else { break };
                if let (true, Some(changed)) = (now != seen, &script.changed) {
                    conn.write_stream(framed(changed)).await?;
                }
                seen = now;
            }
        }
    }
    if let Some(farewell) = &script.farewell {
        conn.write_stream(framed(farewell)).await?;
    }
    conn.finish_stream().await
}

async fn wait<S: Stream>(exchange: &Exchange, conn: &ServerConn<S>) -> Wake {
    let (woken, beat) = (pin!(exchange.shard.streams.woken()), pin!(time::sleep(BEAT)));
    match select(select(woken, beat), pin!(conn.peer_gone())).await {
        Either::Left((Either::Left(_), _)) => Wake::Look,
        Either::Left((Either::Right(_), _)) => Wake::Beat,
        Either::Right(_) => Wake::Gone,
    }
}

/// Whether key and session are still good: time ends them without a word.
fn stands(exchange: &Exchange, script: &Script<'_>) -> bool {
    let ended = script.session.is_some_and(|session| exchange.shard.ended.has(&session));
    !ended && digest(exchange).is_some()
}

/// What the key sees now; nothing once it is no longer valid or its server is gone.
fn digest(exchange: &Exchange) -> Option<[u8; 32]> {
    let in_force = exchange.shard.in_force();
    let snapshot = &in_force.snapshot;
    let principal = snapshot.keys.standing(exchange.principal.key, Clock::wall())?;
    let door = same_door(exchange, snapshot)?;
    Some(snapshot.view(principal.grant, door).digest)
}

/// The exchange's door in a later snapshot; nothing where its server is gone.
fn same_door(exchange: &Exchange, now: &Snapshot) -> Option<Door> {
    match exchange.door {
        Door::All => Some(Door::All),
        Door::Server(id) => now.catalog.server_id(exchange.catalog().server_name(id)).map(Door::Server),
    }
}
