//! Medians and how far they can be trusted.

use serde::Serialize;

/// Samples drawn for an interval.
const RESAMPLES: usize = 2_000;
/// What lies outside of an interval on either side: 95 % of it is inside.
const TAIL: f64 = 0.025;
/// Where the draw begins: the same figures always give the same interval.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// A figure over all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure of all rounds together.
    pub value: f64,
    /// Its true value lies above this at 97.5 %.
    pub low: f64,
    /// And below this.
    pub high: f64,
}

/// The middle value; the mean of the middle two where their number is even. Nothing of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = if sorted.len().is_multiple_of(2) { sorted[sorted.len() / 2 - 1] } else { upper };
    Some(f64::midpoint(lower, upper))
}

/// The median with its interval.
pub(super) fn of(values: &[f64]) -> Option<Estimate> {
    bootstrap(values.len(), |rounds| median(&picked(values, rounds)))
}

/// The ratio of two medians with its interval. Values of one round belong together: what disturbed one of them likely
/// disturbed the other.
pub(super) fn ratio(of: &[f64], to: &[f64]) -> Option<Estimate> {
    if of.len() != to.len() {
        return None;
    }
    bootstrap(of.len(), |rounds| {
        let below = median(&picked(to, rounds)).filter(|&below| below > 0.0)?;
        Some(median(&picked(of, rounds))? / below)
    })
}

fn picked(values: &[f64], rounds: &[usize]) -> Vec<f64> {
    rounds.iter().map(|&round| values[round]).collect()
}

/// A figure of so many rounds: of all of them, and of samples drawn from them with replacement (percentile bootstrap).
fn bootstrap(rounds: usize, figure: impl Fn(&[usize]) -> Option<f64>) -> Option<Estimate> {
    let all: Vec<usize> = (0..rounds).collect();
    let value = figure(&all)?;
    let mut draw = Draw(SEED);
    let mut sample = all;
    let mut drawn: Vec<f64> = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        sample.iter_mut().for_each(|round| *round = draw.below(rounds));
        drawn.extend(figure(&sample));
    }
    drawn.sort_by(f64::total_cmp);
    let at = |share: f64| quantile(&drawn, share).unwrap_or(value);
    Some(Estimate { value, low: at(TAIL).min(value), high: at(1.0 - TAIL).max(value) })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index of a few thousand"
)]
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    sorted.get(((sorted.len().saturating_sub(1)) as f64 * share).round() as usize).copied()
}

/// xorshift64*: numbers that look random and are the same in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let random = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(random).unwrap_or(0) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_known_samples() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 4.0, 2.0]), Some(3.0));
        assert_eq!(median(&[-5.0, 100.0, f64::MAX]), Some(100.0));
    }

    #[test]
    fn an_interval_holds_the_median_and_narrows_with_agreement() {
        let same = of(&[7.0; 7]).unwrap();
        assert_eq!((same.low, same.value, same.high), (7.0, 7.0, 7.0));
        let spread = of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]).unwrap();
        // For seven ordered values the median's exact interval at 98 % is the second to the sixth and beyond.
        assert!((spread.value, spread.low >= 1.0, spread.high <= 7.0) == (4.0, true, true), "{spread:?}");
        assert!(spread.low <= 2.0 && spread.high >= 6.0, "{spread:?}");
        let one_wild = of(&[10.0, 10.1, 9.9, 10.0, 10.05, 9.95, 500.0]).unwrap();
        assert!(one_wild.value == 10.0 && one_wild.high < 11.0, "{one_wild:?}");
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn the_interval_covers_the_truth_about_as_often_as_it_says() {
        let mut draw = Draw(42);
        // Sums of twelve uniform draws: about normal around 6,000.
        let mut normal = || (0..12).map(|_| draw.below(1_000) as f64).sum::<f64>();
        let covers = |values: &[f64]| of(values).is_some_and(|e| e.low <= 6_000.0 && 6_000.0 <= e.high);
        let covered = (0..60).filter(|_| covers(&(0..15).map(|_| normal()).collect::<Vec<_>>())).count();
        assert!((51..=60).contains(&covered), "{covered} of 60");
    }

    #[test]
    fn ratios_pair_their_rounds() {
        // The second is always 1.2 times the first, however the machine's speed changes between rounds.
        let first = [10.0, 20.0, 15.0, 12.0, 18.0, 11.0, 19.0];
        let second = first.map(|value| value * 1.2);
        let ratio_of = ratio(&second, &first).unwrap();
        assert!((ratio_of.value - 1.2).abs() < 1e-9 && ratio_of.high - ratio_of.low < 1e-9, "{ratio_of:?}");
        assert_eq!(ratio(&[1.0], &[0.0]), None);
        assert_eq!(ratio(&[1.0, 2.0], &[1.0]), None);
    }

    #[test]
    fn the_same_figures_give_the_same_interval() {
        let values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0];
        assert_eq!(of(&values), of(&values));
    }
}
