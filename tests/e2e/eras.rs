//! Both eras at one URL: who is modern, who is legacy, and what each is told when it mixes them up.

use crate::fakes::{Fake, Wire};
use crate::gate::{ANYONE, Home, eventually};
use crate::http::{self, Connection};
use crate::mcp::{Client, LEGACY, MODERN, meta, modern_body};
use crate::peers::tests;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Requests on connections of their own that surely reach every shard.
const SPREAD: usize = 32;

/// A gate in front of one modern fake with two tools.
fn modern_home(fake: &Fake) -> Home {
    Home::new(&format!("{ANYONE}[servers.one]\nurl = \"{}\"\n", fake.url()))
}

/// A gate in front of the Python fake on stdio, which behaves as `mode` says.
pub(crate) fn stdio_home(mode: &str) -> Home {
    let script = tests().join("fixtures/upstream/fake_stdio.py");
    Home::new(&format!(
        "{ANYONE}[servers.child]\ncommand = \"python3\"\nargs = [{}, \"{mode}\"]\n",
        json!(script.to_str().unwrap())
    ))
}

pub(crate) fn wait_for_tools(client: &Client, count: usize) {
    let is_listed = || (0..SPREAD).all(|_| client.tools().len() >= count);
    eventually("every shard lists the tools", Duration::from_secs(30), is_listed);
}

#[test]
fn a_legacy_session_lives_on_every_shard_until_it_is_deleted() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = modern_home(&fake);
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 1);
    let session = client.session(LEGACY);
    assert_eq!(session.hello["protocolVersion"], LEGACY);
    assert!(session.id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{}", session.id);
    for _ in 0..SPREAD {
        assert_eq!(session.request("ping", json!({})).answer()["result"], json!({}));
        let answer = session.call("one__alpha", json!({"x": 1})).answer();
        assert_eq!(answer["result"]["structuredContent"]["arguments"]["x"], 1, "{answer}");
        assert_eq!(answer["id"], 7);
    }
    assert_eq!(session.bare("DELETE").read().unwrap().status / 100, 2);
    for _ in 0..SPREAD {
        let response = session.request("ping", json!({}));
        assert_eq!(response.status, 404, "an ended session: {}", response.text());
    }
    gate.stop();
}

#[test]
fn the_handshake_agrees_on_a_legacy_revision_only() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = modern_home(&fake);
    let gate = home.start();
    let client = Client::new(home.listen);
    for (asked, agreed) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let params = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        let answer = client.post(&[], body.to_string().as_bytes()).answer();
        assert_eq!(answer["result"]["protocolVersion"], agreed, "{asked}: {answer}");
    }
    gate.stop();
}

#[test]
fn sessions_are_asked_for_as_the_protocol_says() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = modern_home(&fake);
    let gate = home.start();
    let client = Client::new(home.listen);
    let session = client.session(LEGACY);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    let post = |headers: &[(&str, &str)]| client.post(headers, ping.as_bytes()).status;
    assert_eq!(post(&[]), 400, "no session");
    assert_eq!(post(&[("Mcp-Session-Id", "made-up")]), 404, "an unknown session");
    assert_eq!(post(&[("Mcp-Session-Id", &session.id)]), 200, "the header may be missing");
    assert_eq!(
        post(&[("Mcp-Session-Id", &session.id), ("MCP-Protocol-Version", "2031-01-01")]),
        400,
        "an unknown version"
    );
    let mut tampered = session.id.clone().into_bytes();
    *tampered.last_mut().unwrap() ^= 1;
    assert_eq!(post(&[("Mcp-Session-Id", std::str::from_utf8(&tampered).unwrap())]), 404, "a changed seal");
    let mut stream = session.bare("GET");
    let head = stream.head().unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    gate.stop();
}

