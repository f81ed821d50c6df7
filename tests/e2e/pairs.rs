//! Every official client against every server, through the gate and without it: the results must be equal.

use crate::gate::{ANYONE, Home, eventually};
use crate::mcp::{Client, essence};
use crate::peers::{Driver, Server, installed, job, node, npm_program};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long a server may take to be listed; Python and Node start slowly on a busy machine.
/// Connections that surely reach every shard.
const SPREAD: usize = 16;
const LISTED: Duration = Duration::from_secs(60);

/// How a server is reached.
enum Target {
    Url(String),
    Command { words: Vec<String>, env: Vec<(&'static str, String)> },
}

/// One server behind the gate.
struct Upstream {
    name: &'static str,
    /// It has a modern leg only, so only a modern client can be asked for the direct result.
    is_modern_only: bool,
    target: Target,
    calls: Vec<(&'static str, Value)>,
    /// The process, where the gate does not start it itself.
    _process: Option<Server>,
}

impl Upstream {
    /// Its table in the configuration.
    fn config(&self) -> String {
        let mut text = format!("[servers.{}]\n", self.name);
        match &self.target {
            Target::Url(url) => writeln!(text, "url = {}", json!(url)).unwrap(),
            Target::Command { words, env } => {
                writeln!(text, "command = {}\nargs = {}", json!(words[0]), json!(words[1..])).unwrap();
                let env: Vec<String> = env.iter().map(|(name, value)| format!("{name} = {}", json!(value))).collect();
                writeln!(text, "env = {{ {} }}", env.join(", ")).unwrap();
            }
        }
        text
    }

    /// Its calls under the names of the gate, or its own.
    fn jobs(&self, prefix: &str) -> Vec<Value> {
        let call =
            |(tool, arguments): &(&str, Value)| json!({"name": format!("{prefix}{tool}"), "arguments": arguments});
        self.calls.iter().map(call).collect()
    }

    /// What it answers without the gate.
    fn direct(&self) -> Value {
        let is_older = matches!(&self.target, Target::Url(url) if url.ends_with("/sse"));
        let (driver, era) = match (self.is_modern_only, is_older) {
            (true, _) => (Driver::TsV2, "modern"),
            (false, true) => (Driver::TsV1, "sse"),
            (false, false) => (Driver::TsV1, "legacy"),
        };
        let mut work = match &self.target {
            Target::Url(url) => job(url, None, era, &self.jobs("")),
            Target::Command { words, env } => {
                let mut env: BTreeMap<_, _> = env.iter().map(|(name, value)| (*name, value.clone())).collect();
                env.insert("PATH", std::env::var("PATH").unwrap());
                json!({"command": words, "env": env, "era": era, "calls": self.jobs("")})
            }
        };
        work["key"] = Value::Null;
        driver.drive(&work)
    }
}

fn script(name: &str, more: &[&str]) -> Vec<String> {
    let mut words = vec![node().to_str().unwrap().to_owned(), npm_program(name)];
    words.extend(more.iter().map(|word| (*word).to_owned()));
    words
}

fn python(program: &str, more: &[&str]) -> Vec<String> {
    let program = installed("modern/bin").join(program);
    let mut words = vec![program.to_str().unwrap().to_owned()];
    words.extend(more.iter().map(|word| (*word).to_owned()));
    words
}

fn everything_calls() -> Vec<(&'static str, Value)> {
    vec![
        ("echo", json!({"message": "größer \u{1f600}"})),
        ("get-sum", json!({"a": 2, "b": 40})),
        ("get-sum", json!({"a": "not a number"})),
        ("get-tiny-image", json!({})),
        ("get-structured-content", json!({"location": "New York"})),
        ("get-annotated-message", json!({"messageType": "error", "includeImage": true})),
    ]
}

/// Files, a graph and a repository for the servers that work on some.
fn prepare(folder: &Path) {
    std::fs::create_dir_all(folder.join("files/inner")).unwrap();
    std::fs::write(folder.join("files/words.txt"), "eins\nzwei\ndrei größer\n").unwrap();
    std::fs::write(folder.join("files/picture.png"), b"\x89PNG\r\n\x1a\n not really").unwrap();
    let entity = json!({"type": "entity", "name": "Gate", "entityType": "thing", "observations": ["it opens"]});
    std::fs::write(folder.join("memory.jsonl"), format!("{entity}\n")).unwrap();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(arguments);
        command.env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z").env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z");
        assert!(command.current_dir(folder).status().unwrap().success(), "git {arguments:?}");
    };
    git(&["init", "-q", "-b", "main", "repository"]);
    std::fs::write(folder.join("repository/a.txt"), "a\n").unwrap();
    git(&["-C", "repository", "add", "a.txt"]);
    git(&["-C", "repository", "commit", "-q", "-m", "First"]);
}

fn stdio_upstreams(folder: &Path) -> Vec<Upstream> {
    let files = folder.join("files").to_str().unwrap().to_owned();
    let at = |name: &str| json!({"path": format!("{files}/{name}")});
    let repository = folder.join("repository").to_str().unwrap().to_owned();
    let memory = folder.join("memory.jsonl").to_str().unwrap().to_owned();
    let child = |name, words, env, calls| Upstream {
        name,
        is_modern_only: false,
        target: Target::Command { words, env },
        calls,
        _process: None,
    };
    vec![
        child("everything", script("server-everything", &["stdio"]), vec![], everything_calls()),
        child(
            "files",
            script("server-filesystem", &[&files]),
            vec![],
            vec![
                ("list_directory", at("")),
                ("read_text_file", at("words.txt")),
                ("read_text_file", at("missing.txt")),
                ("read_media_file", at("picture.png")),
                ("directory_tree", at("")),
            ],
        ),
        child(
            "memory",
            script("server-memory", &[]),
            vec![("MEMORY_FILE_PATH", memory)],
            vec![("read_graph", json!({})), ("search_nodes", json!({"query": "gate"}))],
        ),
        child(
            "git",
            python("mcp-server-git", &["--repository", &repository]),
            vec![],
            vec![
                ("git_log", json!({"repo_path": repository, "max_count": 1})),
                ("git_status", json!({"repo_path": repository})),
            ],
        ),
        child(
            "time",
            python("mcp-server-time", &[]),
            vec![],
            vec![
                ("convert_time", json!({"source_timezone": "UTC", "time": "12:30", "target_timezone": "Asia/Tokyo"})),
                ("convert_time", json!({"source_timezone": "Nowhere", "time": "12:30", "target_timezone": "UTC"})),
            ],
        ),
    ]
}

fn http_upstreams() -> Vec<Upstream> {
    let served = |name, is_modern_only, process: Server, calls| Upstream {
        name,
        is_modern_only,
        target: Target::Url(process.url.clone()),
        calls,
        _process: Some(process),
    };
    vec![
        served("everything-http", false, Server::npm_everything(), everything_calls()),
        served("everything-sse", false, Server::npm_everything_sse(), everything_calls()),
        served(
            "fixture",
            false,
            Server::everything("dual"),
            vec![
                ("test_simple_text", json!({})),
                ("test_image_content", json!({})),
                ("test_audio_content", json!({})),
                ("test_embedded_resource", json!({})),
                ("test_multiple_content_types", json!({})),
                ("test_structured_content", json!({"a": 1.5, "b": 2})),
                ("test_error_handling", json!({})),
                ("test_tool_with_progress", json!({})),
                ("test_x_mcp_header", json!({"region": "Zürich "})),
            ],
        ),
        served(
            "ts-modern",
            true,
            Server::ts_modern(),
            vec![("add", json!({"a": 1, "b": 2})), ("picture", json!({})), ("fail", json!({}))],
        ),
        served(
            "py-server",
            false,
            Server::py_server(),
            vec![
                ("divide", json!({"a": 1, "b": 2})),
                ("divide", json!({"a": 1, "b": 0})),
                ("picture", json!({})),
                ("describe", json!({"name": "x", "tags": ["a", "b"]})),
            ],
        ),
    ]
}

/// The clients in each era they have.
const CLIENTS: &[(Driver, &str)] = &[
    (Driver::PyModern, "auto"),
    (Driver::PyModern, "legacy"),
    (Driver::PyLegacy, "legacy"),
    (Driver::PyLegacy, "sse"),
    (Driver::TsV2, "auto"),
    (Driver::TsV2, "modern"),
    (Driver::TsV2, "legacy"),
    (Driver::TsV1, "legacy"),
    (Driver::TsV1, "sse"),
    (Driver::Inspector, "modern"),
    (Driver::Inspector, "legacy"),
];

/// The parts of a definition that a client sees whatever its SDK.
fn definition(tool: &Value) -> Value {
    let keys = ["title", "description", "inputSchema", "outputSchema"];
    keys.iter().map(|key| ((*key).to_owned(), tool.get(*key).cloned().unwrap_or(Value::Null))).collect()
}

fn named<'a>(report: &'a Value, name: &str) -> Option<&'a Value> {
    report["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == name)
}

