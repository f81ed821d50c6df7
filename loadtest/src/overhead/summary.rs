//! Figures of all rounds → medians, intervals, ratios, and whether they can be believed.

use super::rounds::{LoadKind, Measured, Run, Series};
use super::statistics::{self, Estimate};
use serde::Serialize;
use std::collections::BTreeMap;

/// Share of its core that a target must use in saturation: else something else was the bottleneck.
const SATURATED: f64 = 0.8;
/// Share of requests that may fail.
const FAILED_MAX: f64 = 0.001;
/// Names of the four percentiles, in the order in which a run keeps them.
pub(super) const PERCENTILES: [&str; 4] = ["p50", "p90", "p99", "p999"];

/// What the whole run says.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Without anything between client and server.
    pub direct: TargetSummary,
    /// Through the bare relay.
    pub relay: TargetSummary,
    /// Through the gate.
    pub gate: TargetSummary,
    /// Through others, by name.
    pub peers: BTreeMap<String, TargetSummary>,
    /// Name of the scenario.
    pub scenario: String,
    /// Rounds; every figure is a median over them.
    pub rounds: usize,
    /// Whether the figures can be believed.
    pub valid: bool,
    /// Why not, in words.
    pub reasons: Vec<String>,
}

/// What is said of one target. Times are microseconds; added ones are those of the same round's `direct` less.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TargetSummary {
    /// CPU of its process for each answer: in saturation where that was run, else in the open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_call: Option<f64>,
    /// Added latency: in the open loop where that was run, else in saturation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_p50_us: Option<f64>,
    /// The same at 90 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_p90_us: Option<f64>,
    /// The same at 99 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_p99_us: Option<f64>,
    /// The same at 99.9 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_p999_us: Option<f64>,
    /// This target's figures over the relay's: `cpu_us_per_call`, `added_p50_us`, …, `bytes_per_cpu_second`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ratio_to_relay: BTreeMap<String, Estimate>,
    /// This target's CPU for each call over that of each peer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cpu_ratio_to_peers: BTreeMap<String, Estimate>,
    /// All figures in saturation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub saturation: BTreeMap<String, Estimate>,
    /// All figures in the open loop.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub open_loop: BTreeMap<String, Estimate>,
}

impl Summary {
    /// Sums up what was measured. Targets: `direct`, `relay`, `gate`, all others are peers.
    pub fn of(measured: &Measured, scenario: &str) -> Self {
        let mut peers: BTreeMap<_, _> = BTreeMap::new();
        for series in &measured.series {
            if !["direct", "relay", "gate"].contains(&series.target.as_str()) {
                peers.entry(series.target.clone()).or_insert_with(|| target(measured, &series.target));
            }
        }
        let mut gate = target(measured, "gate");
        let ratio = |peer: &String| Some((peer.clone(), cpu_ratio(measured, "gate", peer)?));
        gate.cpu_ratio_to_peers = peers.keys().filter_map(ratio).collect();
        let reasons = reasons(measured);
        Self {
            direct: target(measured, "direct"),
            relay: target(measured, "relay"),
            gate,
            peers,
            scenario: scenario.to_owned(),
            rounds: measured.series.first().map_or(0, |series| series.runs.len()),
            valid: reasons.is_empty(),
            reasons,
        }
    }
}

fn target(measured: &Measured, name: &str) -> TargetSummary {
    let figures = |kind| measured.of(name, kind).map(|series| figures(measured, series)).unwrap_or_default();
    let (saturation, open_loop) = (figures(LoadKind::Closed), figures(LoadKind::Open));
    let value = |first: &BTreeMap<String, Estimate>, second: &BTreeMap<String, Estimate>, figure: &str| {
        first.get(figure).or_else(|| second.get(figure)).map(|estimate| estimate.value)
    };
    let added = |percentile: &str| value(&open_loop, &saturation, &format!("added_{percentile}_us"));
    TargetSummary {
        cpu_us_per_call: value(&saturation, &open_loop, "cpu_us_per_call"),
        added_p50_us: added("p50"),
        added_p90_us: added("p90"),
        added_p99_us: added("p99"),
        added_p999_us: added("p999"),
        ratio_to_relay: if ["direct", "relay"].contains(&name) { BTreeMap::new() } else { ratios(measured, name) },
        cpu_ratio_to_peers: BTreeMap::new(),
        saturation,
        open_loop,
    }
}

