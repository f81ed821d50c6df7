//! The whole of a run, merged from the parts of its ticks.

use super::{Histogram, Part, histogram};
use crate::outcome::Second;

/// All that was measured, and a row a second.
#[derive(Debug, Default)]
pub struct Total {
    /// All measured parts together.
    pub all: Part,
    seconds: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    sent: u64,
    answered: u64,
    failed: u64,
    latency: Histogram<u64>,
}

impl Total {
    /// Adds a measured part that belongs to this second of the measured time.
    pub fn add(&mut self, second: usize, part: &Part) {
        self.all.add(part);
        let empty = || Row { sent: 0, answered: 0, failed: 0, latency: histogram() };
        if self.seconds.len() <= second {
            self.seconds.resize_with(second + 1, empty);
        }
        let row = &mut self.seconds[second];
        row.sent += part.sent;
        row.answered += part.answered;
        row.failed += part.failed;
        // All are of one kind, so no value is out of range.
        let _ = row.latency.add(&part.latency);
    }

    /// The rows; `target` tells the rate asked for in a second.
    pub fn timeline(&self, target: impl Fn(u32) -> Option<f64>) -> Vec<Second> {
        let us = |ns: u64| (ns + 500) / 1000;
        let rows = (0..).zip(&self.seconds);
        rows.map(|(at, row)| Second {
            at,
            target: target(at),
            sent: row.sent,
            answered: row.answered,
            failed: row.failed,
            p50_us: us(row.latency.value_at_quantile(0.5)),
            p99_us: us(row.latency.value_at_quantile(0.99)),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_its_parts_and_gaps_are_rows_of_nothing() {
        let mut total = Total::default();
        let mut part = Part { sent: 2, answered: 1, ..Part::default() };
        part.latency.record(3_000_000).unwrap();
        total.add(0, &part);
        total.add(0, &part);
        total.add(2, &part);
        let rows = total.timeline(|at| Some(f64::from(at)));
        assert_eq!(rows.iter().map(|row| row.sent).collect::<Vec<_>>(), [4, 0, 2]);
        assert_eq!((rows[0].p50_us / 10, rows[1].p99_us, rows[2].target), (300, 0, Some(2.0)));
        assert_eq!(total.all.sent, 6);
    }
}
