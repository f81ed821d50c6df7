//! The modern era: every request stands for itself (2026-07-28).

use crate::audit;
use crate::base::error::{Error, Kind, Result};
use crate::base::limits::LIST_TTL_MS;
use crate::mcp::bridge::{Bridge, CacheScope};
use crate::mcp::call::{CallMethod, CallParams};
use crate::mcp::caps::ClientCaps;
use crate::mcp::inbound::{ModernMethod, ModernRequest};
use crate::mcp::input::{Retry, checked_responses};
use crate::mcp::meta::{Params, cut};
use crate::mcp::progress::Notices;
use crate::mcp::refusal::Refusal;
use crate::mcp::revision::Era;
use crate::mcp::subscribe::{self, Listen};
use crate::mcp::task::{self, TaskMethod};
use crate::mcp::vendor::Declared;
use crate::rt::local::Notify;
use crate::rt::stream::Stream;
use crate::shard::call::{self, Call, Caller};
use crate::shard::doors::notices::{call_meta, check_mirrored, era_of, finish, hear, trace_of};
use crate::shard::doors::stream::{self, After, Script};
use crate::shard::doors::{asking, told};
use crate::shard::exchange::Exchange;
use crate::shard::lists::{Asked, respond_list};
use crate::shard::refuse;
use crate::shard::relay::{self, Client, Way};
use crate::shard::wanted::{self, Wanted, task_topic_of, topic_of, wanted_of};
use crate::upstream::operation::Input;
use crate::wire::http::{RequestHead, ServerConn};
use std::pin::pin;

/// Answers a request whose headers agree with its body.
pub(crate) async fn answer<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    head: &RequestHead,
    request: &ModernRequest<'_>,
) -> Result<After> {
    let is_offered = match request.method {
        ModernMethod::List(kind) => exchange.offers_list(kind),
        ModernMethod::Call(method) => exchange.offers_method(method),
        ModernMethod::Discover | ModernMethod::Listen => true,
    };
    if !is_offered {
        let refusal = Refusal::new(Error::new(Kind::MethodNotFound, "method not found"), Some(request.id));
        return Box::pin(refuse::refusal(&exchange.shard, conn, &refusal)).await.map(|()| After::Done);
    }
    let answered = match request.method {
        ModernMethod::Discover => {
            let offers = exchange.snapshot().offers(exchange.principal.grant, exchange.door);
            let vendor = exchange.snapshot().vendor_extensions(exchange.principal.grant, exchange.door);
            let body = exchange.shard.model.discover(request.id, (offers, &vendor));
            relay::finish(conn, 200, body).await
        }
        ModernMethod::List(kind) => {
            let (id, params) = (request.id, &request.params);
            let asked = Asked { era: Era::Modern, kind, id, params, ttl_ms: LIST_TTL_MS };
            Box::pin(respond_list(exchange, conn, asked)).await
        }
        ModernMethod::Call(method) => send(exchange, conn, head, request, method).await,
        ModernMethod::Listen => return Box::pin(listen(exchange, conn, request)).await,
    };
    answered.map(|()| After::Done)
}

/// Answers a request that goes to a server.
async fn send<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    head: &RequestHead,
    request: &ModernRequest<'_>,
    method: CallMethod,
) -> Result<()> {
    let read = |params| Ok((CallParams::read(method, params)?, retry_of(method, params)?));
    let (params, retry) = match read(&request.params) {
        Ok(read) => read,
        Err(error) => return Box::pin(in_band(exchange, conn, error, request.id)).await,
    };
    let wanted = wanted_of(&params);
    let call = call_of(request, wanted);
    if let CallMethod::Task(_) = method
        && let Some(refusal) = task::undeclared(call.caps, Some(request.id))
    {
        return Box::pin(refuse::refusal(&exchange.shard, conn, &refusal)).await;
    }
    let meta = &request.meta;
    let mut notices = Notices::new(meta.progress_token, meta.log_level);
    let cancel = Notify::new();
    let events = head.accepts_events() && notices.wanted();
    let way = Way { events, cancel: &cancel, client: Client::Cancels };
    let (sink, mut events) = way.events();
    let mirrored = |tool: &_| check_mirrored(head, tool, wanted.arguments());
    let is_retry = retry.is_some();
    let (answer, told) = if is_retry || call.caps.can_be_asked() {
        let retry = retry.unwrap_or_default();
        // Boxed, as each call would carry the room for what only some clients can do.
        let mut cancelled = Box::pin(cancel.notified());
        let mut running = Box::pin(asking::run(exchange, &call, &retry, mirrored, &sink, cancelled.as_mut()));
        relay::run(conn, &way, running.as_mut(), &mut events, |said| hear(&mut notices, said)).await
    } else {
        let cancelled = pin!(cancel.notified());
        let running = pin!(call::run(exchange, &call, mirrored, &sink, cancelled));
        relay::run(conn, &way, running, &mut events, |said| hear(&mut notices, said)).await
    };
    let answer = answer.and_then(|answer| told::to_client(exchange, &call, answer));
    let upstream = era_of(&answer, Era::Modern);
    let reads = matches!(method, CallMethod::Resource | CallMethod::Skill(_));
    let reads = reads.then(|| cache_scope(exchange, &wanted, is_retry));
    let model = &exchange.shard.model;
    let bridge = Bridge { client: Era::Modern, upstream, model, client_caps: meta.capabilities, reads };
    let bridged = finish(&bridge, request.id, &answer);
    relay::answer(exchange, conn, told, bridged).await
}

