//! The legacy era: sessions opened by `initialize`, whose whole state travels sealed in their id.

use crate::audit;
use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result};
use crate::mcp::bridge::Bridge;
use crate::mcp::call::CallParams;
use crate::mcp::handshake::Initialize;
use crate::mcp::inbound::{self, session_id};
use crate::mcp::legacy::{Admitted, LegacyMessage, LegacyMethod, LegacyRequest, admit};
use crate::mcp::list;
use crate::mcp::meta::LogLevel;
use crate::mcp::progress::Notices;
use crate::mcp::refusal::Refusal;
use crate::mcp::revision::Era;
use crate::mcp::session::{self, Session};
use crate::rt::local::Notify;
use crate::rt::stream::Stream;
use crate::shard::call::{self, Call, Caller};
use crate::shard::doors::mcp::headers;
use crate::shard::doors::notices::{call_meta, era_of, finish, tell, trace_of};
use crate::shard::exchange::Exchange;
use crate::shard::lists::{array, respond_list};
use crate::shard::messages::ToShard;
use crate::shard::refuse;
use crate::shard::relay::{self, Way};
use crate::upstream::answer::Sink;
use crate::wire::http::{Body, RequestHead, ServerConn};
use crate::wire::rpc::{self, Message};
use futures_util::future::join_all;
use std::pin::pin;

/// Opens a session (2025-11-25 lifecycle).
pub(crate) async fn initialize<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    initialize: &Initialize<'_>,
) -> Result<()> {
    let shard = &exchange.shard;
    let session = initialize.session(exchange.principal.key, Clock::wall());
    let id = session::seal(&shard.sealing, &session);
    let body = shard.model.initialize(initialize.id, initialize.revision);
    let headers = [("content-type", "application/json"), ("mcp-session-id", id.as_str())];
    conn.respond(200, &headers, Body::Vec(body)).await
}

/// The session that a request's head names.
///
/// # Errors
/// 400 where it names none, 404 where it is unknown, ended, expired or another key's.
pub(crate) fn session_of(exchange: &Exchange, head: &RequestHead) -> std::result::Result<Session, Refusal> {
    let id = session_id(&headers(head)).map_err(|error| Refusal::new(error, None))?;
    open(exchange, id).map_err(|error| Refusal::new(error, None))
}

fn open(exchange: &Exchange, id: &str) -> Result<Session> {
    let shard = &exchange.shard;
    let session = session::open(&shard.sealing, id, &exchange.principal.key, Clock::wall())?;
    if shard.ended.has(&session.id) {
        return Err(Error::new(Kind::SessionNotFound, "session not found or ended; send initialize"));
    }
    Ok(session)
}

/// DELETE: ends a session. It is answered once every shard knows.
pub(crate) async fn delete<S: Stream>(exchange: &Exchange, conn: &mut ServerConn<S>, head: &RequestHead) -> Result<()> {
    let shard = exchange.shard.clone();
    let session = match session_of(exchange, head) {
        Ok(session) => session,
        Err(refusal) => return refuse::refusal(&shard, conn, &refusal).await,
    };
    shard.end_session(session.id);
    match shard.peers.announce_end(session.id).await {
        Ok(()) => conn.respond(204, &[], Body::Empty).await,
        Err(error) => refuse::plain(&shard, conn, &error).await,
    }
}

/// Answers the messages of a POST that names a session.
pub(crate) async fn post<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    head: &RequestHead,
    session: &str,
    message: Message<'_>,
) -> Result<()> {
    let shard = exchange.shard.clone();
    let opened = open(exchange, session).map_err(|error| inbound::unknown_session(error, &message));
    let admitted = opened.and_then(|session| admit(&session, message).map(|admitted| (session, admitted)));
    let (session, admitted) = match admitted {
        Ok(pair) => pair,
        Err(refusal) => return refuse::refusal(&shard, conn, &refusal).await,
    };
    take_notices(exchange, &session, &admitted);
    if !admitted.wants_answer() {
        return conn.respond(202, &[], Body::Empty).await;
    }
    if admitted.batch {
        return batch(exchange, conn, &session, &admitted).await;
    }
    match admitted.messages.into_iter().next() {
        Some(LegacyMessage::Request(request)) => single(exchange, conn, head, &session, &request).await,
        Some(LegacyMessage::Refused(refusal)) => refuse::refusal(&shard, conn, &refusal).await,
        _ => conn.respond(202, &[], Body::Empty).await,
    }
}

/// A cancelled request may run on any shard, for it came over another connection.
fn take_notices(exchange: &Exchange, session: &Session, admitted: &Admitted<'_>) {
    let shard = &exchange.shard;
    for message in &admitted.messages {
        let LegacyMessage::Cancelled(id) = message else { continue };
        if shard.in_flight.cancel(session.id, id) {
            continue;
        }
        for other in shard.peers.others() {
            // A full mailbox loses this; cancelling is a courtesy that may come too late anyway.
            let _ = shard.peers.send(other, ToShard::Cancelled(session.id, (*id).into()));
        }
    }
}

