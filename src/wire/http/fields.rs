//! A head's text and where its headers lie in it: one buffer, no allocation a header.

use crate::base::buf;
use crate::base::limits;
use crate::wire::http::fault::Fault;
use smallvec::SmallVec;

/// Headers that fit without a second allocation.
const INLINE: usize = 16;

const _: () = assert!(limits::HEAD_MAX <= u16::MAX as usize, "a place in a head is kept in 16 bits");

/// A piece of a head's text.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    start: u16,
    len: u16,
}

impl Span {
    /// Where `part` lies in `whole`, which it must be a piece of.
    pub(crate) fn of(whole: &[u8], part: &[u8]) -> Result<Self, Fault> {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        Self::new(start, part.len())
    }

    /// A span of known place.
    pub(crate) fn new(start: usize, len: usize) -> Result<Self, Fault> {
        let (Ok(start), Ok(len)) = (u16::try_from(start), u16::try_from(len)) else {
            return Err(Fault::with(431, "the head is too long"));
        };
        Ok(Self { start, len })
    }

    /// The piece itself.
    pub(crate) fn text(self, whole: &str) -> &str {
        let start = usize::from(self.start);
        whole.get(start..start + usize::from(self.len)).unwrap_or("")
    }
}

/// The headers of one head, in the order they came. The text goes back to the thread's pool when dropped.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    text: String,
    spans: SmallVec<[(Span, Span); INLINE]>,
}

impl Fields {
    /// Takes a head's bytes and what httparse found in them.
    pub(crate) fn spans(whole: &[u8], parsed: &[httparse::Header<'_>]) -> Result<Spans, Fault> {
        let span = |header: &httparse::Header<'_>| {
            let name = Span::of(whole, header.name.as_bytes())?;
            let value = if header.value.is_empty() { Span::default() } else { Span::of(whole, header.value)? };
            Ok((name, value))
        };
        parsed.iter().map(span).collect()
    }

    /// The head's bytes with their spans. A head that is not UTF-8 is refused.
    pub(crate) fn new(bytes: Vec<u8>, spans: Spans) -> Result<Self, Fault> {
        let text = String::from_utf8(bytes).map_err(|_| Fault::bad("the head is not utf-8"))?;
        Ok(Self { text, spans })
    }

    /// The head's text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Names and values of the headers whose name is so long.
    pub(crate) fn of_lengths(&self, lengths: &[u16]) -> impl Iterator<Item = (&str, &str)> {
        let fits = move |(name, _): &&(Span, Span)| lengths.contains(&name.len);
        self.spans.iter().filter(fits).map(|(name, value)| (name.text(&self.text), value.text(&self.text)))
    }

    /// Names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spans.iter().map(|(name, value)| (name.text(&self.text), value.text(&self.text)))
    }

    /// The values of one name, compared without case.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        // Lengths first: they tell most names apart.
        let same = move |(other, _): &&(Span, Span)| {
            usize::from(other.len) == name.len() && other.text(&self.text).eq_ignore_ascii_case(name)
        };
        self.spans.iter().filter(same).map(|(_, value)| value.text(&self.text))
    }
}

/// Places of names and values.
pub(crate) type Spans = SmallVec<[(Span, Span); INLINE]>;

impl Drop for Fields {
    fn drop(&mut self) {
        buf::give(std::mem::take(&mut self.text).into_bytes());
    }
}
