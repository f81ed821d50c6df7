//! The order of the runs, and what is kept of each.

use crate::failure::Failure;
use crate::order::{Load, Order, Target};
use crate::outcome::{Distribution, Outcome};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

/// The two kinds of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadKind {
    /// Saturation: what a call costs.
    Closed,
    /// A rate far from saturation: what a call has to wait.
    Open,
}

/// What is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The runs of each target in one round, one after the other.
    pub orders: Vec<Order>,
    /// Rounds; each loads every target.
    pub rounds: usize,
}

/// What is kept of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Run {
    /// Latencies at 50, 90, 99 and 99.9 %, µs.
    pub(super) latency: [f64; 4],
    /// CPU of the target's process for each answer, µs.
    pub(super) cpu_us: Option<f64>,
    /// Share of a core that the target's process used.
    pub(super) busy: Option<f64>,
    /// Answers a second.
    pub(super) rate: f64,
    /// Bytes of answers for each second of the target's CPU.
    pub(super) bytes_per_cpu_second: Option<f64>,
    /// Share of the requests that failed.
    pub(super) failed: f64,
    /// Why the run cannot be believed, as the client itself judges.
    pub(super) reasons: Vec<String>,
}

/// The runs of one target under one load, a round each.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// The target's name.
    pub(super) target: String,
    /// Under what load.
    pub(super) kind: LoadKind,
    /// One a round.
    pub(super) runs: Vec<Run>,
}

impl Series {
    /// A figure of every round; nothing if a round lacks it.
    pub(super) fn all(&self, figure: impl Fn(&Run) -> Option<f64>) -> Option<Vec<f64>> {
        self.runs.iter().map(figure).collect()
    }
}

/// Everything that was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    pub(super) series: Vec<Series>,
}

impl Measured {
    pub(super) fn of(&self, target: &str, kind: LoadKind) -> Option<&Series> {
        self.series.iter().find(|series| series.target == target && series.kind == kind)
    }
}

/// Runs the plan. `load` runs one order against one target; `tell` hears before each run what comes.
///
/// # Errors
/// A run could not be done at all.
pub fn measure(
    plan: &Plan,
    targets: &[Target],
    load: &mut dyn FnMut(&Order, &Target) -> Result<Outcome, Failure>,
    tell: &mut dyn FnMut(&str),
) -> Result<Measured, Failure> {
    let empty = |order: &Order, target: &Target| Series {
        target: target.name.clone(),
        kind: kind(&order.load),
        runs: Vec::with_capacity(plan.rounds),
    };
    let mut series: Vec<_> =
        targets.iter().flat_map(|target| plan.orders.iter().map(move |order| empty(order, target))).collect();
    for round in 0..plan.rounds {
        for step in 0..targets.len() {
            // Each round begins with another target, so that none always follows the same one.
            let at = (round + step) % targets.len();
            for (number, order) in plan.orders.iter().enumerate() {
                let name = &targets[at].name;
                tell(&format!("round {} of {}: {name}, {}", round + 1, plan.rounds, word(&order.load)));
                let outcome = load(order, &targets[at]).map_err(|failure| failure.within(name))?;
                series[at * plan.orders.len() + number].runs.push(kept(&outcome));
            }
        }
    }
    Ok(Measured { series })
}

fn kind(load: &Load) -> LoadKind {
    match load {
        Load::Closed => LoadKind::Closed,
        Load::Open(_) => LoadKind::Open,
    }
}

