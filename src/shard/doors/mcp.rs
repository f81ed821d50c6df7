//! POST at an MCP door: read the body once, say what it is, hand it to its era.

use crate::base::buf::Piece;
use crate::base::error::Result;
use crate::base::phase::Phase;
use crate::mcp::inbound::{self, Headers, Inbound};
use crate::mcp::refusal::Refusal;
use crate::rt::stream::Stream;
use crate::shard::doors::stream::After;
use crate::shard::doors::{legacy, modern};
use crate::shard::exchange::Exchange;
use crate::shard::refuse;
use crate::wire::http::{Body, Header, RequestHead, ServerConn};
use crate::wire::rpc;

/// Answers a POST of a principal that is known.
pub(crate) async fn post<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    head: &RequestHead,
) -> Result<After> {
    let body = match conn.read_body().await {
        Ok(body) => Piece::from(body),
        Err(error) => {
            exchange.shard.metrics.requests_refused.inc();
            conn.refuse(&error).await;
            return Ok(After::Done);
        }
    };
    exchange.shard.metrics.bytes_in.add(body.len() as u64);
    let inbound = inbound(&body, head);
    exchange.stamps.end(Phase::Decode);
    let answered = match inbound {
        Ok(Inbound::Modern(ref request)) => return modern::answer(exchange, conn, head, request).await,
        // Boxed: its batches and sessions need more room than the modern era, whose every call would carry it.
        Ok(Inbound::Session { session, message }) => {
            Box::pin(legacy::post(exchange, conn, head, session, message)).await
        }
        Ok(Inbound::Initialize(ref initialize)) => Box::pin(legacy::initialize(exchange, conn, initialize)).await,
        Ok(Inbound::Accepted) => conn.respond(202, &[], Body::Empty).await,
        Err(ref refusal) => refuse::refusal(&exchange.shard, conn, refusal).await,
    };
    answered.map(|()| After::Done)
}

/// What a body is, under its head.
fn inbound<'a>(body: &'a [u8], head: &'a RequestHead) -> std::result::Result<Inbound<'a>, Refusal> {
    inbound::classify(&headers(head), rpc::parse(body)?)
}

/// The headers that say something about a message.
pub(crate) fn headers(head: &RequestHead) -> Headers<'_> {
    Headers {
        protocol_version: head.find(Header::McpVersion).into(),
        method: head.find(Header::McpMethod).into(),
        name: head.find(Header::McpName).into(),
        session: head.find(Header::McpSession).into(),
    }
}
