//! The arguments that say how hard and for how long.

use crate::failure::Failure;
use crate::order::{Era, Load, Order, Stage};
use crate::scenario::Scenario;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tollgate::rt::shard;

/// How hard, for how long, and from where.
#[derive(Clone, Debug, Args)]
pub(super) struct LoadArgs {
    /// Requests a second at appointed times [default: the scenario's]
    #[arg(long, value_name = "N", group = "profile")]
    rate: Option<f64>,
    /// Each connection sends its next request when the answer is there: shows the greatest rate, hides waiting
    #[arg(long, group = "profile")]
    closed: bool,
    /// From one rate to another in a straight line, for instance 1000:10000:30s
    #[arg(long, value_name = "FROM:TO:TIME", group = "profile")]
    ramp: Option<String>,
    /// Rates one after another, each as long, for instance 1000,2000,4000:10s
    #[arg(long, value_name = "RATES:TIME", group = "profile")]
    steps: Option<String>,
    #[command(flatten)]
    pub(super) shape: ShapeArgs,
}

/// What every load has, whatever its rates.
#[derive(Clone, Debug, Args)]
pub(super) struct ShapeArgs {
    /// Connections, of all client threads together
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: usize,
    /// Measured time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(super) duration: Duration,
    /// Time before it, left out of every figure
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(super) warm_up: Duration,
    /// Patience with one request
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Client threads, each pinned to a core of its own, the last ones first
    #[arg(long, value_name = "N", default_value_t = 1)]
    cores: usize,
    /// Protocol era of the clients [default: the scenario's first]
    #[arg(long, value_name = "ERA")]
    era: Option<EraArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EraArg {
    Modern,
    Legacy,
}

impl LoadArgs {
    /// The order of a run.
    ///
    /// # Errors
    /// A profile that cannot be read, or more threads than cores.
    pub(super) fn order(&self, scenario: PathBuf) -> Result<Order, Failure> {
        let load = self.load(&scenario)?;
        self.shape.order(scenario, load)
    }

    fn load(&self, scenario: &Path) -> Result<Load, Failure> {
        if self.closed {
            return Ok(Load::Closed);
        }
        let stages = match (&self.ramp, &self.steps) {
            (Some(ramp), _) => ramp_stages(ramp),
            (_, Some(steps)) => steps_stages(steps),
            _ => self.constant_stage(scenario).map(|stage| vec![stage]),
        };
        Ok(Load::Open(stages?))
    }

    fn constant_stage(&self, scenario: &Path) -> Result<Stage, Failure> {
        let rate = match self.rate {
            Some(given) => rate(given).map_err(|why| Failure::usage(format!("--rate: {why}")))?,
            None => Scenario::load(scenario)?.rate,
        };
        Ok(constant(rate, self.shape.duration))
    }
}

impl ShapeArgs {
    /// The order of a run under a load.
    ///
    /// # Errors
    /// More threads than cores.
    pub(super) fn order(&self, scenario: PathBuf, load: Load) -> Result<Order, Failure> {
        let mut cores = shard::cores().map_err(|error| Failure::new(format!("the kernel names no cores: {error}")))?;
        let have = cores.len();
        if self.cores == 0 || self.cores > have {
            return Err(Failure::usage(format!("--cores: {} asked for, and there are {have}", self.cores)));
        }
        Ok(Order {
            scenario,
            era: self.era.map(|era| match era {
                EraArg::Modern => Era::Modern,
                EraArg::Legacy => Era::Legacy,
            }),
            load,
            connections: self.connections,
            warm_up: self.warm_up,
            lasts: self.duration,
            patience: self.timeout,
            cores: cores.split_off(have - self.cores),
        })
    }
}

/// A stage without slope.
pub(super) fn constant(rate: f64, lasts: Duration) -> Stage {
    Stage { from: rate, to: rate, lasts }
}

fn ramp_stages(text: &str) -> Result<Vec<Stage>, Failure> {
    let wrong = |why: String| Failure::usage(format!("--ramp {text}: {why}; write FROM:TO:TIME, as 1000:10000:30s"));
    let parts: Vec<&str> = text.split(':').collect();
    let [from, to, lasts] = parts[..] else { return Err(wrong("three parts are needed".into())) };
    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no rate")).and_then(rate_or_zero);
    let (from, to) = (number(from).map_err(wrong)?, number(to).map_err(wrong)?);
    if from + to <= 0.0 {
        return Err(wrong("one of the rates must be more than zero".into()));
    }
    Ok(vec![Stage { from, to, lasts: duration(lasts).map_err(wrong)? }])
}

fn steps_stages(text: &str) -> Result<Vec<Stage>, Failure> {
    let wrong = |why: String| Failure::usage(format!("--steps {text}: {why}; write RATES:TIME, as 1000,2000,4000:10s"));
    let (rates, lasts) = text.split_once(':').ok_or_else(|| wrong("the time is missing".into()))?;
    let lasts = duration(lasts).map_err(wrong)?;
    let stage = |text: &str| {
        let rate = text.parse().map_err(|_| format!("{text:?} is no rate")).and_then(rate);
        rate.map(|rate| constant(rate, lasts)).map_err(wrong)
    };
    rates.split(',').map(stage).collect()
}

/// Most requests a second that are believed to be meant.
const RATE_MAX: f64 = 10_000_000.0;

pub(super) fn rate(number: f64) -> Result<f64, String> {
    rate_or_zero(number).and_then(|number| if number > 0.0 { Ok(number) } else { Err("a rate is more than 0".into()) })
}

fn rate_or_zero(number: f64) -> Result<f64, String> {
    if (0.0..=RATE_MAX).contains(&number) {
        Ok(number)
    } else {
        Err(format!("{number} is no rate from 0 to {RATE_MAX}"))
    }
}

/// Reads `250ms`, `10s`, `2m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{text:?} has no unit; write 250ms, 10s, 2m or 1h")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("{digits:?} is no number"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("{text:?} is no time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        for wrong in ["10", "s", "-1s", "1d", ""] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn profiles_are_read_and_wrong_ones_say_how() {
        let ten = Duration::from_secs(10);
        assert_eq!(ramp_stages("0:500:10s").unwrap(), [Stage { from: 0.0, to: 500.0, lasts: ten }]);
        assert_eq!(steps_stages("5,6:10s").unwrap(), [constant(5.0, ten), constant(6.0, ten)]);
        for wrong in ["0:0:1s", "1:2", "1:x:1s", "1:2:3", "-1:2:1s"] {
            assert!(ramp_stages(wrong).unwrap_err().to_string().contains("FROM:TO:TIME"), "{wrong}");
        }
        for wrong in ["1,2", "0:1s", "1,:1s", "NaN:1s"] {
            assert!(steps_stages(wrong).unwrap_err().to_string().contains("RATES:TIME"), "{wrong}");
        }
    }
}
