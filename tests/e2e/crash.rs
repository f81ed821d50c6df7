//! kill -9 of the gate under load, again and again: every answered call is in the journal, and no child is left.

use crate::dead_upstreams::processes_with;
use crate::fakes::{Fake, Wire};
use crate::gate::{ANYONE, Home, eventually};
use crate::http::Connection;
use crate::mcp::Client;
use crate::peers::tests;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Kills in `tests/run`; `tests/prove` asks for more through `TOLLGATE_KILLS`.
const KILLS: usize = 5;
/// Connections that call at once.
const CALLERS: usize = 8;

fn kills() -> usize {
    std::env::var("TOLLGATE_KILLS").map_or(KILLS, |count| count.parse().expect("TOLLGATE_KILLS is a number"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Calls until the gate is gone; the digests of the arguments whose call was answered.
fn call_until_killed(client: &Client, caller: usize, round: usize, is_over: &AtomicBool) -> Vec<String> {
    let mut answered = Vec::new();
    let tool = if caller.is_multiple_of(4) { "child__echo" } else { "good__alpha" };
    let mut connection = Connection::open(client.address);
    for at in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let arguments = json!({"marker": format!("{round}-{caller}-{at}")});
        let digest = hex(&Sha256::digest(arguments.to_string()));
        let bytes = client.modern_bytes(at, "tools/call", json!({"name": tool, "arguments": arguments}));
        if !connection.send(&bytes) {
            break;
        }
        let Some(response) = connection.read() else { break };
        if response.status == 200 && response.answer().get("result").is_some() {
            answered.push(digest);
        }
    }
    answered
}

/// The digests of arguments that the journal has an intent and an outcome for.
fn journalled(home: &Home) -> HashSet<String> {
    let text = home.run_well(&["audit", "show", "--json"]);
    let entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let field = |entry: &Value, name: &str| entry["body"].get(name).or(entry.get(name)).cloned().unwrap_or_default();
    let place = |entry: &Value, name: &str| format!("{}/{}", field(entry, "shard"), field(entry, name));
    let of = |kind: &'static str| entries.iter().filter(move |entry| entry["kind"] == kind);
    let ended: HashSet<String> = of("outcome").map(|entry| place(entry, "intent")).collect();
    let complete = of("intent").filter(|entry| ended.contains(&place(entry, "seq")));
    complete.map(|entry| field(entry, "arguments_digest").as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_killed_gate_has_recorded_every_call_it_answered() {
    let good = Fake::plain(Wire::Modern, &["alpha"]);
    let word = format!("TOLLGATE_CRASH_{}", std::process::id());
    let script = tests().join("fixtures/upstream/fake_stdio.py");
    let home = Home::new(&format!(
        "{ANYONE}[servers.good]\nurl = \"{}\"\n{}",
        good.url(),
        format_args!(
            "[servers.child]\ncommand = \"python3\"\nargs = [{}, \"modern\"]\nenv = {{ {word} = \"1\" }}\n",
            json!(script.to_str().unwrap())
        ),
    ));
    let client = Client::new(home.listen);
    let mut answered = HashSet::new();
    let from = Instant::now();
    for round in 0..kills() {
        let gate = home.start();
        eventually("both servers are listed", Duration::from_secs(30), || {
            let names = client.tool_names();
            ["good__alpha", "child__echo"].iter().all(|name| names.iter().any(|other| other == name))
        });
        let is_over = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let (client, is_over) = (&client, &is_over);
            let call = |caller| scope.spawn(move || call_until_killed(client, caller, round, is_over));
            let callers: [_; CALLERS] = std::array::from_fn(call);
            std::thread::sleep(Duration::from_millis(60 + 37 * (round as u64 % 13)));
            gate.kill();
            is_over.store(true, Ordering::Relaxed);
            callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(!seen.is_empty(), "round {round}: nothing was answered before the kill");
        answered.extend(seen);
        eventually("no child is left", Duration::from_secs(10), || processes_with(&word).is_empty());
        if round == 0 {
            home.run_well(&["audit", "verify"]);
        }
    }
    home.start().stop();
    home.run_well(&["audit", "verify"]);
    let recorded = journalled(&home);
    let missing: Vec<_> = answered.difference(&recorded).collect();
    println!(
        "{} kills in {:?}: {} calls answered, {} recorded with their outcome, {} missing, chain verified, 0 orphans",
        kills(),
        from.elapsed(),
        answered.len(),
        recorded.len(),
        missing.len(),
    );
    assert!(missing.is_empty(), "answered but not recorded: {} of {}", missing.len(), answered.len());
}
