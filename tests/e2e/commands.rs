//! The commands around the gate: the demo, checking a file, reading the journal, the bridge for stdio clients.

use crate::fakes::{Fake, Wire};
use crate::gate::{ANYONE, Home, binary, eventually};
use crate::mcp::{Client, meta};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn the_demo_answers_what_it_prints() {
    let mut command = Command::new(binary());
    let mut child = command.args(["demo", "--json"]).stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let hello: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let address = |name: &str| {
        let url = hello[name].as_str().unwrap().trim_start_matches("http://");
        let address = url.split('/').next().unwrap();
        address.replace("localhost", "127.0.0.1").parse().unwrap()
    };
    let client = Client::new(address("url")).with_key(hello["key"].as_str().unwrap());
    let tools = client.tools();
    assert!(tools.len() >= 4, "{tools:?}");
    let prefixes: std::collections::BTreeSet<&str> =
        tools.iter().map(|tool| tool["name"].as_str().unwrap().split("__").next().unwrap()).collect();
    assert_eq!(prefixes.len(), 2, "two servers: {prefixes:?}");
    assert_eq!(Client::new(client.address).modern("tools/list", json!({})).status, 401, "the demo asks for its key");
    assert_eq!(crate::http::get(address("admin"), "/readyz").status, 200);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_bad_file_is_told_whole_and_changes_nothing() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let table = format!("{ANYONE}[servers.one]\nurl = \"{}\"\n", fake.url());
    let home = Home::new(&table);
    home.run_well(&["check", "--offline"]);
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("it is listed", Duration::from_secs(20), || client.tools().len() == 1);
    home.configure(&format!("{table}[limit]\nbody_max_bytes = 5\n[servers.two]\nurll = \"http://127.0.0.1:1/\"\n"));
    let output = home.run(&["check", "--offline"]);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(78), "{text}");
    for word in ["limit", "limits", "urll", "tollgate.toml"] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    gate.signal("HUP");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(client.tool_names(), ["one__alpha"], "a bad file changes nothing");
    let other = Fake::plain(Wire::Modern, &["beta"]);
    home.configure(&format!("{table}[servers.two]\nurl = \"{}\"\n", other.url()));
    gate.signal("HUP");
    eventually("a good file is taken", Duration::from_secs(20), || client.tool_names() == ["one__alpha", "two__beta"]);
    gate.stop();
}

#[test]
fn the_journal_tells_what_was_called_and_refused() {
    let fake = Fake::plain(Wire::Modern, &["alpha", "beta"]);
    let home = Home::new(&format!("[servers.one]\nurl = \"{}\"\n", fake.url()));
    let token = home.new_key("reader", &["one/alpha"]);
    let gate = home.start();
    let client = Client::new(home.listen).with_key(&token);
    eventually("it is listed", Duration::from_secs(20), || client.tools().len() == 1);
    assert!(client.call("one__alpha", json!({"x": 1})).answer().get("result").is_some());
    assert_eq!(client.call("one__beta", json!({})).code(), -32602);
    gate.stop();
    let text = home.run_well(&["audit", "show", "--json"]);
    let entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (kind, tool) in [("intent", "one__alpha"), ("denied", "one__beta")] {
        let found = entries.iter().any(|entry| entry["kind"] == kind && entry.to_string().contains(tool));
        assert!(found, "no {kind} of {tool} in {text}");
    }
    assert!(entries.iter().any(|entry| entry["kind"] == "outcome"), "{text}");
    assert!(!text.contains(token.splitn(3, '_').last().unwrap()), "no secret in the journal");
    home.run_well(&["audit", "verify"]);
}

#[test]
fn a_changed_journal_does_not_verify() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = Home::new(&format!("{ANYONE}[servers.one]\nurl = \"{}\"\n", fake.url()));
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("it is listed", Duration::from_secs(20), || client.tools().len() == 1);
    (0..20).for_each(|at| assert_eq!(client.call("one__alpha", json!({"at": at})).status, 200));
    gate.stop();
    home.run_well(&["audit", "verify"]);
    let folder = home.path().join("state/journal");
    let holds_call = |path: &std::path::PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(10).position(|window| window == b"one__alpha")
    };
    let files = walk(&folder);
    let (path, at) = files.iter().find_map(|path| Some((path, holds_call(path)?))).expect("a segment with the call");
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at + 5] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let output = home.run(&["audit", "verify"]);
    assert!(!output.status.success(), "one changed byte must not verify");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn the_bridge_serves_clients_that_start_programs() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = Home::new(&format!("{ANYONE}[servers.one]\nurl = \"{}\"\n", fake.url()));
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("it is listed", Duration::from_secs(20), || client.tools().len() == 1);
    let mut command = Command::new(binary());
    command.arg("connect").arg(format!("http://{}/mcp", home.listen));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ask = |message: Value| {
        writeln!(input, "{message}").unwrap();
        serde_json::from_str::<Value>(&output.next().unwrap().unwrap()).unwrap()
    };
    let params = json!({"name": "one__alpha", "arguments": {"x": 2}, "_meta": meta()});
    let answer = ask(json!({"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": params}));
    assert_eq!(answer["id"], "a");
    assert_eq!(answer["result"]["structuredContent"]["arguments"]["x"], 2, "{answer}");
    drop(input);
    eventually("the bridge ends with its input", Duration::from_secs(5), || child.try_wait().unwrap().is_some());
    gate.stop();
}

#[test]
fn metrics_and_health_are_on_the_admin_listener_only() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = Home::new(&format!("{ANYONE}[servers.one]\nurl = \"{}\"\n", fake.url()));
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("it is listed", Duration::from_secs(20), || client.tools().len() == 1);
    assert_eq!(client.call("one__alpha", json!({})).status, 200);
    for path in ["/livez", "/readyz"] {
        assert_eq!(crate::http::get(home.admin, path).status, 200, "{path}");
    }
    let metrics = crate::http::get(home.admin, "/metrics").text();
    assert!(metrics.lines().any(|line| line.starts_with("tollgate_") && !line.ends_with(" 0")), "{metrics}");
    assert_eq!(crate::http::get(home.listen, "/metrics").status, 404);
    gate.stop();
}
