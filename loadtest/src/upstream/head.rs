//! A request's head, as little of it as matters.

use memchr::memchr;

/// Most bytes a head may have.
const HEAD_MAX: usize = 64 * 1024;

/// What is done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Post,
    Get,
    Delete,
    Other,
}

/// What matters of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) verb: Verb,
    /// Bytes of the head with its empty line.
    pub(super) length: usize,
    /// Bytes of the body.
    pub(super) body: usize,
    /// The `Mcp-Session-Id`.
    pub(super) session: Option<&'a [u8]>,
    /// Whether the connection stays open afterwards.
    pub(super) stays: bool,
}

/// Why a head cannot be read; the HTTP status says the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) u16);

/// Reads a head; nothing while its end is missing.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Head<'_>>, Unreadable> {
    let Some(line) = memchr(b'\n', bytes) else { return wait(bytes) };
    let mut head = Head { verb: verb(bytes), length: line + 1, body: 0, session: None, stays: true };
    head.stays = !bytes[..line].trim_ascii_end().ends_with(b"HTTP/1.0");
    loop {
        let rest = &bytes[head.length..];
        let Some(end) = memchr(b'\n', rest) else { return wait(bytes) };
        let line = rest[..end].trim_ascii_end();
        head.length += end + 1;
        if line.is_empty() {
            return Ok(Some(head));
        }
        head.note(line)?;
    }
}

fn wait(bytes: &[u8]) -> Result<Option<Head<'_>>, Unreadable> {
    if bytes.len() > HEAD_MAX { Err(Unreadable(431)) } else { Ok(None) }
}

fn verb(bytes: &[u8]) -> Verb {
    match bytes {
        [b'P', b'O', b'S', b'T', b' ', ..] => Verb::Post,
        [b'G', b'E', b'T', b' ', ..] => Verb::Get,
        [b'D', b'E', b'L', b'E', b'T', b'E', b' ', ..] => Verb::Delete,
        _ => Verb::Other,
    }
}

impl<'a> Head<'a> {
    /// Looks at a field's name only where its length is one that matters.
    fn note(&mut self, line: &'a [u8]) -> Result<(), Unreadable> {
        if let Some(value) = value(line, b"content-length") {
            let digits = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            self.body = digits.ok_or(Unreadable(400))?;
        } else if let Some(value) = value(line, b"mcp-session-id") {
            self.session = Some(value);
        } else if let Some(value) = value(line, b"connection") {
            self.stays = !value.eq_ignore_ascii_case(b"close");
        } else if value(line, b"transfer-encoding").is_some() {
            return Err(Unreadable(411));
        }
        Ok(())
    }
}

/// A field's value, if the line is that field's.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let is_it = line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name);
    is_it.then(|| line[name.len() + 1..].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let text = b"POST /mcp HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:  12\r\nMcp-Session-Id: s-1\r\n\r\n{}";
        let head = Head { verb: Verb::Post, length: text.len() - 2, body: 12, session: Some(b"s-1"), stays: true };
        assert_eq!(read(text), Ok(Some(head)));
        for end in 0..head.length {
            assert_eq!(read(&text[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn what_ends_a_connection_and_what_cannot_be_read() {
        let stays = |text: &str| read(text.as_bytes()).unwrap().unwrap().stays;
        assert!(!stays("GET / HTTP/1.0\r\n\r\n") && stays("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
        assert!(!stays("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n") && stays("PUT / HTTP/1.1\r\n\r\n"));
        let status = |text: &str| read(text.as_bytes()).unwrap_err().0;
        assert_eq!(status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), 411);
        assert_eq!(status("POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n"), 400);
        assert_eq!(status(&"x".repeat(HEAD_MAX + 1)), 431);
    }
}
