//! Budgets: exactly what they hold passes over all shards, whatever is killed; prices by argument and result; resets
//! and raises reach a running gate.

use crate::eras::wait_for_tools;
use crate::fakes::{Fake, Wire};
use crate::gate::{Home, eventually};
use crate::http::Connection;
use crate::limits::{AT_ONCE, all_at_once, good, meter};
use crate::mcp::{Client, LEGACY};
use crate::peers::tests;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// JSON-RPC code of a call that a budget refuses.
const SPENT: i64 = -31027;
/// Kills of the gate while calls are under way.
const KILLS: u64 = 20;

fn configured(fake: &Fake, more: &str) -> Home {
    Home::new(&format!("[servers.one]\nurl = \"{}\"\n{more}", fake.url()))
}

fn key(home: &Home, more: &[&str]) -> (String, String) {
    let arguments = [&["key", "new", "k", "--allow", "*/*", "--json"], more].concat();
    let made: Value = serde_json::from_str(&home.run_well(&arguments)).unwrap();
    ["id", "key"].map(|field| made[field].as_str().unwrap().to_owned()).into()
}

/// What `budget list` says of one budget.
fn listed(home: &Home, whose: &str) -> Value {
    let all: Value = serde_json::from_str(&home.run_well(&["budget", "list", whose, "--json"])).unwrap();
    all[0].clone()
}

/// What the journal's records charge in all, calls without an outcome with what was reserved.
fn charged_by_the_journal(home: &Home) -> u64 {
    let text = home.run_well(&["audit", "show", "--json"]);
    let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (mut charged, mut sum) = (HashMap::new(), 0);
    for entry in entries {
        let field = |name: &str| entry["body"].get(name).or(entry.get(name)).and_then(Value::as_u64);
        let shard = field("shard").unwrap();
        if let Some(reserved) = field("reserved") {
            charged.insert((shard, field("seq").unwrap()), reserved);
        }
        if let Some(cost) = field("cost") {
            charged.remove(&(shard, field("intent").unwrap())).expect("an intent");
            sum += cost;
        }
    }
    sum + charged.values().sum::<u64>()
}

#[test]
fn exactly_the_budget_passes_over_all_shards() {
    let fake = Fake::plain(Wire::Modern, &["alpha", "free"]);
    let home = configured(&fake, "[[tool_prices]]\ntools = [\"one/alpha\"]\nprice = \"0.10\"\n");
    let (id, token) = key(&home, &["--budget", "1.05/year"]);
    let gate = home.start();
    let client = Client::new(home.listen).with_key(&token);
    wait_for_tools(&client, 2);
    let answers = all_at_once(&client, "one__alpha", &json!({}));
    assert_eq!((good(&answers), fake.counts.calls.load(Ordering::Relaxed)), (10, 10));
    let refused = answers.iter().find(|answer| answer.status != 200).unwrap();
    assert_eq!((refused.status, refused.code()), (402, SPENT));
    let error = &refused.answer()["error"];
    let words = error["message"].as_str().unwrap();
    let expected =
        format!("budget of key {id}: 0.05 left of 1.05 a year, and this call may cost 0.10: there is more from ");
    assert!(words.starts_with(&expected), "{words}");
    let data = &error["data"];
    assert_eq!((&data["level"], &data["period"], &data["left"]), (&json!("key"), &json!("year"), &json!("0.05")));
    assert!(data["resetsAt"].as_str().unwrap().ends_with("-01-01T00:00:00Z"), "{data}");
    assert_eq!(refused.header("retry-after").unwrap(), data["retryAfterSeconds"].to_string());
    assert_eq!(good(&all_at_once(&client, "one__free", &json!({}))), AT_ONCE, "what has no price is free");
    assert_eq!(client.session(LEGACY).call("one__alpha", json!({})).code(), SPENT, "whatever the era");
    assert_eq!(meter(&home, "tollgate_calls_over_budget_total{level=\"key\"}"), (AT_ONCE - 10 + 1) as u64);
    assert_eq!(meter(&home, "tollgate_cost_microdollars_total"), 1_000_000);
    assert_eq!(listed(&home, &id)["charged_microdollars"], 1_000_000);
    gate.stop();
    assert_eq!(
        (listed(&home, &id)["charged_microdollars"].as_u64(), charged_by_the_journal(&home)),
        (Some(1_000_000), 1_000_000)
    );
    let gate = home.start();
    wait_for_tools(&client, 2);
    assert_eq!(client.call("one__alpha", json!({})).status, 402, "a restart gives nothing back");
    gate.stop();
}

