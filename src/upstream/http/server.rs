//! One HTTP server on one shard: the leg that fits its era, and its legacy sessions.

use crate::base::error::{Error, Kind, Result};
use crate::base::limits::{SCOPE_IDLE_MS, SCOPES_PER_SERVER_MAX};
use crate::mcp::revision::Era;
use crate::rt::task;
use crate::upstream::answer::{Answer, Outcome, ScopeKey, Sink, UpstreamCall};
use crate::upstream::http::legacy::{self, Legacy, Session, Tried};
use crate::upstream::http::modern::Modern;
use crate::upstream::http::wire::Wire;
use crate::upstream::leg::Verdict;
use crate::upstream::message;
use crate::upstream::patience::Patience;
use crate::upstream::probe::{About, Probed};
use crate::upstream::scopes::{Lease, Scopes};
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
        Self { wiring, wire, sessions: Scopes::new(SCOPES_PER_SERVER_MAX), probes: Scopes::new(1) }
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

    /// The era to speak: set, known, or found out now, once for all who want to know.
    async fn era(&self) -> Result<Era> {
        if let Some(era) = self.wiring.leg.era() {
            return Ok(era);
        }
        let find = async || match self.wiring.leg.era() {
            Some(era) => Ok(era),
            None => self.probe().await.map(|opened| opened.verdict.era),
        };
        let found = self.probes.lease(&ScopeKey::Shared, find, drop).await?;
        self.probes.invalidate(&ScopeKey::Shared, &found);
        Ok(*found)
    }

    /// Asks the server, and learns what it is.
    async fn probe(&self) -> Result<Opened> {
        match self.modern()?.probe().await? {
            Probed::Modern(about) => {
                self.wiring.leg.learn(Verdict::MODERN);
                Ok(Opened { verdict: Verdict::MODERN, about: about.into() })
            }
            Probed::Legacy if self.wiring.spec.era == EraSetting::Modern => {
                let context = "the server does not speak the modern revision; set `era` to \"auto\"";
                Err(Error::new(Kind::BadAnswer, context))
            }
            Probed::Legacy => self.open_legacy().await,
        }
    }

    /// Proves that a server is legacy by opening the session that lists it.
    async fn open_legacy(&self) -> Result<Opened> {
        let session = self.session(&self.listing_scope()).await?;
        Ok(Opened { verdict: Verdict::legacy(session.stateful), about: session.about.clone() })
    }

    fn listing_scope(&self) -> ScopeKey {
        if self.wiring.spec.scope == Scope::Shared { ScopeKey::Shared } else { ScopeKey::Gate }
    }

    /// Whose session a call runs in: a server that keeps none needs but one.
    fn session_scope(&self, wanted: &ScopeKey) -> ScopeKey {
        let stateless = self.wiring.leg.known().is_some_and(|verdict| !verdict.stateful);
        if stateless { ScopeKey::Shared } else { *wanted }
    }

    async fn session(&self, scope: &ScopeKey) -> Result<Lease<Session>> {
        let wire = self.wire()?.clone();
        let end = move |old: Rc<Session>| drop(task::spawn(async move { legacy::delete(&wire, &old).await }));
        let open = async || {
            let session = self.legacy()?.initialize().await;
            match &session {
                Ok(session) => self.wiring.leg.learn(Verdict::legacy(session.stateful)),
                Err(error) if error.kind == Kind::BadAnswer => self.wiring.leg.forget(),
                Err(_) => {}
            }
            session
        };
        match self.sessions.held(scope) {
            Some(session) => Ok(session),
            // Boxed, as it is rare and each call would carry the room for it.
            None => Box::pin(self.sessions.lease(scope, open, end)).await,
        }
    }

    /// Tries a request in a session, and once more in a fresh one where the server has lost that.
    async fn in_session<F>(&self, wanted: &ScopeKey, request: F) -> Result<Outcome>
    where
        F: AsyncFn(&Session) -> Result<Tried>,
    {
        for _ in 0..SESSIONS_TRIED {
            let scope = self.session_scope(wanted);
            let session = self.session(&scope).await?;
            match request(&session).await? {
                Tried::Answered(outcome) => return Ok(outcome),
                Tried::SessionLost => drop(self.sessions.invalidate(&scope, &session)),
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

    async fn list(&self, cursor: Option<&[u8]>) -> Result<Outcome> {
        let patience = Patience::fixed(self.wiring.spec.call_timeout);
        let id = self.wiring.ids.mint();
        match self.era().await? {
            Era::Modern => {
                let ask = message::list(id, Era::Modern, cursor);
                self.modern()?.ask(&ask, &patience).await
            }
            Era::Legacy => {
                let ask = message::list(id, Era::Legacy, cursor);
                let legacy = self.legacy()?;
                let request = async |session: &Session| legacy.ask(session, &ask, &patience).await;
                self.in_session(&self.listing_scope(), request).await
            }
        }
    }

    async fn call(&self, call: &UpstreamCall<'_>, sink: &Sink) -> Result<Answer> {
        let patience = Patience::new(self.wiring.spec.call_timeout);
        let era = match self.wiring.leg.era() {
            Some(era) => era,
            None => patience.wait(Box::pin(self.era()).as_mut()).await??,
        };
        let outcome = match era {
            Era::Modern => self.modern()?.call(call, sink, &patience).await?,
            Era::Legacy => {
                let legacy = self.legacy()?;
                let request = async |session: &Session| legacy.call(session, call, sink, &patience).await;
                self.in_session(&call.scope, request).await?
            }
        };
        Ok(Answer { outcome, era })
    }

    async fn watch(&self, about: &About) -> Result<()> {
        if !about.tools_list_changed {
            return std::future::pending().await;
        }
        match self.era().await? {
            Era::Modern => self.modern()?.watch().await,
            Era::Legacy => {
                let scope = self.session_scope(&self.listing_scope());
                let session = self.session(&scope).await?;
                if let Tried::SessionLost = self.legacy()?.watch(&session).await? {
                    self.sessions.invalidate(&scope, &session);
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
