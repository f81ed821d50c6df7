//! Groups: what their doors show to whom, under which names, to real clients of both eras.

use crate::eras::wait_for_tools;
use crate::fakes::{Fake, Wire};
use crate::gate::{Home, eventually};
use crate::http::{self, Connection};
use crate::mcp::{Client, LEGACY};
use crate::peers::{Driver, job};
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

const GROUP: &str = "[groups.dev]\ntools = [\"git/*\", \"web/query\"]\nexclude_tools = [\"*/delete_*\"]\n\
                     [groups.dev.rename]\n\"web/query\" = \"find\"\n\
                     [groups.dev.describe]\n\"web/query\" = \"Finds \\\"it\\\".\"\n\
                     [groups.other]\ntools = [\"git/*\"]\n[teams.t]\nallow = [\"git/read\"]\ngroups = [\"other\"]\n";

struct Servers {
    git: Fake,
    web: Fake,
}

impl Servers {
    fn start() -> Self {
        let git = Fake::plain(Wire::Modern, &["read", "write", "delete_repo"]);
        Self { git, web: Fake::plain(Wire::Modern, &["query", "admin"]) }
    }

    fn config(&self, groups: &str) -> String {
        format!("{groups}[servers.git]\nurl = \"{}\"\n[servers.web]\nurl = \"{}\"\n", self.git.url(), self.web.url())
    }
}

/// A key made with these arguments: its token and its id.
fn key(home: &Home, arguments: &[&str]) -> (String, String) {
    let made = home.run_well(&[&["key", "new", "k", "--json"], arguments].concat());
    let made: Value = serde_json::from_str(&made).unwrap();
    (made["key"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
}

#[test]
fn a_door_shows_what_key_and_group_both_give_and_nobody_else_finds_it() {
    let servers = Servers::start();
    let home = Home::new(&servers.config(GROUP));
    let (member, id) = key(&home, &["--group", "dev"]);
    let (mixed, _) = key(&home, &["--allow", "web/admin", "--group", "dev"]);
    let (outsider, _) = key(&home, &["--allow", "*/*"]);
    let (in_team, _) = key(&home, &["--allow", "*/*", "--team", "t"]);
    let gate = home.start();
    let at = |token: &str, path: &str| Client::new(home.listen).with_key(token).at(path);
    wait_for_tools(&at(&outsider, "/mcp"), 5);
    let all = ["git__read", "git__write", "find"];
    assert_eq!(at(&member, "/mcp/g/dev").tool_names(), all);
    assert_eq!(at(&member, "/mcp").tool_names(), all);
    assert_eq!(at(&mixed, "/mcp").tool_names(), ["git__read", "git__write", "find", "web__admin"]);
    assert_eq!(at(&mixed, "/mcp/g/dev").tool_names(), all);
    assert_eq!(at(&in_team, "/mcp/g/other").tool_names(), ["git__read", "git__write", "git__delete_repo"]);
    assert_eq!(at(&member, "/mcp/web").tool_names(), ["query"], "a server's own door has its own names");
    let find = at(&member, "/mcp/g/dev").tools().pop().unwrap();
    let own = at(&outsider, "/mcp/web").tools().remove(0);
    let mut expected = own.clone();
    (expected["name"], expected["description"]) = (json!("find"), json!("Finds \"it\"."));
    assert_eq!((find, own["name"].as_str()), (expected, Some("query")));
    let said = at(&member, "/mcp/g/dev").call("find", json!({"x": 1})).answer();
    assert!(said["result"]["content"][0]["text"].is_string(), "{said}");
    for hidden in ["web__query", "git__delete_repo", "web__admin", "no_such"] {
        let answer = at(&mixed, "/mcp/g/dev").call(hidden, json!({}));
        let expected = format!("unknown tool: {hidden}: list the tools to see what this key may call");
        assert_eq!((answer.code(), answer.answer()["error"]["message"].as_str()), (-32602, Some(&*expected)));
    }
    let list = |token: &str, path: &str| at(token, path).modern("tools/list", json!({}));
    let nowhere = list(&outsider, "/mcp/g/no-such");
    assert_eq!(nowhere.status, 404);
    for (token, path) in [(&outsider, "/mcp/g/dev"), (&in_team, "/mcp/g/dev"), (&member, "/mcp/g/other")] {
        let found = list(token, path);
        assert_eq!((found.status, found.text()), (404, nowhere.text()), "{path}");
    }
    let records = home.run_well(&["audit", "show", "--tool", "web__query"]);
    assert!(records.contains("web__query") && !records.contains("find"), "{records}");
    let told = home.run_well(&["explain", "--key", &id, "--tool", "git/write"]);
    assert!(told.contains("`git/*` in group dev covers it"), "{told}");
    let told = home.run_well(&["explain", "--key", &id, "--tool", "git/delete_repo"]);
    assert!(told.contains("group dev excludes it by `*/delete_*`"), "{told}");
    let told = home.run_well(&["explain", "--key", &id, "--tool", "find", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["verdict"], &told["found"]["listed"]), (&json!("allow"), &json!("find")), "{told}");
    let listed = home.run_well(&["tools", "--key", &id, "--group", "dev"]);
    assert!(listed.contains("find") && listed.contains("Finds \"it\".") && !listed.contains("delete"), "{listed}");
    gate.stop();
}

#[test]
fn headers_only_narrow_at_the_door_of_a_group() {
    let servers = Servers::start();
    let home = Home::new(&servers.config(GROUP));
    let (member, _) = key(&home, &["--allow", "web/admin", "--group", "dev"]);
    let gate = home.start();
    let client = Client::new(home.listen).with_key(&member).at("/mcp/g/dev");
    wait_for_tools(&client, 3);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let session = client.session(LEGACY);
    let narrowed = |header: &str| -> Vec<String> {
        let headers = [session.headers().as_slice(), &[("x-tollgate-tools", header)]].concat();
        let answer = client.post(&headers, body.as_bytes()).answer();
        let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(narrowed("find"), ["find"]);
    assert_eq!(narrowed("web/*"), ["find"], "patterns speak of the servers' own names");
    for foreign in ["web__admin", "web/admin", "web__query", "git/delete_*", "", "no_such, ,,"] {
        assert_eq!(narrowed(foreign), [""; 0], "{foreign}");
    }
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "web__admin"}});
    let headers = [session.headers().as_slice(), &[("x-tollgate-tools", "web__admin")]].concat();
    assert_eq!(client.post(&headers, call.to_string().as_bytes()).code(), -32602);
    assert_eq!(session.call("find", json!({})).answer()["result"]["isError"], Value::Null);
    gate.stop();
}

