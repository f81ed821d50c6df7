//! `tollgate-load run`: one scenario against one target.

use super::find::{self, SearchArgs};
use super::load::LoadArgs;
use super::report::{ReportFiles, verdict};
use super::target::TargetArgs;
use crate::engine;
use crate::failure::Failure;
use crate::order::{Order, Target};
use crate::outcome::Outcome;
use crate::report::{file, text};
use crate::screen::{Heading, Live, Stop, Watch};
use crate::threshold::Bound;
use clap::Args;
use std::path::PathBuf;

/// Runs a scenario against a target and says what came of it.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A built-in scenario's name, or a scenario file
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    load: LoadArgs,
    /// What must hold, for instance "p99<2ms" or "errors<=0"; repeat it for more; exit code 3 where one does not
    #[arg(long = "threshold", value_name = "BOUND")]
    thresholds: Vec<Bound>,
    /// Instead of one run, find the greatest rate at which this holds, as `find` does; repeat it for more
    #[arg(long, value_name = "BOUND", conflicts_with_all = ["profile", "thresholds", "html", "hgrm"])]
    find: Vec<Bound>,
    #[command(flatten)]
    search: SearchArgs,
    /// Reports to files
    #[command(flatten)]
    files: ReportFiles,
    /// Print the outcome as one line of JSON
    #[arg(long)]
    json: bool,
    /// How to watch the run; `q` or Ctrl-C ends it and reports what was measured
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    watch: Watch,
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
    let order = args.load.order(args.scenario.clone())?;
    let mut outcome = watched(args.watch, &order, &args.target.target()?)?;
    outcome.thresholds = args.thresholds.iter().map(|bound| bound.judge(&outcome)).collect();
    args.files.write(&outcome, None)?;
    if args.json {
        file::write(&outcome, &mut std::io::stdout().lock())?;
    } else {
        print!("{}", text::summary(&outcome));
    }
    verdict(&outcome)
}

/// Runs it while somebody may look on, and may end it early.
fn watched(watch: Watch, order: &Order, target: &Target) -> Result<Outcome, Failure> {
    let stop = Stop::default();
    stop.on_signals().map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
    let heading = Heading {
        title: format!("{} → {}", order.scenario.display(), target.name),
        load: format!("{}, {} connections", engine::words(&order.load), order.connections),
        warm_up: order.warm_up,
        lasts: engine::measured(order),
    };
    let mut live = Live::start(watch, heading, stop.clone())?;
    engine::run_until(order, target, &stop.flag(), &mut |tick| live.show(tick))
}
