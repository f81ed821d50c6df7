//! Every feature between clients and servers of either era: one test a row of the matrix in `docs/protocol.md`.
//!
//! Official clients do the same steps in front of a gate that has one server; each combination runs once, and the rows
//! look at what came of it.

use crate::gate::{ANYONE, Home, eventually};
use crate::mcp::Client;
use crate::peers::{Driver, POLICY, Server, node, npm_program, tests};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::Duration;

const LISTED: Duration = Duration::from_secs(60);

/// The server behind the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upstream {
    Modern,
    Legacy,
    Dual,
    ModernStdio,
    LegacyStdio,
    NpmStdio,
    NpmHttp,
    NpmSse,
}

/// What one client reports of one server.
struct Crossing {
    driver: Driver,
    era: &'static str,
    upstream: Upstream,
    report: Value,
    /// The same where it declared that it can be asked nothing.
    mute: Value,
}

impl Crossing {
    /// What came of a step.
    fn step(&self, name: &str) -> &Value {
        let at = steps(self.upstream).iter().position(|(step, _)| *step == name);
        &self.report["steps"][at.unwrap_or_else(|| panic!("no step {name}"))]
    }

    fn text(&self, name: &str) -> &str {
        self.step(name)["result"]["content"][0]["text"].as_str().unwrap_or_default()
    }

    fn names(&self, step: &str, key: &str) -> Vec<&str> {
        self.step(step)["result"].as_array().into_iter().flatten().filter_map(|item| item[key].as_str()).collect()
    }

    fn content(&self, step: &str) -> &Value {
        &self.step(step)["result"]["contents"][0]
    }

    fn was_asked(&self, method: &str, key: &str, what: &str) -> bool {
        let asked = self.report["asked"].as_array().unwrap();
        asked.iter().any(|one| one["method"] == method && one[key].as_str().unwrap_or_default() == what)
    }
}

fn answers() -> Value {
    json!({
        "elicitation": {"name": "Ada", "color": "blue", "ok": true, "context": "bridges", "check": true, "integer": 42},
        "sampling": "Paris",
        "roots": ["file:///home/ada"],
    })
}

fn call(name: &str) -> Value {
    json!({"do": "call", "name": name, "arguments": {}})
}

fn input(name: &str) -> Value {
    call(&format!("test_input_required_result_{name}"))
}

/// The steps at our fixture, each with the name by which a row asks for it.
fn fixture_steps() -> Vec<(&'static str, Value)> {
    let list = |what: &str| json!({"do": "list", "what": what});
    let read = |uri: &str| json!({"do": "read", "uri": uri});
    let get = |name: &str, arguments: Value| json!({"do": "get", "name": name, "arguments": arguments});
    let watch = |list: &str, call: &str| json!({"do": "watch", "list": list, "call": call});
    let argument = json!({"name": "arg1", "value": "par"});
    let prompt = json!({"type": "ref/prompt", "name": "test_prompt_with_arguments"});
    let template = json!({"type": "ref/resource", "uri": "test://template/{id}/data"});
    vec![
        ("resources", list("resources")),
        ("templates", list("templates")),
        ("prompts", list("prompts")),
        ("read", read("test://static-text")),
        ("read_binary", read("test://static-binary")),
        ("read_template", read("test://template/7/data")),
        ("read_unknown", read("test://nonexistent")),
        ("read_app", read("ui://everything/clock.html")),
        ("get", get("test_prompt_with_arguments", json!({"arg1": "größer", "arg2": "b"}))),
        ("get_unknown", get("no_such_prompt", json!({}))),
        ("complete", json!({"do": "complete", "ref": prompt, "argument": argument})),
        ("complete_template", json!({"do": "complete", "ref": template, "argument": {"name": "id", "value": "test"}})),
        ("elicitation", input("elicitation")),
        ("sampling", input("sampling")),
        ("roots", input("list_roots")),
        ("several_at_once", input("multiple_inputs")),
        ("round_by_round", input("multi_round")),
        ("visit", input("url")),
        ("prompt_input", get("test_input_required_result_prompt", json!({}))),
        ("updated", json!({"do": "watch", "uri": "test://watched-resource", "call": "test_trigger_update"})),
        ("tools_changed", watch("tools", "test_trigger_tool_change")),
        ("prompts_changed", watch("prompts", "test_trigger_prompt_change")),
        ("resources_changed", watch("resources", "test_trigger_resource_change")),
        ("progress", call("test_tool_with_progress")),
        ("cancelled_before", call("test_cancellations")),
        ("cancel", json!({"do": "call", "name": "test_wait", "arguments": {"ms": 20000}, "cancel_ms": 500})),
        ("cancelled_after", call("test_cancellations")),
        ("pushed", json!({"do": "call", "name": "test_elicitation", "arguments": {"message": "Who?"}})),
    ]
}

