//! Lists of prompts, resources and templates through the gate: in both eras, under their names, as far as the key sees.

use crate::eras::wait_for_tools;
use crate::fakes::{Fake, Wire};
use crate::gate::{ANYONE, Home, eventually};
use crate::http::Connection;
use crate::mcp::{Client, LEGACY, Session};
use crate::peers::Server;
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// Each list with the member that holds it and the one that its entries are known by.
const LISTS: [(&str, &str, &str); 3] = [
    ("prompts/list", "prompts", "name"),
    ("resources/list", "resources", "uri"),
    ("resources/templates/list", "resourceTemplates", "uriTemplate"),
];

fn servers(servers: &[(&str, &str)]) -> String {
    servers.iter().map(|(name, url)| format!("[servers.{name}]\nurl = \"{url}\"\n")).collect()
}

fn entries(result: &Value, (_, member, key): (&str, &str, &str)) -> Vec<String> {
    let list = result[member].as_array().unwrap_or_else(|| panic!("no {member} in {result}"));
    list.iter().map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
}

fn modern(client: &Client, list: (&str, &str, &str)) -> Vec<String> {
    let response = client.modern(list.0, json!({}));
    assert_eq!(response.status, 200, "{}", response.text());
    let result = response.answer()["result"].take();
    assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("private")), "{result}");
    assert!(result["ttlMs"].is_u64());
    entries(&result, list)
}

fn legacy(session: &Session, list: (&str, &str, &str)) -> Vec<String> {
    let result = session.request(list.0, json!({})).answer()["result"].take();
    assert!(result.get("resultType").is_none() && result.get("ttlMs").is_none(), "{result}");
    entries(&result, list)
}

fn wait_for_lists(client: &Client) {
    eventually("the lists are there", PATIENCE, || LISTS.iter().all(|list| !modern(client, *list).is_empty()));
}

#[test]
fn lists_cross_in_both_eras_whatever_era_the_server_speaks() {
    for era in ["modern", "legacy"] {
        let server = Server::everything(era);
        let home = Home::new(&format!("{ANYONE}{}", servers(&[("every", &server.url)])));
        let gate = home.start();
        let client = Client::new(home.listen);
        wait_for_lists(&client);
        let prompts = modern(&client, LISTS[0]);
        assert!(prompts.contains(&"every__test_simple_prompt".to_owned()), "{prompts:?}");
        assert!(modern(&client, LISTS[1]).contains(&"test://static-text".to_owned()));
        assert_eq!(modern(&client, LISTS[2]), ["test://template/{id}/data"]);
        let session = client.session(LEGACY);
        for list in LISTS {
            assert_eq!(legacy(&session, list), modern(&client, list), "{era} {}", list.0);
        }
        let own = modern(&client.at("/mcp/every"), LISTS[0]);
        let unprefixed: Vec<_> = prompts.iter().map(|name| name.trim_start_matches("every__")).collect();
        assert_eq!(own, unprefixed);
        let offered = json!({"listChanged": true});
        let watched = json!({"subscribe": true, "listChanged": true});
        let discovered = client.modern("server/discover", json!({})).answer()["result"]["capabilities"].take();
        for capabilities in [&discovered, &session.hello["capabilities"]] {
            assert_eq!((&capabilities["prompts"], &capabilities["resources"]), (&offered, &watched), "{capabilities}");
            assert_eq!(capabilities["completions"], json!({}));
        }
        let old = client.session("2025-03-26");
        let ask = |id: u64, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {}});
        let answers = old.post(&json!([ask(1, "prompts/list"), ask(2, "resources/list")])).answer();
        assert_eq!(entries(&answers[0]["result"], LISTS[0]), prompts, "in a batch");
        gate.stop();
    }
}

#[test]
fn a_key_sees_no_prompt_and_no_resource_unless_it_is_said_so() {
    let server = Server::everything("dual");
    let home = Home::new(&servers(&[("every", &server.url)]));
    let make = |name: &str, more: &[&str]| {
        let token = home.run_well(&[&["key", "new", name, "--allow", "*/*"], more].concat());
        Client::new(home.listen).with_key(token.trim())
    };
    let tools_only = make("tools", &[]);
    let some = make("some", &["--prompt", "every/test_prompt_*", "--resource", "every/test://static-*"]);
    let all = make("all", &["--prompt", "*/*", "--resource", "*/*"]);
    let gate = home.start();
    wait_for_lists(&all);
    for list in LISTS {
        assert!(modern(&tools_only, list).is_empty(), "{}", list.0);
        assert!(legacy(&tools_only.session(LEGACY), list).is_empty());
    }
    let mut discovered = tools_only.modern("server/discover", json!({})).answer()["result"]["capabilities"].take();
    // Its tools may answer with tasks and bring interfaces along.
    discovered.as_object_mut().unwrap().remove("extensions");
    assert_eq!(discovered, json!({"logging": {}, "tools": {"listChanged": true}}), "nothing that it cannot see");
    let prompts = modern(&some, LISTS[0]);
    assert!(!prompts.is_empty() && prompts.iter().all(|name| name.starts_with("every__test_prompt_")), "{prompts:?}");
    assert_eq!(modern(&some, LISTS[1]), ["test://static-text", "test://static-binary"]);
    assert!(modern(&some, LISTS[2]).is_empty());
    let table = home.run_well(&["key", "list"]);
    assert!(table.contains("RESOURCES") && table.contains("every/test://static-*"), "{table}");
    gate.stop();
}