/// Who may keep what is read, at most: others than this key only where the configuration says so of the server, and
/// never what its user's answers went into.
fn cache_scope(exchange: &Exchange, wanted: &Wanted<'_>, is_retry: bool) -> CacheScope {
    let read = wanted::find(exchange, wanted).and_then(|found| exchange.snapshot().server(found.server));
    let shares = read.is_some_and(|server| server.share_public) && !is_retry;
    if shares { CacheScope::Public } else { CacheScope::Private }
}

/// What a request brings that comes again. The answers to a task are no such thing: they are all that it brings.
fn retry_of<'a>(method: CallMethod, params: &Params<'a>) -> Result<Option<Retry<'a>>> {
    match method {
        CallMethod::Task(TaskMethod::Update) => Ok(Some(Retry {
            responses: Some(checked_responses(params.input_responses.unwrap_or_default())?),
            state: None,
        })),
        CallMethod::Task(_) | CallMethod::Complete | CallMethod::Skill(_) => Ok(None),
        _ => Retry::read(params.input_responses, params.request_state),
    }
}

fn call_of<'a>(request: &'a ModernRequest<'_>, wanted: Wanted<'a>) -> Call<'a> {
    let meta = &request.meta;
    let trace = trace_of(meta);
    let client = meta.client.as_ref();
    Call {
        wanted,
        input: Input::default(),
        caps: caps_of(request),
        declared: Declared {
            capabilities: meta.capabilities.unwrap_or_default(),
            meta: request.params.meta.unwrap_or_default(),
        },
        meta: call_meta(meta, trace, meta.log_level),
        caller: Caller {
            era: audit::Era::Modern,
            revision: request.revision.as_str(),
            client: client.map_or("", |client| cut(&client.name)),
            client_version: client.map_or("", |client| cut(&client.version)),
            trace_id: trace.trace_id,
            session: None,
        },
    }
}

fn caps_of(request: &ModernRequest<'_>) -> ClientCaps {
    request.meta.capabilities.map_or(ClientCaps::default(), |raw| ClientCaps::read(raw, request.revision))
}

async fn listen<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    request: &ModernRequest<'_>,
) -> Result<After> {
    let read = |params| Ok((Listen::read(params)?, subscribe::resources(params)?, subscribe::tasks(params)?));
    let (listen, uris, ids) = match read(&request.params) {
        Ok(read) => read,
        Err(error) => return in_band(exchange, conn, error, request.id).await.map(|()| After::Done),
    };
    let caps = caps_of(request);
    if !ids.is_empty()
        && let Some(refusal) = task::undeclared(caps, Some(request.id))
    {
        return refuse::refusal(&exchange.shard, conn, &refusal).await.map(|()| After::Done);
    }
    let resources = uris.iter().filter_map(|uri| Some((topic_of(exchange, uri)?, &**uri)));
    let tasks = ids.iter().filter_map(|id| Some((task_topic_of(exchange, id)?, &**id)));
    let named: Vec<_> = resources.chain(tasks).filter(|(topic, _)| stream::tells(exchange, topic)).collect();
    let topics = named.iter().map(|(topic, _)| topic.clone()).collect();
    let script = Script { subscription: Some(request.id), listen, topics, named, caps, ..Script::default() };
    stream::begin(exchange, conn, script).await
}

async fn in_band<S: Stream>(exchange: &Exchange, conn: &mut ServerConn<S>, error: Error, id: &[u8]) -> Result<()> {
    refuse::refusal(&exchange.shard, conn, &Refusal::in_band(error, Some(id))).await
}
