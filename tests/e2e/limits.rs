//! Who may call how much: limits hold exactly over all shards, are told in words, survive a reload, and teams cut what
//! their keys may see.

use crate::eras::wait_for_tools;
use crate::fakes::{Fake, Wire};
use crate::gate::{ANYONE, Home, eventually};
use crate::http::{self, Connection, Response};
use crate::mcp::{Client, LEGACY};
use crate::peers::tests;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Connections that ask at once.
pub(crate) const AT_ONCE: usize = 64;
/// JSON-RPC code of a call that a limit refuses.
const LIMITED: i64 = -31028;

fn one(fake: &Fake, more: &str) -> String {
    format!("[servers.one]\nurl = \"{}\"\n{more}", fake.url())
}

/// What came of one call on each of many connections, all sent before any is read.
pub(crate) fn all_at_once(client: &Client, tool: &str, arguments: &Value) -> Vec<Response> {
    let request = client.modern_bytes(1, "tools/call", json!({"name": tool, "arguments": arguments}));
    let mut connections: Vec<_> = (0..AT_ONCE).map(|_| Connection::open(client.address)).collect();
    connections.iter_mut().for_each(|connection| assert!(connection.send(&request)));
    connections.iter_mut().map(|connection| connection.read().unwrap()).collect()
}

/// How many of them are results.
pub(crate) fn good(answers: &[Response]) -> usize {
    answers.iter().filter(|answer| answer.status == 200 && answer.answer().get("result").is_some()).count()
}

