//! Tests of charts.

use super::scale::Ruler;
use super::*;

const SIZE: Size = Size { width: 720.0, height: 300.0 };

fn chart() -> Chart {
    let points = |factor: f64| [1.0, 8.0, 64.0, 512.0].map(|x| Point::new(x, factor * 10.0)).to_vec();
    Chart {
        id: "growth".to_owned(),
        title: "CPU <per> call & more".to_owned(),
        description: "flat".to_owned(),
        x: Axis { label: "Connections".to_owned(), scale: Scale::Log, ..Axis::default() },
        y: Axis { label: "CPU per call".to_owned(), reading: Reading::Time, ..Axis::default() },
        series: vec![
            Series { name: "gate".to_owned(), points: points(2.5), ..Series::default() },
            Series { name: "relay".to_owned(), hue: 1, points: points(2.2), ..Series::default() },
        ],
    }
}

#[test]
fn a_file_of_its_own_is_well_formed_and_escaped() {
    let svg = chart().document(SIZE);
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" role=\"img\""), "{svg}");
    assert!(svg.contains("CPU &lt;per&gt; call &amp; more</title>"), "{svg}");
    assert!(svg.ends_with("</svg>"));
    let opened = svg.matches("<path").count();
    assert_eq!(opened, svg.matches("/>").count() + svg.matches("</path>").count() - svg.matches("<rect").count());
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn the_values_are_the_ticks_of_a_log_axis() {
    let svg = chart().element(SIZE, "-wide");
    for tick in [">1<", ">8<", ">64<", ">512<", ">0 µs<", ">25 µs<"] {
        assert!(svg.contains(tick), "{tick} in {svg}");
    }
    assert!(svg.contains("aria-labelledby=\"growth-wide-title growth-wide-desc\""), "{svg}");
}

#[test]
fn what_cannot_be_shown_is_a_gap() {
    let mut chart = chart();
    chart.y.scale = Scale::Log;
    chart.series.truncate(1);
    chart.series[0].points[1].y = 0.0;
    chart.series[0].points[2].y = f64::NAN;
    let svg = chart.element(SIZE, "");
    let line = svg.split("class=\"line full c0\" d=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!((line.matches('M').count(), line.matches('L').count()), (2, 0), "{line}");
    chart.series[0].points.clear();
    assert!(chart.is_empty());
    assert!(!chart.element(SIZE, "").contains("NaN"));
}

#[test]
fn names_at_the_ends_keep_their_distance() {
    let chart = chart();
    let layout = layout::Layout::new(&chart, SIZE, 0.0);
    let places: Vec<f64> = layout.name_places(&chart).into_iter().map(|(_, y)| y).collect();
    assert!(places[1] - places[0] >= 13.9, "{places:?}");
    assert!(layout.legend.is_none());
}

#[test]
fn long_names_stand_in_a_legend() {
    let mut chart = chart();
    chart.series[1].name = "a bare relay that copies bytes and parses nothing at all".to_owned();
    let layout = layout::Layout::new(&chart, SIZE, 0.0);
    assert_eq!(layout.legend, Some(vec![vec![0, 1]]));
    let narrow = layout::Layout::new(&chart, Size { width: 358.0, height: 260.0 }, 0.0);
    assert_eq!(narrow.legend, Some(vec![vec![0], vec![1]]));
}

#[test]
fn ticks_are_round_and_few() {
    let ticks = |scale, range, reading| Ruler::new(scale, range, (0.0, 400.0)).ticks(reading, 64.0);
    assert_eq!(ticks(Scale::Linear, (0.0, 9.0), Reading::Seconds), [0.0, 2.0, 4.0, 6.0, 8.0]);
    assert_eq!(ticks(Scale::Linear, (0.0, 0.0), Reading::Plain).len(), 6);
    let bytes = ticks(Scale::Log, (256.0, 1_048_576.0), Reading::Bytes);
    assert_eq!(
        bytes.iter().map(|tick| Reading::Bytes.tick(*tick)).collect::<Vec<_>>().join(" "),
        "256 B 4 KiB 64 KiB 1 MiB"
    );
    let nines = ticks(Scale::Log, (1.0, 10_000.0), Reading::Percentile);
    let text: Vec<String> = nines.iter().map(|tick| Reading::Percentile.tick(*tick)).collect();
    assert_eq!(text, ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
}

#[test]
fn tick_texts_are_short() {
    let cases = [
        (Reading::Time, 1_000.0, "1 ms"),
        (Reading::Time, 20.0, "20 µs"),
        (Reading::Time, 2.5e6, "2.5 s"),
        (Reading::Rate, 5_000.0, "5,000/s"),
        (Reading::Plain, 100_000.0, "100k"),
        (Reading::Bytes, 300.0, "300 B"),
        (Reading::Share, 0.005, "0.5 %"),
    ];
    for (reading, value, text) in cases {
        assert_eq!(reading.tick(value), text);
    }
}
