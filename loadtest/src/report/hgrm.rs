//! `.hgrm`: the percentile table that the usual HdrHistogram plotters open, values in milliseconds.

use super::histogram;
use crate::failure::Failure;
use crate::outcome::Distribution;
use std::fmt::Write as _;

/// Steps in each half of the distance to 100 %.
const TICKS_PER_HALF_DISTANCE: u32 = 5;
/// Nanoseconds in the unit of the table.
const MILLISECOND: f64 = 1e6;

/// The whole file.
///
/// # Errors
/// The distribution carries no histogram.
pub fn text(distribution: &Distribution) -> Result<String, Failure> {
    let histogram = histogram(distribution)?;
    let mut out = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        // The last step is the greatest value at 100 %, for which plotters expect no fourth column.
        let at = step.quantile_iterated_to();
        let value = millis(step.value_iterated_to().min(histogram.max()));
        let count = histogram.count_between(0, step.value_iterated_to());
        let _ = write!(out, "{value:>12.6} {at:>2.12} {count:>10}");
        let _ = if at < 1.0 { writeln!(out, " {:>14.2}", 1.0 / (1.0 - at)) } else { writeln!(out) };
    }
    let (mean, deviation) = (histogram.mean() / MILLISECOND, histogram.stdev() / MILLISECOND);
    let _ = writeln!(out, "#[Mean    = {mean:>12.6}, StdDeviation   = {deviation:>12.6}]");
    let _ = writeln!(out, "#[Max     = {:>12.6}, Total count    = {:>12}]", millis(histogram.max()), histogram.len());
    let sub_buckets = (2 * 10u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    let _ = writeln!(out, "#[Buckets = {:>12}, SubBuckets     = {sub_buckets:>12}]", histogram.buckets());
    Ok(out)
}

#[allow(clippy::cast_precision_loss, reason = "three digits matter")]
fn millis(nanos: u64) -> f64 {
    nanos as f64 / MILLISECOND
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// Reads as the plotters do: lines of four numbers are points, what begins with `#` is a comment.
    fn points(text: &str) -> Vec<(f64, f64)> {
        let numbers = |line: &str| line.split_whitespace().map(|word| word.parse().ok()).collect::<Option<Vec<f64>>>();
        let rows = text.lines().filter(|line| !line.starts_with('#')).filter_map(numbers);
        rows.filter(|row| row.len() == 4).map(|row| (row[3], row[0])).collect()
    }

    #[test]
    fn plotters_find_a_rising_line_in_milliseconds() {
        let latency = sample::good().latency;
        let points = points(&text(&latency).unwrap());
        assert!(points.len() > 20, "{}", points.len());
        assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1), "{points:?}");
        let median = points.iter().find(|(x, _)| *x >= 2.0).unwrap().1;
        assert!((median * 1e3 - units(latency.p50_us)).abs() / units(latency.p50_us) < 0.01, "{median}");
    }

    #[allow(clippy::cast_precision_loss)]
    fn units(number: u64) -> f64 {
        number as f64
    }

    #[test]
    fn the_file_is_as_other_tools_write_it() {
        let small = sample::distribution(&[60_000, 70_000, 80_000, 2_000_000]);
        sample::assert_fixture("small.hgrm", &text(&small).unwrap());
    }

    #[test]
    fn an_empty_histogram_is_an_empty_table_and_a_cut_one_an_error() {
        assert!(text(&sample::distribution(&[])).unwrap().contains("Total count    =            0"));
        let failure = text(&Distribution { hdr: "HISTk".to_owned(), ..Distribution::default() }).unwrap_err();
        assert!(failure.to_string().starts_with("the histogram in the file cannot be read"), "{failure}");
    }
}
