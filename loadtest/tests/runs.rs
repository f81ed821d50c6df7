//! Every built-in scenario against the built-in server, and the command line as a user meets it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;
use tollgate_load::engine;
use tollgate_load::order::{Era, Load, Order, Stage, Target};
use tollgate_load::outcome::Outcome;
use tollgate_load::upstream::{Eras, Offer, Service, generate, start};

const LASTS: Duration = Duration::from_millis(600);

fn server(tools: usize, page: usize, eras: Eras) -> SocketAddr {
    let offer = Offer { definitions: generate(tools), page, delay: Duration::ZERO, answer_bytes: 200, eras };
    start(Service::new(offer), "127.0.0.1:0".parse().unwrap(), &[]).unwrap().address
}

fn target(address: SocketAddr, keys: usize) -> Target {
    Target {
        name: "direct".into(),
        address,
        host: address.to_string(),
        path: "/mcp".into(),
        keys: (0..keys).map(|n| format!("key{n}")).collect(),
        prefix: String::new(),
        metrics: None,
        process: Some(std::process::id()),
    }
}

fn order(scenario: impl Into<PathBuf>, load: Load) -> Order {
    Order {
        scenario: scenario.into(),
        era: None,
        load,
        connections: 8,
        warm_up: Duration::from_millis(300),
        lasts: LASTS,
        patience: Duration::from_secs(20),
        cores: vec![*tollgate::rt::shard::cores().unwrap().last().unwrap()],
    }
}

fn at(rate: f64) -> Load {
    Load::Open(vec![Stage { from: rate, to: rate, lasts: LASTS }])
}

/// Runs and checks what holds however busy the machine is.
fn run(order: &Order, target: &Target) -> Outcome {
    let mut ticks = 0;
    let outcome = engine::run(order, target, &mut |_| ticks += 1).unwrap();
    assert!(ticks >= 3, "{ticks} ticks");
    assert_eq!(outcome.errors.len(), 0, "{}: {:?}", outcome.scenario, outcome.errors);
    assert!(outcome.answered > 0 && outcome.sent == outcome.answered, "{outcome:?}");
    assert_eq!(outcome.latency.count, outcome.answered);
    let told: u64 = outcome.timeline.iter().map(|second| second.answered).sum();
    assert_eq!((told, outcome.timeline.len()), (outcome.answered, 1));
    assert!(outcome.server_cpu_us.unwrap() > 0.0 && outcome.bytes_in > 0 && outcome.bytes_out > 0);
    outcome
}

#[test]
fn every_scenario_runs_in_each_of_its_eras() {
    let address = server(508, 0, Eras::Both);
    for (name, eras, keys) in [
        ("call", 2, 0),
        ("call-4k", 2, 1),
        ("call-64k", 2, 0),
        ("list", 2, 0),
        ("mixed", 1, 100),
        ("churn-keys", 1, 1000),
        ("reconnect", 2, 0),
        ("slow-reader", 2, 0),
        ("sse-progress", 2, 0),
        ("legacy-session", 0, 0),
        ("stdio", 2, 0),
    ] {
        for era in [Era::Modern, Era::Legacy] {
            let skip = (eras == 1 && era == Era::Legacy) || (eras == 0 && era == Era::Modern);
            if !skip {
                let order = Order { era: Some(era), ..order(name, at(40.0)) };
                let outcome = run(&order, &target(address, keys));
                assert_eq!(outcome.sent, 24, "{name}");
                assert_eq!(outcome.event_gap.is_some(), name == "sse-progress");
            }
        }
    }
}

#[test]
fn a_stream_tells_its_first_byte_and_the_gaps_of_its_events() {
    let outcome = run(&order("sse-progress", at(20.0)), &target(server(1, 0, Eras::Both), 0));
    let (first, gaps) = (outcome.first_byte.unwrap(), outcome.event_gap.unwrap());
    assert_eq!((first.count, gaps.count), (outcome.answered, outcome.answered * 10));
    assert!(gaps.mean_us >= 5_000.0 && first.p50_us < outcome.latency.p50_us, "{gaps:?}");
}

