//! Randomness: the kernel's, or the simulation's seed.

use super::{mode, sys};
use std::cell::RefCell;

/// Random bytes a thread draws from the kernel at once, for [`label`].
const STOCK_BYTES: usize = 1024;

thread_local! {
    static STOCK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

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

/// A random label such as a trace id: unlike any other, but no secret. Drawn from a stock that each thread keeps, so
/// that a call need not ask the kernel. Never make keys, tokens or nonces of it: the stock lies in memory before it is
/// used.
///
/// # Panics
/// As [`fill`].
pub fn label<const N: usize>() -> [u8; N] {
    const { assert!(N <= STOCK_BYTES) };
    let mut label = [0; N];
    if mode::is_sim() {
        fill(&mut label);
        return label;
    }
    STOCK.with_borrow_mut(|stock| {
        if stock.len() < N {
            stock.resize(STOCK_BYTES, 0);
            fill(stock);
        }
        label.copy_from_slice(&stock[stock.len() - N..]);
        stock.truncate(stock.len() - N);
    });
    label
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_label_comes_twice() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..4 * super::STOCK_BYTES / 24 {
            assert!(seen.insert(super::label::<24>()), "across refills of the stock");
        }
        assert!(!seen.contains(&[0; 24]));
    }

    #[test]
    fn two_draws_differ() {
        let mut draws = [[0u8; 32]; 2];
        draws.iter_mut().for_each(|draw| super::fill(draw));
        assert_ne!(draws[0], draws[1]);
        assert_ne!(draws[0], [0; 32]);
        super::fill(&mut []);
    }
}