#[test]
fn a_price_may_hang_on_what_is_asked_and_on_what_comes() {
    let fake = Fake::plain(Wire::Modern, &["asked", "told", "sized"]);
    let home = configured(
        &fake,
        "[teams.t]\nbudgets = [\"1.00/year\"]\ntime_zone = \"Europe/Berlin\"\n\
         [[tool_prices]]\ntools = [\"one/asked\"]\nargument = \"/n\"\neach = \"0.01\"\nmax = \"0.40\"\n\
         [[tool_prices]]\ntools = [\"one/told\"]\nresult_field = \"/structuredContent/arguments/cost\"\n\
         each = \"1\"\nmax = \"0.30\"\n\
         [[tool_prices]]\ntools = [\"one/sized\"]\nprice = \"0.05\"\nresult_bytes = true\neach = \"0.001\"\n\
         per = 1000000\nmax = \"0.10\"\n",
    );
    let (id, token) = key(&home, &["--team", "t"]);
    let gate = home.start();
    let client = Client::new(home.listen).with_key(&token);
    wait_for_tools(&client, 3);
    let charged = || {
        let mut last = 0;
        eventually("the outcome is recorded", Duration::from_secs(5), || {
            let team = listed(&home, "team:t");
            last = team["charged_microdollars"].as_u64().unwrap();
            team["reserved_microdollars"] == 0
        });
        last
    };
    assert_eq!(client.call("one__asked", json!({"n": 7})).status, 200);
    assert_eq!(charged(), 70_000);
    assert_eq!(client.call("one__told", json!({"cost": 0.0123456})).status, 200);
    assert_eq!(charged(), 82_346, "rounded up to a micro-dollar");
    assert_eq!(client.call("one__sized", json!({})).status, 200);
    assert_eq!(charged(), 132_347, "a part of a million bytes");
    assert_eq!(client.call("one__told", json!({"cost": "much"})).status, 200);
    assert_eq!(charged(), 432_347, "what cannot be read costs the most");
    assert_eq!(meter(&home, "tollgate_cost_unread_total"), 1);
    let shown = home.run_well(&["audit", "show", "--kind", "outcome"]);
    assert!(shown.contains("unread") && shown.contains("priced"), "{shown}");
    assert_eq!(client.call("one__asked", json!({"n": "x"})).status, 200, "worst case: 0.40");
    let refused = client.call("one__told", json!({"cost": 0.000001}));
    assert_eq!((refused.status, refused.code()), (402, SPENT), "it might have cost 0.30");
    assert_eq!(refused.answer()["error"]["data"]["level"], "team");
    let explained = home.run_well(&["explain", "--key", &id, "--tool", "one/told"]);
    assert!(explained.contains("1.00 for each of /structuredContent/arguments/cost in the result, 0.30 at most"));
    assert!(explained.contains("team t: 1.00/year (Europe/Berlin)"), "{explained}");
    home.run_well(&["budget", "raise", "team:t", "--by", "0.20", "--until", "2h"]);
    let is_through = || client.call("one__told", json!({"cost": 0.1})).status == 200;
    eventually("the raise is known", Duration::from_secs(10), is_through);
    assert_eq!((charged(), client.call("one__told", json!({"cost": 0.1})).status), (932_347, 402));
    home.run_well(&["budget", "reset", "team:t", "--period", "year"]);
    eventually("the reset is known", Duration::from_secs(10), is_through);
    let team = listed(&home, "team:t");
    assert_eq!(
        (&team["spent"], &team["left"], &team["raised"]["by"]),
        (&json!("0.10"), &json!("1.10"), &json!("0.20"))
    );
    assert!(!home.run(&["budget", "reset", "team:nobody"]).status.success());
    assert!(!home.run(&["budget", "raise", "team:t", "--by", "1", "--until", "never"]).status.success());
    gate.stop();
}

