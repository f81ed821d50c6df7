//! Keys and grants: nothing without a key, nothing that was not granted, and no telling hidden from absent.

use crate::fakes::{Fake, Wire};
use crate::gate::{Home, eventually};
use crate::http::{self, Connection};
use crate::mcp::{Client, LEGACY};
use serde_json::json;
use std::time::Duration;

struct Yard {
    home: Home,
    _fakes: [Fake; 2],
}

/// A gate without anonymous access in front of two servers.
fn yard() -> Yard {
    let fakes = [Fake::plain(Wire::Modern, &["alpha", "beta", "get_one"]), Fake::plain(Wire::Stateless, &["gamma"])];
    let tables = format!("[servers.one]\nurl = \"{}\"\n[servers.two]\nurl = \"{}\"\n", fakes[0].url(), fakes[1].url());
    Yard { home: Home::new(&tables), _fakes: fakes }
}

#[test]
fn without_a_valid_key_there_is_nothing_but_401() {
    let yard = yard();
    let token = yard.home.new_key("all", &["*/*"]);
    let gate = yard.home.start();
    let client = Client::new(yard.home.listen);
    let [_, id, secret] = token.splitn(3, '_').collect::<Vec<_>>()[..] else { panic!("{token}") };
    let swapped: String = secret.chars().rev().collect();
    let wrong = [
        String::new(),
        "tg_".to_owned(),
        format!("tg_{id}_{swapped}"),
        format!("tg_nobody_{secret}"),
        format!("{token}x"),
        token[..token.len() - 1].to_owned(),
        "sk-0123456789".to_owned(),
    ];
    for wrong in &wrong {
        let response = client.with_key(wrong).modern("tools/list", json!({}));
        assert_eq!(response.status, 401, "{wrong}: {}", response.text());
        assert!(response.header("www-authenticate").is_some_and(|value| !value.contains("resource_metadata")));
    }
    assert_eq!(client.modern("tools/list", json!({})).status, 401, "no key at all");
    let mut connection = Connection::open(yard.home.listen);
    connection.send(
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{",
    );
    assert_eq!(connection.read().unwrap().status, 401, "before the body is read");
    assert_eq!(client.with_key(&token).modern("tools/list", json!({})).status, 200);
    let body = crate::mcp::modern_body(1, "tools/list", json!({})).to_string();
    for header in ["x-api-key", "X-Tollgate-Key"] {
        let headers =
            [(header, token.as_str()), ("MCP-Protocol-Version", crate::mcp::MODERN), ("Mcp-Method", "tools/list")];
        assert_eq!(client.post(&headers, body.as_bytes()).status, 200, "{header}");
    }
    assert_eq!(
        http::once(yard.home.listen, &http::request("POST", &format!("/mcp?key={token}"), &[], b"{}")).status,
        401
    );
    gate.stop();
}

#[test]
fn a_key_sees_and_calls_what_it_was_granted() {
    let yard = yard();
    let home = &yard.home;
    let all = home.new_key("all", &["*/*"]);
    let some = home.new_key("some", &["one/alpha", "one/get_*"]);
    let none = home.new_key("none", &[]);
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("the tools are listed", Duration::from_secs(20), || client.with_key(&all).tools().len() == 4);
    assert_eq!(client.with_key(&some).tool_names(), ["one__alpha", "one__get_one"]);
    let answer = |path: &str| {
        let response = client.with_key(&some).at(path).modern("tools/list", json!({}));
        (response.status, response.text())
    };
    assert_eq!(answer("/mcp/two"), answer("/mcp/nothing"), "a server without a granted tool answers as none");
    assert_eq!(client.with_key(&none).tool_names(), [""; 0]);
    let error = |token: &str, tool: &str| {
        let response = client.with_key(token).call(tool, json!({}));
        let mut error = response.answer()["error"].take();
        error["message"] = json!(error["message"].as_str().unwrap_or_default().replace(tool, "TOOL"));
        (response.status, error)
    };
    let absent = error(&some, "one__nothing");
    assert_eq!(absent.1["code"], -32602);
    assert_eq!(error(&some, "one__beta"), absent, "hidden answers as absent");
    assert_eq!(error(&some, "two__gamma"), absent, "another server's answers as absent");
    assert_eq!(error(&none, "one__alpha"), absent, "to a key without grants too");
    assert!(client.with_key(&some).call("one__alpha", json!({})).answer().get("result").is_some());
    gate.stop();
}

#[test]
fn a_header_narrows_and_never_widens() {
    let yard = yard();
    let home = &yard.home;
    let all = home.new_key("all", &["*/*"]);
    let some = home.new_key("some", &["one/alpha", "one/get_*"]);
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("the tools are listed", Duration::from_secs(20), || client.with_key(&all).tools().len() == 4);
    let seen = |token: &str, narrow: &str| {
        let body = crate::mcp::modern_body(1, "tools/list", json!({})).to_string();
        let headers =
            [("MCP-Protocol-Version", crate::mcp::MODERN), ("Mcp-Method", "tools/list"), ("x-tollgate-tools", narrow)];
        let answer = client.with_key(token).post(&headers, body.as_bytes()).answer();
        let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(seen(&all, "one/get_*, two/*"), ["one__get_one", "two__gamma"]);
    assert_eq!(seen(&some, "*/*"), ["one__alpha", "one__get_one"], "what was not granted stays hidden");
    assert_eq!(seen(&some, "two/*"), [""; 0]);
    gate.stop();
}

#[test]
fn a_session_belongs_to_its_key() {
    let yard = yard();
    let home = &yard.home;
    let (mine, other) = (home.new_key("mine", &["*/*"]), home.new_key("other", &["*/*"]));
    let gate = home.start();
    let client = Client::new(home.listen);
    let session = client.with_key(&mine).session(LEGACY);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    assert_eq!(client.with_key(&mine).post(&session.headers(), ping.as_bytes()).status, 200);
    assert_eq!(client.with_key(&other).post(&session.headers(), ping.as_bytes()).status, 404);
    assert_eq!(client.post(&session.headers(), ping.as_bytes()).status, 401);
    gate.stop();
}

#[test]
fn a_revoked_key_is_refused_at_once_and_a_new_one_works_at_once() {
    let yard = yard();
    let home = &yard.home;
    let token = home.new_key("first", &["*/*"]);
    let gate = home.start();
    let client = Client::new(home.listen);
    assert_eq!(client.with_key(&token).modern("tools/list", json!({})).status, 200);
    let second = home.new_key("second", &["one/*"]);
    eventually("the new key is known", Duration::from_secs(5), || {
        client.with_key(&second).modern("tools/list", json!({})).status == 200
    });
    let [_, id, secret] = token.splitn(3, '_').collect::<Vec<_>>()[..] else { panic!("{token}") };
    home.run_well(&["key", "revoke", id]);
    eventually("the revoked key is refused", Duration::from_secs(5), || {
        client.with_key(&token).modern("tools/list", json!({})).status == 401
    });
    let list = home.run_well(&["key", "list"]);
    assert!(list.contains("second") && !list.contains(secret), "{list}");
    gate.stop();
}
