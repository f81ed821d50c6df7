//! Extensions through the gate: tasks bound to their key, files of skills and apps untouched.

use crate::gate::{ANYONE, Home, eventually};
use crate::http::{Connection, Response};
use crate::mcp::{Client, LEGACY, meta};
use crate::peers::{POLICY, Server, node};
use serde_json::{Value, json};
use std::time::Duration;

const LISTED: Duration = Duration::from_secs(20);
const SETTLED: Duration = Duration::from_secs(10);
const SKILL: &str = "skill://unit-conversion/SKILL.md";

/// A gate's home in front of one dual-era fixture, and two keys that may use all of it.
pub(crate) fn home(server: &Server) -> (Home, [String; 2]) {
    home_with(server, "")
}

/// The same with these lines in the server's table.
pub(crate) fn home_with(server: &Server, more: &str) -> (Home, [String; 2]) {
    let home = Home::new(&format!("[servers.peer]\nurl = \"{}\"\n{POLICY}{more}", server.url));
    let new_key = |name: &str| {
        let all = ["--allow", "peer/*", "--prompt", "peer/*", "--resource", "peer/*"];
        let text = home.run_well(&[&["key", "new", name], all.as_slice()].concat());
        let token = text.split_whitespace().find(|word| word.starts_with("tg_"));
        token.unwrap_or_else(|| panic!("no key in: {text}")).to_owned()
    };
    let keys = ["first", "second"].map(new_key);
    (home, keys)
}

/// These parameters of a client that follows tasks.
fn following(mut params: Value) -> Value {
    params["_meta"] = meta();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}});
    params
}

/// A request of a client that follows tasks.
fn with_tasks(client: &Client, method: &str, params: Value) -> Response {
    client.modern(method, following(params))
}

/// Opens a stream for these tasks and for changes of prompts; what of the tasks is honoured.
fn listen(client: &Client, tasks: &[&str]) -> (Connection, Value) {
    let mut stream = Connection::open(client.address);
    let asked = json!({"notifications": {"taskIds": tasks, "promptsListChanged": true}});
    stream.send(&client.modern_bytes(11, "subscriptions/listen", following(asked)));
    assert_eq!(stream.head().unwrap().status, 200);
    let first = stream.event();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
    (stream, first["params"]["notifications"]["taskIds"].clone())
}

/// The last that a stream says of a task, once it is so; all that it says until then is of this task.
fn hears(stream: &mut Connection, task: &str, status: &str) -> Value {
    loop {
        let event = stream.event();
        assert_eq!((&event["method"], &event["params"]["taskId"]), (&json!("notifications/tasks"), &json!(task)));
        assert_eq!(event["params"]["_meta"], json!({"io.modelcontextprotocol/subscriptionId": 11}), "{event}");
        if event["params"]["status"] == status {
            return event["params"].clone();
        }
    }
}

fn start(client: &Client, tool: &str, arguments: Value) -> String {
    let answer = with_tasks(client, "tools/call", json!({"name": tool, "arguments": arguments})).answer();
    assert_eq!(answer["result"]["resultType"], "task", "{answer}");
    answer["result"]["taskId"].as_str().unwrap().to_owned()
}

fn get(client: &Client, task: &str) -> Value {
    with_tasks(client, "tasks/get", json!({"taskId": task})).answer()
}

/// A client at the fixture's door, once the fixture is listed.
fn listed(home: &Home, key: &str) -> Client {
    let client = Client::new(home.listen).at("/mcp/peer").with_key(key);
    eventually("the fixture is listed", LISTED, || client.tools().len() > 20);
    client
}

