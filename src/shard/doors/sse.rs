//! The doors of HTTP+SSE (2024-11-05): GET opens a session as an event stream, whose first event names where its
//! messages are posted; every answer comes on the stream.
//!
//! A session lives at the shard of its stream. A message that comes in elsewhere is handed over whole, so that
//! requests, cancellations and answers of one session all meet on one shard.

use crate::base::buf::Piece;
use crate::base::clock::{Clock, WallTime};
use crate::base::error::{Error, Kind, Result};
use crate::base::phase::Stamps;
use crate::mcp::caps::ClientCaps;
use crate::mcp::handshake::Initialize;
use crate::mcp::headers::HeaderValue;
use crate::mcp::inbound::{self, Headers, Inbound};
use crate::mcp::legacy::{Admitted, LegacyMessage, LegacyMethod, LegacyRequest, admit};
use crate::mcp::meta::Meta;
use crate::mcp::progress::Notices;
use crate::mcp::refusal::Refusal;
use crate::mcp::revision::Revision;
use crate::mcp::session::{self, Session};
use crate::mcp::subscribe::Listen;
use crate::rt::local;
use crate::rt::stream::Stream;
use crate::rt::task;
use crate::shard::doors::held::Voice;
use crate::shard::doors::notices::tell;
use crate::shard::doors::stream::{self, After, Script};
use crate::shard::doors::{legacy, replies};
use crate::shard::entrance::Entrance;
use crate::shard::event_sessions::{self, EventSession, Registered, Taken, UnderWay, unknown};
use crate::shard::exchange::Exchange;
use crate::shard::messages::{Posted, Ticket, ToShard};
use crate::shard::session::SessionKey;
use crate::shard::{Busy, Shard, refuse};
use crate::upstream::said::{Said, Sink};
use crate::wire::http::{Body, Method, RequestHead, ServerConn};
use crate::wire::{rpc, sse};
use std::cell::RefCell;
use std::rc::Rc;

/// The only revision of this transport.
const REVISION: Revision = Revision::V2024_11_05;

/// `/sse`: opens a session.
pub(crate) async fn events<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    head: &RequestHead,
) -> Result<After> {
    match head.method() {
        Method::Get if head.accepts_events() => open(exchange, conn).await,
        Method::Options => conn.respond_allow(204, "GET, OPTIONS").await.map(|()| After::Done),
        _ => conn.respond_allow(405, "GET, OPTIONS").await.map(|()| After::Done),
    }
}

async fn open<S: Stream>(exchange: &Exchange, conn: &mut ServerConn<S>) -> Result<After> {
    let shard = &exchange.shard;
    let id = event_sessions::session_key(shard.id);
    let state = Session {
        key: exchange.principal.key,
        revision: REVISION,
        client_name: "".into(),
        client_version: "".into(),
        caps: ClientCaps::default(),
        created: Clock::wall(),
        id,
    };
    let endpoint = format!("/messages?session={}", session::seal(&shard.sealing, &state));
    let mut first = Vec::new();
    sse::encode(&mut first, Some("endpoint"), None, endpoint.as_bytes());
    let session = EventSession::new(state, Entrance::of(exchange), exchange.narrowing.clone());
    let voice = Voice::Spoken(Registered::new(shard, id, session));
    let script = Script { session: Some(id), first: Some(first), listen: Listen::ALL, voice, ..Script::default() };
    stream::begin(exchange, conn, script).await
}

/// `/messages`: takes a message of a session.
pub(crate) async fn messages<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    head: &RequestHead,
) -> Result<After> {
    let shard = &exchange.shard;
    let answered = match head.method() {
        Method::Post if head.content_type_is_json() => return post(exchange, conn, head).await,
        Method::Post => {
            let error = Error::new(Kind::UnsupportedMedia, "send \"Content-Type: application/json\"");
            refuse::plain(shard, conn, &error).await
        }
        Method::Options => conn.respond_allow(204, "POST, OPTIONS").await,
        _ => conn.respond_allow(405, "POST, OPTIONS").await,
    };
    answered.map(|()| After::Done)
}

