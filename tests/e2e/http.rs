//! A small HTTP/1.1 client that sends exactly the bytes it is given and reads what comes back.

use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for one read or write before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// One answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first header of this name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Every JSON message of the answer: the body, or each event's data.
    pub(crate) fn messages(&self) -> Vec<Value> {
        if self.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return events(&self.text());
        }
        vec![serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))]
    }

    /// The JSON-RPC answer: the last message.
    pub(crate) fn answer(&self) -> Value {
        self.messages().pop().unwrap_or_else(|| panic!("no message in {self:?}"))
    }

    /// The code of the JSON-RPC error answered.
    pub(crate) fn code(&self) -> i64 {
        let answer = self.answer();
        answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error in {answer}"))
    }
}

/// The JSON data of each event of a stream.
pub(crate) fn events(text: &str) -> Vec<Value> {
    let data =
        text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).filter(|data| !data.is_empty());
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))).collect()
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream =
            TcpStream::connect_timeout(&address, PATIENCE).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// Sends bytes; false when the peer has closed.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish_sending(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.read.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("reading from the gate: {error}; so far: {}", String::from_utf8_lossy(&self.read)),
        }
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.read.len() < count {
            if !self.fill() {
                return None;
            }
        }
        let rest = self.read.split_off(count);
        Some(std::mem::replace(&mut self.read, rest))
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let mut line = self.take(end + 2)?;
                line.truncate(end);
                return Some(String::from_utf8(line).unwrap());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Status and headers of the next answer; nothing when the peer closed without one.
    pub(crate) fn head(&mut self) -> Option<Response> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {first}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a header: {line}"));
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        if (100..200).contains(&status) {
            return self.head();
        }
        Some(Response { status, headers, body: Vec::new() })
    }

    /// The next chunk of a chunked body; nothing at its end.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.line()?;
        let size = usize::from_str_radix(line.split(';').next().unwrap(), 16).unwrap();
        let mut chunk = self.take(size + 2)?;
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    /// The next event of a stream, as JSON.
    pub(crate) fn event(&mut self) -> Value {
        let mut text = String::new();
        loop {
            let chunk = self.chunk().unwrap_or_else(|| panic!("the stream ended: {text}"));
            text.push_str(&String::from_utf8(chunk).unwrap());
            if let Some(message) = events(&text).into_iter().next_back().filter(|_| text.ends_with("\n\n")) {
                return message;
            }
        }
    }

    /// The next whole answer; nothing when the peer closed without one.
    pub(crate) fn read(&mut self) -> Option<Response> {
        let head = self.head()?;
        self.body(head)
    }

    /// The rest of an answer whose head was read.
    pub(crate) fn body(&mut self, mut response: Response) -> Option<Response> {
        if response.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            while let Some(chunk) = self.chunk() {
                response.body.extend(chunk);
            }
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().unwrap();
            response.body = self.take(length)?;
        } else if !matches!(response.status, 204 | 304) {
            while self.fill() {}
            response.body = std::mem::take(&mut self.read);
        }
        Some(response)
    }

    /// Whether the peer closes now, having sent nothing more.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.fill()
    }
}

/// One request on a connection of its own.
pub(crate) fn once(address: SocketAddr, bytes: &[u8]) -> Response {
    let mut connection = Connection::open(address);
    connection.send(bytes);
    connection.read().unwrap_or_else(|| panic!("closed without an answer to {}", String::from_utf8_lossy(bytes)))
}

/// The bytes of a request with a body and its length.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !body.is_empty() || method == "POST" {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// One GET.
pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    once(address, &request("GET", path, &[("Connection", "close")], b""))
}
