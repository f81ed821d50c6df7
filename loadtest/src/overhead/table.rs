//! The summary for people.

use super::statistics::Estimate;
use super::summary::{Summary, TargetSummary};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Figures of one table: the heading, and the name in the summary.
type Column = (&'static str, &'static str);

const SATURATION: [Column; 4] = [
    ("CPU µs a call", "cpu_us_per_call"),
    ("calls/s", "rate"),
    ("added p50 µs", "added_p50_us"),
    ("added p99 µs", "added_p99_us"),
];
const OPEN_LOOP: [Column; 5] = [
    ("CPU µs a call", "cpu_us_per_call"),
    ("added p50 µs", "added_p50_us"),
    ("added p90 µs", "added_p90_us"),
    ("added p99 µs", "added_p99_us"),
    ("added p99.9 µs", "added_p999_us"),
];
/// Width of a column, in characters.
const WIDTH: usize = 26;

/// Renders all of it, a line's end behind the last.
pub fn render(summary: &Summary) -> String {
    let named = [("direct", &summary.direct), ("relay", &summary.relay), ("gate", &summary.gate)];
    let peers = summary.peers.iter().map(|(name, peer)| (name.as_str(), peer));
    let targets: Vec<_> = named.into_iter().chain(peers).collect();
    let mut out = format!("scenario {}, medians of {} rounds [95 % interval]\n", summary.scenario, summary.rounds);
    table(&mut out, "saturation", &SATURATION, &targets, |target| &target.saturation);
    table(&mut out, "open loop", &OPEN_LOOP, &targets, |target| &target.open_loop);
    ratios(&mut out, &targets);
    out.push_str(if summary.valid { "\nvalid: yes\n" } else { "\nvalid: NO\n" });
    for reason in &summary.reasons {
        line(&mut out, format_args!("  {reason}"));
    }
    out
}

fn table(
    out: &mut String,
    title: &str,
    columns: &[Column],
    targets: &[(&str, &TargetSummary)],
    figures: fn(&TargetSummary) -> &BTreeMap<String, Estimate>,
) {
    if targets.iter().all(|(_, target)| figures(target).is_empty()) {
        return;
    }
    let heads: String = columns.iter().map(|(head, _)| format!("{head:>WIDTH$}")).collect();
    line(out, format_args!("\n{title:<10}{heads}"));
    for (name, target) in targets {
        let cell = |(_, figure): &Column| format!("{:>WIDTH$}", cell(figures(target).get(*figure)));
        line(out, format_args!("{name:<10}{}", columns.iter().map(cell).collect::<String>()));
    }
}

fn cell(estimate: Option<&Estimate>) -> String {
    let written = |e: &Estimate| format!("{} [{}, {}]", figure(e.value), figure(e.low), figure(e.high));
    estimate.map_or_else(|| "–".to_owned(), written)
}

fn figure(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

fn ratios(out: &mut String, targets: &[(&str, &TargetSummary)]) {
    for (name, target) in targets {
        for (figure, ratio) in &target.ratio_to_relay {
            line(out, format_args!("{name} / relay, {figure}: {}", cell(Some(ratio))));
        }
        for (peer, ratio) in &target.cpu_ratio_to_peers {
            line(out, format_args!("{name} / {peer}, cpu_us_per_call: {}", cell(Some(ratio))));
        }
    }
}

/// Appends one line; ratios stand apart from the tables by an empty one that their first line brings.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
