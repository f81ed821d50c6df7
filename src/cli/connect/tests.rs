//! The bridge against a small gate of its own.

use super::bridge;
use super::gate::Gate;
use super::lines::Output;
use crate::base::error::Result;
use crate::rt::shard::{Driver, block_on};
use crate::rt::{mailbox, time};
use crate::wire::http::{Endpoint, HeaderBlock};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// One request as the small gate saw it: its head in lower case, and its body.
#[derive(Debug)]
struct Seen {
    head: String,
    body: String,
}

/// What to answer: the whole response, and whether to hold the connection open after it.
type Answer = Arc<dyn Fn(&Seen) -> String + Send + Sync>;

fn small_gate(answer: Answer) -> (u16, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let (sender, seen) = sync_channel(64);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (answer, sender) = (answer.clone(), sender.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("clone"));
                while let Some(seen) = request(&mut reader) {
                    let text = answer(&seen);
                    let _ = sender.try_send(seen);
                    let mut stream = &stream;
                    if text.is_empty() || stream.write_all(text.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (port, seen)
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head
        .split("content-length: ")
        .nth(1)
        .map_or(0, |rest| rest.lines().next().expect("value").parse().expect("length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { head, body: String::from_utf8(body).expect("text") })
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn json(body: &str) -> String {
    reply("200 OK", "content-type: application/json\r\n", body)
}

#[derive(Clone, Default)]
struct Collected(Rc<RefCell<Vec<String>>>);

impl Output for Collected {
    fn message(&self, message: Vec<u8>) -> Result<()> {
        self.0.borrow_mut().push(String::from_utf8(message).expect("text"));
        Ok(())
    }
}

/// Runs the bridge over these lines, `pause` apart, on both drivers' common ground, and gives what it wrote.
fn bridge_lines(port: u16, lines: &[&str], pause: Duration) -> Vec<String> {
    let headers = HeaderBlock::new(&[("authorization", "Bearer tg_key")]).expect("headers");
    let gate = Gate::new(Endpoint::new("127.0.0.1", port, None), "/mcp".into(), headers);
    let (sender, receiver) = mailbox::try_mailbox(16).expect("an eventfd");
    let collected = Collected::default();
    let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    let out = collected.clone();
    let ran = block_on(Driver::Epoll, async move {
        crate::rt::task::spawn(async move {
            for line in lines {
                assert!(sender.try_send(line).is_ok());
                time::sleep(pause).await;
            }
        });
        time::timeout(Duration::from_secs(20), bridge::run(gate, receiver, out)).await.expect("in time")
    });
    ran.expect("runtime").expect("bridge");
    collected.0.take()
}

const SOON: Duration = Duration::from_millis(20);
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const HELLO: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}"#;

/// A legacy gate whose first session is forgotten after the handshake where `forgets`.
fn legacy(forgets: bool) -> Answer {
    let sessions = std::sync::atomic::AtomicU32::new(0);
    Arc::new(move |seen| {
        if seen.head.starts_with("get ") {
            return reply("405 Method Not Allowed", "", "");
        }
        if seen.head.starts_with("delete ") {
            return reply("200 OK", "", "");
        }
        if seen.body.contains("\"initialize\"") {
            let number = sessions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let headers = format!("content-type: application/json\r\nmcp-session-id: s{number}\r\n");
            return reply("200 OK", &headers, HELLO);
        }
        if seen.body.contains("notifications/") {
            return reply("202 Accepted", "", "");
        }
        if forgets && seen.head.contains("mcp-session-id: s0") {
            let gone = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-31005,"message":"gone"}}"#;
            return reply("404 Not Found", "content-type: application/json\r\n", gone);
        }
        json("{\"jsonrpc\":\"2.0\",\n\"id\":1,\"result\":{}}")
    })
}

#[test]
fn a_legacy_session_is_kept_and_ended() {
    let (port, seen) = small_gate(legacy(false));
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let out = bridge_lines(port, &[INITIALIZE, INITIALIZED, call], SOON);
    assert_eq!(out.len(), 2, "{out:?}");
    assert_eq!(out[0], HELLO);
    let seen: Vec<Seen> = seen.try_iter().collect();
    assert!(!seen[0].head.contains("mcp-session-id") && seen[0].head.contains("authorization: bearer tg_key"));
    let ping = seen.iter().find(|seen| seen.body.contains("ping")).expect("ping");
    assert!(ping.head.contains("mcp-session-id: s0") && ping.head.contains("mcp-protocol-version: 2025-06-18"));
    assert!(ping.head.contains("accept: application/json, text/event-stream"));
    assert!(seen.last().expect("last").head.starts_with("delete /mcp"), "{seen:?}");
}

#[test]
fn a_forgotten_session_is_opened_again_unseen() {
    let (port, seen) = small_gate(legacy(true));
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let out = bridge_lines(port, &[INITIALIZE, INITIALIZED, call], SOON);
    assert_eq!(out.len(), 2, "{out:?}");
    assert!(out[1].contains("\"result\""), "{out:?}");
    let again: Vec<Seen> = seen.try_iter().filter(|seen| seen.body.contains("ping")).collect();
    assert!(again.len() == 2 && again[1].head.contains("mcp-session-id: s1"), "{again:?}");
}

/// A modern request.
fn modern(id: u32, method: &str, params: &str) -> String {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":{}}"#;
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{meta}}}}}"#)
}

