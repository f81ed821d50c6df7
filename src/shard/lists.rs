//! Answers to the requests of lists: bytes rendered once per snapshot, the id spliced in, nothing copied.

use crate::base::clock::Clock;
use crate::base::error::Result;
use crate::base::phase::Phase;
use crate::catalog::{ListKind, View};
use crate::mcp::list::{self, Listed};
use crate::mcp::meta::Params;
use crate::mcp::refusal::Refusal;
use crate::mcp::revision::Era;
use crate::rt::stream::Stream;
use crate::shard::exchange::Exchange;
use crate::shard::refuse;
use crate::wire::http::{Body, ServerConn};
use bytes::Bytes;
use std::sync::Arc;

/// The request of a list, as a door understood it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The era to answer in.
    pub(crate) era: Era,
    /// Which list.
    pub(crate) kind: ListKind,
    /// The raw id.
    pub(crate) id: &'a [u8],
    /// Its `params`; the cursor is in them.
    pub(crate) params: &'a Params<'a>,
    /// How long a modern client may keep the answer, in milliseconds.
    pub(crate) ttl_ms: u64,
}

/// Answers with the page asked for of what the principal sees at its door.
pub(crate) async fn respond_list<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    asked: Asked<'_>,
) -> Result<()> {
    let parts = match answer(exchange, asked) {
        Ok(parts) => Vec::from(parts),
        Err(error) => {
            return refuse::refusal(&exchange.shard, conn, &Refusal::in_band(error, Some(asked.id))).await;
        }
    };
    exchange.stamps.end(Phase::Decide);
    let metrics = exchange.shard.metrics.clone();
    metrics.lists.inc();
    metrics.bytes_out.add(parts.iter().map(|part: &Bytes| part.len() as u64).sum());
    let written = conn.respond(200, &[("content-type", "application/json")], Body::Parts(parts)).await;
    exchange.stamps.end(Phase::Write);
    metrics.record_phases(&exchange.stamps);
    written
}

/// The answer in parts: what stands before the array, the array as it was rendered, and what stands behind it.
///
/// # Errors
/// `Kind::InvalidParams` for a cursor that is not good here.
pub(crate) fn answer(exchange: &Exchange, asked: Asked<'_>) -> Result<[Bytes; 3]> {
    let Asked { era, kind, id, params, ttl_ms } = asked;
    let (shard, view) = (&exchange.shard, view(exchange, kind));
    let listed = Listed { key: &exchange.principal.key, kind, view: &view };
    let at = listed.page(&shard.sealing, params, Clock::recent_wall())?;
    let page = &view.pages[at as usize];
    let array = match era {
        Era::Modern => page.array.clone(),
        Era::Legacy => page.legacy_array.clone(),
    };
    let more = at as usize + 1 < view.pages.len();
    let next = more.then(|| listed.cursor(&shard.sealing, at + 1, Clock::recent_wall()));
    let around = list::around(&shard.model, era, kind, id, (ttl_ms, next.as_deref()));
    Ok([around.head.into(), array, around.tail.into()])
}

/// The list that the principal sees; fewer tools where the request asked for fewer.
fn view(exchange: &Exchange, kind: ListKind) -> Arc<View> {
    let (snapshot, door) = (exchange.snapshot(), exchange.door);
    match &exchange.narrowing {
        Some(narrowing) if kind == ListKind::Tools => {
            let grant = exchange.grant().narrow(narrowing, &snapshot.catalog, door);
            View::render(&snapshot.catalog, &grant, door, kind).into()
        }
        _ => snapshot.view(exchange.principal.grant, door, kind),
    }
}
