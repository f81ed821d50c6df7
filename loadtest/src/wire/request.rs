//! Whole requests as bytes: one head a target, one line a key, one tail a method and tool. A request in flight is these
//! three copied together, and ten digits patched in.

use super::body::{self, Call, ID, LEGACY, MODERN};
use crate::order::{Era, Target};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a request asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `tools/list`.
    List,
    /// `tools/call`.
    Call,
    /// Anything else; any JSON-RPC result is good.
    Other,
}

/// The end of a request: the headers that differ by method and tool, and the body.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it asks.
    pub method: Method,
    bytes: Vec<u8>,
    /// Where in `bytes` the id stands, and the progress token.
    marks: Vec<usize>,
}

/// What a legacy session puts into each request's head; empty in the modern era.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session(Vec<u8>);

impl Session {
    /// The session of this id.
    pub fn new(id: &str) -> Self {
        Self(format!("Mcp-Session-Id: {id}\r\n").into_bytes())
    }
}

/// The requests of a run.
#[derive(Clone, Debug)]
pub struct Requests {
    era: Era,
    head: Vec<u8>,
    get: Vec<u8>,
    delete: Vec<u8>,
    keys: Vec<Vec<u8>>,
    tails: Vec<Request>,
}

impl Requests {
    /// None yet, for a target.
    pub fn new(target: &Target, era: Era) -> Self {
        let version = match era {
            Era::Modern => MODERN,
            Era::Legacy => LEGACY,
        };
        let start = |method: &str| {
            format!("{method} {} HTTP/1.1\r\nHost: {}\r\nMCP-Protocol-Version: {version}\r\n", target.path, target.host)
        };
        let post = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";
        let line = |key: &String| format!("Authorization: Bearer {key}\r\n").into_bytes();
        Self {
            era,
            head: (start("POST") + post).into_bytes(),
            get: (start("GET") + "Accept: text/event-stream\r\n").into_bytes(),
            delete: (start("DELETE") + "Content-Length: 0\r\n").into_bytes(),
            keys: target.keys.iter().map(line).collect(),
            tails: Vec::new(),
        }
    }

    /// The era.
    pub fn era(&self) -> Era {
        self.era
    }

    /// Keys there are to choose from; 0: requests carry none.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// The n-th request that was added.
    pub fn get(&self, request: usize) -> &Request {
        &self.tails[request]
    }