/// One meter, as the admin listener gives it.
pub(crate) fn meter(home: &Home, name: &str) -> u64 {
    let text = http::get(home.admin, "/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

fn limited(home: &Home, level: &str) -> u64 {
    meter(home, &format!("tollgate_calls_limited_total{{level=\"{level}\"}}"))
}

#[test]
fn exactly_the_limit_passes_over_all_shards() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = Home::new(&one(&fake, ""));
    let key = home.run_well(&["key", "new", "ten", "--allow", "*/*", "--rate", "10/day", "--json"]);
    let key = serde_json::from_str::<Value>(&key).unwrap()["key"].as_str().unwrap().to_owned();
    let free = home.new_key("free", &["*/*"]);
    let gate = home.start();
    let client = Client::new(home.listen).with_key(&key);
    wait_for_tools(&client, 1);
    let answers = all_at_once(&client, "one__alpha", &json!({}));
    assert_eq!((good(&answers), fake.counts.calls.load(Ordering::Relaxed)), (10, 10));
    let refused = answers.iter().find(|answer| answer.status != 200).unwrap();
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((8_600..=8_640).contains(&seconds), "one more each tenth of a day, not in {seconds} s");
    assert_eq!((refused.status, refused.code()), (429, LIMITED));
    let error = &refused.answer()["error"];
    assert_eq!(error["data"]["retryAfterSeconds"], seconds);
    let words = error["message"].as_str().unwrap();
    assert!(words.starts_with("limit of key ") && words.contains("10 calls a day: try again in "), "{words}");
    assert_eq!(limited(&home, "key"), (AT_ONCE - 10) as u64);
    assert_eq!(good(&all_at_once(&client.with_key(&free), "one__alpha", &json!({}))), AT_ONCE, "a key without a limit");
    let denied = home.run_well(&["audit", "show"]);
    assert_eq!(denied.matches("rate_limited").count(), AT_ONCE - 10, "every refusal is recorded");
    gate.stop();
}

#[test]
fn every_level_counts_and_a_reload_forgets_nothing() {
    let fake = Fake::plain(Wire::Modern, &["alpha", "beta"]);
    let config = |team: &str, customer: &str| {
        let levels = format!(
            "[customers.acme]\nrates = [\"{customer}/day\"]\n\
             [teams.research]\ncustomer = \"acme\"\nrates = [\"{team}/day\"]\n\
             [[tool_limits]]\nname = \"betas\"\ntools = [\"one/beta\"]\nrates = [\"3/day\"]\n"
        );
        format!("{levels}{}", one(&fake, ""))
    };
    let home = Home::new(&config("20", "40"));
    let keys = ["a", "b"].map(|name| {
        let made = home.run_well(&["key", "new", name, "--allow", "*/*", "--team", "research", "--json"]);
        serde_json::from_str::<Value>(&made).unwrap()["key"].as_str().unwrap().to_owned()
    });
    let gate = home.start();
    let clients = keys.each_ref().map(|key| Client::new(home.listen).with_key(key));
    wait_for_tools(&clients[0], 2);
    assert_eq!(good(&all_at_once(&clients[0], "one__beta", &json!({}))), 3, "of the tool");
    assert_eq!(good(&all_at_once(&clients[0], "one__alpha", &json!({}))), 17, "what the tool refused did not count");
    assert_eq!(good(&all_at_once(&clients[1], "one__alpha", &json!({}))), 0, "the team is one");
    assert_eq!((limited(&home, "tools"), limited(&home, "team")), ((AT_ONCE - 3) as u64, (2 * AT_ONCE - 17) as u64));
    home.configure(&config("1000", "40"));
    gate.signal("HUP");
    let mut through = 0;
    eventually("the team may do more", Duration::from_secs(20), || {
        through = good(&all_at_once(&clients[1], "one__alpha", &json!({})));
        through > 0
    });
    let more = good(&all_at_once(&clients[0], "one__alpha", &json!({})));
    assert_eq!(through + more, 20, "the customer has forty, of which twenty were used before the reload");
    assert!(limited(&home, "customer") > 0);
    gate.stop();
}

#[test]
fn calls_under_way_are_bounded_and_end() {
    let script = tests().join("fixtures/upstream/fake_stdio.py");
    let home = Home::new(&format!(
        "{ANYONE}[servers.child]\ncommand = \"python3\"\nargs = [{}, \"legacy\"]\nconcurrency_max = 3\n",
        json!(script.to_str().unwrap())
    ));
    let gate = home.start();
    let client = Client::new(home.listen);
    wait_for_tools(&client, 3);
    let slow = client.modern_bytes(1, "tools/call", json!({"name": "child__slow", "arguments": {"seconds": 3}}));
    let mut held: Vec<_> = (0..3).map(|_| Connection::open(home.listen)).collect();
    held.iter_mut().for_each(|connection| assert!(connection.send(&slow)));
    let refused = || client.call("child__echo", json!({}));
    let under_way = || meter(&home, "tollgate_calls_in_flight{server=\"child\"}") == 3;
    eventually("three calls are under way", Duration::from_secs(10), under_way);
    assert_eq!(refused().status, 429);
    let words = refused().answer()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(words, "limit of server child: 3 calls at once: try again when one of them has ended");
    let session = client.session(LEGACY);
    assert_eq!(session.call("child__echo", json!({})).code(), LIMITED, "whatever the era");
    held.iter_mut().for_each(|connection| assert_eq!(connection.read().unwrap().status, 200));
    assert_eq!(refused().status, 200, "they have ended");
    let mut left = Connection::open(home.listen);
    assert!(left.send(&slow));
    drop(left);
    let from = Instant::now();
    assert_eq!(good(&(0..9).map(|_| refused()).collect::<Vec<_>>()), 9, "{:?}", from.elapsed());
    gate.stop();
}

#[test]
fn a_team_cuts_what_its_keys_see_and_call() {
    let fake = Fake::plain(Wire::Modern, &["alpha", "beta", "gamma"]);
    let config = |team: &str| {
        format!(
            "[customers.acme]\nallow = [\"*/*a\"]\n[teams.t]\ncustomer = \"acme\"\nallow = {team}\n{}",
            one(&fake, "")
        )
    };
    let home = Home::new(&config("[\"one/alpha\", \"one/beta\"]"));
    let made = home.run_well(&["key", "new", "k", "--allow", "one/*", "--team", "t", "--json"]);
    let key = serde_json::from_str::<Value>(&made).unwrap()["key"].as_str().unwrap().to_owned();
    let gate = home.start();
    let client = Client::new(home.listen).with_key(&key);
    wait_for_tools(&client, 2);
    assert_eq!(client.tool_names(), ["one__alpha", "one__beta"]);
    let hidden = client.call("one__gamma", json!({})).answer()["error"].take();
    let absent = client.call("one__delta", json!({})).answer()["error"].take();
    assert_eq!(hidden.to_string().replace("gamma", "delta"), absent.to_string(), "hidden and absent are the same");
    home.configure(&config("[]"));
    gate.signal("HUP");
    eventually("the team is closed", Duration::from_secs(20), || client.tools().is_empty());
    let is_refused = || client.call("one__alpha", json!({})).answer()["error"]["code"] == -32602;
    eventually("every shard knows it", Duration::from_secs(20), || (0..16).all(|_| is_refused()));
    home.configure(&one(&fake, ""));
    gate.signal("HUP");
    std::thread::sleep(Duration::from_millis(500));
    assert!(client.tools().is_empty(), "a key whose team is gone sees nothing");
    gate.stop();
}
