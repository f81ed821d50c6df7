//! Where the parts of a chart lie: margins, rulers, and names that do not touch.

use super::scale::{Ruler, Scale, linear_step, nice_above, nice_below};
use super::{Axis, Chart, Reading, Size};

/// Height of a line of text.
pub(super) const LINE: f64 = 16.0;
/// Width of an average character of the chart's type.
const CHARACTER: f64 = 6.3;
/// Widest share of the chart that the names at the lines' ends may take.
const NAMES_MAX: f64 = 0.24;
/// Length along the horizontal and the vertical axis that a tick needs.
const SPACING: (f64, f64) = (64.0, 34.0);
/// Share of a linear vertical axis that stays free above the greatest value.
const HEADROOM: f64 = 0.03;
/// Most values of a log axis that are ticks themselves.
const DATA_TICKS_MAX: usize = 9;

/// Where the parts lie.
pub(super) struct Layout {
    pub(super) x: Ruler,
    pub(super) y: Ruler,
    pub(super) x_ticks: Vec<f64>,
    pub(super) y_ticks: Vec<f64>,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    /// Names stand in a legend above and not at the lines' ends.
    pub(super) legend: Option<Vec<Vec<usize>>>,
}

/// About how wide a text is.
pub(super) fn width(text: &str) -> f64 {
    CHARACTER * f64::from(u16::try_from(text.chars().count()).unwrap_or(u16::MAX))
}

impl Layout {
    /// Everything but the title, which takes `above`.
    pub(super) fn new(chart: &Chart, size: Size, above: f64) -> Self {
        let widest = chart.series.iter().map(|series| width(&series.name)).fold(0.0, f64::max);
        let at_ends = chart.series.len() > 1 && widest <= size.width * NAMES_MAX;
        let legend = (chart.series.len() > 1 && !at_ends).then(|| legend_rows(chart, size.width - 16.0));
        let rows = f64::from(u16::try_from(legend.as_ref().map_or(0, Vec::len)).unwrap_or(0));
        let top = above + LINE + 10.0 + rows * LINE;
        let bottom = size.height - 2.0 * LINE - 6.0;
        let y_values = values(chart, |point| point.y).chain(spreads(chart));
        let y_range = vertical_range(&chart.y, y_values, (bottom - top) / SPACING.1);
        let y = Ruler::new(chart.y.scale, y_range, (bottom, top));
        let y_ticks = y.ticks(chart.y.reading, SPACING.1);
        let left = y_ticks.iter().map(|tick| width(&chart.y.reading.tick(*tick))).fold(12.0, f64::max) + 14.0;
        let right = size.width - if at_ends { widest + 16.0 } else { 18.0 };
        let x = Ruler::new(chart.x.scale, horizontal_range(chart), (left, right));
        let x_ticks = data_ticks(chart, &x).unwrap_or_else(|| x.ticks(chart.x.reading, SPACING.0));
        Self { x, y, x_ticks, y_ticks, left, right, top, bottom, legend }
    }

    /// Where the names at the lines' ends stand, for each series that has an end: as near to it as they fit.
    pub(super) fn name_places(&self, chart: &Chart) -> Vec<(usize, f64)> {
        let end = |at: usize| chart.series[at].points.iter().rev().find_map(|point| self.y.at(point.y));
        let mut places: Vec<(usize, f64)> =
            (0..chart.series.len()).filter_map(|at| end(at).map(|place| (at, place))).collect();
        places.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut floor = f64::NEG_INFINITY;
        for (_, place) in &mut places {
            *place = place.max(floor);
            floor = *place + 14.0;
        }
        let mut ceiling = self.bottom;
        for (_, place) in places.iter_mut().rev() {
            *place = place.min(ceiling);
            ceiling = *place - 14.0;
        }
        places
    }
}

fn values(chart: &Chart, pick: impl Fn(&super::Point) -> f64) -> impl Iterator<Item = f64> {
    chart.series.iter().flat_map(|series| &series.points).map(pick).filter(|value| value.is_finite())
}

fn spreads(chart: &Chart) -> impl Iterator<Item = f64> {
    let points = chart.series.iter().flat_map(|series| &series.points);
    points.filter_map(|point| point.spread).flat_map(|(low, high)| [low, high]).filter(|value| value.is_finite())
}

/// Least and greatest of what the axis can show.
fn extent(scale: Scale, values: impl Iterator<Item = f64>) -> (f64, f64) {
    let shown = values.filter(|value| scale == Scale::Linear || *value > 0.0);
    let (least, greatest) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if least > greatest { (1.0, 10.0) } else { (least, greatest) }
}

/// From zero (linear) or a nice number below the least (log) to a nice number above the greatest.
fn vertical_range(axis: &Axis, values: impl Iterator<Item = f64>, ticks: f64) -> (f64, f64) {
    let (least, greatest) = extent(axis.scale, values);
    match axis.scale {
        Scale::Linear => {
            let from = axis.from.unwrap_or(least.min(0.0));
            let to = axis.to.unwrap_or(greatest).max(from + f64::MIN_POSITIVE);
            let to = if to > from { to } else { from + 1.0 };
            let step = linear_step(from, to, ticks.floor().max(2.0));
            // A line at the very edge would be taken for the edge.
            let above = to + (to - from) * HEADROOM;
            (from, axis.to.unwrap_or((above / step - 1e-9).ceil() * step))
        }
        Scale::Log => {
            let from = axis.from.unwrap_or_else(|| nice_below(least));
            (from, axis.to.unwrap_or_else(|| nice_above(greatest)).max(from * 1.01))
        }
    }
}

fn horizontal_range(chart: &Chart) -> (f64, f64) {
    let (least, greatest) = extent(chart.x.scale, values(chart, |point| point.x));
    (chart.x.from.unwrap_or(least), chart.x.to.unwrap_or(greatest))
}

/// The values themselves as ticks of a log axis, where they are few and their labels do not touch.
fn data_ticks(chart: &Chart, ruler: &Ruler) -> Option<Vec<f64>> {
    if chart.x.scale != Scale::Log || chart.x.reading == Reading::Percentile {
        return None;
    }
    let mut ticks: Vec<f64> = values(chart, |point| point.x).filter(|value| *value > 0.0).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    let label = |value: f64| width(&chart.x.reading.tick(value));
    let touches = |pair: &[f64]| match (ruler.at(pair[0]), ruler.at(pair[1])) {
        (Some(a), Some(b)) => b - a < (label(pair[0]) + label(pair[1])) / 2.0 + 8.0,
        _ => true,
    };
    (ticks.len() > 1 && ticks.len() <= DATA_TICKS_MAX && !ticks.windows(2).any(touches)).then_some(ticks)
}

/// Series by rows of the legend, as many in each as fit.
fn legend_rows(chart: &Chart, room: f64) -> Vec<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = vec![Vec::new()];
    let mut used = 0.0;
    for (at, series) in chart.series.iter().enumerate() {
        let needs = legend_width(&series.name);
        let begins_row = used + needs > room && used > 0.0;
        if begins_row {
            rows.push(Vec::new());
            used = 0.0;
        }
        used += needs;
        if let Some(row) = rows.last_mut() {
            row.push(at);
        }
    }
    rows
}

/// Width of one entry of the legend with its sample.
pub(super) fn legend_width(name: &str) -> f64 {
    width(name) + 44.0
}