#[test]
fn a_closed_loop_sends_as_fast_as_answers_come() {
    let outcome = run(&order("call", Load::Closed), &target(server(20, 8, Eras::Both), 0));
    assert!(outcome.target_rate.is_none() && outcome.load == "closed");
    assert!(outcome.answered > 100, "{}", outcome.answered);
}

#[test]
fn idle_streams_are_held_beside_the_load() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("idle.toml");
    let text = "name = \"idle\"\ndescription = \"some\"\neras = [\"modern\", \"legacy\"]\n[idle]\nstreams = 70\n";
    std::fs::write(&file, text).unwrap();
    let address = server(1, 0, Eras::Both);
    run(&Order { era: Some(Era::Legacy), ..order(&file, at(50.0)) }, &target(address, 0));
}

#[test]
fn what_a_target_lacks_is_told_before_the_run() {
    let refusal = |order: &Order, target: &Target| engine::run(order, target, &mut |_| {}).unwrap_err().to_string();
    let both = target(server(20, 0, Eras::Both), 0);
    assert!(refusal(&order("list", Load::Closed), &both).contains("needs 508"));
    let prefixed = Target { prefix: "x__".into(), ..both.clone() };
    assert!(refusal(&order("call", Load::Closed), &prefixed).contains("--prefix"));
    let few = Target { keys: vec!["one".into()], ..both.clone() };
    assert!(refusal(&order("mixed", Load::Closed), &few).contains("100 keys"));
    let legacy_only = target(server(1, 0, Eras::Legacy), 0);
    assert!(refusal(&order("call", Load::Closed), &legacy_only).contains("tools/list"));
    let nobody = target("127.0.0.1:1".parse().unwrap(), 0);
    assert!(refusal(&order("call", Load::Closed), &nobody).contains("connect"));
    let modern = Order { era: Some(Era::Modern), ..order("legacy-session", Load::Closed) };
    assert!(refusal(&modern, &both).contains("modern"));
}

fn tollgate_load(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate-load")).args(args).output().unwrap()
}

fn command(address: SocketAddr, args: &[&str]) -> Output {
    let url = format!("http://{address}/mcp");
    let shape = ["--url", &url, "--connections", "4", "--duration", "2s", "--warm-up", "200ms"];
    tollgate_load(&[args, &shape].concat())
}

#[test]
fn the_command_prints_an_outcome_and_exits_by_its_thresholds() {
    let address = server(20, 0, Eras::Both);
    let good = command(address, &["run", "call", "--closed", "--json", "--threshold", "p50<10s"]);
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stderr));
    let outcome: Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!((&outcome["scenario"], &outcome["validity"]["valid"]), (&"call".into(), &true.into()));
    assert_eq!(outcome["thresholds"][0]["held"], true);
    let bad = command(address, &["run", "call", "--closed", "--threshold", "p50<1us"]);
    assert_eq!(bad.status.code(), Some(3), "{}", String::from_utf8_lossy(&bad.stderr));
    let wrong = command(address, &["run", "call", "--threshold", "p50"]);
    assert_eq!(wrong.status.code(), Some(2));
    let remote = tollgate_load(&["run", "call", "--url", "http://192.0.2.1/mcp"]);
    assert!(String::from_utf8_lossy(&remote.stderr).contains("--allow-remote"));
}

#[test]
fn a_search_says_which_rate_holds() {
    let address = server(1, 0, Eras::Both);
    let args = ["--slo", "p50<20s", "--from", "10", "--to", "20", "--json"];
    for first in [&["find", "call"][..], &["run", "call", "--find", "p50<20s"]] {
        let args = if first[0] == "run" { [first, &args[2..]].concat() } else { [first, &args].concat() };
        let output = command(address, &args);
        assert!(!output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(found["tries"].as_array().unwrap().len() >= 2, "{found}");
    }
    let none = command(address, &["find", "call", "--slo", "p50<1us", "--from", "10", "--to", "10"]);
    assert_eq!(none.status.code(), Some(3));
}
