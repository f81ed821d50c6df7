//! The treasury as control turns to it: leases that shards ask for, looks into the journal, reloads.

use crate::base::clock::Clock;
use crate::base::error::Result;
use crate::base::limits::LEDGER_LOOK_MS;
use crate::config::Snapshot;
use crate::config::settings::Settings;
use crate::control::books::JournalBooks;
use crate::control::treasury::Treasury;
use crate::policy::Budget;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Budgets of which more is wanted, taken up at once: one change of the store serves them all.
const ASKED_AT_ONCE: usize = 1_024;

/// The money of a running gate. Without budgets there is no treasury.
pub struct Purse {
    treasury: Option<Treasury<JournalBooks>>,
    asked: Receiver<Arc<Budget>>,
    looks: Interval,
    state: PathBuf,
    journal: PathBuf,
    shards: u16,
}

/// What is to be done.
pub(super) enum Due {
    /// Shards want more of these.
    Leases(Vec<Arc<Budget>>),
    /// It is time to read the journal.
    Look,
}

impl Purse {
    /// Takes up the ledger before the shards start: where there are budgets, or a process before kept one.
    ///
    /// # Errors
    /// The ledger or the journal cannot be read.
    pub fn start(settings: &Settings, snapshot: &Snapshot, shards: u16, asked: Receiver<Arc<Budget>>) -> Result<Self> {
        let (state, journal) = (settings.state.path().to_owned(), settings.journal.directory.clone());
        let mut looks = interval(Duration::from_millis(LEDGER_LOOK_MS));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut purse = Self { treasury: None, asked, looks, state, journal, shards };
        if snapshot.limits.budgets().next().is_some() || Treasury::is_kept(&purse.state)? {
            purse.treasury = Some(purse.take_up(snapshot, true)?);
        }
        Ok(purse)
    }

    /// Waits for something to do. Nothing is lost where it is dropped.
    pub(super) async fn due(&mut self) -> Due {
        let is_behind = self.treasury.as_ref().is_some_and(Treasury::is_behind);
        let mut asked = Vec::new();
        tokio::select! {
            _ = self.asked.recv_many(&mut asked, ASKED_AT_ONCE) => Due::Leases(asked),
            _ = self.looks.tick(), if self.treasury.is_some() => Due::Look,
            () = tokio::task::yield_now(), if is_behind => Due::Look,
        }
    }

    /// Does it.
    pub(super) fn turn(&mut self, due: Due) {
        let now = Clock::wall();
        let done = match (due, &mut self.treasury) {
            (_, None) => return,
            (Due::Leases(asked), Some(treasury)) => treasury.provide(&asked, now),
            (Due::Look, Some(treasury)) => treasury.look(now),
        };
        if let Err(error) = done {
            tracing::error!(%error, "the ledger of budgets cannot be kept: calls with a price wait for it");
        }
    }

    /// A new snapshot is to be in force; `is_reload` where the store may say something else too.
    pub(super) fn follow(&mut self, snapshot: &Snapshot, is_reload: bool) {
        let done = match &mut self.treasury {
            None if snapshot.limits.budgets().next().is_none() => return,
            None => self.take_up(snapshot, false).map(|treasury| self.treasury = Some(treasury)),
            Some(treasury) if is_reload => treasury.reread(Clock::wall()),
            Some(_) => return,
        };
        if let Err(error) = done {
            tracing::error!(%error, "the ledger of budgets cannot be kept: calls with a price wait for it");
        }
    }

    /// Ends the ledger in order, once every shard has ended.
    pub(super) fn close(self) {
        if let Some(Err(error)) = self.treasury.map(Treasury::close) {
            tracing::warn!(%error, "the ledger of budgets was not ended; the next start finds out what is spent");
        }
    }

    fn take_up(&self, snapshot: &Snapshot, is_start: bool) -> Result<Treasury<JournalBooks>> {
        let how = (self.shards, Clock::wall(), is_start);
        Treasury::take_up((&self.state, &self.journal), snapshot, how)
    }
}
