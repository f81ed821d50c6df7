//! The processes of one stdio server on one shard: one for each scope, or for each set of capabilities in it, restarted
//! within bounds.

use crate::base::error::{Error, Kind, Result};
use crate::base::limits::{SCOPE_IDLE_MS, SCOPES_PER_SERVER_MAX};
use crate::catalog::ListKind;
use crate::mcp::caps::ClientCaps;
use crate::mcp::revision::{Era, Revision};
use crate::rt::task;
use crate::upstream::answer::{Answer, Outcome, ScopeKey, UpstreamCall};
use crate::upstream::health::Restarts;
use crate::upstream::leg::Verdict;
use crate::upstream::message;
use crate::upstream::patience::Patience;
use crate::upstream::pending::Asker;
use crate::upstream::probe::About;
use crate::upstream::said::Sink;
use crate::upstream::scopes::{Lease, Scopes, Seat};
use crate::upstream::spec::{Processes, Scope, StdioSpec, TransportSpec};
use crate::upstream::stdio::open::{Opener, Ready};
use crate::upstream::stdio::process::Cancel;
use crate::upstream::watched::{Subjects, follow, subscribe};
use crate::upstream::wiring::{Opened, Transport, Wiring};
use futures_util::future::{Either, LocalBoxFuture, join_all, select};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// A stdio server.
pub(in crate::upstream) struct StdioServer {
    wiring: Rc<Wiring>,
    processes: Scopes<Ready>,
    restarts: Restarts,
}

impl StdioServer {
    /// Starts nothing yet.
    pub(in crate::upstream) fn new(wiring: Rc<Wiring>, seed: u64) -> Self {
        Self { wiring, processes: Scopes::new(SCOPES_PER_SERVER_MAX), restarts: Restarts::new(seed) }
    }

    fn stdio(&self) -> Result<&StdioSpec> {
        match &self.wiring.spec.transport {
            TransportSpec::Stdio(stdio) => Ok(stdio),
            TransportSpec::Http(_) => Err(Error::new(Kind::Internal, "an http server was taken for a stdio one")),
        }
    }

    /// The process of a scope: the running one, or a fresh one where the last has ended.
    async fn process(&self, seat: &Seat) -> Result<Lease<Ready>> {
        loop {
            let evict = |old: Rc<Ready>| drop(task::spawn(async move { old.process.stop().await }));
            let ready = match self.processes.held(seat) {
                Some(ready) => ready,
                // Boxed, as it is rare and each call would carry the room for it.
                None => Box::pin(self.processes.lease(seat, async || self.open(seat).await, evict)).await?,
            };
            if ready.process.end().is_none() {
                return Ok(ready);
            }
            if self.processes.invalidate(seat, &ready) {
                self.restarts.died(ready.process.age());
            }
        }
    }

    async fn open(&self, seat: &Seat) -> Result<Ready> {
        self.restarts.admit()?;
        let wiring = &*self.wiring;
        let (spec, leg, ids) = (&*wiring.spec, &wiring.leg, &*wiring.ids);
        let is_asked = *seat == self.listing_seat();
        let watched = &if is_asked { wiring.watched.clone() } else { wiring.watched.aside() };
        let (list_changed, caps) = (&wiring.list_changed, seat.caps);
        let opened = Opener { spec, stdio: self.stdio()?, leg, ids, list_changed, watched, caps }.open().await;
        if opened.is_err() {
            self.restarts.died(Duration::ZERO);
        }
        opened
    }

    fn listing_seat(&self) -> Seat {
        let scope = if self.wiring.spec.scope == Scope::Shared { ScopeKey::Shared } else { ScopeKey::Gate };
        self.seat(scope, ClientCaps::ASKABLE.allowed_by(self.wiring.spec.asks))
    }