async fn single<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    head: &RequestHead,
    session: &Session,
    request: &LegacyRequest<'_>,
) -> Result<()> {
    match request.method {
        LegacyMethod::Ping => relay::finish(conn, false, 200, empty(request.id)).await,
        LegacyMethod::SetLevel => relay::finish(conn, false, 200, set_level(exchange, session, request)).await,
        LegacyMethod::ToolsList => match list::check_cursor(&request.params) {
            Ok(()) => respond_list(exchange, conn, Era::Legacy, request.id, 0).await,
            Err(error) => {
                let refusal = Refusal::in_band(error, Some(request.id));
                refuse::refusal(&exchange.shard, conn, &refusal).await
            }
        },
        LegacyMethod::ToolsCall => tools_call(exchange, conn, head, session, request).await,
    }
}

async fn tools_call<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    head: &RequestHead,
    session: &Session,
    request: &LegacyRequest<'_>,
) -> Result<()> {
    let params = match CallParams::legacy(request) {
        Ok(params) => params,
        Err(error) => {
            return refuse::refusal(&exchange.shard, conn, &Refusal::in_band(error, Some(request.id))).await;
        }
    };
    let level = exchange.shard.log_levels.of(&session.id);
    let mut notices = Notices::new(params.meta.progress_token, Some(level));
    let cancel = Notify::new();
    let way = Way { events: head.accepts_events(), gone_is_cancel: false, cancel: &cancel };
    let (sink, mut events) = way.events();
    let (answer, streaming) = {
        let running = pin!(run(exchange, session, request, &params, &sink));
        relay::run(conn, &way, running, &mut events, |event| tell(&mut notices, event)).await
    };
    let bridged = finish(&bridge(exchange, &answer), request.id, &answer);
    relay::answer(exchange, conn, streaming, bridged).await
}

/// Runs a call of a session. It is cancelled by a notification only: a legacy client that goes away has not cancelled.
async fn run(
    exchange: &mut Exchange,
    session: &Session,
    request: &LegacyRequest<'_>,
    params: &CallParams<'_>,
    sink: &Sink,
) -> Result<crate::upstream::answer::Answer> {
    let trace = trace_of(params);
    let shard = exchange.shard.clone();
    let cancellable = shard.in_flight.enter(session.id, request.id);
    let asked = Call {
        name: &params.name,
        arguments: params.arguments,
        meta: call_meta(params, trace, Some(shard.log_levels.of(&session.id))),
        caller: Caller {
            era: audit::Era::Legacy,
            revision: session.revision.as_str(),
            client: &session.client_name,
            client_version: &session.client_version,
            trace_id: trace.trace_id,
            session: Some(session.id),
        },
    };
    call::run(exchange, &asked, |_| Ok(()), sink, pin!(cancellable.cancelled())).await
}

fn bridge<'a>(exchange: &'a Exchange, answer: &Result<crate::upstream::answer::Answer>) -> Bridge<'a> {
    Bridge {
        client: Era::Legacy,
        upstream: era_of(answer, Era::Legacy),
        model: &exchange.shard.model,
        client_caps: None,
    }
}

/// Answers a batch (2025-03-26 only): its calls run side by side, its answers come in one array.
async fn batch<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    session: &Session,
    admitted: &Admitted<'_>,
) -> Result<()> {
    let answers = admitted.messages.iter().filter_map(|message| match message {
        LegacyMessage::Request(request) => Some(Box::pin(batched(exchange.clone(), session, Ok(request)))),
        LegacyMessage::Refused(refusal) => Some(Box::pin(batched(exchange.clone(), session, Err(refusal)))),
        LegacyMessage::Cancelled(_) | LegacyMessage::Ignored => None,
    });
    let bodies = join_all(answers).await;
    let body = [b"[", &*bodies.join(&b','), b"]"].concat();
    relay::finish(conn, false, 200, body).await
}

async fn batched(
    mut exchange: Exchange,
    session: &Session,
    request: std::result::Result<&LegacyRequest<'_>, &Refusal>,
) -> Vec<u8> {
    let request = match request {
        Ok(request) => request,
        Err(refusal) => return refusal.body(),
    };
    let id = request.id;
    let refused = |error| Refusal::in_band(error, Some(id)).body();
    match request.method {
        LegacyMethod::Ping => empty(id),
        LegacyMethod::SetLevel => set_level(&exchange, session, request),
        LegacyMethod::ToolsList => match list::check_cursor(&request.params) {
            Ok(()) => {
                let around = list::around(&exchange.shard.model, Era::Legacy, id, 0);
                [&*around.head, &array(&exchange, Era::Legacy), &around.tail].concat()
            }
            Err(error) => refused(error),
        },
        LegacyMethod::ToolsCall => match CallParams::legacy(request) {
            Ok(params) => {
                let answer = run(&mut exchange, session, request, &params, &Sink::nowhere()).await;
                finish(&bridge(&exchange, &answer), id, &answer).body
            }
            Err(error) => refused(error),
        },
    }
}

/// Remembers, on every shard, the least log level that a session wants.
fn set_level(exchange: &Exchange, session: &Session, request: &LegacyRequest<'_>) -> Vec<u8> {
    let level = match LogLevel::read(request.params.level.unwrap_or_default()) {
        Ok(level) => level,
        Err(error) => return Refusal::in_band(error, Some(request.id)).body(),
    };
    let shard = &exchange.shard;
    shard.log_levels.set(session.id, level);
    for other in shard.peers.others() {
        // A full mailbox loses this; that shard then sends more than was asked for.
        let _ = shard.peers.send(other, ToShard::LogLevel(session.id, level));
    }
    empty(request.id)
}

fn empty(id: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    rpc::result(&mut out, id, b"{}");
    out
}
