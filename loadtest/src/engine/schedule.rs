//! When each request of an open loop is due: a function of its number, so that no queue has to remember it.

use crate::order::Stage;
use std::time::Duration;

/// The appointed times of a run, counted from the begin of its warm-up.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    parts: Vec<Part>,
}

/// A stage with what came before it.
#[derive(Clone, Copy, Debug)]
struct Part {
    stage: Stage,
    /// Seconds before it.
    begins: f64,
    /// Requests before it.
    before: f64,
}

impl Part {
    fn seconds(&self) -> f64 {
        self.stage.lasts.as_secs_f64()
    }

    /// Requests due from its begin until `seconds` after it.
    fn due_by(&self, seconds: f64) -> f64 {
        let slope = (self.stage.to - self.stage.from) / self.seconds();
        self.stage.from * seconds + slope * seconds * seconds / 2.0
    }

    /// Seconds after its begin at which `count` requests have been due: the inverse of [`Part::due_by`], in the form
    /// that also holds without a slope.
    fn when(&self, count: f64) -> f64 {
        let slope = (self.stage.to - self.stage.from) / self.seconds();
        let from = self.stage.from;
        2.0 * count / (from + (from * from + 2.0 * slope * count).max(0.0).sqrt())
    }

    fn rate(&self, seconds: f64) -> f64 {
        let slope = (self.stage.to - self.stage.from) / self.seconds();
        self.stage.from + slope * seconds
    }
}

impl Schedule {
    /// The stages after a warm-up at the first one's first rate.
    pub(super) fn new(warm_up: Duration, stages: &[Stage]) -> Self {
        let rate = stages.first().map_or(0.0, |stage| stage.from);
        let warm = Stage { from: rate, to: rate, lasts: warm_up };
        let mut parts: Vec<Part> = Vec::new();
        for stage in std::iter::once(&warm).chain(stages).filter(|stage| !stage.lasts.is_zero()) {
            let (begins, before) = parts
                .last()
                .map_or((0.0, 0.0), |last| (last.begins + last.seconds(), last.before + last.due_by(last.seconds())));
            parts.push(Part { stage: *stage, begins, before });
        }
        Self { parts }
    }

    /// When the n-th request is due; nothing after the last.
    pub(super) fn due(&self, n: u64) -> Option<Duration> {
        #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53 requests")]
        let n = n as f64;
        let part = self.parts.iter().rev().find(|part| part.before <= n)?;
        let seconds = part.when(n - part.before);
        // The first request of a stage that begins at rate 0 comes out as 0/0: it is due at once.
        let seconds = if seconds.is_nan() { 0.0 } else { seconds };
        (seconds < part.seconds()).then(|| Duration::from_secs_f64(part.begins + seconds))
    }

    /// The rate asked for at a time, requests a second; nothing after the end.
    pub(super) fn rate_at(&self, at: Duration) -> Option<f64> {
        let at = at.as_secs_f64();
        let part = self.parts.iter().rev().find(|part| part.begins <= at)?;
        (at < part.begins + part.seconds()).then(|| part.rate(at - part.begins))
    }

    /// Requests due before a time.
    pub(super) fn count_by(&self, at: Duration) -> f64 {
        let at = at.as_secs_f64();
        let part = self.parts.iter().rev().find(|part| part.begins <= at);
        part.map_or(0.0, |part| part.before + part.due_by((at - part.begins).min(part.seconds())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(from: f64, to: f64, seconds: u64) -> Stage {
        Stage { from, to, lasts: Duration::from_secs(seconds) }
    }

    fn all(schedule: &Schedule) -> Vec<f64> {
        (0..).map_while(|n| schedule.due(n)).map(|due| due.as_secs_f64()).collect()
    }

    #[test]
    fn a_constant_rate_is_even_through_warm_up_and_measured_time() {
        let dues = all(&Schedule::new(Duration::from_secs(1), &[stage(100.0, 100.0, 2)]));
        assert_eq!(dues.len(), 300);
        assert!(dues.windows(2).all(|pair| (pair[1] - pair[0] - 0.01).abs() < 1e-9));
    }

    #[test]
    fn a_ramp_has_as_many_requests_as_its_area_and_ever_shorter_gaps() {
        let schedule = Schedule::new(Duration::ZERO, &[stage(0.0, 1000.0, 10)]);
        let dues = all(&schedule);
        assert_eq!(dues.len(), 5000);
        assert!(dues.windows(3).all(|three| three[2] - three[1] < three[1] - three[0] + 1e-9));
        assert!(dues.iter().filter(|due| **due < 5.0).count().abs_diff(1250) <= 1);
        assert!((schedule.rate_at(Duration::from_secs(5)).unwrap() - 500.0).abs() < 1e-9);
        assert_eq!(schedule.rate_at(Duration::from_secs(10)), None);
        assert!((schedule.count_by(Duration::from_secs(99)) - 5000.0).abs() < 1e-6);
    }

    #[test]
    fn steps_follow_each_other_up_and_down() {
        let stages = [stage(10.0, 10.0, 1), stage(100.0, 100.0, 1), stage(100.0, 10.0, 2)];
        let dues = all(&Schedule::new(Duration::ZERO, &stages));
        let within = |from: f64, to: f64| dues.iter().filter(|due| (from..to).contains(*due)).count();
        assert_eq!((within(0.0, 1.0), within(1.0, 2.0), within(2.0, 4.0)), (10, 100, 110));
        assert!(dues.is_sorted());
    }
}
