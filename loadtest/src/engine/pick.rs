//! Which request comes next: by the scenario's weights, the same sequence in every run.

use crate::scenario::{Mix, Tools};

/// A small generator (xorshift64*): the same numbers in every run of one seed.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// The generator of the n-th thread.
    pub(super) fn new(n: usize) -> Self {
        Self(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(n as u64 + 1) | 1)
    }

    /// A number from 0 on, below `bound`, which must not be 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let wide = u128::from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)) * u128::from(bound);
        (wide >> 64) as u64
    }

    /// A number from 0 on, below 1.
    #[allow(clippy::cast_precision_loss, reason = "52 bits are kept")]
    fn unit(&mut self) -> f64 {
        self.below(1 << 52) as f64 / (1_u64 << 52) as f64
    }
}

/// The requests to choose from, by their numbers among the prepared ones.
#[derive(Clone, Debug)]
pub(super) struct Picks {
    mix: Mix,
    list: usize,
    calls: Vec<usize>,
    /// Of a Zipf pick: the share of the first n calls together, ascending to 1.
    shares: Vec<f64>,
}

impl Picks {
    /// `calls` must not be empty where the mix has calls.
    pub(super) fn new(mix: Mix, tools: &Tools, list: usize, calls: Vec<usize>) -> Self {
        let shares = match tools {
            Tools::Zipf(exponent) => shares(calls.len(), *exponent),
            Tools::One(_) | Tools::RoundRobin => Vec::new(),
        };
        Self { mix, list, calls, shares }
    }

    /// The next request of a thread; `turn` counts its calls.
    pub(super) fn next(&self, dice: &mut Dice, turn: &mut usize) -> usize {
        let weights = u64::from(self.mix.list) + u64::from(self.mix.call);
        let is_list = self.calls.is_empty()
            || self.mix.list > 0 && (self.mix.call == 0 || dice.below(weights) < u64::from(self.mix.list));
        if is_list {
            return self.list;
        }
        if self.calls.len() == 1 {
            return self.calls[0];
        }
        let at = if self.shares.is_empty() {
            *turn = (*turn + 1) % self.calls.len();
            *turn
        } else {
            let unit = dice.unit();
            self.shares.partition_point(|share| *share <= unit)
        };
        self.calls[at.min(self.calls.len() - 1)]
    }
}

fn shares(count: usize, exponent: f64) -> Vec<f64> {
    let weights = (1..=u32::try_from(count).unwrap_or(u32::MAX)).map(|n| f64::from(n).powf(-exponent));
    let mut sum = 0.0;
    let sums: Vec<f64> = weights
        .map(|weight| {
            sum += weight;
            sum
        })
        .collect();
    sums.into_iter().map(|part| part / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(picks: &Picks, of: usize) -> Vec<usize> {
        let (mut dice, mut turn, mut counts) = (Dice::new(0), 0, vec![0; of]);
        (0..10_000).for_each(|_| counts[picks.next(&mut dice, &mut turn)] += 1);
        counts
    }

    #[test]
    fn weights_and_turns_are_kept() {
        let picks = Picks::new(Mix { list: 1, call: 9 }, &Tools::RoundRobin, 0, vec![1, 2, 3]);
        let counts = counts(&picks, 4);
        assert!(counts[0].abs_diff(1000) < 150, "{counts:?}");
        assert!(counts[1].abs_diff(counts[3]) <= 1, "{counts:?}");
    }

    #[test]
    fn zipf_halves_and_thirds() {
        let picks = Picks::new(Mix { list: 0, call: 1 }, &Tools::Zipf(1.0), 0, (1..=100).collect());
        let counts = counts(&picks, 101);
        assert_eq!(counts[0], 0);
        assert!(counts[1].abs_diff(2 * counts[2]) < 300 && counts[1].abs_diff(3 * counts[3]) < 400, "{counts:?}");
        assert!(counts[100] > 0);
    }
}
