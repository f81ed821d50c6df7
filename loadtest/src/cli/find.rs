//! `tollgate-load find`: the greatest rate under bounds.

use super::load::{ShapeArgs, constant};
use super::target::TargetArgs;
use crate::engine;
use crate::failure::Failure;
use crate::find::{self, Found, Goal, Try};
use crate::order::{Load, Target};
use crate::threshold::Bound;
use crate::units;
use clap::Args;
use std::path::{Path, PathBuf};

/// Finds the greatest rate at which bounds hold, by runs at ever nearer rates.
#[derive(Clone, Debug, Args)]
pub struct FindArgs {
    /// A built-in scenario's name, or a scenario file
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    /// What must hold, for instance "p99<2ms"; repeat it for more
    #[arg(long = "slo", value_name = "BOUND", required = true)]
    bounds: Vec<Bound>,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    shape: ShapeArgs,
    /// Print what was found as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Where is searched.
#[derive(Clone, Debug, Args)]
pub(super) struct SearchArgs {
    /// The first rate tried, requests a second
    #[arg(long, value_name = "N", default_value_t = 500.0, help_heading = "Search")]
    from: f64,
    /// The greatest rate tried
    #[arg(long, value_name = "N", default_value_t = 1_000_000.0, help_heading = "Search")]
    to: f64,
    /// How near to come, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, help_heading = "Search")]
    precision: f64,
}

/// Runs the command.
///
/// # Errors
/// A run could not be made, or the bounds hold at no rate.
pub(super) fn run(args: &FindArgs) -> Result<(), Failure> {
    search(&args.scenario, &args.bounds, &args.search, &args.shape, &args.target.target()?, args.json)
}

/// Searches and prints what was found.
///
/// # Errors
/// As [`run`].
pub(super) fn search(
    scenario: &Path,
    bounds: &[Bound],
    search: &SearchArgs,
    shape: &ShapeArgs,
    target: &Target,
    json: bool,
) -> Result<(), Failure> {
    let goal = Goal { bounds: bounds.to_vec(), from: search.from, to: search.to, precision: search.precision / 100.0 };
    let mut run = |rate| {
        let order = shape.order(scenario.to_owned(), Load::Open(vec![constant(rate, shape.duration)]))?;
        engine::run(&order, target, &mut |_| {})
    };
    let found = find::find(&goal, &mut run, &mut |one| print_try(one, json))?;
    if json {
        let line = serde_json::to_string(&found).map_err(|error| Failure::new(format!("what was found: {error}")))?;
        println!("{line}");
    } else {
        print_found(&found);
    }
    match found.rate {
        Some(_) => Ok(()),
        None => Err(Failure::threshold(format!("it holds not even at {} a second: {}", goal.from, found.limit))),
    }
}

fn print_try(one: &Try, json: bool) {
    let verdict = if one.held { "holds".to_owned() } else { format!("does not hold: {}", one.why) };
    let line = format!("{:>12}  {verdict}", units::rate(one.rate));
    if json { eprintln!("{line}") } else { println!("{line}") }
}

fn print_found(found: &Found) {
    let Some(rate) = found.rate else { return };
    let limit = if found.limit.is_empty() { "the greatest rate tried" } else { &found.limit };
    println!("found: {}; limit: {limit}", units::rate(rate));
}
