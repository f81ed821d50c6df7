//! HTTP+SSE of 2024-11-05 at the gate's own doors: sessions that are a stream, and messages that come by POST.

use crate::eras::{stdio_home, wait_for_tools};
use crate::fakes::{Fake, Wire};
use crate::gate::{ANYONE, Home, Process, eventually};
use crate::http::{self, Connection, Response};
use crate::mcp::{Client, modern_body};
use crate::peers::{POLICY, Server};
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
/// Enough requests on connections of their own that each of two shards gets some.
const SPREAD: u64 = 12;

/// A session: its open stream, and where its messages go.
struct Older {
    client: Client,
    stream: Connection,
    endpoint: String,
}

fn get(client: &Client, path: &str) -> Connection {
    let mut headers = vec![("Accept", "text/event-stream")];
    let bearer = client.key.as_ref().map(|key| format!("Bearer {key}"));
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    let mut stream = Connection::open(client.address);
    stream.send(&http::request("GET", path, &headers, b""));
    stream
}

impl Older {
    fn open(client: &Client, path: &str) -> Self {
        let mut stream = get(client, path);
        assert_eq!(stream.head().unwrap().status, 200);
        let first = String::from_utf8(stream.chunk().unwrap()).unwrap();
        let endpoint = first.strip_prefix("event: endpoint\ndata: ").expect(&first).trim().to_owned();
        Self { client: client.clone(), stream, endpoint }
    }

    fn initialized(client: &Client, path: &str) -> Self {
        Self::declaring(client, path, json!({}))
    }