async fn post<S: Stream>(exchange: &Exchange, conn: &mut ServerConn<S>, head: &RequestHead) -> Result<After> {
    let shard = &exchange.shard;
    let session = match named(exchange, head) {
        Ok(session) => session,
        Err(refusal) => return refuse::refusal(shard, conn, &refusal).await.map(|()| After::Done),
    };
    let body = match conn.read_body().await {
        Ok(body) => body,
        Err(error) => {
            shard.metrics.requests_refused.inc();
            conn.refuse(&error).await;
            return Ok(After::Done);
        }
    };
    shard.metrics.bytes_in.add(body.len() as u64);
    let taken = hand_in(shard, Posted { session, body, narrowing: exchange.narrowing.clone() }).await;
    let answered = match taken {
        Ok(()) => conn.respond(202, &[], Body::Empty).await,
        Err(refusal) => refuse::refusal(shard, conn, &refusal).await,
    };
    answered.map(|()| After::Done)
}

/// The session that a request's query names, opened for its key.
fn named(exchange: &Exchange, head: &RequestHead) -> std::result::Result<SessionKey, Refusal> {
    let query = head.query().unwrap_or_default();
    let text = query.split('&').find_map(|pair| pair.strip_prefix("session="));
    let missing = || Refusal::new(Error::new(Kind::InvalidRequest, "the query names no session; GET /sse first"), None);
    // No age counts: it lives as long as its stream.
    let opened =
        session::open(&exchange.shard.sealing, text.ok_or_else(missing)?, &exchange.principal.key, WallTime(0));
    opened.map(|session| session.id).map_err(|_| unknown())
}

/// Brings a message to the shard of its session.
async fn hand_in(shard: &Rc<Shard>, posted: Posted) -> Taken {
    let home = event_sessions::home(&posted.session);
    if home != shard.id {
        return shard.event_sessions.hand_over(shard, home, posted).await;
    }
    let (sender, taken) = local::oneshot();
    // It may be waited for no more where the client has just gone.
    task::spawn(take(Busy::new(shard), posted, move |word| drop(sender.send(word))));
    taken.await.unwrap_or_else(|local::Closed| Err(unknown()))
}

/// Takes a message that another shard hands over.
pub(crate) fn take_in(shard: &Rc<Shard>, ticket: Ticket, posted: Posted) {
    let to = shard.clone();
    let word = move |taken| {
        // A full mailbox loses this: whoever asked then waits for its deadline and says so.
        let _ = to.peers.send(ticket.origin, ToShard::PostTaken(ticket.number, Box::new(taken)));
    };
    task::spawn(take(Busy::new(shard), posted, word));
}

/// Says whether a message is taken, then does what it asks.
async fn take(busy: Busy, posted: Posted, word: impl FnOnce(Taken)) {
    let shard = &busy.0;
    let found = shard.event_sessions.get(&posted.session);
    let exchange = found.as_ref().and_then(|session| exchange_of(shard, session, &posted));
    let (Some(session), Some(exchange)) = (found, exchange) else { return word(Err(unknown())) };
    let body = Piece::from(posted.body);
    let asked = read(&session, &body);
    // What asks for nothing finds room always: it may be the answer, or the end, of what is under way.
    let is_word = asked.as_ref().is_ok_and(|asked| !asked.wants_answer());
    let Some(under_way) = session.enter(shard, is_word) else { return word(Err(too_many())) };
    match asked {
        Ok(asked) => {
            word(Ok(()));
            answer(exchange, &session, asked, under_way).await;
        }
        // In band means on the stream here.
        Err(refusal) if refusal.status == 200 => {
            word(Ok(()));
            under_way.answer(shard, refusal.body()).await;
        }
        Err(refusal) => word(Err(refusal)),
    }
    if shard.is_draining() {
        session.look(shard);
    }
}

fn too_many() -> Refusal {
    let words = "too many requests of this session, or of its key, are under way; try again later";
    Refusal::new(Error::new(Kind::Overloaded, words), None)
}

/// The exchange of a message, under the snapshot in force now; nothing where the key, server or group is gone.
fn exchange_of(shard: &Rc<Shard>, session: &EventSession, posted: &Posted) -> Option<Exchange> {
    let in_force = shard.in_force();
    let principal = in_force.snapshot.keys.standing(session.key, Clock::recent_wall())?;
    let (principal, door) = session.entrance.named().enter(&in_force.snapshot, principal)?;
    let narrowing = posted.narrowing.clone().or_else(|| session.narrowing.clone());
    Some(Exchange {
        shard: shard.clone(),
        in_force,
        principal,
        door,
        narrowing,
        cleared: None,
        stamps: Stamps::start(),
    })
}

