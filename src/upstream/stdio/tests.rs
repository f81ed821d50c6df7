//! Stdio servers against real processes: `tests/fixtures/upstream/fake_stdio.py` in each of its moods.

use super::server::StdioServer;
use crate::base::clock::Clock;
use crate::base::error::{Kind, Result, Retry};
use crate::base::ids::KeyId;
use crate::base::limits::STDIO_LINE_MAX;
use crate::catalog::ListKind;
use crate::mcp::caps::ClientCaps;
use crate::mcp::revision::Era;
use crate::rt::{task, time};
use crate::upstream::answer::{CallMeta, Outcome, ScopeKey, UpstreamCall};
use crate::upstream::fixture::{call, event, on_shard, text, wiring};
use crate::upstream::leg::Verdict;
use crate::upstream::said::{EventKind, Sink, relay};
use crate::upstream::spec::{EraSetting, Processes, Scope, ServerSpec, StdioSpec, TransportSpec};
use crate::upstream::wiring::{Transport, Wiring};
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::Duration;

fn spec(mood: &str) -> ServerSpec {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/upstream/fake_stdio.py");
    let stdio = StdioSpec {
        command: "python3".into(),
        args: vec!["-u".into(), script.into(), mood.into()],
        env: vec![("GREETING".into(), "hello".into())],
        cwd: None,
    };
    let mut spec = ServerSpec::new("fake", TransportSpec::Stdio(stdio));
    // A slow machine must not turn an answered probe into an unanswered one.
    spec.probe_timeout = Duration::from_secs(10);
    spec
}

fn server(spec: ServerSpec) -> (StdioServer, Rc<Wiring>) {
    let wiring = wiring(spec);
    (StdioServer::new(wiring.clone(), 1), wiring)
}

async fn answered(server: &StdioServer, tool: &str, arguments: &str) -> Result<String> {
    server.call(&call(tool, arguments), &Sink::nowhere()).await.map(|answer| text(&answer))
}

/// Whether a process still runs; zombies do not count.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

