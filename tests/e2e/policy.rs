//! Why a key may or may not, and tests of it: every command of `docs/policy.md`, and what is told against what a gate
//! does.

use crate::fakes::{Fake, Wire};
use crate::gate::{Home, eventually};
use crate::mcp::Client;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const GITHUB: &[&str] = &["get_issue", "list_issues", "delete_repo"];

/// The fenced blocks of a guide in one language, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fences = text.split("\n```").collect::<Vec<_>>();
    let of_it = fences.iter().filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    of_it.map(|block| format!("{block}\n")).collect()
}

/// Moments are of the run, not of the guide.
fn without_moments(text: &str) -> String {
    let is_moment =
        |word: &&str| word.starts_with("20") && word.contains("T") && word.trim_end_matches(';').ends_with('Z');
    let word = |word: &str| if is_moment(&word) { "MOMENT".to_owned() } else { word.to_owned() };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Every file below a folder with what it holds.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    all
}

fn wait_for_lists(home: &Home, servers: &[&str]) {
    let is_there = |server: &&str| home.path().join(format!("state/lists/{server}.json")).exists();
    eventually("lists are kept", Duration::from_secs(20), || servers.iter().all(is_there));
}

/// Runs a command line of a guide; what it printed and its exit code.
fn told(home: &Home, line: &str) -> (String, Option<i32>) {
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[0], "tollgate", "{line}");
    let output = home.run(&words[1..]);
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn the_guide_tells_what_the_commands_print() {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.md")).unwrap();
    let (github, search) = (Fake::plain(Wire::Modern, GITHUB), Fake::plain(Wire::Modern, &["query"]));
    let tables = blocks(&guide, "toml");
    let config = tables[0].replace("https://github.example.com/mcp", &github.url());
    let config = config.replace("https://search.example.com/mcp", &search.url());
    let home = Home::new(&config);
    std::fs::write(home.path().join("policy.toml"), &tables[1]).unwrap();
    let gate = home.start();
    wait_for_lists(&home, &["github", "search"]);
    gate.stop();
    let before = files(home.path());
    let consoles = blocks(&guide, "console");
    let mut run = 0;
    for case in consoles.iter().flat_map(|block| block.split("$ ").skip(1)) {
        let (line, expected) = case.split_once('\n').unwrap();
        let (text, code) = told(&home, line);
        assert_eq!(without_moments(&text), without_moments(expected), "{line}");
        assert_eq!(code, Some(i32::from(text.contains("FAILED"))), "{line}");
        run += 1;
    }
    assert_eq!(run, 4, "the commands of the guide");
    assert_eq!(files(home.path()), before, "nothing is changed or made");
    home.configure(&config.replacen("allow = [\"github/*\"]", "allow = [\"github/*\", \"search/*\"]", 1));
    assert_eq!(told(&home, "tollgate policy test policy.toml"), ("4 passed, 0 failed\n".into(), Some(0)));
}

#[test]
fn what_is_told_is_what_a_gate_does() {
    let fake = Fake::plain(Wire::Modern, GITHUB);
    let levels = "[teams.t]\nallow = [\"one/get_*\", \"one/list_*\"]\n\
                  [[tool_limits]]\nname = \"never\"\ntools = [\"one/list_*\"]\nrates = [\"0/day\"]\n";
    let home = Home::new(&format!("{levels}[servers.one]\nurl = \"{}\"\n", fake.url()));
    let made = home.run_well(&["key", "new", "k", "--allow", "one/*", "--team", "t", "--json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let (token, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    let gate = home.start();
    wait_for_lists(&home, &["one"]);
    let client = Client::new(home.listen).with_key(token);
    let explain = |name: &str| -> Value {
        serde_json::from_str(&home.run_well(&["explain", "--key", id, "--tool", name, "--json"])).unwrap()
    };
    eventually("it is listed", Duration::from_secs(20), || client.tool_names().len() == 2);
    let cases = [
        ("one__get_issue", Value::Null, 200),
        ("one__list_issues", json!("rate_limited"), 429),
        ("one__delete_repo", json!("not_granted"), -32602),
        ("one__nothing", json!("unknown_tool"), -32602),
    ];
    for (name, reason, answer) in cases {
        let answered = client.call(name, json!({}));
        let code = if answer < 0 { answered.code() } else { i64::from(answered.status) };
        assert_eq!((explain(name)["reason"].clone(), code), (reason.clone(), answer), "{name}");
        let records = home.run_well(&["audit", "show", "--tool", name]);
        assert!(reason.as_str().is_none_or(|reason| records.contains(reason)), "{records}");
    }
    home.run_well(&["key", "revoke", id]);
    assert_eq!(explain("one__get_issue")["reason"], "revoked");
    eventually("it is refused", Duration::from_secs(20), || client.call("one__get_issue", json!({})).status == 401);
    gate.stop();
}

#[test]
fn wrong_questions_are_told_in_words() {
    let home = Home::new("[servers.off]\nurl = \"http://127.0.0.1:1/\"\nenabled = false\n");
    home.new_key("k", &["off/*"]);
    let run = |arguments: &[&str]| {
        let output = home.run(arguments);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (text, output.status.code())
    };
    let (text, code) = run(&["explain", "--key", "nosuch", "--tool", "off__x"]);
    assert_eq!((text.contains("no key has the id nosuch; see `tollgate key list`"), code), (true, Some(1)), "{text}");
    assert_eq!(run(&["explain", "--key", "k"]).1, Some(2), "nothing is asked about");
    let (text, code) = run(&["explain", "--key", "anonymous", "--tool", "off__x"]);
    assert_eq!((text.starts_with("deny (missing): "), code), (true, Some(0)), "{text}");
    assert!(text.contains("tool  server off is disabled: see `enabled`"), "{text}");
    let file = home.path().join("policy.toml");
    std::fs::write(&file, "[[test]]\nname = \"n\"\nkey = \"anonymous\"\ntool = \"off/x\"\nexpect = \"denied\"\n")
        .unwrap();
    let (text, code) = run(&["policy", "test", "policy.toml"]);
    assert_eq!((text.contains("policy.toml:5:10") && text.contains("`denied`"), code), (true, Some(78)), "{text}");
    let (text, code) = run(&["policy", "test", "absent.toml"]);
    assert_eq!((text.contains("absent.toml cannot be read"), code), (true, Some(78)), "{text}");
    home.configure("[servers.off]\nurrl = \"x\"\n");
    for arguments in [&["policy", "test", "policy.toml"][..], &["explain", "--key", "anonymous", "--tool", "x"]] {
        let (text, code) = run(arguments);
        assert_eq!((text.contains("urrl"), code), (true, Some(78)), "{text}");
    }
}
