//! Request and response heads: parsed by httparse, then held to stricter rules, kept as one text and offsets.

use crate::base::ids::{Epoch, KeyId};
use crate::base::limits::HEADERS_MAX;
use crate::wire::http::fault::Fault;
use crate::wire::http::fields::{Fields, Span};
use crate::wire::http::framing::{Framing, Hop};
use crate::wire::http::host;
use crate::wire::http::known::{Head, Known};
use crate::wire::http::method::Method;
use crate::wire::http::names::{Found, Header};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::time::Duration;

/// The head of one request.
#[derive(Debug)]
pub struct RequestHead(Head<RequestFacts>);

/// What is known of a request by a request before it.
pub(crate) type KnownRequest = Known<RequestFacts>;

/// What follows from the lines of a request's head that are the same in every request like it.
#[derive(Debug)]
pub(crate) struct RequestFacts {
    method: Method,
    path: Span,
    query: Option<Span>,
    host: Option<Span>,
    framing: Framing,
    old: bool,
    keep_alive: bool,
    expects_continue: bool,
    json: bool,
    events: bool,
    /// Whose request it was found to be, and under which configuration.
    vouched: Cell<Option<(Epoch, KeyId)>>,
}

impl RequestFacts {
    /// Holds a parsed head to the rules that need all of it.
    fn check(fields: &Fields, line: &RequestLine) -> Result<Self, Fault> {
        let method = Method::parse(line.method.text(fields.text()))?;
        let hop = Hop::read(fields, line.old)?;
        let host = hop.host;
        match host {
            Some(host) if !host::is_authority(host) => return Err(Fault::bad("the host header is not a host")),
            None if !line.old => return Err(Fault::bad("the host header is missing")),
            _ => {}
        }
        let target = host::target(line.target.text(fields.text()), host, method == Method::Options)?;
        if hop.coded {
            return Err(Fault::with(415, "a body with a content-encoding is not accepted"));
        }
        let whole = fields.text().as_bytes();
        let span = |part: &str| if part.is_empty() { Ok(Span::default()) } else { Span::of(whole, part.as_bytes()) };
        Ok(Self {
            method,
            path: span(target.path)?,
            query: target.query.map(span).transpose()?,
            host: host.map(span).transpose()?,
            framing: hop.framing().unwrap_or(Framing::None),
            old: line.old,
            keep_alive: !hop.close && (!line.old || hop.keep_alive),
            expects_continue: expects_continue(&hop, line.old)?,
            json: !fields.is_repeated(Header::ContentType) && fields.first(Header::ContentType).is_some_and(is_json),
            events: fields.known().any(|(header, value)| header == Header::Accept && accepts_events(value)),
            vouched: Cell::new(None),
        })
    }
}

