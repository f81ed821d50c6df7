//! Refusals: an error as the JSON-RPC body and HTTP status that the client is told.

use crate::base::error::{Error, Result};
use crate::mcp::refusal::Refusal;
use crate::rt::stream::Stream;
use crate::shard::Shard;
use crate::shard::dispatch::MCP_METHODS;
use crate::wire::http::{Body, ServerConn};
use crate::wire::rpc;

/// Answers a request that got no further than its head: no JSON-RPC id is known.
pub(crate) async fn plain<S: Stream>(shard: &Shard, conn: &mut ServerConn<S>, error: &Error) -> Result<()> {
    answer(shard, conn, error.kind.http_status(), rpc::error_body(None, error)).await
}

/// Answers a message that was refused as MCP says.
pub(crate) async fn refusal<S: Stream>(shard: &Shard, conn: &mut ServerConn<S>, refusal: &Refusal) -> Result<()> {
    answer(shard, conn, refusal.status, refusal.body()).await
}

async fn answer<S: Stream>(shard: &Shard, conn: &mut ServerConn<S>, status: u16, body: Vec<u8>) -> Result<()> {
    shard.metrics.requests_refused.inc();
    let json = ("content-type", "application/json");
    let body = Body::Vec(body);
    match status {
        401 => conn.respond(401, &[json, ("www-authenticate", "Bearer")], body).await,
        405 => conn.respond(405, &[json, ("allow", MCP_METHODS)], body).await,
        503 => conn.respond(503, &[json, ("retry-after", "1")], body).await,
        _ => conn.respond(status, &[json], body).await,
    }
}
