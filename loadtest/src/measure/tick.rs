//! What a run looks like while it runs.

use super::Histogram;
use std::time::Duration;

/// The state of a run, told about four times a second.
#[derive(Clone, Debug)]
pub struct Tick {
    /// Since the warm-up began.
    pub elapsed: Duration,
    /// Whether the warm-up is over; before, the figures are shown but not kept.
    pub measured: bool,
    /// Rate asked for now, requests a second; nothing in a closed loop.
    pub target_rate: Option<f64>,
    /// Requests sent since the last tick.
    pub sent: u64,
    /// Requests answered without error since the last tick.
    pub answered: u64,
    /// Requests failed since the last tick.
    pub failed: u64,
    /// Requests now waiting for their answers.
    pub in_flight: u64,
    /// Latencies of those answered since the last tick, nanoseconds.
    pub window: Histogram<u64>,
    /// Latencies of all answered so far in measured time (during the warm-up: in the warm-up), nanoseconds.
    pub total: Histogram<u64>,
}
