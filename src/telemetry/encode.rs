//! The meters of all shards as Prometheus text (exposition format 0.0.4).

use super::drift::{CHANGES, DriftMetrics};
use super::metrics::{
    CallOutcome, Counter, Gauge, HISTOGRAM_BOUNDS_US, Histogram, LIMIT_LEVELS, ServerTable, ShardMetrics,
};
use super::names::{self, Family};
use super::process::ProcessInfo;
use super::steps::ApprovalStep;
use crate::base::phase::Phase;
use std::fmt::Write as _;
use std::sync::Arc;

/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The text for all shards; `shards` stand in the order of their ids.
pub fn encode(
    shards: &[Arc<ShardMetrics>],
    servers: &ServerTable,
    drift: &DriftMetrics,
    process: &ProcessInfo,
) -> String {
    let mut text = Text { out: String::with_capacity(16 * 1024), shards };
    text.head(names::INFO);
    text.line(names::INFO.name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    connections(&mut text);
    calls(&mut text, servers);
    definitions(&mut text, servers, drift);
    phases(&mut text);
    journal(&mut text);
    process_figures(&mut text, process);
    text.out
}

fn connections(text: &mut Text<'_>) {
    text.counter(names::CONNECTIONS, |m| &m.connections);
    text.total(names::CONNECTIONS_OPEN, |m| m.connections_open.get());
    text.counter(names::CONNECTIONS_REFUSED, |m| &m.connections_refused);
    text.counter(names::REQUESTS, |m| &m.requests);
    text.counter(names::REQUESTS_REFUSED, |m| &m.requests_refused);
    text.counter(names::UNAUTHORIZED, |m| &m.unauthorized);
    text.counter(names::LISTS, |m| &m.lists);
    text.total(names::STREAMS_OPEN, |m| m.streams_open.get());
    text.total(names::PARKED_CALLS, |m| m.parked_calls.get());
    text.total(names::REPLAY_STREAMS, |m| m.replay_streams.get());
    text.total(names::REPLAY_BYTES, |m| m.replay_bytes.get());
    text.counter(names::BYTES_IN, |m| &m.bytes_in);
    text.counter(names::BYTES_OUT, |m| &m.bytes_out);
    text.by_shard(names::MAILBOX, |m| &m.mailbox);
    text.by_shard(names::EPOCH, |m| &m.epoch);
}

fn calls(text: &mut Text<'_>, servers: &ServerTable) {
    text.head(names::CALLS);
    for (slot, server) in servers.rows() {
        for outcome in CallOutcome::ALL {
            let sum = text.sum(|m| m.calls(slot).outcome(outcome).get());
            if sum > 0 || outcome == CallOutcome::Ok {
                text.line(names::CALLS.name, &[("server", server), ("outcome", outcome.name())], sum);
            }
        }
    }
    text.head(names::CALLS_LIMITED);
    for (at, level) in LIMIT_LEVELS.into_iter().enumerate() {
        text.line(names::CALLS_LIMITED.name, &[("level", level)], text.sum(|m| m.limited(at).get()));
    }
    text.head(names::CALLS_OVER_BUDGET);
    for (at, level) in LIMIT_LEVELS.into_iter().enumerate() {
        text.line(names::CALLS_OVER_BUDGET.name, &[("level", level)], text.sum(|m| m.money.over_budget(at).get()));
    }
    text.counter(names::COST, |m| &m.money.cost);
    text.counter(names::COST_UNREAD, |m| &m.money.cost_unread);
    text.head(names::APPROVALS);
    for step in ApprovalStep::ALL {
        text.line(names::APPROVALS.name, &[("state", step.name())], text.sum(|m| m.approvals(step).get()));
    }
    text.total(names::APPROVALS_PENDING, |m| m.approvals_pending.get());
    text.head(names::CALLS_IN_FLIGHT);
    for (slot, server) in servers.rows() {
        let sum = text.sum(|m| m.calls(slot).in_flight.get());
        text.line(names::CALLS_IN_FLIGHT.name, &[("server", server)], sum);
    }
    text.head(names::UPSTREAM_ERRORS);
    for (slot, server) in servers.rows() {
        let sum = text.sum(|m| m.calls(slot).upstream_errors.get());
        text.line(names::UPSTREAM_ERRORS.name, &[("server", server)], sum);
    }
    text.head(names::UPSTREAM_SECONDS);
    for (slot, server) in servers.rows() {
        text.histogram(names::UPSTREAM_SECONDS.name, Some(("server", server)), |m| &m.calls(slot).upstream);
    }
}

fn definitions(text: &mut Text<'_>, servers: &ServerTable, drift: &DriftMetrics) {
    text.head(names::TOOLS_WITHHELD);
    for (slot, server) in servers.rows() {
        let row = drift.row(slot);
        for (why, gauge) in [("held", &row.held), ("quarantined", &row.quarantined)] {
            text.line(names::TOOLS_WITHHELD.name, &[("server", server), ("why", why)], gauge.get());
        }
    }
    text.head(names::TOOL_CHANGES);
    for (slot, server) in servers.rows() {
        for (change, counter) in CHANGES.into_iter().zip(&drift.row(slot).changes) {
            text.line(names::TOOL_CHANGES.name, &[("server", server), ("change", change)], counter.get());
        }
    }
    text.head(names::PINS_UNREADABLE);
    for (slot, server) in servers.rows() {
        text.line(names::PINS_UNREADABLE.name, &[("server", server)], drift.row(slot).pin_faults.get());
    }
}

fn phases(text: &mut Text<'_>) {
    text.head(names::PHASE_SECONDS);
    for phase in Phase::ALL {
        text.histogram(names::PHASE_SECONDS.name, Some(("phase", phase.name())), |m| m.phase(phase));
    }
}

fn journal(text: &mut Text<'_>) {
    text.by_shard(names::JOURNAL_RING_USED, |m| &m.journal.ring_used);
    text.by_shard(names::JOURNAL_RING_SIZE, |m| &m.journal.ring_size);
    text.total(names::JOURNAL_ENTRIES, |m| m.journal.entries.get());
    text.total(names::JOURNAL_BYTES, |m| m.journal.bytes.get());
    text.head(names::JOURNAL_LAG);
    for (at, shard) in text.shards.iter().enumerate() {
        let seconds = shard.journal.lag_us.get() as f64 / 1e6;
        text.line(names::JOURNAL_LAG.name, &[("shard", &at.to_string())], seconds);
    }
    text.by_shard(names::JOURNAL_POISONED, |m| &m.journal.poisoned);
    text.head(names::JOURNAL_COMMIT);
    text.histogram(names::JOURNAL_COMMIT.name, None, |m| &m.journal.commit);
}

fn process_figures(text: &mut Text<'_>, process: &ProcessInfo) {
    text.plain(names::PROCESS_CPU, process.cpu_seconds);
    text.plain(names::PROCESS_RSS, process.resident_bytes);
    text.plain(names::PROCESS_VIRTUAL, process.virtual_bytes);
    text.plain(names::PROCESS_FDS, process.open_fds);
    text.plain(names::PROCESS_FDS_MAX, process.max_fds);
    text.plain(names::PROCESS_THREADS, process.threads);
    text.plain(names::PROCESS_START, process.start_seconds);
}

/// The text under way and the shards it is about.
struct Text<'a> {
    out: String,
    shards: &'a [Arc<ShardMetrics>],
}

