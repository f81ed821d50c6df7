//! One HTTP server on one shard: the leg that fits its era, and its legacy sessions.

use crate::base::error::{Error, Kind, Result};
use crate::base::limits::{SCOPE_IDLE_MS, SCOPES_PER_SERVER_MAX};
use crate::catalog::ListKind;
use crate::mcp::caps::ClientCaps;
use crate::mcp::revision::Era;
use crate::rt::task;
use crate::upstream::answer::{Answer, Outcome, ScopeKey, UpstreamCall};
use crate::upstream::http::legacy::{self, Legacy, Session, Tried};
use crate::upstream::http::modern::Modern;
use crate::upstream::http::wire::Wire;
use crate::upstream::leg::Verdict;
use crate::upstream::message;
use crate::upstream::patience::Patience;
use crate::upstream::probe::{About, Probed};
use crate::upstream::said::Sink;
use crate::upstream::scopes::{Lease, Scopes, Seat};
use crate::upstream::spec::{EraSetting, Scope};
use crate::upstream::wiring::{Opened, Transport, Wiring};
use futures_util::future::join_all;
use std::rc::Rc;
use std::time::Duration;

/// Sessions tried for one request: the one at hand, and a fresh one where the server has lost that.
const SESSIONS_TRIED: u32 = 2;

/// A Streamable HTTP server.
pub(in crate::upstream) struct HttpServer {
    wiring: Rc<Wiring>,
    wire: Result<Rc<Wire>>,
    sessions: Scopes<Session>,
    probes: Scopes<Era>,
}

impl HttpServer {
    /// Connects nothing yet. A wrong URL fails each use, not the start.
    pub(in crate::upstream) fn new(wiring: Rc<Wiring>, wire: Result<Rc<Wire>>) -> Self {
        let (sessions, probes) = (Scopes::new(SCOPES_PER_SERVER_MAX), Scopes::new(1));
        Self { wiring, wire, sessions, probes }
    }

    fn wire(&self) -> Result<&Rc<Wire>> {
        self.wire.as_ref().map_err(Clone::clone)
    }

    fn modern(&self) -> Result<Modern<'_>> {
        Ok(Modern { wiring: &self.wiring, wire: self.wire()? })
    }

    fn legacy(&self) -> Result<Legacy<'_>> {
        Ok(Legacy { wiring: &self.wiring, wire: self.wire()? })
    }

    /// The era to speak for a client of this one: set, known, or found out now, once for all who want to know.
    async fn era(&self, client: Era) -> Result<Era> {
        if let Some(era) = self.wiring.leg.era_for(client) {
            return Ok(era);
        }
        let find = async || match self.wiring.leg.era_for(client) {
            Some(era) => Ok(era),
            None => self.probe().await.map(|opened| opened.verdict.era),
        };
        let found = self.probes.lease(&Seat::default(), find, drop).await?;
        self.probes.invalidate(&Seat::default(), &found);
        Ok(*found)
    }

    /// Asks the server, and learns what it is.
    async fn probe(&self) -> Result<Opened> {
        match self.modern()?.probe().await? {
            Probed::Modern(about) => Ok(Opened { verdict: self.wiring.leg.found_modern(), about: about.into() }),
            Probed::Legacy if self.wiring.spec.era == EraSetting::Modern => {
                let context = "the server does not speak the modern revision; set `era` to \"auto\"";
                Err(Error::new(Kind::BadAnswer, context))
            }
            Probed::Legacy => self.open_legacy().await,
        }
    }

    /// Proves that a server is legacy by opening the session that lists it.
    async fn open_legacy(&self) -> Result<Opened> {
        let session = self.session(&self.listing_seat()).await?;
        Ok(Opened { verdict: Verdict::legacy(session.stateful), about: session.about.clone() })
    }

    /// Whose session lists: some servers list certain tools only to clients that can be asked what those need.
    fn listing_seat(&self) -> Seat {
        let scope = if self.wiring.spec.scope == Scope::Shared { ScopeKey::Shared } else { ScopeKey::Gate };
        Seat { scope, caps: ClientCaps::ASKABLE.allowed_by(self.wiring.spec.asks) }
    }

    fn is_modern(&self) -> bool {
        self.wiring.leg.known().is_some_and(|verdict| verdict.era == Era::Modern)
    }

    /// Whose session a call runs in: a server that keeps none needs but one.
    fn seat(&self, wanted: &Seat) -> Seat {
        let stateless = self.wiring.leg.known().is_some_and(|verdict| !verdict.stateful);
        if stateless { Seat { scope: ScopeKey::Shared, ..*wanted } } else { *wanted }
    }

    async fn session(&self, seat: &Seat) -> Result<Lease<Session>> {
        let wire = self.wire()?.clone();
        let end = move |old: Rc<Session>| drop(task::spawn(async move { legacy::delete(&wire, &old).await }));
        let open = async || {
            let is_asked = *seat == self.listing_seat();
            let watched = if is_asked { self.wiring.watched.clone() } else { self.wiring.watched.aside() };
            let session = self.legacy()?.initialize(seat.caps, watched).await;
            match &session {
                Ok(session) if self.is_modern() => self.wiring.leg.learn(Verdict::dual(session.stateful)),
                Ok(session) => self.wiring.leg.learn(Verdict::legacy(session.stateful)),
                Err(error) if error.kind == Kind::BadAnswer && self.is_modern() => {
                    self.wiring.leg.learn(Verdict::MODERN_ALONE);
                }
                Err(error) if error.kind == Kind::BadAnswer => self.wiring.leg.forget(),
                Err(_) => {}
            }
            session
        };
        match self.sessions.held(seat) {
            Some(session) => Ok(session),
            // Boxed, as it is rare and each call would carry the room for it.
            None => Box::pin(self.sessions.lease(seat, open, end)).await,
        }
    }

    /// Tries a request in a session, and once more in a fresh one where the server has lost that.
    async fn in_session<F>(&self, wanted: &Seat, request: F) -> Result<Outcome>
    where
        F: AsyncFn(&Session) -> Result<Tried>,
    {
        for _ in 0..SESSIONS_TRIED {
            let seat = self.seat(wanted);
            let session = self.session(&seat).await?;
            match request(&session).await? {
                Tried::Answered(outcome) => return Ok(outcome),
                Tried::SessionLost => drop(self.sessions.invalidate(&seat, &session)),
            }
        }
        Err(Error::new(Kind::BadAnswer, "the server loses each session as soon as it is opened"))
    }
}

