//! What servers ask of clients: states that are not the asker's own are refused, and policy decides what may be asked.

use crate::extensions::home;
use crate::gate::{ANYONE, Home, eventually};
use crate::mcp::{Client, meta};
use crate::peers::{Driver, Server};
use serde_json::{Value, json};
use std::time::Duration;

const LISTED: Duration = Duration::from_secs(20);
pub(crate) const TOOL: &str = "test_input_required_result_multi_round";

/// A call of a client that can be asked, with what it brings of an earlier round.
pub(crate) fn call(client: &Client, tool: &str, arguments: Value, earlier: Value) -> Value {
    let mut params = json!({"name": tool, "arguments": arguments});
    params.as_object_mut().unwrap().extend(earlier.as_object().unwrap().clone());
    let mut meta = meta();
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {}, "sampling": {}, "roots": {}});
    params["_meta"] = meta;
    client.modern("tools/call", params).answer()
}

/// The answers to everything that was asked, and the state to bring back.
pub(crate) fn answered(asked: &Value) -> (Value, String) {
    let result = &asked["result"];
    assert_eq!(result["resultType"], "input_required", "{asked}");
    let answer = json!({"action": "accept", "content": {"name": "Ada", "color": "blue"}});
    let keys = result["inputRequests"].as_object().unwrap().keys();
    let responses: Value = keys.map(|key| (key.clone(), answer.clone())).collect();
    (responses, result["requestState"].as_str().unwrap().to_owned())
}

pub(crate) fn round(responses: &Value, state: &str) -> Value {
    json!({"inputResponses": responses, "requestState": state})
}

/// Only the key that was asked, with the call it was asked for, gets on; all others hear the same.
fn only_the_asked_gets_on(era: &str) {
    let server = Server::everything(era);
    let (home, keys) = home(&server);
    let gate = home.start();
    let [owner, other] = keys.map(|key| Client::new(home.listen).at("/mcp/peer").with_key(&key));
    eventually("the fixture is listed", LISTED, || owner.tools().len() > 20);

    let (responses, state) = answered(&call(&owner, TOOL, json!({}), json!({})));
    let mut flipped = state.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let refusals = [
        call(&owner, TOOL, json!({}), round(&responses, &format!("{state}A"))),
        call(&owner, TOOL, json!({}), round(&responses, &flipped)),
        call(&owner, TOOL, json!({}), round(&responses, "nonsense")),
        call(&owner, TOOL, json!({"more": 1}), round(&responses, &state)),
        call(&owner, "test_input_required_result_elicitation", json!({}), round(&responses, &state)),
        call(&other, TOOL, json!({}), round(&responses, &state)),
    ];
    for refusal in &refusals {
        assert_eq!(refusal["error"]["code"], -32602, "{refusal}");
        assert_eq!(refusal["error"], refusals[0]["error"], "nobody learns why");
    }

    let second = call(&owner, TOOL, json!({}), round(&responses, &state));
    let (responses, state) = answered(&second);
    let done = call(&owner, TOOL, json!({}), round(&responses, &state));
    assert_eq!(done["result"]["content"][0]["text"], "Ada likes blue", "{done}");
    if era == "legacy" {
        let again = call(&owner, TOOL, json!({}), round(&responses, &state));
        assert_eq!(again["error"], refusals[0]["error"], "a parked call goes on once");
    }
    gate.stop();
}

#[test]
fn a_parked_call_goes_on_for_the_key_that_was_asked_alone() {
    only_the_asked_gets_on("legacy");
}

#[test]
fn a_sealed_state_is_good_for_the_key_that_was_asked_alone() {
    only_the_asked_gets_on("modern");
}

/// Without a word in its table a server may ask the user, and nothing else.
#[test]
fn sampling_and_roots_are_refused_unless_a_server_is_allowed_them() {
    for upstream in ["modern", "legacy"] {
        let server = Server::everything(upstream);
        let home = Home::new(&format!("{ANYONE}[servers.peer]\nurl = \"{}\"\n", server.url));
        let gate = home.start();
        eventually("the fixture is listed", LISTED, || Client::new(home.listen).tools().len() > 20);
        let step = |name: &str| json!({"do": "call", "name": format!("test_input_required_result_{name}")});
        for (driver, era) in [(Driver::TsV2, "modern"), (Driver::TsV1, "legacy")] {
            let report = driver.drive(&json!({
                "url": format!("http://{}/mcp/peer", home.listen),
                "era": era,
                "answers": {"elicitation": {"name": "Ada"}, "sampling": "Paris", "roots": ["file:///home/ada"]},
                "steps": [step("elicitation"), step("sampling"), step("list_roots")],
            }));
            let [asked, sampling, roots] = [0, 1, 2].map(|at| &report["steps"][at]);
            assert_eq!(asked["result"]["content"][0]["text"], "Hello, Ada!", "{era} to {upstream}: {report:#}");
            for refused in [sampling, roots] {
                let is_refused = refused["result"]["isError"] == true || refused["error"]["code"].is_i64();
                assert!(is_refused, "{era} to {upstream}: {refused}");
            }
            let methods: Vec<_> = report["asked"].as_array().unwrap().iter().map(|one| &one["method"]).collect();
            assert_eq!(methods, ["elicitation/create"], "{era} to {upstream}");
        }
        gate.stop();
    }
}
