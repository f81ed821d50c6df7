//! What a watcher is shown, collected from the ticks: the last second, the last minute, and all so far.

use crate::measure::{Histogram, Tick, histogram};
use crate::units::{self, float};
use std::collections::VecDeque;
use std::time::Duration;

/// Seconds in the strip.
pub(super) const STRIP_SECONDS: usize = 60;
/// What "now" means.
const NOW: Duration = Duration::from_secs(1);

/// What a run is about.
#[derive(Clone, Debug, Default)]
pub struct Heading {
    /// Scenario and target.
    pub title: String,
    /// Rates and connections.
    pub load: String,
    /// Time before what is measured.
    pub warm_up: Duration,
    /// Measured time.
    pub lasts: Duration,
}

/// One second in the strip, in microseconds; nothing where nothing was answered in it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Second {
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// The state of a run for the eye.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) heading: Heading,
    /// The ticks of the last second, the oldest first.
    recent: VecDeque<Tick>,
    /// When the oldest of them began.
    recent_since: Duration,
    /// The last minute, the newest last.
    pub(super) strip: VecDeque<Second>,
    /// Failures in measured time.
    pub(super) failed: u64,
    /// Requests answered in measured time.
    answered: u64,
    /// Whole seconds that ticks told of.
    seconds: u64,
    this_second: Histogram<u64>,
}

impl Picture {
    /// Nothing yet.
    pub(super) fn new(heading: Heading) -> Self {
        Self {
            heading,
            recent: VecDeque::new(),
            recent_since: Duration::ZERO,
            strip: VecDeque::new(),
            failed: 0,
            answered: 0,
            seconds: 0,
            this_second: histogram(),
        }
    }

    /// Takes in a tick; true where a second is full with it.
    pub(super) fn take(&mut self, tick: &Tick) -> bool {
        if self.last().is_some_and(|last| last.measured != tick.measured) {
            (self.failed, self.answered) = (0, 0);
        }
        self.failed += tick.failed;
        self.answered += tick.answered;
        // Histograms of one kind take each other's values.
        let _ = self.this_second.add(&tick.window);
        self.recent.push_back(tick.clone());
        while self.recent.len() > 1 && tick.elapsed.saturating_sub(self.recent_since) > NOW {
            self.recent_since = self.recent.pop_front().map_or(Duration::ZERO, |old| old.elapsed);
        }
        let is_full = tick.elapsed.as_secs() > self.seconds;
        if is_full {
            self.end_second();
            self.seconds = tick.elapsed.as_secs();
        }
        is_full
    }

    fn end_second(&mut self) {
        let at = |quantile| micros(&self.this_second, quantile);
        self.strip.push_back(Second { p50: at(0.5), p99: at(0.99) });
        if self.strip.len() > STRIP_SECONDS {
            self.strip.pop_front();
        }
        self.this_second.reset();
    }

    /// The newest tick.
    pub(super) fn last(&self) -> Option<&Tick> {
        self.recent.back()
    }

    /// Latencies of the last second, nanoseconds.
    pub(super) fn now(&self) -> Histogram<u64> {
        let mut now = histogram();
        for tick in &self.recent {
            let _ = now.add(&tick.window);
        }
        now
    }

    /// Answers a second, over the last second.
    pub(super) fn rate(&self) -> f64 {
        let answered: u64 = self.recent.iter().map(|tick| tick.answered).sum();
        let elapsed = self.last().map_or(Duration::ZERO, |last| last.elapsed.saturating_sub(self.recent_since));
        if elapsed.is_zero() { 0.0 } else { float(answered) / elapsed.as_secs_f64() }
    }

    /// `warm-up`, or `measured`.
    pub(super) fn part(&self) -> &'static str {
        if self.last().is_some_and(|last| last.measured) { "measured" } else { "warm-up" }
    }

    /// Time in this part, and how long it is.
    pub(super) fn time(&self) -> (Duration, Duration) {
        let elapsed = self.last().map_or(Duration::ZERO, |last| last.elapsed);
        match self.part() {
            "measured" => (elapsed.saturating_sub(self.heading.warm_up), self.heading.lasts),
            _ => (elapsed, self.heading.warm_up),
        }
    }

    /// Share of this part's requests that failed; nothing where none ended.
    pub(super) fn failed_share(&self) -> Option<f64> {
        let all = self.failed + self.answered;
        (all > 0).then(|| float(self.failed) / float(all))
    }

    /// The last second in one line.
    pub(super) fn line(&self) -> String {
        let now = self.now();
        let time = |quantile| micros(&now, quantile).map_or_else(|| "–".to_owned(), units::time);
        let (at, _) = self.time();
        let asked = self.last().and_then(|last| last.target_rate);
        let asked = asked.map_or_else(String::new, |asked| format!(" of {}", units::rate(asked)));
        let (rate, in_flight) = (units::rate(self.rate()), self.last().map_or(0, |last| last.in_flight));
        format!(
            "{:>8} {:>4} s  rate {rate}{asked}  p50 {}  p99 {}  max {}  errors {}  in flight {in_flight}",
            self.part(),
            at.as_secs(),
            time(0.5),
            time(0.99),
            time(1.0),
            units::count(self.failed)
        )
    }
}

/// A quantile in microseconds; nothing of nothing.
pub(super) fn micros(histogram: &Histogram<u64>, quantile: f64) -> Option<f64> {
    (!histogram.is_empty()).then(|| float(histogram.value_at_quantile(quantile).min(histogram.max())) / 1e3)
}
