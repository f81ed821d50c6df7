//! The admin API: who may use which route, what answers conform to, and that no request makes the gate do anything but
//! what its route says.

use crate::admin::{admin, admin_json};
use crate::fakes::{Fake, Wire};
use crate::gate::{Home, eventually};
use crate::http::{self, request};
use crate::mcp::Client;
use crate::peers::installed;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// The roles, and of a route that reads, one that runs the gate, one for everybody, what each is answered.
const ROLES: [(&str, [u16; 3]); 4] = [
    ("admin", [200, 200, 200]),
    ("operator", [200, 200, 200]),
    ("auditor", [200, 403, 200]),
    ("approver", [403, 403, 200]),
];

fn config(fake: &Fake, more: &str) -> String {
    let teams =
        "[customers.acme]\nrates = [\"20000/day\"]\n[teams.research]\ncustomer = \"acme\"\nrates = [\"90/second\"]\n";
    format!("{teams}[servers.one]\nurl = \"{}\"\n{more}", fake.url())
}

/// A home whose configuration knows a token of each role; gives the tokens.
fn with_tokens(fake: &Fake) -> (Home, Vec<String>) {
    let home = Home::new(&config(fake, ""));
    let made = ROLES.map(|(role, _)| {
        let text = home.run_well(&["admin", "token", "new", &format!("the {role}"), "--role", role, "--json"]);
        serde_json::from_str::<Value>(&text).unwrap()
    });
    let table = |token: &Value| {
        format!("[[admin_tokens]]\nname = {}\nrole = {}\nmac = {}\n", token["name"], token["role"], token["mac"])
    };
    home.configure(&config(fake, &made.iter().map(table).collect::<String>()));
    (home, made.iter().map(|token| token["token"].as_str().unwrap().to_owned()).collect())
}

fn ask(home: &Home, token: &str, method: &str, path: &str, body: &[u8]) -> http::Response {
    let bearer = format!("Bearer {token}");
    http::once(home.admin, &request(method, path, &[("Authorization", &bearer), ("Connection", "close")], body))
}

#[test]
fn each_role_may_do_what_the_table_says_and_nobody_else_anything() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let (home, tokens) = with_tokens(&fake);
    let key = home.new_key("a key", &["*/*"]);
    let gate = home.start();
    for ((role, expected), token) in ROLES.iter().zip(&tokens) {
        let routes = [("GET", "/v1/keys"), ("POST", "/v1/config/reload"), ("GET", "/v1/state")];
        let answers = routes.map(|(method, path)| ask(&home, token, method, path, b"").status);
        assert_eq!(answers, *expected, "{role}");
    }
    for nobody in ["", "tg_", &key, "x"] {
        let answer = ask(&home, nobody, "GET", "/v1/state", b"");
        assert_eq!((answer.status, answer.header("content-type")), (401, Some("application/problem+json")), "{nobody}");
    }
    assert_eq!(http::get(home.admin, "/v1/state").status, 401);
    assert_eq!(http::get(home.admin, "/readyz").status, 200, "health needs no token");
    assert_eq!(http::get(home.listen, "/v1/state").status, 404, "clients reach nothing of it");
    let wrong = ask(&home, &tokens[0], "DELETE", "/v1/state", b"");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET")));
    assert_eq!(ask(&home, &tokens[0], "GET", "/v1/nothing", b"").status, 404);
    let acts = home.run_well(&["audit", "show", "--kind", "admin", "--json"]);
    assert!(
        acts.contains("token:the operator") && acts.contains("token:the auditor") && acts.contains("403"),
        "{acts}"
    );
    gate.stop();
}

#[test]
fn a_body_makes_no_route_do_anything() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let (home, tokens) = with_tokens(&fake);
    let gate = home.start();
    let marker = home.path().join("spawned");
    let body =
        json!({"command": "touch", "args": [marker], "env": {}, "path": "/etc/passwd", "url": "http://127.0.0.1:1"});
    let document: Value = ask(&home, &tokens[0], "GET", "/v1/openapi.json", b"").answer();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{id}", "x").replace("{server}", "x").replace("{tool}", "x");
            let answer = ask(&home, &tokens[0], &method.to_uppercase(), &path, body.to_string().as_bytes());
            assert!(answer.status < 500, "{method} {path}: {}", answer.text());
        }
    }
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", gate.id())).unwrap();
    assert!(!marker.exists() && children.trim().is_empty(), "{children}");
    gate.stop();
}

#[test]
fn the_file_is_checked_compared_and_taken() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = Home::new(&config(&fake, ""));
    home.run_well(&["key", "new", "first", "--allow", "one/*", "--rate", "7/minute", "--team", "research"]);
    let gate = home.start();
    assert_eq!(admin(&home, "GET", "/v1/config/check").body["ok"], true);
    home.configure(&config(&fake, "[servers.two]\nurl = \"http://127.0.0.1:1\"\n"));
    assert_eq!(admin(&home, "GET", "/v1/config/diff").body["servers_added"], json!(["two"]));
    let taken = admin(&home, "POST", "/v1/config/reload");
    assert_eq!((taken.status, &taken.body["servers_added"]), (200, &json!(["two"])), "{}", taken.body);
    let servers = admin(&home, "GET", "/v1/servers").body;
    assert_eq!(servers["servers"].as_array().unwrap().len(), 2, "in force once it answers: {servers}");
    home.configure("nonsense = 1\n");
    let refused = admin(&home, "POST", "/v1/config/reload");
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body["findings"][0].as_str().unwrap().contains("nonsense"), "{}", refused.body);
    assert_eq!(admin(&home, "GET", "/v1/config/check").body["ok"], false);
    let keys = admin(&home, "GET", "/v1/keys?limit=1").body;
    assert_eq!((&keys["keys"][0]["name"], &keys["keys"][0]["allow"]), (&json!("first"), &json!(["one/*"])), "{keys}");
    assert!(!keys.to_string().contains("tg_"), "no secret: {keys}");
    assert_eq!(admin(&home, "GET", "/v1/keys?limit=0").status, 400);
    let limits = admin(&home, "GET", "/v1/limits").body;
    assert_eq!(
        limits["limits"][0],
        json!({"name": "customer:acme", "rates": [{"rate": "20000/day", "left": 20000}], "under_way": 0})
    );
    assert_eq!(limits["limits"][1]["rates"], json!([{"rate": "7/minute", "left": 7}]), "{limits}");
    gate.stop();
    assert!(!home.path().join("state/admin.sock").exists(), "the socket goes with the gate");
}