/// Every figure of one target under one load.
fn figures(measured: &Measured, series: &Series) -> BTreeMap<String, Estimate> {
    let mut figures: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut put = |name: String, values: Option<Vec<f64>>| values.map(|values| figures.insert(name, values));
    put("cpu_us_per_call".into(), series.all(|run| run.cpu_us));
    put("core_share".into(), series.all(|run| run.busy));
    put("rate".into(), series.all(|run| Some(run.rate)));
    put("bytes_per_cpu_second".into(), series.all(|run| run.bytes_per_cpu_second));
    for (at, percentile) in PERCENTILES.iter().enumerate() {
        put(format!("{percentile}_us"), series.all(|run| Some(run.latency[at])));
        if series.target != "direct" {
            put(format!("added_{percentile}_us"), added(measured, series, at));
        }
    }
    figures.into_iter().filter_map(|(name, values)| Some((name, statistics::of(&values)?))).collect()
}

/// Added latency of each round: the target's less that of the same round's `direct`.
fn added(measured: &Measured, series: &Series, percentile: usize) -> Option<Vec<f64>> {
    let direct = measured.of("direct", series.kind)?;
    let pairs = series.runs.iter().zip(&direct.runs);
    Some(pairs.map(|(run, direct)| run.latency[percentile] - direct.latency[percentile]).collect())
}

fn ratios(measured: &Measured, name: &str) -> BTreeMap<String, Estimate> {
    let mut ratios = BTreeMap::new();
    if let Some(cpu) = cpu_ratio(measured, name, "relay") {
        ratios.insert("cpu_us_per_call".to_owned(), cpu);
    }
    let throughput = ratio(measured, name, "relay", [LoadKind::Closed, LoadKind::Open], |run| run.bytes_per_cpu_second);
    ratios.extend(throughput.map(|ratio| ("bytes_per_cpu_second".to_owned(), ratio)));
    for (at, percentile) in PERCENTILES.iter().enumerate() {
        ratios.extend(added_ratio(measured, name, at).map(|ratio| (format!("added_{percentile}_us"), ratio)));
    }
    ratios
}

fn added_ratio(measured: &Measured, name: &str, percentile: usize) -> Option<Estimate> {
    let of = |kind| {
        let (target, relay) = (measured.of(name, kind)?, measured.of("relay", kind)?);
        statistics::ratio(&added(measured, target, percentile)?, &added(measured, relay, percentile)?)
    };
    of(LoadKind::Open).or_else(|| of(LoadKind::Closed))
}

fn cpu_ratio(measured: &Measured, of: &str, to: &str) -> Option<Estimate> {
    ratio(measured, of, to, [LoadKind::Closed, LoadKind::Open], |run| run.cpu_us)
}

/// The ratio of a figure of two targets, under the first of the loads that has it.
fn ratio(
    measured: &Measured,
    of: &str,
    to: &str,
    kinds: [LoadKind; 2],
    figure: fn(&Run) -> Option<f64>,
) -> Option<Estimate> {
    kinds.into_iter().find_map(|kind| {
        let (of, to) = (measured.of(of, kind)?.all(figure)?, measured.of(to, kind)?.all(figure)?);
        statistics::ratio(&of, &to)
    })
}

/// Why the figures cannot be believed; nothing if they can.
fn reasons(measured: &Measured) -> Vec<String> {
    let mut reasons = Vec::new();
    for series in &measured.series {
        let name = &series.target;
        let failed = series.runs.iter().map(|run| run.failed).fold(0.0, f64::max);
        if failed > FAILED_MAX {
            reasons.push(format!("{name}: {:.2} % of its requests failed in one round", failed * 100.0));
        }
        match series.kind {
            LoadKind::Closed => reasons.extend(not_saturated(series)),
            LoadKind::Open => reasons.extend(disbelieved(series)),
        }
    }
    reasons
}

/// In saturation the client may have no headroom; the target must have none.
fn not_saturated(series: &Series) -> Option<String> {
    let name = &series.target;
    let share = series.all(|run| run.busy).as_deref().and_then(statistics::median)?;
    let told = || format!("{name}: used {:.0} % of its core in saturation: it was not the bottleneck", share * 100.0);
    (name != "direct" && share < SATURATED).then(told)
}

