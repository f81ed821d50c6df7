//! The live view: rate and errors on top, the latency histogram on the left, percentiles on the right, the last minute
//! below, and how far the run is.

use super::picture::{Picture, STRIP_SECONDS, micros};
use crate::measure::Histogram;
use crate::units::{self, float};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Borders, Cell, Chart, Dataset, GraphType, Paragraph, Row, Table};
use std::time::Duration;

/// Columns of the table of percentiles.
const TABLE_COLUMNS: u16 = 34;
/// Lines of the last minute, with its frame.
const STRIP_LINES: u16 = 9;
/// Least terminal that the whole view fits in.
const LEAST: (u16, u16) = (64, 18);
/// The two lines of the strip; words and symbols tell them apart as well.
const P50: Style = Style::new().fg(Color::Cyan);
const P99: Style = Style::new().fg(Color::Yellow);
const SOFT: Style = Style::new().add_modifier(Modifier::DIM);
const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
/// Upper bounds of the histogram's rows within one decade.
const STEPS: [u64; 3] = [1, 2, 5];

/// Everything.
pub(super) fn all(frame: &mut Frame<'_>, picture: &Picture, ends: bool) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        return frame.render_widget(Paragraph::new(vec![Line::raw(picture.line()), keys(ends)]), area);
    }
    let parts = [Constraint::Length(3), Constraint::Min(8), Constraint::Length(STRIP_LINES), Constraint::Length(1)];
    let [top, middle, strip, bottom] = Layout::vertical(parts).areas(area);
    let [left, right] = Layout::horizontal([Constraint::Min(20), Constraint::Length(TABLE_COLUMNS)]).areas(middle);
    frame.render_widget(summary(picture), top);
    histogram_rows(frame, picture, left);
    frame.render_widget(percentiles(picture), right);
    last_minute(frame, picture, strip);
    frame.render_widget(progress(picture, ends, bottom.width), bottom);
}

fn keys(ends: bool) -> Line<'static> {
    if ends { Line::styled("ending …", STRONG) } else { Line::styled("q ends the run and reports it", SOFT) }
}

fn summary(picture: &Picture) -> Paragraph<'_> {
    let asked = picture.last().and_then(|last| last.target_rate);
    let asked = asked.map_or_else(|| " (closed loop)".to_owned(), |asked| format!(" of {}", units::rate(asked)));
    let share = picture.failed_share().filter(|_| picture.failed > 0);
    let errors = share.map_or_else(String::new, |share| format!(" ({})", units::share(share)));
    let error_style = if picture.failed > 0 { STRONG.fg(Color::Red) } else { STRONG };
    let in_flight = picture.last().map_or(0, |last| last.in_flight);
    Paragraph::new(vec![
        Line::from(vec![
            Span::styled(picture.heading.title.as_str(), STRONG),
            Span::raw("  "),
            Span::styled(picture.heading.load.as_str(), SOFT),
        ]),
        Line::from(vec![
            Span::raw("rate "),
            Span::styled(units::rate(picture.rate()), STRONG),
            Span::styled(asked, SOFT),
            Span::raw("   errors "),
            Span::styled(units::count(picture.failed), error_style),
            Span::styled(errors, error_style),
            Span::raw("   in flight "),
            Span::styled(units::count(in_flight), STRONG),
        ]),
    ])
}

fn framed(title: &str) -> Block<'_> {
    Block::new().borders(Borders::TOP).border_style(SOFT).title(Line::styled(title, STRONG))
}

/// One row for each step of a log axis, its bar as long as its share of the fullest.
fn histogram_rows(frame: &mut Frame<'_>, picture: &Picture, area: Rect) {
    let block = framed(" latency, all so far ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let Some(last) = picture.last().filter(|last| !last.total.is_empty()) else {
        return frame.render_widget(Paragraph::new("nothing answered yet"), inner);
    };
    let rows = buckets(&last.total, usize::from(inner.height));
    let fullest = rows.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    let room = f64::from(inner.width.saturating_sub(22));
    let line = |(label, count): &(String, u64)| {
        let bar = "█".repeat(usize::try_from(units::whole(float(*count) / float(fullest) * room)).unwrap_or(0));
        let seen = if bar.is_empty() && *count > 0 { "▏" } else { bar.as_str() };
        let share = units::share(float(*count) / float(last.total.len()));
        Line::from(vec![
            Span::raw(format!("{label:>9} ")),
            Span::styled(format!("{seen} "), P50),
            Span::styled(if *count > 0 { share } else { String::new() }, SOFT),
        ])
    };
    frame.render_widget(Paragraph::new(rows.iter().map(line).collect::<Vec<_>>()), inner);
}

