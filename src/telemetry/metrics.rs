//! Meters of one shard: relaxed atomics with a single writer, so that counting is a load and a store, never a lock.
//!
//! Only the shard that owns a [`ShardMetrics`] may write it; any thread may read. A reader may see one meter before and
//! another after the same event.

use super::money::MoneyMeters;
use super::steps::ApprovalStep;
use crate::base::error::Kind;
use crate::base::limits::METRIC_SERVERS_MAX;
use crate::base::phase::{Phase, Stamps};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds 1.
    pub fn inc(&self) {
        self.add(1);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down, never below zero.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Adds 1.
    pub fn inc(&self) {
        self.set(self.get().saturating_add(1));
    }

    /// Takes 1 away.
    pub fn dec(&self) {
        self.set(self.get().saturating_sub(1));
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the histogram buckets in microseconds: every power of two from 1 µs to 33.6 s.
pub const HISTOGRAM_BOUNDS_US: [u64; 26] = {
    let mut bounds = [0; 26];
    let mut at = 0;
    while at < bounds.len() {
        bounds[at] = 1 << at;
        at += 1;
    }
    bounds
};

/// Durations sorted into powers of two of a microsecond; the last bucket takes what is longer.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Histogram {
    sum_ns: Counter,
    buckets: [Counter; HISTOGRAM_BOUNDS_US.len() + 1],
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, time: Duration) {
        self.record_ns(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// As [`Self::record`], in nanoseconds.
    pub fn record_ns(&self, ns: u64) {
        self.buckets[bucket(ns)].inc();
        self.sum_ns.add(ns);
    }

    /// How many durations fell into each bucket, not summed up.
    pub fn counts(&self) -> [u64; HISTOGRAM_BOUNDS_US.len() + 1] {
        std::array::from_fn(|at| self.buckets[at].get())
    }

    /// All durations together, in nanoseconds.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns.get()
    }
}

/// The first bucket whose bound is not below `ns`.
fn bucket(ns: u64) -> usize {
    let us = ns.div_ceil(1_000).max(1);
    let power = us.next_power_of_two().trailing_zeros() as usize;
    power.min(HISTOGRAM_BOUNDS_US.len())
}

/// How a call ended, as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum CallOutcome {
    /// A result.
    Ok,
    /// A result with `isError`.
    ToolError,
    /// The upstream answered with a JSON-RPC error that was passed on.
    RpcError,
    /// Policy said no.
    Denied,
    /// It waits for an approval.
    Held,
    /// No answer in time.
    Timeout,
    /// The server could not be reached.
    Unreachable,
    /// The server answered something wrong.
    BadAnswer,
    /// The client went away or cancelled.
    Cancelled,
    /// A bound was reached.
    Overloaded,
    /// The call could not be recorded.
    Journal,
    /// Any other error.
    Error,
}

impl CallOutcome {
    /// All outcomes, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::ToolError,
        Self::RpcError,
        Self::Denied,
        Self::Held,
        Self::Timeout,
        Self::Unreachable,
        Self::BadAnswer,
        Self::Cancelled,
        Self::Overloaded,
        Self::Journal,
        Self::Error,
    ];

    /// The label's value.
    pub fn name(self) -> &'static str {
        [
            "ok",
            "tool_error",
            "rpc_error",
            "denied",
            "held",
            "timeout",
            "unreachable",
            "bad_answer",
            "cancelled",
            "overloaded",
            "journal",
            "error",
        ][self as usize]
    }
}

impl From<Kind> for CallOutcome {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Timeout => Self::Timeout,
            Kind::Unreachable => Self::Unreachable,
            Kind::BadAnswer => Self::BadAnswer,
            Kind::Cancelled | Kind::Stopped => Self::Cancelled,
            Kind::Overloaded => Self::Overloaded,
            Kind::Journal => Self::Journal,
            _ => Self::Error,
        }
    }
}

/// Where a limit can stand, as a metric label.
pub const LIMIT_LEVELS: [&str; 5] = ["key", "team", "customer", "tools", "server"];

