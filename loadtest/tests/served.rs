//! The built-in server and the bare relay over real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;
use tollgate_load::relay::Relay;
use tollgate_load::upstream::{Eras, Offer, Service, generate, start};

const ANY: &str = "127.0.0.1:0";
const MIB: usize = 1 << 20;

fn server(eras: Eras) -> SocketAddr {
    let offer = Offer { definitions: generate(20), page: 8, delay: Duration::ZERO, answer_bytes: 200, eras };
    start(Service::new(offer), ANY.parse().unwrap(), &[]).unwrap().address
}

fn relay(to: SocketAddr) -> SocketAddr {
    let relay = Relay::bind(ANY.parse().unwrap(), to).unwrap();
    let address = relay.address();
    std::thread::spawn(move || relay.run().map(drop).unwrap());
    address
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// One HTTP answer.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn session(&self) -> String {
        let line = self.head.lines().find(|line| line.starts_with("Mcp-Session-Id: ")).unwrap();
        line["Mcp-Session-Id: ".len()..].to_owned()
    }
}

/// A kept connection.
struct Client(TcpStream);

impl Client {
    fn send(&mut self, verb: &str, fields: &str, body: &str) {
        let length = body.len();
        let text = format!("{verb} /mcp HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
        self.0.write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn read(&mut self) -> Answer {
        let mut head = self.line();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        while !head.ends_with("\r\n\r\n") {
            head.push_str(&self.line());
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let body = match length {
            Some(length) => self.exactly(length.parse().unwrap()),
            None => self.chunks(),
        };
        Answer { status, head, body }
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(self.line().trim_end(), 16).unwrap();
            body.extend(self.exactly(length));
            assert_eq!(self.line(), "\r\n");
            if length == 0 {
                return body;
            }
        }
    }

    fn post(&mut self, fields: &str, body: &Value) -> Answer {
        self.send("POST", fields, &body.to_string());
        self.read()
    }
}

fn call(id: &Value, tool: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

#[test]
fn modern_requests_are_answered_under_ids_of_any_form() {
    let mut client = Client(connect(server(Eras::Both)));
    for id in [json!(1), json!(-9_007_199_254_740_991_i64), json!(""), json!("a\"\\\u{e9}\n"), json!(1.5)] {
        let text = format!("gr\u{fc}\u{df} \"{id}\" \\");
        let answer = client.post("", &call(&id, "echo", json!({"nested": {"id": 7, "name": "}"}, "text": text})));
        assert_eq!((answer.status, &answer.json()["id"]), (200, &id));
        assert_eq!(answer.json()["result"]["content"][0]["text"], text);
        assert_eq!(answer.json()["result"]["resultType"], "complete");
    }
    let discovered = client.post("", &json!({"jsonrpc": "2.0", "id": "d", "method": "server/discover", "params": {}}));
    assert_eq!(discovered.json()["result"]["supportedVersions"], json!(["2026-07-28"]));
    let fixed = client.post("", &call(&json!(3), "search_issue_0", json!({}))).json();
    assert_eq!(fixed["result"]["content"][0]["text"].as_str().unwrap().len(), 200);
    let sized = client.post("", &call(&json!(4), "sized", json!({"pad": "y".repeat(70_000), "bytes": MIB}))).json();
    assert_eq!(sized["result"]["content"][0]["text"].as_str().unwrap().len(), MIB);
    assert_eq!(client.post("", &call(&json!(5), "none", json!({}))).json()["error"]["code"], -32602);
    assert_eq!(client.post("", &json!({"jsonrpc": "2.0", "id": 6, "method": "no/such"})).status, 404);
    assert_eq!(client.post("", &json!({"jsonrpc": "2.0", "method": "notifications/cancelled"})).status, 202);
    assert_eq!(client.post("", &json!([])).json()["error"]["code"], -32700);
}

#[test]
fn a_call_with_a_token_tells_its_progress() {
    let mut client = Client(connect(server(Eras::Both)));
    let mut asked = call(&json!("p"), "progress", json!({"events": 3, "every_ms": 1}));
    assert_eq!(client.post("", &asked).json()["id"], "p");
    asked["params"]["_meta"] = json!({"progressToken": 17});
    let answer = client.post("", &asked);
    assert!(answer.head.contains("text/event-stream"), "{}", answer.head);
    let body = String::from_utf8(answer.body).unwrap();
    let events: Vec<Value> = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let told: Vec<_> = events[..3].iter().map(|event| event["params"]["progress"].as_u64().unwrap()).collect();
    assert_eq!((told, &events[0]["params"]["progressToken"], events.len()), (vec![1, 2, 3], &json!(17), 4));
    assert_eq!((&events[3]["id"], &events[3]["result"]["isError"]), (&json!("p"), &json!(false)));
    let slow = client.post("", &call(&json!(2), "slow", json!({"ms": 5})));
    assert_eq!(slow.json()["id"], 2);
}

#[test]
fn a_legacy_session_lives_from_initialize_to_delete() {
    let mut client = Client(connect(server(Eras::Legacy)));
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
    let refused = client.post("", &list);
    assert_eq!((refused.status, &refused.json()["id"]), (400, &json!(2)));
    let initialize =
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}});
    let opened = client.post("", &initialize);
    assert_eq!(opened.json()["result"]["protocolVersion"], "2025-11-25");
    let field = format!("mcp-session-id: {}\r\n", opened.session());
    assert_eq!(client.post(&field, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).status, 202);
    let first = client.post(&field, &list).json();
    assert_eq!(first["result"]["tools"].as_array().unwrap().len(), 8);
    assert_eq!((&first["result"]["nextCursor"], first["result"].get("resultType")), (&json!("1"), None));
    assert_eq!(client.post(&field, &json!({"jsonrpc": "2.0", "id": 3, "method": "ping"})).json()["result"], json!({}));
    let mut stream = Client(connect(client.0.peer_addr().unwrap()));
    stream.send("GET", &field, "");
    assert!(stream.line().contains("200"));
    client.send("DELETE", &field, "");
    assert_eq!(client.read().status, 200);
    assert_eq!(client.post(&field, &list).status, 404);
    client.send("GET", "", "");
    assert_eq!(client.read().status, 405);
}

