//! Finds the end of a head as it arrives, each byte looked at once, and holds the bounds while reading.
//!
//! Line ends are CRLF and nothing else (RFC 9112 2.2 would allow a bare LF; two parsers that differ on it are how
//! requests are smuggled).

use crate::wire::http::fault::Fault;
use crate::wire::http::limits::HttpLimits;

/// How far a head has been read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner {
    /// Bytes already looked at.
    at: usize,
    /// Where the line being read starts.
    line: usize,
    /// Lines ended so far.
    lines: usize,
}

impl Scanner {
    /// Looks at what has arrived since the last call; the length of the head once its empty line is there.
    ///
    /// `buf` must begin where it began in the last call. Faults: 400 for a bare LF, 414 and 431 for the bounds.
    pub(crate) fn scan(&mut self, buf: &[u8], limits: &HttpLimits) -> Result<Option<usize>, Fault> {
        // Something that is not HTTP at all (a TLS hello, say) is told so at once and not at the deadline.
        if !buf.first().is_none_or(u8::is_ascii_alphabetic) {
            return Err(Fault::bad("what arrived is not http; is this the wrong port, or tls where none is spoken?"));
        }
        while let Some(found) = memchr::memchr(b'\n', &buf[self.at..]) {
            let end = self.at + found;
            if end == self.line || buf[end - 1] != b'\r' {
                return Err(Fault::bad("a line ends with a bare lf; end lines with crlf"));
            }
            self.check(end, limits)?;
            let empty = end == self.line + 1;
            if empty {
                return Ok(Some(end + 1));
            }
            self.lines += 1;
            self.line = end + 1;
            self.at = end + 1;
        }
        self.at = buf.len();
        self.check(self.at, limits)?;
        Ok(None)
    }

    /// Holds the bounds when the current line has reached `end`.
    fn check(&self, end: usize, limits: &HttpLimits) -> Result<(), Fault> {
        if self.lines == 0 && end - self.line > limits.request_line_max {
            return Err(Fault::with(414, "the request line is too long"));
        }
        if end >= limits.head_max {
            return Err(Fault::with(431, "the head is too long"));
        }
        let headers = self.lines.saturating_sub(1);
        let another = end > self.line + 1;
        if headers + usize::from(another && self.lines > 0) > limits.headers_max {
            return Err(Fault::with(431, "the head has too many headers"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &[u8]) -> Result<Option<usize>, u16> {
        Scanner::default().scan(text, &HttpLimits::default()).map_err(|fault| fault.status)
    }

    #[test]
    fn the_head_ends_after_its_empty_line() {
        assert_eq!(scan(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nrest"), Ok(Some(27)));
        assert_eq!(scan(b"GET / HTTP/1.1\r\nhost: a\r\n\r"), Ok(None));
        assert_eq!(scan(b"GET / HTTP/1.1\nhost: a\r\n\r\n"), Err(400));
        assert_eq!(scan(b"GET / HTTP/1.1\r\nhost: a\r\n\n"), Err(400));
        assert_eq!(scan(b"\n"), Err(400));
    }

    #[test]
    fn bounds_hold_before_the_head_is_complete() {
        let limits = HttpLimits::default();
        assert_eq!(scan(&vec![b'a'; limits.request_line_max]), Ok(None));
        assert_eq!(scan(&vec![b'a'; limits.request_line_max + 1]), Err(414));
        let mut head = b"GET / HTTP/1.1\r\na: ".to_vec();
        head.resize(limits.head_max, b'v');
        assert_eq!(scan(&head), Err(431));
        let mut head = b"GET / HTTP/1.1\r\n".to_vec();
        head.extend(b"a: b\r\n".repeat(limits.headers_max));
        assert_eq!(scan(&head), Ok(None));
        let whole = [&head[..], b"\r\n"].concat();
        assert_eq!(scan(&whole), Ok(Some(whole.len())));
        assert_eq!(scan(&[&head[..], b"c:"].concat()), Err(431));
        assert_eq!(scan(&[&head[..], b"c: d\r\n\r\n"].concat()), Err(431));
    }

    #[test]
    fn split_points_do_not_matter() {
        let text = b"POST /mcp HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\nbody";
        let whole = scan(text);
        let mut scanner = Scanner::default();
        let mut found = None;
        for end in 0..=text.len() {
            found = scanner.scan(&text[..end], &HttpLimits::default()).unwrap();
            if found.is_some() {
                break;
            }
        }
        assert_eq!(Ok(found), whole);
    }
}
