//! Two runs against each other: a table of changes, and rules that fail a build.

use super::words;
use crate::failure::Failure;
use crate::outcome::{Outcome, Second};
use crate::threshold::{Change, Figure, relative_change};
use crate::units;
use std::fmt::Write as _;

/// Fewest seconds of a run whose spread says anything.
const SPREAD_SECONDS_MIN: usize = 5;

/// Whether a change is for the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Turn {
    /// Faster, fewer, less.
    Better,
    /// Slower, more failures, more work.
    Worse,
    /// No more than one second of a run differs from the next, or nothing at all.
    Within,
    /// One of the runs did not measure it.
    Unknown,
}

/// One figure of both runs.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// The figure's name in rules.
    pub figure: &'static str,
    /// In the first run: microseconds, a second, or a share of one; nothing where not measured.
    pub before: Option<f64>,
    /// In the second run.
    pub after: Option<f64>,
    /// The change as a share of the first; nothing where not measured or from zero.
    pub change: Option<f64>,
    /// How far the middle half of a run's seconds lies apart, as a share of their median, in the wider run.
    pub spread: Option<f64>,
    /// What it means.
    pub turn: Turn,
    /// The three numbers for people.
    #[serde(skip)]
    pub shown: [String; 3],
}

/// One rule, judged.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Judged {
    /// As written.
    pub rule: String,
    /// Whether it fires; a rule on what was not measured fires too.
    pub fires: bool,
    /// The change, or why there is none.
    pub change: String,
}

/// Two runs against each other.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Comparison {
    /// One for each figure, in the order of the grammar.
    pub rows: Vec<Row>,
    /// One for each rule.
    pub rules: Vec<Judged>,
    /// In what the two runs were not alike, in words.
    pub unlike: Vec<String>,
    /// Why one or both cannot be believed, in words.
    pub invalid: Vec<String>,
}

impl Comparison {
    /// Compares.
    pub fn new(before: &Outcome, after: &Outcome, rules: &[Change]) -> Self {
        let judged = |rule: &Change| Judged {
            rule: rule.expression.clone(),
            fires: rule.fires(before, after).unwrap_or(true),
            change: relative_change(rule.figure, before, after)
                .map_or_else(|| "not measured in both runs".to_owned(), units::change),
        };
        Self {
            rows: Figure::ALL.into_iter().map(|(figure, name)| row(figure, name, before, after)).collect(),
            rules: rules.iter().map(judged).collect(),
            unlike: unlike(before, after),
            invalid: invalid("the first run", before).chain(invalid("the second run", after)).collect(),
        }
    }

    /// The rules that fire.
    pub fn fired(&self) -> impl Iterator<Item = &Judged> {
        self.rules.iter().filter(|judged| judged.fires)
    }

    /// The table and what is to be said of it, for a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for what in &self.invalid {
            let _ = writeln!(out, "NOT VALID: {}", words::harmless(what));
        }
        for what in &self.unlike {
            let _ = writeln!(out, "not alike: {}", words::harmless(what));
        }
        let _ = writeln!(out, "{:<8}{:>14}{:>14}{:>10}{:>14}", "", "before", "after", "change", "seconds vary");
        for row in &self.rows {
            let [before, after, change] = &row.shown;
            let spread = row.spread.map_or_else(String::new, |spread| format!("± {}", units::share(spread / 2.0)));
            let line = format!("{:<8}{before:>14}{after:>14}{change:>10}{spread:>14}  {}", row.figure, row.turn.word());
            let _ = writeln!(out, "{}", line.trim_end());
        }
        for judged in &self.rules {
            let word = if judged.fires { "FIRES" } else { "quiet" };
            let _ = writeln!(out, "{word}  {}  ({})", judged.rule, judged.change);
        }
        out
    }

    /// The table as one line of JSON.
    ///
    /// # Errors
    /// Never in practice: the model has only what JSON can say.
    pub fn json(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|error| Failure::new(format!("comparison as JSON: {error}")))
    }
}

impl Turn {
    /// As tables say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Within => "",
            Self::Unknown => "not measured",
        }
    }
}

fn row(figure: Figure, name: &'static str, before: &Outcome, after: &Outcome) -> Row {
    let unit = figure.natural_unit();
    let change = relative_change(figure, before, after);
    let spread = spread(figure, before).into_iter().chain(spread(figure, after)).reduce(f64::max);
    let (was, is) = (figure.measured(before, unit), figure.measured(after, unit));
    let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| unit.show(value));
    Row {
        figure: name,
        before: was,
        after: is,
        change: change.filter(|change| change.is_finite()),
        spread,
        turn: change.map_or(Turn::Unknown, |change| turn(figure, change, spread)),
        shown: [show(was), show(is), change.map_or_else(String::new, units::change)],
    }
}