#[test]
fn two_servers_with_the_same_uris_are_told_apart() {
    let (first, second) = (Server::everything("modern"), Server::everything("legacy"));
    let home = Home::new(&format!("{ANYONE}{}", servers(&[("one", &first.url), ("two", &second.url)])));
    let gate = home.start();
    let client = Client::new(home.listen);
    let marked = "test://static-text#tollgate=two".to_owned();
    eventually("both are listed", PATIENCE, || modern(&client, LISTS[1]).contains(&marked));
    let uris = modern(&client, LISTS[1]);
    assert!(uris.contains(&"test://static-text".to_owned()), "{uris:?}");
    assert_eq!(uris.len(), 2 * modern(&client.at("/mcp/two"), LISTS[1]).len());
    assert!(modern(&client.at("/mcp/two"), LISTS[1]).contains(&"test://static-text".to_owned()), "its own door");
    let templates = modern(&client, LISTS[2]);
    assert_eq!(templates, ["test://template/{id}/data", "test://template/{id}/data#tollgate=two"]);
    gate.stop();
}

#[test]
fn long_lists_have_pages_and_a_cursor_is_good_for_its_own_list_alone() {
    const TOOLS: usize = 1_200;
    let names: Vec<String> = (0..TOOLS).map(|at| format!("t{at}")).collect();
    let fake = Fake::plain(Wire::Modern, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let home = Home::new(&servers(&[("one", &fake.url())]));
    let keys = ["a", "b"].map(|name| Client::new(home.listen).with_key(&home.new_key(name, &["*/*"])));
    let gate = home.start();
    wait_for_tools(&keys[0], TOOLS);
    let first = keys[0].modern("tools/list", json!({})).answer()["result"].take();
    assert_eq!(first["tools"].as_array().unwrap().len(), 1000);
    let cursor = first["nextCursor"].as_str().unwrap();
    let ask = |client: &Client, method: &str, cursor: &Value| client.modern(method, json!({"cursor": cursor}));
    let last = ask(&keys[0], "tools/list", &json!(cursor)).answer()["result"].take();
    assert_eq!((last["tools"].as_array().unwrap().len(), last.get("nextCursor")), (TOOLS - 1000, None));
    let session = keys[0].session(LEGACY);
    let page = session.request("tools/list", json!({"cursor": cursor})).answer();
    assert_eq!(page["result"]["tools"].as_array().map(Vec::len), Some(TOOLS - 1000), "either era takes it");
    let mut forged = cursor.to_owned().into_bytes();
    forged[20] ^= 1;
    let forged = String::from_utf8(forged).unwrap();
    let refused = [
        ask(&keys[1], "tools/list", &json!(cursor)),
        ask(&keys[0], "prompts/list", &json!(cursor)),
        ask(&keys[0], "tools/list", &json!(forged)),
        ask(&keys[0], "tools/list", &json!("")),
        ask(&keys[0], "tools/list", &json!(session.id)),
        ask(&keys[0], "resources/list", &json!("1000")),
        ask(&keys[0], "resources/templates/list", &json!(7)),
    ];
    let words: Vec<Value> = refused
        .iter()
        .map(|response| {
            assert_eq!((response.status, response.code()), (200, -32602), "{}", response.text());
            response.answer()["error"]["message"].clone()
        })
        .collect();
    assert!(words.iter().all(|word| *word == words[0]), "nobody can tell which: {words:?}");
    gate.stop();
}

fn listen(client: &Client, notifications: &Value) -> Connection {
    let mut connection = Connection::open(client.address);
    connection.send(&client.modern_bytes(11, "subscriptions/listen", json!({"notifications": notifications})));
    assert_eq!(connection.head().unwrap().status, 200);
    let acknowledged = connection.event();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"], *notifications, "what was asked for is honoured");
    connection
}

#[test]
fn each_stream_hears_of_the_lists_that_it_asked_for_and_can_see() {
    for era in ["modern", "legacy"] {
        let server = Server::everything(era);
        let home = Home::new(&servers(&[("every", &server.url)]));
        let make = |name: &str, more: &[&str]| {
            let token = home.run_well(&[&["key", "new", name, "--allow", "*/*"], more].concat());
            Client::new(home.listen).with_key(token.trim())
        };
        let all = make("all", &["--prompt", "*/*", "--resource", "*/*"]);
        let blind = make("blind", &[]);
        let gate = home.start();
        wait_for_lists(&all);
        let every = json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true});
        let mut session = all.session(LEGACY).bare("GET");
        assert_eq!(session.head().unwrap().status, 200);
        let mut listener = listen(&all, &every);
        let mut of_resources = listen(&all, &json!({"resourcesListChanged": true}));
        let mut sees_none = listen(&blind, &every);
        for (tool, kind) in [("prompt", "prompts"), ("resource", "resources"), ("tool", "tools")] {
            let changed = json!(format!("notifications/{kind}/list_changed"));
            let called = all.call(&format!("every__test_trigger_{tool}_change"), json!({})).answer();
            assert!(called["result"]["content"].is_array(), "{called}");
            assert_eq!(session.event()["method"], changed, "{era}");
            let heard = listener.event();
            assert_eq!(heard["method"], changed, "{era}");
            assert_eq!(heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 11);
            if kind == "resources" {
                assert_eq!(of_resources.event()["method"], changed);
            }
        }
        let only = sees_none.event();
        assert_eq!(only["method"], "notifications/tools/list_changed", "not of what it cannot see");
        gate.stop();
    }
}

#[test]
fn the_last_good_lists_are_there_before_a_server_is() {
    let server = Server::everything("dual");
    let home = Home::new(&format!("{ANYONE}{}", servers(&[("every", &server.url)])));
    let client = Client::new(home.listen);
    let gate = home.start();
    wait_for_lists(&client);
    let before = LISTS.map(|list| modern(&client, list));
    gate.stop();
    drop(server);
    let gate = home.start();
    assert_eq!(LISTS.map(|list| modern(&client, list)), before);
    gate.stop();
}
