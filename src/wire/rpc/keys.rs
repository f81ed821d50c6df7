//! The keys of all objects that are open during one pass, and the answer whether an object holds one twice.
//!
//! Small objects, which is nearly all, are compared pair by pair on a 64-bit print; larger ones are sorted, so that no
//! choice of keys makes the check slower than n log n. Keys are looked at only where prints are equal.

use super::text;
use smallvec::SmallVec;
use std::borrow::Cow;

/// Objects up to this many keys are compared pair by pair.
const PAIRWISE_MAX: usize = 16;
/// Keys held without allocating, over all open objects.
const INLINE: usize = 48;

/// A key of an accepted text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// As it stands between its quotes.
    pub(super) inside: &'a [u8],
    /// Whether that has an escape.
    pub(super) escaped: bool,
}

impl<'a> Name<'a> {
    /// The key that stands like this between its quotes.
    pub(super) fn new(inside: &'a [u8]) -> Self {
        Self { inside, escaped: text::has_escape(inside) }
    }

    /// Whether it is this text, escapes read.
    #[inline]
    pub fn is(&self, text: &[u8]) -> bool {
        if self.escaped { self.reads(text) } else { self.inside == text }
    }

    #[cold]
    fn reads(&self, text: &[u8]) -> bool {
        *self.text() == *text
    }

    /// Its text, escapes read.
    #[inline]
    pub fn text(&self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.inside);
        }
        Cow::Owned(text::unescape(self.inside).unwrap_or_default().into_owned().into_bytes())
    }
}

/// A key with its print.
#[derive(Clone, Copy)]
struct Key<'a> {
    print: u64,
    inside: &'a [u8],
}

impl<'a> Key<'a> {
    #[inline]
    fn new(name: Name<'a>) -> Self {
        let print = if name.escaped { print(&name.text()) } else { print(name.inside) };
        Self { print, inside: name.inside }
    }

    #[inline]
    fn same(&self, other: &Self) -> bool {
        self.print == other.print && read(self.inside) == read(other.inside)
    }
}

/// A key without its escapes.
#[cold]
fn read(inside: &[u8]) -> Cow<'_, str> {
    crate::invariant!(text::unescape(inside), "the pass accepts a key before it is kept")
}

/// A stack of the keys of the objects that are open, innermost last.
#[derive(Default)]
pub(super) struct Keys<'a> {
    stack: SmallVec<[Key<'a>; INLINE]>,
}

impl<'a> Keys<'a> {
    /// Where the next object's keys begin.
    #[inline]
    pub(super) fn open(&self) -> usize {
        self.stack.len()
    }

    /// Adds an accepted key to the innermost object.
    #[inline]
    pub(super) fn push(&mut self, name: Name<'a>) {
        self.stack.push(Key::new(name));
    }

    /// Keys in the object that began at `base`.
    #[inline]
    pub(super) fn count(&self, base: usize) -> usize {
        self.stack.len() - base
    }

    /// Ends the object that began at `base`; whether all its keys differ.
    #[inline]
    pub(super) fn close(&mut self, base: usize) -> bool {
        let keys = &mut self.stack[base..];
        let distinct = match keys.len() {
            0 | 1 => true,
            2..=PAIRWISE_MAX => pairwise_distinct(keys),
            _ => sorted_distinct(keys),
        };
        self.stack.truncate(base);
        distinct
    }
}

fn pairwise_distinct(keys: &[Key<'_>]) -> bool {
    keys.iter().enumerate().all(|(at, key)| !keys[..at].iter().any(|earlier| earlier.same(key)))
}

fn sorted_distinct(keys: &mut [Key<'_>]) -> bool {
    keys.sort_unstable_by(|a, b| a.print.cmp(&b.print).then_with(|| read(a.inside).cmp(&read(b.inside))));
    keys.windows(2).all(|pair| !pair[0].same(&pair[1]))
}

/// Length, first and last bytes folded into one word; equal texts give equal prints.
#[inline]
fn print(text: &[u8]) -> u64 {
    let (head, tail) = match (text.first_chunk(), text.last_chunk()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => (short(text), 0),
    };
    head ^ tail.rotate_left(23) ^ (text.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Up to seven bytes as one word.
#[inline]
fn short(text: &[u8]) -> u64 {
    match (text.first_chunk(), text.last_chunk()) {
        (Some(head), Some(tail)) => u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*tail)) << 32,
        _ => text.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distinct(texts: &[String]) -> bool {
        let mut keys = Keys::default();
        keys.push(Name::new(b"outer"));
        let base = keys.open();
        for text in texts {
            keys.push(Name::new(text.as_bytes()));
        }
        assert_eq!(keys.count(base), texts.len());
        let answer = keys.close(base);
        assert_eq!(keys.count(0), 1, "an inner object leaves the outer one's keys");
        answer
    }

    #[test]
    fn a_key_that_comes_twice_is_found_in_small_and_large_objects() {
        for count in [2, PAIRWISE_MAX, PAIRWISE_MAX + 1, 1000] {
            let mut texts: Vec<_> = (0..count).map(|n| format!("shared-prefix-{n:06}-shared-suffix")).collect();
            assert!(distinct(&texts), "{count}");
            texts[count - 1] = texts[0].replace("shared", r"sh\u0061red");
            assert!(!distinct(&texts), "{count}");
        }
    }

    #[test]
    fn a_key_is_what_its_escapes_say() {
        assert!(Name::new(b"_meta").is(b"_meta") && Name::new(br"_m\u0065ta").is(b"_meta"));
        assert!(!Name::new(b"_Meta").is(b"_meta") && !Name::new(br"_m\u0045ta").is(b"_meta"));
        assert!(!Name::new(br"a\u0062").is(br"a\u0062"), "an escape is not what it looks like");
    }

    #[test]
    fn short_keys_of_every_length_are_told_apart() {
        let texts: Vec<_> = (0..20).map(|len| "abcdefghijklmnopqrst"[..len].to_owned()).collect();
        assert!(distinct(&texts) && distinct(&texts[..PAIRWISE_MAX]));
        let prints: std::collections::HashSet<_> = texts.iter().map(|text| print(text.as_bytes())).collect();
        assert_eq!(prints.len(), texts.len());
    }

    #[test]
    fn equal_prints_of_different_keys_are_not_a_duplicate() {
        let colliding = |n: usize| format!("aaaaaaaa{n:04}bbbbbbbb");
        assert_eq!(print(colliding(1).as_bytes()), print(colliding(2).as_bytes()));
        for count in [2, 1000] {
            let mut texts: Vec<_> = (0..count).map(colliding).collect();
            assert!(distinct(&texts));
            texts.push(colliding(0));
            assert!(!distinct(&texts));
        }
    }
}