#[test]
fn modern_requests_carry_their_headers_and_events_become_lines() {
    let (port, seen) = small_gate(Arc::new(|seen: &Seen| {
        if seen.body.contains("tools/list") {
            let tool = r#"{"name":"q","inputSchema":{"type":"object",
                "properties":{"r":{"type":"integer","x-mcp-header":"Row"}}}}"#;
            return json(&format!(r#"{{"jsonrpc":"2.0","id":"tollgate-connect","result":{{"tools":[{tool}]}}}}"#));
        }
        let events = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n: ping\n\n\
                      data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":7,\"result\":{}}\n\n";
        reply("200 OK", "content-type: text/event-stream\r\n", events)
    }));
    let call = modern(7, "tools/call", r#""name":"q","arguments":{"r":5},"#);
    let out = bridge_lines(port, &[&call], SOON);
    assert_eq!(out.len(), 2, "{out:?}");
    assert!(out[0].contains("progress") && out[1].contains("\"id\":7"), "{out:?}");
    let seen: Vec<Seen> = seen.try_iter().collect();
    assert!(seen[0].head.contains("mcp-method: tools/list"), "the tools are learned before the first call");
    for part in ["mcp-method: tools/call", "mcp-name: q", "mcp-param-row: 5", "mcp-protocol-version: 2026-07-28"] {
        assert!(seen[1].head.contains(part), "{part}: {}", seen[1].head);
    }
}

#[test]
fn every_request_is_answered_whatever_happens() {
    let (port, _seen) = small_gate(Arc::new(|seen: &Seen| match &*seen.body {
        body if body.contains("keyless") => {
            let body = r#"{"jsonrpc":"2.0","error":{"code":-31001,"message":"no valid key"}}"#;
            reply("401 Unauthorized", "content-type: application/json\r\n", body)
        }
        body if body.contains("html") => reply("502 Bad Gateway", "content-type: text/html\r\n", "<html>"),
        body if body.contains("other") => reply("500 Oops", "content-type: application/json\r\n", "{\"error\":1}"),
        _ => String::new(),
    }));
    let lines = [modern(1, "keyless", ""), modern(2, "html", ""), modern(3, "other", ""), modern(4, "drop", "")];
    let lines: Vec<&str> = lines.iter().map(String::as_str).chain(["{\"jsonrpc\":", "{}"]).collect();
    let out = bridge_lines(port, &lines, SOON);
    let answer = |part: &str| out.iter().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {out:?}"));
    assert!(answer("\"id\":1").contains("no valid key"));
    assert!(answer("\"id\":2").contains("HTTP 502"));
    assert!(answer("\"id\":3").contains("HTTP 500"));
    assert!(answer("\"id\":4").contains("closed the connection"));
    assert!(answer("-32700").contains("error"));
    assert!(answer("-32600").contains("error"));
    assert_eq!(out.len(), 6, "{out:?}");
}

#[test]
fn a_cancelled_modern_request_closes_its_connection_and_says_nothing() {
    let (port, seen) = small_gate(Arc::new(|seen: &Seen| {
        if seen.body.contains("slow") {
            std::thread::park_timeout(Duration::from_secs(5));
        }
        json(r#"{"jsonrpc":"2.0","id":2,"result":{}}"#)
    }));
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let lines = [modern(1, "slow", ""), cancel.to_owned(), modern(2, "quick", "")];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let out = bridge_lines(port, &lines, SOON);
    assert_eq!(out, [r#"{"jsonrpc":"2.0","id":2,"result":{}}"#]);
    assert!(seen.try_iter().all(|seen| !seen.body.contains("cancelled")), "closing says it already");
}
