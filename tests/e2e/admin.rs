//! The admin socket as a test sees it: one request, one answer.

use crate::gate::Home;
use crate::http::request;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Status, ETag and body of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) body: Value,
}

/// Asks the gate of this home over its socket.
pub(crate) fn admin(home: &Home, method: &str, path: &str) -> Answer {
    send(home, &request(method, path, &[("Connection", "close")], b""))
}

/// The same with a JSON body, and, where one is given, only from this revision.
pub(crate) fn admin_json(home: &Home, (method, path): (&str, &str), body: &Value, seen: Option<&str>) -> Answer {
    let mut headers = vec![("Connection", "close"), ("Content-Type", "application/json")];
    headers.extend(seen.map(|seen| ("If-Match", seen)));
    send(home, &request(method, path, &headers, body.to_string().as_bytes()))
}

fn send(home: &Home, bytes: &[u8]) -> Answer {
    let mut stream = UnixStream::connect(home.path().join("state/admin.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap();
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).map(str::to_owned);
    Answer { status, etag, body: serde_json::from_str(body).unwrap_or_default() }
}