#[test]
fn streams_at_the_door_hear_of_its_changes_and_end_with_it() {
    let servers = Servers::start();
    let home = Home::new(&servers.config(GROUP));
    let (member, _) = key(&home, &["--group", "dev"]);
    let gate = home.start();
    let client = Client::new(home.listen).with_key(&member).at("/mcp/g/dev");
    wait_for_tools(&client, 3);
    let mut listener = Connection::open(client.address);
    let asked = json!({"notifications": {"toolsListChanged": true}});
    listener.send(&client.modern_bytes(11, "subscriptions/listen", asked));
    let mut legacy = client.session(LEGACY).bare("GET");
    for stream in [&mut listener, &mut legacy] {
        assert_eq!(stream.head().unwrap().status, 200);
    }
    assert_eq!(listener.event()["method"], "notifications/subscriptions/acknowledged");
    home.configure(&servers.config(&GROUP.replace("\"find\"", "\"seek\"")));
    gate.signal("HUP");
    for stream in [&mut listener, &mut legacy] {
        assert_eq!(stream.event()["method"], "notifications/tools/list_changed");
    }
    eventually("the new name is listed", PATIENCE, || client.tool_names().contains(&"seek".to_owned()));
    assert_eq!(client.call("find", json!({})).code(), -32602);
    home.configure(&servers.config(""));
    gate.signal("HUP");
    eventually("the door is gone", PATIENCE, || client.modern("tools/list", json!({})).status == 404);
    eventually("its streams have ended", PATIENCE, || {
        let text = http::get(home.admin, "/metrics").text();
        text.lines().any(|line| line == "tollgate_streams_open 0")
    });
    gate.stop();
}