#[test]
fn a_task_lives_with_its_key_and_is_unknown_to_others() {
    let server = Server::everything("dual");
    let (home, [first, second]) = home(&server);
    let gate = home.start();
    let [owner, other] = [first, second].map(|key| Client::new(home.listen).at("/mcp/peer").with_key(&key));
    eventually("the fixture is listed", LISTED, || owner.tools().len() > 20);

    let task = start(&owner, "confirm_delete", json!({"filename": "a.txt"}));
    eventually("it asks", SETTLED, || get(&owner, &task)["result"]["status"] == "input_required");
    let unknown = get(&owner, "no-such-task");
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    assert_eq!(get(&other, &task)["error"], unknown["error"], "another key's task is as unknown as one that never was");
    let answers = json!({"confirm": {"action": "accept", "content": {"ok": true}}});
    for (client, code) in [(&other, Some(-32602)), (&owner, None)] {
        let params = json!({"taskId": task, "inputResponses": answers});
        let answer = with_tasks(client, "tasks/update", params).answer();
        assert_eq!(answer["error"]["code"].as_i64(), code, "{answer}");
    }
    eventually("it is done", SETTLED, || get(&owner, &task)["result"]["status"] == "completed");
    assert_eq!(get(&owner, &task)["result"]["result"]["content"][0]["text"], "a.txt: accept");

    let long = start(&owner, "slow_compute", json!({"seconds": 60}));
    assert_eq!(with_tasks(&other, "tasks/cancel", json!({"taskId": long})).answer()["error"]["code"], -32602);
    assert_eq!(get(&owner, &long)["result"]["status"], "working");
    with_tasks(&owner, "tasks/cancel", json!({"taskId": long}));
    eventually("it is cancelled", SETTLED, || get(&owner, &long)["result"]["status"] == "cancelled");
    gate.stop();
}

#[test]
fn a_stream_tells_how_the_tasks_of_its_key_stand_and_nothing_of_others() {
    let server = Server::everything("dual");
    let (home, [first, second]) = home(&server);
    let gate = home.start();
    let [owner, other] = [first, second].map(|key| Client::new(home.listen).at("/mcp/peer").with_key(&key));
    eventually("the fixture is listed", LISTED, || owner.tools().len() > 20);
    let task = start(&owner, "confirm_delete", json!({"filename": "a.txt"}));
    let theirs = start(&other, "confirm_delete", json!({"filename": "b.txt"}));
    let forged = task.replace(&task[..8], "AAAAAAAA");

    // Several, so that they are on both shards.
    let mut streams: Vec<Connection> = (0..6)
        .map(|_| {
            let (stream, honoured) = listen(&owner, &["no-such-task", &theirs, &task, &forged]);
            assert_eq!(honoured, json!([task]));
            stream
        })
        .collect();
    let (mut deaf, honoured) = listen(&other, &[&task]);
    assert_eq!(honoured, Value::Null, "another key's task is as unknown as one that never was");
    eventually("it asks", SETTLED, || get(&owner, &task)["result"]["status"] == "input_required");
    let answers = json!({"confirm": {"action": "accept", "content": {"ok": true}}});
    with_tasks(&owner, "tasks/update", json!({"taskId": task, "inputResponses": answers}));
    for stream in &mut streams {
        let done = hears(stream, &task, "completed");
        assert_eq!(done["result"]["content"][0]["text"], "a.txt: accept", "{done}");
        assert!(done["createdAt"].is_string() && done["ttlMs"].is_number(), "the rest is the server's: {done}");
    }
    // One that begins later than the task was begun, and says what it asks.
    let (mut late, honoured) = listen(&other, &[&theirs]);
    assert_eq!(honoured, json!([theirs]));
    with_tasks(&other, "tasks/cancel", json!({"taskId": theirs}));
    hears(&mut late, &theirs, "cancelled");
    let changed = owner.call("test_trigger_prompt_change", json!({})).answer();
    assert!(changed["result"]["content"].is_array(), "{changed}");
    assert_eq!(deaf.event()["method"], "notifications/prompts/list_changed", "of the task nothing was said");
    gate.stop();
}

#[test]
fn a_task_is_promised_only_where_it_is_followed_and_its_server_knows_it() {
    let server = Server::everything("dual");
    let (home, [key, _]) = home(&server);
    let gate = home.start();
    let client = listed(&home, &key);
    let task = start(&client, "slow_compute", json!({"seconds": 60}));
    let asked = json!({"notifications": {"taskIds": [task]}});
    let refused = client.modern("subscriptions/listen", asked);
    assert_eq!((refused.status, refused.answer()["error"]["code"].as_i64()), (400, Some(-32021)));
    let wrong = with_tasks(&client, "subscriptions/listen", json!({"notifications": {"taskIds": [7]}}));
    assert_eq!(wrong.answer()["error"]["code"], -32602);
    assert_eq!(listen(&client, &[&task]).1, json!([task]));
    let port = server.address().port().to_string();
    drop(server);
    // Another process in its place, which never heard of the task.
    let _server = Server::start(&node(), &["fixtures/everything.mjs", "--port", &port]);
    eventually("its server says that it does not know it", LISTED, || listen(&client, &[&task]).1 == Value::Null);
    gate.stop();
}