/// A server's row in every shard's call table. Lasts as long as the process, whatever the configuration becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerSlot(u16);

impl ServerSlot {
    /// The row of calls that belong to no server with a row of its own.
    pub const OTHER: Self = Self(0);

    /// Its place among all rows.
    pub fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// Which server has which row. Rows are given by one thread (control, when it builds a snapshot) and read by all.
#[derive(Debug)]
pub struct ServerTable {
    names: [OnceLock<Box<str>>; METRIC_SERVERS_MAX + 1],
}

impl Default for ServerTable {
    fn default() -> Self {
        Self { names: [const { OnceLock::new() }; METRIC_SERVERS_MAX + 1] }
    }
}

impl ServerTable {
    /// The row of `name`, given now if it has none; [`ServerSlot::OTHER`] once all rows are taken.
    pub fn slot(&self, name: &str) -> ServerSlot {
        for (at, cell) in (0u16..).zip(&self.names).skip(1) {
            if &**cell.get_or_init(|| name.into()) == name {
                return ServerSlot(at);
            }
        }
        ServerSlot::OTHER
    }

    /// The rows in use with their names, `other` first.
    pub fn rows(&self) -> impl Iterator<Item = (ServerSlot, &str)> {
        let named = (0u16..).zip(&self.names).skip(1).map_while(|(at, cell)| Some((ServerSlot(at), &**cell.get()?)));
        std::iter::once((ServerSlot::OTHER, "other")).chain(named)
    }
}

/// Meters of the calls to one server. What every call touches stands together, in few lines of cache.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct ServerCalls {
    /// Calls under way.
    pub in_flight: Gauge,
    outcomes: [Counter; CallOutcome::ALL.len()],
    /// Connections or processes of this server that failed.
    pub upstream_errors: Counter,
    /// Time from sending the call to the whole answer.
    pub upstream: Histogram,
}

impl ServerCalls {
    /// Calls that ended so.
    pub fn outcome(&self, outcome: CallOutcome) -> &Counter {
        &self.outcomes[outcome as usize]
    }
}

/// How full a shard's journal is.
#[derive(Debug, Default)]
pub struct JournalGauges {
    /// Bytes in the ring that are not yet durable in a segment.
    pub ring_used: Gauge,
    /// Bytes the ring holds.
    pub ring_size: Gauge,
    /// Entries appended.
    pub entries: Gauge,
    /// Bytes made durable.
    pub bytes: Gauge,
    /// Age of the oldest entry that is not durable, in microseconds.
    pub lag_us: Gauge,
    /// 1 once the journal takes no more entries.
    pub poisoned: Gauge,
    /// Time from the start of a group's write to the end of its sync.
    pub commit: Histogram,
}

/// All meters of one shard.
#[derive(Debug)]
#[repr(align(128))]
pub struct ShardMetrics {
    /// Connections accepted.
    pub connections: Counter,
    /// Connections open.
    pub connections_open: Gauge,
    /// Connections refused because a bound was reached.
    pub connections_refused: Counter,
    /// HTTP requests read.
    pub requests: Counter,
    /// HTTP requests answered with a 4xx or 5xx status.
    pub requests_refused: Counter,
    /// Requests without a valid key.
    pub unauthorized: Counter,
    /// Lists answered.
    pub lists: Counter,
    /// Event streams open to clients.
    pub streams_open: Gauge,
    /// Calls that wait for their client to answer what a server asked.
    pub parked_calls: Gauge,
    /// Streams, ended or without their client, that are kept for it to come back to.
    pub replay_streams: Gauge,
    /// Bytes of events that are kept for clients to come back for.
    pub replay_bytes: Gauge,
    /// Bytes read from clients.
    pub bytes_in: Counter,
    /// Bytes written to clients.
    pub bytes_out: Counter,
    /// Messages from other shards or control waiting in the mailbox.
    pub mailbox: Gauge,
    /// Epoch of the snapshot in use.
    pub epoch: Gauge,
    /// Calls refused by a limit, by the level it stands at.
    limited: [Counter; LIMIT_LEVELS.len()],
    /// What calls cost.
    pub money: MoneyMeters,
    /// Steps of approvals.
    approvals: [Counter; ApprovalStep::ALL.len()],
    /// Approvals that nobody has decided. Control alone writes it, and only the first shard's.
    pub approvals_pending: Gauge,
    /// The journal.
    pub journal: JournalGauges,
    phases: [Histogram; Phase::ALL.len()],
    calls: Box<[ServerCalls]>,
}

