//! Line charts as SVG, drawn here so that a report needs no script and no network.
//!
//! A chart is readable without colour: every line has its own mark and its name at its end (or in a legend where the
//! names are long), and a reference line is dashed. Colours are Okabe and Ito's, which colour-blind readers can tell
//! apart, and follow the reader's light or dark theme.

mod draw;
mod layout;
mod scale;
mod style;
mod table;

pub use scale::{Reading, Scale};
pub use style::CSS;
pub use table::Table;

/// A chart before it has a size.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// Unique among the charts of one page: `a-z`, `0-9` and `-`.
    pub id: String,
    /// What it shows, in a few words.
    pub title: String,
    /// What it says, for readers who do not see it.
    pub description: String,
    /// From left to right.
    pub x: Axis,
    /// From below to above.
    pub y: Axis,
    /// The lines; more than [`HUES`] of them share colours and marks.
    pub series: Vec<Series>,
}

/// Lines that can be told apart.
pub const HUES: usize = style::HUES;

/// One axis.
#[derive(Clone, Debug, Default)]
pub struct Axis {
    /// What it counts.
    pub label: String,
    /// How numbers become lengths.
    pub scale: Scale,
    /// How numbers are written.
    pub reading: Reading,
    /// Where it begins; nothing: zero on a linear vertical axis, else the least value.
    pub from: Option<f64>,
    /// Where it ends; nothing: the greatest value.
    pub to: Option<f64>,
}

/// One line.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Colour and mark, below [`HUES`].
    pub hue: usize,
    /// Drawn as a reference to the others.
    pub dashed: bool,
    /// From left to right. A value that its axis cannot show (not finite, or not above zero on a log scale) is a gap.
    pub points: Vec<Point>,
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Where.
    pub x: f64,
    /// How much.
    pub y: f64,
    /// From where to where it may as well be, drawn as a whisker.
    pub spread: Option<(f64, f64)>,
}

impl Point {
    /// A value without a spread.
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, spread: None }
    }
}

/// How large a chart is drawn, in CSS pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// At least 240.
    pub width: f64,
    /// At least 120.
    pub height: f64,
}

impl Chart {
    /// The chart as an `<svg>` element for a page that carries [`CSS`]. `suffix` makes its ids unique where one chart
    /// is drawn twice.
    pub fn element(&self, size: Size, suffix: &str) -> String {
        draw::svg(self, size, &draw::Frame::Element { suffix })
    }

    /// The chart as a file of its own, with its title and its own colours.
    pub fn document(&self, size: Size) -> String {
        draw::svg(self, size, &draw::Frame::Document)
    }

    /// Whether any value can be shown.
    pub fn is_empty(&self) -> bool {
        !self.series.iter().flat_map(|series| &series.points).any(|point| point.y.is_finite())
    }
}

#[cfg(test)]
mod tests;
