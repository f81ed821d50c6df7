//! Servers that are down, hang, lie or die: each call ends with a specified error, and everything else goes on.

use crate::fakes::{FAULTS, Fake, Wire};
use crate::gate::{ANYONE, Home, Process, eventually};
use crate::mcp::Client;
use crate::peers::tests;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tollgate::base::error::Kind;

/// Most memory the gate may grow by, whatever a server sends. The largest answer accepted is 32 MiB.
const GROWTH_MAX: u64 = 160 << 20;
/// The call timeout these gates are configured with.
const CALL_TIMEOUT: Duration = Duration::from_millis(1500);

fn config(tables: &str) -> String {
    format!("{ANYONE}[limits]\ncall_timeout_ms = {}\n{tables}", CALL_TIMEOUT.as_millis())
}

fn child(name: &str, mode: &str) -> String {
    let script = tests().join("fixtures/upstream/fake_stdio.py");
    format!("[servers.{name}]\ncommand = \"python3\"\nargs = [{}, \"{mode}\"]\n", json!(script.to_str().unwrap()))
}

/// The server named `good` answers, on every shard.
fn assert_alive(client: &Client) {
    for at in 0..16 {
        let answer = client.call("good__alpha", json!({"at": at})).answer();
        assert_eq!(answer["result"]["structuredContent"]["arguments"]["at"], at, "{answer}");
    }
}

fn code(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
}

/// The kinds a fault may end in.
fn expected(fault: &str) -> &'static [Kind] {
    match fault {
        // What is no sign of life does not keep a call alive, however much of it comes.
        "fault_hang" | "fault_comments" | "fault_strangers" => &[Kind::Timeout],
        // A modern server must not ask on a stream; a legacy one is refused each time, and told so.
        "fault_requests" => &[Kind::BadAnswer, Kind::Timeout],
        "fault_endless_comment" => &[Kind::BadAnswer, Kind::TooLarge, Kind::Timeout],
        "fault_close" | "fault_short_body" | "fault_cut_stream" => &[Kind::Unreachable, Kind::BadAnswer],
        "fault_status_500" => &[Kind::Unreachable],
        "fault_endless" | "fault_endless_lines" => &[Kind::BadAnswer, Kind::TooLarge],
        _ => &[Kind::BadAnswer],
    }
}

