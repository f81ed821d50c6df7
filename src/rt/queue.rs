//! A bounded lock-free queue: many producers on any thread, one consumer (Vyukov's bounded queue).
#![allow(unsafe_code, reason = "slots are handed from producer to consumer by their sequence numbers")]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One place in the ring. `turn` says whose turn it is: `position` → a producer may fill it, `position + 1` → the
/// consumer may empty it, `position + capacity` → the producer of the next round.
struct Slot<T> {
    turn: AtomicUsize,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// The queue. Pops must come from one thread at a time; [`super::mailbox`] sees to it.
pub(super) struct Queue<T> {
    slots: Box<[Slot<T>]>,
    tail: Padded,
    head: Padded,
}

/// Keeps producers' and consumer's positions on cache lines of their own.
#[repr(align(128))]
struct Padded(AtomicUsize);

// SAFETY: a value moves from one thread to another whole, through a slot whose turn was published with Release and
// read with Acquire; nothing is shared beyond that, so `T: Send` suffices.
unsafe impl<T: Send> Send for Queue<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Queue<T> {}

impl<T> Queue<T> {
    /// A queue of `cap` places, rounded up to a power of two and at least two.
    pub(super) fn new(cap: usize) -> Self {
        let cap = cap.max(2).next_power_of_two();
        let slot = |at| Slot { turn: AtomicUsize::new(at), value: UnsafeCell::new(MaybeUninit::uninit()) };
        Self { slots: (0..cap).map(slot).collect(), tail: Padded(0.into()), head: Padded(0.into()) }
    }

    fn slot(&self, position: usize) -> &Slot<T> {
        &self.slots[position & (self.slots.len() - 1)]
    }

    /// Puts a value in; it comes back if there is no room.
    pub(super) fn push(&self, value: T) -> Result<(), T> {
        let mut position = self.tail.0.load(Ordering::Relaxed);
        loop {
            let slot = self.slot(position);
            let turn = slot.turn.load(Ordering::Acquire);
            // Wrapping distance, read as signed: below zero means the consumer has not emptied this slot yet.
            let ahead = turn.wrapping_sub(position).cast_signed();
            if ahead < 0 {
                return Err(value);
            }
            if ahead > 0 {
                position = self.tail.0.load(Ordering::Relaxed);
                continue;
            }
            let next = position.wrapping_add(1);
            match self.tail.0.compare_exchange_weak(position, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    // SAFETY: the exchange gave this position to this producer alone, and `turn` said the slot is
                    // empty; nobody else touches it until the store below.
                    unsafe { (*slot.value.get()).write(value) };
                    slot.turn.store(next, Ordering::Release);
                    return Ok(());
                }
                Err(now) => position = now,
            }
        }
    }

    /// Whether a value can be popped now.
    pub(super) fn has_next(&self) -> bool {
        let position = self.head.0.load(Ordering::Relaxed);
        self.slot(position).turn.load(Ordering::Acquire) == position.wrapping_add(1)
    }

    /// Takes the oldest value whose producer has finished.
    ///
    /// # Safety
    /// No other thread pops at the same time.
    pub(super) unsafe fn pop(&self) -> Option<T> {
        let position = self.head.0.load(Ordering::Relaxed);
        let slot = self.slot(position);
        if slot.turn.load(Ordering::Acquire) != position.wrapping_add(1) {
            return None;
        }
        // SAFETY: `turn` says a producer filled the slot, and the caller vouches that nobody else empties it.
        let value = unsafe { (*slot.value.get()).assume_init_read() };
        slot.turn.store(position.wrapping_add(self.slots.len()), Ordering::Release);
        self.head.0.store(position.wrapping_add(1), Ordering::Relaxed);
        Some(value)
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        // SAFETY: `&mut self` proves that no other thread is here.
        while unsafe { self.pop() }.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn order_and_bound_hold_over_many_rounds() {
        let queue = Queue::new(4);
        for round in 0..100 {
            for n in 0..4 {
                queue.push(round * 4 + n).unwrap();
            }
            assert_eq!(queue.push(0), Err(0));
            for n in 0..4 {
                // SAFETY: one thread.
                assert_eq!(unsafe { queue.pop() }, Some(round * 4 + n));
            }
            // SAFETY: one thread.
            assert_eq!(unsafe { queue.pop() }, None);
        }
    }

    #[test]
    fn values_left_behind_are_dropped() {
        let value = Arc::new(());
        let queue = Queue::new(3);
        for _ in 0..3 {
            queue.push(value.clone()).unwrap();
        }
        drop(queue);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn many_producers_lose_and_double_nothing() {
        const EACH: u64 = 20_000;
        let queue = Arc::new(Queue::new(8));
        let producer = |id: u64| {
            let queue = queue.clone();
            std::thread::spawn(move || {
                for n in 0..EACH {
                    let mut value = id * EACH + n;
                    while let Err(back) = queue.push(value) {
                        value = back;
                        std::thread::yield_now();
                    }
                }
            })
        };
        let producers = [0, 1, 2].map(producer);
        let mut last = [None; 3];
        let mut got = 0;
        while got < 3 * EACH {
            // SAFETY: only this thread pops.
            let Some(value) = (unsafe { queue.pop() }) else {
                std::thread::yield_now();
                continue;
            };
            let (id, n) = (usize::try_from(value / EACH).unwrap(), value % EACH);
            assert_eq!(n, last[id].map_or(0, |last: u64| last + 1), "each producer's order is kept");
            last[id] = Some(n);
            got += 1;
        }
        producers.into_iter().for_each(|p| p.join().unwrap());
    }
}
