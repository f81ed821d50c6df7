//! `tollgate-load compare`: two runs against each other, and rules that fail a build.

use crate::failure::Failure;
use crate::report::compare::Comparison;
use crate::report::{file, html};
use crate::threshold::Change;
use clap::Args;
use std::path::{Path, PathBuf};

/// Compares two runs. Exit code 1 where a rule fires, or where rules are given and a run is not valid.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The earlier run: what `run --json` printed; `-` is standard input
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// The later run
    #[arg(value_name = "AFTER")]
    after: PathBuf,
    /// Fail where the change is so, for instance "p99>+5%" or "rate<-3%"; may be given more than once
    #[arg(long, value_name = "RULE")]
    fail_if: Vec<Change>,
    /// Judge by the rules even where a run is not valid
    #[arg(long)]
    allow_invalid: bool,
    /// Print one line of JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Write the later run's report with the earlier one laid over it, as one HTML file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// A file is no run (2); a rule fires or cannot be judged (1).
pub(super) fn run(args: &CompareArgs) -> Result<(), Failure> {
    if args.before == Path::new("-") && args.after == Path::new("-") {
        return Err(Failure::usage("only one of the two runs can be read from standard input"));
    }
    let (before, after) = (file::read(&args.before)?, file::read(&args.after)?);
    let comparison = Comparison::new(&before, &after, &args.fail_if);
    if let Some(path) = &args.html {
        file::save(path, &html::page(&after, Some(&before))?)?;
    }
    match args.json {
        true => println!("{}", comparison.json()?),
        false => print!("{}", comparison.text()),
    }
    judge(&comparison, args.allow_invalid)
}

fn judge(comparison: &Comparison, allow_invalid: bool) -> Result<(), Failure> {
    if !comparison.rules.is_empty() && !comparison.invalid.is_empty() && !allow_invalid {
        let why = comparison.invalid.join("; ");
        return Err(Failure::new(format!("{why}; run it anew, or judge it all the same with --allow-invalid")));
    }
    let fired: Vec<String> = comparison.fired().map(|judged| format!("{} ({})", judged.rule, judged.change)).collect();
    match fired.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!("worse than allowed: {}", fired.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Outcome, Validity};

    fn outcome(rate: f64, valid: bool) -> Outcome {
        Outcome { rate, validity: Validity { valid, reasons: Vec::new() }, ..Outcome::default() }
    }

    fn judged(before: &Outcome, after: &Outcome, allow_invalid: bool) -> Result<(), Failure> {
        let rules = ["rate<-3%".parse().unwrap()];
        judge(&Comparison::new(before, after, &rules), allow_invalid)
    }

    #[test]
    fn a_rule_that_fires_fails() {
        let slower = judged(&outcome(100.0, true), &outcome(96.0, true), false).unwrap_err();
        assert_eq!(slower.to_string(), "worse than allowed: rate<-3% (-4.0 %)");
        assert_eq!(judged(&outcome(100.0, true), &outcome(97.5, true), false), Ok(()));
    }

    #[test]
    fn rules_pass_on_nothing_that_cannot_be_believed() {
        let invalid = judged(&outcome(100.0, true), &outcome(100.0, false), false).unwrap_err();
        assert!(invalid.to_string().contains("the second run: no reason is given"), "{invalid}");
        assert_eq!(judged(&outcome(100.0, true), &outcome(100.0, false), true), Ok(()));
    }
}
