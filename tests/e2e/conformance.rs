//! The official conformance suite against the gate in front of one unprefixed dual-era fixture.

use crate::gate::{ANYONE, Home, eventually};
use crate::mcp::Client;
use crate::peers::{Server, node, tests};
use std::process::Command;
use std::time::Duration;

/// Runs the suite on a URL and fails on anything its list does not excuse.
fn run(url: &str, list: &str) {
    let mut command = Command::new(node());
    let output = command.arg(tests().join("conformance/run.mjs")).args([url, list]).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    println!("{report}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the conformance suite fails on {url}: {}", output.status);
}

#[test]
fn the_fixture_itself_conforms() {
    run(&Server::everything("dual").url, "fixture");
}

#[test]
fn the_gate_conforms_in_front_of_it() {
    let server = Server::everything("dual");
    let home = Home::new(&format!("{ANYONE}[servers.everything]\nurl = \"{}\"\n", server.url));
    let gate = home.start();
    let client = Client::new(home.listen).at("/mcp/everything");
    eventually("the fixture is listed", Duration::from_secs(20), || client.tools().len() > 20);
    run(&format!("http://localhost:{}/mcp/everything", home.listen.port()), "gate");
    gate.stop();
}
