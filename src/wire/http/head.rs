//! Request and response heads: parsed by httparse, then held to stricter rules, kept as one buffer and offsets.

use crate::base::limits::HEADERS_MAX;
use crate::wire::http::fault::Fault;
use crate::wire::http::fields::{Fields, Span, Spans};
use crate::wire::http::framing::{Framing, Hop};
use crate::wire::http::host;
use std::mem::MaybeUninit;

/// A request method we tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// DELETE
    Delete,
    /// HEAD
    Head,
    /// OPTIONS
    Options,
    /// Any other token; answer 405.
    Other,
}

impl Method {
    fn parse(token: &str) -> Result<Self, Fault> {
        Ok(match token {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "DELETE" => Self::Delete,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "CONNECT" | "TRACE" => return Err(Fault::with(405, "the method is not served here")),
            _ => Self::Other,
        })
    }

    /// The method as it stands in a request line; `Other` has no text of its own.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Other => "",
        }
    }
}

/// The head of one request. Its buffer goes back to the thread's pool when dropped.
#[derive(Debug)]
pub struct RequestHead {
    fields: Fields,
    method: Method,
    path: Span,
    query: Option<Span>,
    host: Option<Span>,
    framing: Framing,
    old: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl RequestHead {
    /// Reads a whole head, its empty line included and nothing after it.
    ///
    /// # Errors
    /// The status to answer and why, where two parsers could read the head differently or it asks for what is not
    /// served.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Fault> {
        let (line, spans) = parse_request(&bytes)?;
        let fields = Fields::new(bytes, spans)?;
        Self::check(fields, line)
    }

    /// Holds a parsed head to the rules that need all of it.
    fn check(fields: Fields, line: RequestLine) -> Result<Self, Fault> {
        let method = Method::parse(line.method.text(fields.text()))?;
        let hop = Hop::read(&fields, line.old)?;
        let host = hop.host;
        match host {
            Some(host) if !host::is_authority(host) => return Err(Fault::bad("the host header is not a host")),
            None if !line.old => return Err(Fault::bad("the host header is missing")),
            _ => {}
        }
        let target = host::target(line.target.text(fields.text()), host, method == Method::Options)?;
        let framing = hop.framing().unwrap_or(Framing::None);
        if hop.coded {
            return Err(Fault::with(415, "a body with a content-encoding is not accepted"));
        }
        let expects_continue = expects_continue(&hop, line.old)?;
        let keep_alive = !hop.close && (!line.old || hop.keep_alive);
        let whole = fields.text().as_bytes();
        let span = |part: &str| if part.is_empty() { Ok(Span::default()) } else { Span::of(whole, part.as_bytes()) };
        let (path, query) = (span(target.path)?, target.query.map(span).transpose()?);
        let host = host.map(span).transpose()?;
        Ok(Self { method, path, query, host, framing, old: line.old, keep_alive, expects_continue, fields })
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The path of the target, not decoded; `*` for `OPTIONS *`. Routing looks at this and never at `Host`.
    pub fn path(&self) -> &str {
        self.path.text(self.fields.text())
    }

    /// What follows the target's question mark, not decoded.
    pub fn query(&self) -> Option<&str> {
        self.query.map(|query| query.text(self.fields.text()))
    }

    /// `Host`, its grammar checked; missing only in HTTP/1.0.
    pub fn host(&self) -> Option<&str> {
        self.host.map(|host| host.text(self.fields.text()))
    }

    /// The first value of a header; names compare without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.all(name).next()
    }

    /// Every value of a header, in order.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.all(name)
    }

    /// Every header, in order.
    pub fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter()
    }

    /// Whether there is exactly one `Content-Type` and it says `application/json` (in UTF-8, if it says a charset).
    pub fn content_type_is_json(&self) -> bool {
        let mut types = self.headers("content-type");
        matches!((types.next(), types.next()), (Some(one), None) if is_json(one))
    }

    /// The body's length.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the request is HTTP/1.0.
    pub(crate) fn old(&self) -> bool {
        self.old
    }

    /// Whether the client lets the connection live on.
    pub(crate) fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(crate) fn expects_continue(&self) -> bool {
        self.expects_continue
    }
}