impl Transport for HttpServer {
    async fn open(&self) -> Result<Opened> {
        match self.wiring.leg.era() {
            Some(Era::Legacy) => self.open_legacy().await,
            // A modern server is asked anew each time: what it offers may have changed.
            Some(Era::Modern) | None => self.probe().await,
        }
    }

    async fn other_leg(&self) -> Verdict {
        if self.wiring.spec.era != EraSetting::Auto {
            return Verdict::MODERN_ALONE;
        }
        match self.session(&self.listing_seat()).await {
            Ok(session) => Verdict::dual(session.stateful),
            Err(_) => Verdict::MODERN_ALONE,
        }
    }

    async fn list(&self, kind: ListKind, cursor: Option<&[u8]>) -> Result<Outcome> {
        let patience = Patience::fixed(self.wiring.spec.call_timeout);
        let id = self.wiring.ids.mint();
        match self.era(Era::Modern).await? {
            Era::Modern => {
                let ask = message::list(id, Era::Modern, kind, cursor);
                self.modern()?.ask(&ask, &patience).await
            }
            Era::Legacy => {
                let ask = message::list(id, Era::Legacy, kind, cursor);
                let legacy = self.legacy()?;
                let request = async |session: &Session| legacy.ask(session, &ask, &patience).await;
                self.in_session(&self.listing_seat(), request).await
            }
        }
    }

    async fn call(&self, call: &UpstreamCall<'_>, sink: &Sink) -> Result<Answer> {
        let patience = Patience::new(self.wiring.spec.call_timeout);
        let era = match self.wiring.leg.era_for(call.client) {
            Some(era) => era,
            None => patience.wait(Box::pin(self.era(call.client)).as_mut()).await??,
        };
        let outcome = match era {
            Era::Modern => self.modern()?.call(call, sink, &patience).await?,
            Era::Legacy => {
                let legacy = self.legacy()?;
                let request = async |session: &Session| legacy.call(session, call, sink, &patience).await;
                self.in_session(&Seat { scope: call.scope, caps: call.caps }, request).await?
            }
        };
        Ok(Answer { outcome, era })
    }

    async fn watch(&self, about: &About) -> Result<()> {
        if !about.can_be_listened_to() {
            return std::future::pending().await;
        }
        match self.era(Era::Modern).await? {
            Era::Modern => self.modern()?.watch(about).await,
            Era::Legacy => {
                let seat = self.seat(&self.listing_seat());
                let session = self.session(&seat).await?;
                if let Tried::SessionLost = self.legacy()?.watch(&session).await? {
                    self.sessions.invalidate(&seat, &session);
                }
                Ok(())
            }
        }
    }

    async fn tidy(&self) {
        let idle = self.sessions.expire(Duration::from_millis(SCOPE_IDLE_MS));
        self.delete(idle).await;
    }

    async fn close(&self) {
        self.delete(self.sessions.drain()).await;
    }
}

impl HttpServer {
    async fn delete(&self, sessions: Vec<Rc<Session>>) {
        if let Ok(wire) = self.wire() {
            join_all(sessions.iter().map(|session| legacy::delete(wire, session))).await;
        }
    }
}
