//! Many event streams at once: all hear of a change, all are let go of, and the operator's bounds hold.

use crate::eras::{stdio_home, wait_for_tools};
use crate::fakes::{Fake, Wire};
use crate::gate::{ANYONE, Home, Tables, eventually};
use crate::http::{self, Connection};
use crate::mcp::{Client, LEGACY};
use serde_json::json;
use std::time::Duration;

/// Streams of each kind.
const SESSIONS: usize = 200;
const LISTENERS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(10);

fn listen(client: &Client) -> Connection {
    let asked = json!({"notifications": {"toolsListChanged": true}});
    let mut connection = Connection::open(client.address);
    connection.send(&client.modern_bytes(11, "subscriptions/listen", asked));
    connection
}

fn meter(home: &Home, name: &str) -> u64 {
    let text = http::get(home.admin, "/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[test]
fn hundreds_of_idle_streams_hear_of_a_change_and_are_let_go_of() {
    let home = stdio_home("legacy");
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 3);
    let mut streams: Vec<Connection> = (0..SESSIONS).map(|_| client.session(LEGACY).bare("GET")).collect();
    streams.extend((0..LISTENERS).map(|_| listen(&client)));
    for stream in &mut streams {
        assert_eq!(stream.head().unwrap().status, 200);
    }
    for listener in &mut streams[SESSIONS..] {
        assert_eq!(listener.event()["method"], "notifications/subscriptions/acknowledged");
    }
    assert_eq!(meter(&home, "tollgate_streams_open"), streams.len() as u64);
    assert_eq!(client.call("child__change", json!({})).answer()["result"]["content"][0]["text"], "changed");
    for stream in &mut streams {
        assert_eq!(stream.event()["method"], "notifications/tools/list_changed");
    }
    let closed = streams.len();
    drop(streams);
    eventually("every stream is let go of", PATIENCE, || {
        meter(&home, "tollgate_streams_open") == 0 && meter(&home, "tollgate_connections_open") == 0
    });
    let again: Vec<Connection> = (0..closed).map(|_| listen(&client)).collect();
    eventually("their places are free", PATIENCE, || meter(&home, "tollgate_streams_open") == closed as u64);
    drop(again);
    gate.stop();
}

#[test]
fn the_operator_bounds_the_streams_of_a_key_and_a_reload_changes_the_bound() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = Home::new("");
    let configure = |most: usize| {
        let more = Tables { runtime: "shards = 1", ..Tables::default() };
        let url = fake.url();
        home.configure_more(
            &more,
            &format!("{ANYONE}[limits]\nstreams_per_key_max = {most}\n[servers.one]\nurl = \"{url}\"\n"),
        );
    };
    configure(2);
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 1);
    let status = |stream: &mut Connection| stream.head().unwrap().status;
    let mut open = [listen(&client), listen(&client)];
    assert_eq!(open.each_mut().map(status), [200, 200]);
    let refused = listen(&client).read().unwrap();
    assert_eq!(refused.status, 503);
    let words = refused.answer()["error"]["message"].clone();
    assert!(words.as_str().unwrap().contains("limits.streams_per_key_max"), "{words}");
    configure(3);
    gate.signal("HUP");
    eventually("the bound is the new one", PATIENCE, || status(&mut listen(&client)) == 200);
    gate.stop();
}

#[test]
fn the_operator_bounds_the_connections_of_a_shard() {
    const MOST: usize = 16;
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = Home::new("");
    let more = Tables { runtime: "shards = 1", ..Tables::default() };
    let config =
        format!("{ANYONE}[limits]\nconnections_per_shard_max = {MOST}\n[servers.one]\nurl = \"{}\"\n", fake.url());
    home.configure_more(&more, &config);
    let gate = home.start();
    eventually("nobody is connected", PATIENCE, || meter(&home, "tollgate_connections_open") == 0);
    let ask = http::request("GET", "/livez", &[], b"");
    let connect = || {
        let mut connection = Connection::open(home.listen);
        connection.send(&ask);
        let answer = connection.read();
        (connection, answer.map(|answer| answer.status))
    };
    let open: Vec<_> = (0..MOST).map(|_| connect()).collect();
    assert!(open.iter().all(|(_, status)| *status == Some(200)));
    assert_eq!(connect().1, None, "closed as it comes");
    assert!(meter(&home, "tollgate_connections_refused_total") >= 1);
    drop(open);
    eventually("there is room again", PATIENCE, || connect().1 == Some(200));
    gate.stop();
}
