//! How things end: streams and requests while the gate drains, streams of a session that was deleted.

use crate::eras::{stdio_home, wait_for_tools};
use crate::http::Connection;
use crate::mcp::{Client, LEGACY};
use serde_json::json;
use std::time::{Duration, Instant};

/// Calls that keep every shard busy.
const CALLS: usize = 12;

fn listen(client: &Client) -> Vec<u8> {
    client.modern_bytes(11, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}))
}

#[test]
fn a_draining_gate_says_that_it_closes_and_ends_streams_at_once() {
    let home = stdio_home("legacy");
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 3);
    let slow = client.modern_bytes(1, "tools/call", json!({"name": "child__slow", "arguments": {"seconds": 5}}));
    let list = client.modern_bytes(2, "tools/list", json!({}));
    let open = |request: &[u8]| {
        let mut connection = Connection::open(home.listen);
        connection.send(request);
        connection
    };
    let mut calls: Vec<Connection> = (0..CALLS).map(|_| open(&slow)).collect();
    let [mut asks, mut listens] = [(); 2].map(|()| open(&list));
    for connection in [&mut asks, &mut listens] {
        assert_eq!(connection.read().unwrap().header("connection"), None);
    }
    std::thread::sleep(Duration::from_millis(500));
    gate.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    asks.send(&list);
    let answer = asks.read().expect("requests on open connections are still answered");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    let from = Instant::now();
    listens.send(&listen(&client));
    assert_eq!(listens.head().unwrap().status, 200);
    assert_eq!(listens.event()["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(listens.event()["result"]["resultType"], "complete");
    assert!(from.elapsed() < Duration::from_secs(2), "a stream held up the drain for {:?}", from.elapsed());
    for call in &mut calls {
        assert_eq!(call.read().unwrap().answer()["result"]["content"][0]["text"], "slept");
    }
}

#[test]
fn the_stream_of_a_deleted_session_ends() {
    let home = stdio_home("legacy");
    let gate = home.start();
    let session = Client::new(home.listen).session(LEGACY);
    let mut stream = session.bare("GET");
    assert_eq!(stream.head().unwrap().status, 200);
    assert_eq!(session.bare("DELETE").read().unwrap().status, 204);
    let from = Instant::now();
    while stream.chunk().is_some() {
        assert!(from.elapsed() < Duration::from_secs(5), "the stream goes on without its session");
    }
    gate.stop();
}

/// Whatever shard a call runs on: nobody can answer what its server may ask any more.
#[test]
fn the_calls_of_a_deleted_session_are_cancelled() {
    let home = stdio_home("legacy");
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 3);
    let session = client.session(LEGACY);
    let slow = json!({"name": "child__slow", "arguments": {"seconds": 60}});
    let mut calls: Vec<Connection> = (0..CALLS as u64)
        .map(|id| {
            let body = json!({"jsonrpc": "2.0", "id": id + 10, "method": "tools/call", "params": slow});
            let mut connection = Connection::open(home.listen);
            connection.send(&client.post_bytes(&session.headers(), body.to_string().as_bytes()));
            connection
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let from = Instant::now();
    assert_eq!(session.bare("DELETE").read().unwrap().status, 204);
    for call in &mut calls {
        assert_eq!(call.read().unwrap().code(), -31099, "cancelled");
    }
    assert!(from.elapsed() < Duration::from_secs(5), "calls outlived their session for {:?}", from.elapsed());
    gate.stop();
}

#[test]
fn a_stream_that_may_not_be_opened_is_refused_under_its_id() {
    let home = stdio_home("legacy");
    let gate = home.start();
    let client = Client::new(home.listen);
    let mut open = Vec::new();
    let refused = loop {
        let mut connection = Connection::open(home.listen);
        connection.send(&listen(&client));
        let head = connection.head().unwrap();
        if head.status != 200 {
            break connection.body(head).unwrap();
        }
        open.push(connection);
        assert!(open.len() < 1000, "streams of one key are bounded");
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.answer()["id"], 11);
    gate.stop();
}
