//! `tollgate-load plot`: a table of series as a line chart and as a table in Markdown, so that both say the same.

use crate::failure::Failure;
use crate::plot::{Size, Table};
use crate::report::file;
use clap::Args;
use std::path::PathBuf;

/// Draws a line chart of a file of series.
#[derive(Debug, Args)]
pub struct PlotArgs {
    /// The series, as TOML or (`.json`) JSON
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write the chart here as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print the series as a Markdown table
    #[arg(long)]
    table: bool,
    /// Width in CSS pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 760, value_parser = range(240))]
    width: u16,
    /// Height in CSS pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 340, value_parser = range(160))]
    height: u16,
}

fn range(least: i64) -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(least..=4000)
}

/// Runs the command.
///
/// # Errors
/// The file is no table of series, nothing is asked for, or the chart cannot be written.
pub(super) fn run(args: &PlotArgs) -> Result<(), Failure> {
    if args.svg.is_none() && !args.table {
        return Err(Failure::usage("nothing to do: give --svg FILE for the chart, --table for the table, or both"));
    }
    let table = Table::read(&args.file)?;
    if let Some(path) = &args.svg {
        let size = Size { width: f64::from(args.width), height: f64::from(args.height) };
        file::save(path, &format!("{}\n", table.chart().document(size)))?;
    }
    if args.table {
        print!("{}", table.markdown());
    }
    Ok(())
}