async fn gone(pid: &str) -> bool {
    for _ in 0..500 {
        if !runs(pid) {
            return true;
        }
        time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[test]
fn each_era_is_found_out_and_called() {
    let moods = [("legacy", Era::Legacy), ("modern", Era::Modern), ("dual", Era::Modern)];
    for (mood, era) in moods.into_iter().chain([("exits", Era::Legacy), ("noisy", Era::Legacy)]) {
        on_shard(async {
            let (server, wiring) = server(spec(mood));
            let opened = server.open().await.expect(mood);
            assert_eq!((opened.verdict.era, opened.about.changes.tools), (era, true), "{mood}");
            assert_eq!(wiring.leg.era(), Some(era), "{mood}");
            let echoed = answered(&server, "echo", "{\"a\":\n[1,\r\n2]}").await.expect(mood);
            assert!(echoed.contains(r#""arguments": {"a": [1, 2]}"#), "{mood}: {echoed}");
            assert_eq!(echoed.contains("protocolVersion"), era == Era::Modern, "{echoed}");
            server.close().await;
        });
    }
}

#[test]
fn a_probe_that_nobody_answers_means_legacy_and_is_remembered() {
    on_shard(async {
        let mut spec = spec("silent");
        spec.probe_timeout = Duration::from_millis(300);
        let (server, wiring) = server(spec);
        assert_eq!(
            server.open().await.expect("initialize works").verdict,
            Verdict { era: Era::Legacy, stateful: true, dual: Some(false) }
        );
        assert_eq!(wiring.leg.era(), Some(Era::Legacy));
        server.close().await;
    });
}

#[test]
fn a_wrong_era_setting_is_told_and_a_right_one_spares_the_probe() {
    on_shard(async {
        let (wrong, _) = server(ServerSpec { era: EraSetting::Modern, ..spec("legacy") });
        assert_eq!(wrong.open().await.expect_err("no modern server").kind, Kind::BadAnswer);
        let (right, _) = server(ServerSpec { era: EraSetting::Legacy, ..spec("dual") });
        assert_eq!(right.open().await.expect("its legacy leg").verdict.era, Era::Legacy);
        right.close().await;
    });
}

#[test]
fn progress_comes_before_the_answer_and_keeps_the_call_alive() {
    on_shard(async {
        let (server, _) = server(ServerSpec { call_timeout: Duration::from_millis(700), ..spec("legacy") });
        server.open().await.expect("starts");
        let (sink, mut relay) = relay();
        let mut call = call("progress", r#"{"pause":0.4}"#);
        call.meta = CallMeta { progress: true, ..CallMeta::default() };
        let answer = server.call(&call, &sink).await.expect("1.2 s in steps of 0.4 s");
        assert_eq!(text(&answer), "done");
        for step in 0..3 {
            let event = event(relay.try_next().expect("three events"));
            assert_eq!(event.kind, EventKind::Progress);
            let params = String::from_utf8_lossy(&event.params).into_owned();
            assert!(params.contains(&format!("\"progress\": {step}")), "{params}");
        }
        assert!(relay.try_next().is_none());
        server.close().await;
    });
}

#[test]
fn a_call_given_up_is_cancelled_at_the_server() {
    on_shard(async {
        let (server, _) = server(ServerSpec { call_timeout: Duration::from_millis(400), ..spec("modern") });
        server.open().await.expect("starts");
        let late = answered(&server, "slow", "{}").await.expect_err("no answer in time");
        assert_eq!((late.kind, late.retry), (Kind::Timeout, Retry::Unsafe));
        let dropped = time::timeout(Duration::from_millis(50), answered(&server, "slow", "{}")).await;
        assert!(dropped.is_err());
        let (sink, relay) = relay();
        drop(relay);
        let mut unread = call("progress", "{}");
        unread.meta.progress = true;
        assert_eq!(server.call(&unread, &sink).await.expect_err("nobody reads").kind, Kind::Overloaded);
        let told = answered(&server, "cancelled", "{}").await.expect("still there");
        let ids: Vec<u64> = serde_json::from_str(&told).expect("a list");
        assert_eq!(ids.len(), 3, "{told}");
        server.close().await;
    });
}

#[test]
fn a_death_fails_the_calls_in_flight_at_once_and_the_next_call_finds_a_new_process() {
    on_shard(async {
        let (server, _) = server(spec("legacy"));
        let server = Rc::new(server);
        server.open().await.expect("starts");
        let other = server.clone();
        let bystander = task::spawn(async move { answered(&other, "slow", "{}").await });
        time::sleep(Duration::from_millis(50)).await;
        let death = answered(&server, "die", "{}").await.expect_err("it died");
        assert_eq!((death.kind, death.retry), (Kind::Unreachable, Retry::Unsafe));
        assert!(death.context.contains("exit status: 7"), "{death}");
        assert_eq!(bystander.await.expect_err("it died too").kind, Kind::Unreachable);
        assert!(answered(&server, "echo", "{}").await.expect("the first restart is at once").contains("arguments"));
        server.close().await;
    });
}

#[test]
fn a_server_that_keeps_dying_is_not_started_for_each_call() {
    on_shard(async {
        let (server, wiring) = server(spec("crash"));
        let first = server.open().await.expect_err("it crashes");
        assert!(first.context.contains("exit status: 3"), "{first}");
        assert_eq!(wiring.leg.era(), None, "a crash is no evidence");
        assert!(server.open().await.is_err());
        let later = server.open().await.expect_err("not even started");
        assert_eq!((later.kind, later.retry), (Kind::Unreachable, Retry::Safe));
        assert!(later.context.contains("next start"), "{later}");
    });
}

#[test]
fn what_cannot_be_started_says_what_to_check() {
    on_shard(async {
        let stdio = StdioSpec { command: "/no/such/program".into(), args: vec![], env: vec![], cwd: None };
        let (server, _) = server(ServerSpec::new("fake", TransportSpec::Stdio(stdio)));
        let error = server.open().await.expect_err("no such program");
        assert_eq!(error.kind, Kind::Unreachable);
        assert!(error.context.contains("/no/such/program") && error.context.contains("`command`"), "{error}");
    });
}

#[test]
fn a_line_without_end_ends_the_process_in_bounded_memory() {
    on_shard(async {
        let (server, _) = server(spec("legacy"));
        server.open().await.expect("starts");
        let error = answered(&server, "flood", "{}").await.expect_err("too long");
        assert_eq!(error.kind, Kind::BadAnswer);
        assert!(error.context.contains(&STDIO_LINE_MAX.to_string()), "{error}");
        assert!(answered(&server, "echo", "{}").await.is_ok(), "a new process");
        server.close().await;
    });
}

#[test]
fn a_storm_of_output_leaves_the_shard_its_time() {
    on_shard(async {
        let (server, _) = server(spec("legacy"));
        let server = Rc::new(server);
        server.open().await.expect("starts");
        let other = server.clone();
        let storm = task::spawn(async move { answered(&other, "storm", "{}").await });
        let mut longest = Duration::ZERO;
        while !storm.is_finished() {
            let before = Clock::now();
            time::sleep(Duration::from_millis(1)).await;
            longest = longest.max(Clock::now().since(before));
        }
        assert_eq!(storm.await.expect("it ends"), "calm");
        assert!(longest < Duration::from_millis(500), "a tick took {longest:?}");
        server.close().await;
    });
}

#[test]
fn the_servers_own_requests_are_answered() {
    on_shard(async {
        let (server, _) = server(spec("legacy"));
        server.open().await.expect("starts");
        let replies = answered(&server, "ask", "{}").await.expect("answered");
        assert!(replies.contains(r#""id": "ping-1", "result": {}"#) && replies.contains("-32601"), "{replies}");
        server.close().await;
    });
}

#[test]
fn pages_are_listed_and_a_change_is_heard() {
    on_shard(async {
        for mood in ["pages", "modern"] {
            let (server, wiring) = server(spec(mood));
            let server = Rc::new(server);
            let opened = server.open().await.expect("starts");
            let Outcome::Result(page) = server.list(ListKind::Tools, None).await.expect("first page") else {
                panic!("refused")
            };
            assert_eq!(page.windows(12).any(|part| part == b"\"nextCursor\""), mood == "pages");
            let other = server.clone();
            let watch = task::spawn(async move { other.watch(&opened.about).await });
            time::sleep(Duration::from_millis(50)).await;
            answered(&server, "change", "{}").await.expect("changed");
            let heard = time::timeout(Duration::from_secs(5), wiring.list_changed.notified()).await;
            assert!(heard.is_ok() && !watch.is_finished(), "{mood}");
            assert!(answered(&server, "die", "{}").await.is_err());
            assert!(time::timeout(Duration::from_secs(5), watch).await.expect("the watch ends").is_err());
            server.close().await;
        }
    });
}

#[test]
fn a_log_line_reaches_the_only_call_while_changes_are_listened_for() {
    on_shard(async {
        let (server, _) = server(spec("modern"));
        let server = Rc::new(server);
        let opened = server.open().await.expect("starts");
        let other = server.clone();
        let watch = task::spawn(async move { other.watch(&opened.about).await });
        time::sleep(Duration::from_millis(50)).await;
        let (sink, mut relay) = relay();
        server.call(&call("log", "{}"), &sink).await.expect("logged");
        assert_eq!(relay.try_next().map(|said| event(said).kind), Some(EventKind::Log));
        assert!(!watch.is_finished());
        server.close().await;
    });
}

#[test]
fn each_scope_has_its_process_and_closing_ends_them_all() {
    on_shard(async {
        let (server, _) = server(ServerSpec { scope: Scope::PerKey, ..spec("deaf") });
        let pid_of = async |key: &str| {
            let call = UpstreamCall { scope: ScopeKey::Key(KeyId::parse(key).expect("an id")), ..call("pid", "{}") };
            server.call(&call, &Sink::nowhere()).await.map(|answer| text(&answer)).expect(key)
        };
        let (one, two, again) = (pid_of("one").await, pid_of("two").await, pid_of("one").await);
        assert_eq!(one, again);
        assert_ne!(one, two);
        let grandchild = answered(&server, "grandchild", "{}").await.expect("forks");
        assert!(runs(&one) && runs(&two) && runs(&grandchild));
        server.close().await;
        for pid in [one, two, grandchild] {
            assert!(gone(&pid).await, "process {pid} was left behind");
        }
    });
}

#[test]
fn each_set_of_capabilities_has_its_process_which_is_told_just_that() {
    on_shard(async {
        for (mood, processes, count) in [
            ("legacy", Processes::PerCapabilities, 2),
            ("legacy", Processes::PerScope, 1),
            ("modern", Processes::PerCapabilities, 1),
        ] {
            let (server, _) = server(ServerSpec { processes, ..spec(mood) });
            server.open().await.expect("starts");
            let mut pids = std::collections::BTreeSet::new();
            let asks = ClientCaps::ELICITATION | ClientCaps::ELICITATION_URL;
            // Sampling is barred by policy, and an interface is nothing that a server asks for.
            for (caps, told) in [
                (asks, json!({"elicitation": {"form": {}, "url": {}}})),
                (asks | ClientCaps::SAMPLING, json!({"elicitation": {"form": {}, "url": {}}})),
                (0, json!({})),
                (ClientCaps::SAMPLING, json!({})),
            ] {
                let said = async |tool: &'static str| {
                    let call = UpstreamCall { caps: ClientCaps(caps), ..call(tool, "{}") };
                    server.call(&call, &Sink::nowhere()).await.map(|answer| text(&answer)).expect(tool)
                };
                pids.insert(said("pid").await);
                let said = said("declared").await;
                if count == 2 {
                    assert_eq!(serde_json::from_str::<Value>(&said).expect("JSON"), told, "{caps:b}");
                }
            }
            assert_eq!(pids.len(), count, "{mood} {processes:?}");
            server.close().await;
        }
    });
}

#[test]
fn a_child_gets_its_own_environment_only() {
    on_shard(async {
        let (server, _) = server(spec("legacy"));
        let env = answered(&server, "env", "{}").await.expect("answered");
        let env: std::collections::HashMap<String, String> = serde_json::from_str(&env).expect("an object");
        assert_eq!(env.get("GREETING").map(String::as_str), Some("hello"));
        assert!(!env.contains_key("CARGO_MANIFEST_DIR"), "the gate's own environment stays with the gate");
        server.close().await;
    });
}

#[test]
fn a_server_that_answers_nothing_times_out() {
    on_shard(async {
        let short = Duration::from_millis(200);
        let (server, _) = server(ServerSpec { probe_timeout: short, call_timeout: short, ..spec("hang") });
        assert_eq!(server.open().await.expect_err("nothing").kind, Kind::Timeout);
    });
}
