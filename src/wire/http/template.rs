//! A parsed head as the pattern of the next: a peer sends nearly the same one with each message of a connection.
//!
//! The template is the head's own text with holes where a value changes from message to message. A head that says the
//! same in between, and in each hole what the parser takes as a value and nothing else could be read from, is known
//! without being parsed. Whatever does not fit is for the parser to judge: this never refuses, and never accepts what
//! the parser would not.

use crate::base::buf;
use crate::wire::http::fields::{Fields, Line, Span};
use crate::wire::http::framing::plain_number;
use crate::wire::http::names::Header;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use smallvec::SmallVec;
use std::mem;
use std::str;

/// A head is kept as a template up to this size, in bytes: an idle connection must stay small.
pub(crate) const TEMPLATE_MAX: usize = 2 * 1024;

/// What may stand in a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filling {
    /// A plain decimal number, which is the body's length.
    Length,
    /// Printable ASCII.
    Text,
    /// What stood there before, and that compared in constant time: another client's guess may come down the same
    /// connection through a proxy.
    Secret,
}

impl Filling {
    fn of(header: Header) -> Option<Self> {
        match header {
            Header::ContentLength => Some(Self::Length),
            header if header.is_secret() => Some(Self::Secret),
            header if header.is_free() => Some(Self::Text),
            _ => None,
        }
    }
}

/// A value that may change.
#[derive(Clone, Copy, Debug)]
struct Hole {
    /// The header's number.
    line: u8,
    value: Span,
    filling: Filling,
}

impl Hole {
    /// Reads a value off the front of `rest`; `own` is the template's.
    fn fill<'a>(&self, own: &[u8], rest: &'a [u8], filled: &mut Filled) -> Option<&'a [u8]> {
        if self.filling == Filling::Secret {
            let (value, after) = rest.split_at_checked(own.len())?;
            return verify_slices_are_equal(value, own).is_ok().then_some(after);
        }
        if let Some(after) = rest.strip_prefix(own)
            && after.first() == Some(&b'\r')
        {
            return Some(after);
        }
        let (value, after) = rest.split_at(printable(rest));
        // The parser would trim it, or find nothing.
        if value.first().is_none_or(|first| *first == b' ') || value.last() == Some(&b' ') {
            return None;
        }
        if self.filling == Filling::Length {
            filled.length = Some(plain_number(value)?);
        }
        filled.push(self.line, value)?;
        Some(after)
    }
}

/// How many bytes of printable ASCII `bytes` start with.
fn printable(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks();
    let mut len = 0;
    for word in words {
        let odd = not_printable(u64::from_le_bytes(*word));
        if odd != 0 {
            return len + odd.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + bytes[len..].iter().take_while(|byte| matches!(byte, b' '..=b'~')).count()
}

/// The high bit of each byte that is not printable ASCII. No sum of two bytes here is carried into the next.
fn not_printable(word: u64) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let low = word & (EACH * 0x7f);
    let is_control = !(low + EACH * 0x60);
    let is_delete = low + EACH;
    (word | is_control | is_delete) & (EACH * 0x80)
}

/// What a head that fitted says in the holes, where that is not what the template says.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    text: Vec<u8>,
    values: SmallVec<[(u8, Span); 4]>,
    length: Option<u64>,
}

impl Filled {
    fn push(&mut self, line: u8, value: &[u8]) -> Option<()> {
        if self.text.capacity() == 0 {
            self.text = buf::take();
        }
        let span = Span::new(self.text.len(), value.len()).ok()?;
        self.text.extend_from_slice(value);
        self.values.push((line, span));
        Some(())
    }

    /// What this head says in a line, if that is not what the template says.
    pub(crate) fn value(&self, line: usize) -> Option<&str> {
        let (_, span) = self.values.iter().find(|(own, _)| usize::from(*own) == line)?;
        self.text.get(span.start()..span.end()).and_then(|value| str::from_utf8(value).ok())
    }

    /// The body's length, if it is not the template's.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        buf::give(mem::take(&mut self.text));
    }
}

/// A head that was parsed, and where the next may differ.
pub(crate) struct Template {
    fields: Fields,
    holes: SmallVec<[Hole; 4]>,
}

impl Template {
    /// Makes one of a head whose rules all hold.
    pub(crate) fn new(fields: Fields) -> Self {
        let hole = |(line, at): (u8, &Line)| {
            let filling = at.header().and_then(Filling::of)?;
            let value = at.value();
            // An empty value has no place.
            (value != Span::default()).then_some(Hole { line, value, filling })
        };
        let holes = (0..u8::MAX).zip(fields.lines()).filter_map(hole).collect();
        Self { fields, holes }
    }

    /// The head it was made of.
    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Holds what arrived against it: the length of a head that fits, and what it says of its own.
    pub(crate) fn fit(&self, arrived: &[u8], head_max: usize) -> Option<(usize, Filled)> {
        let arrived = arrived.get(..head_max).unwrap_or(arrived);
        let text = self.fields.text().as_bytes();
        let mut filled = Filled::default();
        let (mut rest, mut at) = (arrived, 0);
        for hole in &self.holes {
            let own = text.get(hole.value.start()..hole.value.end())?;
            rest = rest.strip_prefix(text.get(at..hole.value.start())?)?;
            rest = hole.fill(own, rest, &mut filled)?;
            at = hole.value.end();
        }
        let rest = rest.strip_prefix(text.get(at..)?)?;
        Some((arrived.len() - rest.len(), filled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printable_front_is_found_byte_by_byte() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let expected = bytes.iter().take_while(|byte| matches!(byte, b' '..=b'~')).count();
            assert_eq!(printable(bytes), expected, "{bytes:?}");
        });
        for byte in 0..=u8::MAX {
            for at in 0..17 {
                let mut bytes = [b'x'; 17];
                bytes[at] = byte;
                let expected = if matches!(byte, b' '..=b'~') { 17 } else { at };
                assert_eq!(printable(&bytes), expected, "{byte} at {at}");
            }
        }
    }
}
