//! What all client threads of a run share: the requests, who sends them when, and the times.

use super::pick::Picks;
use super::schedule::Schedule;
use crate::order::{Load, Order};
use crate::scenario::{Reading, Scenario};
use crate::wire::Requests;
use std::net::SocketAddr;
use std::time::Duration;

/// A run, ready to be started.
#[derive(Debug)]
pub(super) struct Plan {
    /// The scenario.
    pub(super) scenario: Scenario,
    /// Where to.
    pub(super) address: SocketAddr,
    /// Every request there is.
    pub(super) requests: Requests,
    /// Which comes next.
    pub(super) picks: Picks,
    /// The numbers of the requests that sessions and streams need.
    pub(super) fixed: Fixed,
    /// Appointed times; nothing in a closed loop.
    pub(super) schedule: Option<Schedule>,
    /// Client threads.
    pub(super) threads: usize,
    /// Connections of all threads together.
    pub(super) connections: usize,
    /// Time before what is measured.
    pub(super) warm_up: Duration,
    /// Time that is measured.
    pub(super) lasts: Duration,
    /// Patience with one request.
    pub(super) patience: Duration,
    /// Process whose CPU time is counted.
    pub(super) process: Option<u32>,
}

/// Requests that are sent on the side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed {
    /// `initialize`.
    pub(super) initialize: usize,
    /// `notifications/initialized`.
    pub(super) initialized: usize,
    /// `subscriptions/listen`.
    pub(super) listen: usize,
}

impl Plan {
    /// This thread's share of a number that is split among all.
    pub(super) fn share(&self, of: usize, thread: usize) -> usize {
        of / self.threads + usize::from(thread < of % self.threads)
    }

    /// How answers are read.
    pub(super) fn reading(&self) -> Reading {
        self.scenario.reader
    }
}

/// Measured time of an order: an open profile's stages say it themselves.
pub(super) fn measured(order: &Order) -> Duration {
    match &order.load {
        Load::Closed => order.lasts,
        Load::Open(stages) => stages.iter().map(|stage| stage.lasts).sum(),
    }
}
