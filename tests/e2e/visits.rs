//! Word that a page was visited (`notifications/elicitation/complete`), for the client that was asked to and no other.

use crate::extensions::home_with;
use crate::gate::eventually;
use crate::http::{Connection, Response, request};
use crate::mcp::{Client, LEGACY, Session};
use crate::peers::Server;
use serde_json::{Value, json};
use std::time::Duration;

const LISTED: Duration = Duration::from_secs(20);
const DONE: &str = "notifications/elicitation/complete";

/// A gate in front of a legacy server, and clients of two keys that can be asked to visit pages, each with its stream.
fn gate_before(more: &str, holds: impl FnOnce(&Client, &mut [(Session, Connection); 2])) {
    let server = Server::everything("legacy");
    let (home, keys) = home_with(&server, more);
    let gate = home.start();
    let clients = keys.map(|key| Client::new(home.listen).at("/mcp/peer").with_key(&key));
    eventually("the fixture is listed", LISTED, || clients[0].tools().len() > 20);
    let mut sessions = clients.each_ref().map(|client| {
        let session = client.session_with(LEGACY, json!({"elicitation": {"url": {}}}));
        let mut stream = session.bare("GET");
        assert_eq!(stream.head().unwrap().status, 200);
        (session, stream)
    });
    holds(&clients[0], &mut sessions);
    gate.stop();
}

/// Calls the tool that asks for a visit, and accepts; the visit's id, and what came on the call's stream after that.
fn visit(session: &Session, told: &str) -> (Value, Response) {
    let call = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call",
        "params": {"name": "test_visit", "arguments": {"where": told}}});
    let bearer = format!("Bearer {}", session.client.key.as_ref().unwrap());
    let mut headers = vec![("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
    headers.push(("Accept", "application/json, text/event-stream"));
    headers.extend(session.headers());
    let mut stream = Connection::open(session.client.address);
    stream.send(&request("POST", &session.client.path, &headers, call.to_string().as_bytes()));
    let head = stream.head().unwrap();
    let asked = stream.event();
    assert_eq!((&asked["method"], &asked["params"]["mode"]), (&json!("elicitation/create"), &json!("url")), "{asked}");
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept"}});
    assert_eq!(session.post(&answer).status, 202);
    (asked["params"]["elicitationId"].clone(), stream.body(head).unwrap())
}

fn hears(stream: &mut Connection, visit: &Value) {
    let event = stream.event();
    assert_eq!((&event["method"], &event["params"]["elicitationId"]), (&json!(DONE), visit), "{event}");
}

/// The next event is word of a list that changed: of visits nothing was said.
fn heard_nothing(client: &Client, stream: &mut Connection) {
    let changed = client.call("test_trigger_prompt_change", json!({})).answer();
    assert!(changed["result"]["content"].is_array(), "{changed}");
    assert_eq!(stream.event()["method"], "notifications/prompts/list_changed");
}

fn only_the_asked_hears(more: &str) {
    gate_before(more, |client, [(owner, stream), (_, other)]| {
        let (id, response) = visit(owner, "call");
        let messages = response.messages();
        assert_eq!(messages.len(), 2, "the server's word on what nobody was asked is dropped: {messages:?}");
        assert_eq!((&messages[0]["method"], &messages[0]["params"]["elicitationId"]), (&json!(DONE), &id));
        assert_eq!(messages[1]["result"]["content"][0]["text"], format!("accept {}", id.as_str().unwrap()));

        let (id, response) = visit(owner, "session");
        assert_eq!(response.messages().len(), 1, "it is done later");
        hears(stream, &id);

        let refused = owner.call("test_visit_first", json!({})).answer();
        assert_eq!(refused["error"]["code"], -32042, "{refused}");
        hears(stream, &refused["error"]["data"]["elicitations"][0]["elicitationId"]);
        heard_nothing(client, other);
    });
}

#[test]
fn only_the_client_that_was_asked_hears_that_a_page_was_visited() {
    only_the_asked_hears("");
}

#[test]
fn so_it_is_where_each_key_has_a_session_of_its_own() {
    only_the_asked_hears("session_scope = \"per_key\"\n");
}