/// The steps at npm's server-everything.
fn npm_steps() -> Vec<(&'static str, Value)> {
    let argument = json!({"name": "department", "value": "Eng"});
    let reference = json!({"type": "ref/prompt", "name": "completable-prompt"});
    let long = json!({"duration": 0.4, "steps": 4});
    let prompt = json!({"city": "Bern"});
    vec![
        ("resources", json!({"do": "list", "what": "resources"})),
        ("templates", json!({"do": "list", "what": "templates"})),
        ("prompts", json!({"do": "list", "what": "prompts"})),
        ("read", json!({"do": "read", "uri": "demo://resource/static/document/architecture.md"})),
        ("read_template", json!({"do": "read", "uri": "demo://resource/dynamic/text/7"})),
        ("get", json!({"do": "get", "name": "args-prompt", "arguments": prompt})),
        ("complete", json!({"do": "complete", "ref": reference, "argument": argument})),
        ("elicitation", call("trigger-elicitation-request")),
        ("sampling", json!({"do": "call", "name": "trigger-sampling-request", "arguments": {"prompt": "Where?"}})),
        ("roots", call("get-roots-list")),
        ("progress", json!({"do": "call", "name": "trigger-long-running-operation", "arguments": long})),
    ]
}

fn is_npm(upstream: Upstream) -> bool {
    matches!(upstream, Upstream::NpmStdio | Upstream::NpmHttp | Upstream::NpmSse)
}

fn steps(upstream: Upstream) -> Vec<(&'static str, Value)> {
    if is_npm(upstream) { npm_steps() } else { fixture_steps() }
}

/// The server's table, and the process where the gate does not start it itself.
fn table(upstream: Upstream) -> (String, Option<Server>) {
    let served = |server: Server| (format!("url = \"{}\"\n", server.url), Some(server));
    let started = |words: &[String]| {
        let node = node();
        (format!("command = {}\nargs = {}\n", json!(node.to_str()), json!(words)), None)
    };
    let fixture = tests().join("fixtures/everything.mjs").to_str().unwrap().to_owned();
    let stdio = |era: &str| started(&[fixture.as_str(), "--stdio", "--page", "3", "--era", era].map(str::to_owned));
    match upstream {
        Upstream::Modern => served(Server::everything("modern")),
        Upstream::Legacy => served(Server::everything("legacy")),
        Upstream::Dual => served(Server::everything("dual")),
        Upstream::ModernStdio => stdio("modern"),
        Upstream::LegacyStdio => stdio("legacy"),
        Upstream::NpmStdio => started(&[npm_program("server-everything"), "stdio".to_owned()]),
        Upstream::NpmHttp => served(Server::npm_everything()),
        Upstream::NpmSse => served(Server::npm_everything_sse()),
    }
}

/// Every client in each era it has; one of each era where the server is another's, or on stdio.
fn clients(upstream: Upstream) -> &'static [(Driver, &'static str)] {
    const ALL: &[(Driver, &str)] = &[
        (Driver::PyModern, "modern"),
        (Driver::TsV1, "legacy"),
        (Driver::TsV2, "modern"),
        (Driver::TsV2, "legacy"),
        (Driver::PyModern, "legacy"),
        (Driver::PyLegacy, "legacy"),
    ];
    if matches!(upstream, Upstream::Modern | Upstream::Legacy | Upstream::Dual) { ALL } else { &ALL[..2] }
}

/// Starts the server and a gate, and drives every client.
fn cross(upstream: Upstream) -> Vec<Crossing> {
    let (table, server) = table(upstream);
    let home = Home::new(&format!("{ANYONE}[servers.peer]\n{table}{POLICY}"));
    let gate = home.start();
    eventually("the server is listed", LISTED, || Client::new(home.listen).tools().len() > 5);
    let all: Vec<Value> = steps(upstream).into_iter().map(|(_, step)| step).collect();
    let url = format!("http://{}/mcp/peer", home.listen);
    let job = |era: &str, answers: Value, steps: &[Value]| {
        let (key, url) = (Value::Null, &url);
        json!({"url": url, "key": key, "era": era, "answers": answers, "steps": steps})
    };
    let drive = |&(driver, era): &(Driver, &'static str)| Crossing {
        driver,
        era,
        upstream,
        report: driver.drive(&job(era, answers(), &all)),
        mute: driver.drive(&job(era, json!({}), &[input("elicitation"), input("sampling"), input("list_roots")])),
    };
    let crossings = clients(upstream).iter().map(drive).collect();
    gate.stop();
    drop(server);
    crossings
}