fn word(load: &Load) -> &'static str {
    match load {
        Load::Closed => "saturation",
        Load::Open(_) => "open loop",
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of one run")]
fn kept(outcome: &Outcome) -> Run {
    let errors: u64 = outcome.errors.values().sum();
    let cpu_us = outcome.server_cpu_us.filter(|&cpu| cpu > 0.0);
    let bytes_each = outcome.bytes_in as f64 / outcome.answered.max(1) as f64;
    let mut reasons = outcome.validity.reasons.clone();
    if outcome.answered == 0 {
        let kinds: Vec<_> = outcome.errors.keys().map(String::as_str).collect();
        reasons.push(format!("nothing was answered ({})", kinds.join(", ")));
    }
    Run {
        latency: latencies(&outcome.latency),
        cpu_us,
        busy: outcome.server_cpu_share,
        rate: outcome.rate,
        bytes_per_cpu_second: cpu_us.map(|cpu| bytes_each / cpu * 1e6),
        failed: errors as f64 / (errors + outcome.answered).max(1) as f64,
        reasons,
    }
}

/// The percentiles as finely as they were recorded, from the histogram itself.
fn latencies(of: &Distribution) -> [f64; 4] {
    match decoded(&of.hdr) {
        Some(histogram) => [0.5, 0.9, 0.99, 0.999].map(|share| micros(histogram.value_at_quantile(share))),
        None => [of.p50_us, of.p90_us, of.p99_us, of.p999_us].map(|us| micros(us * 1000)),
    }
}

fn decoded(hdr: &str) -> Option<Histogram<u64>> {
    let bytes = STANDARD.decode(hdr).ok().filter(|bytes| !bytes.is_empty())?;
    Deserializer::new().deserialize(&mut bytes.as_slice()).ok()
}

#[allow(clippy::cast_precision_loss, reason = "nanoseconds of a latency")]
fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::order::Stage;
    use crate::outcome::Validity;
    use hdrhistogram::serialization::{Serializer, V2Serializer};
    use std::time::Duration;

    pub(in crate::overhead) fn order(load: Load) -> Order {
        Order {
            scenario: "call".into(),
            era: None,
            load,
            connections: 64,
            warm_up: Duration::ZERO,
            lasts: Duration::from_secs(1),
            patience: Duration::from_secs(1),
            cores: vec![0],
        }
    }

    pub(in crate::overhead) fn open() -> Load {
        Load::Open(vec![Stage { from: 5000.0, to: 5000.0, lasts: Duration::from_secs(1) }])
    }

    pub(in crate::overhead) fn named(name: &str) -> Target {
        Target {
            name: name.into(),
            address: "127.0.0.1:1".parse().unwrap(),
            host: "127.0.0.1:1".into(),
            path: "/mcp".into(),
            keys: Vec::new(),
            prefix: String::new(),
            metrics: None,
            process: None,
        }
    }

    #[test]
    fn every_round_loads_every_target_and_begins_with_another() {
        let plan = Plan { orders: vec![order(Load::Closed), order(open())], rounds: 3 };
        let targets = [named("direct"), named("relay"), named("gate")];
        let mut seen = Vec::new();
        let mut load = |order: &Order, target: &Target| {
            seen.push((target.name.clone(), kind(&order.load)));
            Ok(Outcome { answered: 1, rate: seen.len() as f64, ..Outcome::default() })
        };
        let measured = measure(&plan, &targets, &mut load, &mut |_| {}).unwrap();
        let firsts: Vec<_> = seen.iter().step_by(6).map(|(name, _)| name.as_str()).collect();
        assert_eq!((seen.len(), firsts), (18, vec!["direct", "relay", "gate"]));
        let gate = measured.of("gate", LoadKind::Open).unwrap();
        assert_eq!(gate.all(|run| Some(run.rate)).unwrap(), [6.0, 10.0, 14.0]);
    }

    #[test]
    fn a_run_keeps_fine_percentiles_cpu_and_what_speaks_against_it() {
        let mut histogram = crate::measure::histogram();
        (1..=1000u64).for_each(|value| histogram.record(value * 1_500).unwrap());
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&histogram, &mut bytes).unwrap();
        let latency = Distribution { hdr: STANDARD.encode(bytes), p50_us: 1, ..Distribution::default() };
        let outcome = Outcome {
            latency,
            answered: 90,
            bytes_in: 90 * 300,
            errors: [("timeout".to_owned(), 10)].into(),
            server_cpu_us: Some(25.0),
            validity: Validity { valid: false, reasons: vec!["late".into()] },
            ..Outcome::default()
        };
        let run = kept(&outcome);
        assert!((run.latency[0] - 750.0).abs() < 1.0 && (run.latency[2] - 1485.0).abs() < 2.0, "{run:?}");
        assert!((run.bytes_per_cpu_second.unwrap() - 12e6).abs() < 1.0 && (run.failed - 0.1).abs() < 1e-9);
        assert_eq!(run.reasons, ["late"]);
        let none =
            kept(&Outcome { latency: Distribution { p50_us: 3, ..Distribution::default() }, ..Outcome::default() });
        assert!(none.latency[0] == 3.0 && none.reasons[0].contains("nothing was answered"));
    }
}