/// What a message of a session asks for.
enum Asks<'a> {
    Initialize(Initialize<'a>),
    Messages(Admitted<'a>),
    Nothing,
}

impl Asks<'_> {
    fn wants_answer(&self) -> bool {
        match self {
            Self::Initialize(_) => true,
            Self::Messages(admitted) => admitted.wants_answer(),
            Self::Nothing => false,
        }
    }
}

fn read<'a>(session: &EventSession, body: &'a [u8]) -> std::result::Result<Asks<'a>, Refusal> {
    // This transport has no headers that say something about a message; its session was found by the query.
    let headers = Headers { session: HeaderValue::One("of the query"), ..Headers::default() };
    match inbound::classify(&headers, rpc::parse(body)?)? {
        Inbound::Initialize(initialize) if session.is_initialized() => {
            let error = Error::new(Kind::InvalidRequest, "the session is initialized already");
            Err(Refusal::in_band(error, Some(initialize.id)))
        }
        Inbound::Initialize(initialize) => Ok(Asks::Initialize(initialize)),
        Inbound::Session { message, .. } => admit(&session.state(), message).map(Asks::Messages),
        Inbound::Accepted => Ok(Asks::Nothing),
        Inbound::Modern(request) => {
            let error = Error::new(Kind::InvalidRequest, "this transport has 2024-11-05 alone: use /mcp");
            Err(Refusal::new(error, Some(request.id)))
        }
    }
}

async fn answer(exchange: Exchange, session: &Rc<EventSession>, asked: Asks<'_>, under_way: UnderWay) {
    let shard = exchange.shard.clone();
    let admitted = match asked {
        Asks::Nothing => return,
        Asks::Initialize(initialize) => {
            let said = initialize.session(session.key, Clock::wall());
            let caps = said.caps.within(REVISION);
            session.introduce(Session { revision: REVISION, id: session.state().id, caps, ..said });
            let offers = exchange.snapshot().offers(exchange.principal.grant, exchange.door);
            return under_way.answer(&shard, shard.model.initialize(initialize.id, REVISION, offers)).await;
        }
        Asks::Messages(admitted) => admitted,
    };
    let state = session.state();
    replies::take(&exchange, &state, &admitted).await;
    if session.has_ended() {
        return;
    }
    // Of one message, for this revision has no batches.
    match admitted.messages.into_iter().next() {
        Some(LegacyMessage::Request(request)) => {
            let body = match may_ask(session, &request) {
                Ok(()) => {
                    let sink = |meta: &Meta<'_>| sink(&shard, session, meta);
                    Box::pin(legacy::body(exchange, &state, Ok(&request), sink)).await
                }
                Err(refusal) => refusal.body(),
            };
            shard.metrics.bytes_out.add(body.len() as u64);
            under_way.answer(&shard, body).await;
        }
        Some(LegacyMessage::Refused(refusal)) => under_way.answer(&shard, refusal.body()).await,
        Some(LegacyMessage::Cancelled(_) | LegacyMessage::Answered { .. } | LegacyMessage::Ignored) | None => {}
    }
}

/// Before `initialize` there is nothing to ask for but a sign of life.
fn may_ask(session: &EventSession, request: &LegacyRequest<'_>) -> std::result::Result<(), Refusal> {
    if session.is_initialized() || request.method == LegacyMethod::Ping {
        return Ok(());
    }
    Err(Refusal::in_band(Error::new(Kind::InvalidRequest, "send initialize first"), Some(request.id)))
}

/// Where what a call says goes: onto the stream of its session, as it comes. Answers to its questions are posted.
fn sink(shard: &Rc<Shard>, session: &Rc<EventSession>, meta: &Meta<'_>) -> Sink {
    let id = session.state().id;
    let notices = RefCell::new(Notices::new(meta.progress_token, Some(shard.log_levels.of(&id))));
    let (shard, session) = (shard.clone(), session.clone());
    Sink::hand(move |said| {
        let told = match said {
            Said::Event(event) => tell(&mut notices.borrow_mut(), &event),
            Said::Question(question) => shard.asked.ask(shard.id, id, question),
        };
        told.is_none_or(|message| session.try_say(&shard, message))
    })
}
