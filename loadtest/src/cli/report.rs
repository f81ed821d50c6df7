//! `tollgate-load report`: what `run --json` printed, told anew: as text, HTML or `.hgrm`, by other thresholds.

use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::report::{file, hgrm, html, text};
use crate::threshold::Bound;
use clap::Args;
use std::path::{Path, PathBuf};

/// Tells what came of a run.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// What `run --json` printed; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Lay this earlier run over it
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Where and what else to write
    #[command(flatten)]
    files: ReportFiles,
    /// Judge it by these instead of those of the run, for instance "p99<2ms"
    #[arg(long, value_name = "EXPRESSION")]
    threshold: Vec<Bound>,
}

/// The reports that go to files, as `run` and `report` take them.
#[derive(Debug, Default, Args)]
pub(super) struct ReportFiles {
    /// Write the report as one HTML file that needs no network
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Write the latencies as a percentile table that HdrHistogram plotters open
    #[arg(long, value_name = "FILE")]
    pub(super) hgrm: Option<PathBuf>,
}

impl ReportFiles {
    /// Writes the files that were asked for.
    ///
    /// # Errors
    /// A file cannot be written, or a histogram cannot be read.
    pub(super) fn write(&self, outcome: &Outcome, baseline: Option<&Outcome>) -> Result<(), Failure> {
        if let Some(path) = &self.html {
            file::save(path, &html::page(outcome, baseline)?)?;
        }
        if let Some(path) = &self.hgrm {
            file::save(path, &hgrm::text(&outcome.latency)?)?;
        }
        Ok(())
    }

    fn are_none(&self) -> bool {
        self.html.is_none() && self.hgrm.is_none()
    }
}

/// The exit code of a run: a failure where it cannot be believed or a threshold did not hold, in this order.
///
/// # Errors
/// As said, in words that name the reasons.
pub(super) fn verdict(outcome: &Outcome) -> Result<(), Failure> {
    if !outcome.validity.valid {
        return Err(Failure::invalid(format!("the run is not valid: {}", outcome.validity.reasons.join("; "))));
    }
    let broken = outcome.thresholds.iter().filter(|threshold| !threshold.held);
    let said: Vec<String> = broken.map(|broken| format!("{} ({})", broken.expression, broken.measured)).collect();
    match said.is_empty() {
        true => Ok(()),
        false => Err(Failure::threshold(format!("did not hold: {}", said.join(", ")))),
    }
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read or written; or, where thresholds are given, the run is not valid or one of them does not hold.
pub(super) fn run(args: &ReportArgs) -> Result<(), Failure> {
    if args.file == Path::new("-") && args.against.as_deref() == Some(Path::new("-")) {
        return Err(Failure::usage("only one of the two runs can be read from standard input"));
    }
    let mut outcome = file::read(&args.file)?;
    let baseline = args.against.as_deref().map(file::read).transpose()?;
    if !args.threshold.is_empty() {
        outcome.thresholds = args.threshold.iter().map(|bound| bound.judge(&outcome)).collect();
    }
    args.files.write(&outcome, baseline.as_ref())?;
    if args.files.are_none() {
        print!("{}", text::summary(&outcome));
        if let Some(baseline) = &baseline {
            print!("\n{}", crate::report::compare::Comparison::new(baseline, &outcome, &[]).text());
        }
    }
    if args.threshold.is_empty() { Ok(()) } else { verdict(&outcome) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Threshold, Validity};
    use std::process::ExitCode;

    #[test]
    fn an_invalid_run_outranks_a_broken_threshold() {
        let threshold = Threshold { expression: "p99<1ms".to_owned(), measured: "2.00 ms".to_owned(), held: false };
        let mut outcome = Outcome { thresholds: vec![threshold], ..Outcome::default() };
        outcome.validity = Validity { valid: false, reasons: vec!["no headroom".to_owned()] };
        assert_eq!(verdict(&outcome).unwrap_err().exit_code(), ExitCode::from(4));
        outcome.validity = Validity { valid: true, reasons: Vec::new() };
        let broken = verdict(&outcome).unwrap_err();
        assert_eq!(broken.exit_code(), ExitCode::from(3));
        assert_eq!(broken.to_string(), "did not hold: p99<1ms (2.00 ms)");
        outcome.thresholds.clear();
        assert_eq!(verdict(&outcome), Ok(()));
    }
}
