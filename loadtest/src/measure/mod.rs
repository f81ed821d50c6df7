//! What is measured: histograms, counts by kind of failure, ticks for whoever watches.

mod tick;

pub use hdrhistogram::Histogram;
pub use tick::{Tick, histogram};
