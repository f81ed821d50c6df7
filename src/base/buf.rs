//! Pooled byte buffers of one thread: taken empty, given back, never grown without bound.

use std::cell::RefCell;

/// Buffers kept by one thread; more are freed.
const POOLED_MAX: usize = 256;
/// A buffer that grew beyond this is freed instead of kept, in bytes.
const POOLED_CAPACITY_MAX: usize = 64 * 1024;
/// Room a fresh buffer starts with, in bytes: a head and a small body.
const FRESH_CAPACITY: usize = 4 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with some room, from this thread's pool.
pub fn take() -> Vec<u8> {
    let pooled = POOL.with_borrow_mut(Vec::pop);
    pooled.unwrap_or_else(|| Vec::with_capacity(FRESH_CAPACITY))
}

/// Gives a buffer back to this thread's pool, emptied.
pub fn give(mut buf: Vec<u8>) {
    let keep = buf.capacity() >= FRESH_CAPACITY && buf.capacity() <= POOLED_CAPACITY_MAX;
    if !keep {
        return;
    }
    buf.clear();
    POOL.with_borrow_mut(|pool| {
        if pool.len() < POOLED_MAX {
            pool.push(buf);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_a_big_one_does_not() {
        let mut buf = take();
        buf.extend_from_slice(b"x");
        let place = buf.as_ptr();
        give(buf);
        let again = take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        give(Vec::with_capacity(POOLED_CAPACITY_MAX * 2));
        assert!(take().capacity() <= POOLED_CAPACITY_MAX);
    }
}