/// Counts up to each bound of a log axis; what does not fit goes into the last row, and the first has all below.
fn buckets(histogram: &Histogram<u64>, rows: usize) -> Vec<(String, u64)> {
    let (least, most) = (histogram.min().max(1), histogram.max());
    let bounds = (0..12).flat_map(|power| STEPS.map(|step| step * 10u64.pow(power)));
    let mut bounds: Vec<u64> = bounds.skip_while(|bound| *bound < least).collect();
    let used = bounds.iter().position(|bound| *bound >= most).unwrap_or(bounds.len().saturating_sub(1));
    bounds.truncate(used + 1);
    let cut = bounds.len() > rows;
    bounds.truncate(rows.saturating_sub(usize::from(cut)));
    let mut from = 0;
    let mut counts: Vec<(String, u64)> = Vec::new();
    for bound in bounds {
        counts.push((format!("≤ {}", short(bound)), histogram.count_between(from, bound)));
        from = histogram.next_non_equivalent(bound);
    }
    if cut {
        let counted: u64 = counts.iter().map(|(_, count)| count).sum();
        counts.push(("more".to_owned(), histogram.len().saturating_sub(counted)));
    }
    counts
}

/// A round number of nanoseconds.
fn short(nanos: u64) -> String {
    match nanos {
        less if less < 1_000 => format!("{less} ns"),
        less if less < 1_000_000 => format!("{} µs", less / 1_000),
        less if less < 1_000_000_000 => format!("{} ms", less / 1_000_000),
        more => format!("{} s", more / 1_000_000_000),
    }
}

fn percentiles(picture: &Picture) -> Table<'_> {
    let now = picture.now();
    let total = picture.last().map(|last| &last.total);
    let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];
    let time =
        |value: Option<f64>| Cell::from(Line::raw(value.map_or_else(|| "–".to_owned(), units::time)).right_aligned());
    let row = |(name, quantile): (&'static str, f64)| {
        Row::new([
            Cell::from(name),
            time(micros(&now, quantile)),
            time(total.and_then(|total| micros(total, quantile))),
        ])
    };
    let head = |text: &'static str| Cell::from(Line::raw(text).right_aligned());
    let widths = [Constraint::Length(8), Constraint::Length(11), Constraint::Length(11)];
    Table::new(quantiles.map(row), widths)
        .header(Row::new([Cell::from(""), head("now"), head("total")]).style(SOFT))
        .block(framed(" percentiles "))
}

/// p50 and p99 of each second of the last minute, on a log axis.
fn last_minute(frame: &mut Frame<'_>, picture: &Picture, area: Rect) {
    let points = |pick: fn(&super::picture::Second) -> Option<f64>| {
        let seconds = picture.strip.iter().rev().zip(0u8..);
        seconds.filter_map(|(second, ago)| Some((-f64::from(ago), pick(second)?.log10()))).collect::<Vec<_>>()
    };
    let (p50, p99) = (points(|second| second.p50), points(|second| second.p99));
    let values = || p50.iter().chain(&p99).map(|(_, y)| *y);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let (low, high) = if low > high { (1.0, 3.0) } else { (low.floor(), high.ceil().max(low.floor() + 1.0)) };
    let line =
        |points, style, marker| Dataset::default().marker(marker).graph_type(GraphType::Line).style(style).data(points);
    let label = |power: f64| units::time(10f64.powf(power));
    let chart = Chart::new(vec![line(&p99, P99, Marker::Braille), line(&p50, P50, Marker::Braille)])
        .block(framed_strip())
        .x_axis(Axis::default().bounds([-(f64::from(u8::try_from(STRIP_SECONDS).unwrap_or(60)) - 1.0), 0.0]))
        .y_axis(Axis::default().bounds([low, high]).labels([label(low), label(high)]).style(SOFT))
        .legend_position(None);
    frame.render_widget(chart, area);
}

fn framed_strip() -> Block<'static> {
    let title = vec![
        Span::styled(" last minute: ", STRONG),
        Span::styled("p50 below", P50),
        Span::raw(", "),
        Span::styled("p99 above ", P99),
    ];
    Block::new().borders(Borders::TOP).border_style(SOFT).title(Line::from(title))
}

/// How far the run is: warm-up, then measured.
fn progress(picture: &Picture, ends: bool, width: u16) -> Line<'static> {
    let (at, of) = picture.time();
    let said = format!("{} {} of {}  ", picture.part(), clock(at), clock(of));
    let keys = keys(ends);
    let room = usize::from(width).saturating_sub(said.chars().count() + keys.width() + 4);
    let all = picture.heading.warm_up + picture.heading.lasts;
    let cells = |time: Duration| {
        let share = if all.is_zero() { 0.0 } else { time.as_secs_f64() / all.as_secs_f64() };
        usize::try_from(units::whole(share * float(room as u64))).unwrap_or(0).min(room)
    };
    let (warm, done) = (cells(picture.heading.warm_up), cells(picture.last().map_or(Duration::ZERO, |l| l.elapsed)));
    Line::from(vec![
        Span::raw(said),
        Span::styled("▒".repeat(done.min(warm)), SOFT),
        Span::styled("█".repeat(done.saturating_sub(warm)), P50),
        Span::styled("·".repeat(room - done), SOFT),
        Span::raw("  "),
    ])
    .spans
    .into_iter()
    .chain(keys.spans.into_iter().map(|span| span.patch_style(keys.style)))
    .collect()
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    format!("{:02}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}