#[test]
fn a_task_is_never_given_to_a_client_that_does_not_follow_tasks() {
    let server = Server::everything("dual");
    let (home, [key, _]) = home(&server);
    let gate = home.start();
    let client = listed(&home, &key);
    let plain = client.call("slow_compute", json!({"seconds": 0})).answer();
    assert_eq!(plain["result"]["resultType"], "complete", "{plain}");
    let refused = client.call("failing_job", json!({}));
    assert_eq!((refused.status, refused.answer()["error"]["code"].as_i64()), (400, Some(-32021)));
    let legacy = client.session(LEGACY).call("slow_compute", json!({"seconds": 0})).answer();
    assert!(legacy["result"]["content"][0]["text"].is_string(), "{legacy}");
    gate.stop();
}

/// What of an answer is its server's own.
fn own(answer: Value, member: &str) -> Value {
    assert!(answer["result"][member].is_array() || answer["result"][member].is_object(), "{answer}");
    answer["result"][member].clone()
}

const SKILLS: &str = "io.modelcontextprotocol/skills";

#[test]
fn skills_are_listed_got_and_read_byte_for_byte_in_both_eras() {
    let server = Server::everything("dual");
    let (home, [key, _]) = home(&server);
    let gate = home.start();
    let client = Client::new(home.listen).at("/mcp/peer").with_key(&key);
    let direct = Client::new(server.address());
    eventually("the fixture is listed", LISTED, || client.tools().len() > 20);
    let [here, there] = [&client, &direct].map(|client| client.session(LEGACY));
    let folder = SKILL.strip_suffix("/SKILL.md").unwrap();
    for (method, params, member) in [
        ("resources/read", json!({"uri": SKILL}), "contents"),
        ("skills/list", json!({}), "skills"),
        ("skills/get", json!({"uri": SKILL}), "skill"),
        ("resources/directory/read", json!({"uri": folder}), "resources"),
    ] {
        let [gated, plain] =
            [&client, &direct].map(|client| own(client.modern(method, params.clone()).answer(), member));
        assert_eq!(gated.to_string(), plain.to_string(), "{method}");
        let [gated, plain] =
            [&here, &there].map(|session| own(session.request(method, params.clone()).answer(), member));
        assert_eq!(gated.to_string(), plain.to_string(), "{method}");
    }
    let listed = client.modern("skills/list", json!({})).answer()["result"].take();
    assert_eq!((&listed["resultType"], &listed["cacheScope"]), (&json!("complete"), &json!("private")), "{listed}");
    let got = client.modern("skills/get", json!({"uri": SKILL})).answer()["result"].take();
    assert_eq!((&got["cacheScope"], got["ttlMs"].is_u64()), (&json!("private"), true), "for this key alone: {got}");
    let legacy = here.request("skills/get", json!({"uri": SKILL})).answer()["result"].take();
    assert_eq!(legacy.as_object().unwrap().len(), 1, "{legacy}");
    let offered = client.modern("server/discover", json!({})).answer()["result"]["capabilities"]["extensions"].take();
    assert_eq!(offered[SKILLS], json!({"directoryRead": true}), "{offered}");
    assert_eq!(here.hello["capabilities"]["extensions"][SKILLS], json!({"directoryRead": true}));
    for (method, uri) in [("skills/get", "skill://nothing/SKILL.md"), ("resources/directory/read", SKILL)] {
        assert_eq!(client.modern(method, json!({"uri": uri})).code(), -32602, "{method}");
    }
    gate.stop();
}

/// A server goes by what its cursors say: they are sealed to the key and the folder, and whatever else comes back is
/// refused before it hears of it.
#[test]
fn a_folder_is_read_page_by_page_with_cursors_that_are_good_for_its_key_alone() {
    let server = Server::everything("dual");
    let (home, keys) = home(&server);
    let gate = home.start();
    let [first, second] = keys.map(|key| Client::new(home.listen).at("/mcp/peer").with_key(&key));
    eventually("the fixture is listed", LISTED, || first.tools().len() > 20);
    let root = SKILL.strip_suffix("/SKILL.md").unwrap();
    let folder = format!("{root}/pages");
    let read = |client: &Client, uri: &str, cursor: &Value| {
        client.modern("resources/directory/read", json!({"uri": uri, "cursor": cursor}))
    };
    let page = first.modern("resources/directory/read", json!({"uri": folder})).answer()["result"].take();
    assert_eq!(page["resources"][0]["uri"], SKILL, "{page}");
    let cursor = &page["nextCursor"];
    let last = read(&first, &folder, cursor).answer()["result"].take();
    assert_eq!(last["resources"][0]["uri"], format!("{root}/references"), "{last}");
    assert!(last["nextCursor"].is_null(), "{last}");
    let session = first.session(LEGACY);
    let legacy = session.request("resources/directory/read", json!({"uri": folder})).answer()["result"].take();
    let params = json!({"uri": folder, "cursor": legacy["nextCursor"]});
    let legacy = session.request("resources/directory/read", params).answer()["result"].take();
    assert_eq!(legacy["resources"], last["resources"], "{legacy}");
    let forged = json!(json!([folder, 1]).to_string());
    let refusals = [read(&second, &folder, cursor), read(&first, &folder, &forged), read(&first, &folder, &json!(""))];
    let refusals = refusals.map(|refusal| refusal.answer()["error"].take());
    assert_eq!(refusals[0]["code"], -32602, "{}", refusals[0]);
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "indistinguishable: {refusals:?}");
    assert_eq!(read(&first, root, cursor).code(), -32602, "another folder's");
    gate.stop();
}

