//! Starts a process and finds out how to speak to it.
//!
//! Some legacy servers end on any message before `initialize`, and a dual-era server stays with the era of its first
//! message: so whatever the probe leaves behind other than a clear answer, `initialize` goes to a fresh process.

use crate::base::error::{Error, Kind, Result};
use crate::rt::local::Notify;
use crate::upstream::answer::{LegEra, Sink};
use crate::upstream::leg::{Leg, Verdict};
use crate::upstream::message;
use crate::upstream::patience::Patience;
use crate::upstream::probe::{Offer, Probed, judge_discover, judge_initialize};
use crate::upstream::spec::{ServerSpec, StdioSpec};
use crate::upstream::stdio::process::{Cancel, Process};
use crate::upstream::wiring::Ids;
use std::rc::Rc;
use std::time::Duration;

/// A process that is ready to be asked.
pub(super) struct Ready {
    /// The process.
    pub(super) process: Process,
    /// The era it speaks.
    pub(super) era: LegEra,
    /// What it offers.
    pub(super) offer: Offer,
}

/// What is needed to open processes of one server.
pub(super) struct Opener<'a> {
    pub(super) spec: &'a ServerSpec,
    pub(super) stdio: &'a StdioSpec,
    pub(super) leg: &'a Leg,
    pub(super) ids: &'a Ids,
    pub(super) list_changed: &'a Rc<Notify>,
}

impl Opener<'_> {
    /// Starts a process and shakes hands with it in the era that is set, known or found.
    ///
    /// # Errors
    /// [`Kind::Unreachable`]: it cannot be started or ends; [`Kind::Timeout`], [`Kind::BadAnswer`]: no handshake.
    pub(super) async fn open(&self) -> Result<Ready> {
        let opened = match self.leg.era() {
            Some(LegEra::Modern) => self.modern().await,
            Some(LegEra::Legacy) => self.legacy(self.start()?).await,
            None => self.probe().await,
        };
        match &opened {
            Ok(ready) => self.leg.learn(Verdict { era: ready.era, stateful: true }),
            // What was known may be wrong by now; the next try asks again.
            Err(_) => self.leg.forget(),
        }
        opened
    }

    async fn probe(&self) -> Result<Ready> {
        let process = self.start()?;
        match self.discover(&process).await {
            Ok(Probed::Modern(offer)) => Ok(Ready { process, era: LegEra::Modern, offer }),
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
            Probed::Modern(offer) => Ok(Ready { process, era: LegEra::Modern, offer }),
            Probed::Legacy => Err(Error::new(Kind::BadAnswer, "the server no longer speaks the modern revision")),
        }
    }

    async fn discover(&self, process: &Process) -> Result<Probed> {
        let id = self.ids.mint();
        let outcome = self.ask(process, id, message::discover(id), self.spec.probe_timeout).await?;
        judge_discover(&outcome)
    }

    async fn legacy(&self, process: Process) -> Result<Ready> {
        let id = self.ids.mint();
        let outcome = self.ask(&process, id, message::initialize(id), self.spec.call_timeout).await?;
        let (_, offer) = judge_initialize(&outcome)?;
        process.notify(message::initialized());
        Ok(Ready { process, era: LegEra::Legacy, offer })
    }

    fn start(&self) -> Result<Process> {
        Process::start(&self.spec.name, self.stdio, self.list_changed.clone())
    }

    async fn ask(
        &self,
        process: &Process,
        id: u64,
        ask: message::Ask,
        limit: Duration,
    ) -> Result<crate::upstream::answer::Outcome> {
        let patience = Rc::new(Patience::fixed(limit));
        process.ask(id, ask, &Sink::nowhere(), patience, Cancel::Silently).await
    }
}