#[test]
fn batches_belong_to_one_revision() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = modern_home(&fake);
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 1);
    let ping = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
    let call =
        json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "one__alpha", "arguments": {}}});
    let old = client.session("2025-03-26");
    let response = old.post(&json!([ping(1), {"jsonrpc": "2.0", "method": "notifications/x"}, ping(2), call]));
    assert_eq!(response.status, 200, "{}", response.text());
    let mut messages = response.messages();
    if let [Value::Array(_)] = &messages[..] {
        messages = messages[0].as_array().unwrap().clone();
    }
    let mut ids: Vec<u64> = messages.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3], "one answer for each request: {messages:?}");
    assert_eq!(old.post(&json!([{"jsonrpc": "2.0", "method": "notifications/x"}])).status, 202);
    let refused = |response: http::Response| (response.status, response.code());
    assert_eq!(refused(old.post(&json!([]))), (400, -32600), "an empty batch");
    assert_eq!(refused(client.session(LEGACY).post(&json!([ping(1)]))), (400, -32600), "a later revision");
    assert_eq!(refused(old.post(&json!([modern_body(1, "tools/list", json!({}))]))), (400, -32600), "a modern element");
    gate.stop();
}

/// One modern request with a fault: headers, body, status and code expected.
struct Mix {
    what: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Value,
    status: u16,
    code: i64,
}

fn mixes() -> Vec<Mix> {
    let version = ("MCP-Protocol-Version", MODERN);
    let list = || modern_body(5, "tools/list", json!({}));
    let call = || modern_body(5, "tools/call", json!({"name": "one__alpha", "arguments": {}}));
    let with_meta = |change: &dyn Fn(&mut Value)| {
        let mut meta = meta();
        change(&mut meta);
        modern_body(5, "tools/list", json!({"_meta": meta}))
    };
    let key = "io.modelcontextprotocol/protocolVersion";
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    let method = |name| ("Mcp-Method", name);
    let mix = |what, headers, body, status, code| Mix { what, headers, body, status, code };
    let plain = |method: &str| json!({"jsonrpc": "2.0", "id": 5, "method": method, "params": {}});
    vec![
        mix(
            "capabilities missing",
            vec![version, method("tools/list")],
            with_meta(&|meta| {
                meta.as_object_mut().unwrap().remove(capabilities);
            }),
            400,
            -32602,
        ),
        mix(
            "version is no string",
            vec![version, method("tools/list")],
            with_meta(&|meta| meta[key] = json!(7)),
            400,
            -32602,
        ),
        mix(
            "header and body disagree",
            vec![("MCP-Protocol-Version", LEGACY), method("tools/list")],
            list(),
            400,
            -32020,
        ),
        mix(
            "disagreement outranks unsupported",
            vec![version, method("tools/list")],
            with_meta(&|meta| meta[key] = json!("2099-01-01")),
            400,
            -32020,
        ),
        mix(
            "unsupported version",
            vec![("MCP-Protocol-Version", "2099-01-01"), method("tools/list")],
            with_meta(&|meta| meta[key] = json!("2099-01-01")),
            400,
            -32022,
        ),
        mix("version header missing", vec![method("tools/list")], list(), 400, -32020),
        mix("method header missing", vec![version], list(), 400, -32020),
        mix("method header wrong", vec![version, method("tools/call")], list(), 400, -32020),
        mix("method header in capitals", vec![version, method("TOOLS/LIST")], list(), 400, -32020),
        mix("name header missing", vec![version, method("tools/call")], call(), 400, -32020),
        mix("name header wrong", vec![version, method("tools/call"), ("Mcp-Name", "other")], call(), 400, -32020),
        mix(
            "name header of broken base64",
            vec![version, method("tools/call"), ("Mcp-Name", "=?base64?###?=")],
            call(),
            400,
            -32020,
        ),
        mix("unknown method", vec![version, method("nope/nope")], modern_body(5, "nope/nope", json!({})), 404, -32601),
        mix("ping is gone", vec![version, method("ping")], modern_body(5, "ping", json!({})), 404, -32601),
        mix(
            "initialize is gone",
            vec![version, method("initialize")],
            modern_body(5, "initialize", json!({})),
            404,
            -32601,
        ),
        mix("modern header, no meta", vec![version, method("tools/list")], plain("tools/list"), 400, -32602),
        mix("modern header, initialize", vec![version], plain("initialize"), 400, -32020),
    ]
}

