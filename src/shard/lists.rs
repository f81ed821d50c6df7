//! Answers to `tools/list`: bytes rendered once per snapshot, the id spliced in, nothing copied.

use crate::base::error::Result;
use crate::base::phase::Phase;
use crate::catalog::View;
use crate::mcp::list;
use crate::mcp::revision::Era;
use crate::rt::stream::Stream;
use crate::shard::exchange::Exchange;
use crate::wire::http::{Body, ServerConn};
use bytes::Bytes;

/// Answers with the list that the principal sees at its door.
pub(crate) async fn respond_list<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    era: Era,
    id: &[u8],
    ttl_ms: u64,
) -> Result<()> {
    let array = array(exchange, era);
    exchange.stamps.end(Phase::Decide);
    let around = list::around(&exchange.shard.model, era, id, ttl_ms);
    let parts = vec![around.head.into(), array, around.tail.into()];
    let metrics = exchange.shard.metrics.clone();
    metrics.lists.inc();
    metrics.bytes_out.add(parts.iter().map(|part: &Bytes| part.len() as u64).sum());
    let written = conn.respond(200, &[("content-type", "application/json")], Body::Parts(parts)).await;
    exchange.stamps.end(Phase::Write);
    metrics.record_phases(&exchange.stamps);
    written
}

/// The raw array of tools for an era.
pub(crate) fn array(exchange: &Exchange, era: Era) -> Bytes {
    let (snapshot, door) = (exchange.snapshot(), exchange.door);
    match &exchange.narrowing {
        None => of_era(&snapshot.view(exchange.principal.grant, door), era),
        Some(narrowing) => {
            let grant = exchange.grant().narrow(narrowing, &snapshot.catalog, door);
            of_era(&View::render(&snapshot.catalog, &grant, door), era)
        }
    }
}

fn of_era(view: &View, era: Era) -> Bytes {
    match era {
        Era::Modern => view.array.clone(),
        Era::Legacy => view.legacy_array.clone(),
    }
}