    /// A session of a client that can do this much.
    fn declaring(client: &Client, path: &str, capabilities: Value) -> Self {
        let mut session = Self::open(client, path);
        let info = json!({"name": "older", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": info});
        let hello = session.request(0, "initialize", params);
        assert_eq!(hello["result"]["protocolVersion"], "2024-11-05");
        assert_eq!(session.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).status, 202);
        session
    }

    fn post_raw(&self, body: &[u8]) -> Response {
        self.client.at(&self.endpoint).post(&[], body)
    }

    fn post(&self, message: &Value) -> Response {
        self.post_raw(message.to_string().as_bytes())
    }

    fn ask(&self, id: u64, method: &str, params: Value) {
        let taken = self.post(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        assert_eq!((taken.status, taken.body.len()), (202, 0), "{}", taken.text());
    }

    fn request(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.ask(id, method, params);
        let answer = self.stream.event();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }
}

/// A gate's home in front of one server of this name.
fn home_of(name: &str, url: &str, more: &str) -> Home {
    Home::new(&format!("{ANYONE}[servers.{name}]\nurl = \"{url}\"\n{more}"))
}

/// A running gate and its client, once so many tools at least are listed.
fn started(home: &Home, tools: usize) -> (Process<'_>, Client) {
    let (gate, client) = (home.start(), Client::new(home.listen));
    wait_for_tools(&client, tools);
    (gate, client)
}

#[test]
fn an_older_session_is_served_on_its_stream_from_every_shard() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = home_of("one", &fake.url(), "");
    let (gate, client) = started(&home, 1);
    for (path, name) in [("/sse", "one__alpha"), ("/sse/one", "alpha")] {
        let mut session = Older::initialized(&client, path);
        for id in 1..SPREAD {
            assert_eq!(session.request(id, "ping", json!({}))["result"], json!({}));
            let list = session.request(id, "tools/list", json!({}));
            assert_eq!(list["result"]["tools"][0]["name"], name, "{list}");
            let answer = session.request(id, "tools/call", json!({"name": name, "arguments": {"at": id}}));
            assert_eq!(answer["result"]["structuredContent"]["arguments"]["at"], id, "{answer}");
        }
        assert_eq!(session.request(50, "no/such", json!({}))["error"]["code"], -32601);
        assert_eq!(
            session.request(
                51,
                "initialize",
                json!({
                    "protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "n", "version": "1"}
                })
            )["error"]["code"],
            -32600
        );
    }
    gate.stop();
    home.run_well(&["audit", "verify"]);
}

#[test]
fn progress_comes_before_the_answer_and_a_change_of_the_list_is_told() {
    let fixture = Server::everything("dual");
    let home = home_of("f", &fixture.url, "");
    let (gate, client) = started(&home, 3);
    let mut session = Older::initialized(&client, "/sse");
    let params = json!({"name": "f__test_tool_with_progress", "_meta": {"progressToken": "mine"}});
    session.ask(3, "tools/call", params);
    for step in [0, 50, 100] {
        let event = session.stream.event();
        assert_eq!((&event["params"]["progressToken"], &event["params"]["progress"]), (&json!("mine"), &json!(step)));
    }
    assert_eq!(session.stream.event()["id"], 3);
    gate.stop();
    let home = stdio_home("legacy");
    let (gate, client) = started(&home, 3);
    let mut session = Older::initialized(&client, "/sse");
    session.ask(4, "tools/call", json!({"name": "child__change", "arguments": {}}));
    let mut methods = [session.stream.event(), session.stream.event()].map(|event| event["method"].clone());
    methods.sort_by_key(Value::is_null);
    assert_eq!(methods, [json!("notifications/tools/list_changed"), Value::Null]);
    gate.stop();
}

#[test]
fn a_session_serves_its_own_key_and_ends_with_its_stream() {
    let fake = Fake::plain(Wire::Modern, &["alpha", "beta"]);
    let home = Home::new(&format!("[servers.one]\nurl = \"{}\"\n", fake.url()));
    let (mine, other) = (home.new_key("mine", &["one/alpha"]), home.new_key("other", &["one/*"]));
    let gate = home.start();
    let nobody = Client::new(home.listen);
    let client = nobody.with_key(&mine);
    wait_for_tools(&nobody.with_key(&other), 2);
    assert_eq!(get(&nobody, "/sse").head().unwrap().status, 401);
    assert_eq!(get(&client, "/sse/none").head().unwrap().status, 404);
    let mut session = Older::initialized(&client, "/sse");
    let list = session.request(1, "tools/list", json!({}));
    assert_eq!(list["result"]["tools"].as_array().unwrap().len(), 1, "{list}");
    let hidden = session.request(2, "tools/call", json!({"name": "one__beta", "arguments": {}}));
    assert_eq!(hidden["error"]["code"], -32602, "{hidden}");
    let ping = json!({"jsonrpc": "2.0", "id": 3, "method": "ping"}).to_string();
    let status = |client: &Client, path: &str| client.at(path).post(&[], ping.as_bytes()).status;
    assert_eq!(status(&nobody, &session.endpoint), 401);
    let forged = session.endpoint.replace("session=", "session=A");
    let refusals = [
        status(&nobody.with_key(&other), &session.endpoint),
        status(&client, &forged),
        status(&client, "/messages?session="),
    ];
    assert_eq!(refusals, [404; 3]);
    assert_eq!(status(&client, "/messages"), 400);
    let endpoint = session.endpoint.clone();
    drop(session);
    eventually("the session has ended", PATIENCE, || status(&client, &endpoint) == 404);
    gate.stop();
}

#[test]
fn what_an_older_session_does_not_know_is_refused() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = home_of("one", &fake.url(), "");
    let (gate, client) = started(&home, 1);
    let mut session = Older::open(&client, "/sse");
    assert_eq!(session.request(1, "ping", json!({}))["result"], json!({}));
    let early = session.request(2, "tools/list", json!({}));
    assert_eq!(early["error"]["code"], -32600, "{early}");
    let bodies = [
        "nope".to_owned(),
        "{}".to_owned(),
        json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]).to_string(),
        modern_body(1, "tools/list", json!({})).to_string(),
    ];
    for body in bodies {
        assert_eq!(session.post_raw(body.as_bytes()).status, 400, "{body}");
    }
    let once = |method: &str, path: &str| http::once(home.listen, &http::request(method, path, &[], b"{}"));
    assert_eq!(once("POST", "/sse").status, 405);
    assert_eq!(once("DELETE", "/messages").status, 405);
    assert_eq!(once("POST", &session.endpoint).status, 415);
    assert_eq!(session.request(9, "ping", json!({}))["result"], json!({}), "the session goes on");
    gate.stop();
}

#[test]
fn a_gate_that_drains_still_answers_what_is_under_way() {
    let fixture = Server::everything("dual");
    let home = home_of("f", &fixture.url, "");
    let (gate, client) = started(&home, 3);
    let mut session = Older::initialized(&client, "/sse");
    session.ask(5, "tools/call", json!({"name": "f__test_tool_with_progress", "arguments": {}}));
    gate.signal("TERM");
    let answer = loop {
        let event = session.stream.event();
        if !event["id"].is_null() {
            break event;
        }
    };
    assert!(answer["result"].is_object(), "{answer}");
    assert!(session.stream.chunk().is_none(), "then the stream ends");
    gate.stop();
}

/// The text that a call's answer begins with.
fn text_of(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
}

