//! The members of one object, noted as the pass comes by them: places in the body, so that a message stays small.

use super::keys::Name;
use smallvec::SmallVec;
use std::fmt;

/// Members noted without allocating.
const INLINE: usize = 6;

/// The members of one object, in order.
#[derive(Clone)]
pub struct Members<'a> {
    text: &'a [u8],
    noted: SmallVec<[Noted; INLINE]>,
}

/// Where a member stands in the text: what is between the key's quotes, and the value.
#[derive(Clone, Copy)]
struct Noted {
    key: Place,
    value: Place,
    escaped: bool,
}

/// Start and length.
type Place = [u32; 2];

/// Whether every place of a text can be noted.
pub(super) fn can_note(text: &[u8]) -> bool {
    u32::try_from(text.len()).is_ok()
}

impl<'a> Members<'a> {
    /// None yet, of an object in `text`.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, noted: SmallVec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.noted.clear();
    }

    /// Adds a member whose key and value are parts of the text.
    #[inline]
    pub(super) fn note(&mut self, name: Name<'a>, value: &'a [u8]) {
        let (key, value) = (self.place(name.inside), self.place(value));
        self.noted.push(Noted { key, value, escaped: name.escaped });
    }

    /// Each key with its raw value.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (Name<'a>, &'a [u8])> + '_ {
        self.noted.iter().map(|noted| {
            let name = Name { inside: self.part(noted.key), escaped: noted.escaped };
            (name, self.part(noted.value))
        })
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "`parse` refuses a text whose places do not fit")]
    fn place(&self, part: &[u8]) -> Place {
        [part.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr()) as u32, part.len() as u32]
    }

    #[inline]
    fn part(&self, [start, len]: Place) -> &'a [u8] {
        &self.text[start as usize..][..len as usize]
    }
}

impl PartialEq for Members<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Members<'_> {}

impl fmt::Debug for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_comes_back_in_order() {
        let text = br#"{"a":1,"b\u0063":{}}"#;
        let mut members = Members::new(text);
        members.note(Name::new(&text[2..3]), &text[5..6]);
        members.note(Name::new(&text[8..15]), &text[17..19]);
        let read: Vec<_> = members.iter().map(|(name, value)| (name.text().into_owned(), value)).collect();
        assert_eq!(read, [(b"a".to_vec(), &b"1"[..]), (b"bc".to_vec(), b"{}")]);
        members.clear();
        assert_eq!(members, Members::new(b""));
    }
}
