//! Upstream servers of our own making, one thread a connection: well-behaved in either era, or bad in every way.

use crate::http;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// Tools on one page of a list.
const PAGE: usize = 20;

/// The wire a fake speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// 2026-07-28 only.
    Modern,
    /// The handshake, without sessions.
    Stateless,
    /// The handshake, with a session id that must come back.
    Sessions,
}

/// What the fake has seen and done, for tests to read.
#[derive(Default)]
pub(crate) struct Counts {
    /// Calls that arrived.
    pub(crate) calls: AtomicU64,
    /// Bytes of the endless answer that the gate took before it closed.
    pub(crate) endless_bytes: AtomicU64,
    /// Calls whose connection was closed by the gate before they were answered.
    pub(crate) abandoned: AtomicU64,
}

/// A server on a port of its own. It stops accepting and answering when dropped.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    pub(crate) counts: Arc<Counts>,
    is_stopped: Arc<AtomicBool>,
    tools: Arc<RwLock<Vec<String>>>,
}

impl Fake {
    /// Serves these definitions.
    pub(crate) fn serve(wire: Wire, tools: Vec<String>) -> Self {
        Self::serve_at(crate::gate::free_address(), wire, tools)
    }

    pub(crate) fn serve_at(address: SocketAddr, wire: Wire, tools: Vec<String>) -> Self {
        // The one that listened there before may take a moment to go.
        let mut bound = TcpListener::bind(address);
        crate::gate::eventually("its port is free", Duration::from_secs(20), || {
            if bound.is_err() {
                bound = TcpListener::bind(address);
            }
            bound.is_ok()
        });
        let listener = bound.unwrap();
        let tools = Arc::new(RwLock::new(tools));
        let fake = Self { address, counts: Arc::default(), is_stopped: Arc::default(), tools: tools.clone() };
        let (counts, is_stopped) = (fake.counts.clone(), fake.is_stopped.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_stopped.load(Ordering::Relaxed) {
                    return;
                }
                let is_stopped = is_stopped.clone();
                let peer = Peer { wire, tools: tools.clone(), counts: counts.clone(), is_stopped };
                std::thread::spawn(move || peer.serve(stream));
            }
        });
        fake
    }

    /// Serves one tool a name, each with an open schema.
    pub(crate) fn plain(wire: Wire, names: &[&str]) -> Self {
        let define = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}}).to_string();
        Self::serve(wire, names.iter().map(define).collect())
    }

    /// Lists these definitions from now on.
    pub(crate) fn change(&self, tools: Vec<String>) {
        *self.tools.write().unwrap() = tools;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// Names of tools that misbehave when called.
pub(crate) const FAULTS: &[&str] = &[
    "fault_hang",
    "fault_close",
    "fault_garbage",
    "fault_not_rpc",
    "fault_wrong_id",
    "fault_status_500",
    "fault_redirect",
    "fault_short_body",
    "fault_bad_chunk",
    "fault_cut_stream",
    "fault_endless",
    "fault_endless_comment",
    "fault_endless_lines",
    "fault_comments",
    "fault_strangers",
    "fault_requests",
    "fault_not_http",
];

/// One request as the fake reads it.
struct Request {
    session: Option<String>,
    body: Vec<u8>,
}

struct Peer {
    wire: Wire,
    tools: Arc<RwLock<Vec<String>>>,
    counts: Arc<Counts>,
    is_stopped: Arc<AtomicBool>,
}

impl Peer {
    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        while let Some(request) = read_request(&mut reader) {
            if self.is_stopped.load(Ordering::Relaxed) {
                return;
            }
            let Ok(message) = serde_json::from_slice::<Value>(&request.body) else {
                respond(&mut writer, 405, "", b"");
                continue;
            };
            if !self.answer(&mut writer, &request, &message) {
                return;
            }
        }
    }

    /// Answers one message; false when the connection is over.
    fn answer(&self, writer: &mut TcpStream, request: &Request, message: &Value) -> bool {
        let id = message["id"].clone();
        let method = message["method"].as_str().unwrap_or_default();
        if id.is_null() {
            return respond(writer, 202, "", b"");
        }
        let is_modern = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string();
        let is_hello = method == "initialize";
        if is_modern != (self.wire == Wire::Modern) {
            let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32600, "message": "not my era"}});
            return respond(writer, 400, JSON, error.to_string().as_bytes());
        }
        if self.wire == Wire::Sessions && !is_hello && request.session.is_none() {
            return respond(writer, 400, "", b"no session");
        }
        let name = message["params"]["name"].as_str().unwrap_or_default();
        if method == "tools/call" {
            self.counts.calls.fetch_add(1, Ordering::Relaxed);
            if name.starts_with("fault_") {
                return self.misbehave(writer, name, &id);
            }
        }
        let result = self.result(method, name, message);
        let body = match result {
            Some(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            None => json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}}),
        };
        let extra = if is_hello && self.wire == Wire::Sessions {
            format!("{JSON}Mcp-Session-Id: session-{}\r\n", id)
        } else {
            JSON.to_owned()
        };
        respond(writer, 200, &extra, body.to_string().as_bytes())
    }

    fn result(&self, method: &str, name: &str, message: &Value) -> Option<Value> {
        let mut result = match method {
            "server/discover" => json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}),
            "initialize" => json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "fake", "version": "1"},
            }),
            "ping" => json!({}),
            "tools/list" => self.page(message["params"]["cursor"].as_str()),
            "tools/call" => {
                let said = json!({"tool": name, "arguments": message["params"]["arguments"]});
                json!({"content": [{"type": "text", "text": said.to_string()}], "structuredContent": said})
            }
            _ => return None,
        };
        if self.wire == Wire::Modern {
            result["resultType"] = json!("complete");
            result["ttlMs"] = json!(60_000);
            result["cacheScope"] = json!("public");
        }
        Some(result)
    }

    fn page(&self, cursor: Option<&str>) -> Value {
        let from: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let tools = self.tools.read().unwrap();
        let to = (from + PAGE).min(tools.len());
        let parse = |text: &String| serde_json::from_str::<Value>(text).unwrap();
        let mut page = json!({"tools": tools[from..to].iter().map(parse).collect::<Vec<_>>()});
        if to < tools.len() {
            page["nextCursor"] = json!(to.to_string());
        }
        page
    }

    /// Answers a call badly, as the tool's name says.
    fn misbehave(&self, writer: &mut TcpStream, name: &str, id: &Value) -> bool {
        let good = json!({"jsonrpc": "2.0", "id": id, "result": {"content": [], "resultType": "complete"}}).to_string();
        let raw = |writer: &mut TcpStream, bytes: &str| {
            let _ = writer.write_all(bytes.as_bytes());
            false
        };
        match name {
            "fault_hang" => self.hang(writer),
            "fault_close" => false,
            "fault_garbage" => respond(writer, 200, JSON, b"<html>it works!</html>"),
            "fault_not_rpc" => respond(writer, 200, JSON, b"{\"hello\":\"world\"}"),
            "fault_wrong_id" => {
                respond(writer, 200, JSON, good.replacen("\"id\":", "\"id\":\"other\",\"was\":", 1).as_bytes())
            }
            "fault_status_500" => respond(writer, 500, "Content-Type: text/plain\r\n", b"oops"),
            "fault_redirect" => respond(writer, 307, "Location: http://127.0.0.1:1/elsewhere\r\n", b""),
            "fault_short_body" => {
                raw(writer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{")
            }
            "fault_bad_chunk" => raw(
                writer,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
                 zz\r\n{}\r\n0\r\n\r\n",
            ),
            "fault_cut_stream" => raw(
                writer,
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
                 1b\r\nevent: message\ndata: {\"json\r\n0\r\n\r\n",
            ),
            "fault_endless" => self.flood(writer, "data:", &"x".repeat(FLOOD)),
            "fault_endless_comment" => self.flood(writer, ":", &"x".repeat(FLOOD)),
            "fault_endless_lines" => self.flood(writer, "", &format!("data:{}\n", "x".repeat(FLOOD))),
            "fault_comments" => self.flood(writer, "", ": still here\n\n"),
            "fault_strangers" => self.flood(writer, "", &event("notifications/of/others", None)),
            "fault_requests" => self.flood(writer, "", &event("elicitation/create", Some("orphan"))),
            "fault_not_http" => raw(writer, "SSH-2.0-OpenSSH_9.2p1\r\n"),
            _ => panic!("no such fault: {name}"),
        }
    }

    /// Says nothing until the gate gives up.
    fn hang(&self, writer: &mut TcpStream) -> bool {
        writer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        if matches!(writer.read(&mut [0; 1]), Ok(0)) {
            self.counts.abandoned.fetch_add(1, Ordering::Relaxed);
        }
        false
    }

    /// An event stream that begins like this and goes on and on with the same: 5 GB, unless the gate closes first.
    fn flood(&self, writer: &mut TcpStream, begin: &str, part: &str) -> bool {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        let parts = chunk(&part.repeat((FLOOD / part.len()).max(1)));
        let begin = if begin.is_empty() { String::new() } else { chunk(begin) };
        writer.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        if writer.write_all(format!("{head}{begin}").as_bytes()).is_err() {
            return false;
        }
        for _ in 0..(5 << 30) / FLOOD {
            if writer.write_all(parts.as_bytes()).is_err() {
                return false;
            }
            if part.len() >= FLOOD {
                self.counts.endless_bytes.fetch_add(part.len() as u64, Ordering::Relaxed);
            }
        }
        false
    }
}

/// Bytes of a flood that are written at once.
const FLOOD: usize = 0x10000;

/// An event with a message that belongs to nothing the gate has asked.
fn event(method: &str, id: Option<&str>) -> String {
    let mut message = json!({"jsonrpc": "2.0", "method": method, "params": {"message": "", "requestedSchema": {}}});
    if let Some(id) = id {
        message["id"] = json!(id);
    }
    format!("event: message\ndata: {message}\n\n")
}

const JSON: &str = "Content-Type: application/json\r\n";

/// Writes an answer; false when the peer has gone.
fn respond(writer: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> bool {
    let mut bytes = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    writer.write_all(&bytes).is_ok()
}

/// Reads one request, framed by length or chunks; nothing at the end.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let (mut length, mut is_chunked, mut session) = (0, false, None);
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "transfer-encoding" => is_chunked = true,
            "mcp-session-id" => session = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if !is_chunked {
        body.resize(length, 0);
        reader.read_exact(&mut body).ok()?;
        return Some(Request { session, body });
    }
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return Some(Request { session, body });
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

#[test]
fn a_fake_serves_its_own_era_in_pages() {
    let names: Vec<String> = (0..45).map(|at| format!("tool_{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let fake = Fake::plain(Wire::Modern, &names);
    let client = crate::mcp::Client::new(fake.address);
    assert_eq!(client.tools().len(), 45);
    assert_eq!(client.call("tool_3", json!({"a": 1})).answer()["result"]["structuredContent"]["arguments"]["a"], 1);
    let legacy = Fake::plain(Wire::Sessions, &["t"]);
    let refused =
        http::once(legacy.address, &http::request("POST", "/mcp", &[], b"{\"id\":1,\"method\":\"tools/list\"}"));
    assert_eq!(refused.status, 400);
}