#[test]
fn a_request_that_mixes_eras_is_refused_by_the_book() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = modern_home(&fake);
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 1);
    let mut failures = Vec::new();
    for mix in mixes() {
        let response = client.post(&mix.headers, mix.body.to_string().as_bytes());
        let answer = response.answer();
        let got = (response.status, answer["error"]["code"].as_i64(), &answer["id"]);
        if got != (mix.status, Some(mix.code), &json!(5)) {
            failures.push(format!("{}: {} {answer}, not {} {}", mix.what, response.status, mix.status, mix.code));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let unsupported = mixes().into_iter().find(|mix| mix.code == -32022).unwrap();
    let data =
        client.post(&unsupported.headers, unsupported.body.to_string().as_bytes()).answer()["error"]["data"].take();
    assert_eq!(data, json!({"supported": [MODERN], "requested": "2099-01-01"}));
    let name = format!("=?base64?{}?=", "b25lX19hbHBoYQ==");
    let body = modern_body(9, "tools/call", json!({"name": "one__alpha", "arguments": {}})).to_string();
    let headers = [("mcp-protocol-version", MODERN), ("MCP-METHOD", " tools/call "), ("Mcp-Name", name.as_str())];
    assert_eq!(client.post(&headers, body.as_bytes()).status, 200, "case of names, blanks and base64 are fine");
    gate.stop();
}

#[test]
fn discovery_says_what_the_gate_is() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = modern_home(&fake);
    let gate = home.start();
    let result = Client::new(home.listen).modern("server/discover", json!({})).answer()["result"].take();
    assert_eq!(result["supportedVersions"], json!([MODERN]));
    assert_eq!(result["resultType"], "complete");
    assert!(result["capabilities"]["tools"].is_object(), "{result}");
    assert!(result["ttlMs"].is_u64() && result["cacheScope"].is_string(), "{result}");
    assert!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"].is_string(), "{result}");
    gate.stop();
}

#[test]
fn progress_arrives_while_the_call_runs() {
    let home = stdio_home("legacy");
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 3);
    let mut meta = meta();
    meta["progressToken"] = json!("mine");
    let params = json!({"name": "child__progress", "arguments": {"pause": 0.4}, "_meta": meta});
    let mut connection = Connection::open(home.listen);
    let from = Instant::now();
    connection.send(&client.modern_bytes(4, "tools/call", params));
    let head = connection.head().unwrap();
    assert_eq!(head.header("content-type"), Some("text/event-stream"), "{head:?}");
    let mut arrivals = Vec::new();
    loop {
        let message = connection.event();
        arrivals.push(from.elapsed());
        if message.get("id").is_some() {
            assert_eq!(message["id"], 4);
            assert_eq!(message["result"]["content"][0]["text"], "done");
            break;
        }
        assert_eq!(message["method"], "notifications/progress");
        assert_eq!(message["params"]["progressToken"], "mine", "the client's own token comes back");
    }
    println!("events after {arrivals:?}");
    assert_eq!(arrivals.len(), 4);
    assert!(arrivals[3] - arrivals[0] > Duration::from_millis(800), "not relayed as they come: {arrivals:?}");
    gate.stop();
}

#[test]
fn a_modern_client_cancels_by_leaving() {
    let fake = Fake::plain(Wire::Modern, &["alpha", "fault_hang"]);
    let home = modern_home(&fake);
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 2);
    let mut connection = Connection::open(home.listen);
    connection.send(&client.modern_bytes(1, "tools/call", json!({"name": "one__fault_hang", "arguments": {}})));
    eventually("the call arrives", Duration::from_secs(5), || fake.counts.calls.load(Ordering::Relaxed) == 1);
    assert_eq!(fake.counts.abandoned.load(Ordering::Relaxed), 0);
    drop(connection);
    eventually("the upstream call is dropped", Duration::from_secs(5), || {
        fake.counts.abandoned.load(Ordering::Relaxed) == 1
    });
    gate.stop();
}

#[test]
fn a_legacy_client_cancels_by_saying_so() {
    let home = stdio_home("legacy");
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 3);
    let session = client.session(LEGACY);
    let params = json!({"name": "child__slow", "arguments": {"seconds": 5}});
    let body = json!({"jsonrpc": "2.0", "id": "slow one", "method": "tools/call", "params": params});
    let mut connection = Connection::open(home.listen);
    connection.send(&client.post_bytes(&session.headers(), body.to_string().as_bytes()));
    let cancelled = || {
        let answer = session.call("child__cancelled", json!({})).answer();
        let text = answer["result"]["content"][0]["text"].as_str().unwrap().to_owned();
        serde_json::from_str::<Vec<Value>>(&text).unwrap().len()
    };
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(cancelled(), 0);
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow one"}});
    assert_eq!(session.post(&cancel).status, 202);
    eventually("the server hears of it", Duration::from_secs(3), || cancelled() == 1);
    gate.stop();
}

