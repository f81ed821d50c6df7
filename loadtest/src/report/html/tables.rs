//! The cards and tables of a report, as text for the template.

use crate::outcome::{Distribution, Outcome, Threshold};
use crate::report::compare::{Comparison, Turn};
use crate::report::{text, words};
use crate::threshold::Bound;
use crate::units::{self, float};

/// What to make of the run.
pub(super) struct Verdict<'a> {
    pub(super) class: &'static str,
    pub(super) sign: &'static str,
    pub(super) word: &'static str,
    pub(super) text: String,
    pub(super) reasons: &'a [String],
}

/// One figure in large type.
pub(super) struct Card<'a> {
    pub(super) name: &'static str,
    pub(super) number: String,
    pub(super) unit: String,
    pub(super) note: String,
    pub(super) class: &'static str,
    pub(super) judged: Vec<&'a Threshold>,
}

/// A row with a bar.
pub(super) struct BarRow {
    pub(super) name: String,
    pub(super) value: String,
    /// Percent of the widest bar.
    pub(super) width: String,
    pub(super) share: String,
}

/// One distribution in figures.
pub(super) struct LatencyRow {
    pub(super) name: &'static str,
    pub(super) values: [String; 7],
}

/// A name and what is to be said of it.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) text: String,
}

/// The table of changes.
pub(super) struct ComparisonTable {
    pub(super) baseline: String,
    pub(super) warnings: Vec<String>,
    pub(super) rows: Vec<ComparisonRow>,
}

/// One figure of both runs.
pub(super) struct ComparisonRow {
    pub(super) figure: &'static str,
    pub(super) before: String,
    pub(super) after: String,
    pub(super) change: String,
    pub(super) spread: String,
    pub(super) turn: &'static str,
    pub(super) class: &'static str,
}

/// Invalid before broken before well.
pub(super) fn verdict(outcome: &Outcome) -> Verdict<'_> {
    let broken = outcome.thresholds.iter().filter(|threshold| !threshold.held).count();
    let all = outcome.thresholds.len();
    let held = match (all, broken) {
        (0, _) => "No threshold was set.".to_owned(),
        (1, 0) => "The one threshold held.".to_owned(),
        (1, _) => "The one threshold did not hold.".to_owned(),
        (_, 0) => format!("All {all} thresholds held."),
        _ => format!("{broken} of {all} thresholds did not hold."),
    };
    if !outcome.validity.valid {
        let text = format!("These figures cannot be believed. {held}");
        let reasons = outcome.validity.reasons.as_slice();
        return Verdict { class: "bad", sign: "✗", word: "Not valid.", text, reasons };
    }
    match broken {
        0 => Verdict { class: "good", sign: "✓", word: "Valid run.", text: held, reasons: &[] },
        _ => Verdict { class: "bad", sign: "✗", word: "Failed.", text: held, reasons: &[] },
    }
}

/// The figures in large type, each with the thresholds that were set on it.
pub(super) fn cards(outcome: &Outcome) -> Vec<Card<'_>> {
    let latency = &outcome.latency;
    let time = |value: u64| if latency.count == 0 { "–".to_owned() } else { units::time(float(value)) };
    let asked = outcome
        .target_rate
        .map_or_else(|| "closed loop".to_owned(), |asked| format!("of {} asked for", units::rate(asked)));
    let failed = words::failed(outcome);
    let all = failed + outcome.answered;
    let errors = if all == 0 { "–".to_owned() } else { units::share(float(failed) / float(all)) };
    let tail = format!("p99.9 {}, max {}", time(latency.p999_us), time(latency.max_us));
    let mut cards = vec![
        card(outcome, "Median latency", &["p50", "mean"], &time(latency.p50_us), format!("mean {}", mean(latency))),
        card(outcome, "p99 latency", &["p99", "p90", "p99.9", "max"], &time(latency.p99_us), tail),
        card(outcome, "Answered", &["rate"], &units::rate(outcome.rate), asked),
        card(outcome, "Errors", &["errors"], &errors, format!("{} of {}", units::count(failed), units::count(all))),
    ];
    if outcome.target_rate.is_some() {
        let note = format!("the latest by {}", units::time(float(outcome.late.max_us)));
        cards.push(card(outcome, "Sent late", &["late"], &units::count(outcome.late.count), note));
    }
    if let Some(cpu) = outcome.server_cpu_us {
        let note = outcome.server_cpu_share.map_or_else(String::new, |s| format!("{} of a core", units::share(s)));
        let note = format!("of the target, {note}").trim_end_matches(", ").to_owned();
        cards.push(card(outcome, "CPU per answer", &["cpu"], &units::time(cpu), note));
    }
    cards
}

fn mean(latency: &Distribution) -> String {
    if latency.count == 0 { "–".to_owned() } else { units::time(latency.mean_us) }
}

fn card<'a>(outcome: &'a Outcome, name: &'static str, figures: &[&str], value: &str, note: String) -> Card<'a> {
    let concerns = |threshold: &&Threshold| {
        let bound = threshold.expression.parse::<Bound>();
        bound.is_ok_and(|bound| figures.contains(&bound.figure.name()))
    };
    let judged: Vec<&Threshold> = outcome.thresholds.iter().filter(concerns).collect();
    let (number, unit) = value.split_once(' ').unwrap_or((value, ""));
    let class = if judged.iter().any(|threshold| !threshold.held) { "broken" } else { "" };
    let note = words::unbroken(&note);
    Card { name, number: number.to_owned(), unit: unit.to_owned(), note, class, judged }
}

