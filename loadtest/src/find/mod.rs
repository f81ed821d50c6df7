//! Finds the greatest rate at which a set of bounds holds, by a search over runs.
//!
//! Rates double until one does not hold, then the gap is halved until it is as narrow as asked. Noise makes a run
//! worse, never better: so a rate is given up only after two runs at it have failed.

use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::threshold::Bound;
use serde::Serialize;

/// Runs at one rate before it is given up.
const RUNS: u32 = 2;
/// Share of the requests that must be answered without error.
const ANSWERED_MIN: f64 = 0.99;

/// What is searched for, and where.
#[derive(Clone, Debug)]
pub struct Goal {
    /// What must hold.
    pub bounds: Vec<Bound>,
    /// The first rate tried, requests a second; more than 0.
    pub from: f64,
    /// The greatest rate tried.
    pub to: f64,
    /// How near the answer comes to the truth: 0.05 is within five percent.
    pub precision: f64,
}

/// One run of the search.
#[derive(Clone, Debug, Serialize)]
pub struct Try {
    /// Rate asked for, requests a second.
    pub rate: f64,
    /// Whether everything held.
    pub held: bool,
    /// What did not, in words; empty where all did.
    pub why: String,
}

/// What a search came to.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The greatest rate at which everything held; nothing if it did at none.
    pub rate: Option<f64>,
    /// What kept it from more, in words; empty where the greatest rate allowed held.
    pub limit: String,
    /// Every run, in their order.
    pub tries: Vec<Try>,
    /// The run at the rate found.
    pub outcome: Option<Outcome>,
}

/// Searches. `run` makes a run at a rate; `told` hears of each as it ends.
///
/// # Errors
/// The goal makes no sense, or a run could not be made.
pub fn find(
    goal: &Goal,
    run: &mut dyn FnMut(f64) -> Result<Outcome, Failure>,
    told: &mut dyn FnMut(&Try),
) -> Result<Found, Failure> {
    check(goal)?;
    let mut search = Search { goal, run, told, found: Found::none() };
    search.climb()?;
    Ok(search.found)
}

fn check(goal: &Goal) -> Result<(), Failure> {
    if goal.bounds.is_empty() {
        return Err(Failure::usage("a search needs a bound to hold, for instance --slo \"p99<2ms\""));
    }
    if !(goal.from > 0.0 && goal.to >= goal.from && goal.to.is_finite()) {
        return Err(Failure::usage("a search needs rates: --from more than 0, and --to not less than it"));
    }
    if !(0.001..=1.0).contains(&goal.precision) {
        return Err(Failure::usage("--precision: from 0.1 to 100 percent"));
    }
    Ok(())
}

impl Found {
    fn none() -> Self {
        Self { rate: None, limit: String::new(), tries: Vec::new(), outcome: None }
    }
}

struct Search<'a> {
    goal: &'a Goal,
    run: &'a mut dyn FnMut(f64) -> Result<Outcome, Failure>,
    told: &'a mut dyn FnMut(&Try),
    found: Found,
}

impl Search<'_> {
    fn climb(&mut self) -> Result<(), Failure> {
        let mut rate = self.goal.from;
        let fails_at = loop {
            if !self.holds(rate)? {
                break rate;
            }
            if rate >= self.goal.to {
                self.found.limit.clear();
                return Ok(());
            }
            rate = (rate * 2.0).min(self.goal.to);
        };
        let Some(holds_at) = self.found.rate else { return Ok(()) };
        self.narrow(holds_at, fails_at)
    }

    fn narrow(&mut self, mut holds_at: f64, mut fails_at: f64) -> Result<(), Failure> {
        while fails_at / holds_at > 1.0 + self.goal.precision {
            let middle = (holds_at * fails_at).sqrt();
            if self.holds(middle)? {
                holds_at = middle;
            } else {
                fails_at = middle;
            }
        }
        Ok(())
    }

    fn holds(&mut self, rate: f64) -> Result<bool, Failure> {
        for _ in 0..RUNS {
            let outcome = (self.run)(rate)?;
            let why = self.what_failed(&outcome);
            let held = why.is_empty();
            let one = Try { rate, held, why };
            (self.told)(&one);
            if held {
                self.found.rate = Some(rate);
                self.found.outcome = Some(outcome);
            } else {
                self.found.limit.clone_from(&one.why);
            }
            self.found.tries.push(one);
            if held {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What did not hold, in words; empty if everything did.
    fn what_failed(&self, outcome: &Outcome) -> String {
        let broken = self.goal.bounds.iter().map(|bound| bound.judge(outcome)).find(|threshold| !threshold.held);
        if let Some(broken) = broken {
            return format!("{}: {}", broken.expression, broken.measured);
        }
        let failed: u64 = outcome.errors.values().sum();
        let all = outcome.answered + failed;
        if crate::units::float(outcome.answered) < crate::units::float(all) * ANSWERED_MIN || all == 0 {
            return format!("{failed} of {all} requests failed");
        }
        outcome
            .validity
            .reasons
            .first()
            .map_or_else(String::new, |reason| format!("the client gave out first: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Distribution;

    fn goal(from: f64, to: f64) -> Goal {
        Goal { bounds: vec!["p99<2ms".parse().unwrap()], from, to, precision: 0.05 }
    }

    /// A server that keeps up to a rate, and no further.
    fn server(limit: f64) -> impl FnMut(f64) -> Result<Outcome, Failure> {
        move |rate| {
            let p99_us = if rate <= limit { 900 } else { 9000 };
            let latency = Distribution { count: 100, p99_us, ..Distribution::default() };
            Ok(Outcome { answered: 100, latency, ..Outcome::default() })
        }
    }

    #[test]
    fn the_greatest_rate_is_found_as_near_as_asked() {
        for limit in [1000.0, 1500.0, 12_345.0, 99_999.0] {
            let found = find(&goal(1000.0, 1e6), &mut server(limit), &mut |_| {}).unwrap();
            let rate = found.rate.unwrap();
            assert!(rate <= limit && rate * 1.05 >= limit, "{limit}: {rate}");
            assert!(found.limit.contains("p99") && found.outcome.is_some());
            assert!(found.tries.len() < 40);
        }
    }

    #[test]
    fn a_rate_is_given_up_after_two_runs_only() {
        let mut runs = 0;
        let mut flaky = |rate| {
            runs += 1;
            if runs % 2 == 1 { server(0.0)(rate) } else { server(2000.0)(rate) }
        };
        let found = find(&goal(2000.0, 2000.0), &mut flaky, &mut |_| {}).unwrap();
        assert_eq!((found.rate, found.tries.len(), found.limit.as_str()), (Some(2000.0), 2, ""));
    }

    #[test]
    fn nothing_holds_or_everything_does() {
        let found = find(&goal(10.0, 100.0), &mut server(1.0), &mut |_| {}).unwrap();
        assert_eq!((found.rate, found.tries.len()), (None, 2));
        let found = find(&goal(10.0, 100.0), &mut server(1e9), &mut |_| {}).unwrap();
        assert_eq!((found.rate, found.limit.as_str()), (Some(100.0), ""));
        assert!(find(&goal(0.0, 1.0), &mut server(1.0), &mut |_| {}).is_err());
    }
}
