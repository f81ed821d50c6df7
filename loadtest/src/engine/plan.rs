//! What all client threads of a run share: the requests, who sends them when, and the times.

use super::pick::Picks;
use super::schedule::Schedule;
use super::thread::TICK;
use crate::order::{Load, Order};
use crate::scenario::{Reading, Scenario};
use crate::wire::Requests;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Ticks between the wish that a run ends and its end: by then every thread has heard of it.
const STOP_TICKS: i64 = 2;

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
    /// Where the target tells its metrics.
    pub(super) metrics: Option<(SocketAddr, String)>,
    /// The tick with which the run ends early; beyond the last one while nobody wants that.
    pub(super) stop_at: AtomicI64,
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

    /// Ends the run soon after a time since the begin of the warm-up: with a tick that no thread has come to yet.
    pub(super) fn stop_after(&self, elapsed: Duration) {
        let ticks = |time: Duration| i64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(i64::MAX);
        let index = ticks(elapsed).saturating_sub(ticks(self.warm_up)).saturating_add(STOP_TICKS);
        self.stop_at.fetch_min(index, Ordering::Relaxed);
    }

    /// Whether the run ends with this tick.
    pub(super) fn stops_at(&self, index: i64) -> bool {
        index >= self.stop_at.load(Ordering::Relaxed)
    }

    /// Time that was measured: all, or what a run that ended early came to.
    pub(super) fn measured(&self) -> Duration {
        let ticks = self.stop_at.load(Ordering::Relaxed).clamp(0, u32::MAX.into());
        self.lasts.min(TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX)))
    }

    /// How answers are read.
    pub(super) fn reading(&self) -> Reading {
        self.scenario.reader
    }
}

/// Measured time of an order: an open profile's stages say it themselves.
pub fn measured(order: &Order) -> Duration {
    match &order.load {
        Load::Closed => order.lasts,
        Load::Open(stages) => stages.iter().map(|stage| stage.lasts).sum(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::order::{Era, Stage, Target};
    use std::path::Path;

    /// A plan of one thread that sends at a constant rate, without a warm-up.
    pub(in crate::engine) fn open_plan(rate: f64, lasts: Duration) -> Plan {
        let stages = vec![Stage { from: rate, to: rate, lasts }];
        let order = Order {
            scenario: "call".into(),
            era: None,
            load: Load::Open(stages),
            connections: 1,
            warm_up: Duration::ZERO,
            lasts,
            patience: Duration::from_secs(1),
            cores: vec![0],
        };
        let target = Target {
            name: "x".into(),
            address: ([127, 0, 0, 1], 1).into(),
            host: "x".into(),
            path: "/".into(),
            keys: Vec::new(),
            prefix: String::new(),
            metrics: None,
            process: None,
        };
        let scenario = Scenario::load(Path::new("call")).unwrap();
        super::super::learn::bare(scenario, Era::Modern, &order, &target)
    }

    #[test]
    fn a_number_is_split_without_loss() {
        let plan = Plan { threads: 3, ..open_plan(1.0, Duration::from_secs(1)) };
        assert_eq!([0, 1, 2].map(|thread| plan.share(8, thread)), [3, 3, 2]);
    }
}