/// RFC 9110 10.1.1: an HTTP/1.0 client's expectation is ignored, an unknown one is answered 417.
fn expects_continue(hop: &Hop<'_>, old: bool) -> Result<bool, Fault> {
    match hop.expect {
        None => Ok(false),
        Some(_) if old => Ok(false),
        Some(value) if value.eq_ignore_ascii_case("100-continue") => Ok(true),
        Some(_) => Err(Fault::with(417, "the expectation is not known; only 100-continue is")),
    }
}

/// Whether a content type is JSON.
pub(crate) fn is_json(content_type: &str) -> bool {
    if content_type == "application/json" {
        return true;
    }
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    json && parts.all(is_utf8_or_no_charset)
}

fn is_utf8_or_no_charset(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return parameter.is_empty() };
    !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
}

/// Where the parts of a request line lie.
struct RequestLine {
    method: Span,
    target: Span,
    old: bool,
}

fn parse_request(bytes: &[u8]) -> Result<(RequestLine, Spans), Fault> {
    // httparse would skip any number of empty lines, and of any kind; the scanner has refused them.
    if !bytes.first().is_some_and(u8::is_ascii_alphabetic) {
        return Err(Fault::bad("the request does not start with a method"));
    }
    let mut room = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let status = request.parse_with_uninit_headers(bytes, &mut room).map_err(fault_of)?;
    let whole = status == httparse::Status::Complete(bytes.len());
    let (Some(method), Some(target), Some(version), true) = (request.method, request.path, request.version, whole)
    else {
        return Err(Fault::bad("the head is not a request"));
    };
    let method = Span::of(bytes, method.as_bytes())?;
    let target = Span::of(bytes, target.as_bytes())?;
    Ok((RequestLine { method, target, old: version == 0 }, Fields::spans(bytes, request.headers)?))
}

fn fault_of(error: httparse::Error) -> Fault {
    match error {
        httparse::Error::TooManyHeaders => Fault::with(431, "the head has too many headers"),
        httparse::Error::Version => Fault::with(505, "the http version is not served; use http/1.1"),
        httparse::Error::HeaderName => Fault::bad("a header name is malformed"),
        httparse::Error::HeaderValue => Fault::bad("a header value has a character that is not allowed there"),
        httparse::Error::NewLine => Fault::bad("a line does not end with crlf"),
        httparse::Error::Status => Fault::bad("the status line is malformed"),
        httparse::Error::Token => Fault::bad("the first line is malformed"),
    }
}

/// The head of one answer. Its buffer goes back to the thread's pool when dropped.
#[derive(Debug)]
pub struct ResponseHead {
    fields: Fields,
    status: u16,
    framing: Framing,
    keep_alive: bool,
}

impl ResponseHead {
    /// Reads a whole head, its empty line included and nothing after it; `to` is the method it answers.
    ///
    /// # Errors
    /// Why the answer cannot be taken.
    pub fn parse(bytes: Vec<u8>, to: Method) -> Result<Self, Fault> {
        let (status, old, spans) = parse_response(&bytes)?;
        let fields = Fields::new(bytes, spans)?;
        let hop = Hop::read(&fields, old)?;
        if hop.coded {
            return Err(Fault::bad("the answer has a content-encoding that was not asked for"));
        }
        let bodyless = to == Method::Head || status < 200 || matches!(status, 204 | 304);
        let framing = if bodyless { Framing::None } else { hop.framing().unwrap_or(Framing::Close) };
        let keep_alive = !hop.close && (!old || hop.keep_alive) && framing != Framing::Close;
        Ok(Self { fields, status, framing, keep_alive })
    }

    /// The status code, 100 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first value of a header; names compare without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.all(name).next()
    }

    /// Every header, in order.
    pub fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter()
    }

    /// The body's length.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the server lets the connection live on once the body is read.
    pub(crate) fn keep_alive(&self) -> bool {
        self.keep_alive
    }
}

