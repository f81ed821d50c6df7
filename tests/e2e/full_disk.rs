//! A disk that fills up: calls that cannot be recorded are refused before they reach a server, and nothing else stops.

use crate::fakes::{Fake, Wire};
use crate::gate::{ANYONE, Home, Tables, eventually};
use crate::http::Connection;
use crate::mcp::Client;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tollgate::base::error::Kind;

/// Calls on one connection before their answers are read.
const PIPELINED: u64 = 50;
/// Calls after which the disk must be full: each leaves more than 300 bytes.
const CALLS_MAX: u64 = 60_000;

#[test]
fn calls_that_cannot_be_recorded_are_refused() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let servers = format!("{ANYONE}[servers.one]\nurl = \"{}\"\n", fake.url());
    let home = Home::new(&servers);
    let journal = "directory = \"disk/journal\"\nsegment_bytes = 8388608";
    home.configure_more(&Tables { journal, runtime: "shards = 1", ..Tables::default() }, &servers);
    let gate = home.start_on_disk("disk", "12m");
    let client = Client::new(home.listen);
    eventually("it is listed", Duration::from_secs(20), || client.tools().len() == 1);

    let bytes = client.modern_bytes(1, "tools/call", json!({"name": "one__alpha", "arguments": {"a": 1}}));
    let many = bytes.repeat(usize::try_from(PIPELINED).unwrap());
    let mut connection = Connection::open(home.listen);
    let (mut answered, mut refused) = (0, None);
    while refused.is_none() {
        assert!(answered < CALLS_MAX, "the disk does not fill up");
        assert!(connection.send(&many));
        for _ in 0..PIPELINED {
            let response = connection.read().expect("an answer to each call");
            if response.status == 200 && response.answer().get("result").is_some() {
                answered += 1;
            } else {
                refused = Some(response);
            }
        }
    }
    let refused = refused.unwrap();
    println!("{answered} calls answered on a disk of 12 MiB, then: {} {}", refused.status, refused.text());
    assert_eq!(refused.code(), i64::from(Kind::Journal.rpc_code()), "{}", refused.text());
    assert!([200, Kind::Journal.http_status()].contains(&refused.status));

    let before = fake.counts.calls.load(Ordering::Relaxed);
    for _ in 0..20 {
        assert_eq!(client.call("one__alpha", json!({})).code(), i64::from(Kind::Journal.rpc_code()));
    }
    assert_eq!(fake.counts.calls.load(Ordering::Relaxed), before, "a refused call reaches no server");
    assert!(before >= answered, "every answered call reached the server");
    assert_eq!(client.tools().len(), 1, "lists are still served");
    drop(gate);
}
