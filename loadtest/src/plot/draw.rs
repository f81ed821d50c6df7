//! The chart as SVG text.

use super::layout::{LINE, Layout, legend_width};
use super::style::{self, CSS, GROUND_CSS, HUES};
use super::{Chart, Point, Series, Size};
use std::fmt::Write as _;

/// Most marks on one line: more would hide it.
const MARKS_MAX: usize = 12;
/// Most points of a line that each carry their value as a tooltip.
const TOOLTIPS_MAX: usize = 130;

/// What is around a chart.
pub(super) enum Frame<'a> {
    /// A page.
    Element {
        /// Makes ids unique.
        suffix: &'a str,
    },
    /// Nothing: it is a file.
    Document,
}

/// The whole `<svg>` element.
pub(super) fn svg(chart: &Chart, size: Size, frame: &Frame<'_>) -> String {
    let above = if matches!(frame, Frame::Document) { LINE + 10.0 } else { 0.0 };
    let layout = Layout::new(chart, size, above);
    let mut out = String::with_capacity(8 * 1024);
    open(&mut out, chart, size, frame);
    axis_lines(&mut out, chart, &layout, size, above);
    for (at, series) in chart.series.iter().enumerate() {
        line(&mut out, series, &layout);
        marks(&mut out, chart, at, &layout);
    }
    match &layout.legend {
        Some(rows) => legend(&mut out, chart, rows, above),
        None if chart.series.len() > 1 => names(&mut out, chart, &layout),
        None => {}
    }
    out.push_str("</svg>");
    out
}

/// Text as it may stand in an element or a quoted attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML knows no other control characters, not even as references.
            c if c.is_control() && !matches!(c, '\t' | '\n' | '\r') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Appends formatted text; writing to a string cannot fail.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn open(out: &mut String, chart: &Chart, size: Size, frame: &Frame<'_>) {
    let (Size { width, height }, id) = (size, escaped(&chart.id));
    let (suffix, namespace) = match frame {
        Frame::Element { suffix } => (*suffix, ""),
        Frame::Document => ("", " xmlns=\"http://www.w3.org/2000/svg\""),
    };
    put(out, format_args!("<svg{namespace} class=\"plot\" role=\"img\" viewBox=\"0 0 {width:.0} {height:.0}\""));
    put(out, format_args!(" width=\"{width:.0}\" height=\"{height:.0}\""));
    put(out, format_args!(" aria-labelledby=\"{id}{suffix}-title {id}{suffix}-desc\">"));
    put(out, format_args!("<title id=\"{id}{suffix}-title\">{}</title>", escaped(&chart.title)));
    put(out, format_args!("<desc id=\"{id}{suffix}-desc\">{}</desc>", escaped(&chart.description)));
    if matches!(frame, Frame::Document) {
        put(out, format_args!("<style>{CSS}{GROUND_CSS}</style>"));
        put(out, format_args!("<rect class=\"ground\" width=\"{width:.0}\" height=\"{height:.0}\"/>"));
        put(out, format_args!("<text class=\"title\" x=\"8\" y=\"19\">{}</text>", escaped(&chart.title)));
    }
}

