//! Starts a process and finds out how to speak to it.
//!
//! Some legacy servers end on any message before `initialize`, and a dual-era server stays with the era of its first
//! message: so whatever the probe leaves behind other than a clear answer, `initialize` goes to a fresh process.

use crate::base::error::{Error, Kind, Result};
use crate::mcp::caps::ClientCaps;
use crate::mcp::revision::Era;
use crate::rt::local::Notify;
use crate::upstream::answer::Outcome;
use crate::upstream::leg::{Leg, Verdict};
use crate::upstream::message::{self, Ask};
use crate::upstream::patience::Patience;
use crate::upstream::pending::Asker;
use crate::upstream::probe::{About, Probed, judge_discover, judge_initialize};
use crate::upstream::spec::{ServerSpec, StdioSpec};
use crate::upstream::stdio::process::{Cancel, Process};
use crate::upstream::watched::Watched;
use crate::upstream::wiring::Ids;
use std::rc::Rc;
use std::time::Duration;

/// A process that is ready to be asked.
pub(super) struct Ready {
    /// The process.
    pub(super) process: Process,
    /// The era it speaks.
    pub(super) era: Era,
    /// What it says of itself.
    pub(super) about: Rc<About>,
}

/// What is needed to open processes of one server.
pub(super) struct Opener<'a> {
    pub(super) spec: &'a ServerSpec,
    pub(super) stdio: &'a StdioSpec,
    pub(super) leg: &'a Leg,
    pub(super) ids: &'a Ids,
    pub(super) list_changed: &'a Rc<Notify>,
    pub(super) watched: &'a Rc<Watched>,
    /// What is declared to it.
    pub(super) caps: ClientCaps,
}

impl Opener<'_> {
    /// Starts a process and shakes hands with it in the era that is set, known or found.
    ///
    /// # Errors
    /// [`Kind::Unreachable`]: it cannot be started or ends; [`Kind::Timeout`], [`Kind::BadAnswer`]: no handshake.
    pub(super) async fn open(&self) -> Result<Ready> {
        let opened = match self.leg.era() {
            Some(Era::Modern) => self.modern().await,
            Some(Era::Legacy) => self.legacy(self.start()?).await,
            None => self.probe().await,
        };
        match &opened {
            Ok(ready) => self.leg.learn(Verdict { era: ready.era, stateful: true, dual: Some(false) }),
            // What was known may be wrong by now; the next try asks again.
            Err(_) => self.leg.forget(),
        }
        opened
    }

    async fn probe(&self) -> Result<Ready> {
        let process = self.start()?;
        match self.discover(&process).await {
            Ok(Probed::Modern(about)) => Ok(self.ready(process, Era::Modern, about)),
            Ok(Probed::Legacy) => match self.legacy(process).await {
                Ok(ready) => Ok(ready),
                Err(_) => self.legacy(self.start()?).await,
            },
            Err(error) if matches!(error.kind, Kind::Timeout | Kind::Unreachable) => {
                drop(process);
                self.legacy(self.start()?).await
            }
            Err(error) => Err(error),
        }
    }

    async fn modern(&self) -> Result<Ready> {
        let process = self.start()?;
        match self.discover(&process).await? {
            Probed::Modern(about) => Ok(self.ready(process, Era::Modern, about)),
            Probed::Legacy => Err(Error::new(Kind::BadAnswer, "the server no longer speaks the modern revision")),
        }
    }

    async fn discover(&self, process: &Process) -> Result<Probed> {
        let ask = message::discover(self.ids.mint());
        let outcome = self.ask(process, ask, self.spec.probe_timeout).await?;
        judge_discover(&outcome)
    }

    async fn legacy(&self, process: Process) -> Result<Ready> {
        let ask = message::initialize(self.ids.mint(), self.caps);
        let outcome = self.ask(&process, ask, self.spec.call_timeout).await?;
        let about = judge_initialize(&outcome)?;
        process.notify(&message::initialized());
        Ok(self.ready(process, Era::Legacy, about))
    }

    fn ready(&self, process: Process, era: Era, about: About) -> Ready {
        Ready { process, era, about: about.into() }
    }

    fn start(&self) -> Result<Process> {
        Process::start(&self.spec.name, self.stdio, self.list_changed.clone(), self.watched.clone())
    }

    async fn ask(&self, process: &Process, ask: Ask<'_>, limit: Duration) -> Result<Outcome> {
        let patience = Patience::fixed(limit);
        process.ask(ask, &Asker::nobody(), &patience, Cancel::Silently).await
    }
}
