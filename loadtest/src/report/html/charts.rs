//! The charts of a report: percentiles, latency over time, rate over time.

use crate::failure::Failure;
use crate::outcome::{Outcome, Second};
use crate::plot::{Axis, Chart, Point, Reading, Scale, Series, Size};
use crate::report::{histogram, words};
use crate::units::{self, float};

/// On a screen wide enough, and on paper.
const WIDE: Size = Size { width: 912.0, height: 320.0 };
/// On a telephone.
const NARROW: Size = Size { width: 358.0, height: 270.0 };
/// Steps in each half of the distance to 100 %.
const TICKS_PER_HALF_DISTANCE: u32 = 8;
/// From this factor between the least and the greatest on, latencies stand on a log scale.
const LOG_FACTOR: f64 = 10.0;

/// A chart in both sizes.
pub(super) struct Drawn {
    pub(super) heading: &'static str,
    pub(super) caption: String,
    /// `<svg>` elements.
    pub(super) wide: String,
    pub(super) narrow: String,
}

impl Drawn {
    fn new(heading: &'static str, caption: String, chart: &Chart) -> Self {
        let caption = words::unbroken(&caption);
        Self { heading, caption, wide: chart.element(WIDE, "-wide"), narrow: chart.element(NARROW, "-narrow") }
    }
}

/// Every chart that has something to show.
pub(super) fn all(outcome: &Outcome, baseline: Option<&Outcome>) -> Result<Vec<Drawn>, Failure> {
    let mut drawn = Vec::new();
    if outcome.latency.count > 0 {
        drawn.push(percentiles(outcome, baseline)?);
    }
    if !outcome.timeline.is_empty() {
        drawn.push(latency_over_time(outcome, baseline));
        drawn.push(rate_over_time(outcome, baseline));
    }
    Ok(drawn)
}

fn percentiles(outcome: &Outcome, baseline: Option<&Outcome>) -> Result<Drawn, Failure> {
    let name = if baseline.is_some() { "this run" } else { "latency" };
    let mut series = vec![percentile_line(outcome, name)?];
    if let Some(baseline) = baseline.filter(|baseline| baseline.latency.count > 0) {
        series.push(Series { hue: 1, dashed: true, ..percentile_line(baseline, "baseline")? });
    }
    let latency = &outcome.latency;
    let figures = [("half", latency.p50_us), ("99 %", latency.p99_us), ("99.9 %", latency.p999_us)];
    let said = figures.map(|(share, value)| format!("{share} within {}", units::time(float(value)))).join(", ");
    let chart = Chart {
        id: "percentiles".to_owned(),
        title: "Latency by percentile".to_owned(),
        description: format!("Latency rises with the percentile: {said}."),
        x: Axis {
            label: "Percentile, each step a tenth of the rest".to_owned(),
            scale: Scale::Log,
            reading: Reading::Percentile,
            from: Some(1.0),
            to: None,
        },
        y: Axis {
            label: "Latency, log scale".to_owned(),
            scale: Scale::Log,
            reading: Reading::Time,
            ..Axis::default()
        },
        series,
    };
    let caption = format!("How long the slowest share of answers took: {said}.");
    Ok(Drawn::new("Latency by percentile", caption, &chart))
}

/// One point for each step of the percentile, at 1/(1−q); the greatest value stands at the count of all.
fn percentile_line(outcome: &Outcome, name: &str) -> Result<Series, Failure> {
    let histogram = histogram(&outcome.latency)?;
    let all = float(histogram.len().max(1));
    let point = |at: f64, nanos: u64| {
        let x = if at < 1.0 { (1.0 / (1.0 - at)).min(all) } else { all };
        Point::new(x, float(nanos.min(histogram.max())) / 1e3)
    };
    let steps = histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE);
    let points = steps.map(|step| point(step.quantile_iterated_to(), step.value_iterated_to())).collect();
    Ok(Series { name: name.to_owned(), points, ..Series::default() })
}

/// A line through the seconds of a run.
fn line(name: &str, hue: usize, outcome: &Outcome, pick: impl Fn(&Second) -> f64) -> Series {
    let points = outcome.timeline.iter().map(|second| Point::new(f64::from(second.at), pick(second))).collect();
    Series { name: name.to_owned(), hue, dashed: false, points }
}

fn dashed(series: Series) -> Series {
    Series { dashed: true, ..series }
}

/// A latency of one second; a gap where nothing was answered in it.
fn latency(second: &Second, value: u64) -> f64 {
    if second.answered == 0 { f64::NAN } else { float(value) }
}

fn seconds_axis() -> Axis {
    Axis { label: "Time since the warm-up".to_owned(), reading: Reading::Seconds, ..Axis::default() }
}

fn latency_over_time(outcome: &Outcome, baseline: Option<&Outcome>) -> Drawn {
    let p50 = |second: &Second| latency(second, second.p50_us);
    let p99 = |second: &Second| latency(second, second.p99_us);
    let mut series = vec![line("p50", 0, outcome, p50), line("p99", 1, outcome, p99)];
    if let Some(baseline) = baseline {
        series.push(dashed(line("baseline p50", 0, baseline, p50)));
        series.push(dashed(line("baseline p99", 1, baseline, p99)));
    }
    let values = || series.iter().flat_map(|series| &series.points).map(|point| point.y).filter(|value| *value > 0.0);
    let (least, greatest) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let (scale, label) = match greatest > least * LOG_FACTOR {
        true => (Scale::Log, "Latency, log scale"),
        false => (Scale::Linear, "Latency"),
    };
    let caption = format!("Each second’s median and 99th percentile. The worst second’s p99: {}.", worst(outcome));
    let chart = Chart {
        id: "latency".to_owned(),
        title: "Latency over time".to_owned(),
        description: caption.clone(),
        x: seconds_axis(),
        y: Axis { label: label.to_owned(), scale, reading: Reading::Time, ..Axis::default() },
        series,
    };
    Drawn::new("Latency over time", caption, &chart)
}

fn worst(outcome: &Outcome) -> String {
    let worst = outcome.timeline.iter().filter(|second| second.answered > 0).max_by_key(|second| second.p99_us);
    worst.map_or_else(
        || "no second has an answer".to_owned(),
        |second| format!("{} in second {}", units::time(float(second.p99_us)), second.at),
    )
}

fn rate_over_time(outcome: &Outcome, baseline: Option<&Outcome>) -> Drawn {
    let mut series = vec![line("answered", 0, outcome, |second| float(second.answered))];
    if outcome.timeline.iter().any(|second| second.failed > 0) {
        series.push(line("failed", 1, outcome, |second| float(second.failed)));
    }
    if outcome.timeline.iter().any(|second| second.target.is_some()) {
        series.push(dashed(line("asked for", 2, outcome, |second| second.target.unwrap_or(f64::NAN))));
    }
    if let Some(baseline) = baseline {
        series.push(dashed(line("baseline", 3, baseline, |second| float(second.answered))));
    }
    let asked = outcome.target_rate.map_or_else(String::new, |asked| format!(" of {} asked for", units::rate(asked)));
    let caption = format!("Each second’s answers: {} on average{asked}.", units::rate(outcome.rate));
    let chart = Chart {
        id: "rate".to_owned(),
        title: "Rate over time".to_owned(),
        description: caption.clone(),
        x: seconds_axis(),
        y: Axis { label: "Requests a second".to_owned(), ..Axis::default() },
        series,
    };
    Drawn::new("Rate over time", caption, &chart)
}
