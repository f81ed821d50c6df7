//! The official conformance suite against the gate in front of our fixture, and with the gate as its client.

use crate::gate::{ANYONE, Home, binary, eventually};
use crate::mcp::Client;
use crate::peers::{POLICY, Server, node, tests};
use std::process::Command;
use std::time::Duration;

/// Runs the suite and fails on anything its lists do not excuse.
fn run(arguments: &[&str]) {
    let mut command = Command::new(node());
    command.arg(tests().join("conformance/run.mjs")).args(arguments);
    let output = command.env("TOLLGATE_BINARY", binary()).env("TOLLGATE_SERVER_POLICY", POLICY).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    println!("{report}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the conformance suite fails, {arguments:?}: {}", output.status);
}

/// Runs the suite at a path of a gate in front of these fixtures.
fn run_in_front_of(servers: &[Server], path: &str, arguments: &[&str]) {
    let names = ["one", "two"];
    let table = |(name, server): (&str, &Server)| format!("[servers.{name}]\nurl = \"{}\"\n{POLICY}", server.url);
    let tables: String = names.into_iter().zip(servers).map(table).collect();
    let home = Home::new(&format!("{ANYONE}{tables}"));
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("the fixtures are listed", Duration::from_secs(20), || client.tools().len() > 20 * servers.len());
    let url = format!("http://localhost:{}{path}", home.listen.port());
    run(&[&[url.as_str()], arguments].concat());
    gate.stop();
}

#[test]
fn the_fixture_itself_conforms() {
    run(&[&Server::everything("dual").url, "fixture"]);
}

#[test]
fn the_gate_conforms_in_front_of_it() {
    run_in_front_of(&[Server::everything("dual")], "/mcp/one", &["gate"]);
}

/// The modern scenarios, with a server behind the gate that knows only `initialize` and pushes what it asks for.
#[test]
fn the_gate_conforms_as_a_bridge_to_a_legacy_server() {
    run_in_front_of(&[Server::everything("legacy")], "/mcp/one", &["gate,bridge", "2026-07-28"]);
}

/// The same server twice: every name is taken, so no bare name can stand for one of them.
#[test]
fn behind_one_key_only_scenarios_by_bare_name_fail() {
    let servers = [Server::everything("dual"), Server::everything("dual")];
    run_in_front_of(&servers, "/mcp", &["gate,prefixed"]);
}

#[test]
fn the_gate_conforms_as_a_client() {
    run(&["client"]);
}
