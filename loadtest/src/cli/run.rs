//! `tollgate-load run`: one scenario against one target.

use super::find::{self, SearchArgs};
use super::load::LoadArgs;
use super::target::TargetArgs;
use crate::engine;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::threshold::Bound;
use crate::units;
use clap::Args;
use std::path::PathBuf;

/// Runs a scenario against a target and says what came of it.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// A built-in scenario's name, or a scenario file
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    load: LoadArgs,
    /// What must hold, for instance "p99<2ms" or "errors=0"; repeat it for more; exit code 3 where one does not
    #[arg(long = "threshold", value_name = "BOUND")]
    thresholds: Vec<String>,
    /// Instead of one run, find the greatest rate at which this holds, as `find` does; repeat it for more
    #[arg(long, value_name = "BOUND", conflicts_with_all = ["profile", "thresholds"])]
    find: Vec<String>,
    #[command(flatten)]
    search: SearchArgs,
    /// Print the outcome as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The run could not be made, a threshold did not hold, or the run cannot be believed.
pub(super) fn run(args: &RunArgs) -> Result<(), Failure> {
    if !args.find.is_empty() {
        let target = args.target.target()?;
        return find::search(&args.scenario, &args.find, &args.search, &args.load.shape, &target, args.json);
    }
    let bounds: Vec<Bound> = args.thresholds.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let order = args.load.order(args.scenario.clone())?;
    let mut outcome = engine::run(&order, &args.target.target()?, &mut |_| {})?;
    outcome.thresholds = bounds.iter().map(|bound| bound.judge(&outcome)).collect();
    if args.json {
        print_json(&outcome)?;
    } else {
        print_lines(&outcome);
    }
    judge(&outcome)
}

/// Says by the exit code what must not be missed in the text.
pub(super) fn judge(outcome: &Outcome) -> Result<(), Failure> {
    if let Some(reason) = outcome.validity.reasons.first() {
        return Err(Failure::invalid(format!("this run cannot be believed: {reason}")));
    }
    match outcome.thresholds.iter().find(|threshold| !threshold.held) {
        Some(broken) => Err(Failure::threshold(format!("{} does not hold: {}", broken.expression, broken.measured))),
        None => Ok(()),
    }
}

fn print_json(outcome: &Outcome) -> Result<(), Failure> {
    let line = serde_json::to_string(outcome).map_err(|error| Failure::new(format!("the outcome: {error}")))?;
    println!("{line}");
    Ok(())
}

fn print_lines(outcome: &Outcome) {
    let us = |us: u64| units::time(units::float(us));
    let latency = &outcome.latency;
    println!("{}, {} era, {} at {}", outcome.scenario, outcome.era, outcome.load, outcome.url);
    println!("rate      {} of {} sent", units::rate(outcome.rate), units::count(outcome.sent));
    println!(
        "latency   p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
        us(latency.p50_us),
        us(latency.p90_us),
        us(latency.p99_us),
        us(latency.p999_us),
        us(latency.max_us)
    );
    outcome.errors.iter().for_each(|(kind, count)| println!("error     {kind}: {}", units::count(*count)));
    println!("late      {} sends, the latest by {}", units::count(outcome.late.count), us(outcome.late.max_us));
    println!("client    {} of a core", units::share(outcome.client.cpu_share));
    if let Some(cpu) = outcome.server_cpu_us {
        println!("server    {} of CPU a request", units::time(cpu));
    }
}