/// Calls until the gate is gone.
fn call_until_killed(client: &Client, is_over: &AtomicBool) {
    let mut connection = Connection::open(client.address);
    for at in 0.. {
        let arguments = json!({"name": "one__told", "arguments": {"cost": 0.001}});
        let bytes = client.modern_bytes(at, "tools/call", arguments);
        if is_over.load(Ordering::Relaxed) || !connection.send(&bytes) || connection.read().is_none() {
            break;
        }
    }
}

#[test]
fn no_kill_lets_more_through_or_loses_what_was_spent() {
    let fake = Fake::plain(Wire::Modern, &["told"]);
    let home = configured(
        &fake,
        "[[tool_prices]]\ntools = [\"one/told\"]\nresult_field = \"/structuredContent/arguments/cost\"\n\
         each = \"1\"\nmax = \"0.003\"\n",
    );
    let (id, token) = key(&home, &["--budget", "3.00/year"]);
    let client = Client::new(home.listen).with_key(&token);
    let mut last = 0;
    for round in 0..KILLS {
        let gate = home.start();
        wait_for_tools(&client, 1);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            (0..8).for_each(|_| drop(scope.spawn(|| call_until_killed(&client, &is_over))));
            std::thread::sleep(Duration::from_millis(20 + 17 * (round % 7)));
            gate.kill();
            is_over.store(true, Ordering::Relaxed);
        });
        let (budget, sum) = (listed(&home, &id), charged_by_the_journal(&home));
        assert_eq!(budget["charged_microdollars"], sum, "round {round}");
        assert_eq!(budget["lost_microdollars"], 0, "the rings are still there");
        let through = fake.counts.calls.load(Ordering::Relaxed) * 1_000;
        assert!(last <= sum && through <= sum && sum <= 3_000_000, "round {round}: {last} {through} {sum}");
        last = sum;
    }
    let gate = home.start();
    wait_for_tools(&client, 1);
    let is_spent = (0..4_000).any(|_| client.call("one__told", json!({"cost": 0.001})).status == 402);
    assert!(is_spent, "all of it is spent some time");
    gate.stop();
    let sum = charged_by_the_journal(&home);
    let calls = fake.counts.calls.load(Ordering::Relaxed);
    println!(
        "{KILLS} kills, {calls} calls: {sum} of 3000000 micro-dollars charged, {last} of them before the last start"
    );
    assert!((2_997_001..=3_000_000).contains(&sum) && calls * 1_000 <= sum, "{sum} by {calls} calls");
    assert_eq!(listed(&home, &id)["charged_microdollars"], sum);
    home.run_well(&["audit", "verify"]);
    let script = tests().join("verify_journal.py");
    let verified = Command::new("python3").arg(script).arg(home.path().join("state/journal")).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn a_lost_ring_counts_what_was_leased_as_spent() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = configured(&fake, "[[tool_prices]]\ntools = [\"*/*\"]\nprice = \"0.01\"\n");
    let (id, token) = key(&home, &["--budget", "10/year"]);
    let client = Client::new(home.listen).with_key(&token);
    let gate = home.start();
    wait_for_tools(&client, 1);
    assert_eq!(client.call("one__alpha", json!({})).status, 200);
    std::thread::sleep(Duration::from_millis(300));
    gate.kill();
    home.lose_rings();
    let gate = home.start();
    let budget = listed(&home, &id);
    assert_eq!(budget["charged_microdollars"], 10_000);
    assert_eq!(budget["lost_microdollars"], 310_000, "a lease is of 32 such calls");
    assert_eq!(budget["left"], "9.68");
    gate.stop();
}
