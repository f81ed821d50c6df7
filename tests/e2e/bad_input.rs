//! What must never be served: broken JSON, broken framing, too much of anything, and pages from elsewhere.

use crate::fakes::{Fake, Wire};
use crate::gate::{ANYONE, Home, eventually};
use crate::http::{self, Connection, request};
use crate::mcp::{Client, MODERN, modern_body};
use serde_json::json;
use std::time::{Duration, Instant};

struct Yard {
    home: Home,
    _fake: Fake,
}

fn yard() -> Yard {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    Yard { home: Home::new(&format!("{ANYONE}[servers.one]\nurl = \"{}\"\n", fake.url())), _fake: fake }
}

fn assert_alive(client: &Client) {
    for _ in 0..8 {
        assert_eq!(client.modern("tools/list", json!({})).status, 200);
    }
}

#[test]
fn bodies_that_are_no_message_have_their_codes() {
    let yard = yard();
    let gate = yard.home.start();
    let client = Client::new(yard.home.listen);
    let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{}1{}}}"#, "[".repeat(70), "]".repeat(70));
    let long_id = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#, "x".repeat(300));
    let cases: &[(&str, &[u8], i64)] = &[
        ("nothing", b"", -32700),
        ("not JSON", b"{", -32700),
        ("two values", b"{} {}", -32700),
        ("a trailing comma", br#"{"jsonrpc":"2.0","id":1,"method":"ping",}"#, -32700),
        ("a byte order mark", b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", -32700),
        ("not UTF-8", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", -32700),
        ("half a surrogate", br#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#, -32700),
        ("a repeated key", br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, -32700),
        ("a key repeated by escape", br#"{"jsonrpc":"2.0","id":1,"method":"ping","\u006dethod":"x"}"#, -32700),
        ("a key repeated inside", br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":{"b":1,"b":2}}}"#, -32700),
        ("too deep", deep.as_bytes(), -32700),
        ("NaN", br#"{"jsonrpc":"2.0","id":NaN,"method":"ping"}"#, -32700),
        ("a scalar", b"7", -32600),
        ("no version", br#"{"id":1,"method":"ping"}"#, -32600),
        ("another version", br#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        ("a null id", br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        ("an object as id", br#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        ("a very long id", long_id.as_bytes(), -32600),
        ("a method that is no string", br#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        ("an empty batch", b"[]", -32600),
    ];
    let mut failures = Vec::new();
    for (what, body, code) in cases {
        let response = client.post(&[], body);
        let answer = response.answer();
        if (response.status, answer["error"]["code"].as_i64()) != (400, Some(*code)) {
            failures.push(format!("{what}: {} {answer}, not 400 {code}", response.status));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_alive(&client);
    gate.stop();
}

#[test]
fn what_is_too_big_or_elsewhere_is_refused() {
    let yard = yard();
    let gate = yard.home.start();
    let address = yard.home.listen;
    let client = Client::new(address);
    let status = |bytes: &[u8]| http::once(address, bytes).status;
    let before = gate.memory_bytes();
    for _ in 0..8 {
        let refused = client.post(&[], &vec![b' '; 5 << 20]);
        assert_eq!(refused.status, 413, "a body past the limit");
        assert_eq!(refused.answer().get("id"), None, "an id is a string or a number, or is not there");
    }
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let huge = format!("{head}Content-Length: 99999999999\r\n\r\n");
    assert_eq!(status(huge.as_bytes()), 413, "a length past the limit");
    assert!(gate.memory_bytes() < before + (64 << 20), "memory grew from {before} to {}", gate.memory_bytes());
    let long = "x".repeat(40_000);
    assert!(matches!(status(&request("GET", &format!("/{long}"), &[], b"")), 400 | 414 | 431), "a long line");
    assert_eq!(status(&request("GET", "/mcp", &[("X-Long", &long)], b"")), 431, "a long head");
    let many: Vec<(String, String)> = (0..150).map(|at| (format!("X-{at}"), "1".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(status(&request("GET", "/mcp", &many, b"")), 431, "many headers");
    assert_eq!(status(&request("POST", "/mcp", &[("Content-Type", "text/plain")], b"{}")), 415, "another type");
    assert_eq!(status(&request("PUT", "/mcp", &[], b"")), 405, "another method");
    for path in
        ["/", "/mcp/unknown", "/.well-known/oauth-protected-resource", "/.well-known/oauth-authorization-server/mcp"]
    {
        let from = Instant::now();
        let response = http::get(address, path);
        assert_eq!(response.status, 404, "{path}");
        assert!(from.elapsed() < Duration::from_secs(1), "{path} is slow");
    }
    let list = modern_body(1, "tools/list", json!({})).to_string();
    let modern = [("MCP-Protocol-Version", MODERN), ("Mcp-Method", "tools/list")];
    let with = |more: (&str, &str)| client.post(&[modern[0], modern[1], more], list.as_bytes()).status;
    assert_eq!(with(("Origin", "https://evil.example")), 403);
    assert_eq!(with(("Origin", "null")), 403);
    assert_eq!(with(("Origin", "http://localhost:5173")), 200);
    let rebound = request("POST", "/mcp", &modern, list.as_bytes());
    let rebound = String::from_utf8(rebound).unwrap().replacen("Host: localhost", "Host: evil.example", 1);
    assert_eq!(status(rebound.as_bytes()), 403, "a name that is not ours");
    assert_alive(&client);
    gate.stop();
}

/// The bytes in front of the body; the gate must answer 400 and close.
const AMBIGUOUS: &[(&str, &str)] = &[
    ("both framings", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("two lengths", "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
    ("two lengths that differ", "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    ("a list of lengths", "Content-Length: 2, 2\r\n\r\n{}"),
    ("a signed length", "Content-Length: +2\r\n\r\n{}"),
    ("a negative length", "Content-Length: -2\r\n\r\n{}"),
    ("a hexadecimal length", "Content-Length: 0x2\r\n\r\n{}"),
    ("a length past all counting", "Content-Length: 99999999999999999999999999\r\n\r\n{}"),
    ("an empty length", "Content-Length: \r\n\r\n{}"),
    ("a coding before chunked", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("another coding", "Transfer-Encoding: identity\r\n\r\n{}"),
    ("chunked twice", "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked in two headers", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("chunked with a vertical tab", "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    ("a blank before the colon", "Content-Length : 2\r\n\r\n{}"),
    ("a folded line", "X-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\n{}"),
    ("a bare line feed", "X-A: 1\nContent-Length: 2\r\n\r\n{}"),
    ("a null byte", "X-A: \0\r\nContent-Length: 2\r\n\r\n{}"),
    ("a chunk size that is no number", "Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n"),
    ("a chunk size past all counting", "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    ("a chunk longer than it says", "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n"),
];

#[test]
fn ambiguous_framing_is_answered_400_and_closed() {
    let yard = yard();
    let gate = yard.home.start();
    let client = Client::new(yard.home.listen);
    let mut failures = Vec::new();
    for (what, rest) in AMBIGUOUS {
        let smuggled = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        let mut connection = Connection::open(yard.home.listen);
        connection.send(format!("{head}{rest}{smuggled}").as_bytes());
        let status = connection.read().map(|response| response.status);
        let is_closed = connection.is_closed();
        if !(matches!(status, Some(400 | 413 | 501)) && is_closed) {
            failures.push(format!("{what}: {status:?}, closed: {is_closed}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_alive(&client);
    gate.stop();
}

#[test]
fn lengths_that_lie_hurt_nobody_else() {
    let yard = yard();
    let gate = yard.home.start();
    let client = Client::new(yard.home.listen);
    let whole = client.modern_bytes(1, "tools/list", json!({}));
    for cut in [10, 60, whole.len() - 1] {
        let mut connection = Connection::open(yard.home.listen);
        connection.send(&whole[..cut]);
        connection.finish_sending();
        let answer = connection.read();
        assert!(answer.as_ref().is_none_or(|response| response.status == 400), "cut at {cut}: {answer:?}");
    }
    let mut connection = Connection::open(yard.home.listen);
    connection.send(&[whole.clone(), b"lie\r\n\r\n".to_vec()].concat());
    assert_eq!(connection.read().unwrap().status, 200);
    assert_eq!(connection.read().unwrap().status, 400);
    assert!(connection.is_closed());
    assert_alive(&client);
    gate.stop();
}

#[test]
fn connections_are_kept_pipelined_and_asked_to_go_on() {
    let yard = yard();
    let gate = yard.home.start();
    let client = Client::new(yard.home.listen);
    eventually("it is listed", Duration::from_secs(20), || client.tools().len() == 1);
    let mut connection = Connection::open(yard.home.listen);
    let mut bytes = Vec::new();
    for id in 0..20 {
        bytes.extend(client.modern_bytes(id, "tools/call", json!({"name": "one__alpha", "arguments": {"id": id}})));
    }
    connection.send(&bytes);
    for id in 0..20 {
        let answer = connection.read().expect("an answer for each").answer();
        assert_eq!(answer["id"], id, "in order");
        assert_eq!(answer["result"]["structuredContent"]["arguments"]["id"], id);
    }
    let body = modern_body(77, "tools/list", json!({})).to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMCP-Protocol-Version: {MODERN}\r\n\
         Mcp-Method: tools/list\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    connection.send(head.as_bytes());
    let (first, second) = body.split_at(10);
    for part in [first, second] {
        connection.send(format!("{:x};ext=1\r\n{part}\r\n", part.len()).as_bytes());
    }
    connection.send(b"0\r\n\r\n");
    assert_eq!(connection.read().unwrap().answer()["id"], 77, "chunked, after 100-continue");
    gate.stop();
}

#[test]
fn a_head_that_never_ends_is_cut_off_in_time() {
    let yard = yard();
    let gate = yard.home.start();
    let client = Client::new(yard.home.listen);
    let mut slow: Vec<Connection> = (0..20).map(|_| Connection::open(yard.home.listen)).collect();
    for connection in &mut slow {
        connection.send(b"POST /mcp HTTP/1.1\r\nHost: loc");
    }
    assert_alive(&client);
    let from = Instant::now();
    for connection in &mut slow {
        let answer = connection.read();
        assert!(answer.as_ref().is_none_or(|response| response.status == 408), "{answer:?}");
    }
    println!("20 unfinished heads were cut off after {:?}", from.elapsed());
    assert!(from.elapsed() < Duration::from_secs(15), "{:?}", from.elapsed());
    gate.stop();
}
