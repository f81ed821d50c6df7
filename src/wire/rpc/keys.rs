//! The keys of all objects that are open during one pass, and the answer whether an object holds one twice.
//!
//! Small objects, which is nearly all, are compared pair by pair on a 64-bit print; larger ones are sorted, so that no
//! choice of keys makes the check slower than n log n.

use smallvec::SmallVec;
use std::borrow::Cow;
use std::cmp::Ordering;

/// Objects up to this many keys are compared pair by pair.
const PAIRWISE_MAX: usize = 16;
/// Keys held without allocating, over all open objects.
const INLINE: usize = 24;

struct Key<'a> {
    print: u64,
    text: Cow<'a, [u8]>,
}

impl Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.print.cmp(&other.print).then_with(|| self.text.cmp(&other.text))
    }

    fn same(&self, other: &Self) -> bool {
        self.print == other.print && self.text == other.text
    }
}

/// A stack of the keys of the objects that are open, innermost last.
#[derive(Default)]
pub(super) struct Keys<'a> {
    stack: SmallVec<[Key<'a>; INLINE]>,
}

impl<'a> Keys<'a> {
    /// Where the next object's keys begin.
    pub(super) fn open(&self) -> usize {
        self.stack.len()
    }

    /// Adds a key (unescaped) to the innermost object.
    pub(super) fn push(&mut self, text: Cow<'a, [u8]>) {
        self.stack.push(Key { print: print(&text), text });
    }

    /// The key added last, as it reads without escapes.
    pub(super) fn last(&self) -> &[u8] {
        self.stack.last().map_or(b"", |key| &key.text)
    }

    /// Keys in the object that began at `base`.
    pub(super) fn count(&self, base: usize) -> usize {
        self.stack.len() - base
    }

    /// Ends the object that began at `base`; whether all its keys differ.
    pub(super) fn close(&mut self, base: usize) -> bool {
        let keys = &mut self.stack[base..];
        let distinct = if keys.len() <= PAIRWISE_MAX { pairwise_distinct(keys) } else { sorted_distinct(keys) };
        self.stack.truncate(base);
        distinct
    }
}

fn pairwise_distinct(keys: &[Key<'_>]) -> bool {
    keys.iter().enumerate().all(|(at, key)| !keys[..at].iter().any(|earlier| earlier.same(key)))
}

fn sorted_distinct(keys: &mut [Key<'_>]) -> bool {
    keys.sort_unstable_by(Key::cmp);
    keys.windows(2).all(|pair| !pair[0].same(&pair[1]))
}

/// Length, first and last bytes folded into one word; equal texts give equal prints.
fn print(text: &[u8]) -> u64 {
    let head = word(&text[..text.len().min(8)]);
    let tail = word(&text[text.len().saturating_sub(8)..]);
    head ^ tail.rotate_left(23) ^ (text.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distinct(texts: &[String]) -> bool {
        let mut keys = Keys::default();
        keys.push(Cow::Borrowed(b"outer"));
        let base = keys.open();
        for text in texts {
            keys.push(Cow::Borrowed(text.as_bytes()));
        }
        let answer = keys.close(base);
        assert_eq!(keys.last(), b"outer", "an inner object leaves the outer one's keys");
        answer
    }

    #[test]
    fn a_key_that_comes_twice_is_found_in_small_and_large_objects() {
        for count in [2, PAIRWISE_MAX, PAIRWISE_MAX + 1, 1000] {
            let mut texts: Vec<_> = (0..count).map(|n| format!("shared-prefix-{n:06}-shared-suffix")).collect();
            assert!(distinct(&texts), "{count}");
            texts[count - 1] = texts[0].clone();
            assert!(!distinct(&texts), "{count}");
        }
    }

    #[test]
    fn equal_prints_of_different_keys_are_not_a_duplicate() {
        let texts = ["aaaaaaaaXbbbbbbbb".to_owned(), "aaaaaaaaYbbbbbbbb".to_owned()];
        assert_eq!(print(texts[0].as_bytes()), print(texts[1].as_bytes()));
        assert!(distinct(&texts));
    }
}
