//! The legacy era: sessions opened by `initialize`, whose whole state travels sealed in their id.

use crate::audit;
use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result};
use crate::catalog::ListKind;
use crate::mcp::bridge::Bridge;
use crate::mcp::call::{CallMethod, CallParams};
use crate::mcp::caps::ClientCaps;
use crate::mcp::handshake::Initialize;
use crate::mcp::inbound::{self, session_id};
use crate::mcp::legacy::{Admitted, LegacyMessage, LegacyMethod, LegacyRequest, admit};
use crate::mcp::meta::{LogLevel, Meta};
use crate::mcp::progress::Notices;
use crate::mcp::refusal::Refusal;
use crate::mcp::revision::{Era, Revision};
use crate::mcp::session::{self, Session};
use crate::mcp::vendor::Declared;
use crate::rt::local::Notify;
use crate::rt::stream::Stream;
use crate::shard::call::{self as calls, Call, Caller};
use crate::shard::doors::mcp::headers;
use crate::shard::doors::notices::{call_meta, era_of, finish, tell, trace_of};
use crate::shard::doors::{replies, told};
use crate::shard::exchange::Exchange;
use crate::shard::inbox::{subscribe_everywhere, subscribe_here};
use crate::shard::lists::{self, Asked, respond_list};
use crate::shard::messages::{Subscribed, ToShard};
use crate::shard::refuse;
use crate::shard::relay::{self, Client, Coming, Way};
use crate::shard::wanted::{topic_of, wanted_of};
use crate::upstream::answer::Answer;
use crate::upstream::operation::Input;
use crate::upstream::said::{Said, Sink};
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
    let offers = exchange.snapshot().offers(exchange.principal.grant, exchange.door);
    let body = shard.model.initialize(initialize.id, initialize.revision, offers);
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
    replies::take(exchange, &session, &admitted).await;
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

async fn single<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    head: &RequestHead,
    session: &Session,
    request: &LegacyRequest<'_>,
) -> Result<()> {
    if let Some(refusal) = unoffered(exchange, request) {
        return refuse::refusal(&exchange.shard, conn, &refusal).await;
    }
    match request.method {
        LegacyMethod::Ping => relay::finish(conn, 200, empty(request.id)).await,
        LegacyMethod::SetLevel => relay::finish(conn, 200, set_level(exchange, session, request)).await,
        LegacyMethod::Subscribe | LegacyMethod::Unsubscribe => {
            let body = Box::pin(subscribe(exchange, session, request)).await;
            relay::finish(conn, 200, body).await
        }
        LegacyMethod::List(kind) => respond_list(exchange, conn, list(kind, request)).await,
        LegacyMethod::Call(method) => call(exchange, conn, head, session, (request, method)).await,
    }
}

/// The refusal of a method that no server the key sees here offers.
fn unoffered(exchange: &Exchange, request: &LegacyRequest<'_>) -> Option<Refusal> {
    let is_offered = match request.method {
        LegacyMethod::List(kind) => exchange.offers_list(kind),
        LegacyMethod::Call(method) => exchange.offers_method(method),
        _ => true,
    };
    let unknown = || Error::new(Kind::MethodNotFound, "method not found");
    (!is_offered).then(|| Refusal::in_band(unknown(), Some(request.id)))
}

fn list<'a>(kind: ListKind, request: &'a LegacyRequest<'a>) -> Asked<'a> {
    Asked { era: Era::Legacy, kind, id: request.id, params: &request.params, ttl_ms: 0 }
}

async fn call<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    head: &RequestHead,
    session: &Session,
    (request, method): (&LegacyRequest<'_>, CallMethod),
) -> Result<()> {
    let asked = match Asking::read(request, method) {
        Ok(asked) => asked,
        Err(error) => {
            return refuse::refusal(&exchange.shard, conn, &Refusal::in_band(error, Some(request.id))).await;
        }
    };
    let level = exchange.shard.log_levels.of(&session.id);
    let mut notices = Notices::new(asked.meta.progress_token, Some(level));
    let shard = exchange.shard.clone();
    let cancel = Notify::new();
    let coming = Coming { shard: &shard, session, request: request.id };
    let way = Way { events: head.accepts_events(), cancel: &cancel, client: Client::ComesBack(&coming) };
    let (sink, mut events) = way.events();
    let sink = if session.caps.has(ClientCaps::ELICITATION_URL) { sink.of_client(session.id) } else { sink };
    let (answer, told) = {
        let running = pin!(run(exchange, session, request, &asked, &sink));
        let tell = |said| match said {
            Said::Event(event) => tell(&mut notices, &event),
            Said::Question(question) => shard.asked.ask(shard.id, session.id, question),
        };
        relay::run(conn, &way, running, &mut events, tell).await
    };
    // What is said of a visit from now on is for another stream.
    drop(events);
    let bridged = finish(&bridge(exchange, &answer), request.id, &answer);
    relay::answer(exchange, conn, told, bridged).await
}

