//! What one client thread measured between two ticks.

use super::{Histogram, histogram};
use crate::trouble::Trouble;
use std::collections::BTreeMap;

/// Sends later than due, by whose fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// More than a millisecond, with a connection free: the client was not quick enough.
    pub by_client: u64,
    /// More than a millisecond, because no connection was free.
    pub by_connections: u64,
    /// The latest, nanoseconds.
    pub max_ns: u64,
}

impl Late {
    fn add(&mut self, other: &Self) {
        self.by_client += other.by_client;
        self.by_connections += other.by_connections;
        self.max_ns = self.max_ns.max(other.max_ns);
    }
}

/// What was measured between two ticks, by one thread or by all.
#[derive(Clone, Debug)]
pub struct Part {
    /// Requests sent.
    pub sent: u64,
    /// Requests answered without error.
    pub answered: u64,
    /// Requests failed.
    pub failed: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Failures by kind.
    pub errors: BTreeMap<Trouble, u64>,
    /// Late sends.
    pub late: Late,
    /// From due to the last byte, nanoseconds; of requests answered without error.
    pub latency: Histogram<u64>,
    /// From due to the first byte of a stream's body, nanoseconds.
    pub first_byte: Option<Histogram<u64>>,
    /// Between two events of one stream, nanoseconds.
    pub event_gap: Option<Histogram<u64>>,
}

impl Default for Part {
    fn default() -> Self {
        Self {
            sent: 0,
            answered: 0,
            failed: 0,
            bytes_out: 0,
            bytes_in: 0,
            errors: BTreeMap::new(),
            late: Late::default(),
            latency: histogram(),
            first_byte: None,
            event_gap: None,
        }
    }
}

impl Part {
    /// Adds another part's figures.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.failed += other.failed;
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
        other.errors.iter().for_each(|(kind, count)| *self.errors.entry(*kind).or_default() += count);
        self.late.add(&other.late);
        add(&mut self.latency, &other.latency);
        add_optional(&mut self.first_byte, other.first_byte.as_ref());
        add_optional(&mut self.event_gap, other.event_gap.as_ref());
    }

    /// Counts one time into a histogram that is made when it is first needed.
    pub(super) fn count(into: &mut Option<Histogram<u64>>, ns: u64) {
        into.get_or_insert_with(histogram).saturating_record(ns);
    }
}

fn add_optional(into: &mut Option<Histogram<u64>>, from: Option<&Histogram<u64>>) {
    if let Some(from) = from {
        add(into.get_or_insert_with(histogram), from);
    }
}

fn add(into: &mut Histogram<u64>, from: &Histogram<u64>) {
    // All are of one kind, so no value is out of range.
    let _ = into.add(from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_parts_gives_what_one_recorder_had_seen() {
        let mut whole = Part::default();
        let mut parts = [Part::default(), Part::default(), Part::default()];
        for n in 0..3000u64 {
            let part = &mut parts[usize::try_from(n % 3).unwrap()];
            for one in [part, &mut whole] {
                one.sent += 1;
                one.latency.record(n * 7919).unwrap();
                if n % 10 == 0 {
                    Part::count(&mut one.event_gap, n);
                    *one.errors.entry(Trouble::Http(503)).or_default() += 1;
                }
                one.late.max_ns = one.late.max_ns.max(n);
            }
        }
        let mut merged = Part::default();
        parts.iter().for_each(|part| merged.add(part));
        assert_eq!((merged.sent, &merged.errors, merged.late), (whole.sent, &whole.errors, whole.late));
        assert_eq!((merged.latency, merged.event_gap, merged.first_byte), (whole.latency, whole.event_gap, None));
    }
}
