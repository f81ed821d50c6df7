//! What could be mistaken for something else's: equal progress tokens, answers that come too late, questions about no
//! call, and calls that wait while their server talks on.

use crate::eras::{stdio_home, wait_for_tools};
use crate::gate::{ANYONE, Home, eventually};
use crate::http::Connection;
use crate::mcp::{Client, LEGACY, meta};
use crate::peers::tests;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Streams of a kind: enough to be on both shards.
const SPREAD: usize = 8;
/// Longest wait for a subscription to be answered (docs/protocol.md 4), less than two waits of a second.
const SUBSCRIBED: Duration = Duration::from_millis(1_900);

fn text(answer: &Value) -> Value {
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"));
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

/// The `_meta` of a client whose user can be asked.
fn askable() -> Value {
    let mut meta = meta();
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {}});
    meta
}

/// Everything that comes on the stream of a call under way is about that call.
fn hears_its_own(connection: &mut Connection, tag: &str) {
    assert_eq!(connection.head().unwrap().status, 200);
    for step in 0..3 {
        let params = connection.event()["params"].take();
        assert_eq!(
            (&params["progressToken"], &params["progress"], &params["message"]),
            (&json!("same"), &json!(step), &json!(tag))
        );
    }
    assert_eq!(text(&connection.event()), "done");
}

#[test]
fn equal_progress_tokens_of_several_calls_are_told_apart() {
    let home = stdio_home("legacy");
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 3);
    let session = client.session(LEGACY);
    let params = |tag: &str| {
        let mut meta = meta();
        meta["progressToken"] = json!("same");
        json!({"name": "child__progress", "arguments": {"pause": 0.2, "tag": tag}, "_meta": meta})
    };
    let start = |tag: &str, bytes: &[u8]| {
        let mut connection = Connection::open(home.listen);
        connection.send(bytes);
        (tag.to_owned(), connection)
    };
    let tags: Vec<String> = (0..SPREAD).map(|at| format!("call {at}")).collect();
    let mut calls: Vec<(String, Connection)> = tags
        .iter()
        .enumerate()
        .map(|(at, tag)| match at % 2 {
            0 => start(tag, &client.modern_bytes(1, "tools/call", params(tag))),
            _ => {
                let mut params = params(tag);
                params["_meta"] = json!({"progressToken": "same"});
                let body = json!({"jsonrpc": "2.0", "id": at, "method": "tools/call", "params": params}).to_string();
                start(tag, &client.post_bytes(&session.headers(), body.as_bytes()))
            }
        })
        .collect();
    calls.iter_mut().for_each(|(tag, connection)| hears_its_own(connection, tag));
    gate.stop();
}

#[test]
fn an_answer_after_the_cancellation_is_nobodys() {
    let home = stdio_home("legacy");
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 3);
    let session = client.session(LEGACY);
    let pid = text(&session.call("child__pid", json!({})).answer());
    let params = json!({"name": "child__slow", "arguments": {"seconds": 1}});
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
    let mut connection = Connection::open(home.listen);
    connection.send(&client.post_bytes(&session.headers(), body.to_string().as_bytes()));
    std::thread::sleep(Duration::from_millis(300));
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    assert_eq!(session.post(&cancel).status, 202);
    let from = Instant::now();
    // Calls with the very id of the cancelled one are under way when its answer comes.
    while from.elapsed() < Duration::from_millis(1_500) {
        let answer = session.call("child__echo", json!({"at": 1})).answer();
        assert_eq!(text(&answer)["arguments"], json!({"at": 1}), "{answer}");
    }
    assert_eq!(text(&session.call("child__pid", json!({})).answer()), pid, "the server was not taken for mad");
    gate.stop();
}

#[test]
fn a_question_about_no_call_is_refused_and_reaches_nobody() {
    let home = stdio_home("legacy");
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 3);
    let params = json!({"name": "child__late", "arguments": {}, "_meta": askable()});
    let answer = client.modern("tools/call", params).answer();
    assert_eq!(text(&answer), "soon", "{answer}");
    let mut replies = Value::Null;
    eventually("the server is answered", Duration::from_secs(5), || {
        replies = text(&client.call("child__replies", json!({})).answer());
        replies[0]["id"] == "late"
    });
    assert!(replies[0]["error"]["code"].is_i64(), "{replies}");
    gate.stop();
}

#[test]
fn a_parked_call_outlives_what_its_server_says_meanwhile() {
    let home = stdio_home("legacy");
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 3);
    for _ in 0..3 {
        let params = json!({"name": "child__chatter", "arguments": {}, "_meta": askable()});
        let asked = client.modern("tools/call", params.clone()).answer();
        assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
        std::thread::sleep(Duration::from_millis(700));
        let key = asked["result"]["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
        let mut again = params;
        again["requestState"] = asked["result"]["requestState"].clone();
        again["inputResponses"] = json!({key: {"action": "accept", "content": {"name": "Ada"}}});
        let done = client.modern("tools/call", again).answer();
        assert_eq!(text(&done)["result"]["content"]["name"], "Ada", "{done}");
    }
    gate.stop();
}

#[test]
fn a_subscription_is_answered_in_time_though_its_server_never_does() {
    let script = tests().join("fixtures/upstream/fake_stdio.py");
    let table = format!("command = \"python3\"\nargs = [{}, \"unsettled\"]\n", json!(script.to_str().unwrap()));
    let home = Home::new(&format!("{ANYONE}[servers.child]\n{table}"));
    let gate = home.start();
    let client = Client::new(home.listen);
    let listed =
        || client.modern("resources/list", json!({})).answer()["result"]["resources"][0]["uri"] == "fake://one";
    eventually("its resource is listed", Duration::from_secs(30), listed);
    let session = client.session(LEGACY);
    let streams: Vec<Connection> = (0..SPREAD)
        .map(|_| {
            let mut stream = session.bare("GET");
            assert_eq!(stream.head().unwrap().status, 200);
            stream
        })
        .collect();
    let from = Instant::now();
    let answer = session.request("resources/subscribe", json!({"uri": "fake://one"})).answer();
    assert_eq!(answer["result"], json!({}), "{answer}");
    assert!(from.elapsed() < SUBSCRIBED, "{:?}", from.elapsed());
    drop(streams);
    gate.stop();
}
