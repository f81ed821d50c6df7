//! 508 tools of sixteen servers behind one gate: listed whole and in order, each called once in both eras.

use crate::catalogue::{self, Listed};
use crate::fakes::{Fake, Wire};
use crate::gate::{ANYONE, Home, eventually};
use crate::mcp::{Client, LEGACY};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// The sixteen servers, a third on each wire, under names a configuration takes.
fn serve(listed: &[Listed]) -> Vec<(String, Fake)> {
    let wires = [Wire::Modern, Wire::Stateless, Wire::Sessions];
    let servers = listed.iter().enumerate();
    servers.map(|(at, one)| (one.server.replace('_', "-"), Fake::serve(wires[at % 3], one.tools.clone()))).collect()
}

fn names(tools: &[Value]) -> Vec<String> {
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_tool_of_sixteen_servers_is_listed_and_called() {
    let listed = catalogue::any();
    let fakes = serve(&listed);
    let tables: String =
        fakes.iter().map(|(name, fake)| format!("[servers.{name}]\nurl = \"{}\"\n", fake.url())).collect();
    let home = Home::new(&format!("[approval]\ndestructive = \"free\"\n{ANYONE}{tables}"));
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("all tools are listed", Duration::from_secs(30), || client.tools().len() == catalogue::TOOLS);

    let tools = client.tools();
    let exposed = names(&tools);
    assert_eq!(exposed.iter().collect::<HashSet<_>>().len(), catalogue::TOOLS, "names are unique");
    for name in &exposed {
        assert!(name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)), "{name}");
    }
    let order: Vec<&str> = exposed.iter().map(|name| name.split("__").next().unwrap()).collect();
    let mut servers: Vec<&str> = order.clone();
    servers.dedup();
    assert_eq!(servers, fakes.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), "in configuration order");
    assert_definitions(&tools, &listed);
    assert_eq!(names(&client.tools()), exposed, "the same list twice");

    let from = Instant::now();
    let session = client.session(LEGACY);
    for (at, name) in exposed.iter().enumerate() {
        let marker = json!({"at": at, "text": "größe"});
        let modern = client.call(name, marker.clone()).answer();
        let legacy = session.call(name, marker.clone()).answer();
        for answer in [&modern, &legacy] {
            assert_eq!(answer["result"]["structuredContent"]["arguments"], marker, "{name}: {answer}");
        }
        assert!(legacy["result"].get("resultType").is_none(), "{name}: {legacy}");
        assert_eq!(modern["result"]["resultType"], "complete", "{name}: {modern}");
    }
    println!("{} calls in {:?}", exposed.len() * 2, from.elapsed());
    let arrived: u64 = fakes.iter().map(|(_, fake)| fake.counts.calls.load(std::sync::atomic::Ordering::Relaxed)).sum();
    assert_eq!(arrived, 2 * catalogue::TOOLS as u64, "each call arrives once");
    gate.stop();
}

/// Every definition is the server's own but for its name, and for the type that MCP demands of an input schema and one
/// recorded server leaves out: strict clients refuse a whole list for it.
fn assert_definitions(tools: &[Value], listed: &[Listed]) {
    let wanted = listed.iter().flat_map(|one| &one.tools);
    for (got, wanted) in tools.iter().zip(wanted) {
        let mut wanted: Value = serde_json::from_str(wanted).unwrap();
        wanted["name"] = got["name"].clone();
        if wanted["inputSchema"].get("type").is_none() {
            wanted["inputSchema"]["type"] = json!("object");
        }
        assert_eq!(*got, wanted);
    }
}

#[test]
fn one_server_is_served_without_prefixes_on_its_own_path() {
    let fake = Fake::plain(Wire::Modern, &["alpha", "beta"]);
    let other = Fake::plain(Wire::Stateless, &["alpha", "gamma"]);
    let tables = format!("[servers.one]\nurl = \"{}\"\n[servers.two]\nurl = \"{}\"\n", fake.url(), other.url());
    let home = Home::new(&format!("[approval]\ndestructive = \"free\"\n{ANYONE}{tables}"));
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("both are listed", Duration::from_secs(20), || client.tools().len() == 4);
    assert_eq!(client.tool_names(), ["one__alpha", "one__beta", "two__alpha", "two__gamma"]);
    assert_eq!(client.at("/mcp/one").tool_names(), ["alpha", "beta"]);
    assert_eq!(client.at("/mcp/two").tool_names(), ["alpha", "gamma"]);
    let said = |client: &Client, tool: &str| client.call(tool, json!({})).answer();
    assert_eq!(said(&client, "beta")["result"]["structuredContent"]["tool"], "beta", "a bare name that is unique");
    assert_eq!(said(&client, "alpha")["error"]["code"], -32602, "a bare name that is not");
    assert_eq!(said(&client.at("/mcp/two"), "alpha")["result"]["structuredContent"]["tool"], "alpha");
    assert_eq!(said(&client.at("/mcp/two"), "beta")["error"]["code"], -32602, "another server's tool");
    gate.stop();
}
