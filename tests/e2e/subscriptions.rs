//! Subscriptions to resources through the gate: clients and servers of both eras, two shards, and who hears nothing.

use crate::gate::{ANYONE, Home, eventually};
use crate::http::Connection;
use crate::mcp::{Client, LEGACY, Session};
use crate::peers::Server;
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const WATCHED: &str = "test://watched-resource";
/// Streams of a kind: enough to be on both shards.
const SPREAD: usize = 8;
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A gate in front of our fixture in one era, once it has listed that.
fn gate_before(era: &str, holds: impl FnOnce(&Home, &Client)) {
    let server = Server::everything(era);
    let home = Home::new(&format!("{ANYONE}[servers.every]\nurl = \"{}\"\n", server.url));
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("the server is listed", PATIENCE, || client.tools().len() > 5);
    holds(&home, &client);
    gate.stop();
}

fn listen(client: &Client, uris: &[&str]) -> (Connection, Value) {
    let mut stream = Connection::open(client.address);
    let asked = json!({"notifications": {"resourceSubscriptions": uris, "promptsListChanged": true}});
    stream.send(&client.modern_bytes(11, "subscriptions/listen", asked));
    assert_eq!(stream.head().unwrap().status, 200);
    let first = stream.event();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    (stream, first["params"]["notifications"]["resourceSubscriptions"].clone())
}

fn opened(session: &Session) -> Connection {
    let mut stream = session.bare("GET");
    assert_eq!(stream.head().unwrap().status, 200);
    stream
}

fn trigger(client: &Client) {
    let answer = client.call("every__test_trigger_update", json!({})).answer();
    assert!(answer["result"]["content"].is_array(), "{answer}");
}

fn change_prompts(client: &Client) {
    let answer = client.call("every__test_trigger_prompt_change", json!({})).answer();
    assert!(answer["result"]["content"].is_array(), "{answer}");
}

/// The next event is word of the watched resource.
fn hears(stream: &mut Connection, subscription: &Value) {
    let event = stream.event();
    assert_eq!(
        (&event["method"], &event["params"]["uri"]),
        (&json!("notifications/resources/updated"), &json!(WATCHED))
    );
    assert_eq!(event["params"]["_meta"][SUBSCRIPTION], *subscription, "{event}");
}

/// The next event is word of the list that changed after the resource: of that nothing was said.
fn heard_nothing(stream: &mut Connection) {
    assert_eq!(stream.event()["method"], "notifications/prompts/list_changed");
}

#[test]
fn every_stream_of_either_era_hears_of_a_resource_on_every_shard() {
    for era in ["modern", "legacy"] {
        gate_before(era, |_, client| {
            let sessions: Vec<Session> = (0..SPREAD).map(|_| client.session(LEGACY)).collect();
            let mut legacy: Vec<Connection> = sessions.iter().map(opened).collect();
            for session in &sessions {
                let answer = session.request("resources/subscribe", json!({"uri": WATCHED})).answer();
                assert_eq!(answer["result"], json!({}), "{answer}");
            }
            let mut modern: Vec<Connection> = (0..SPREAD)
                .map(|_| {
                    let (stream, honoured) = listen(client, &[WATCHED]);
                    assert_eq!(honoured, json!([WATCHED]));
                    stream
                })
                .collect();
            trigger(client);
            legacy.iter_mut().for_each(|stream| hears(stream, &Value::Null));
            modern.iter_mut().for_each(|stream| hears(stream, &json!(11)));
        });
    }
}

#[test]
fn a_session_that_unsubscribes_hears_no_more_and_may_come_back() {
    for era in ["modern", "legacy"] {
        gate_before(era, |_, client| {
            let session = client.session(LEGACY);
            assert_eq!(session.hello["capabilities"]["resources"]["subscribe"], true);
            let mut stream = opened(&session);
            let ask =
                |method| assert_eq!(session.request(method, json!({"uri": WATCHED})).answer()["result"], json!({}));
            ask("resources/subscribe");
            trigger(client);
            hears(&mut stream, &Value::Null);
            ask("resources/unsubscribe");
            trigger(client);
            std::thread::sleep(Duration::from_millis(300));
            change_prompts(client);
            heard_nothing(&mut stream);
            ask("resources/subscribe");
            trigger(client);
            hears(&mut stream, &Value::Null);
            drop(stream);
            // A stream that is opened later belongs to the session as much.
            let mut again = opened(&session);
            std::thread::sleep(Duration::from_millis(500));
            trigger(client);
            hears(&mut again, &Value::Null);
        });
    }
}

#[test]
fn what_is_not_granted_is_not_acknowledged_and_as_unknown_as_for_a_read() {
    let server = Server::everything("dual");
    let home = Home::new(&format!("[servers.every]\nurl = \"{}\"\n", server.url));
    let token = home.run_well(&["key", "new", "some", "--allow", "*/*", "--resource", "every/test://static-*"]);
    let gate = home.start();
    let client = Client::new(home.listen).with_key(token.trim());
    eventually("the server is listed", PATIENCE, || client.tools().len() > 5);
    let (_stream, honoured) = listen(&client, &[WATCHED, "test://static-text"]);
    assert_eq!(honoured, json!(["test://static-text"]));
    let session = client.session(LEGACY);
    for uri in [WATCHED, "nowhere://"] {
        let asked = session.request("resources/subscribe", json!({"uri": uri})).answer();
        let read = session.request("resources/read", json!({"uri": uri})).answer();
        assert_eq!(asked["error"], read["error"]);
        assert_eq!(asked["error"]["code"], -32002, "{asked}");
    }
    for bad in [json!({}), json!({"uri": 7})] {
        assert_eq!(session.request("resources/subscribe", bad).code(), -32602);
    }
    gate.stop();
}

#[test]
fn a_session_is_told_when_it_has_too_many_subscriptions() {
    gate_before("modern", |_, client| {
        let session = client.session(LEGACY);
        let ask =
            |n| session.request("resources/subscribe", json!({"uri": format!("test://template/{n}/data")})).answer();
        for n in 0..256 {
            assert_eq!(ask(n)["result"], json!({}));
        }
        let over = ask(256)["error"]["message"].clone();
        assert!(over.as_str().unwrap().contains("unsubscribe"), "{over}");
        let many: Vec<String> = (0..257).map(|n| format!("test://template/{n}/data")).collect();
        let asked = json!({"notifications": {"resourceSubscriptions": many}});
        assert_eq!(client.modern("subscriptions/listen", asked).code(), -32602);
    });
}
