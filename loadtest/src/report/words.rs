//! Sentences that more than one kind of report says.

use crate::outcome::{Machine, Outcome};
use crate::units;

/// What was done to what: `open loop, 5,000 /s · 64 connections · 10.0 s measured`.
pub(super) fn load(outcome: &Outcome) -> String {
    let connections = match outcome.connections {
        1 => "1 connection".to_owned(),
        many => format!("{} connections", units::count(many as u64)),
    };
    format!("{} · {connections} · {} measured", outcome.load, units::time(outcome.seconds * 1e6))
}

/// Where it ran, in one line.
pub(super) fn machine(machine: &Machine) -> String {
    let Machine { kernel, processor, cores, build } = machine;
    let noun = if *cores == 1 { "core" } else { "cores" };
    format!("Linux {kernel} · {processor} · {cores} {noun} · tollgate-load {build}")
}

/// The client's own load.
pub(super) fn client(outcome: &Outcome) -> String {
    let noun = if outcome.client.threads == 1 { "thread" } else { "threads" };
    let share = units::share(outcome.client.cpu_share);
    format!("{} {noun}, the busiest used {share} of its core", outcome.client.threads)
}

/// What is known of the target's process; nothing where nothing is.
pub(super) fn server(outcome: &Outcome) -> Option<String> {
    let parts = [
        outcome.server_cpu_us.map(|cpu| format!("{} CPU for each answer", units::time(cpu))),
        outcome.server_cpu_share.map(|share| format!("{} of a core", units::share(share))),
        outcome.server_rss_bytes.map(|bytes| format!("{} resident", units::bytes(bytes))),
    ];
    let known: Vec<String> = parts.into_iter().flatten().collect();
    (!known.is_empty()).then(|| known.join(" · "))
}

/// Late sends, in one line; nothing in a closed loop, where nothing has a due time.
pub(super) fn late(outcome: &Outcome) -> Option<String> {
    outcome.target_rate?;
    let late = &outcome.late;
    if late.count == 0 {
        return Some("none".to_owned());
    }
    #[allow(clippy::cast_precision_loss, reason = "shown to three digits")]
    let share = units::share(late.count as f64 / outcome.sent.max(1) as f64);
    let max = units::time(units::float(late.max_us));
    Some(format!("{} sent more than 1 ms after they were due ({share}), the latest {max}", units::count(late.count)))
}

/// Failures of all kinds.
pub(super) fn failed(outcome: &Outcome) -> u64 {
    outcome.errors.values().sum()
}

/// A command line that a shell reads as the same arguments.
pub(super) fn command(arguments: &[String]) -> String {
    arguments.iter().map(|argument| quoted(argument)).collect::<Vec<_>>().join(" ")
}

fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// A text from outside on one line of a terminal: control characters are shown as what they are and do nothing.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// The same text with every number kept on one line with its unit.
pub(super) fn unbroken(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let is_unit = |next: &char| matches!(next, '%' | 'µ' | 'm' | 's' | '/' | 'B' | 'K' | 'M' | 'G');
        out.push(if c == ' ' && before.is_ascii_digit() && rest.peek().is_some_and(is_unit) { '\u{a0}' } else { c });
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_back_as_the_same_arguments() {
        let arguments = ["tollgate-load", "run", "call", "--threshold", "p99<2ms", "it's", ""].map(str::to_owned);
        assert_eq!(command(&arguments), r"tollgate-load run call --threshold 'p99<2ms' 'it'\''s' ''");
    }

    #[test]
    fn numbers_keep_their_units() {
        assert_eq!(unbroken("99.9 % within 2 ms, 3 of 4"), "99.9\u{a0}% within 2\u{a0}ms, 3 of 4");
    }

    #[test]
    fn text_from_outside_moves_no_cursor() {
        assert_eq!(harmless("a\x1b[2Jb\n"), r"a\u{1b}[2Jb\n");
    }
}