    /// Whose process a call runs in. Where a scope has but one, that is told all that policy lets it ask of anybody;
    /// what a client cannot do is refused when it is asked (docs/decisions/0009-questions.md). A modern process hears
    /// with each request what its client can do.
    fn seat(&self, scope: ScopeKey, caps: ClientCaps) -> Seat {
        let spec = &self.wiring.spec;
        let is_apart = spec.processes == Processes::PerCapabilities && self.wiring.leg.era() != Some(Era::Modern);
        let told = if is_apart { caps.within(Revision::NEWEST_LEGACY) } else { ClientCaps::ASKABLE };
        Seat { scope, caps: told.allowed_by(spec.asks) }
    }
}

impl StdioServer {
    /// Listens on one stream of a modern process.
    async fn listen(&self, ready: &Ready, about: &About, asked: Subjects) -> Result<()> {
        let Some(subjects) = about.listened_for(&self.wiring.watched, &asked) else {
            return std::future::pending().await;
        };
        let ask = message::listen(self.wiring.ids.mint(), about.changes, &subjects);
        self.wiring.watched.asking(ask.id, &asked);
        let forever = Patience::fixed(Duration::MAX);
        ready.process.ask(ask, &Asker::nobody(), &forever, Cancel::Tell).await.map(drop)
    }

    /// Keeps the subscriptions of a legacy process in line with what is wanted.
    async fn subscribe(&self, ready: &Ready) -> Result<()> {
        subscribe(&self.wiring.watched, async |change, uri| {
            let patience = Patience::fixed(self.wiring.spec.call_timeout);
            let ask = message::subscribe(self.wiring.ids.mint(), change, uri);
            ready.process.ask(ask, &Asker::nobody(), &patience, Cancel::Tell).await.map(drop)
        })
        .await
    }
}

impl Transport for StdioServer {
    async fn open(&self) -> Result<Opened> {
        let ready = self.process(&self.listing_seat()).await?;
        Ok(Opened {
            verdict: Verdict { era: ready.era, stateful: true, dual: Some(false) },
            about: ready.about.clone(),
        })
    }

    /// A process stays with the era of its first message.
    async fn other_leg(&self) -> Verdict {
        Verdict::MODERN_ALONE
    }

    async fn list(&self, kind: ListKind, cursor: Option<&[u8]>) -> Result<Outcome> {
        let ready = self.process(&self.listing_seat()).await?;
        let patience = Patience::fixed(self.wiring.spec.call_timeout);
        let ask = message::list(self.wiring.ids.mint(), ready.era, kind, cursor);
        ready.process.ask(ask, &Asker::nobody(), &patience, Cancel::Tell).await
    }

    async fn call(&self, call: &UpstreamCall<'_>, sink: &Sink) -> Result<Answer> {
        let ready = self.process(&self.seat(call.scope, call.caps)).await?;
        let patience = Patience::new(self.wiring.spec.call_timeout);
        let ask = message::call(self.wiring.ids.mint(), ready.era, call);
        let asker = Asker::client(sink, call.caps);
        let outcome = ready.process.ask(ask, &asker, &patience, Cancel::Tell).await?;
        Ok(Answer { outcome, era: ready.era })
    }

    async fn watch(&self, about: &About) -> Result<()> {
        let ready = self.process(&self.listing_seat()).await?;
        let is_heard = match ready.era {
            Era::Modern => about.can_be_listened_to(),
            Era::Legacy => about.offers.subscribe,
        };
        if !is_heard {
            return Err(ready.process.ended().await);
        }
        let ended = pin!(ready.process.ended());
        let listening = async {
            match ready.era {
                Era::Modern => {
                    let listen = |subjects| -> LocalBoxFuture<'_, _> { Box::pin(self.listen(&ready, about, subjects)) };
                    follow(&self.wiring.watched, listen).await
                }
                Era::Legacy => self.subscribe(&ready).await,
            }
        };
        match select(pin!(listening), ended).await {
            Either::Left((heard, _)) => heard,
            Either::Right((error, _)) => Err(error),
        }
    }

    async fn tidy(&self) {
        let idle = self.processes.expire(Duration::from_millis(SCOPE_IDLE_MS));
        join_all(idle.iter().map(|ready| ready.process.stop())).await;
    }

    async fn close(&self) {
        let all = self.processes.drain();
        join_all(all.iter().map(|ready| ready.process.stop())).await;
    }
}