/// Grid, ticks, and what the axes count.
fn axis_lines(out: &mut String, chart: &Chart, layout: &Layout, size: Size, above: f64) {
    let Layout { left, right, top, bottom, .. } = *layout;
    let y_ticks = layout.y_ticks.iter().filter_map(|tick| Some((*tick, layout.y.at(*tick)?)));
    for (tick, at) in y_ticks {
        put(out, format_args!("<path class=\"grid\" d=\"M{left:.1} {at:.1}H{right:.1}\"/>"));
        let (x, y, text) = (left - 6.0, at + 4.0, escaped(&chart.y.reading.tick(tick)));
        put(out, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{text}</text>"));
    }
    put(out, format_args!("<path class=\"axis\" d=\"M{left:.1} {bottom:.1}H{right:.1}\"/>"));
    let x_ticks = layout.x_ticks.iter().filter_map(|tick| Some((*tick, layout.x.at(*tick)?)));
    for (tick, at) in x_ticks {
        let (end, y, text) = (bottom + 5.0, bottom + LINE + 2.0, escaped(&chart.x.reading.tick(tick)));
        put(out, format_args!("<path class=\"grid\" d=\"M{at:.1} {top:.1}V{bottom:.1}\"/>"));
        put(out, format_args!("<path class=\"axis\" d=\"M{at:.1} {bottom:.1}V{end:.1}\"/>"));
        put(out, format_args!("<text x=\"{at:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{text}</text>"));
    }
    put(out, format_args!("<text x=\"8\" y=\"{:.1}\">{}</text>", above + 12.0, escaped(&chart.y.label)));
    let (x, y) = ((left + right) / 2.0, size.height - 6.0);
    put(out, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>", escaped(&chart.x.label)));
}

/// The line itself, with gaps where a value cannot be shown, and its whiskers.
fn line(out: &mut String, series: &Series, layout: &Layout) {
    let hue = series.hue % HUES;
    let mut path = String::new();
    let mut continues = false;
    for point in &series.points {
        let place = placed(layout, point);
        if let Some((x, y)) = place {
            put(&mut path, format_args!("{}{x:.1} {y:.1}", if continues { 'L' } else { 'M' }));
        }
        continues = place.is_some();
        let ends = point.spread.and_then(|(low, high)| Some((layout.y.at(low)?, layout.y.at(high)?)));
        if let (Some((x, _)), Some((low, high))) = (place, ends) {
            put(out, format_args!("<path class=\"whisker c{hue}\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>"));
        }
    }
    let look = if series.dashed { "thin dash" } else { "full" };
    put(out, format_args!("<path class=\"line {look} c{hue}\" d=\"{path}\"/>"));
}

fn placed(layout: &Layout, point: &Point) -> Option<(f64, f64)> {
    Some((layout.x.at(point.x)?, layout.y.at(point.y)?))
}

/// Marks on some or all points of a line; on short lines each carries its value as a tooltip.
fn marks(out: &mut String, chart: &Chart, at: usize, layout: &Layout) {
    let series = &chart.series[at];
    let placed: Vec<(&Point, (f64, f64))> =
        series.points.iter().filter_map(|point| Some((point, placed(layout, point)?))).collect();
    let stride = placed.len().div_ceil(MARKS_MAX).max(1);
    // Lines of the same points would hide each other's marks: each begins one further.
    let offset = if stride > 1 { at * stride / chart.series.len().max(1) } else { 0 };
    let hue = series.hue % HUES;
    for (index, (point, (x, y))) in placed.iter().enumerate() {
        let is_marked = index % stride == offset && !series.dashed || stride == 1;
        let has_tooltip = placed.len() <= TOOLTIPS_MAX;
        if !is_marked && !has_tooltip {
            continue;
        }
        let (class, outline) = match is_marked {
            true => (format!("mark f{hue}"), style::mark(hue, *x, *y)),
            false => ("hit".to_owned(), format!("M{:.1} {:.1}h6v6h-6z", x - 3.0, y - 3.0)),
        };
        let ink = if is_marked { "" } else { " fill=\"transparent\"" };
        let (name, y_text, x_text) = (&series.name, chart.y.reading.tick(point.y), chart.x.reading.tick(point.x));
        let title = escaped(&format!("{name}: {y_text} at {x_text}"));
        put(out, format_args!("<path class=\"{class}\"{ink} d=\"{outline}\"><title>{title}</title></path>"));
    }
}

/// Names at the lines' ends.
fn names(out: &mut String, chart: &Chart, layout: &Layout) {
    for (at, y) in layout.name_places(chart) {
        let series = &chart.series[at];
        let (hue, x, y) = (series.hue % HUES, layout.right + 9.0, y + 4.0);
        put(out, format_args!("<text class=\"name\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(&series.name)));
        put(out, format_args!("<path class=\"line c{hue}\" d=\"M{:.1} {:.1}v9\"/>", layout.right + 4.5, y - 8.5));
    }
}

/// Names above the chart, each with a sample of its line.
fn legend(out: &mut String, chart: &Chart, rows: &[Vec<usize>], above: f64) {
    let mut y = above + LINE + 12.0;
    for row in rows {
        let mut x = 8.0;
        for series in row.iter().map(|at| &chart.series[*at]) {
            let (hue, look) = (series.hue % HUES, if series.dashed { "thin dash" } else { "full" });
            put(out, format_args!("<path class=\"line {look} c{hue}\" d=\"M{x:.1} {:.1}h24\"/>", y - 4.0));
            if !series.dashed {
                let outline = style::mark(hue, x + 12.0, y - 4.0);
                put(out, format_args!("<path class=\"mark f{hue}\" d=\"{outline}\"/>"));
            }
            let name = escaped(&series.name);
            put(out, format_args!("<text class=\"name\" x=\"{:.1}\" y=\"{y:.1}\">{name}</text>", x + 30.0));
            x += legend_width(&series.name);
        }
        y += LINE;
    }
}
