//! A head's text and where its headers lie in it, with the place of each header that is asked for by name.

use crate::base::limits;
use crate::wire::http::fault::Fault;
use crate::wire::http::names::Header;
use smallvec::SmallVec;
use std::mem;
use zeroize::Zeroize;

/// Headers that fit without a further allocation.
const INLINE: usize = 16;
/// The place of a header that is not there.
const NOWHERE: u8 = u8::MAX;

const _: () = assert!(limits::HEAD_MAX <= u16::MAX as usize, "a place in a head is kept in 16 bits");
const _: () = assert!(limits::HEADERS_MAX < NOWHERE as usize, "the number of a header is kept in 8 bits");
const _: () = assert!(Header::COUNT <= 32, "which are repeated is kept in 32 bits");

/// A piece of a head's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

    /// Where it starts.
    pub(crate) fn start(self) -> usize {
        usize::from(self.start)
    }

    /// Where it ends.
    pub(crate) fn end(self) -> usize {
        self.start() + usize::from(self.len)
    }

    /// The piece itself.
    pub(crate) fn text(self, whole: &str) -> &str {
        whole.get(self.start()..self.end()).unwrap_or("")
    }
}

/// One header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    name: Span,
    value: Span,
    header: Option<Header>,
}

impl Line {
    fn of(whole: &[u8], header: &httparse::Header<'_>) -> Result<Self, Fault> {
        let name = Span::of(whole, header.name.as_bytes())?;
        let value = if header.value.is_empty() { Span::default() } else { Span::of(whole, header.value)? };
        Ok(Self { name, value, header: Header::of(header.name) })
    }

    /// Where the value lies.
    pub(crate) fn value(&self) -> Span {
        self.value
    }

    /// What it is, if anybody asks for it by name.
    pub(crate) fn header(&self) -> Option<Header> {
        self.header
    }
}

/// The headers of one head, in the order they came. Secrets among them are wiped when it is dropped.
pub(crate) struct Fields {
    text: Box<str>,
    lines: SmallVec<[Line; INLINE]>,
    /// The first line of each known header.
    places: [u8; Header::COUNT],
    /// A bit for each known header that has more than one line.
    repeated: u32,
}

impl Fields {
    /// Copies a head's bytes and keeps what httparse found in them. A head that is not UTF-8 is refused.
    pub(crate) fn new(whole: &[u8], parsed: &[httparse::Header<'_>]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(whole).map_err(|_| Fault::bad("the head is not utf-8"))?;
        let lines = parsed.iter().map(|header| Line::of(whole, header)).collect::<Result<SmallVec<_>, _>>()?;
        let mut fields = Self { text: text.into(), lines, places: [NOWHERE; Header::COUNT], repeated: 0 };
        for (at, line) in (0..NOWHERE).zip(&fields.lines) {
            let Some(header) = line.header else { continue };
            let place = &mut fields.places[header as usize];
            if *place == NOWHERE {
                *place = at;
            } else {
                fields.repeated |= 1 << header as u32;
            }
        }
        Ok(fields)
    }

    /// The head's text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Every line.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The value of a line; empty where there is no such line.
    pub(crate) fn value(&self, line: usize) -> &str {
        self.lines.get(line).map_or("", |line| line.value.text(&self.text))
    }

    /// The name of a line; empty where there is no such line.
    pub(crate) fn name(&self, line: usize) -> &str {
        self.lines.get(line).map_or("", |line| line.name.text(&self.text))
    }

    /// The first value of a header.
    pub(crate) fn first(&self, header: Header) -> Option<&str> {
        self.place(header).map(|line| self.value(line))
    }

    /// The values of the known headers.
    pub(crate) fn known(&self) -> impl Iterator<Item = (Header, &str)> {
        self.lines.iter().filter_map(|line| line.header.map(|header| (header, line.value.text(&self.text))))
    }

    /// The first line of a header.
    pub(crate) fn place(&self, header: Header) -> Option<usize> {
        let place = self.places[header as usize];
        (place != NOWHERE).then_some(usize::from(place))
    }

    /// Whether a header has more than one line.
    pub(crate) fn is_repeated(&self, header: Header) -> bool {
        self.repeated & (1 << header as u32) != 0
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        let mut bytes = String::from(mem::take(&mut self.text)).into_bytes();
        let secrets = self.lines.iter().filter(|line| line.header.is_some_and(Header::is_secret));
        for span in secrets.map(|line| line.value) {
            bytes[span.start()..span.end()].zeroize();
        }
    }
}