/// In the open loop the client judges each run; most rounds must be good, because figures are medians.
fn disbelieved(series: &Series) -> Option<String> {
    let bad: Vec<_> = series.runs.iter().filter(|run| !run.reasons.is_empty()).collect();
    let first = bad.first()?.reasons.first()?;
    let told = || format!("{}: {} of {} rounds are not valid ({first})", series.target, bad.len(), series.runs.len());
    (bad.len() * 2 > series.runs.len()).then(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(target: &str, kind: LoadKind, figures: [(f64, f64, f64); 3]) -> Series {
        let run = |(cpu, p50, busy): (f64, f64, f64)| Run {
            latency: [p50, p50 * 2.0, p50 * 3.0, p50 * 4.0],
            cpu_us: Some(cpu),
            busy: Some(busy),
            rate: 1e6 / cpu,
            bytes_per_cpu_second: Some(300e6 / cpu),
            ..Run::default()
        };
        Series { target: target.into(), kind, runs: figures.map(run).into() }
    }

    fn measured() -> Measured {
        use LoadKind::{Closed, Open};
        let series = vec![
            series("direct", Closed, [(10.0, 100.0, 0.5), (10.0, 110.0, 0.5), (10.0, 90.0, 0.5)]),
            series("direct", Open, [(12.0, 60.0, 0.1), (12.0, 61.0, 0.1), (12.0, 59.0, 0.1)]),
            series("relay", Closed, [(20.0, 300.0, 0.95), (22.0, 300.0, 0.9), (21.0, 300.0, 0.99)]),
            series("relay", Open, [(30.0, 160.0, 0.2), (30.0, 161.0, 0.2), (30.0, 159.0, 0.2)]),
            series("gate", Closed, [(26.0, 400.0, 1.0), (28.6, 400.0, 1.0), (27.3, 400.0, 1.0)]),
            series("gate", Open, [(40.0, 180.0, 0.2), (40.0, 181.0, 0.2), (40.0, 179.0, 0.2)]),
            series("nginx", Closed, [(40.0, 500.0, 1.0), (40.0, 500.0, 1.0), (40.0, 500.0, 1.0)]),
        ];
        Measured { series }
    }

    #[test]
    fn cost_comes_from_saturation_and_added_latency_from_the_open_loop() {
        let summary = Summary::of(&measured(), "call");
        assert_eq!((summary.relay.cpu_us_per_call, summary.relay.added_p50_us), (Some(21.0), Some(100.0)));
        assert_eq!((summary.gate.added_p50_us, summary.gate.added_p99_us), (Some(120.0), Some(360.0)));
        let ratio = |name: &str| summary.gate.ratio_to_relay[name].value;
        assert!((ratio("cpu_us_per_call") - 1.3).abs() < 1e-9 && (ratio("added_p50_us") - 1.2).abs() < 1e-9);
        assert!((ratio("bytes_per_cpu_second") - 1.0 / 1.3).abs() < 1e-9);
        assert!((summary.gate.cpu_ratio_to_peers["nginx"].value - 27.3 / 40.0).abs() < 1e-9);
        assert_eq!(summary.peers["nginx"].added_p50_us, Some(400.0));
        assert!(summary.valid && summary.rounds == 3, "{:?}", summary.reasons);
        assert_eq!((summary.direct.added_p50_us, summary.direct.ratio_to_relay.len()), (None, 0));
    }

    #[test]
    fn what_cannot_be_believed_is_told() {
        let mut idle = measured();
        idle.series[4].runs.iter_mut().for_each(|run| run.busy = Some(0.6));
        assert_eq!(Summary::of(&idle, "call").reasons.len(), 1);
        let mut late = measured();
        late.series[5].runs[..2].iter_mut().for_each(|run| run.reasons = vec!["the client was late".into()]);
        let summary = Summary::of(&late, "call");
        assert!(!summary.valid && summary.reasons[0].contains("2 of 3 rounds"), "{:?}", summary.reasons);
        let mut failing = measured();
        failing.series[2].runs[0].failed = 0.2;
        assert!(Summary::of(&failing, "call").reasons[0].contains("relay: 20.00 %"));
    }

    #[test]
    fn the_json_has_the_promised_shape() {
        let json = serde_json::to_value(Summary::of(&measured(), "call")).unwrap();
        for target in ["relay", "gate"] {
            for figure in ["cpu_us_per_call", "added_p50_us", "added_p99_us"] {
                assert!(json[target][figure].is_f64(), "{target} {figure}");
            }
        }
        assert!(json["direct"].is_object() && json["peers"]["nginx"]["cpu_us_per_call"].is_f64());
        assert!(json["gate"]["ratio_to_relay"]["cpu_us_per_call"]["low"].is_f64() && json["valid"] == true);
    }
}