#[test]
fn a_changed_list_reaches_clients_that_listen() {
    let home = stdio_home("legacy");
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 3);
    let mut listen = Connection::open(home.listen);
    listen.send(&client.modern_bytes(11, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}})));
    assert_eq!(listen.head().unwrap().status, 200);
    let subscription = |message: &Value| message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].clone();
    let first = listen.event();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(subscription(&first), 11);
    let session = client.session(LEGACY);
    let mut stream = session.bare("GET");
    assert_eq!(stream.head().unwrap().status, 200);
    let before = client.tools().len();
    assert_eq!(client.call("child__change", json!({})).answer()["result"]["content"][0]["text"], "changed");
    let told = listen.event();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(subscription(&told), 11);
    assert_eq!(stream.event()["method"], "notifications/tools/list_changed");
    assert_eq!(client.tools().len(), before + 1, "the list is new before clients are told");
    gate.stop();
}

#[test]
fn mirrored_arguments_are_held_to_their_headers() {
    let mirrored = |kind: &str, header: &str| json!({"type": kind, "x-mcp-header": header});
    let properties = json!({"region": mirrored("string", "Region"), "count": mirrored("integer", "Count"),
        "dry": mirrored("boolean", "Dry"), "free": {"type": "string"}});
    let tool = json!({"name": "place", "inputSchema": {"type": "object", "properties": properties}});
    let broken = json!({"name": "broken", "inputSchema": {"type": "object", "properties": {
        "a": mirrored("string", "Same"), "b": mirrored("string", "same")}}});
    let fake = Fake::serve(Wire::Modern, vec![tool.to_string(), broken.to_string()]);
    let home = modern_home(&fake);
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 1);
    assert_eq!(client.tool_names(), ["one__place"], "a tool whose marks are invalid is dropped, the rest kept");
    let call = |arguments: Value, more: &[(&str, &str)]| {
        let body = modern_body(1, "tools/call", json!({"name": "one__place", "arguments": arguments}));
        let mut headers =
            vec![("MCP-Protocol-Version", MODERN), ("Mcp-Method", "tools/call"), ("Mcp-Name", "one__place")];
        headers.extend_from_slice(more);
        let response = client.post(&headers, body.to_string().as_bytes());
        (response.status, response.answer()["error"]["code"].as_i64())
    };
    let fine = (200, None);
    let refused = (400, Some(-32020));
    assert_eq!(call(json!({"free": "x"}), &[]), fine);
    assert_eq!(call(json!({"region": "eu"}), &[("Mcp-Param-Region", "eu")]), fine);
    assert_eq!(call(json!({"region": "eu"}), &[("mcp-param-region", " =?base64?ZXU=?= ")]), fine);
    assert_eq!(call(json!({"region": ""}), &[("Mcp-Param-Region", "")]), fine);
    assert_eq!(call(json!({"region": null}), &[]), fine);
    assert_eq!(call(json!({"count": 7, "dry": true}), &[("Mcp-Param-Count", "7"), ("Mcp-Param-Dry", "true")]), fine);
    assert_eq!(call(json!({"count": 7.0}), &[("Mcp-Param-Count", "7")]), fine, "integers are compared as numbers");
    assert_eq!(call(json!({"region": "eu"}), &[]), refused, "the header is missing");
    assert_eq!(call(json!({"region": "eu"}), &[("Mcp-Param-Region", "us")]), refused);
    assert_eq!(call(json!({"region": "eu"}), &[("Mcp-Param-Region", "EU")]), refused, "values have a case");
    assert_eq!(call(json!({"region": "eu"}), &[("Mcp-Param-Region", "=?base64?ZXU?=")]), refused, "broken padding");
    assert_eq!(call(json!({"count": 7}), &[("Mcp-Param-Count", "8")]), refused);
    assert_eq!(call(json!({"dry": true}), &[("Mcp-Param-Dry", "True")]), refused);
    gate.stop();
}
