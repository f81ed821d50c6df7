//! The summary of a run for a terminal: plain text, the same whether anyone watched or not.

use super::words;
use crate::outcome::{Distribution, Outcome};
use crate::units;
use std::fmt::Write as _;

/// Columns of the table of latencies.
pub(super) const COLUMNS: [&str; 7] = ["min", "mean", "p50", "p90", "p99", "p99.9", "max"];

/// The whole summary, ending with a newline.
pub fn summary(outcome: &Outcome) -> String {
    let mut out = String::new();
    let Outcome { scenario, url, target, era, .. } = outcome;
    let _ = writeln!(out, "{}", words::harmless(&format!("{scenario} against {target} at {url} ({era})")));
    let _ = writeln!(out, "{}\n", words::harmless(&words::load(outcome)));
    counts(&mut out, outcome);
    latencies(&mut out, outcome);
    errors(&mut out, outcome);
    phases(&mut out, outcome);
    let _ = writeln!(out);
    fact(&mut out, "client", &words::client(outcome));
    fact(&mut out, "machine", &words::harmless(&words::machine(&outcome.machine)));
    fact(&mut out, "again", &words::harmless(&words::command(&outcome.command)));
    verdict(&mut out, outcome);
    out
}

fn fact(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "{name:<9}{text}");
}

fn counts(out: &mut String, outcome: &Outcome) {
    let failed = words::failed(outcome);
    let rate = units::rate(outcome.rate);
    let asked = outcome.target_rate.map_or_else(String::new, |asked| format!(" of {} asked for", units::rate(asked)));
    fact(out, "rate", &format!("{rate} answered{asked}"));
    let (sent, answered) = (units::count(outcome.sent), units::count(outcome.answered));
    fact(out, "requests", &format!("{sent} sent · {answered} answered · {} failed", units::count(failed)));
    if let Some(late) = words::late(outcome) {
        fact(out, "late", &late);
    }
    let (written, read) = (units::bytes(outcome.bytes_out), units::bytes(outcome.bytes_in));
    fact(out, "bytes", &format!("{written} out · {read} in"));
    if let Some(server) = words::server(outcome) {
        fact(out, "server", &server);
    }
}

fn latencies(out: &mut String, outcome: &Outcome) {
    let _ = write!(out, "\n{:<12}", "");
    COLUMNS.iter().for_each(|column| {
        let _ = write!(out, "{column:>10}");
    });
    let _ = writeln!(out);
    let rows = [
        ("latency", Some(&outcome.latency)),
        ("first byte", outcome.first_byte.as_ref()),
        ("event gap", outcome.event_gap.as_ref()),
    ];
    for (name, distribution) in rows.into_iter().filter_map(|(name, row)| Some((name, row?))) {
        let _ = write!(out, "{name:<12}");
        for value in figures(distribution) {
            let _ = write!(out, "{value:>10}");
        }
        let _ = writeln!(out);
    }
}

/// The figures of a distribution in the order of [`COLUMNS`]; dashes where nothing was measured.
pub(super) fn figures(distribution: &Distribution) -> [String; 7] {
    if distribution.count == 0 {
        return [const { String::new() }; 7].map(|_| "–".to_owned());
    }
    let Distribution { min_us, mean_us, p50_us, p90_us, p99_us, p999_us, max_us, .. } = *distribution;
    let whole = [min_us, p50_us, p90_us, p99_us, p999_us, max_us].map(|value| units::time(units::float(value)));
    let [min, p50, p90, p99, p999, max] = whole;
    [min, units::time(mean_us), p50, p90, p99, p999, max]
}

fn errors(out: &mut String, outcome: &Outcome) {
    if outcome.errors.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nerrors");
    for (kind, count) in by_count(outcome) {
        let _ = writeln!(out, "{:>10}  {}", units::count(count), words::harmless(kind));
    }
}

/// The kinds of failure, the most frequent first.
pub(super) fn by_count(outcome: &Outcome) -> Vec<(&str, u64)> {
    let mut kinds: Vec<(&str, u64)> = outcome.errors.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    kinds.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    kinds
}

fn phases(out: &mut String, outcome: &Outcome) {
    if outcome.phases.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nphases of the target, mean for each request");
    for phase in &outcome.phases {
        let _ = writeln!(out, "{:>10}  {}", units::time(phase.mean_us), words::harmless(&phase.phase));
    }
}

fn verdict(out: &mut String, outcome: &Outcome) {
    if !outcome.thresholds.is_empty() {
        let _ = writeln!(out, "\nthresholds");
    }
    for threshold in &outcome.thresholds {
        let word = if threshold.held { "held" } else { "BROKEN" };
        let _ = writeln!(out, "{word:>10}  {} ({})", threshold.expression, words::harmless(&threshold.measured));
    }
    if outcome.validity.valid {
        return;
    }
    let _ = writeln!(out, "\nNOT VALID: these figures cannot be believed.");
    for reason in &outcome.validity.reasons {
        let _ = writeln!(out, "  {}", words::harmless(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_good_run_reads_well() {
        sample::assert_fixture("good.txt", &summary(&sample::good()));
    }

    #[test]
    fn an_invalid_run_ends_with_its_reasons() {
        let text = summary(&sample::bad());
        let end = "NOT VALID: these figures cannot be believed.\n  the client was at its end: 99 % of its core, \
                   so what it saw is its own waiting\n";
        assert!(text.ends_with(end), "{text}");
        assert!(text.contains("BROKEN  p99<500us (846 µs)"), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }

    #[test]
    fn a_run_without_answers_shows_no_zeros_for_latencies() {
        let text = summary(&Outcome::default());
        assert!(text.contains("latency              –         –"), "{text}");
    }
}
