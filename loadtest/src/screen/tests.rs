//! Tests of the live view, drawn into memory.

use super::draw;
use super::picture::{Heading, Picture};
use crate::measure::{Tick, histogram};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::time::Duration;

/// A quarter of a second of a run at 5,000 a second, the warm-up lasting 2 s.
fn tick(number: u64, total: &mut hdrhistogram::Histogram<u64>) -> Tick {
    let mut window = histogram();
    for at in 0..1_250u64 {
        window.record(120_000 + (at * at * 7_919 + number * 104_729) % 60_000 + at / 1_240 * 2_000_000).unwrap();
    }
    let measured = number > 8;
    if number == 9 {
        total.reset();
    }
    total.add(&window).unwrap();
    Tick {
        elapsed: Duration::from_millis(250 * number),
        measured,
        target_rate: Some(5_000.0),
        sent: 1_250,
        answered: 1_249,
        failed: u64::from(number == 12),
        in_flight: 7,
        window,
        total: total.clone(),
    }
}

fn picture(ticks: u64) -> (Picture, Vec<String>) {
    let heading = Heading {
        title: "call → gate".to_owned(),
        load: "5000/s for 20s · 64 connections".to_owned(),
        warm_up: Duration::from_secs(2),
        lasts: Duration::from_secs(20),
    };
    let (mut picture, mut lines, mut total) = (Picture::new(heading), Vec::new(), histogram());
    for number in 1..=ticks {
        if picture.take(&tick(number, &mut total)) {
            lines.push(picture.line());
        }
    }
    (picture, lines)
}

fn drawn(picture: &Picture, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::all(frame, picture, false)).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = buffer.content.chunks(usize::from(width));
    let text = |row: &[ratatui::buffer::Cell]| row.iter().map(|cell| cell.symbol()).collect::<String>();
    rows.map(|row| format!("{}\n", text(row).trim_end())).collect()
}

#[test]
fn the_view_has_all_its_parts() {
    let (picture, _) = picture(40);
    crate::report::sample::assert_fixture("screen.txt", &drawn(&picture, 100, 28));
}

#[test]
fn every_size_can_be_drawn() {
    let (picture, _) = picture(40);
    for (width, height) in [(1, 1), (10, 3), (63, 18), (64, 17), (64, 18), (80, 24), (250, 70)] {
        drawn(&picture, width, height);
        drawn(&Picture::new(Heading::default()), width, height);
    }
}

#[test]
fn a_line_is_told_each_second_and_warm_up_failures_are_not_kept() {
    let (picture, lines) = picture(16);
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with(" warm-up    1 s  rate 4,996 /s of 5,000 /s  p50 1"), "{}", lines[0]);
    assert!(lines[3].starts_with("measured    2 s  rate 4,996 /s"), "{}", lines[3]);
    assert!(lines[3].ends_with("errors 1  in flight 7"), "{}", lines[3]);
    assert_eq!(picture.strip.len(), 4);
}

#[test]
fn a_second_without_answers_is_a_gap() {
    let mut picture = Picture::new(Heading::default());
    let mut tick = tick(4, &mut histogram());
    tick.window.reset();
    tick.total.reset();
    tick.answered = 0;
    assert!(picture.take(&tick));
    assert_eq!(picture.strip[0].p50, None);
    assert!(picture.line().contains("p50 –"), "{}", picture.line());
}
