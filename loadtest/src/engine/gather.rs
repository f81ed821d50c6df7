//! Puts together what the client threads tell: ticks for whoever watches, and the whole.

use super::plan::Plan;
use super::thread::{Ended, Report, TICK};
use crate::failure::Failure;
use crate::measure::{Histogram, Part, Tick, Total, Usage, histogram};
use crate::metrics;
use crate::outcome::PhaseTime;
use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// A tick that not all threads have told yet.
#[derive(Default)]
struct Open {
    threads: usize,
    part: Part,
    in_flight: u64,
}

/// What a run came to.
#[derive(Default)]
pub(super) struct Gathered {
    /// All measured.
    pub(super) total: Total,
    /// Share of a core that the busiest thread used.
    pub(super) cpu_share: f64,
    /// The first malformed answer, in words.
    pub(super) wrong: Option<String>,
    /// What the target's process used up to the begin and to the end of the measured time.
    pub(super) target: Option<(Usage, Usage)>,
    /// What the target's metrics say of where its time went.
    pub(super) phases: Vec<PhaseTime>,
}

/// Collects reports until all threads are done.
pub(super) struct Gather<'a> {
    plan: &'a Plan,
    watch: &'a mut dyn FnMut(&Tick),
    open: BTreeMap<i64, Open>,
    warm: Histogram<u64>,
    /// The target's phases when the measured time began.
    before: Vec<PhaseTime>,
    gathered: Gathered,
}

impl<'a> Gather<'a> {
    /// Nothing yet.
    pub(super) fn new(plan: &'a Plan, watch: &'a mut dyn FnMut(&Tick)) -> Self {
        let (open, gathered) = (BTreeMap::new(), Gathered::default());
        Self { plan, watch, open, warm: histogram(), before: Vec::new(), gathered }
    }

    /// Waits for every thread's end.
    ///
    /// # Errors
    /// A thread ended without a word.
    pub(super) fn run(mut self, reports: &Receiver<Report>) -> Result<Gathered, Failure> {
        let mut running = self.plan.threads;
        if self.plan.warm_up.is_zero() {
            self.before = self.phases();
        }
        while running > 0 {
            match reports.recv() {
                Ok(Report::Tick { index, part, in_flight }) => self.tick(index, &part, in_flight),
                Ok(Report::Done(ended)) => {
                    self.end(*ended);
                    running -= 1;
                }
                Ok(Report::Ready | Report::Refused(_)) => {}
                Err(_) => return Err(Failure::new("a client thread died; this is a defect of the load tool")),
            }
        }
        self.gathered.phases = metrics::between(&self.before, &self.phases());
        Ok(self.gathered)
    }

    /// What the target has counted so far; it did answer before the run, and under load it may not.
    fn phases(&self) -> Vec<PhaseTime> {
        let told = self.plan.metrics.as_ref().map(|(address, path)| metrics::scrape(*address, path));
        told.and_then(Result::ok).unwrap_or_default()
    }

    fn tick(&mut self, index: i64, part: &Part, in_flight: u64) {
        let open = self.open.entry(index).or_default();
        open.threads += 1;
        open.part.add(part);
        open.in_flight += in_flight;
        if open.threads == self.plan.threads
            && let Some(open) = self.open.remove(&index)
        {
            self.tell(index, open);
        }
    }

    fn tell(&mut self, index: i64, open: Open) {
        let measured = index > 0;
        if measured {
            self.gathered.total.add(second_of(index), &open.part);
        } else {
            // All histograms are of one kind, so no value is out of range.
            let _ = self.warm.add(&open.part.latency);
            if index == 0 {
                self.before = self.phases();
            }
        }
        let since_start = TICK * u32::try_from(index.unsigned_abs()).unwrap_or(u32::MAX);
        let elapsed = if measured {
            self.plan.warm_up + since_start.min(self.plan.lasts)
        } else {
            self.plan.warm_up.saturating_sub(since_start)
        };
        let before_its_end = elapsed.saturating_sub(Duration::from_millis(1));
        let total = if measured { &self.gathered.total.all.latency } else { &self.warm };
        let tick = Tick {
            elapsed,
            measured,
            target_rate: self.plan.schedule.as_ref().and_then(|schedule| schedule.rate_at(before_its_end)),
            sent: open.part.sent,
            answered: open.part.answered,
            failed: open.part.failed,
            in_flight: open.in_flight,
            window: open.part.latency,
            total: total.clone(),
        };
        (self.watch)(&tick);
    }

    fn end(&mut self, ended: Ended) {
        // What came in after the last tick belongs to requests of the last second.
        let last = usize::try_from(self.plan.measured().as_nanos().div_ceil(1_000_000_000)).unwrap_or(1).max(1) - 1;
        self.gathered.total.add(last, &ended.part);
        self.gathered.cpu_share = self.gathered.cpu_share.max(ended.cpu_share.unwrap_or(0.0));
        self.gathered.wrong = self.gathered.wrong.take().or(ended.wrong);
        self.gathered.target = self.gathered.target.take().or(ended.target);
    }
}

/// The second of the measured time that a tick belongs to; the first tick has the number 1.
fn second_of(index: i64) -> usize {
    let per_second = 1000 / u64::try_from(TICK.as_millis()).unwrap_or(1);
    usize::try_from((index.unsigned_abs() - 1) / per_second).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_ticks_make_a_second() {
        assert_eq!([1, 4, 5, 8, 9].map(second_of), [0, 0, 1, 1, 2]);
    }
}
