//! What a run looks like while it runs.

use super::Histogram;
use std::time::Duration;

/// Longest time a histogram holds, in nanoseconds; longer ones count as this: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// An empty histogram of the one kind that is used everywhere: nanoseconds, three significant digits, up to an hour.
///
/// # Panics
/// Never: the bounds are constants that the histogram accepts.
pub fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, LONGEST_NS, 3) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("constant bounds: {error}"),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_holds_three_digits_up_to_an_hour() {
        let mut histogram = histogram();
        histogram.record(123_456_789).unwrap();
        assert!(histogram.max().abs_diff(123_456_789) < 123_456_789 / 1000);
        histogram.record(3_600_000_000_000).unwrap();
    }
}
