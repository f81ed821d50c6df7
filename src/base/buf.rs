//! Pooled byte buffers of one thread: taken empty, given back, never grown without bound. A [`Piece`] is one that
//! several look at.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;

/// Buffers kept by one thread; more are freed.
const POOLED_MAX: usize = 256;
/// A buffer that grew beyond this is freed instead of kept, in bytes.
const POOLED_CAPACITY_MAX: usize = 64 * 1024;
/// Room a fresh buffer starts with, in bytes: a head and a small body.
const FRESH_CAPACITY: usize = 4 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    /// Counts without a buffer, for the next pieces.
    static COUNTS: RefCell<Vec<Arc<Vec<u8>>>> = const { RefCell::new(Vec::new()) };
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

/// A part of a buffer that is read by several, on any thread. Making one, taking parts of it and dropping it cost no
/// allocation once the thread is warm: buffer and count go back to the pool of the thread that drops the last part.
#[derive(Clone, Default)]
pub struct Piece {
    /// Nothing where the piece is empty.
    whole: Option<Arc<Vec<u8>>>,
    start: usize,
    end: usize,
}

impl Piece {
    /// The part of this piece that `part` borrows from it; a part of anything else is copied.
    pub fn part(&self, part: &[u8]) -> Self {
        let offset = (part.as_ptr() as usize).wrapping_sub(self.as_ptr() as usize);
        if part.is_empty() {
            return Self::default();
        }
        if offset.checked_add(part.len()).is_none_or(|end| end > self.len()) {
            return part.into();
        }
        let start = self.start + offset;
        Self { whole: self.whole.clone(), start, end: start + part.len() }
    }

    /// Takes the first `len` bytes off, or all there are.
    pub fn split_to(&mut self, len: usize) -> Self {
        let middle = self.end.min(self.start.saturating_add(len));
        let front = Self { whole: self.whole.clone(), start: self.start, end: middle };
        self.start = middle;
        front
    }
}

impl From<Vec<u8>> for Piece {
    fn from(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        let mut whole = COUNTS.with_borrow_mut(Vec::pop).unwrap_or_default();
        match Arc::get_mut(&mut whole) {
            Some(empty) => *empty = bytes,
            None => whole = Arc::new(bytes),
        }
        Self { whole: Some(whole), start: 0, end }
    }
}

impl From<&[u8]> for Piece {
    fn from(bytes: &[u8]) -> Self {
        let mut copy = take();
        copy.extend_from_slice(bytes);
        copy.into()
    }
}

impl From<&str> for Piece {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let Some(mut whole) = self.whole.take() else { return };
        let Some(bytes) = Arc::get_mut(&mut whole) else { return };
        give(mem::take(bytes));
        COUNTS.with_borrow_mut(|counts| {
            if counts.len() < POOLED_MAX {
                counts.push(whole);
            }
        });
    }
}

impl Deref for Piece {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.whole.as_ref().map_or(&[], |whole| &whole[self.start..self.end])
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Piece {}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_piece_share_it_and_the_last_gives_it_back() {
        let mut buf = take();
        buf.extend_from_slice(b"one two");
        let place = buf.as_ptr();
        let mut whole = Piece::from(buf);
        let two = whole.part(&whole[4..]);
        assert_eq!((&two[..], two.as_ptr()), (&b"two"[..], place.wrapping_add(4)));
        let front = whole.split_to(3);
        assert_eq!(
            (&front[..], &whole[..], &whole.clone().split_to(99)[..]),
            (&b"one"[..], &b" two"[..], &b" two"[..])
        );
        assert_eq!((&whole.part(b"else")[..], whole.part(&two)), (&b"else"[..], two.clone()));
        drop((whole, front));
        assert_eq!(&two[..], b"two");
        let counted = two.whole.as_ref().map(Arc::as_ptr);
        drop(two);
        let buf = take();
        assert_eq!((buf.as_ptr(), buf.len()), (place, 0));
        assert_eq!(Piece::from(buf).whole.as_ref().map(Arc::as_ptr), counted);
        assert_eq!((Piece::default().part(b""), &Piece::from("")[..]), (Piece::default(), &b""[..]));
    }

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