    /// Adds a `tools/list`; its number.
    pub fn add_list(&mut self, cursor: Option<&str>) -> usize {
        let rest = cursor.map(|cursor| format!(r#""cursor":{}"#, serde_json::Value::from(cursor)));
        let body = body::request("tools/list", rest.as_deref().unwrap_or_default(), self.era, false);
        self.add(Method::List, "tools/list", None, &body)
    }

    /// Adds a `tools/call`; its number.
    pub fn add_call(&mut self, call: &Call<'_>) -> usize {
        self.add(Method::Call, "tools/call", Some(call.tool), &call.body(self.era))
    }

    /// Adds a `subscriptions/listen` for changes of the list of tools; its number.
    pub fn add_listen(&mut self) -> usize {
        let rest = r#""notifications":{"toolsListChanged":true}"#;
        let body = body::request("subscriptions/listen", rest, self.era, false);
        self.add(Method::Other, "subscriptions/listen", None, &body)
    }

    /// Adds an `initialize`; its number.
    pub fn add_initialize(&mut self) -> usize {
        let client = concat!(r#"{"name":"tollgate-load","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
        let rest = format!(r#""protocolVersion":"{LEGACY}","capabilities":{{}},"clientInfo":{client}"#);
        let body = body::request("initialize", &rest, self.era, false);
        self.add(Method::Other, "initialize", None, &body)
    }

    /// Adds a `notifications/initialized`; its number.
    pub fn add_initialized(&mut self) -> usize {
        let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        self.add(Method::Other, "notifications/initialized", None, body)
    }

    fn add(&mut self, method: Method, name: &str, tool: Option<&str>, body: &str) -> usize {
        let mut text = String::new();
        if self.era == Era::Modern {
            text = format!("Mcp-Method: {name}\r\n");
            if let Some(tool) = tool {
                text += &format!("Mcp-Name: {}\r\n", header_value(tool));
            }
        }
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let marks = marks(&text);
        self.tails.push(Request { method, bytes: text.into_bytes(), marks });
        self.tails.len() - 1
    }

    /// Writes a request into `out`, which is emptied before; the id is 0 until [`Requests::patch`] puts one in.
    pub fn write(&self, request: usize, key: usize, session: &Session, out: &mut Vec<u8>) {
        self.start(&self.head, key, session, out);
        out.extend_from_slice(&self.tails[request].bytes);
    }

    /// Writes a `GET` for a session's stream into `out`.
    pub fn write_get(&self, key: usize, session: &Session, out: &mut Vec<u8>) {
        self.start(&self.get, key, session, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes a `DELETE` of a session into `out`.
    pub fn write_delete(&self, key: usize, session: &Session, out: &mut Vec<u8>) {
        self.start(&self.delete, key, session, out);
        out.extend_from_slice(b"\r\n");
    }

    fn start(&self, head: &[u8], key: usize, session: &Session, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(head);
        if let Some(line) = self.keys.get(key) {
            out.extend_from_slice(line);
        }
        out.extend_from_slice(&session.0);
    }

    /// Puts an id into a request that [`Requests::write`] has written.
    pub fn patch(&self, request: usize, id: Id, out: &mut [u8]) {
        let tail = &self.tails[request];
        let start = out.len() - tail.bytes.len();
        for mark in &tail.marks {
            let at = start + mark;
            out[at..at + ID.len()].copy_from_slice(&id.0);
        }
    }
}

/// A request's id: ten digits, the first not 0, as they stand in the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(pub [u8; 10]);

impl Id {
    /// The n-th id; they repeat after nine thousand million.
    pub fn nth(n: u64) -> Self {
        let mut rest = n % 9_000_000_000 + 1_000_000_000;
        let mut digits = [b'0'; 10];
        for digit in digits.iter_mut().rev() {
            *digit += u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        Self(digits)
    }
}

/// Where the placeholder of the id stands as a whole value.
fn marks(text: &str) -> Vec<usize> {
    let keys = [format!("\"id\":{ID},"), format!("\"progressToken\":{ID}}}")];
    let found = keys.iter().filter_map(|key| Some(text.find(key.as_str())? + key.len() - 1 - ID.len()));
    found.collect()
}

/// A tool's name as a header's value: as it is, or wrapped as the protocol says where it is not plain ASCII.
fn header_value(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && name.trim() == name;
    if is_plain && !name.starts_with("=?base64?") {
        return name.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(name))
}

#[cfg(test)]
mod tests {
    use super::super::Arguments;
    use super::*;

    fn target(keys: &[&str]) -> Target {
        Target {
            name: "gate".into(),
            address: ([127, 0, 0, 1], 1).into(),
            host: "localhost:1".into(),
            path: "/mcp".into(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            prefix: String::new(),
            metrics: None,
            process: None,
        }
    }

    fn text(requests: &Requests, request: usize, key: usize, session: &Session) -> String {
        let mut out = b"old".to_vec();
        requests.write(request, key, session, &mut out);
        requests.patch(request, Id::nth(234), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_modern_call_has_its_headers_key_and_id() {
        let mut requests = Requests::new(&target(&["k1", "k2"]), Era::Modern);
        let call = Call { tool: "echo", arguments: Arguments::Progress(1, 2), bytes: Some(400) };
        let call = requests.add_call(&call);
        let text = text(&requests, call, 1, &Session::default());
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /mcp HTTP/1.1\r\nHost: localhost:1\r\nMCP-Protocol-Version: 2026-07-28\r\n"));
        for line in ["Authorization: Bearer k2", "Mcp-Method: tools/call", "Mcp-Name: echo", "Content-Length: 400"] {
            assert!(head.lines().any(|have| have == line), "{line}: {head}");
        }
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["id"], &body["params"]["_meta"]["progressToken"]), (&1_000_000_234.into(), &body["id"]));
    }

    #[test]
    fn a_legacy_request_carries_its_session_and_no_modern_header() {
        let mut requests = Requests::new(&target(&[]), Era::Legacy);
        let list = requests.add_list(None);
        let text = text(&requests, list, 0, &Session::new("abc"));
        assert!(text.contains("\r\nMcp-Session-Id: abc\r\n") && !text.contains("Mcp-Method"), "{text}");
        assert!(!text.contains("Authorization") && text.contains("\"id\":1000000234,"), "{text}");
    }

    #[test]
    fn ids_have_ten_digits_and_odd_names_are_wrapped() {
        assert_eq!((&Id::nth(0).0, &Id::nth(8_999_999_999).0), (b"1000000000", b"9999999999"));
        assert_eq!(Id::nth(9_000_000_007), Id::nth(7));
        assert_eq!((header_value("a b"), header_value("ä")), ("a b".into(), "=?base64?w6Q=?=".into()));
    }
}
