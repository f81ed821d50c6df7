//! The store: locked, damaged, of a newer schema, named twice, changed by several at once, and killed while it is made.

use crate::fakes::{Fake, Wire};
use crate::gate::{Home, binary, eventually};
use crate::http;
use crate::mcp::Client;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

fn file(home: &Home) -> PathBuf {
    home.path().join("state/store.db")
}

fn id_of(token: &str) -> String {
    token.split('_').nth(1).unwrap().to_owned()
}

fn is_served(client: &Client) -> bool {
    client.modern("tools/list", json!({})).status == 200
}

/// What a command says, whether it goes well or not, and its exit code.
fn told(home: &Home, arguments: &[&str]) -> (String, Option<i32>) {
    let output = home.run(arguments);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (text, output.status.code())
}

fn health(home: &Home) -> String {
    let answer = http::get(home.admin, "/readyz?verbose");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

fn made(home: &Home, arguments: &[&str]) -> Value {
    serde_json::from_str(&home.run_well(arguments)).unwrap()
}

fn key_ids(home: &Home) -> Vec<String> {
    let keys = made(home, &["key", "list", "--json"]);
    keys.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_locked_store_keeps_out_writers_alone() {
    let home = Home::new("");
    let [token, other, gone] = ["k", "o", "g"].map(|name| home.new_key(name, &["*/*"]));
    let gate = home.start();
    let client = Client::new(home.listen).with_key(&token);
    assert!(is_served(&client) && health(&home).contains("[+] store is read"));
    let holder = Connection::open(file(&home)).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let change = "UPDATE objects SET body = replace(body, '\"allow\"', '\"revoked\":true,\"allow\"') WHERE name = ?1";
    assert_eq!(holder.execute(change, [id_of(&token)]).unwrap(), 1);
    gate.signal("HUP");
    home.run_well(&["key", "revoke", &id_of(&gone)]);
    assert!(!is_served(&Client::new(home.listen).with_key(&gone)), "the kill switch does not wait for the store");
    let (text, code) = told(&home, &["key", "delete", &id_of(&token)]);
    assert!(code == Some(1) && text.contains("locked by another program"), "{code:?} {text}");
    assert!(is_served(&client), "what is not committed is not in force");
    assert!(health(&home).contains("[+] store is read"), "a reader waits for nobody");
    holder.execute_batch("COMMIT").unwrap();
    drop(holder);
    gate.signal("HUP");
    eventually("the change is in force", SOON, || !is_served(&client));
    assert!(is_served(&Client::new(home.listen).with_key(&other)));
    gate.stop();
}

#[test]
fn a_damaged_store_is_kept_and_said_and_not_served_from() {
    let home = Home::new("");
    let token = home.new_key("k", &["*/*"]);
    let gate = home.start();
    let client = Client::new(home.listen).with_key(&token);
    let copy = home.path().join("copy.db");
    Connection::open(file(&home)).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let good = fs::read(&copy).unwrap();
    // The pages are garbage, the header is not.
    let mut wrong = good.clone();
    wrong[100..].fill(0x5a);
    fs::write(file(&home), &wrong).unwrap();
    gate.signal("HUP");
    eventually("it is said", SOON, || health(&home).contains("[!] store is read"));
    assert!(is_served(&client), "what was read last is in force");
    let (text, _) = told(&home, &["check", "--offline"]);
    assert!(text.contains("store.db") && text.contains("damaged"), "{text}");
    let (text, code) = told(&home, &["key", "new", "n"]);
    assert!(code != Some(0) && text.contains("damaged"), "{code:?} {text}");
    gate.stop();
    for content in [&wrong[..], b"", b"no store at all"] {
        fs::write(file(&home), content).unwrap();
        let (text, code) = told(&home, &["serve"]);
        assert_eq!(code, Some(78), "{text}");
        let is_clear = text.contains("store.db") && text.contains("restore it from a backup");
        assert!(is_clear && text.contains("nothing was changed or removed"), "{text}");
        assert_eq!(fs::read(file(&home)).unwrap(), content, "it is left as it is");
    }
    fs::write(file(&home), &good).unwrap();
    let gate = home.start();
    assert!(is_served(&client), "a copy put back serves");
    gate.stop();
}

#[test]
fn a_newer_schema_is_refused_by_everything() {
    let home = Home::new("");
    home.new_key("k", &["*/*"]);
    Connection::open(file(&home)).unwrap().pragma_update(None, "user_version", 999).unwrap();
    for command in [&["serve"][..], &["key", "new", "n"], &["key", "list"], &["team", "list"]] {
        let (text, code) = told(&home, command);
        assert!(code == Some(78) && text.contains("has schema 999"), "{command:?} {code:?} {text}");
    }
    let (text, code) = told(&home, &["check", "--offline"]);
    assert!(code == Some(0) && text.contains("has schema 999"), "{text}");
}

#[test]
fn a_name_in_both_places_stops_no_gate_that_runs_and_starts_none() {
    let home = Home::new("");
    home.run_well(&["team", "new", "research"]);
    let key = made(&home, &["key", "new", "k", "--allow", "*/*", "--team", "research", "--json"]);
    let gate = home.start();
    let client = Client::new(home.listen).with_key(key["key"].as_str().unwrap());
    home.configure("[teams.research]\nallow = []\n");
    let (text, code) = told(&home, &["check", "--offline"]);
    let names_both = text.contains("tollgate.toml") && text.contains("store.db");
    assert!(code == Some(78) && names_both && text.contains("team `research` is both here and in"), "{text}");
    gate.signal("HUP");
    eventually("it is refused", SOON, || home.log_tail().contains("reload refused"));
    assert!(is_served(&client), "what was in force stays in force");
    gate.stop();
    assert_eq!(told(&home, &["serve"]).1, Some(78));
    home.configure("");
    let refused = told(&home, &["team", "new", "research"]).0;
    assert!(refused.contains("there is a team `research` already"), "{refused}");
    home.configure("[teams.written]\n");
    for command in [&["team", "new", "written"][..], &["team", "set", "written"], &["team", "delete", "written"]] {
        let (text, code) = told(&home, command);
        assert!(code == Some(1) && text.contains("is in ") && text.contains("change it there"), "{command:?} {text}");
    }
}

/// Four at once, and the first of them also finds the keys of an earlier version.
#[test]
fn programs_that_change_the_store_at_once_lose_nothing() {
    const EARLIER: usize = 50;
    const EACH: usize = 4;
    let home = Home::new("");
    write_earlier_keys(&home, EARLIER);
    let add = |who: usize| {
        for at in 0..EACH {
            home.run_well(&["key", "new", &format!("k{who}x{at}"), "--allow", "*/*"]);
            home.run_well(&["team", "new", &format!("t{who}x{at}")]);
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|who| drop(scope.spawn(move || add(who)))));
    let (ids, teams) = (key_ids(&home), made(&home, &["team", "list", "--json"]));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "nothing twice");
    assert_eq!((ids.len(), teams.as_array().unwrap().len()), (EARLIER + 4 * EACH, 4 * EACH));
    assert!(home.path().join("state/keys.toml.imported").exists());
    assert!(!home.path().join("state/keys.toml.imported-2").exists(), "they were taken over once");
}

fn write_earlier_keys(home: &Home, count: usize) {
    let mut text = String::from("# Keys made by `tollgate key new`. The gate reads this at start and on SIGHUP.\n\n");
    for at in 0..count {
        let mac = "a0".repeat(32);
        writeln!(text, "[[keys]]\nid = \"e{at}\"\nname = \"n {at}\"\nmac = \"{mac}\"\nallow = [\"*/*\"]\n").unwrap();
    }
    fs::create_dir_all(home.path().join("state")).unwrap();
    fs::write(home.path().join("state/keys.toml"), text).unwrap();
}

/// `kill -9` at ever later moments of the first command after an update: whatever was done by then, nothing is lost and
/// nothing comes twice.
#[test]
fn a_take_over_that_is_killed_loses_and_doubles_nothing() {
    const EARLIER: usize = 3_000;
    let mut cut = BTreeSet::new();
    for round in 0..24 {
        let home = Home::new("");
        write_earlier_keys(&home, EARLIER);
        let mut command = Command::new(binary());
        command.args(["key", "new", "k", "--allow", "*/*", "--config"]).arg(home.config()).current_dir(home.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(4 * round * round));
        child.kill().unwrap();
        let printed = child.wait_with_output().unwrap().stdout;
        let state = home.path().join("state");
        cut.insert((state.join("store.db").exists(), state.join("keys.toml").exists()));
        let seen = key_ids(&home).len();
        assert!((EARLIER..=EARLIER + 1).contains(&seen), "a look sees all of them too: {seen}");
        home.run_well(&["key", "new", "last", "--allow", "*/*"]);
        let ids = key_ids(&home);
        let earlier = ids.iter().filter(|id| id.starts_with('e') && id.len() < 12).count();
        assert_eq!((earlier, ids.iter().collect::<BTreeSet<_>>().len()), (EARLIER, ids.len()));
        let token = String::from_utf8(printed).unwrap();
        if let Some(id) = token.trim().split('_').nth(1) {
            assert!(ids.iter().any(|known| known == id), "a key that was shown is kept");
        }
        assert!(!state.join("keys.toml").exists());
    }
    assert!(cut.len() > 1, "all rounds were cut at the same step: {cut:?}");
}

#[test]
fn teams_and_customers_of_the_store_bound_calls_at_once() {
    let fake = Fake::plain(Wire::Modern, &["alpha", "beta"]);
    let home = Home::new(&format!("[servers.one]\nurl = \"{}\"\n[teams.written]\n", fake.url()));
    home.run_well(&["customer", "new", "acme", "--rate", "1000/day"]);
    let team = made(&home, &["team", "new", "t", "--customer", "acme", "--allow", "one/*", "--json"]);
    assert_eq!((&team["revision"], &team["source"], &team["customer"]), (&json!(1), &json!("store"), &json!("acme")));
    let key = made(&home, &["key", "new", "k", "--allow", "one/*", "--team", "t", "--json"]);
    let gate = home.start();
    let client = Client::new(home.listen).with_key(key["key"].as_str().unwrap());
    eventually("the tools are listed", SOON, || client.tools().len() == 2);
    home.run_well(&["team", "set", "t", "--allow", "one/alpha", "--revision", "1"]);
    eventually("the team is narrower", SOON, || client.tool_names() == ["one__alpha"]);
    let (text, code) = told(&home, &["team", "set", "t", "--allow", "one/*", "--revision", "1"]);
    assert!(code == Some(1) && text.contains("has revision 2"), "{text}");
    home.run_well(&["customer", "set", "acme", "--rate", "0/day"]);
    eventually("the customer is cut off", SOON, || client.call("one__alpha", json!({})).status == 429);
    home.run_well(&["customer", "set", "acme", "--unset", "rates"]);
    eventually("and back", SOON, || client.call("one__alpha", json!({})).status == 200);
    for (command, user) in [(["team", "delete", "t"], "key `"), (["customer", "delete", "acme"], "team `t`")] {
        let (text, code) = told(&home, &command);
        assert!(code == Some(1) && text.contains("is used by") && text.contains(user), "{text}");
    }
    for (command, words) in [
        (&["team", "set", "t", "--customer", "nobody"][..], "no customer is called `nobody`"),
        (&["team", "set", "t", "--allow", "two/*"], "no server is called `two`"),
        (&["team", "new", "Bad"], "this name cannot be used"),
        (&["key", "set", key["id"].as_str().unwrap(), "--rate", "often"], "this is not a rate"),
        (&["key", "show", "nobody"], "no key has the id nobody"),
    ] {
        let (text, code) = told(&home, command);
        assert!(code == Some(1) && text.contains(words), "{command:?} {text}");
    }
    let id = key["id"].as_str().unwrap();
    home.run_well(&["key", "set", id, "--unset", "team"]);
    eventually("the key is in no team", SOON, || client.tools().len() == 2);
    home.run_well(&["team", "delete", "t"]);
    home.run_well(&["customer", "delete", "acme"]);
    let teams = made(&home, &["team", "list", "--json"]);
    assert_eq!(teams, json!([{"name": "written", "source": "config"}]));
    let shown = made(&home, &["key", "show", id, "--json"]);
    assert!(shown["state"] == "valid" && shown["revision"] == 2 && shown.get("mac").is_none(), "{shown}");
    home.run_well(&["key", "delete", id]);
    eventually("the key is gone", SOON, || !is_served(&client));
    gate.stop();
}

/// A look makes nothing, neither a store nor what lies beside it.
#[test]
fn a_look_leaves_no_trace() {
    let home = Home::new("");
    home.run_well(&["key", "list"]);
    home.run_well(&["check", "--offline"]);
    assert!(!home.path().join("state").exists());
    home.new_key("k", &["*/*"]);
    let names = || {
        let entries = fs::read_dir(home.path().join("state")).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
    };
    let before = names();
    home.run_well(&["key", "list"]);
    home.run_well(&["team", "list"]);
    home.run_well(&["check", "--offline"]);
    assert_eq!(names(), before);
}