/// What [`cross`] found, run once for all rows.
fn crossings(upstream: Upstream) -> &'static [Crossing] {
    static FOUND: [OnceLock<Option<Vec<Crossing>>>; 8] = [const { OnceLock::new() }; 8];
    let found = FOUND[upstream as usize].get_or_init(|| catch_unwind(AssertUnwindSafe(|| cross(upstream))).ok());
    found.as_deref().unwrap_or_else(|| panic!("no client got through to {upstream:?}; the first row says why"))
}

/// One row: what holds for every client of an era at a server.
fn row(era: &str, upstream: Upstream, holds: fn(&Crossing) -> bool) {
    let of_era = crossings(upstream).iter().filter(|crossing| crossing.era == era);
    for crossing in of_era {
        let Crossing { driver, report, mute, .. } = crossing;
        assert!(holds(crossing), "{driver:?}: {:#}\nasked: {}\nmute: {mute:#}", report["steps"], report["asked"]);
    }
}

fn lists(crossing: &Crossing) -> bool {
    let expected = if is_npm(crossing.upstream) {
        ["demo://resource/static/document/architecture.md", "demo://resource/dynamic/text/{resourceId}", "args-prompt"]
    } else {
        ["test://static-text", "test://template/{id}/data", "test_prompt_with_arguments"]
    };
    crossing.names("resources", "uri").contains(&expected[0])
        && crossing.names("templates", "uriTemplate").contains(&expected[1])
        && crossing.names("prompts", "name").contains(&expected[2])
}

fn resources(crossing: &Crossing) -> bool {
    if is_npm(crossing.upstream) {
        let [document, dynamic] = ["read", "read_template"].map(|step| crossing.content(step)["text"].as_str());
        return document.is_some_and(|text| text.len() > 100) && dynamic.is_some_and(|text| text.contains('7'));
    }
    let data = crossing.content("read_template")["text"].as_str().unwrap_or_default();
    crossing.content("read")["text"] == "This is the content of the static text resource."
        && crossing.content("read_binary")["blob"].as_str().is_some_and(|blob| blob.starts_with("iVBORw0KGgo"))
        && serde_json::from_str(data).is_ok_and(|data: Value| data["id"] == "7")
}

/// An app's page, with what its host must know of it.
fn apps(crossing: &Crossing) -> bool {
    let page = crossing.content("read_app");
    page["mimeType"] == "text/html;profile=mcp-app" && page["_meta"]["ui"]["prefersBorder"] == true
}

/// The TypeScript SDK v2 turns the legacy code into the modern one itself.
fn unknown_resource(crossing: &Crossing) -> bool {
    let error = &crossing.step("read_unknown")["error"];
    let legacy = if crossing.driver == Driver::TsV2 { -32602 } else { -32002 };
    let code = if crossing.era == "modern" { -32602 } else { legacy };
    error["code"] == code && error["data"]["uri"] == "test://nonexistent"
}

fn prompts(crossing: &Crossing) -> bool {
    let text = &crossing.step("get")["result"]["messages"][0]["content"]["text"];
    if is_npm(crossing.upstream) {
        return text.as_str().is_some_and(|text| text.contains("Bern"));
    }
    *text == "Prompt with arguments: arg1='größer', arg2='b'" && crossing.step("get_unknown")["error"]["code"] == -32602
}

fn completion(crossing: &Crossing) -> bool {
    let values = |step: &str| crossing.step(step)["result"]["completion"]["values"].clone();
    if is_npm(crossing.upstream) {
        return values("complete") == json!(["Engineering"]);
    }
    values("complete") == json!(["paris", "park", "party"]) && values("complete_template") == json!(["test", "testing"])
}

fn elicitation(crossing: &Crossing) -> bool {
    if is_npm(crossing.upstream) {
        return crossing.step("elicitation")["result"].to_string().contains("Ada");
    }
    crossing.text("elicitation") == "Hello, Ada!"
        && crossing.was_asked("elicitation/create", "message", "What is your name?")
}

fn url_elicitation(crossing: &Crossing) -> bool {
    crossing.text("visit") == "visit: accept"
        && crossing.was_asked("elicitation/create", "url", "https://example.com/visit")
}

fn sampling(crossing: &Crossing) -> bool {
    crossing.step("sampling")["result"].to_string().contains("Paris")
        && crossing.was_asked("sampling/createMessage", "message", "")
}

