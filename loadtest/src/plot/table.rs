//! Series as a file: what `tollgate-load plot` reads.
//!
//! ```toml
//! title = "CPU for each call"
//! description = "The gate's cost stays flat from 8 connections on."
//! x = { label = "Connections", scale = "log" }
//! y = { label = "CPU for each call", unit = "time" }
//! [[series]]
//! name = "gate"
//! points = [[1, 65.0], [8, 31.2], [64, 25.1, 24.8, 25.9]]   # x, y, and from where to where y may lie
//! ```
//! `scale` is `linear` (as where nothing is said) or `log`; `unit` is `plain`, `time` (microseconds), `seconds`,
//! `rate`, `bytes` or `share`.

use super::{Axis, Chart, HUES, Point, Reading, Scale, Series};
use crate::failure::Failure;
use serde::Deserialize;
use std::fmt::Write as _;
use std::path::Path;

/// A chart as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    title: String,
    #[serde(default)]
    description: String,
    x: AxisTable,
    y: AxisTable,
    series: Vec<SeriesTable>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AxisTable {
    label: String,
    #[serde(default)]
    scale: Scale,
    #[serde(default)]
    unit: Reading,
    from: Option<f64>,
    to: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesTable {
    name: String,
    /// A reference to the others.
    #[serde(default)]
    dashed: bool,
    points: Vec<PointTable>,
}

/// x and y, or x, y, least y, greatest y.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum PointTable {
    Plain([f64; 2]),
    Spread([f64; 4]),
}

impl PointTable {
    fn point(&self) -> Point {
        match *self {
            Self::Plain([x, y]) => Point::new(x, y),
            Self::Spread([x, y, low, high]) => Point { x, y, spread: Some((low, high)) },
        }
    }
}

impl Table {
    /// Reads a file of series: JSON where its name ends so, else TOML.
    ///
    /// # Errors
    /// It cannot be read, or it is no table of series; exit code 2.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("cannot be read: {error}")));
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        text.and_then(|text| Self::parse(&text, is_json)).map_err(|failure| failure.within(path.display()))
    }

    /// Reads a table of series.
    ///
    /// # Errors
    /// It is none: what is wrong, and where.
    pub fn parse(text: &str, is_json: bool) -> Result<Self, Failure> {
        let table: Self = match is_json {
            true => serde_json::from_str(text).map_err(|error| Failure::usage(error.to_string()))?,
            false => toml::from_str(text).map_err(|error| Failure::usage(error.to_string()))?,
        };
        table.checked()
    }

    fn checked(self) -> Result<Self, Failure> {
        if self.series.is_empty() || self.series.len() > HUES {
            return Err(Failure::usage(format!(
                "{} series; from 1 to {HUES} can be told apart, so draw more than one chart",
                self.series.len()
            )));
        }
        for series in &self.series {
            let points = || series.points.iter().map(PointTable::point);
            let what = if series.points.is_empty() {
                "has no points"
            } else if points().any(|point| !point.x.is_finite() || !point.y.is_finite()) {
                "has a point that is not finite"
            } else if self.x.scale == Scale::Log && points().any(|point| point.x <= 0.0) {
                "has an x that is not above zero, which a log scale cannot show"
            } else if self.y.scale == Scale::Log && points().any(|point| point.y <= 0.0) {
                "has a y that is not above zero, which a log scale cannot show"
            } else if points().zip(points().skip(1)).any(|(a, b)| a.x >= b.x) {
                "has points out of order; x must rise"
            } else {
                continue;
            };
            return Err(Failure::usage(format!("series `{}` {what}", series.name)));
        }
        Ok(self)
    }

    /// The chart of it.
    pub fn chart(&self) -> Chart {
        let series = self.series.iter().enumerate().map(|(hue, series)| Series {
            name: series.name.clone(),
            hue,
            dashed: series.dashed,
            points: series.points.iter().map(PointTable::point).collect(),
        });
        Chart {
            id: "plot".to_owned(),
            title: self.title.clone(),
            description: self.description.clone(),
            x: self.x.axis(),
            y: self.y.axis(),
            series: series.collect(),
        }
    }

    /// The same as a table in Markdown: one row for each x, one column for each series.
    pub fn markdown(&self) -> String {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let mut places: Vec<f64> =
            self.series.iter().flat_map(|series| &series.points).map(|point| point.point().x).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let mut out = format!("| {} |", cell(&self.x.label));
        self.series.iter().for_each(|series| {
            let _ = write!(out, " {} |", cell(&series.name));
        });
        let _ = writeln!(out, "\n|--:|{}", "--:|".repeat(self.series.len()));
        for x in places {
            let _ = write!(out, "| {} |", self.x.unit.tick(x));
            for series in &self.series {
                let found = series.points.iter().map(PointTable::point).find(|point| point.x == x);
                let _ = write!(out, " {} |", found.map_or_else(|| "–".to_owned(), |point| self.y.unit.tick(point.y)));
            }
            out.push('\n');
        }
        out
    }
}

impl AxisTable {
    fn axis(&self) -> Axis {
        Axis { label: self.label.clone(), scale: self.scale, reading: self.unit, from: self.from, to: self.to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::Size;

    const TABLE: &str = r#"
        title = "CPU for each call"
        x = { label = "Connections", scale = "log" }
        y = { label = "CPU", unit = "time" }
        [[series]]
        name = "gate"
        points = [[1, 65.0], [8, 31.2], [100000, 25.13, 24.8, 25.9]]
        [[series]]
        name = "a|b"
        dashed = true
        points = [[1, 60.0]]
    "#;

    #[test]
    fn a_table_is_a_chart_and_a_table() {
        let table = Table::parse(TABLE, false).unwrap();
        let svg = table.chart().document(Size { width: 720.0, height: 300.0 });
        assert!(svg.contains(">100k<") && svg.contains("class=\"whisker c0\""), "{svg}");
        let markdown = "| Connections | gate | a\\|b |\n|--:|--:|--:|\n| 1 | 65 µs | 60 µs |\n| 8 | 31.2 µs | – |\n\
                        | 100k | 25.1 µs | – |\n";
        assert_eq!(table.markdown(), markdown);
    }

    #[test]
    fn the_same_is_read_as_json() {
        let json = r#"{"title":"t","x":{"label":"x"},"y":{"label":"y"},"series":[{"name":"s","points":[[0,1]]}]}"#;
        assert!(Table::parse(json, true).is_ok());
        assert!(Table::parse(json, false).is_err());
    }

    #[test]
    fn mistakes_are_told_by_series() {
        let with = |from: &str, to: &str| Table::parse(&TABLE.replace(from, to), false).unwrap_err().to_string();
        assert!(with("[1, 65.0]", "[0, 65.0]").contains("series `gate` has an x that is not above zero"));
        assert!(with("[1, 65.0]", "[9, 65.0]").contains("series `gate` has points out of order"));
        assert!(with("[[1, 60.0]]", "[]").contains("series `a|b` has no points"));
        assert!(with("[1, 65.0]", "[1]").contains("points"));
        assert!(with("dashed", "dahsed").contains("unknown field `dahsed`"));
    }
}