#[test]
fn keys_and_teams_are_made_changed_and_deleted_and_each_change_is_in_force_once_it_is_answered() {
    let fake = Fake::plain(Wire::Modern, &["alpha", "beta"]);
    let home = Home::new(&config(&fake, ""));
    let gate = home.start();
    let made = admin_json(&home, ("POST", "/v1/keys"), &json!({"name": "made", "allow": ["one/*"]}), None);
    assert_eq!(made.status, 201, "{}", made.body);
    let (id, token) = (made.body["id"].as_str().unwrap(), made.body["key"].as_str().unwrap());
    let client = Client::new(home.listen).with_key(token);
    assert_eq!(client.modern("tools/list", json!({})).status, 200, "it is in force at once");
    eventually("the tools are listed", Duration::from_secs(20), || client.tools().len() == 2);
    let path = format!("/v1/keys/{id}");
    let stale = made.etag.unwrap();
    let change = |body: Value, seen: Option<&str>| admin_json(&home, ("PATCH", &path), &body, seen);
    let changed = change(json!({"allow": ["one/beta"]}), Some(&stale));
    assert_eq!(changed.status, 204, "{}", changed.body);
    assert_eq!(client.tool_names(), ["one__beta"]);
    assert_eq!(change(json!({"name": "late"}), Some(&stale)).status, 412, "somebody else was there first");
    assert_eq!(change(json!({"allow": ["none/*"]}), None).status, 422, "no such server");
    assert_eq!(change(json!({"secret": 1}), None).status, 400);
    let team = json!({"customer": "acme", "rates": ["5/second"]});
    let put = |team: &Value| admin_json(&home, ("PUT", "/v1/teams/new"), team, None);
    assert_eq!((put(&team).status, put(&team).status), (200, 200), "made, then replaced");
    assert_eq!(put(&json!({"customer": "nobody"})).status, 422);
    assert_eq!(change(json!({"team": "new"}), None).status, 204);
    assert_eq!(admin(&home, "DELETE", "/v1/teams/new").status, 409, "a key is in it");
    assert_eq!(admin(&home, "DELETE", "/v1/teams/research").status, 409, "it stands in the file");
    let teams = admin(&home, "GET", "/v1/teams").body;
    let names: Vec<_> =
        teams["items"].as_array().unwrap().iter().map(|team| (&team["name"], &team["source"])).collect();
    assert_eq!(names, [(&json!("new"), &json!("store")), (&json!("research"), &json!("file"))]);
    assert_eq!(admin(&home, "DELETE", &path).status, 204);
    assert_eq!(client.modern("tools/list", json!({})).status, 401);
    assert_eq!(admin(&home, "GET", &path).status, 404);
    gate.stop();
}

/// Root may use the socket of a gate that runs as another user; any other user may not, even where the files let it.
#[test]
fn another_user_is_refused_at_the_socket() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = Home::new(&config(&fake, ""));
    let gate = home.start();
    let socket = home.path().join("state/admin.sock");
    let open =
        Command::new("chmod").args(["a+rwX"]).arg(home.path()).arg(home.path().join("state")).arg(&socket).status();
    assert!(open.unwrap().success());
    let script = format!(
        "import os, socket\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\ns.connect({:?})\n\
         s.send(b'GET /v1/state HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n')\nprint(s.recv(99))",
        socket.to_str().unwrap()
    );
    let asked = Command::new("python3").args(["-c", &script]).output().unwrap();
    let (said, failed) = (String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
    // Only root can become another user.
    assert!(said.contains(" 403 ") || failed.contains("PermissionError"), "{said} {failed}");
    assert_eq!(admin(&home, "GET", "/v1/state").status, 200);
    gate.stop();
}

/// Every route by what the document says of it, and by what it does not say: no 5xx, and every answer as documented.
#[test]
fn answers_conform_to_the_document() {
    let fake = Fake::plain(Wire::Modern, &["alpha", "beta"]);
    let (home, tokens) = with_tokens(&fake);
    let key = home.new_key("all", &["*/*"]);
    let gate = home.start();
    let client = Client::new(home.listen).with_key(&key);
    eventually("the tools are listed", Duration::from_secs(20), || client.tools().len() == 2);
    let mut command = Command::new(installed("admin/bin/schemathesis"));
    command.arg("run").arg(format!("http://{}/v1/openapi.json", home.admin)).current_dir(home.path());
    command.args(["--header", &format!("Authorization: Bearer {}", tokens[0])]);
    // What names a server, team or pattern must name one that is there, which a schema cannot say.
    command.args(["--exclude-checks", "positive_data_acceptance"]);
    command.args(["--max-examples", "10", "--max-time", "45", "--seed", "1", "--no-color", "--continue-on-failure"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "an answer is not what the document says: {}", home.log_tail());
    assert!(said.contains("generated"), "nothing was asked");
    gate.stop();
}
