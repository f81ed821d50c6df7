//! Chunked transfer coding, both ways (RFC 9112 7.1), as a machine that may be fed in any pieces.
//!
//! Extensions and trailers are checked for their form, bounded and dropped.

use crate::base::limits::{CHUNK_LINE_MAX, CHUNK_OVERHEAD_MAX};
use crate::wire::http::fault::Fault;

/// Hex digits a chunk size may have; sixteen of them fit 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;
/// The end of a chunked body without trailers.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { digits: u8 },
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    End,
    Done,
}

/// Takes a chunked body apart.
#[derive(Clone, Copy, Debug)]
pub struct ChunkDecoder {
    state: State,
    /// Bytes left of the current chunk; its size while that is read.
    left: u64,
    /// Bytes of the current size line.
    line: usize,
    /// Bytes of extensions and trailers so far.
    overhead: usize,
    /// Bytes of the body so far, chunks announced included.
    total: u64,
}

impl Default for ChunkDecoder {
    fn default() -> Self {
        Self { state: State::Size { digits: 0 }, left: 0, line: 0, overhead: 0, total: 0 }
    }
}

impl ChunkDecoder {
    /// Decodes `input`, appending to `body`; how much of `input` belonged to this body. A body announced to be longer
    /// than `max` is refused with 413 before any of the chunk that goes too far is taken.
    ///
    /// # Errors
    /// The coding is malformed, or a bound is passed.
    pub fn decode(&mut self, input: &[u8], body: &mut Vec<u8>, max: usize) -> Result<usize, Fault> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                at += self.take(&input[at..], body);
            } else {
                self.step(input[at], max)?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Copies data of the current chunk.
    fn take(&mut self, input: &[u8], body: &mut Vec<u8>) -> usize {
        let some = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        body.extend_from_slice(&input[..some]);
        self.left -= some as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        some
    }

    /// Takes one byte outside of data.
    fn step(&mut self, byte: u8, max: usize) -> Result<(), Fault> {
        self.state = match (self.state, byte) {
            (State::Size { digits }, _) => self.size(digits, byte)?,
            (State::Extension, b'\r') => State::SizeEnd,
            (State::Extension, _) => self.extension(byte)?,
            (State::SizeEnd, b'\n') => self.start_chunk(max)?,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => self.next_line(),
            (State::TrailerStart, b'\r') => State::End,
            (State::TrailerStart, _) if is_tchar(byte) => self.trailer(State::TrailerName)?,
            (State::TrailerName, b':') => self.trailer(State::TrailerValue)?,
            (State::TrailerName, _) if is_tchar(byte) => self.trailer(State::TrailerName)?,
            (State::TrailerValue, b'\r') => State::TrailerEnd,
            (State::TrailerValue, _) if is_text(byte) => self.trailer(State::TrailerValue)?,
            (State::TrailerEnd, b'\n') => State::TrailerStart,
            (State::End, b'\n') => State::Done,
            (State::SizeEnd, _) => return Err(Fault::bad("a chunk size line does not end with crlf")),
            (State::DataCr | State::DataLf, _) => return Err(Fault::bad("a chunk is longer than its size says")),
            _ => return Err(Fault::bad("a trailer is malformed")),
        };
        Ok(())
    }

    fn next_line(&mut self) -> State {
        self.line = 0;
        State::Size { digits: 0 }
    }

    fn size(&mut self, digits: u8, byte: u8) -> Result<State, Fault> {
        self.line += 1;
        match (byte, char::from(byte).to_digit(16)) {
            (_, Some(_)) if digits == SIZE_DIGITS_MAX => Err(Fault::bad("a chunk size is too large")),
            (_, Some(digit)) => {
                self.left = self.left << 4 | u64::from(digit);
                Ok(State::Size { digits: digits + 1 })
            }
            (b'\r', _) if digits > 0 => Ok(State::SizeEnd),
            (b';', _) if digits > 0 => Ok(State::Extension),
            _ => Err(Fault::bad("a chunk size is not a plain hex number")),
        }
    }

    fn extension(&mut self, byte: u8) -> Result<State, Fault> {
        self.line += 1;
        self.overhead += 1;
        if !is_text(byte) {
            return Err(Fault::bad("a chunk extension has a character that is not allowed there"));
        }
        if self.line > CHUNK_LINE_MAX || self.overhead > CHUNK_OVERHEAD_MAX {
            return Err(Fault::bad("chunk extensions are too long"));
        }
        Ok(State::Extension)
    }

    fn start_chunk(&mut self, max: usize) -> Result<State, Fault> {
        if self.left == 0 {
            return Ok(State::TrailerStart);
        }
        self.total = self.total.saturating_add(self.left);
        if self.total > max as u64 {
            return Err(Fault::with(413, "the body is too long"));
        }
        Ok(State::Data)
    }

    fn trailer(&mut self, next: State) -> Result<State, Fault> {
        self.overhead += 1;
        if self.overhead > CHUNK_OVERHEAD_MAX {
            return Err(Fault::with(431, "the trailers are too long"));
        }
        Ok(next)
    }
}

