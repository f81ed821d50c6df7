//! Numbers → lengths, and the numbers worth a tick.

use crate::units;

/// How numbers become lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Equal steps are equal lengths.
    #[default]
    Linear,
    /// Equal factors are equal lengths.
    Log,
}

/// How the numbers of an axis are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// As they are.
    #[default]
    Plain,
    /// Microseconds.
    Time,
    /// Seconds since a start.
    Seconds,
    /// Events a second.
    Rate,
    /// Binary units.
    Bytes,
    /// Shares of one, as percent.
    Share,
    /// 1/(1−q), written as the percentile q.
    Percentile,
}

impl Reading {
    /// A tick's text: as short as it can be.
    pub fn tick(self, value: f64) -> String {
        match self {
            Self::Plain => trimmed(&short(value)),
            Self::Time => trimmed(&units::time(value)),
            Self::Seconds => format!("{} s", trimmed(&short(value))),
            Self::Rate => format!("{}/s", trimmed(&short(value))),
            Self::Bytes => trimmed(&units::bytes(units::whole(value))),
            Self::Share => trimmed(&units::share(value)),
            Self::Percentile => percentile(value),
        }
    }
}

/// A number, thousands as `k` from ten thousand on.
fn short(value: f64) -> String {
    match value.abs() {
        less if less < 10_000.0 => units::plain(value),
        less if less < 1e6 => format!("{}k", units::plain(value / 1e3)),
        _ => format!("{}M", units::plain(value / 1e6)),
    }
}

/// `1.00 ms` → `1 ms`: zeros behind the point say nothing on an axis.
fn trimmed(text: &str) -> String {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',' | '-')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number}{unit}")
}

/// 1/(1−q) → `99.9 %`.
fn percentile(inverse: f64) -> String {
    let nines = units::whole(inverse.log10().floor().max(1.0));
    let digits = usize::try_from(nines.saturating_sub(2)).unwrap_or(0);
    format!("{:.digits$} %", (1.0 - 1.0 / inverse) * 100.0)
}

/// From numbers to lengths along one axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruler {
    scale: Scale,
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Ruler {
    /// `from` to `to` in numbers lie at `start` to `end` in lengths. A range of nothing is given some width.
    pub(super) fn new(scale: Scale, (from, to): (f64, f64), (start, end): (f64, f64)) -> Self {
        let to = match scale {
            _ if to > from => to,
            Scale::Linear => from + 1.0,
            Scale::Log => from * 10.0,
        };
        Self { scale, from, to, start, end }
    }

    /// Where a number lies; nothing where it cannot be shown. What is beyond the range lies at its edge.
    pub(super) fn at(&self, value: f64) -> Option<f64> {
        let share = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log if value > 0.0 => (value / self.from).ln() / (self.to / self.from).ln(),
            Scale::Log => return None,
        };
        share.is_finite().then(|| self.start + share.clamp(0.0, 1.0) * (self.end - self.start))
    }

    /// Numbers worth a tick, at most about one for each `spacing` of length.
    pub(super) fn ticks(&self, reading: Reading, spacing: f64) -> Vec<f64> {
        let most = ((self.end - self.start).abs() / spacing).floor().max(2.0);
        match (self.scale, reading) {
            (Scale::Linear, _) => linear_ticks(self.from, self.to, most),
            (Scale::Log, Reading::Percentile) => percentile_ticks(self.to, most),
            (Scale::Log, Reading::Bytes) => power_ticks(self.from, self.to, &[2.0, 4.0, 16.0, 64.0, 1024.0], most),
            (Scale::Log, _) => log_ticks(self.from, self.to, most),
        }
    }
}

/// The least 1, 2 or 5 times a power of ten that is not below a positive number.
pub(super) fn nice_above(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= value * (1.0 - 1e-9)).unwrap_or(10.0);
    step * power
}

/// The greatest 1, 2 or 5 times a power of ten that is not above a positive number.
pub(super) fn nice_below(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let steps = [5.0, 2.0, 1.0];
    let step = steps.into_iter().find(|step| step * power <= value * (1.0 + 1e-9)).unwrap_or(1.0);
    step * power
}

/// The step between linear ticks: 1, 2 or 5 times a power of ten.
pub(super) fn linear_step(from: f64, to: f64, most: f64) -> f64 {
    nice_above((to - from) / most)
}

fn linear_ticks(from: f64, to: f64, most: f64) -> Vec<f64> {
    let step = linear_step(from, to, most);
    let first = (from / step - 1e-9).ceil();
    let count = ((to - first * step) / step + 1e-9).floor().max(0.0);
    (0..=units::whole(count)).map(|at| (first + units::float(at)) * step).collect()
}

/// Decades, and 2 and 5 between them where there is room.
fn log_ticks(from: f64, to: f64, most: f64) -> Vec<f64> {
    for steps in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]] {
        let ticks = decade_ticks(from, to, steps);
        if units::float(ticks.len() as u64) <= most + 1.0 && ticks.len() > 1 {
            return ticks;
        }
    }
    let ticks = power_ticks(from, to, &[100.0, 1e3, 1e4], most);
    if ticks.len() > 1 { ticks } else { vec![from, to] }
}

fn decade_ticks(from: f64, to: f64, steps: &[f64]) -> Vec<f64> {
    let mut ticks = Vec::new();
    let mut power = 10f64.powf(from.log10().floor());
    while power <= to * (1.0 + 1e-9) {
        let inside = |tick: &f64| *tick >= from * (1.0 - 1e-9) && *tick <= to * (1.0 + 1e-9);
        ticks.extend(steps.iter().map(|step| step * power).filter(inside));
        power *= 10.0;
    }
    ticks
}

/// Powers of the first base that needs no more ticks than there is room for.
fn power_ticks(from: f64, to: f64, bases: &[f64], most: f64) -> Vec<f64> {
    let powers = |base: f64| {
        let first = (from.ln() / base.ln() - 1e-9).ceil();
        let count = (to.ln() / base.ln() - first + 1e-9).floor().max(0.0);
        (0..=units::whole(count)).map(move |at| base.powf(first + units::float(at)))
    };
    let last = bases.last().copied().unwrap_or(10.0);
    let base = bases.iter().copied().find(|base| units::float(powers(*base).count() as u64) <= most);
    powers(base.unwrap_or(last)).collect()
}

/// 50 %, 90 %, 99 % and on, thinned where they would touch.
fn percentile_ticks(to: f64, most: f64) -> Vec<f64> {
    let nines = decade_ticks(10.0, to.max(10.0), &[1.0]);
    let mut ticks = vec![1.0, 2.0];
    ticks.extend(nines);
    if units::float(ticks.len() as u64) > most {
        ticks.remove(0);
    }
    ticks.retain(|tick| *tick <= to * (1.0 + 1e-9));
    ticks
}
