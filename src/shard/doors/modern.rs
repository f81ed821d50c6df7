//! The modern era: every request stands for itself (2026-07-28).

use crate::audit;
use crate::base::error::{Error, Result};
use crate::base::limits::LIST_TTL_MS;
use crate::mcp::bridge::Bridge;
use crate::mcp::call::CallParams;
use crate::mcp::inbound::{ModernMethod, ModernRequest};
use crate::mcp::list;
use crate::mcp::meta::cut;
use crate::mcp::progress::Notices;
use crate::mcp::refusal::Refusal;
use crate::mcp::revision::Era;
use crate::mcp::subscribe::{self, Listen};
use crate::rt::local::Notify;
use crate::rt::stream::Stream;
use crate::shard::call::{self, Call, Caller};
use crate::shard::doors::notices::{call_meta, check_mirrored, era_of, finish, tell, trace_of};
use crate::shard::doors::stream::{self, After, Script};
use crate::shard::exchange::Exchange;
use crate::shard::lists::respond_list;
use crate::shard::refuse;
use crate::shard::relay::{self, Way};
use crate::wire::http::{RequestHead, ServerConn};
use std::pin::pin;

/// Answers a request whose headers agree with its body.
pub(crate) async fn answer<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    head: &RequestHead,
    request: &ModernRequest<'_>,
) -> Result<After> {
    let answered = match request.method {
        ModernMethod::Discover => {
            let body = exchange.shard.model.discover(request.id);
            relay::finish(conn, false, 200, body).await
        }
        ModernMethod::ToolsList => Box::pin(tools_list(exchange, conn, request)).await,
        ModernMethod::ToolsCall => tools_call(exchange, conn, head, request).await,
        ModernMethod::Listen => return Box::pin(listen(exchange, conn, request)).await,
    };
    answered.map(|()| After::Done)
}

async fn tools_list<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    request: &ModernRequest<'_>,
) -> Result<()> {
    if let Err(error) = list::check_cursor(&request.params) {
        return in_band(exchange, conn, error, request.id).await;
    }
    respond_list(exchange, conn, Era::Modern, request.id, LIST_TTL_MS).await
}

async fn tools_call<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    head: &RequestHead,
    request: &ModernRequest<'_>,
) -> Result<()> {
    let params = match CallParams::modern(request) {
        Ok(params) => params,
        Err(error) => return Box::pin(in_band(exchange, conn, error, request.id)).await,
    };
    let trace = trace_of(&params);
    let client = params.meta.client.as_ref();
    let asked = Call {
        name: &params.name,
        arguments: params.arguments,
        meta: call_meta(&params, trace, params.meta.log_level),
        caller: Caller {
            era: audit::Era::Modern,
            revision: request.revision.as_str(),
            client: client.map_or("", |client| cut(&client.name)),
            client_version: client.map_or("", |client| cut(&client.version)),
            trace_id: trace.trace_id,
            session: None,
        },
    };
    let mut notices = Notices::new(params.meta.progress_token, params.meta.log_level);
    let cancel = Notify::new();
    let way = Way { events: head.accepts_events() && notices.wanted(), gone_is_cancel: true, cancel: &cancel };
    let (sink, mut events) = way.events();
    let (answer, streaming) = {
        let mirrored = |tool: &_| check_mirrored(head, tool, params.arguments);
        let cancelled = pin!(cancel.notified());
        let running = pin!(call::run(exchange, &asked, mirrored, &sink, cancelled));
        relay::run(conn, &way, running, &mut events, |event| tell(&mut notices, event)).await
    };
    let upstream = era_of(&answer, Era::Modern);
    let capabilities = params.meta.capabilities;
    let bridge = Bridge { client: Era::Modern, upstream, model: &exchange.shard.model, client_caps: capabilities };
    let bridged = finish(&bridge, request.id, &answer);
    relay::answer(exchange, conn, streaming, bridged).await
}

async fn listen<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    request: &ModernRequest<'_>,
) -> Result<After> {
    let listen = match Listen::read(&request.params) {
        Ok(listen) => listen,
        Err(error) => return in_band(exchange, conn, error, request.id).await.map(|()| After::Done),
    };
    let script = Script {
        id: Some(request.id),
        session: None,
        first: Some(listen.acknowledged(request.id)),
        changed: listen.tools.then(|| subscribe::tools_changed(request.id).into()),
        farewell: Some(subscribe::ended(request.id)),
    };
    stream::begin(exchange, conn, script).await
}

async fn in_band<S: Stream>(exchange: &Exchange, conn: &mut ServerConn<S>, error: Error, id: &[u8]) -> Result<()> {
    refuse::refusal(&exchange.shard, conn, &Refusal::in_band(error, Some(id))).await
}