fn roots(crossing: &Crossing) -> bool {
    crossing.step("roots")["result"].to_string().contains("file:///home/ada")
}

fn several_inputs(crossing: &Crossing) -> bool {
    crossing.text("several_at_once") == "Ada: Paris, 1 roots" && crossing.text("round_by_round") == "Ada likes blue"
}

fn prompt_input(crossing: &Crossing) -> bool {
    crossing.step("prompt_input")["result"]["messages"][0]["content"]["text"] == "Context: bridges"
}

/// A client that declared nothing is asked nothing, and the call ends in words or an error.
fn undeclared_capabilities(crossing: &Crossing) -> bool {
    let steps = crossing.mute["steps"].as_array().unwrap();
    let is_refused = |step: &Value| step["result"]["isError"] == true || step["error"]["code"].is_i64();
    steps.iter().all(is_refused) && crossing.mute["asked"] == json!([])
}

fn updates(crossing: &Crossing) -> bool {
    let told = crossing.step("updated");
    told["told"] == "notifications/resources/updated" && told["uri"] == "test://watched-resource"
}

fn list_changes(crossing: &Crossing) -> bool {
    ["tools", "prompts", "resources"]
        .iter()
        .all(|list| crossing.step(&format!("{list}_changed"))["told"] == format!("notifications/{list}/list_changed"))
}

fn progress(crossing: &Crossing) -> bool {
    let told = crossing.step("progress")["progress"].as_array();
    let steps: Vec<f64> = told.into_iter().flatten().filter_map(|step| step[0].as_f64()).collect();
    // The reference server sends its last step together with the answer; not every client waits to hear it.
    if is_npm(crossing.upstream) { steps.starts_with(&[1.0, 2.0, 3.0]) } else { steps == [0.0, 50.0, 100.0] }
}

fn cancellation(crossing: &Crossing) -> bool {
    let [before, after] = ["cancelled_before", "cancelled_after"].map(|step| crossing.text(step).parse::<u32>());
    crossing.step("cancel")["cancelled"] == true && after.is_ok_and(|after| Ok(after - 1) == before)
}

/// A push tool works over the leg of the client's own era, or over the bridge; a modern server's leg refuses it.
fn era_affinity(crossing: &Crossing) -> bool {
    match crossing.era {
        "legacy" => crossing.text("pushed").contains("action=accept"),
        _ => crossing.text("pushed").contains("not supported by the negotiated protocol version"),
    }
}

/// The tests of one feature, for clients of both eras at each of these servers.
macro_rules! rows {
    ($($feature:ident: $($name:ident $era:literal $upstream:ident),+;)+) => {$(
        mod $feature {
            use super::{Upstream, row};
            $(#[test]
            fn $name() {
                row($era, Upstream::$upstream, super::$feature);
            })+
        }
    )+};
}

macro_rules! everywhere {
    ($($feature:ident),+ $(,)?) => {
        rows! {$($feature:
            modern_to_modern "modern" Modern,
            modern_to_legacy "modern" Legacy,
            legacy_to_modern "legacy" Modern,
            legacy_to_legacy "legacy" Legacy,
            modern_to_modern_stdio "modern" ModernStdio,
            modern_to_legacy_stdio "modern" LegacyStdio,
            legacy_to_modern_stdio "legacy" ModernStdio,
            legacy_to_legacy_stdio "legacy" LegacyStdio;
        )+}
    };
}

everywhere! {
    lists, resources, apps, unknown_resource, prompts, completion, elicitation, url_elicitation, sampling, roots,
    several_inputs, prompt_input, undeclared_capabilities, updates, list_changes, progress, cancellation,
}

rows! {
    era_affinity: modern_to_dual "modern" Dual, legacy_to_dual "legacy" Dual;
}

/// The reference server over each transport it has.
mod server_everything {
    use super::{Upstream, completion, elicitation, lists, progress, prompts, resources, row, sampling};

    fn crosses(upstream: Upstream) {
        for era in ["modern", "legacy"] {
            // It asks for roots when a session begins and not during a call, so no client can be meant.
            for holds in [lists, resources, prompts, completion, sampling, progress] {
                row(era, upstream, holds);
            }
            // 2024-11-05 has no elicitation.
            if !matches!(upstream, Upstream::NpmSse) {
                row(era, upstream, elicitation);
            }
        }
    }

    #[test]
    fn crosses_on_stdio() {
        crosses(Upstream::NpmStdio);
    }

    #[test]
    fn crosses_on_streamable_http() {
        crosses(Upstream::NpmHttp);
    }

    #[test]
    fn crosses_on_http_with_sse() {
        crosses(Upstream::NpmSse);
    }
}
