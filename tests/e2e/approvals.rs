//! Calls that somebody must approve: held, decided by people, made once, and recorded from end to end.

use crate::eras::wait_for_tools;
use crate::extensions::home_with;
use crate::fakes::{Fake, Wire};
use crate::gate::{Home, eventually};
use crate::http::{self, Connection, Response, request};
use crate::inputs;
use crate::mcp::{Client, LEGACY, Session, meta};
use crate::peers::{Driver, Server, tests};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);
/// How fast a decision must reach a call that waits, on a busy machine.
const PROMPT: Duration = Duration::from_secs(3);

fn definition(name: &str, says: &str) -> String {
    let hints = json!({"destructiveHint": true});
    json!({"name": name, "description": says, "inputSchema": {"type": "object"}, "annotations": hints}).to_string()
}

fn dangerous() -> Vec<String> {
    vec![definition("wipe", "one"), definition("fault_hang", "two"), r#"{"name":"look","inputSchema":{}}"#.to_owned()]
}

/// A gate before a server whose tools say that they destroy, with one key; `more` goes into the configuration.
struct Site {
    home: Home,
    key: String,
}

impl Site {
    fn new(fake: &Fake, more: &str) -> Self {
        let home = Home::new(&Self::text(fake, more));
        let key = home.new_key("caller", &["*/*"]);
        Self { home, key }
    }

    fn text(fake: &Fake, more: &str) -> String {
        format!("{more}\n[servers.one]\nurl = \"{}\"\nrefresh_ms = 1000\n", fake.url())
    }

    fn client(&self) -> Client {
        Client::new(self.home.listen).with_key(&self.key)
    }

    fn decide(&self, word: &str, id: &str) -> std::process::Output {
        self.home.run(&["approval", word, id, "--reason", "looked at it"])
    }

    fn approve(&self, id: &str) {
        let output = self.decide("approve", id);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn listed(&self, state: &str) -> Vec<Value> {
        let text = self.home.run_well(&["approval", "list", "--state", state, "--json"]);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until one call more than `known` waits; its approval.
    fn pending(&self) -> String {
        let mut found = Vec::new();
        eventually("a call waits for an approval", SOON, || {
            found = self.listed("pending");
            found.iter().any(|one| one["held_entry"].is_object())
        });
        found[0]["id"].as_str().unwrap().to_owned()
    }

    fn meter(&self, name: &str) -> u64 {
        let text = http::get(self.home.admin, "/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    fn entries(&self) -> Vec<Value> {
        let text = self.home.run_well(&["audit", "show", "--json"]);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn calls(fake: &Fake) -> u64 {
    fake.counts.calls.load(Ordering::Relaxed)
}

/// The words of a result.
fn text(answer: &Value) -> String {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {answer}")).to_owned()
}

/// The approval that an answer names, which must be one of a call that is held.
fn held(answer: &Value) -> String {
    let words = text(answer);
    assert!(answer["result"]["isError"] == true && words.starts_with("held for approval: "), "{answer}");
    words.split("Approval ").nth(1).unwrap()[..16].to_owned()
}

fn is_made(answer: &Value) -> bool {
    answer["result"].is_object() && answer["result"]["isError"] != true && answer["result"]["inputRequests"].is_null()
}

/// A modern call of a client that declared this, with what it brings of an earlier round.
fn call_with(client: &Client, caps: &Value, arguments: &Value, earlier: &Value) -> Value {
    let mut params = json!({"name": "one__wipe", "arguments": arguments});
    params.as_object_mut().unwrap().extend(earlier.as_object().unwrap().clone());
    params["_meta"] = meta();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = caps.clone();
    client.modern("tools/call", params).answer()
}

fn accepted(asked: &Value) -> Value {
    json!({"inputResponses": {"approval": {"action": "accept"}}, "requestState": asked["result"]["requestState"]})
}

#[test]
fn a_held_call_is_made_once_after_its_approval_and_recorded_from_end_to_end() {
    let fake = Fake::serve(Wire::Modern, dangerous());
    let site = Site::new(&fake, "");
    let gate = site.home.start();
    let client = site.client();
    wait_for_tools(&client, 3);
    assert!(is_made(&client.call("one__look", json!({})).answer()), "what destroys nothing passes");
    let first = client.call("one__wipe", json!({"disk": 9_007_199_254_740_993_u64})).answer();
    let id = held(&first);
    assert_eq!((calls(&fake), site.pending()), (1, id.clone()));
    let shown = site.home.run_well(&["approval", "show", &id]);
    assert!(shown.contains(r#"{"disk":9007199254740993}"#) && shown.contains("one__wipe"), "{shown}");
    let took = scope(|threads| {
        let again = threads.spawn(|| client.call("one__wipe", json!({"disk": 9_007_199_254_740_993_u64})).answer());
        sleep(Duration::from_millis(500));
        assert_eq!(calls(&fake), 1, "it waits");
        site.approve(&id);
        let from = Instant::now();
        assert!(is_made(&again.join().unwrap()));
        from.elapsed()
    });
    assert!(took < PROMPT, "{took:?}");
    let refused = site.decide("deny", &id);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("is used already, decided by cli:"), "{words}");
    let other = client.call("one__wipe", json!({"disk": 9_007_199_254_740_992_u64})).answer();
    assert_ne!(held(&other), id, "another number is another call");
    let once_more = client.call("one__wipe", json!({"disk": 9_007_199_254_740_993_u64})).answer();
    assert!(text(&once_more).contains(&format!("An earlier call with the same arguments was made with approval {id}")));
    assert_eq!(calls(&fake), 2, "one look, one wipe");
    assert!(site.home.run_well(&["approval", "show", &id]).contains("no longer kept"), "arguments go");

    let entries = site.entries();
    let one = |kind: &str, also: &dyn Fn(&Value) -> bool| {
        entries.iter().find(|entry| entry["kind"] == kind && also(entry)).unwrap_or_else(|| panic!("no {kind}")).clone()
    };
    let suggested = one("held", &|entry| entry["approval"] == id.as_str());
    let decided = one("decided", &|entry| entry["approval"] == id.as_str());
    let made = one("intent", &|entry| entry["parent"] != 0);
    assert_eq!((&decided["held"], &decided["held_shard"]), (&suggested["seq"], &suggested["shard"]));
    assert_eq!((&made["parent"], &made["parent_shard"]), (&decided["seq"], &decided["shard"]));
    assert_eq!((&decided["decision"], &decided["reason"]), (&json!("approved"), &json!("looked at it")));
    assert!(decided["by"].as_str().unwrap().starts_with("cli:"), "{decided}");
    for field in ["arguments_digest", "definition_hash", "key", "tool"] {
        assert_eq!(suggested[field], made[field], "{field}");
    }
    assert!(site.home.run_well(&["audit", "show", "--approval", &id]).contains("decided"));
    for (state, count) in [("held", 3), ("approved", 1), ("used", 1), ("denied", 0)] {
        assert_eq!(site.meter(&format!("tollgate_approvals_total{{state=\"{state}\"}}")), count, "{state}");
    }
    eventually("two calls wait", SOON, || site.meter("tollgate_approvals_pending") == 2);
    site.home.run_well(&["audit", "verify"]);
    gate.stop();
    let script = tests().join("verify_journal.py");
    let checked = Command::new("python3").arg(script).arg(site.home.path().join("state/journal")).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn of_many_retries_at_once_on_all_shards_one_makes_the_call() {
    let fake = Fake::serve(Wire::Modern, dangerous());
    let site = Site::new(&fake, "");
    let gate = site.home.start();
    let client = site.client();
    wait_for_tools(&client, 3);
    let id = held(&client.call("one__wipe", json!({"a": [1, {"b": 2}]})).answer());
    site.approve(&id);
    // The same arguments, written otherwise.
    let bytes = |at: u64| {
        let mut params =
            format!(r#"{{"name":"one__wipe","arguments":{{ "\u0061" : [1, {{"b":2}}] }},"_meta":{}}}"#, meta());
        params = format!(r#"{{"jsonrpc":"2.0","id":{at},"method":"tools/call","params":{params}}}"#);
        let headers = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/call"), ("Mcp-Name", "one__wipe")];
        client.post_bytes(&headers, params.as_bytes())
    };
    eventually("the decision is recorded", SOON, || site.listed("approved")[0]["decision_entry"].is_object());
    let mut connections: Vec<_> = (0..32).map(|_| Connection::open(client.address)).collect();
    (0..).zip(&mut connections).for_each(|(at, connection)| assert!(connection.send(&bytes(at))));
    let is_over = AtomicBool::new(false);
    let answers: Vec<Value> = scope(|threads| {
        // Those that came after the use ask for another approval.
        threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for one in site.listed("pending") {
                    site.decide("deny", one["id"].as_str().unwrap());
                }
                sleep(Duration::from_millis(50));
            }
        });
        let answers = connections.iter_mut().map(|connection| connection.read().unwrap().answer()).collect();
        is_over.store(true, Ordering::Relaxed);
        answers
    });
    assert_eq!((answers.iter().filter(|answer| is_made(answer)).count(), calls(&fake)), (1, 1), "{answers:?}");
    let expected = ["is used up: the call was begun with it", "held for approval: ", "was denied: nothing was called"];
    for answer in answers.iter().filter(|answer| !is_made(answer)) {
        assert!(expected.iter().any(|words| text(answer).contains(words)), "{answer}");
    }
    assert_eq!(site.meter("tollgate_approvals_total{state=\"used\"}"), 1);
    gate.stop();
}

#[test]
fn a_modern_client_is_shown_the_page_and_its_own_answer_approves_nothing() {
    let fake = Fake::serve(Wire::Modern, dangerous());
    let site = Site::new(&fake, "[approval]\npage_url = \"https://gate.example/approvals/{id}\"\n");
    let other = Client::new(site.home.listen).with_key(&site.home.new_key("other", &["*/*"]));
    let gate = site.home.start();
    let client = site.client();
    wait_for_tools(&client, 3);
    let (url, form) = (json!({"elicitation": {"url": {}}}), json!({"elicitation": {}}));
    let (one, none) = (json!({"n": 1}), json!({}));
    let asked = call_with(&client, &url, &one, &none);
    let params = &asked["result"]["inputRequests"]["approval"]["params"];
    let id = site.pending();
    assert_eq!(
        (&params["mode"], &params["url"]),
        (&json!("url"), &json!(format!("https://gate.example/approvals/{id}")))
    );
    let in_form = call_with(&client, &form, &json!({"n": 2}), &none);
    assert_eq!(in_form["result"]["inputRequests"]["approval"]["params"]["mode"], "form", "{in_form}");

    for (who, arguments) in [(&other, &one), (&client, &json!({"n": 3})), (&client, &json!({"n":1,"x":1}))] {
        let refused = call_with(who, &url, arguments, &accepted(&asked));
        assert_eq!(refused["error"]["code"], -32602, "another key's, or another call: {refused}");
    }
    let again = call_with(&client, &url, &one, &accepted(&asked));
    assert_eq!(calls(&fake), 0, "an accepted question is no approval");
    let done = scope(|threads| {
        let waiting = threads.spawn(|| call_with(&client, &url, &one, &accepted(&again)));
        sleep(Duration::from_millis(300));
        site.approve(&id);
        waiting.join().unwrap()
    });
    assert_eq!(again["result"]["inputRequests"]["approval"]["params"]["url"], params["url"], "asked again");
    assert!(is_made(&done), "{done}");
    let twice = call_with(&client, &url, &one, &accepted(&again));
    assert!(text(&twice).contains(&format!("approval {id} is used up")), "{twice}");
    assert_eq!(calls(&fake), 1);
    let theirs = call_with(&other, &none, &one, &none);
    assert_ne!(held(&theirs), id, "each key has its own");
    gate.stop();
}

/// Calls in a session whose stream is read: what the gate asks of its client, and the stream.
fn asked_in(session: &Session, arguments: &Value) -> (Connection, Response, Value) {
    let call = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call",
        "params": {"name": "one__wipe", "arguments": arguments}});
    let bearer = format!("Bearer {}", session.client.key.as_ref().unwrap());
    let mut headers = vec![("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
    headers.push(("Accept", "application/json, text/event-stream"));
    headers.extend(session.headers());
    let mut stream = Connection::open(session.client.address);
    stream.send(&request("POST", &session.client.path, &headers, call.to_string().as_bytes()));
    let head = stream.head().unwrap();
    let mut asked = stream.event();
    while asked.is_null() || asked["method"].is_null() {
        asked = stream.event();
    }
    (stream, head, asked)
}

fn last(stream: &mut Connection, head: Response) -> Value {
    stream.body(head).unwrap().messages().pop().unwrap()
}

#[test]
fn a_legacy_client_is_asked_on_its_stream_and_its_call_waits() {
    let fake = Fake::serve(Wire::Sessions, dangerous());
    let site = Site::new(&fake, "[approval]\npage_url = \"https://gate.example/{id}\"\n");
    let gate = site.home.start();
    let client = site.client();
    wait_for_tools(&client, 3);
    let session = client.session_with(LEGACY, json!({"elicitation": {"url": {}}}));
    let (mut stream, head, asked) = asked_in(&session, &json!({"n": 1}));
    let id = site.pending();
    assert_eq!((&asked["method"], &asked["params"]["mode"]), (&json!("elicitation/create"), &json!("url")), "{asked}");
    assert_eq!(asked["params"]["url"], format!("https://gate.example/{id}"));
    assert!(asked["params"]["elicitationId"].is_string());
    let answer = |asked: &Value, action: &str| {
        let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": action}});
        assert_eq!(session.post(&answer).status, 202);
    };
    answer(&asked, "accept");
    sleep(Duration::from_millis(300));
    assert_eq!(calls(&fake), 0, "an accepted question is no approval");
    site.approve(&id);
    assert!(is_made(&last(&mut stream, head)));
    assert_eq!(calls(&fake), 1);

    let (mut stream, head, asked) = asked_in(&session, &json!({"n": 2}));
    answer(&asked, "decline");
    let declined = last(&mut stream, head);
    let id = held(&declined);
    site.approve(&id);
    assert!(is_made(&session.call("one__wipe", json!({"n": 2})).answer()), "it is found by what it is");

    let (mut stream, head, _) = asked_in(&session, &json!({"n": 3}));
    let id = site.pending();
    assert!(site.decide("deny", &id).status.success());
    let denied = last(&mut stream, head);
    assert_eq!(text(&denied), format!("approval {id} was denied: nothing was called: looked at it"));
    let again = session.call("one__wipe", json!({"n": 3})).answer();
    assert_eq!(text(&again), text(&denied), "until its time is over");
    let plain = client.session(LEGACY);
    held(&plain.call("one__wipe", json!({"n": 4})).answer());
    assert_eq!(calls(&fake), 2);
    assert!(site.home.run_well(&["audit", "show", "--kind", "denied"]).contains("approval_denied"));
    gate.stop();
}

#[test]
fn nothing_is_approved_or_made_after_its_time() {
    let fake = Fake::serve(Wire::Modern, dangerous());
    let rule = |tools: &str, more: &str| format!("[[approval.rules]]\ntools = [\"one/{tools}\"]\n{more}\n");
    let rules = [rule("wipe", "expires_s = 6"), rule("fault_*", "approval = \"free\""), rule("look", "")].concat();
    let site = Site::new(&fake, &rules);
    let gate = site.home.start();
    let client = site.client();
    wait_for_tools(&client, 3);
    let form = json!({"elicitation": {}});
    let asked = call_with(&client, &form, &json!({}), &json!({}));
    let (late, early) = (site.pending(), held(&client.call("one__wipe", json!({"n": 1})).answer()));
    site.approve(&early);
    held(&client.call("one__look", json!({})).answer());
    sleep(Duration::from_secs(7));
    let refused = site.decide("approve", &late);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("has expired: the call must be made again"), "{words}");
    let expired = call_with(&client, &form, &json!({}), &accepted(&asked));
    assert!(text(&expired).contains(&format!("approval {late} has expired: nothing was called")), "{expired}");
    assert_ne!(held(&client.call("one__wipe", json!({"n": 1})).answer()), early, "approved, and not used in time");
    assert_eq!(calls(&fake), 0);
    eventually("its end is recorded", SOON, || {
        let entries = site.home.run_well(&["audit", "show", "--approval", &late]);
        entries.contains("expired")
    });
    gate.stop();
}

/// Changed definitions are served, so that it is the approval that notices.
const AS_IT_CHANGES: &str = "[drift]\nmode = \"off\"\n";

#[test]
fn what_changes_after_the_approval_needs_another() {
    let fake = Fake::serve(Wire::Modern, dangerous());
    let site = Site::new(&fake, AS_IT_CHANGES);
    let gate = site.home.start();
    let client = site.client();
    wait_for_tools(&client, 3);
    let id = held(&client.call("one__wipe", json!({})).answer());
    site.approve(&id);
    let session = client.session_with(LEGACY, json!({"elicitation": {}}));
    let (mut stream, head, _) = asked_in(&session, &json!({"in": "flight"}));
    let flying = site.pending();
    let address = fake.address;
    drop(fake);
    let changed = vec![definition("wipe", "wipes more"), definition("fault_hang", "two")];
    let fake = Fake::serve_at(address, Wire::Modern, changed);
    let is_known = || client.tools().iter().any(|tool| tool["description"] == "wipes more");
    eventually("the changed definition is listed", SOON, is_known);
    let other = held(&client.call("one__wipe", json!({})).answer());
    assert_ne!(other, id, "the definition has changed");
    site.approve(&flying);
    let refused = last(&mut stream, head);
    assert!(text(&refused).contains(&format!("approval {flying} no longer fits")), "{refused}");
    site.approve(&other);
    site.home.configure(&Site::text(&fake, &format!("{AS_IT_CHANGES}[approval]\nexpires_s = 601\n")));
    gate.signal("HUP");
    eventually("the rules have changed", SOON, || site.home.log_tail().contains("approvals: changed"));
    sleep(Duration::from_millis(300));
    assert_ne!(held(&client.call("one__wipe", json!({})).answer()), other, "the rules have changed");
    assert_eq!(calls(&fake), 0);
    site.home.configure(&Site::text(&fake, &format!("{AS_IT_CHANGES}[approval]\ndestructive = \"free\"\n")));
    gate.signal("HUP");
    eventually("nothing is held any more", SOON, || is_made(&client.call("one__wipe", json!({"n": 1})).answer()));
    gate.stop();
}

#[test]
fn an_approval_outlives_a_kill_and_a_call_that_was_cut_off_is_not_made_again() {
    let fake = Fake::serve(Wire::Modern, dangerous());
    let site = Site::new(&fake, "");
    let gate = site.home.start();
    let client = site.client();
    wait_for_tools(&client, 3);
    let id = held(&client.call("one__wipe", json!({"n": 1})).answer());
    let cut = held(&client.call("one__fault_hang", json!({})).answer());
    gate.kill();
    site.approve(&id);
    site.approve(&cut);
    let gate = site.home.start();
    wait_for_tools(&client, 3);
    let made = || client.call("one__wipe", json!({"n": 1})).answer();
    assert!(is_made(&made()), "decided while no gate ran, and recorded since");
    assert_eq!(calls(&fake), 1);
    let hang = client.modern_bytes(1, "tools/call", json!({"name": "one__fault_hang", "arguments": {}}));
    let mut connection = Connection::open(client.address);
    assert!(connection.send(&hang));
    eventually("the call has gone out", SOON, || calls(&fake) == 2);
    gate.kill();
    let gate = site.home.start();
    wait_for_tools(&client, 3);
    let again = client.call("one__fault_hang", json!({})).answer();
    assert_ne!(held(&again), cut);
    assert!(text(&again).contains(&format!("was made with approval {cut}; this is another one")), "{again}");
    assert_eq!(calls(&fake), 2, "nothing was made a second time");
    site.home.run_well(&["audit", "verify"]);
    gate.stop();
}

#[test]
fn official_clients_of_both_eras_get_on_once_somebody_approves() {
    let fake = Fake::serve(Wire::Modern, dangerous());
    let site = Site::new(&fake, "");
    let gate = site.home.start();
    wait_for_tools(&site.client(), 3);
    let is_over = AtomicBool::new(false);
    scope(|threads| {
        threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for one in site.listed("pending") {
                    site.decide("approve", one["id"].as_str().unwrap());
                }
                sleep(Duration::from_millis(100));
            }
        });
        let drivers = [
            (Driver::TsV2, "modern"),
            (Driver::PyModern, "modern"),
            (Driver::TsV1, "legacy"),
            (Driver::PyLegacy, "legacy"),
        ];
        for (made, (driver, era)) in (1..).zip(drivers) {
            let report = driver.drive(&json!({
                "url": format!("http://{}/mcp", site.home.listen),
                "key": site.key,
                "era": era,
                "answers": {"elicitation": {}},
                "steps": [{"do": "call", "name": "one__wipe", "arguments": {"by": format!("{driver:?}")}}],
            }));
            let result = &report["steps"][0]["result"];
            assert!(result.is_object() && result["isError"] != true, "{driver:?}: {report:#}");
            assert_eq!(report["asked"][0]["method"], "elicitation/create", "{driver:?}: {report:#}");
            assert_eq!(calls(&fake), made, "{driver:?}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    gate.stop();
}

/// Where the server of an approved call asks its client something, the call goes on with the same approval, round by
/// round.
fn goes_on(era: &str) {
    let server = Server::everything(era);
    let rule = "[[approval.rules]]\ntools = [\"peer/test_input_required*\"]\n";
    let (home, [key, _]) = home_with(&server, rule);
    let site = Site { home, key };
    let gate = site.home.start();
    let client = site.client().at("/mcp/peer");
    wait_for_tools(&client, 20);
    let none = json!({});
    let asked = inputs::call(&client, inputs::TOOL, none.clone(), none.clone());
    assert_eq!(asked["result"]["inputRequests"]["approval"]["method"], "elicitation/create", "{asked}");
    site.approve(&site.pending());
    let first = inputs::call(&client, inputs::TOOL, none.clone(), accepted(&asked));
    let (responses, state) = inputs::answered(&first);
    let earlier = inputs::round(&responses, &state);
    let second = inputs::call(&client, inputs::TOOL, none.clone(), earlier.clone());
    let (responses, state) = inputs::answered(&second);
    let done = inputs::call(&client, inputs::TOOL, none.clone(), inputs::round(&responses, &state));
    assert_eq!(text(&done), "Ada likes blue", "{done}");
    let replayed = inputs::call(&client, inputs::TOOL, none, earlier);
    match era {
        "modern" => assert!(text(&replayed).contains("is used up"), "{replayed}"),
        _ => assert_eq!(replayed["error"]["code"], -32602, "{replayed}"),
    }
    assert_eq!(site.listed("used").len(), 1);
    gate.stop();
}

#[test]
fn an_approved_call_answers_its_modern_server_once_each_round() {
    goes_on("modern");
}

#[test]
fn an_approved_call_answers_its_legacy_server_where_it_is_parked() {
    goes_on("legacy");
}

#[test]
fn one_key_may_not_fill_the_list() {
    let fake = Fake::serve(Wire::Modern, dangerous());
    let site = Site::new(&fake, "");
    let other = site.home.new_key("other", &["*/*"]);
    let gate = site.home.start();
    let client = site.client();
    wait_for_tools(&client, 3);
    let all: Vec<Value> = (0..33).map(|n| client.call("one__wipe", json!({"n": n})).answer()).collect();
    all[..32].iter().for_each(|answer| drop(held(answer)));
    let words = all[32]["error"]["message"].as_str().unwrap();
    assert!(words.contains("too many calls of this key wait for an approval"), "{words}");
    held(&client.with_key(&other).call("one__wipe", json!({})).answer());
    let long = "x".repeat(300_000);
    let refused = client.with_key(&other).call("one__wipe", json!({"long": long})).answer();
    assert!(refused["error"]["message"].as_str().unwrap().contains("cannot be kept for one"), "{refused}");
    let denied = site.home.run_well(&["audit", "show", "--kind", "denied", "--json"]);
    assert_eq!(denied.lines().count(), 2, "what could not be held is recorded: {denied}");
    assert_eq!(calls(&fake), 0);
    gate.stop();
}