#[test]
fn an_older_client_is_asked_on_its_stream_and_answers_by_post() {
    for era in ["legacy", "modern"] {
        let fixture = Server::everything(era);
        let home = home_of("f", &fixture.url, POLICY);
        let (gate, client) = started(&home, 3);
        let roots = json!({"roots": [{"uri": "file:///home/ada"}]});
        let said = json!({"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "m"});
        let asks = [("list_roots", "roots/list", roots), ("sampling", "sampling/createMessage", said)];
        let mut session = Older::declaring(&client, "/sse", json!({"roots": {}, "sampling": {}, "elicitation": {}}));
        let mut other = Older::declaring(&client, "/sse", json!({"roots": {}, "sampling": {}}));
        for (id, (tool, method, answer)) in (1..SPREAD).zip(asks.iter().cycle()) {
            let name = format!("f__test_input_required_result_{tool}");
            session.ask(id, "tools/call", json!({"name": name, "arguments": {}}));
            let asked = session.stream.event();
            assert_eq!(asked["method"], *method, "{era}: {asked}");
            let reply = |result: &Value| json!({"jsonrpc": "2.0", "id": asked["id"], "result": result});
            assert_eq!(other.post(&reply(&json!({"stolen": true}))).status, 202, "another's answer goes nowhere");
            assert_eq!(session.post(&reply(answer)).status, 202);
            let answer = session.stream.event();
            assert_eq!((&answer["id"], &answer["error"]), (&json!(id), &Value::Null), "{era} {tool}: {answer}");
            assert!(["file:///home/ada", "Paris"].iter().any(|told| text_of(&answer).contains(told)), "{answer}");
        }
        assert_eq!(other.request(90, "ping", json!({}))["result"], json!({}), "nobody asked the other");
        gate.stop();
    }
}

#[test]
fn an_older_client_is_asked_nothing_that_it_did_not_declare_or_its_revision_lacks() {
    let fixture = Server::everything("legacy");
    let home = home_of("f", &fixture.url, POLICY);
    let (gate, client) = started(&home, 3);
    for (declared, tool) in [(json!({}), "list_roots"), (json!({"elicitation": {}}), "elicitation")] {
        let mut session = Older::declaring(&client, "/sse", declared);
        let name = format!("f__test_input_required_result_{tool}");
        let answer = session.request(1, "tools/call", json!({"name": name, "arguments": {}}));
        assert!(answer["result"]["isError"] == true || answer["error"]["code"].is_i64(), "{tool}: {answer}");
    }
    gate.stop();
}

#[test]
fn prompts_and_resources_cross_on_the_stream() {
    for era in ["legacy", "modern"] {
        let fixture = Server::everything(era);
        let home = home_of("f", &fixture.url, "");
        let (gate, client) = started(&home, 3);
        let mut session = Older::initialized(&client, "/sse/f");
        let mut result = |id: u64, method: &str, params: Value| {
            let answer = session.request(id, method, params);
            assert!(answer["result"].is_object(), "{era} {method}: {answer}");
            answer["result"].clone()
        };
        let prompts = result(1, "prompts/list", json!({}));
        let is_there = |prompt: &Value| prompt["name"] == "test_prompt_with_arguments";
        assert!(prompts["prompts"].as_array().unwrap().iter().any(is_there), "{prompts}");
        let arguments = json!({"arg1": "größer", "arg2": "b"});
        let got = result(2, "prompts/get", json!({"name": "test_prompt_with_arguments", "arguments": arguments}));
        assert!(got["messages"].to_string().contains("größer"), "{got}");
        let resources = result(3, "resources/list", json!({}));
        assert!(!resources["resources"].as_array().unwrap().is_empty());
        let templates = result(4, "resources/templates/list", json!({}));
        assert!(!templates["resourceTemplates"].as_array().unwrap().is_empty());
        let read = result(5, "resources/read", json!({"uri": "test://static-text"}));
        assert_eq!(read["contents"][0]["uri"], "test://static-text");
        let reference = json!({"type": "ref/prompt", "name": "test_prompt_with_arguments"});
        let argument = json!({"name": "arg1", "value": "par"});
        let completed = result(6, "completion/complete", json!({"ref": reference, "argument": argument}));
        assert!(completed["completion"]["values"].is_array(), "{completed}");
        gate.stop();
    }
}

/// What a client that opens sessions, calls and leaves again would otherwise pile up.
#[test]
fn calls_end_with_the_stream_of_their_session() {
    let fixture = Server::everything("dual");
    let home = Home::new(&format!("{ANYONE}[servers.f]\nurl = \"{}\"\n", fixture.url));
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 3);
    let in_flight = || {
        let text = http::get(home.admin, "/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix("tollgate_calls_in_flight{server=\"f\"} "));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let sessions: Vec<_> = (0..3)
        .map(|_| {
            let session = Older::initialized(&client, "/sse");
            for id in 1..4 {
                let params = json!({"name": "f__test_wait", "arguments": {"ms": 40_000}});
                session.ask(id, "tools/call", params);
            }
            session
        })
        .collect();
    eventually("the calls are under way", PATIENCE, || in_flight() == 9);
    drop(sessions);
    eventually("nothing is under way for nobody", PATIENCE, || in_flight() == 0);
    gate.stop();
    home.run_well(&["audit", "verify"]);
}
