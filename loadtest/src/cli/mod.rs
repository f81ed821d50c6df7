//! Rank 4: one file per command.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a threshold did not hold, 4 the run cannot be believed.

mod compare;
mod find;
mod load;
mod overhead;
mod plot;
mod relay;
mod report;
mod run;
mod scenarios;
mod target;
mod upstream;

use crate::failure::Failure;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Loads an MCP endpoint and says honestly what came of it.
#[derive(Debug, Parser)]
#[command(name = "tollgate-load", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario against a target and say what came of it
    Run(Box<run::RunArgs>),
    /// Find the greatest rate at which bounds hold
    Find(Box<find::FindArgs>),
    /// List the built-in scenarios, or print one's file
    Scenarios(scenarios::ScenariosArgs),
    /// Serve MCP, both eras, as fast as can be: what stands behind a gate that is measured
    Upstream(upstream::UpstreamArgs),
    /// Copy bytes between two addresses and parse nothing: the least a gate can cost
    Relay(relay::RelayArgs),
    /// Say what a gate adds to a call: direct, through the relay, the gate and its peers, in one run
    Overhead(Box<overhead::OverheadArgs>),
    /// Tell what came of a run: as text, as one HTML file, as `.hgrm`
    Report(report::ReportArgs),
    /// Compare two runs, and fail where one of the rules fires
    Compare(compare::CompareArgs),
    /// Draw a file of series as a line chart, and print it as a table
    Plot(plot::PlotArgs),
}

/// Reads the arguments, runs the command, and says how it went.
pub fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tollgate-load: {failure}");
            failure.exit_code()
        }
    }
}

fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Find(args) => find::run(args),
        Command::Scenarios(args) => scenarios::run(args),
        Command::Upstream(args) => upstream::run(args),
        Command::Relay(args) => relay::run(args),
        Command::Overhead(args) => overhead::run(args),
        Command::Report(args) => report::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Plot(args) => plot::run(args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }
}
