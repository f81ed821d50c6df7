//! Randomness: the kernel's, or the simulation's seed.

use super::{mode, sys};

/// Fills `into` with random bytes fit for keys; inside a simulation, with bytes that follow from its seed.
///
/// # Panics
/// Where `getrandom(2)` is missing or forbidden: nothing secret can be made then.
pub fn fill(into: &mut [u8]) {
    if mode::is_sim() {
        return super::sim::fill_random(into);
    }
    crate::invariant!(sys::getrandom(into), "getrandom(2) is there since Linux 3.17 and never fails on valid memory");
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_draws_differ() {
        let mut draws = [[0u8; 32]; 2];
        draws.iter_mut().for_each(|draw| super::fill(draw));
        assert_ne!(draws[0], draws[1]);
        assert_ne!(draws[0], [0; 32]);
        super::fill(&mut []);
    }
}