#[test]
fn every_way_to_answer_badly_has_its_error() {
    let bad = Fake::plain(Wire::Modern, FAULTS);
    let old = Fake::plain(Wire::Stateless, FAULTS);
    let good = Fake::plain(Wire::Modern, &["alpha"]);
    let table = |name: &str, fake: &Fake| format!("[servers.{name}]\nurl = \"{}\"\n", fake.url());
    let home = Home::new(&config(&[table("bad", &bad), table("old", &old), table("good", &good)].concat()));
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("all are listed", Duration::from_secs(20), || client.tools().len() == 2 * FAULTS.len() + 1);
    let before = gate.memory_bytes();
    let mut failures = Vec::new();
    for fault in FAULTS {
        for server in ["bad", "old"] {
            let from = Instant::now();
            let response = client.call(&format!("{server}__{fault}"), json!({}));
            let kinds = expected(fault);
            let answer = response.answer();
            let kind = kinds.iter().find(|kind| answer["error"]["code"] == kind.rpc_code());
            let is_status = kind.is_some_and(|kind| [200, kind.http_status()].contains(&response.status));
            if !is_status || answer["id"] != 1 || from.elapsed() > CALL_TIMEOUT + Duration::from_secs(8) {
                let took = from.elapsed();
                failures.push(format!("{server} {fault}: {} {answer} after {took:?}, not {kinds:?}", response.status));
            }
            assert_alive(&client);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let taken = bad.counts.endless_bytes.load(Ordering::Relaxed);
    assert!(taken < 128 << 20, "{taken} bytes taken of a line without an end");
    // The allocator gives pages back a while after they were freed, and only while it is used.
    let mut growth = u64::MAX;
    eventually("what the endless answers took is given back", Duration::from_secs(20), || {
        assert_alive(&client);
        growth = gate.memory_bytes().saturating_sub(before);
        growth < GROWTH_MAX
    });
    println!("an endless answer: {taken} bytes taken, the gate grew by {growth} bytes");
    gate.stop();
}

#[test]
fn a_server_that_is_down_costs_the_others_nothing_and_comes_in_later() {
    let good = Fake::plain(Wire::Modern, &["alpha"]);
    let address = crate::gate::free_address();
    let tables = format!("[servers.down]\nurl = \"http://{address}/mcp\"\n[servers.good]\nurl = \"{}\"\n", good.url());
    let home = Home::new(&config(&tables));
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("the good one is listed", Duration::from_secs(10), || client.tool_names() == ["good__alpha"]);
    assert_alive(&client);
    let late = Fake::serve_at(
        address,
        Wire::Modern,
        vec![json!({"name": "beta", "inputSchema": {"type": "object"}}).to_string()],
    );
    eventually("the late one comes in", Duration::from_secs(60), || {
        client.tool_names() == ["down__beta", "good__alpha"]
    });
    assert!(client.call("down__beta", json!({})).answer().get("result").is_some());
    drop(late);
    eventually("its calls fail, and fast", Duration::from_secs(10), || {
        let from = Instant::now();
        let answer = client.call("down__beta", json!({})).answer();
        answer["error"]["code"] == Kind::Unreachable.rpc_code() && from.elapsed() < Duration::from_secs(1)
    });
    assert_eq!(client.tool_names(), ["down__beta", "good__alpha"], "its last good list is served");
    assert_alive(&client);
    gate.stop();
    let again = home.start();
    eventually("the kept list is served after a restart", Duration::from_secs(10), || {
        client.tool_names() == ["down__beta", "good__alpha"]
    });
    again.stop();
}

#[test]
fn children_that_fail_are_contained() {
    let good = Fake::plain(Wire::Modern, &["alpha"]);
    let modes = ["legacy", "modern", "exits", "silent", "pages", "noisy", "crash", "hang"];
    let mut tables: String = modes.iter().map(|mode| child(mode, mode)).collect();
    tables.push_str(&format!("[servers.good]\nurl = \"{}\"\n", good.url()));
    let home = Home::new(&config(&tables));
    let gate = home.start();
    let client = Client::new(home.listen);
    let wanted: BTreeSet<String> = modes[..6].iter().map(|mode| format!("{mode}__echo")).collect();
    eventually("six of eight are listed", Duration::from_secs(60), || {
        let names: BTreeSet<String> = client.tool_names().into_iter().collect();
        wanted.is_subset(&names)
    });
    for mode in &modes[..6] {
        let answer = client.call(&format!("{mode}__echo"), json!({"x": mode})).answer();
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{mode}: {answer}"));
        assert_eq!(serde_json::from_str::<Value>(text).unwrap()["arguments"]["x"], *mode);
    }
    assert_alive(&client);
    let before = gate.memory_bytes();
    let died = client.call("legacy__die", json!({})).answer();
    assert!(
        [Kind::BadAnswer, Kind::Unreachable].iter().any(|kind| code(&died) == i64::from(kind.rpc_code())),
        "{died}"
    );
    let slow = client.call("modern__slow", json!({"seconds": 30})).answer();
    assert_eq!(code(&slow), i64::from(Kind::Timeout.rpc_code()), "{slow}");
    let flood = client.call("pages__flood", json!({})).answer();
    assert!([Kind::BadAnswer, Kind::TooLarge].iter().any(|kind| code(&flood) == i64::from(kind.rpc_code())), "{flood}");
    let growth = gate.memory_bytes().saturating_sub(before);
    println!("a child's endless line: the gate grew by {growth} bytes");
    assert!(growth < GROWTH_MAX, "the gate grew by {growth} bytes");
    assert_alive(&client);
    for server in ["legacy", "pages"] {
        eventually("a dead child is started again", Duration::from_secs(30), || {
            client.call(&format!("{server}__echo"), json!({})).answer().get("result").is_some()
        });
    }
    gate.stop();
}

/// Processes that carry this word in their environment or command line.
pub(crate) fn processes_with(word: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let carries = |id: &u32| {
        let read = |name: &str| fs::read(format!("/proc/{id}/{name}")).unwrap_or_default();
        let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let is_zombie = state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
        let found = [read("cmdline"), read("environ")].concat();
        !is_zombie && found.windows(word.len()).any(|window| window == word.as_bytes())
    };
    entries.filter(carries).collect()
}

#[test]
fn no_child_outlives_a_killed_gate() {
    let word = format!("TOLLGATE_ORPHAN_{}", std::process::id());
    let tables: String =
        ["legacy", "deaf"].iter().map(|mode| format!("{}env = {{ {word} = \"1\" }}\n", child(mode, mode))).collect();
    let home = Home::new(&config(&tables));
    let kill_and_count = |end: fn(Process<'_>)| {
        let gate = home.start();
        let client = Client::new(home.listen);
        eventually("both are listed", Duration::from_secs(30), || {
            client.tool_names().iter().filter(|name| name.ends_with("__echo")).count() == 2
        });
        let grandchild = client.call("legacy__grandchild", json!({})).answer();
        assert!(grandchild.get("result").is_some(), "{grandchild}");
        assert!(processes_with(&word).len() >= 2, "the children run");
        end(gate);
        eventually("no child is left", Duration::from_secs(10), || processes_with(&word).is_empty());
    };
    kill_and_count(|gate| gate.kill());
    kill_and_count(|gate| gate.stop());
}
