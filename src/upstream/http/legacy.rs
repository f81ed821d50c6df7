//! The legacy leg (2025-11-25 and earlier): `initialize`, then requests in a session, if the server keeps one. A server
//! that takes no `initialize` at its URL is tried with the older HTTP+SSE transport.

use crate::base::buf::Piece;
use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result};
use crate::mcp::caps::ClientCaps;
use crate::mcp::revision::Era;
use crate::rt::{task, time};
use crate::upstream::answer::{Outcome, UpstreamCall};
use crate::upstream::http::asides::{ASIDE, Asides, GivenUp};
use crate::upstream::http::asks::Asks;
use crate::upstream::http::exchange::{Exchange, ServerRequest, incomplete};
use crate::upstream::http::reply::{Messages, Refusal, Reply};
use crate::upstream::http::sse;
use crate::upstream::http::sse_session::SseSession;
use crate::upstream::http::wire::{Prepared, Wire};
use crate::upstream::message::{self, Ask};
use crate::upstream::patience::{Patience, QUESTION};
use crate::upstream::pending::Asker;
use crate::upstream::probe::{About, judge_initialize};
use crate::upstream::said::Sink;
use crate::upstream::spec::EraSetting;
use crate::upstream::watched::Watched;
use crate::upstream::wiring::Wiring;
use crate::wire::rpc;
use std::pin::pin;
use std::rc::Rc;

/// What a server gave at `initialize`. Where it gave no session id it keeps no state, and any shard may speak to it.
pub(super) struct Session {
    pub(super) headers: Rc<Prepared>,
    /// Whether it has a session id.
    pub(super) stateful: bool,
    /// What the server says of itself.
    pub(super) about: Rc<About>,
    /// What was declared to the server: no more is answered.
    pub(super) caps: ClientCaps,
    pub(super) asks: Rc<Asks>,
    pub(super) asides: Rc<Asides>,
    /// Told what the server says of resources: by the one session that subscribes, and else nobody.
    pub(super) watched: Rc<Watched>,
    /// Where it is one of HTTP+SSE, which then carries everything.
    pub(super) events: Option<SseSession>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.asks.ended.notify_one();
    }
}

/// How a request in a session went.
pub(super) enum Tried {
    /// It was answered.
    Answered(Outcome),
    /// The server no longer knows the session, and has executed nothing.
    SessionLost,
}

/// The legacy leg of one server.
pub(super) struct Legacy<'a> {
    pub(super) wiring: &'a Wiring,
    pub(super) wire: &'a Rc<Wire>,
}