/// What a server asks passes only as policy and the client's word let it, in whatever answer it stands.
#[test]
fn a_server_asks_nothing_in_the_answer_to_a_skill() {
    let server = Server::everything("dual");
    let (home, [key, _]) = home(&server);
    let gate = home.start();
    let client = listed(&home, &key);
    let asked = client.modern("skills/get", json!({"uri": "skill://asks/SKILL.md"})).answer();
    assert!(asked["error"]["code"].is_i64() && !asked.to_string().contains("in the clear"), "{asked}");
    gate.stop();
}

#[test]
fn skills_of_two_servers_are_told_apart_and_their_digests_stay() {
    let servers = [Server::everything("dual"), Server::everything("legacy")];
    let table = |(name, server): (&str, &Server)| format!("[servers.{name}]\nurl = \"{}\"\n", server.url);
    let tables: String = ["one", "two"].into_iter().zip(&servers).map(table).collect();
    let home = Home::new(&format!("{ANYONE}{tables}"));
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("the fixtures are listed", LISTED, || client.tools().len() > 50);
    let marked = |uri: &str| format!("{uri}#tollgate=two");
    let listed = own(client.modern("skills/list", json!({})).answer(), "skills");
    assert_eq!((&listed[0]["uri"], &listed[1]["uri"]), (&json!(SKILL), &json!(marked(SKILL))), "{listed}");
    for at in 0..2 {
        let [first, second] = [0, 1].map(|server| &listed[server]["resources"][at]);
        assert_eq!(second["uri"], marked(first["uri"].as_str().unwrap()));
        assert_eq!((&second["digest"], &second["size"]), (&first["digest"], &first["size"]));
        let [first, second] = [first, second].map(|file| {
            let contents = own(client.modern("resources/read", json!({"uri": file["uri"]})).answer(), "contents");
            assert_eq!(contents[0]["uri"], file["uri"]);
            contents[0]["text"].clone()
        });
        assert_eq!(first, second, "the fixtures have the same files");
    }
    let got = own(client.modern("skills/get", json!({"uri": marked(SKILL)})).answer(), "skill");
    assert_eq!(got.to_string(), listed[1].to_string());
    let folder = SKILL.strip_suffix("/SKILL.md").unwrap();
    let inner = format!("{folder}/references");
    for (folder, child) in [(folder.to_owned(), inner.clone()), (marked(folder), marked(&inner))] {
        let children = own(client.modern("resources/directory/read", json!({"uri": folder})).answer(), "resources");
        assert_eq!(children[1]["uri"], child, "{children}");
        let children = own(client.modern("resources/directory/read", json!({"uri": child})).answer(), "resources");
        assert_eq!(children.as_array().unwrap().len(), 1, "{children}");
    }
    gate.stop();
}

#[test]
fn a_key_sees_the_skills_that_its_resource_patterns_cover() {
    let server = Server::everything("dual");
    let home = Home::new(&format!("[servers.peer]\nurl = \"{}\"\n", server.url));
    let key = |name: &str, more: &[&str]| {
        let text = home.run_well(&[&["key", "new", name, "--allow", "peer/*"], more].concat());
        text.split_whitespace().find(|word| word.starts_with("tg_")).unwrap().to_owned()
    };
    let keys = [key("tools", &[]), key("other", &["--resource", "peer/test://*"])];
    let gate = home.start();
    let [none, other] = keys.map(|key| Client::new(home.listen).with_key(&key));
    eventually("the fixture is listed", LISTED, || none.tools().len() > 20);
    for method in ["skills/list", "skills/get", "resources/directory/read"] {
        let refused = none.modern(method, json!({"uri": SKILL}));
        assert_eq!((refused.status, refused.code()), (404, -32601), "{method}");
        let session = none.session(LEGACY);
        assert_eq!(session.request(method, json!({"uri": SKILL})).code(), -32601, "{method}");
        assert!(session.hello["capabilities"]["extensions"][SKILLS].is_null());
    }
    assert_eq!(own(other.modern("skills/list", json!({})).answer(), "skills"), json!([]));
    for method in ["skills/get", "resources/directory/read", "resources/read"] {
        assert_eq!(other.modern(method, json!({"uri": SKILL})).code(), -32602, "{method}");
    }
    gate.stop();
}