/// Appends `data` as one chunk; nothing for no data, which would end the body.
pub fn encode_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let mut hex = [0; 16];
    let mut at = hex.len();
    let mut left = data.len();
    while left > 0 {
        at -= 1;
        hex[at] = b"0123456789abcdef"[left & 15];
        left >>= 4;
    }
    out.reserve(data.len() + hex.len() + 4);
    out.extend_from_slice(&hex[at..]);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// A character of a header name (RFC 9110 5.6.2).
pub(crate) const fn is_tchar(byte: u8) -> bool {
    TCHARS[byte as usize]
}

const TCHARS: [bool; 256] = {
    let mut table = [false; 256];
    let marks = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};

/// A character of a header value (RFC 9110 5.5).
pub(crate) fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8]) -> Result<(Vec<u8>, usize, bool), u16> {
        let (mut decoder, mut body) = (ChunkDecoder::default(), Vec::new());
        let used = decoder.decode(input, &mut body, 1000).map_err(|fault| fault.status)?;
        Ok((body, used, decoder.is_done()))
    }

    #[test]
    fn whole_bodies() {
        assert_eq!(decode(b"3\r\nabc\r\n0\r\n\r\nnext"), Ok((b"abc".to_vec(), 13, true)));
        assert_eq!(decode(b"A;x=y\r\n0123456789\r\n00\r\nt: v\r\n\r\n"), Ok((b"0123456789".to_vec(), 31, true)));
        assert_eq!(decode(b"3\r\nab"), Ok((b"ab".to_vec(), 5, false)));
    }

    #[test]
    fn malformed_bodies() {
        let bad: [&[u8]; 18] = [
            b"\r\n",
            b"x\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b"0x1\r\n",
            b" 1\r\n",
            b"1 \r\n",
            b"1\n",
            b"1;a\nb\r\n",
            b"1;a\r\r\n",
            b"1\r\nab",
            b"1\r\na\n",
            b"1\r\na\rb",
            b"0\r\n t: v\r\n",
            b"0\r\nt : v\r\n",
            b"0\r\nt: v\n",
            b"0\r\n\n",
            b"00000000000000001\r\n",
        ];
        for bad in bad {
            assert_eq!(decode(bad).map(|_| ()), Err(400), "{:?}", bad.escape_ascii().to_string());
        }
        assert_eq!(decode(b"ffffffffffffffff\r\n"), Err(413));
        assert_eq!(decode(b"3e8\r\n").map(|_| ()), Ok(()));
        assert_eq!(decode(b"3e9\r\n"), Err(413));
        assert_eq!(decode(b"0\r\nt: v"), Ok((vec![], 7, false)));
    }

    #[test]
    fn overhead_is_bounded() {
        let line = [b"1;".as_slice(), &vec![b'x'; CHUNK_LINE_MAX], b"\r\n"].concat();
        assert_eq!(decode(&line), Err(400));
        let many = [b"1;".as_slice(), &[b'x'; 200], b"\r\na\r\n"].concat().repeat(CHUNK_OVERHEAD_MAX / 200 + 1);
        assert_eq!(decode(&many), Err(400));
        let trailers = [b"0\r\n".as_slice(), &b"t: v\r\n".repeat(CHUNK_OVERHEAD_MAX / 4 + 1)].concat();
        assert_eq!(decode(&trailers), Err(431));
    }

    #[test]
    fn what_is_encoded_decodes_the_same_however_it_is_split() {
        bolero::check!().with_type::<(Vec<Vec<u8>>, Vec<u8>)>().for_each(|(parts, cuts)| {
            let mut wire = Vec::new();
            parts.iter().for_each(|part| encode_chunk(&mut wire, part));
            wire.extend_from_slice(LAST_CHUNK);
            let end = wire.len();
            wire.extend_from_slice(b"GET / HTTP/1.1\r\n");
            let (mut decoder, mut body, mut at) = (ChunkDecoder::default(), Vec::new(), 0);
            for cut in cuts.iter().map(|cut| usize::from(*cut)).chain([wire.len()]) {
                let to = (at + cut).min(wire.len());
                at += decoder.decode(&wire[at..to], &mut body, usize::MAX).unwrap();
            }
            assert!(decoder.is_done());
            assert_eq!((body, at), (parts.concat(), end));
        });
    }

    #[test]
    fn anything_decodes_the_same_whole_and_byte_by_byte() {
        bolero::check!().for_each(|input: &[u8]| {
            let whole = decode(input);
            let (mut decoder, mut body, mut used) = (ChunkDecoder::default(), Vec::new(), 0);
            let pieces = input.chunks(1).try_for_each(|piece| {
                used += decoder.decode(piece, &mut body, 1000).map_err(|fault| fault.status)?;
                Ok(())
            });
            assert_eq!(pieces.map(|()| (body, used, decoder.is_done())), whole);
        });
    }
}