fn turn(figure: Figure, change: f64, spread: Option<f64>) -> Turn {
    let is_more_better = figure == Figure::Rate;
    match change {
        small if small.abs() <= (spread.unwrap_or(0.0) / 2.0).max(0.000_5) => Turn::Within,
        more if (more > 0.0) == is_more_better => Turn::Better,
        _ => Turn::Worse,
    }
}

/// The distance between the quartiles of a run's seconds, as a share of their median.
fn spread(figure: Figure, outcome: &Outcome) -> Option<f64> {
    let pick = |second: &Second| match figure {
        Figure::P50 => Some(second.p50_us),
        Figure::P99 => Some(second.p99_us),
        Figure::Rate => Some(second.answered),
        _ => None,
    };
    let mut values: Vec<u64> = outcome.timeline.iter().filter_map(pick).collect();
    if values.len() < SPREAD_SECONDS_MIN {
        return None;
    }
    values.sort_unstable();
    let at = |quarter: usize| units::float(values[(values.len() - 1) * quarter / 4]);
    (at(2) > 0.0).then(|| (at(3) - at(1)) / at(2))
}

/// In what two runs were not alike, so that their difference may be that and nothing else.
fn unlike(before: &Outcome, after: &Outcome) -> Vec<String> {
    let profile = |outcome: &Outcome| outcome.machine.build.split(' ').nth(1).unwrap_or_default().to_owned();
    let facts = |outcome: &Outcome| {
        [
            ("scenario", outcome.scenario.clone()),
            ("era", outcome.era.clone()),
            ("load", outcome.load.clone()),
            ("connections", outcome.connections.to_string()),
            ("client threads", outcome.client.threads.to_string()),
            ("kernel", outcome.machine.kernel.clone()),
            ("processor", outcome.machine.processor.clone()),
            ("cores", outcome.machine.cores.to_string()),
            ("build profile", profile(outcome)),
        ]
    };
    let pairs = facts(before).into_iter().zip(facts(after)).filter(|(a, b)| a.1 != b.1);
    pairs.map(|((name, was), (_, is))| format!("{name}: {was} before, {is} after")).collect()
}

fn invalid<'a>(which: &'a str, outcome: &'a Outcome) -> impl Iterator<Item = String> + 'a {
    let without = (!outcome.validity.valid && outcome.validity.reasons.is_empty()).then_some("no reason is given");
    let reasons = outcome.validity.reasons.iter().map(String::as_str).chain(without);
    reasons.filter(|_| !outcome.validity.valid).map(move |reason| format!("{which}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_table_says_what_changed_and_which_rules_fire() {
        let rules = ["p99>+5%", "rate<-30%", "cpu>+50%"].map(|rule| rule.parse().unwrap());
        let comparison = Comparison::new(&sample::good(), &sample::bad(), &rules);
        sample::assert_fixture("compare.txt", &comparison.text());
        assert_eq!(comparison.fired().map(|judged| judged.rule.as_str()).collect::<Vec<_>>(), ["p99>+5%"]);
    }

    #[test]
    fn a_run_is_as_good_as_itself() {
        let run = sample::good();
        let comparison = Comparison::new(&run, &run, &["p99>0%".parse().unwrap()]);
        assert!(comparison.unlike.is_empty() && comparison.invalid.is_empty());
        assert!(comparison.rows.iter().all(|row| row.turn == Turn::Within), "{comparison:?}");
        assert_eq!(comparison.fired().count(), 0);
    }

    #[test]
    fn a_rule_on_what_nobody_measured_fires() {
        let (before, mut after) = (sample::good(), sample::good());
        after.server_cpu_us = None;
        let comparison = Comparison::new(&before, &after, &["cpu>+5%".parse().unwrap()]);
        assert_eq!(comparison.fired().next().unwrap().change, "not measured in both runs");
        assert_eq!(comparison.rows.last().unwrap().turn, Turn::Unknown);
    }

    #[test]
    fn the_json_has_no_infinity() {
        let (mut before, after) = (sample::good(), sample::good());
        before.errors.clear();
        let json = Comparison::new(&before, &after, &[]).json().unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["rows"][7]["change"], serde_json::Value::Null, "{json}");
        assert_eq!(value["rows"][7]["turn"], "worse");
    }
}