impl Default for ShardMetrics {
    fn default() -> Self {
        Self {
            connections: Counter::default(),
            connections_open: Gauge::default(),
            connections_refused: Counter::default(),
            requests: Counter::default(),
            requests_refused: Counter::default(),
            unauthorized: Counter::default(),
            lists: Counter::default(),
            streams_open: Gauge::default(),
            parked_calls: Gauge::default(),
            replay_streams: Gauge::default(),
            replay_bytes: Gauge::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            mailbox: Gauge::default(),
            epoch: Gauge::default(),
            limited: Default::default(),
            money: MoneyMeters::default(),
            approvals: Default::default(),
            approvals_pending: Gauge::default(),
            journal: JournalGauges::default(),
            phases: Default::default(),
            calls: (0..=METRIC_SERVERS_MAX).map(|_| ServerCalls::default()).collect(),
        }
    }
}

impl ShardMetrics {
    /// The meters of one server's calls.
    pub fn calls(&self, server: ServerSlot) -> &ServerCalls {
        self.calls.get(usize::from(server.0)).unwrap_or(&self.calls[0])
    }

    /// Calls refused by a limit of one level, by its place in [`LIMIT_LEVELS`].
    pub fn limited(&self, level: usize) -> &Counter {
        self.limited.get(level).unwrap_or(&self.limited[0])
    }

    /// Approvals that came so far.
    pub fn approvals(&self, step: ApprovalStep) -> &Counter {
        &self.approvals[step as usize]
    }

    /// The latencies of one phase.
    pub fn phase(&self, phase: Phase) -> &Histogram {
        &self.phases[phase as usize]
    }

    /// Counts the time spent in each phase that ended.
    pub fn record_phases(&self, stamps: &Stamps) {
        for (histogram, spent) in self.phases.iter().zip(stamps.spent_ns()) {
            if spent != 0 {
                histogram.record_ns(spent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_under_the_first_bound_that_holds_it() {
        for (ns, bound_us) in [(0, 1), (1_000, 1), (1_001, 2), (2_000, 2), (4_001, 8), (33_554_432_000, 33_554_432)] {
            assert_eq!(HISTOGRAM_BOUNDS_US.get(bucket(ns)), Some(&bound_us), "{ns} ns");
        }
        assert_eq!(bucket(33_554_432_001), HISTOGRAM_BOUNDS_US.len());
        let histogram = Histogram::default();
        histogram.record(Duration::MAX);
        histogram.record(Duration::from_nanos(1));
        assert_eq!(histogram.counts().iter().sum::<u64>(), 2);
    }

    #[test]
    fn a_server_keeps_its_row_and_the_table_is_bounded() {
        let table = ServerTable::default();
        let first = table.slot("github");
        for n in 1..METRIC_SERVERS_MAX {
            assert_ne!(table.slot(&format!("s{n}")), ServerSlot::OTHER);
        }
        assert_eq!(table.slot("github"), first);
        assert_eq!(table.slot("one too many"), ServerSlot::OTHER);
        assert_eq!(table.rows().count(), METRIC_SERVERS_MAX + 1);
        let metrics = ShardMetrics::default();
        metrics.calls(first).outcome(CallOutcome::Ok).inc();
        assert_eq!(metrics.calls(first).outcome(CallOutcome::Ok).get(), 1);
        assert_eq!(metrics.calls(ServerSlot::OTHER).outcome(CallOutcome::Ok).get(), 0);
    }

    #[test]
    fn a_gauge_does_not_go_below_zero() {
        let gauge = Gauge::default();
        gauge.dec();
        gauge.inc();
        assert_eq!(gauge.get(), 1);
    }
}
