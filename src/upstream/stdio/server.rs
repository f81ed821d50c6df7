//! The processes of one stdio server on one shard: one for each scope, restarted within bounds.

use crate::base::error::{Error, Kind, Result};
use crate::base::limits::{SCOPE_IDLE_MS, SCOPES_PER_SERVER_MAX};
use crate::mcp::revision::Era;
use crate::rt::task;
use crate::upstream::answer::{Answer, Outcome, ScopeKey, Sink, UpstreamCall};
use crate::upstream::health::Restarts;
use crate::upstream::leg::Verdict;
use crate::upstream::message;
use crate::upstream::patience::Patience;
use crate::upstream::probe::About;
use crate::upstream::scopes::{Lease, Scopes};
use crate::upstream::spec::{Scope, StdioSpec, TransportSpec};
use crate::upstream::stdio::open::{Opener, Ready};
use crate::upstream::stdio::process::Cancel;
use crate::upstream::wiring::{Opened, Transport, Wiring};
use futures_util::future::join_all;
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
    async fn process(&self, scope: &ScopeKey) -> Result<Lease<Ready>> {
        loop {
            let evict = |old: Rc<Ready>| drop(task::spawn(async move { old.process.stop().await }));
            let ready = match self.processes.held(scope) {
                Some(ready) => ready,
                // Boxed, as it is rare and each call would carry the room for it.
                None => Box::pin(self.processes.lease(scope, async || self.open().await, evict)).await?,
            };
            if ready.process.end().is_none() {
                return Ok(ready);
            }
            if self.processes.invalidate(scope, &ready) {
                self.restarts.died(ready.process.age());
            }
        }
    }

    async fn open(&self) -> Result<Ready> {
        self.restarts.admit()?;
        let wiring = &*self.wiring;
        let (spec, leg, ids, list_changed) = (&*wiring.spec, &wiring.leg, &*wiring.ids, &wiring.list_changed);
        let opened = Opener { spec, stdio: self.stdio()?, leg, ids, list_changed }.open().await;
        if opened.is_err() {
            self.restarts.died(Duration::ZERO);
        }
        opened
    }

    fn listing_scope(&self) -> ScopeKey {
        if self.wiring.spec.scope == Scope::Shared { ScopeKey::Shared } else { ScopeKey::Gate }
    }
}

impl Transport for StdioServer {
    async fn open(&self) -> Result<Opened> {
        let ready = self.process(&self.listing_scope()).await?;
        Ok(Opened { verdict: Verdict { era: ready.era, stateful: true }, about: ready.about.clone() })
    }

    async fn list(&self, cursor: Option<&[u8]>) -> Result<Outcome> {
        let ready = self.process(&self.listing_scope()).await?;
        let patience = Rc::new(Patience::fixed(self.wiring.spec.call_timeout));
        let ask = message::list(self.wiring.ids.mint(), ready.era, cursor);
        ready.process.ask(ask, &Sink::nowhere(), patience, Cancel::Tell).await
    }

    async fn call(&self, call: &UpstreamCall<'_>, sink: &Sink) -> Result<Answer> {
        let ready = self.process(&call.scope).await?;
        let patience = Rc::new(Patience::new(self.wiring.spec.call_timeout));
        let ask = message::call(self.wiring.ids.mint(), ready.era, call);
        let outcome = ready.process.ask(ask, sink, patience, Cancel::Tell).await?;
        Ok(Answer { outcome, era: ready.era })
    }

    async fn watch(&self, about: &About) -> Result<()> {
        let ready = self.process(&self.listing_scope()).await?;
        if ready.era == Era::Modern && about.tools_list_changed {
            let ask = message::listen(self.wiring.ids.mint());
            let forever = Rc::new(Patience::fixed(Duration::MAX));
            ready.process.ask(ask, &Sink::nowhere(), forever, Cancel::Tell).await?;
            return Ok(());
        }
        Err(ready.process.ended().await)
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