/// What is not equal between one server's direct report and the same calls through the gate.
fn differences(driver: Driver, upstream: &Upstream, direct: &Value, gate: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for tool in direct["tools"].as_array().unwrap() {
        let name = format!("{}__{}", upstream.name, tool["name"].as_str().unwrap());
        match named(gate, &name) {
            None => found.push(format!("{name} is not listed")),
            Some(listed) if definition(listed) != definition(tool) => {
                found.push(format!("{name}: listed as {}, not {}", definition(listed), definition(tool)));
            }
            Some(_) => {}
        }
    }
    let answers = direct["results"].as_array().unwrap();
    let prefix = format!("{}__", upstream.name);
    let is_own = |answer: &&Value| answer["name"].as_str().unwrap().starts_with(&prefix);
    let through: Vec<&Value> = gate["results"].as_array().unwrap().iter().filter(is_own).collect();
    if through.len() != calls(driver, std::slice::from_ref(upstream)).len() {
        found.push(format!("{} calls of {} answered", through.len(), upstream.name));
    }
    for (wanted, got) in answers.iter().zip(through) {
        if format!("{prefix}{}", wanted["name"].as_str().unwrap()) != got["name"] {
            found.push(format!("{} stands for {}", got["name"], wanted["name"]));
        }
        let is_equal = match (wanted.get("result"), got.get("result")) {
            (Some(wanted), Some(got)) => essence(wanted) == essence(got),
            (None, None) => wanted["error"]["code"] == got["error"]["code"],
            _ => false,
        };
        if !is_equal {
            found.push(format!("{}: {got}, directly: {wanted}", got["name"]));
        }
    }
    found
}

