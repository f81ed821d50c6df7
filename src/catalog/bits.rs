//! Sets of small numbers.

/// A set of small numbers. Those beyond its room are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Bits(Box<[u64]>);

impl Bits {
    pub(super) fn with_room(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)].into())
    }

    pub(super) fn set(&mut self, bit: usize) {
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    pub(super) fn has(&self, bit: usize) -> bool {
        self.0.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Takes in another set of the same room.
    pub(super) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, more)| *own |= more);
    }

    /// Takes out what another set of the same room has.
    pub(super) fn take(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, gone)| *own &= !gone);
    }

    /// Keeps what another set of the same room has too.
    pub(super) fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, both)| *own &= both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in() {
        let mut bits = Bits::with_room(70);
        bits.set(69);
        let mut other = Bits::with_room(70);
        other.set(0);
        other.add(&bits);
        assert_eq!(
            (other.has(69), other.has(0), other.has(1), other.has(7000), other.count()),
            (true, true, false, false, 2)
        );
        assert!(!Bits::default().has(0));
        other.keep(&bits);
        assert_eq!((other.has(69), other.has(0)), (true, false));
        other.take(&bits);
        assert_eq!(other.count(), 0);
    }
}