/// Runs a call of a session. It is cancelled by a notification only: a legacy client that goes away has not cancelled.
async fn run(
    exchange: &mut Exchange,
    session: &Session,
    request: &LegacyRequest<'_>,
    asking: &Asking<'_>,
    sink: &Sink,
) -> Result<Answer> {
    let trace = trace_of(&asking.meta);
    let shard = exchange.shard.clone();
    let cancellable = shard.in_flight.enter(session.id, request.id);
    let asked = Call {
        wanted: wanted_of(&asking.params),
        input: Input::default(),
        caps: session.caps,
        declared: Declared::default(),
        meta: call_meta(&asking.meta, trace, Some(shard.log_levels.of(&session.id))),
        caller: Caller {
            era: audit::Era::Legacy,
            revision: session.revision.as_str(),
            client: &session.client_name,
            client_version: &session.client_version,
            trace_id: trace.trace_id,
            session: Some(session.id),
        },
    };
    let answer = calls::run(exchange, &asked, |_| Ok(()), sink, pin!(cancellable.cancelled())).await?;
    Ok(told::to_legacy_client(exchange, &asked, answer))
}

fn bridge<'a>(exchange: &'a Exchange, answer: &Result<Answer>) -> Bridge<'a> {
    Bridge {
        client: Era::Legacy,
        upstream: era_of(answer, Era::Legacy),
        model: &exchange.shard.model,
        client_caps: None,
        reads: None,
    }
}

/// A request that goes to a server, as it was read.
struct Asking<'a> {
    params: CallParams<'a>,
    meta: Meta<'a>,
}

impl<'a> Asking<'a> {
    fn read(request: &LegacyRequest<'a>, method: CallMethod) -> Result<Self> {
        let params = CallParams::read(method, &request.params)?;
        Ok(Self { params, meta: Meta::read(request.params.meta)? })
    }
}

/// Answers a batch (2025-03-26 only): its calls run side by side, its answers come in one array.
async fn batch<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    session: &Session,
    admitted: &Admitted<'_>,
) -> Result<()> {
    let nowhere = |_: &Meta<'_>| Sink::nowhere();
    let answers = admitted.messages.iter().filter_map(|message| match message {
        LegacyMessage::Request(request) => Some(Box::pin(body(exchange.clone(), session, Ok(request), nowhere))),
        LegacyMessage::Refused(refusal) => Some(Box::pin(body(exchange.clone(), session, Err(refusal), nowhere))),
        LegacyMessage::Cancelled(_) | LegacyMessage::Answered { .. } | LegacyMessage::Ignored => None,
    });
    let bodies = join_all(answers).await;
    let body = [b"[", &*bodies.join(&b','), b"]"].concat();
    relay::finish(conn, 200, body).await
}

/// The answer to a message that does not go back as the answer to its own POST. `sink` takes what a call says.
pub(crate) async fn body(
    mut exchange: Exchange,
    session: &Session,
    request: std::result::Result<&LegacyRequest<'_>, &Refusal>,
    sink: impl FnOnce(&Meta<'_>) -> Sink,
) -> Vec<u8> {
    let request = match request {
        Ok(request) => request,
        Err(refusal) => return refusal.body(),
    };
    if let Some(refusal) = unoffered(&exchange, request) {
        return refusal.body();
    }
    let id = request.id;
    let refused = |error| Refusal::in_band(error, Some(id)).body();
    match request.method {
        LegacyMethod::Ping => empty(id),
        LegacyMethod::SetLevel => set_level(&exchange, session, request),
        LegacyMethod::Subscribe | LegacyMethod::Unsubscribe => subscribe(&exchange, session, request).await,
        LegacyMethod::List(kind) => {
            lists::answer(&exchange, list(kind, request)).map_or_else(refused, |parts| parts.concat())
        }
        LegacyMethod::Call(method) => match Asking::read(request, method) {
            Ok(asking) => {
                let answer = run(&mut exchange, session, request, &asking, &sink(&asking.meta)).await;
                finish(&bridge(&exchange, &answer), id, &answer).body
            }
            Err(error) => refused(error),
        },
    }
}

/// Subscribes a session to a resource, or ends that, on every shard: its stream may be on any.
async fn subscribe(exchange: &Exchange, session: &Session, request: &LegacyRequest<'_>) -> Vec<u8> {
    match subscribed(exchange, session, request).await {
        Ok(None) => empty(request.id),
        Ok(Some(unknown)) => refusal(exchange, request, Ok(unknown)),
        Err(error) => refusal(exchange, request, Err(error)),
    }
}

fn refusal(exchange: &Exchange, request: &LegacyRequest<'_>, answer: Result<Answer>) -> Vec<u8> {
    finish(&bridge(exchange, &answer), request.id, &answer).body
}

/// The answer to a subscription where the resource is unknown: that of a read of it.
async fn subscribed(exchange: &Exchange, session: &Session, request: &LegacyRequest<'_>) -> Result<Option<Answer>> {
    let (shard, begins) = (&exchange.shard, request.method == LegacyMethod::Subscribe);
    let params = CallParams::read(CallMethod::Resource, &request.params)?;
    let wanted = wanted_of(&params);
    let Some(topic) = topic_of(exchange, wanted.name()) else {
        return Ok(Some(calls::not_found(audit::Era::Legacy, &wanted)));
    };
    let subscribed = Subscribed { session: session.id, key: session.key, topic, begins };
    if session.revision == Revision::V2024_11_05 {
        // Such a session lives on this shard alone, and takes its subscriptions along when it ends.
        if shard.event_sessions.get(&session.id).is_some() {
            subscribe_here(shard, &subscribed).await?;
        }
        return Ok(None);
    }
    subscribe_everywhere(shard, &subscribed).await.map(|()| None)
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
