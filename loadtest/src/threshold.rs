//! Thresholds: `p99<2ms`, `rate>=4900/s`, `errors<0.1%`; and rules for the change between two runs: `p99>+5%`.
//!
//! ```text
//! threshold = figure relation number [unit]          holds or not, of one run
//! change    = figure relation signed-number "%"      fires or not, between two runs
//! figure    = "p50" | "p90" | "p99" | "p99.9" | "max" | "mean" | "rate" | "errors" | "late" | "cpu"
//! relation  = "<" | "<=" | ">" | ">="
//! unit      = "us" | "ms" | "s" | "%" | "/s"
//! ```
//! A figure that was not measured (no answer, CPU unknown) holds no threshold: what nobody saw proves nothing.

mod grammar;

use crate::failure::Failure;
use crate::outcome::{Outcome, Threshold};
use crate::units;
use std::fmt;
use std::str::FromStr;

/// What can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Median latency.
    P50,
    /// 90th percentile of latency.
    P90,
    /// 99th percentile of latency.
    P99,
    /// 99.9th percentile of latency.
    P999,
    /// Greatest latency.
    Max,
    /// Mean latency.
    Mean,
    /// Answers a second.
    Rate,
    /// Failures: how many (no unit), of all requests (`%`), or a second (`/s`).
    Errors,
    /// Requests sent late: how many (no unit), or of all sent (`%`).
    Late,
    /// CPU time of the target for each answer (a time), or its share of a core (`%`).
    Cpu,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Micros,
    /// Share of one.
    Share,
    /// A second.
    Rate,
    /// Pieces.
    Count,
}

/// How a figure must stand to its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Figure {
    /// Every figure with the name it is written by.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::P50, "p50"),
        (Self::P90, "p90"),
        (Self::P99, "p99"),
        (Self::P999, "p99.9"),
        (Self::Max, "max"),
        (Self::Mean, "mean"),
        (Self::Rate, "rate"),
        (Self::Errors, "errors"),
        (Self::Late, "late"),
        (Self::Cpu, "cpu"),
    ];

    /// Its name in expressions and tables.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(figure, _)| *figure == self).map_or("", |(_, name)| name)
    }

    /// The unit it is compared in between two runs: shares where a count would grow with the run's length.
    pub fn natural_unit(self) -> Unit {
        match self {
            Self::Rate => Unit::Rate,
            Self::Errors | Self::Late => Unit::Share,
            _ => Unit::Micros,
        }
    }

    /// The figure in this unit; nothing where the run did not measure it, or where it has no such unit.
    pub fn measured(self, outcome: &Outcome, unit: Unit) -> Option<f64> {
        let latency = &outcome.latency;
        match (self, unit) {
            (Self::Rate, Unit::Rate) => Some(outcome.rate),
            (Self::Errors, _) => errors(outcome, unit),
            (Self::Late, Unit::Count) => Some(units::float(outcome.late.count)),
            (Self::Late, Unit::Share) => of(outcome.late.count, outcome.sent),
            (Self::Cpu, Unit::Micros) => outcome.server_cpu_us,
            (Self::Cpu, Unit::Share) => outcome.server_cpu_share,
            (_, Unit::Micros) if latency.count == 0 => None,
            (Self::Mean, Unit::Micros) => Some(latency.mean_us),
            (Self::P50, Unit::Micros) => Some(units::float(latency.p50_us)),
            (Self::P90, Unit::Micros) => Some(units::float(latency.p90_us)),
            (Self::P99, Unit::Micros) => Some(units::float(latency.p99_us)),
            (Self::P999, Unit::Micros) => Some(units::float(latency.p999_us)),
            (Self::Max, Unit::Micros) => Some(units::float(latency.max_us)),
            _ => None,
        }
    }
}

impl Unit {
    /// A number in this unit, for people.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Micros => units::time(value),
            Self::Share => units::share(value),
            Self::Rate => units::rate(value),
            Self::Count => units::plain(value),
        }
    }
}

impl Relation {
    /// Whether `left` stands so to `right`.
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// One threshold on one run, as understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// As written.
    pub expression: String,
    /// What is asked about.
    pub figure: Figure,
    /// How it must stand to the number.
    pub relation: Relation,
    /// The number, in [`Self::unit`].
    pub number: f64,
    /// What it counts.
    pub unit: Unit,
}

impl Bound {
    /// What was measured, and whether it holds.
    pub fn judge(&self, outcome: &Outcome) -> Threshold {
        let measured = self.figure.measured(outcome, self.unit);
        Threshold {
            expression: self.expression.clone(),
            measured: measured.map_or_else(|| "not measured".to_owned(), |value| self.unit.show(value)),
            held: measured.is_some_and(|value| self.relation.holds(value, self.number)),
        }
    }
}

impl FromStr for Bound {
    type Err = Failure;

    /// Reads a threshold.
    ///
    /// # Errors
    /// It does not follow the grammar above, or the figure has no such unit.
    fn from_str(expression: &str) -> Result<Self, Failure> {
        grammar::bound(expression).map_err(|what| Failure::usage(format!("threshold `{expression}`: {what}")))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expression)
    }
}

/// One rule on the change from a first run to a second, as understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// As written.
    pub expression: String,
    /// What is asked about.
    pub figure: Figure,
    /// The rule fires when the change stands so to the number.
    pub relation: Relation,
    /// The change, as a share of the first run's figure: `+5%` is 0.05.
    pub number: f64,
}

impl Change {
    /// Whether the rule fires; nothing where one of the runs did not measure the figure.
    pub fn fires(&self, before: &Outcome, after: &Outcome) -> Option<bool> {
        relative_change(self.figure, before, after).map(|change| self.relation.holds(change, self.number))
    }
}

impl FromStr for Change {
    type Err = Failure;

    /// Reads a rule.
    ///
    /// # Errors
    /// It does not follow the grammar above.
    fn from_str(expression: &str) -> Result<Self, Failure> {
        grammar::change(expression).map_err(|what| Failure::usage(format!("rule `{expression}`: {what}")))
    }
}

/// The change of a figure as a share of the first run's: 0.05 is five percent more, infinity is something from nothing.
/// Nothing where one of the runs did not measure it.
pub fn relative_change(figure: Figure, before: &Outcome, after: &Outcome) -> Option<f64> {
    let unit = figure.natural_unit();
    let (before, after) = (figure.measured(before, unit)?, figure.measured(after, unit)?);
    if before == after {
        return Some(0.0);
    }
    Some(if before == 0.0 { f64::INFINITY } else { (after - before) / before })
}

fn errors(outcome: &Outcome, unit: Unit) -> Option<f64> {
    let failed: u64 = outcome.errors.values().sum();
    match unit {
        Unit::Count => Some(units::float(failed)),
        Unit::Share => of(failed, failed + outcome.answered),
        Unit::Rate => (outcome.seconds > 0.0).then(|| units::float(failed) / outcome.seconds),
        Unit::Micros => None,
    }
}

fn of(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| units::float(part) / units::float(all))
}

#[cfg(test)]
mod tests;
