//! How long a message is, decided in one strict place (RFC 9112 6): what two parsers could read differently is refused.

use crate::wire::http::fault::Fault;
use crate::wire::http::fields::Fields;
use crate::wire::http::names::Header;

/// The length of a message's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// Everything until the connection closes (answers only).
    Close,
}

impl Framing {
    /// A body of so many bytes.
    pub(crate) fn of_length(length: u64) -> Self {
        if length == 0 { Self::None } else { Self::Length(length) }
    }
}

/// A `Content-Length`: digits and nothing else, and no more than nineteen, for nineteen nines fit 64 bits.
pub(crate) fn plain_number(text: &[u8]) -> Option<u64> {
    if !(1..=19).contains(&text.len()) {
        return None;
    }
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0')))
}

/// What the hop-by-hop headers of one head say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hop<'a> {
    /// `Content-Length`.
    pub(crate) length: Option<u64>,
    /// `Transfer-Encoding: chunked`.
    pub(crate) chunked: bool,
    /// `Connection` holds `close`.
    pub(crate) close: bool,
    /// `Connection` holds `keep-alive`.
    pub(crate) keep_alive: bool,
    /// `Expect`, unchecked.
    pub(crate) expect: Option<&'a str>,
    /// `Host`, unchecked; at most one.
    pub(crate) host: Option<&'a str>,
    /// A `Content-Encoding` other than `identity` is there.
    pub(crate) coded: bool,
}

impl<'a> Hop<'a> {
    /// Reads them in one pass; `old` is HTTP/1.0, which knows no transfer coding.
    pub(crate) fn read(fields: &'a Fields, old: bool) -> Result<Self, Fault> {
        let mut hop = Self::default();
        for (header, value) in fields.known() {
            match header {
                Header::Host => hop.host(value)?,
                Header::Expect => hop.expect = Some(value),
                Header::Connection => hop.connection(value),
                Header::ContentLength => hop.length(value)?,
                Header::ContentEncoding => hop.coding(value),
                Header::TransferEncoding => hop.transfer(value, old)?,
                _ => {}
            }
        }
        if hop.chunked && hop.length.is_some() {
            return Err(Fault::bad("content-length and transfer-encoding may not stand together"));
        }
        Ok(hop)
    }

    /// The body's length, `None` where no header says one.
    pub(crate) fn framing(&self) -> Option<Framing> {
        match (self.chunked, self.length) {
            (true, _) => Some(Framing::Chunked),
            (false, length) => length.map(Framing::of_length),
        }
    }

    fn host(&mut self, value: &'a str) -> Result<(), Fault> {
        match self.host.replace(value) {
            Some(_) => Err(Fault::bad("more than one host header")),
            None => Ok(()),
        }
    }

    fn connection(&mut self, value: &str) {
        for token in value.split(',').map(str::trim) {
            self.close |= token.eq_ignore_ascii_case("close");
            self.keep_alive |= token.eq_ignore_ascii_case("keep-alive");
        }
    }

    fn length(&mut self, value: &str) -> Result<(), Fault> {
        let length = plain_number(value.as_bytes());
        let length = length.ok_or(Fault::bad("content-length is not a plain decimal number"))?;
        match self.length.replace(length) {
            Some(_) => Err(Fault::bad("more than one content-length header")),
            None => Ok(()),
        }
    }

    fn transfer(&mut self, value: &str, old: bool) -> Result<(), Fault> {
        if old {
            return Err(Fault::bad("http/1.0 has no transfer-encoding"));
        }
        if value != "chunked" || self.chunked {
            return Err(Fault::bad("the only transfer-encoding accepted is exactly one: chunked"));
        }
        self.chunked = true;
        Ok(())
    }

    fn coding(&mut self, value: &str) {
        self.coded |= !value.eq_ignore_ascii_case("identity");
    }
}