/// One row for each distribution that was measured.
pub(super) fn latency_rows(outcome: &Outcome, baseline: Option<&Outcome>) -> Vec<LatencyRow> {
    let rows = [
        ("Whole answer", Some(&outcome.latency)),
        ("Whole answer, baseline", baseline.map(|baseline| &baseline.latency)),
        ("First byte", outcome.first_byte.as_ref()),
        ("Between events", outcome.event_gap.as_ref()),
    ];
    let measured = rows.into_iter().filter_map(|(name, row)| Some((name, row?)));
    measured.map(|(name, row)| LatencyRow { name, values: text::figures(row) }).collect()
}

/// Failures by kind, the most frequent first.
pub(super) fn errors(outcome: &Outcome) -> Vec<BarRow> {
    let kinds = text::by_count(outcome);
    let values: Vec<f64> = kinds.iter().map(|(_, count)| float(*count)).collect();
    let bars = bars(&values);
    let rows = kinds.into_iter().zip(bars);
    rows.map(|((name, count), (width, share))| BarRow {
        name: words::harmless(name),
        value: units::count(count),
        width,
        share,
    })
    .collect()
}

/// How many failed, in a sentence.
pub(super) fn errors_caption(outcome: &Outcome) -> String {
    let failed = words::failed(outcome);
    format!("{} of {} requests failed.", units::count(failed), units::count(failed + outcome.answered))
}

/// Time in the target's phases, in the order of a request's way.
pub(super) fn phases(outcome: &Outcome) -> Vec<BarRow> {
    let values: Vec<f64> = outcome.phases.iter().map(|phase| phase.mean_us).collect();
    let rows = outcome.phases.iter().zip(bars(&values));
    rows.map(|(phase, (width, share))| BarRow {
        name: words::harmless(&phase.phase),
        value: units::time(phase.mean_us),
        width,
        share,
    })
    .collect()
}

/// For each value its bar's width (percent of the widest) and its share of the sum.
fn bars(values: &[f64]) -> Vec<(String, String)> {
    let (sum, most) = (values.iter().sum::<f64>(), values.iter().copied().fold(0.0, f64::max));
    let part = |value: f64, of: f64| if of > 0.0 { value / of } else { 0.0 };
    values.iter().map(|value| (format!("{:.1}", part(*value, most) * 100.0), units::share(part(*value, sum)))).collect()
}

/// Under what conditions the figures came about.
pub(super) fn facts(outcome: &Outcome) -> Vec<Fact> {
    let counts = format!(
        "{} sent · {} answered · {} failed",
        units::count(outcome.sent),
        units::count(outcome.answered),
        units::count(words::failed(outcome))
    );
    let bytes = format!("{} out · {} in", units::bytes(outcome.bytes_out), units::bytes(outcome.bytes_in));
    let facts = [
        ("Requests", Some(counts)),
        ("Sent late", words::late(outcome)),
        ("Bytes", Some(bytes)),
        ("Target", words::server(outcome)),
        ("Client", Some(words::client(outcome))),
        ("Machine", Some(words::machine(&outcome.machine))),
    ];
    facts.into_iter().filter_map(|(name, text)| Some(Fact { name, text: words::unbroken(&text?) })).collect()
}

/// The timeline in figures.
pub(super) fn seconds(outcome: &Outcome) -> Vec<[String; 7]> {
    let row = |second: &crate::outcome::Second| {
        let time = |value: u64| if second.answered == 0 { "–".to_owned() } else { units::time(float(value)) };
        [
            second.at.to_string(),
            second.target.map_or_else(|| "–".to_owned(), units::plain),
            units::count(second.sent),
            units::count(second.answered),
            units::count(second.failed),
            time(second.p50_us),
            time(second.p99_us),
        ]
    };
    outcome.timeline.iter().map(row).collect()
}

/// The changes from the baseline.
pub(super) fn comparison(baseline: &Outcome, comparison: &Comparison) -> ComparisonTable {
    let invalid = comparison.invalid.iter().map(|what| format!("Not valid: {what}"));
    let unlike = comparison.unlike.iter().map(|what| format!("Not alike: {what}"));
    let rows = comparison.rows.iter().map(|row| {
        let [before, after, change] = row.shown.clone();
        let spread = row.spread.map_or_else(String::new, |spread| format!("± {}", units::share(spread / 2.0)));
        let (turn, class) = match row.turn {
            Turn::Better => ("✓ better", "better"),
            Turn::Worse => ("✗ worse", "worse"),
            Turn::Within => ("within", ""),
            Turn::Unknown => ("not measured", ""),
        };
        ComparisonRow { figure: row.figure, before, after, change, spread, turn, class }
    });
    ComparisonTable {
        baseline: format!("{} against {}, {}", baseline.scenario, baseline.target, units::date(baseline.started_ms)),
        warnings: invalid.chain(unlike).collect(),
        rows: rows.collect(),
    }
}