#[test]
fn clients_of_both_eras_use_the_door_as_one_server() {
    let servers = Servers::start();
    let home = Home::new(&servers.config(GROUP));
    let (member, _) = key(&home, &["--group", "dev"]);
    let gate = home.start();
    let client = Client::new(home.listen).with_key(&member).at("/mcp/g/dev");
    wait_for_tools(&client, 3);
    let url = format!("http://{}/mcp/g/dev", home.listen);
    let calls = [json!({"name": "find", "arguments": {"x": "größer"}}), json!({"name": "web__query", "arguments": {}})];
    let drivers = [
        (Driver::TsV1, "legacy"),
        (Driver::TsV2, "modern"),
        (Driver::PyLegacy, "legacy"),
        (Driver::PyModern, "modern"),
    ];
    for (driver, era) in drivers {
        let report = driver.drive(&job(&url, Some(&member), era, &calls));
        let names: Vec<_> = report["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
        assert_eq!(names, ["git__read", "git__write", "find"], "{driver:?}");
        let results = &report["results"];
        assert!(results[0]["result"]["content"][0]["text"].is_string(), "{driver:?}: {results}");
        assert_eq!(results[1]["error"]["code"], -32602, "{driver:?}: {results}");
    }
    gate.stop();
}

#[test]
fn groups_that_contradict_each_other_are_refused_in_words() {
    let servers = Servers::start();
    let clash = "[groups.a]\ntools = [\"git/*\"]\nrename = { \"git/read\" = \"n\" }\n\
                 [groups.b]\ntools = [\"git/*\"]\nrename = { \"git/write\" = \"n\" }\n";
    let home = Home::new(&servers.config(clash));
    home.run_well(&["check"]);
    let run = |arguments: &[&str]| {
        let output = home.run(arguments);
        (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.success())
    };
    let (text, made) = run(&["key", "new", "k", "--group", "a", "b"]);
    let words = "groups `a` and `b` give `git/read` and `git/write` the same name `n`";
    assert!(!made && text.contains(words), "{text}");
    let (text, made) = run(&["key", "new", "k", "--group", "nosuch"]);
    assert!(!made && text.contains("groups 1: no group is called `nosuch`"), "{text}");
    home.configure(&servers.config(&clash.replacen("= \"n\"", "= \"web__query\"", 1)));
    let (text, good) = run(&["check"]);
    assert!(!good && text.contains("`web__query` is the name of `web/query`, a tool of the server on line"), "{text}");
}

#[test]
fn stored_keys_and_teams_have_groups_and_lose_what_is_gone() {
    let servers = Servers::start();
    let home = Home::new(&servers.config(GROUP));
    home.run_well(&["team", "new", "s", "--group", "dev"]);
    let (bound, id) = key(&home, &["--allow", "*/*", "--team", "s"]);
    let (member, own) = key(&home, &["--allow", "web/admin", "--group", "dev"]);
    let gate = home.start();
    let at = |token: &str, path: &str| Client::new(home.listen).with_key(token).at(path);
    wait_for_tools(&at(&bound, "/mcp/g/dev"), 3);
    assert_eq!(at(&bound, "/mcp").tool_names(), ["git__read", "git__write", "web__query"]);
    home.run_well(&["key", "set", &own, "--unset", "groups"]);
    eventually("the key has no group", PATIENCE, || at(&member, "/mcp").tool_names() == ["web__admin"]);
    assert_eq!(at(&member, "/mcp/g/dev").modern("tools/list", json!({})).status, 404);
    home.run_well(&["key", "set", &own, "--group", "dev"]);
    eventually("it has it again", PATIENCE, || at(&member, "/mcp").tool_names().contains(&"find".to_owned()));
    home.configure(&servers.config(""));
    gate.signal("HUP");
    eventually("the stored team lets nothing through", PATIENCE, || at(&bound, "/mcp").tool_names().is_empty());
    assert_eq!(at(&member, "/mcp").tool_names(), ["web__admin"]);
    let told = home.run_well(&["key", "list"]);
    assert!(told.contains(&id) && told.contains("dev"), "{told}");
    gate.stop();
}

#[test]
fn what_is_off_or_awaits_an_approval_is_so_under_every_name() {
    let servers = Servers::start();
    let rule = "[[approval.rules]]\ntools = [\"web/query\"]\napproval = \"required\"\n";
    let home = Home::new(&servers.config(&[GROUP, rule].concat()));
    let (member, id) = key(&home, &["--group", "dev"]);
    let gate = home.start();
    let at = |path: &str| Client::new(home.listen).with_key(&member).at(path);
    wait_for_tools(&at("/mcp/g/dev"), 3);
    let held = at("/mcp/g/dev").call("find", json!({"x": 1})).answer();
    let words = held["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{held}")).to_owned();
    let approval = &words.split("Approval ").nth(1).unwrap_or_else(|| panic!("{words}"))[..16];
    assert!(home.run_well(&["approval", "show", approval]).contains("web__query"), "it is of the tool, not of a name");
    eventually("it is approved", PATIENCE, || home.run(&["approval", "approve", approval]).status.success());
    let made = at("/mcp/web").call("query", json!({"x": 1})).answer();
    assert!(made["result"].is_object() && made["result"]["isError"] != true, "{made}");
    let told = home.run_well(&["explain", "--key", &id, "--tool", "find", "--json"]);
    assert!(told.contains("\"verdict\":\"hold\"") && told.contains("\"group\":\"dev\""), "{told}");
    home.run_well(&["tool", "off", "web/query"]);
    for (path, name) in [("/mcp/g/dev", "find"), ("/mcp", "find"), ("/mcp", "web__query"), ("/mcp/web", "query")] {
        let answer = at(path).call(name, json!({"x": 2}));
        assert_eq!(answer.code(), -32602, "{path} {name}: {}", answer.text());
        assert!(!at(path).tool_names().contains(&name.to_owned()), "{path} {name}");
    }
    gate.stop();
}