impl Text<'_> {
    fn head(&mut self, family: Family) {
        let Family { name, kind, help } = family;
        let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {}\n", kind.name());
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.out.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.out, "{}{label}=\"", if at == 0 { '{' } else { ',' });
            escape(text, &mut self.out);
            self.out.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.out, "{close} {value}");
    }

    fn sum(&self, read: impl Fn(&ShardMetrics) -> u64) -> u64 {
        self.shards.iter().map(|shard| read(shard)).sum()
    }

    fn plain(&mut self, family: Family, value: impl std::fmt::Display) {
        self.head(family);
        self.line(family.name, &[], value);
    }

    fn total(&mut self, family: Family, read: impl Fn(&ShardMetrics) -> u64) {
        let sum = self.sum(read);
        self.plain(family, sum);
    }

    fn counter(&mut self, family: Family, read: impl Fn(&ShardMetrics) -> &Counter) {
        self.total(family, |shard| read(shard).get());
    }

    fn by_shard(&mut self, family: Family, read: impl Fn(&ShardMetrics) -> &Gauge) {
        self.head(family);
        for (at, shard) in self.shards.iter().enumerate() {
            self.line(family.name, &[("shard", &at.to_string())], read(shard).get());
        }
    }

    fn histogram(&mut self, name: &str, label: Option<(&str, &str)>, read: impl Fn(&ShardMetrics) -> &Histogram) {
        let label = label.as_slice();
        let mut count = 0;
        for at in 0..=HISTOGRAM_BOUNDS_US.len() {
            count += self.sum(|shard| read(shard).counts()[at]);
            let bound = HISTOGRAM_BOUNDS_US.get(at).map_or("+Inf".to_owned(), |us| seconds(*us * 1_000));
            let labels: Vec<_> = label.iter().copied().chain([("le", bound.as_str())]).collect();
            self.line(&format!("{name}_bucket"), &labels, count);
        }
        let sum = self.sum(|shard| read(shard).sum_ns());
        self.line(&format!("{name}_sum"), label, seconds(sum));
        self.line(&format!("{name}_count"), label, count);
    }
}

