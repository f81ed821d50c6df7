//! The one kind of histogram, and how it is written down.

use super::Histogram;
use crate::outcome::Distribution;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Serializer, V2Serializer};

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

/// A histogram of nanoseconds with the figures that people read.
pub fn distribution(histogram: &Histogram<u64>) -> Distribution {
    let us = |ns: u64| (ns + 500) / 1000;
    let at = |quantile: f64| us(histogram.value_at_quantile(quantile));
    let is_empty = histogram.is_empty();
    Distribution {
        count: histogram.len(),
        min_us: if is_empty { 0 } else { us(histogram.min()) },
        mean_us: if is_empty { 0.0 } else { histogram.mean() / 1000.0 },
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: us(histogram.max()),
        hdr: encode(histogram),
    }
}

fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    // Writing into memory cannot fail, and every count fits: nothing is lost by the empty text.
    match V2Serializer::new().serialize(histogram, &mut bytes) {
        Ok(_) => STANDARD.encode(bytes),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;

    #[test]
    fn a_histogram_holds_three_digits_up_to_an_hour() {
        let mut histogram = histogram();
        histogram.record(123_456_789).unwrap();
        assert!(histogram.max().abs_diff(123_456_789) < 123_456_789 / 1000);
        histogram.record(LONGEST_NS).unwrap();
    }

    #[test]
    fn what_is_written_down_can_be_read_back() {
        let mut histogram = histogram();
        (1..=1000u64).for_each(|n| histogram.record(n * 1000).unwrap());
        let written = distribution(&histogram);
        assert_eq!((written.count, written.min_us, written.p50_us), (1000, 1, 500));
        assert!(written.p99_us.abs_diff(990) <= 1 && written.max_us.abs_diff(1000) <= 1);
        let bytes = STANDARD.decode(&written.hdr).unwrap();
        let back: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        assert_eq!(back, histogram);
        assert_eq!(distribution(&super::histogram()).count, 0);
    }
}