/// The calls that one client makes: all, or one of each server where each costs a process.
fn calls(driver: Driver, upstreams: &[Upstream]) -> Vec<Value> {
    let mut calls = Vec::new();
    for upstream in upstreams {
        let mut jobs = upstream.jobs(&format!("{}__", upstream.name));
        if driver == Driver::Inspector {
            jobs.truncate(1);
        }
        calls.append(&mut jobs);
    }
    calls
}

#[test]
fn every_client_gets_from_every_server_what_it_would_get_directly() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let mut upstreams = stdio_upstreams(folder.path());
    upstreams.extend(http_upstreams());
    let config: String = upstreams.iter().map(Upstream::config).collect();
    let home = Home::new(&format!("{ANYONE}{config}"));
    let directs: Vec<Value> = upstreams.iter().map(Upstream::direct).collect();
    let gate = home.start();
    let expected: usize = directs.iter().map(|direct| direct["tools"].as_array().unwrap().len()).sum();
    let client = Client::new(home.listen);
    // Each connection may reach another shard, and each shard hears of a list for itself.
    let is_listed = || (0..SPREAD).all(|_| client.tools().len() >= expected);
    eventually(&format!("{expected} tools are listed"), LISTED, is_listed);

    let mut failures = Vec::new();
    let (mut pairs, mut compared) = (0, 0);
    for (driver, era) in CLIENTS {
        let path = if *era == "sse" { "sse" } else { "mcp" };
        let url = format!("http://{}/{path}", home.listen);
        let report = driver.drive(&job(&url, None, era, &calls(*driver, &upstreams)));
        for (upstream, direct) in upstreams.iter().zip(&directs) {
            let found = differences(*driver, upstream, direct, &report);
            pairs += 1;
            compared += calls(*driver, std::slice::from_ref(upstream)).len();
            println!("{driver:?} ({era}) × {}: {} differences", upstream.name, found.len());
            failures.extend(found.into_iter().map(|what| format!("{driver:?} ({era}): {what}")));
        }
        failures.extend(progress_failures(*driver, era, &report));
    }
    println!("{pairs} pairs of client and server, {} calls compared, {} differences", compared, failures.len());
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
    gate.stop();
}

/// Progress is told on the way, in order, to clients that asked for it.
fn progress_failures(driver: Driver, era: &str, report: &Value) -> Option<String> {
    let results = report["results"].as_array().unwrap();
    let answer = results.iter().find(|answer| answer["name"] == "fixture__test_tool_with_progress")?;
    let steps: Vec<f64> = answer["progress"].as_array()?.iter().filter_map(|step| step[0].as_f64()).collect();
    (driver != Driver::Inspector && steps != [0.0, 50.0, 100.0])
        .then(|| format!("{driver:?} ({era}): progress {steps:?}"))
}