impl RequestHead {
    /// Reads a whole head, its empty line included and nothing after it.
    ///
    /// # Errors
    /// The status to answer and why, where two parsers could read the head differently or it asks for what is not
    /// served.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let (line, fields) = parse_request(bytes)?;
        let facts = RequestFacts::check(&fields, &line)?;
        Ok(Self(Head::parsed(fields, facts)))
    }

    /// The head at the front of what arrived, if it is like a known one, and its length. What is found so is what
    /// [`Self::parse`] would find.
    pub(crate) fn like(known: &Rc<KnownRequest>, arrived: &[u8], head_max: usize) -> Option<(Self, usize)> {
        Head::like(known, arrived, head_max).map(|(head, len)| (Self(head), len))
    }

    /// What to know the next head by.
    pub(crate) fn known(&self) -> Option<Rc<KnownRequest>> {
        self.0.known()
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.0.facts().method
    }

    /// The path of the target, not decoded; `*` for `OPTIONS *`. Routing looks at this and never at `Host`.
    pub fn path(&self) -> &str {
        self.0.facts().path.text(self.0.text())
    }

    /// What follows the target's question mark, not decoded.
    pub fn query(&self) -> Option<&str> {
        self.0.facts().query.map(|query| query.text(self.0.text()))
    }

    /// `Host`, its grammar checked; missing only in HTTP/1.0.
    pub fn host(&self) -> Option<&str> {
        self.0.facts().host.map(|host| host.text(self.0.text()))
    }

    /// What it says under a header's name.
    pub fn find(&self, header: Header) -> Found<'_> {
        self.0.find(header)
    }

    /// Every value of a header, in order.
    pub fn values(&self, header: Header) -> impl Iterator<Item = &str> {
        self.0.values(header)
    }

    /// The first value of a header of any name; names compare without case.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.headers(name).next()
    }

    /// Every value of a header of any name, in order.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.all(name)
    }

    /// Every header, in order.
    pub fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter()
    }

    /// Whether there is exactly one `Content-Type` and it says `application/json` (in UTF-8, if it says a charset).
    pub fn content_type_is_json(&self) -> bool {
        self.0.facts().json
    }

    /// Whether the client takes an event stream as an answer.
    pub fn accepts_events(&self) -> bool {
        self.0.facts().events
    }

    /// Whose request this is, where that was told of a head with the same host, origin and credential on this
    /// connection, under this configuration. Whether the key is still valid is for the asker to see.
    pub fn vouched(&self, epoch: Epoch) -> Option<KeyId> {
        self.0.facts().vouched.get().filter(|(then, _)| *then == epoch).map(|(_, key)| key)
    }

    /// Tells whose request this is, for the heads like it: host, origin and credential were found good.
    pub fn vouch(&self, epoch: Epoch, key: KeyId) {
        self.0.facts().vouched.set(Some((epoch, key)));
    }

    /// The body's length.
    pub fn framing(&self) -> Framing {
        self.0.length().map_or(self.0.facts().framing, Framing::of_length)
    }

    /// Whether the request is HTTP/1.0.
    pub(crate) fn old(&self) -> bool {
        self.0.facts().old
    }

    /// Whether the client lets the connection live on.
    pub(crate) fn keep_alive(&self) -> bool {
        self.0.facts().keep_alive
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(crate) fn expects_continue(&self) -> bool {
        self.0.facts().expects_continue
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

/// Whether a value of `Accept` takes event streams.
fn accepts_events(value: &str) -> bool {
    value.contains("text/event-stream") || value.contains("*/*")
}

/// Whether a content type is an event stream.
fn is_events(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Whether a content type is JSON.
fn is_json(content_type: &str) -> bool {
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

fn parse_request(bytes: &[u8]) -> Result<(RequestLine, Fields), Fault> {
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
    Ok((RequestLine { method, target, old: version == 0 }, Fields::new(bytes, request.headers)?))
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

/// The head of one answer.
#[derive(Debug)]
pub struct ResponseHead(Head<ResponseFacts>);

/// What is known of an answer by an answer before it.
pub(crate) type KnownResponse = Known<ResponseFacts>;

/// What follows from the lines of an answer's head that are the same in every answer like it.
#[derive(Debug)]
pub(crate) struct ResponseFacts {
    /// The method it answers.
    to: Method,
    status: u16,
    bodyless: bool,
    framing: Framing,
    keep_alive: bool,
    json: bool,
    events: bool,
    kept_for: Option<Duration>,
}

impl ResponseFacts {
    fn check(fields: &Fields, to: Method, status: u16, old: bool) -> Result<Self, Fault> {
        let hop = Hop::read(fields, old)?;
        if hop.coded {
            return Err(Fault::bad("the answer has a content-encoding that was not asked for"));
        }
        let bodyless = to == Method::Head || status < 200 || matches!(status, 204 | 304);
        let framing = if bodyless { Framing::None } else { hop.framing().unwrap_or(Framing::Close) };
        let keep_alive = !hop.close && (!old || hop.keep_alive) && framing != Framing::Close;
        let kind = fields.first(Header::ContentType);
        let (json, events) = (kind.is_some_and(is_json), kind.is_some_and(is_events));
        let kept_for = fields.first(Header::KeepAlive).and_then(kept_for);
        Ok(Self { to, status, bodyless, framing, keep_alive, json, events, kept_for })
    }
}

/// How long a server says it keeps an idle connection: `Keep-Alive: timeout=5`, as Node sends it.
fn kept_for(value: &str) -> Option<Duration> {
    let mut parameters = value.split(',');
    let seconds = parameters.find_map(|parameter| parameter.trim().strip_prefix("timeout=")?.parse().ok())?;
    Some(Duration::from_secs(seconds))
}

impl ResponseHead {
    /// Reads a whole head, its empty line included and nothing after it; `to` is the method it answers.
    ///
    /// # Errors
    /// Why the answer cannot be taken.
    pub fn parse(bytes: &[u8], to: Method) -> Result<Self, Fault> {
        let (status, old, fields) = parse_response(bytes)?;
        let facts = ResponseFacts::check(&fields, to, status, old)?;
        Ok(Self(Head::parsed(fields, facts)))
    }

    /// The head at the front of what arrived, if it is like a known one, and its length. What is found so is what
    /// [`Self::parse`] would find.
    pub(crate) fn like(
        known: &Rc<KnownResponse>,
        arrived: &[u8],
        to: Method,
        head_max: usize,
    ) -> Option<(Self, usize)> {
        let (head, len) = Head::like(known, arrived, head_max)?;
        (head.facts().to == to).then_some((Self(head), len))
    }

    /// What to know the next head by.
    pub(crate) fn known(&self) -> Option<Rc<KnownResponse>> {
        self.0.known()
    }

    /// The status code, 100 to 999.
    pub fn status(&self) -> u16 {
        self.0.facts().status
    }

    /// The first value of a header of any name; names compare without case.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.0.all(name).next()
    }

    /// Every header, in order.
    pub fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter()
    }

    /// Whether the content type is JSON.
    pub fn is_json(&self) -> bool {
        self.0.facts().json
    }

    /// Whether the content type is `text/event-stream`.
    pub fn is_event_stream(&self) -> bool {
        self.0.facts().events
    }

    /// The body's length.
    pub fn framing(&self) -> Framing {
        let facts = self.0.facts();
        let length = self.0.length().filter(|_| !facts.bodyless);
        length.map_or(facts.framing, Framing::of_length)
    }

    /// Whether the server lets the connection live on once the body is read.
    pub(crate) fn keep_alive(&self) -> bool {
        self.0.facts().keep_alive
    }

    /// How long the server says it keeps an idle connection.
    pub(crate) fn kept_for(&self) -> Option<Duration> {
        self.0.facts().kept_for
    }
}

fn parse_response(bytes: &[u8]) -> Result<(u16, bool, Fields), Fault> {
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
    Ok((code, version == 0, Fields::new(bytes, response.headers)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RequestHead, u16> {
        RequestHead::parse(text.as_bytes()).map_err(|fault| fault.status)
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
            assert_eq!(RequestHead::parse(&head).map_err(|fault| fault.status).map(|_| ()), Err(400), "{value:?}");
        }
        assert_eq!(parse("GET / HTTP/1.1\r\nhost: a\r\nx: \u{e9}\r\n\r\n").unwrap().header("x"), Some("\u{e9}"));
    }

    #[test]
    fn nothing_makes_the_parsers_panic_and_what_passes_is_clean() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let forms = [bytes.to_vec(), [b"GET / HTTP/1.1\r\nhost: a\r\n", bytes, b"\r\n\r\n"].concat()];
            for form in forms {
                let Ok(head) = RequestHead::parse(&form) else { continue };
                assert!(head.path().starts_with('/') || head.path() == "*");
                assert!(head.host().is_none_or(host::is_authority));
                for (name, value) in head.all_headers() {
                    assert!(!name.is_empty() && !value.contains(['\r', '\n', '\0']), "{name:?}: {value:?}");
                }
            }
            let _ = ResponseHead::parse(&[b"HTTP/1.1 200 ", bytes].concat(), Method::Get);
            let _ = ResponseHead::parse(bytes, Method::Get);
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
