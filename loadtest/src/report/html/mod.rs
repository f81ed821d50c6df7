//! The report as one HTML file: no network, no script, readable in light and dark, on paper and without colour.
//!
//! Whatever came from outside (URLs, error texts, names of tools) is escaped by the template; the two places that are
//! not escaped hold what `charts` and `embedded` made, which escape by themselves.

mod charts;
mod tables;

use super::compare::Comparison;
use super::{text, words};
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::{plot, units};
use askama::Template;
use tables::{BarRow, Card, ComparisonTable, Fact, LatencyRow, Verdict};

/// What the template shows.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: String,
    when: String,
    scenario: &'a str,
    target: &'a str,
    url: &'a str,
    era: &'a str,
    load: String,
    verdict: Verdict<'a>,
    cards: Vec<Card<'a>>,
    comparison: Option<ComparisonTable>,
    charts: Vec<charts::Drawn>,
    latency_columns: [&'static str; 7],
    latency_rows: Vec<LatencyRow>,
    errors: Vec<BarRow>,
    errors_caption: String,
    phases: Vec<BarRow>,
    facts: Vec<Fact>,
    command: String,
    seconds: Vec<[String; 7]>,
    json: String,
    baseline_json: Option<String>,
    plot_css: &'static str,
}

/// The whole page; `baseline` is laid over it where there is one.
///
/// # Errors
/// The histogram of one of them cannot be read.
pub fn page(outcome: &Outcome, baseline: Option<&Outcome>) -> Result<String, Failure> {
    let compared = baseline.map(|baseline| (baseline, Comparison::new(baseline, outcome, &[])));
    let page = Page {
        title: format!("{} against {}: load report", outcome.scenario, outcome.target),
        when: units::date(outcome.started_ms),
        scenario: &outcome.scenario,
        target: &outcome.target,
        url: &outcome.url,
        era: &outcome.era,
        load: words::load(outcome),
        verdict: tables::verdict(outcome),
        cards: tables::cards(outcome),
        comparison: compared.as_ref().map(|(baseline, comparison)| tables::comparison(baseline, comparison)),
        charts: charts::all(outcome, baseline)?,
        latency_columns: text::COLUMNS,
        latency_rows: tables::latency_rows(outcome, baseline),
        errors: tables::errors(outcome),
        errors_caption: tables::errors_caption(outcome),
        phases: tables::phases(outcome),
        facts: tables::facts(outcome),
        command: words::command(&outcome.command),
        seconds: tables::seconds(outcome),
        json: embedded(outcome)?,
        baseline_json: baseline.map(embedded).transpose()?,
        plot_css: plot::CSS,
    };
    page.render().map_err(|error| Failure::new(format!("report as HTML: {error}")))
}

/// The result as JSON that may stand inside a script element: no text in it can end that element.
fn embedded(outcome: &Outcome) -> Result<String, Failure> {
    let json = serde_json::to_string(outcome).map_err(|error| Failure::new(format!("result as JSON: {error}")))?;
    let mut out = String::with_capacity(json.len() + json.len() / 16);
    for c in json.chars() {
        match c {
            // Only inside strings of JSON can these stand, where the escape means the same.
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