/// Nanoseconds as seconds, exactly.
fn seconds(ns: u64) -> String {
    let text = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A label value: backslash, quote and line feed escaped, as the format demands.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sample(text: &str, start: &str) -> Option<f64> {
        let line = text.lines().find(|line| line.starts_with(start))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    #[test]
    fn every_family_is_shown_once_with_its_type() {
        let text = encode(&[Arc::default()], &ServerTable::default(), &DriftMetrics::default(), &ProcessInfo::read());
        for family in names::ALL {
            let head = format!("# TYPE {} {}\n", family.name, family.kind.name());
            assert_eq!(text.matches(&head).count(), 1, "{}", family.name);
            assert!(sample(&text, family.name).is_some(), "{} has no sample", family.name);
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok() && series.starts_with(|c: char| c.is_ascii_lowercase()), "{line}");
        }
    }

    #[test]
    fn shards_are_summed_and_buckets_add_up() {
        let shards: Vec<Arc<ShardMetrics>> = vec![Arc::default(), Arc::default()];
        let servers = ServerTable::default();
        let slot = servers.slot("git\"hub");
        for shard in &shards {
            shard.calls(slot).outcome(CallOutcome::ToolError).inc();
            shard.phase(Phase::Call).record(Duration::from_micros(3));
            shard.journal.ring_used.set(64);
        }
        let drift = DriftMetrics::default();
        drift.row(slot).quarantined.set(2);
        let text = encode(&shards, &servers, &drift, &ProcessInfo::default());
        let is = |start: &str, value: f64| assert_eq!(sample(&text, start), Some(value), "{start}\n{text}");
        is(r#"tollgate_calls_total{server="git\"hub",outcome="tool_error"}"#, 2.0);
        is(r#"tollgate_tools_withheld{server="git\"hub",why="quarantined"}"#, 2.0);
        is(r#"tollgate_phase_seconds_bucket{phase="call",le="0.000002"}"#, 0.0);
        is(r#"tollgate_phase_seconds_bucket{phase="call",le="0.000004"}"#, 2.0);
        is(r#"tollgate_phase_seconds_bucket{phase="call",le="+Inf"}"#, 2.0);
        is(r#"tollgate_phase_seconds_sum{phase="call"}"#, 0.000006);
        is(r#"tollgate_journal_ring_used_bytes{shard="1"}"#, 64.0);
    }
}