fn parse_response(bytes: &[u8]) -> Result<(u16, bool, Spans), Fault> {
    if !bytes.starts_with(b"HTTP/1.") {
        return Err(Fault::bad("the answer does not start with an http/1 status line"));
    }
    let mut room = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_response_with_uninit_headers(&mut response, bytes, &mut room).map_err(fault_of)?;
    let whole = status == httparse::Status::Complete(bytes.len());
    let (Some(code), Some(version), true) = (response.code, response.version, whole) else {
        return Err(Fault::bad("the head is not an answer"));
    };
    if code < 100 {
        return Err(Fault::bad("the status code is not one"));
    }
    Ok((code, version == 0, Fields::spans(bytes, response.headers)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RequestHead, u16> {
        RequestHead::parse(text.as_bytes().to_vec()).map_err(|fault| fault.status)
    }

    #[test]
    fn a_head_gives_its_parts_as_they_came() {
        let head =
            parse("POST /mcp/x?y=%20 HTTP/1.1\r\nHost: gate:1\r\nX-A:  one\t\r\nx-a: two\r\nEmpty:\r\n\r\n").unwrap();
        assert_eq!((head.method(), head.path(), head.query()), (Method::Post, "/mcp/x", Some("y=%20")));
        assert_eq!((head.host(), head.header("HOST"), head.header("nope")), (Some("gate:1"), Some("gate:1"), None));
        assert_eq!(head.headers("x-A").collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(head.header("empty"), Some(""));
        assert_eq!(head.all_headers().count(), 4);
        assert!(head.keep_alive() && !head.expects_continue() && head.framing() == Framing::None);
    }

    #[test]
    fn json_is_one_content_type_in_utf8() {
        let is =
            |types: &str| parse(&format!("POST / HTTP/1.1\r\nhost: a\r\n{types}\r\n")).unwrap().content_type_is_json();
        for yes in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json ;charset=\"UTF-8\"",
            "application/json;",
            "application/json; v=1",
        ] {
            assert!(is(&format!("Content-Type: {yes}\r\n")), "{yes}");
        }
        for no in
            ["text/plain", "application/jsonx", "application/json, text/plain", "application/json; charset=utf-16", ""]
        {
            assert!(!is(&format!("content-type: {no}\r\n")), "{no}");
        }
        assert!(!is(""));
        assert!(!is("content-type: application/json\r\ncontent-type: application/json\r\n"));
    }

    #[test]
    fn bytes_that_are_not_text_are_refused() {
        for value in [&b"\xff"[..], b"\xc3", b"a\0b", b"a\x7f", b"a\x01"] {
            let head = [b"GET / HTTP/1.1\r\nhost: a\r\nx: ", value, b"\r\n\r\n"].concat();
            assert_eq!(RequestHead::parse(head).map_err(|fault| fault.status).map(|_| ()), Err(400), "{value:?}");
        }
        assert_eq!(parse("GET / HTTP/1.1\r\nhost: a\r\nx: \u{e9}\r\n\r\n").unwrap().header("x"), Some("\u{e9}"));
    }

    #[test]
    fn nothing_makes_the_parsers_panic_and_what_passes_is_clean() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let forms = [bytes.to_vec(), [b"GET / HTTP/1.1\r\nhost: a\r\n", bytes, b"\r\n\r\n"].concat()];
            for form in forms {
                let Ok(head) = RequestHead::parse(form) else { continue };
                assert!(head.path().starts_with('/') || head.path() == "*");
                assert!(head.host().is_none_or(host::is_authority));
                for (name, value) in head.all_headers() {
                    assert!(!name.is_empty() && !value.contains(['\r', '\n', '\0']), "{name:?}: {value:?}");
                }
            }
            let _ = ResponseHead::parse([b"HTTP/1.1 200 ", bytes].concat(), Method::Get);
            let _ = ResponseHead::parse(bytes.to_vec(), Method::Get);
        });
    }

    #[test]
    fn headers_come_back_as_they_were_sent() {
        bolero::check!().with_type::<Vec<(u8, String)>>().for_each(|headers| {
            let clean = |value: &str| value.chars().filter(|c| *c == '\t' || !c.is_ascii_control()).collect::<String>();
            let name = |n: u8| format!("x-{n:x}");
            let sent: Vec<_> = headers
                .iter()
                .take(90)
                .map(|(n, v)| (name(*n), clean(v).trim_matches([' ', '\t']).to_owned()))
                .collect();
            let mut text = "GET / HTTP/1.1\r\nhost: a\r\n".to_owned();
            sent.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
            let head = parse(&(text + "\r\n")).unwrap();
            let came: Vec<_> = head.all_headers().skip(1).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            assert_eq!(came, sent);
        });
    }
}
