//! Lines out of a pipe: whole JSON lines without copying, and log lines cut to a bound.

use crate::base::buf::Piece;
use crate::base::error::{Error, Kind, Result};
use crate::rt::task;

/// Gathers chunks until lines are whole. Memory is bounded by the longest line plus one read.
pub(super) struct Lines {
    buf: Vec<u8>,
    /// Bytes at the front of `buf` known to hold no line end.
    scanned: usize,
    whole: Piece,
    max: usize,
}

impl Lines {
    /// Lines of at most `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        Self { buf: Vec::new(), scanned: 0, whole: Piece::default(), max }
    }

    /// The buffer to read into, with room; give it back through [`Self::filled`].
    pub(super) fn room(&mut self) -> Vec<u8> {
        let mut buf = std::mem::take(&mut self.buf);
        if buf.capacity() - buf.len() < READ_ROOM / 4 {
            buf.reserve(READ_ROOM);
        }
        buf
    }

    /// Takes the buffer back after a read.
    ///
    /// # Errors
    /// [`Kind::BadAnswer`]: a line is longer than the bound; nothing more can be read.
    pub(super) fn filled(&mut self, buf: Vec<u8>) -> Result<()> {
        self.buf = buf;
        match memchr::memrchr(b'\n', &self.buf[self.scanned..]) {
            Some(last) => {
                let rest = self.buf.split_off(self.scanned + last + 1);
                self.whole = std::mem::replace(&mut self.buf, rest).into();
                self.scanned = self.buf.len();
            }
            None => self.scanned = self.buf.len(),
        }
        let longest_open = self.buf.len();
        if longest_open > self.max {
            return Err(too_long(self.max));
        }
        Ok(())
    }

    /// The next whole line without its end; empty ones are passed over.
    ///
    /// # Errors
    /// As [`Self::filled`].
    pub(super) fn next(&mut self) -> Result<Option<Piece>> {
        while let Some(end) = memchr::memchr(b'\n', &self.whole) {
            let line = self.whole.split_to(end + 1);
            let line = line.part(line.trim_ascii());
            if line.len() > self.max {
                return Err(too_long(self.max));
            }
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
        self.whole = Piece::default();
        Ok(None)
    }
}

/// Room made for one read of a pipe, in bytes.
const READ_ROOM: usize = 16 * 1024;

fn too_long(max: usize) -> Error {
    Error::new(Kind::BadAnswer, format!("the server wrote a line of more than {max} bytes and was stopped"))
}

/// Lets other tasks run when much was read at a stretch: a pipe that is always full is always ready, so that reading it
/// alone would never let go of the thread.
#[derive(Default)]
pub(super) struct Turns {
    read: usize,
}

/// Bytes read from one pipe before other tasks have their turn.
const TURN_BYTES: usize = 64 * 1024;

impl Turns {
    /// Counts a read.
    pub(super) async fn took(&mut self, bytes: usize) {
        self.read += bytes;
        if self.read >= TURN_BYTES {
            self.read = 0;
            task::yield_now().await;
        }
    }
}

/// Gathers a text stream into lines for a log, each cut to a bound; what is beyond it is dropped, not kept.
pub(super) struct CutLines {
    line: Vec<u8>,
    max: usize,
}

impl CutLines {
    /// Lines cut after `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        Self { line: Vec::new(), max }
    }

    /// Takes a chunk in and hands out each line that ends in it.
    pub(super) fn push(&mut self, chunk: &[u8], mut each: impl FnMut(&str)) {
        let mut rest = chunk;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.keep(&rest[..end]);
            self.flush(&mut each);
            rest = &rest[end + 1..];
        }
        self.keep(rest);
    }

    /// Hands out what was written after the last line end.
    pub(super) fn flush(&mut self, mut each: impl FnMut(&str)) {
        if !self.line.trim_ascii().is_empty() {
            each(String::from_utf8_lossy(self.line.trim_ascii_end()).as_ref());
        }
        self.line.clear();
    }

    fn keep(&mut self, part: &[u8]) {
        let room = self.max.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(lines: &mut Lines, chunk: &[u8]) -> Result<Vec<Piece>> {
        let mut buf = lines.room();
        buf.extend_from_slice(chunk);
        lines.filled(buf)?;
        std::iter::from_fn(|| lines.next().transpose()).collect()
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let text = b"one\n\n  two \r\nthree\nfo";
        for cut in 0..text.len() {
            let mut lines = Lines::new(8);
            let mut all = feed(&mut lines, &text[..cut]).expect("short");
            all.extend(feed(&mut lines, &text[cut..]).expect("short"));
            all.extend(feed(&mut lines, b"ur\n").expect("short"));
            assert_eq!(all, ["one", "two", "three", "four"].map(Piece::from), "cut at {cut}");
        }
    }

    #[test]
    fn a_line_without_end_is_stopped_at_the_bound() {
        let mut lines = Lines::new(100);
        for _ in 0..10 {
            feed(&mut lines, &[b'x'; 10]).expect("within the bound");
        }
        assert_eq!(feed(&mut lines, b"x").expect_err("over it").kind, Kind::BadAnswer);
        let mut lines = Lines::new(3);
        assert!(feed(&mut lines, b"abcd\n").is_err());
    }

    #[test]
    fn log_lines_are_cut_and_kept_apart() {
        let mut seen = Vec::new();
        let mut lines = CutLines::new(4);
        lines.push(b"ab\ncdefgh", |line| seen.push(line.to_owned()));
        lines.push(&[b'z'; 1000], |line| seen.push(line.to_owned()));
        lines.push(b"\n\n\xff!", |line| seen.push(line.to_owned()));
        lines.flush(|line| seen.push(line.to_owned()));
        assert_eq!(seen, ["ab", "cdef", "\u{fffd}!"]);
        assert!(lines.line.capacity() < 64);
    }
}
