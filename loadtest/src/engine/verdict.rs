//! What was gathered → [`Outcome`], and whether it can be believed.

use super::gather::Gathered;
use super::plan::Plan;
use crate::measure::distribution;
use crate::order::{Era, Load, Order, Stage, Target};
use crate::outcome::{Client, FORMAT, Late, Outcome, Validity};
use crate::trouble::Trouble;
use std::time::Duration;

/// A client thread that used more of its core than this had no headroom.
const CPU_SHARE_MAX: f64 = 0.9;
/// More late sends than this share, and the client was not quick enough.
const LATE_SHARE_MAX: f64 = 0.01;

/// The outcome of a run that began at this time of day.
pub(super) fn outcome(plan: &Plan, order: &Order, target: &Target, gathered: Gathered, started_ms: u64) -> Outcome {
    let validity = validity(plan, &gathered);
    let total = &gathered.total;
    let all = &total.all;
    let seconds = plan.measured().as_secs_f64();
    let cpu_ns = gathered.target.map(|(before, after)| after.cpu_ns.saturating_sub(before.cpu_ns));
    Outcome {
        format: FORMAT,
        command: without_keys(std::env::args()),
        machine: crate::machine::read(),
        scenario: plan.scenario.name.clone(),
        era: if plan.requests.era() == Era::Modern { "modern" } else { "legacy" }.into(),
        target: target.name.clone(),
        url: format!("http://{}{}", target.address, target.path),
        started_ms,
        seconds,
        connections: plan.connections,
        load: words(&order.load) + &stopped(plan),
        target_rate: target_rate(plan),
        sent: all.sent,
        answered: all.answered,
        rate: float(all.answered) / seconds,
        bytes_out: all.bytes_out,
        bytes_in: all.bytes_in,
        errors: all.errors.iter().map(|(kind, count)| (kind.to_string(), *count)).collect(),
        late: Late { count: all.late.by_client + all.late.by_connections, max_us: all.late.max_ns / 1000 },
        latency: distribution(&all.latency),
        first_byte: all.first_byte.as_ref().map(distribution),
        event_gap: all.event_gap.as_ref().map(distribution),
        timeline: total.timeline(|second| rate_in_second(plan, second)),
        client: Client { threads: plan.threads, cpu_share: gathered.cpu_share },
        server_cpu_us: cpu_ns.filter(|_| all.answered > 0).map(|ns| float(ns) / 1000.0 / float(all.answered)),
        server_cpu_share: cpu_ns.map(|ns| float(ns) / 1e9 / seconds),
        server_rss_bytes: gathered.target.map(|(_, after)| after.rss_bytes),
        phases: gathered.phases,
        validity,
        thresholds: Vec::new(),
    }
}

/// The command as it was given, keys covered: reports are passed on.
fn without_keys(args: impl Iterator<Item = String>) -> Vec<String> {
    let mut is_key = false;
    args.map(|arg| match (std::mem::replace(&mut is_key, arg == "--key"), arg.starts_with("--key=")) {
        (true, _) => "KEY".into(),
        (false, true) => "--key=KEY".into(),
        (false, false) => arg,
    })
    .collect()
}

#[allow(clippy::cast_precision_loss, reason = "counts and nanoseconds of a run are far below 2^53")]
fn float(n: u64) -> f64 {
    n as f64
}

/// That a run ended before its time, in words.
fn stopped(plan: &Plan) -> String {
    if plan.measured() < plan.lasts { format!(", stopped after {:?}", plan.measured()) } else { String::new() }
}

/// Mean rate asked for over the measured time.
fn target_rate(plan: &Plan) -> Option<f64> {
    let schedule = plan.schedule.as_ref()?;
    let count = schedule.count_by(plan.warm_up + plan.measured()) - schedule.count_by(plan.warm_up);
    Some(count / plan.measured().as_secs_f64())
}

fn rate_in_second(plan: &Plan, second: u32) -> Option<f64> {
    let schedule = plan.schedule.as_ref()?;
    let from = plan.warm_up + Duration::from_secs(second.into());
    let to = (from + Duration::from_secs(1)).min(plan.warm_up + plan.measured());
    Some((schedule.count_by(to) - schedule.count_by(from)) / to.saturating_sub(from).as_secs_f64())
}

/// A load in words: `closed`, or its stages.
pub fn words(load: &Load) -> String {
    match load {
        Load::Closed => "closed".into(),
        Load::Open(stages) => stages.iter().map(stage_words).collect::<Vec<_>>().join(", "),
    }
}

fn stage_words(stage: &Stage) -> String {
    let (from, to, lasts) = (stage.from, stage.to, stage.lasts);
    if (from - to).abs() < f64::EPSILON {
        format!("{from}/s for {lasts:?}")
    } else {
        format!("{from}/s to {to}/s in {lasts:?}")
    }
}

fn validity(plan: &Plan, gathered: &Gathered) -> Validity {
    let all = &gathered.total.all;
    let mut reasons = Vec::new();
    if plan.schedule.is_some() && gathered.cpu_share > CPU_SHARE_MAX {
        let percent = gathered.cpu_share * 100.0;
        reasons.push(format!("a client thread used {percent:.0} % of its core; give --cores more, or a lower rate"));
    }
    let late = &all.late;
    if float(late.by_client) > float(all.sent) * LATE_SHARE_MAX {
        reasons.push(format!(
            "the client sent {} of {} requests more than 1 ms late ({} others were late for want of a free connection)",
            late.by_client, all.sent, late.by_connections
        ));
    }
    if let Some(count) = all.errors.get(&Trouble::Malformed) {
        let first = gathered.wrong.as_deref().unwrap_or_default();
        reasons.push(format!("{count} answers were malformed; the first: {first}"));
    } else if let Some(words) = &gathered.wrong {
        reasons.push(words.clone());
    }
    if all.answered == 0 {
        reasons.push("no request was answered without error".into());
    }
    Validity { valid: reasons.is_empty(), reasons }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_covered_in_the_command() {
        let args = ["x", "--key", "tg_1", "--key=tg_2", "--key-file", "f"].map(str::to_owned);
        let covered = without_keys(args.into_iter());
        assert_eq!(covered, ["x", "--key", "KEY", "--key=KEY", "--key-file", "f"]);
    }

    #[test]
    fn loads_are_told_in_words() {
        assert_eq!(words(&Load::Closed), "closed");
        let stage = |from, to| Stage { from, to, lasts: Duration::from_secs(10) };
        assert_eq!(words(&Load::Open(vec![stage(5.0, 5.0), stage(5.0, 9.5)])), "5/s for 10s, 5/s to 9.5/s in 10s");
    }
}