const ECHO: &str = "com.example/echo";

/// What the server is told by a client that declares two extensions, and says something under their prefixes.
fn declared(client: &Client) -> Value {
    let mut params = json!({"name": "test_declared", "arguments": {}, "_meta": meta()});
    let extensions = json!({ECHO: {"volume": 11}, "com.other/thing": {}});
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({"roots": {}, "extensions": extensions});
    params["_meta"]["com.example/note"] = json!("here");
    params["_meta"]["com.other/note"] = json!("there");
    let answer = client.modern("tools/call", params).answer();
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str(text).unwrap()
}

fn offered(client: &Client) -> Value {
    client.modern("server/discover", json!({})).answer()["result"]["capabilities"]["extensions"].take()
}

#[test]
fn an_unknown_extension_passes_where_it_is_allowed_and_both_sides_declare_it() {
    let server = Server::everything("dual");
    let allowed = "extensions = [\"com.example/echo\", \"com.other/thing\"]\n";
    let (home, [key, _]) = home_with(&server, allowed);
    let blind = home.run_well(&["key", "new", "blind"]);
    let blind = blind.split_whitespace().find(|word| word.starts_with("tg_")).unwrap().to_owned();
    let gate = home.start();
    let client = listed(&home, &key);
    let extensions = offered(&client);
    assert_eq!((&extensions[ECHO], &extensions["com.other/thing"]), (&json!({"loud": true}), &Value::Null));
    let nothing = offered(&Client::new(home.listen).with_key(&blind));
    assert_eq!(nothing, Value::Null, "a key that may not use the server");
    let told = declared(&client);
    assert_eq!(told["extensions"], json!({ECHO: {"volume": 11}}), "the server does not declare the other");
    assert_eq!((&told["meta"]["com.example/note"], &told["meta"]["com.other/note"]), (&json!("here"), &Value::Null));
    assert_eq!(client.session(LEGACY).hello["capabilities"]["extensions"][ECHO], Value::Null, "the modern era alone");
    let refused = client.modern("com.example/echo", json!({}));
    assert_eq!((refused.status, refused.code()), (404, -32601), "no methods");
    gate.stop();
}

#[test]
fn no_unknown_extension_passes_unless_it_is_allowed() {
    let server = Server::everything("dual");
    let (home, [key, _]) = home(&server);
    let gate = home.start();
    let client = listed(&home, &key);
    assert_eq!(offered(&client)[ECHO], Value::Null);
    let told = declared(&client);
    assert_eq!((&told["extensions"], &told["meta"]["com.example/note"]), (&Value::Null, &Value::Null), "{told}");
    gate.stop();
}

#[test]
fn an_app_is_listed_read_and_calls_its_tools_by_their_bare_names() {
    let server = Server::everything("dual");
    let (home, [key, _]) = home(&server);
    let gate = home.start();
    let client = Client::new(home.listen).with_key(&key);
    eventually("the fixture is listed", LISTED, || client.tools().len() > 20);
    let tools = client.tools();
    let tool = tools.iter().find(|tool| tool["name"] == "peer__test_app").unwrap();
    assert_eq!(
        tool["_meta"]["ui"],
        json!({"resourceUri": "ui://everything/clock.html", "visibility": ["model", "app"]})
    );
    let page = client.modern("resources/read", json!({"uri": "ui://everything/clock.html"})).answer();
    let content = &page["result"]["contents"][0];
    assert_eq!(content["mimeType"], "text/html;profile=mcp-app", "{page}");
    assert_eq!(content["_meta"]["ui"]["prefersBorder"], true, "{page}");
    let called = client.call("test_simple_text", json!({})).answer();
    assert_eq!(called["result"]["content"][0]["type"], "text", "{called}");
    gate.stop();
}
