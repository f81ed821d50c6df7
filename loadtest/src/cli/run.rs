//! `tollgate-load run`: one scenario against one target.

use super::find::{self, SearchArgs};
use super::load::LoadArgs;
use super::report::{ReportFiles, verdict};
use super::target::TargetArgs;
use crate::engine;
use crate::failure::Failure;
use crate::report::{file, text};
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
    /// What must hold, for instance "p99<2ms" or "errors=0"; repeat it for more; exit code 3 where one does not
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
    let mut outcome = engine::run(&order, &args.target.target()?, &mut |_| {})?;
    outcome.thresholds = args.thresholds.iter().map(|bound| bound.judge(&outcome)).collect();
    args.files.write(&outcome, None)?;
    if args.json {
        file::write(&outcome, &mut std::io::stdout().lock())?;
    } else {
        print!("{}", text::summary(&outcome));
    }
    verdict(&outcome)
}