#[test]
fn over_standard_output_answers_come_as_lines() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate-load"));
    command.args(["upstream", "--stdio", "--tools", "3"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let lines = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        call(&json!("slow"), "slow", json!({"ms": 300})),
        call(&json!("fast"), "echo", json!({"text": "t"})),
    ];
    let mut input = server.stdin.take().unwrap();
    lines.iter().for_each(|line| writeln!(input, "{line}").unwrap());
    let mut output = std::io::BufRead::lines(std::io::BufReader::new(server.stdout.take().unwrap()));
    let mut next = || serde_json::from_str::<Value>(&output.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["result"]["serverInfo"]["name"], "tollgate-load-upstream");
    assert_eq!((next()["id"].clone(), next()["id"].clone()), (json!("fast"), json!("slow")));
    drop(input);
    assert!(server.wait().unwrap().success());
}

#[test]
fn the_relay_copies_a_mebibyte_both_ways_and_passes_the_ends_on() {
    let listener = TcpListener::bind(ANY).unwrap();
    let address = relay(listener.local_addr().unwrap());
    let bytes: Vec<u8> = (0..MIB).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let expected = bytes.clone();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert!(got == expected, "the upstream got other bytes");
        got.reverse();
        stream.write_all(&got).unwrap();
        // Dropped here: the end must come through to the client.
    });
    let mut client = connect(address);
    client.write_all(&bytes).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    back.reverse();
    assert!(back == bytes, "the client got other bytes");
    peer.join().unwrap();
}

#[test]
fn the_relay_carries_many_calls_and_closes_what_finds_no_upstream() {
    let address = relay(server(Eras::Both));
    let mut clients: Vec<_> = (0..50).map(|_| Client(connect(address))).collect();
    for round in 0..4 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send("POST", "", &call(&json!(number), "echo", json!({"text": format!("{round}")})).to_string());
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.read().json()["id"], number);
        }
    }
    let nobody = TcpListener::bind(ANY).unwrap().local_addr().unwrap();
    let mut got = Vec::new();
    let mut client = connect(relay(nobody));
    let end = client.read_to_end(&mut got);
    assert!(got.is_empty() && !end.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock));
}