impl Legacy<'_> {
    /// Shakes hands as a client that can do this much.
    ///
    /// # Errors
    /// As the server refused it; [`Kind::BadAnswer`]: it answered what no legacy server does.
    pub(super) async fn initialize(&self, caps: ClientCaps, watched: Rc<Watched>) -> Result<Session> {
        if self.wiring.spec.era == EraSetting::Sse {
            return self.open_events(caps, watched).await;
        }
        let patience = Patience::fixed(self.wiring.spec.call_timeout);
        let ask = message::initialize(self.wiring.ids.mint(), caps);
        let reply = self.post(self.wire.bare(), ask.body, &patience).await?;
        let messages = match reply {
            Reply::Messages(messages) => messages,
            Reply::Accepted => return Err(Error::new(Kind::BadAnswer, "the server took initialize without an answer")),
            Reply::Refused(refusal) => return self.older(refusal, caps, watched).await,
        };
        let session_id = messages.session_id()?;
        let sink = Sink::nowhere();
        let outcome = self.exchange(ask.id, &sink, &patience, &watched).finish(messages, async |_| Ok(())).await?;
        let about = Rc::new(judge_initialize(&outcome)?);
        let stateful = session_id.is_some();
        let mut headers = vec![("MCP-Protocol-Version", about.revision.as_str())];
        headers.extend(session_id.as_deref().map(|id| ("Mcp-Session-Id", id)));
        let headers = self.wire.prepare(&headers)?;
        let (asks, asides) = Default::default();
        let session = Session { headers, stateful, about, caps, asks, asides, watched, events: None };
        // A server that answers this with an error says so again at the first request.
        let _ = self.post(&session.headers, message::initialized(), &patience).await?;
        Ok(session)
    }

    /// Tries the older transport with a server that refused `initialize`: a status that such a server gives to any POST
    /// at the URL of its event stream says no more (2025-03-26 basic/transports, backwards compatibility).
    async fn older(&self, refusal: Refusal, caps: ClientCaps, watched: Rc<Watched>) -> Result<Session> {
        // A server that is modern without a handshake has no need for a transport that old.
        let is_modern = self.wiring.leg.known().is_some_and(|verdict| verdict.era == Era::Modern);
        if is_modern || !matches!(refusal.status, 400 | 404 | 405) {
            return Err(refusal.into_error().at("initialize"));
        }
        match self.open_events(caps, watched).await {
            Ok(session) => Ok(session),
            Err(error) => Err(not_legacy(refusal, &error)),
        }
    }

    async fn open_events(&self, caps: ClientCaps, watched: Rc<Watched>) -> Result<Session> {
        let (events, about) = Box::pin(sse::open(self.wiring, self.wire, caps, &watched)).await?;
        let headers = self.wire.bare().clone();
        let (about, asks, asides) = (about.into(), Rc::default(), Rc::default());
        Ok(Session { headers, stateful: true, about, caps, asks, asides, watched, events: Some(events) })
    }

    /// One request that is no call.
    pub(super) async fn ask(&self, session: &Session, ask: &Ask<'_>, patience: &Patience) -> Result<Tried> {
        if let Some(events) = &session.events {
            return Box::pin(events.ask(ask, &Asker::nobody(), patience, true)).await;
        }
        self.request(session, ask, &Sink::nowhere(), patience).await
    }

    /// One call. Dropping it tells the server, as closing the connection alone does not cancel.
    pub(super) async fn call(
        &self,
        session: &Session,
        call: &UpstreamCall<'_>,
        sink: &Sink,
        patience: &Patience,
    ) -> Result<Tried> {
        // Boxed, as most clients can be asked nothing.
        let _under_way = match call.caps.can_be_asked() && session.stateful && session.events.is_none() {
            true => Some(Box::pin(self.listen(session, sink, patience)).await),
            false => None,
        };
        let id = self.wiring.ids.mint();
        if let Some(events) = &session.events {
            let ask = message::call(id, Era::Legacy, call);
            let asker = Asker::client(sink, call.caps);
            return Box::pin(events.call(&ask, &asker, patience)).await;
        }
        let (wire, headers) = (self.wire.clone(), session.headers.clone());
        let given_up = GivenUp::new(id, move |word| cancel(wire.clone(), headers.clone(), word));
        let tried = self.request(session, &message::call(id, Era::Legacy, call), sink, patience).await;
        if let Ok(Tried::Answered(outcome)) = &tried {
            session.watched.answered(sink, outcome);
        }
        let gone = tried.as_ref().is_err_and(|error| matches!(error.kind, Kind::Unreachable | Kind::Credential));
        if tried.is_ok() || gone {
            given_up.forget();
        }
        tried
    }

    async fn request(&self, session: &Session, ask: &Ask<'_>, sink: &Sink, patience: &Patience) -> Result<Tried> {
        let mut reply = self.post(&session.headers, ask.body.clone(), patience).await?;
        // Looked at where it stands: taken apart, the future of every call would keep the parts beside the whole.
        let messages = match &mut reply {
            Reply::Messages(messages) => messages,
            Reply::Accepted => {
                return Err(Error::new(Kind::BadAnswer, "the server took a request without answering it"));
            }
            // Boxed, as it is rare and each call would carry the room for it.
            Reply::Refused(refusal) => return Box::pin(self.refused(session, refusal, patience)).await,
        };
        // Boxed, as a server seldom asks and each call would carry the room for it.
        let serve = async |request| Box::pin(self.serve(session, request, sink, patience)).await;
        let exchange = self.exchange(ask.id, sink, patience, &session.watched);
        loop {
            if let Some(outcome) = exchange.read(messages, &serve).await? {
                reply.wind_up();
                return Ok(Tried::Answered(outcome));
            }
            *messages = Box::pin(self.resume(session, messages, patience)).await?;
        }
    }

    /// Goes on with a stream that has ended before the response (2025-11-25 basic/transports, resumability).
    async fn resume(&self, session: &Session, ended: &Messages, patience: &Patience) -> Result<Messages> {
        let (last, wait) = ended.resumable().ok_or_else(incomplete)?;
        let resumed = async {
            time::sleep(wait).await;
            let last = [("Last-Event-ID", &*last)];
            let response = pin!(self.wire.get(&session.headers, &last, patience.cap()));
            Reply::of(response, self.wiring.spec.answer_max).await
        };
        match patience.wait(pin!(resumed)).await?? {
            Reply::Messages(messages) => Ok(messages),
            Reply::Refused(_) | Reply::Accepted => Err(incomplete()),
        }
    }

    async fn refused(&self, session: &Session, refusal: &Refusal, patience: &Patience) -> Result<Tried> {
        if session.stateful && (refusal.status == 404 || self.is_lost(session, refusal, patience).await?) {
            return Ok(Tried::SessionLost);
        }
        match refusal.error.clone().filter(|_| !refusal.is_credential()) {
            Some(error) => Ok(Tried::Answered(Outcome::Error(error))),
            None => Err(refusal.clone().into_error()),
        }
    }

    /// Whether a server that says 400 means the session: many do, where the specification wants 404. A session that
    /// cannot even be pinged is gone; in any other the refusal is about the request, which must not run twice.
    async fn is_lost(&self, session: &Session, refusal: &Refusal, patience: &Patience) -> Result<bool> {
        if refusal.status != 400 || refusal.is_about_request() {
            return Ok(false);
        }
        let ask = message::ping(self.wiring.ids.mint());
        Ok(match self.post(&session.headers, ask.body, patience).await? {
            Reply::Refused(again) => matches!(again.status, 400 | 404) && !again.is_about_request(),
            Reply::Messages(_) | Reply::Accepted => false,
        })
    }

    /// Answers a request that the server sent down a stream of ours: from its client, if the session's may be asked
    /// that. The stream is read on meanwhile.
    async fn serve(&self, session: &Session, request: ServerRequest, sink: &Sink, patience: &Patience) -> Result<()> {
        let permitted = session.caps.permits(&request.method, Some(&request.params));
        let Some(aside) = session.asides.begin().filter(|_| permitted) else {
            let reply = message::reply(&request.id, &request.method);
            return self.post(&session.headers, reply, patience).await.map(drop);
        };
        let name = rpc::string(&request.id);
        let answer = session.watched.ask(sink, name.as_deref(), &request.method, request.params)?;
        let hold = patience.holds().begin(QUESTION);
        let (wire, headers, id) = (self.wire.clone(), session.headers.clone(), request.id);
        task::spawn(async move {
            let reply = time::timeout(QUESTION, answer).await.ok().and_then(|answer| answer.ok());
            let said = wire.post(&headers, &[], message::answer(&id, reply.as_ref()), Clock::now() + ASIDE).await;
            if let Err(error) = said {
                tracing::debug!("could not answer a server's request: {error}");
            }
            drop((hold, aside));
        });
        Ok(())
    }

    pub(super) async fn post(&self, headers: &Prepared, body: Piece, patience: &Patience) -> Result<Reply> {
        let response = pin!(self.wire.post(headers, &[], body, patience.cap()));
        patience.wait(pin!(Reply::of(response, self.wiring.spec.answer_max))).await?
    }

    pub(super) fn exchange<'a>(
        &'a self,
        id: u64,
        sink: &'a Sink,
        patience: &'a Patience,
        watched: &'a Watched,
    ) -> Exchange<'a> {
        Exchange { id, sink, patience, list_changed: &self.wiring.list_changed, watched }
    }
}

/// Ends a session at the server. Whether it agrees does not matter.
pub(super) async fn delete(wire: &Wire, session: &Session) {
    // One of HTTP+SSE ends with its stream.
    if !session.stateful || session.events.is_some() {
        return;
    }
    if let Err(error) = wire.delete(&session.headers, Clock::now() + ASIDE).await {
        tracing::debug!("could not end a session: {error}");
    }
}

/// Sends word that a call is given up, and waits for nothing.
fn cancel(wire: Rc<Wire>, headers: Rc<Prepared>, word: Piece) {
    task::spawn(async move {
        if let Err(error) = wire.post(&headers, &[], word, Clock::now() + ASIDE).await {
            tracing::debug!("could not cancel a call: {error}");
        }
    });
}

/// Why a refused `initialize` leaves no way to speak to the server.
fn not_legacy(refusal: Refusal, older: &Error) -> Error {
    let status = refusal.status;
    if refusal.error.is_none() {
        let context = format!(
            "the server knows neither server/discover nor initialize at this `url` (last status {status}), \
             nor the HTTP+SSE transport of 2024-11-05 ({})",
            older.context
        );
        return Error::new(Kind::BadAnswer, context);
    }
    refusal.into_error().at("initialize")
}
