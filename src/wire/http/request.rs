//! A request as we send it: built fresh from typed parts, each checked, never copied from a client's.

use crate::base::buf::Piece;
use crate::base::error::{Error, Kind, Result};
use crate::wire::http::endpoint::Endpoint;
use crate::wire::http::method::Method;
use crate::wire::http::writer::{Length, push_header, push_length};

/// Headers that say how a message is framed or what a connection does: only this module writes them.
const OURS: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "expect",
    "te",
    "trailer",
    "upgrade",
];

/// Headers checked and rendered once, for every request of one server.
#[derive(Clone, Debug, Default)]
pub struct HeaderBlock(Vec<u8>);

impl HeaderBlock {
    /// No headers.
    pub const EMPTY: &'static Self = &Self(Vec::new());

    /// Checks and renders.
    ///
    /// # Errors
    /// A name or value cannot be sent, or the header is one that only the client itself writes.
    pub fn new(headers: &[(&str, &str)]) -> Result<Self> {
        let mut block = Self::default();
        headers.iter().try_for_each(|(name, value)| block.push(name, value))?;
        Ok(block)
    }

    /// Adds one.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn push(&mut self, name: &str, value: &str) -> Result<()> {
        push_checked(&mut self.0, name, value)
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The method; not `Other`.
    pub method: Method,
    /// Path and query, as they go into the request line.
    pub path: &'a str,
    /// Headers rendered before.
    pub prepared: &'a HeaderBlock,
    /// Headers of this request alone.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: Piece,
    /// Whether sending it twice does no harm: it may then be sent again when a kept connection turns out dead.
    pub idempotent: bool,
}

impl Request<'_> {
    /// Appends the whole head.
    ///
    /// # Errors
    /// A part holds a character that could end its line, or the method has no text.
    pub(crate) fn render(&self, endpoint: &Endpoint, out: &mut Vec<u8>) -> Result<()> {
        let host = endpoint.line().filter(|_| self.method != Method::Other && is_path(self.path));
        let Some(host) = host else {
            let words = "a request to be sent has a method, host or path that is not one";
            return Err(Error::new(Kind::InvalidParams, words));
        };
        let parts = [self.method.as_str(), " ", self.path, " HTTP/1.1\r\n"].map(str::as_bytes);
        parts.into_iter().chain([host, &self.prepared.0]).for_each(|part| out.extend_from_slice(part));
        self.headers.iter().try_for_each(|(name, value)| push_checked(out, name, value))?;
        let tells_length = self.method == Method::Post || !self.body.is_empty();
        push_length(out, if tells_length { Length::Known(self.body.len()) } else { Length::Unsaid });
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

fn push_checked(out: &mut Vec<u8>, name: &str, value: &str) -> Result<()> {
    if OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
        let words = format!("header {name:?} cannot be set: it frames the message");
        return Err(Error::new(Kind::InvalidParams, words));
    }
    push_header(out, name, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(path: &'a str, headers: &'a [(&'a str, &'a str)]) -> Request<'a> {
        let body = Piece::from("{}");
        Request { method: Method::Post, path, prepared: HeaderBlock::EMPTY, headers, body, idempotent: false }
    }

    fn render(request: &Request<'_>, host: &str, port: u16) -> Result<String> {
        let mut out = Vec::new();
        request.render(&Endpoint::new(host, port, None), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_head_is_built_whole() {
        let prepared = HeaderBlock::new(&[("accept", "application/json")]).unwrap();
        let headers = [("mcp-method", "tools/call")];
        let request = Request { prepared: &prepared, ..request("/mcp?x=1", &headers) };
        let text = "POST /mcp?x=1 HTTP/1.1\r\nhost: [::1]:81\r\naccept: application/json\r\n\
                    mcp-method: tools/call\r\ncontent-length: 2\r\n\r\n";
        assert_eq!(render(&request, "::1", 81).unwrap(), text);
        let get = Request { method: Method::Get, body: Piece::default(), ..request };
        assert!(render(&get, "h", 80).unwrap().starts_with("GET /mcp?x=1 HTTP/1.1\r\nhost: h\r\naccept"));
        assert!(!render(&get, "h", 80).unwrap().contains("content-length"));
    }

    #[test]
    fn nothing_can_be_slipped_in() {
        for path in ["", "x", "/a b", "/a\r\nx: y", "/a#b", "/\0", "/é", "http://h/"] {
            assert!(render(&request(path, &[]), "h", 80).is_err(), "{path:?}");
        }
        let bad = [("x", "a\r\nX-Evil: 1"), ("x", "a\nb"), ("x\r\ny", "a"), ("Host", "evil"), ("Content-Length", "0")];
        for header in bad {
            assert!(render(&request("/", &[header]), "h", 80).is_err(), "{header:?}");
            assert!(HeaderBlock::new(&[header]).is_err(), "{header:?}");
        }
    }
}
