//! All servers of a shard together: started, listed, called, changed and stopped.

use crate::base::error::{Kind, Retry};
use crate::base::ids::KeyId;
use crate::base::limits::LIST_DEBOUNCE_MS;
use crate::catalog::{HeaderKind, HeaderParam, ListKind};
use crate::mcp::revision::Era;
use crate::rt::net::TcpListener;
use crate::rt::{task, time};
use crate::upstream::answer::{Outcome, ScopeKey, UpstreamCall};
use crate::upstream::discover::{News, Report};
use crate::upstream::fixture::http::{Act, Fake, Seen, Step};
use crate::upstream::fixture::{call, on_shard, text};
use crate::upstream::leg::Verdict;
use crate::upstream::operation::Operation;
use crate::upstream::said::Sink;
use crate::upstream::spec::{EraSetting, HttpSpec, Scope, ServerSpec, StdioSpec, TransportSpec};
use crate::upstream::upstreams::{Placement, Upstreams, home_number, placement, scope_key};
use crate::wire::http::Client;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A shard's servers, and what they reported.
struct Shard {
    upstreams: Upstreams,
    reports: Rc<RefCell<Vec<Report>>>,
}

impl Shard {
    fn new() -> Self {
        let reports: Rc<RefCell<Vec<Report>>> = Rc::default();
        let taken = reports.clone();
        Self {
            upstreams: Upstreams::new(Client::new(), move |report| taken.borrow_mut().push(report), |_, _| ()),
            reports,
        }
    }

    /// The names of a server's tools, as often as it was listed.
    fn lists(&self, server: &str) -> Vec<Vec<String>> {
        let names = |report: &Report| match &report.news {
            News::Listed { list, .. } if *report.server == *server => Some(list.tools.iter().map(name).collect()),
            _ => None,
        };
        self.reports.borrow().iter().filter_map(names).collect()
    }

    fn was_down(&self, server: &str) -> bool {
        let is_down = |report: &Report| *report.server == *server && matches!(report.news, News::Down(_));
        self.reports.borrow().iter().any(is_down)
    }

    async fn until(&self, happened: impl Fn(&Self) -> bool) {
        for _ in 0..1000 {
            if happened(self) {
                return;
            }
            time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it did not happen; reported: {:?}", self.reports.borrow());
    }

    async fn text(&self, server: &str, tool: &str) -> String {
        text(&self.upstreams.call(server, &call(tool, "{}"), &Sink::nowhere()).await.expect(tool))
    }
}

fn name(tool: &bytes::Bytes) -> String {
    serde_json::from_slice::<Value>(tool).expect("JSON")["name"].as_str().expect("a name").to_owned()
}

fn http(name: &str, url: &str) -> Arc<ServerSpec> {
    let http = HttpSpec { url: url.into(), headers: vec![], ca_file: None, oauth: None };
    Arc::new(ServerSpec::new(name, TransportSpec::Http(http)))
}

fn stdio(name: &str, mood: &str) -> ServerSpec {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/upstream/fake_stdio.py");
    let args = vec!["-u".into(), script.into(), mood.into()];
    let mut spec = ServerSpec::new(
        name,
        TransportSpec::Stdio(StdioSpec { command: "python3".into(), args, env: vec![], cwd: None }),
    );
    spec.probe_timeout = Duration::from_secs(10);
    spec
}

fn tools(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "inputSchema": {"type": "object"}})).collect()
}

fn discovered(seen: &Seen) -> Act {
    seen.result(json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": true}}}))
}

/// A modern server of some tools.
fn modern(names: &'static [&'static str]) -> Fake {
    Fake::start(move |seen| match seen.method() {
        "server/discover" => discovered(seen),
        "tools/list" => seen.result(json!({"tools": tools(names)})),
        "tools/call" => seen.result(json!({"content": [{"type": "text", "text": "called"}]})),
        "subscriptions/listen" => Act::Stream(vec![Step::Hang]),
        _ => seen.error(404, -32601, Value::Null),
    })
}

/// What a listing said beside the tools: how many prompts, resources and templates there are, and which lists failed.
fn sides(shard: &Shard) -> Vec<(usize, usize, usize, Vec<ListKind>)> {
    let side = |report: &Report| match &report.news {
        News::Listed { list, failed, .. } => {
            Some((list.prompts.len(), list.resources.len(), list.templates.len(), failed.clone()))
        }
        News::Down(_) | News::Learned(_) | News::Refused(_) => None,
    };
    shard.reports.borrow().iter().filter_map(side).collect()
}

#[test]
fn a_list_that_fails_costs_the_others_nothing() {
    on_shard(async {
        let fake = Fake::start(|seen| match (seen.method(), seen.body["params"]["cursor"].as_str()) {
            ("server/discover", _) => {
                let capabilities = json!({"tools": {}, "prompts": {}, "resources": {"listChanged": true}});
                seen.result(json!({"supportedVersions": ["2026-07-28"], "capabilities": capabilities}))
            }
            ("tools/list", _) => seen.result(json!({"tools": tools(&["a"])})),
            ("prompts/list", _) => seen.result(json!({"prompts": "none"})),
            ("resources/list", None) => seen.result(json!({"resources": [{"uri": "a:1"}], "nextCursor": "x"})),
            ("resources/list", _) => seen.result(json!({"resources": [{"uri": "a:2"}]})),
            ("subscriptions/listen", _) => {
                let change = json!({"jsonrpc": "2.0", "method": "notifications/resources/list_changed"});
                Act::Stream(vec![Step::Pause(100), Step::Event(change), Step::Hang])
            }
            _ => seen.error(404, -32601, Value::Null),
        });
        let shard = Shard::new();
        shard.upstreams.apply(&[http("one", &fake.url)], |_| true);
        shard.until(|shard| shard.lists("one").len() == 2).await;
        let expected = (0, 2, 0, vec![ListKind::Prompts]);
        assert_eq!(sides(&shard), [expected.clone(), expected], "templates that nobody knows are none; listed again");
        assert_eq!(shard.lists("one"), [["a"], ["a"]]);
        assert!(!shard.was_down("one"));
        let listened = fake.last("subscriptions/listen").body["params"]["notifications"].clone();
        assert_eq!(listened, json!({"resourcesListChanged": true}));
        shard.upstreams.close().await;
    });
}

#[test]
fn a_server_none_of_whose_lists_comes_is_down() {
    on_shard(async {
        let fake = Fake::start(|seen| match seen.method() {
            "server/discover" => {
                let capabilities = json!({"tools": {}, "prompts": {}});
                seen.result(json!({"supportedVersions": ["2026-07-28"], "capabilities": capabilities}))
            }
            _ => seen.error(200, -32603, Value::Null),
        });
        let shard = Shard::new();
        shard.upstreams.apply(&[http("one", &fake.url)], |_| true);
        shard.until(|shard| shard.was_down("one")).await;
        assert!(shard.lists("one").is_empty());
        shard.upstreams.close().await;
    });
}

#[test]
fn all_pages_are_listed_and_listed_again_when_the_server_says_so() {
    on_shard(async {
        let rounds = Rc::new(Cell::new(0));
        let count = rounds.clone();
        let fake = Fake::start(move |seen| match (seen.method(), seen.body["params"]["cursor"].as_str()) {
            ("server/discover", _) => discovered(seen),
            ("initialize", _) => seen.error(404, -32601, Value::Null),
            ("tools/list", None) => seen.result(json!({"tools": tools(&["a"]), "nextCursor": ""})),
            ("tools/list", Some("")) => seen.result(json!({"tools": tools(&["b"]), "nextCursor": "z"})),
            ("tools/list", Some(_)) => {
                count.set(count.get() + 1);
                seen.result(json!({"tools": tools(if count.get() > 1 { &["c", "d"] } else { &["c"] })}))
            }
            ("subscriptions/listen", _) => {
                let change = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
                let burst = (0..5).map(|_| Step::Event(change.clone()));
                Act::Stream([Step::Pause(100)].into_iter().chain(burst).chain([Step::Hang]).collect())
            }
            _ => Act::Hang,
        });
        let shard = Shard::new();
        shard.upstreams.apply(&[http("one", &fake.url)], |_| true);
        shard.until(|shard| shard.lists("one").len() == 2).await;
        assert_eq!(shard.lists("one"), [vec!["a", "b", "c"], vec!["a", "b", "c", "d"]]);
        time::sleep(Duration::from_millis(LIST_DEBOUNCE_MS * 3)).await;
        assert_eq!(rounds.get(), 2, "a burst of changes is one listing");
        shard.upstreams.close().await;
        fake.until(|fake| fake.abandoned.get() == 1).await;
    });
}

#[test]
fn lists_that_never_end_are_refused() {
    on_shard(async {
        let endless = Fake::start(|seen| {
            let page = seen.body["params"]["cursor"].as_str().map_or(0, |cursor| cursor.parse::<u32>().expect("ours"));
            match seen.method() {
                "server/discover" => discovered(seen),
                _ => seen.result(json!({"tools": tools(&["t"]), "nextCursor": (page + 1).to_string()})),
            }
        });
        let stuck = Fake::start(|seen| match seen.method() {
            "server/discover" => discovered(seen),
            _ => seen.result(json!({"tools": [], "nextCursor": "same"})),
        });
        let shard = Shard::new();
        shard.upstreams.apply(&[http("endless", &endless.url), http("stuck", &stuck.url)], |_| true);
        shard.until(|shard| shard.was_down("endless") && shard.was_down("stuck")).await;
        let reports = shard.reports.borrow().clone();
        let told = |server: &str| format!("{:?}", reports.iter().find(|report| *report.server == *server));
        assert!(told("endless").contains("256 pages"), "{}", told("endless"));
        assert!(told("stuck").contains("same cursor"), "{}", told("stuck"));
    });
}

#[test]
fn a_server_that_is_down_costs_the_others_nothing_and_comes_in_when_it_is_up() {
    on_shard(async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let addr = listener.local_addr();
        drop(listener);
        let up = modern(&["t"]);
        let shard = Shard::new();
        shard.upstreams.apply(&[http("down", &format!("http://{addr}/mcp")), http("up", &up.url)], |_| true);
        shard.until(|shard| shard.was_down("down") && shard.lists("up").len() == 1).await;
        assert_eq!(shard.text("up", "t").await, "called");
        for _ in 0..5 {
            let error = shard.upstreams.call("down", &call("t", "{}"), &Sink::nowhere()).await.expect_err("down");
            assert_eq!((error.kind, error.retry), (Kind::Unreachable, Retry::Safe), "{error}");
            assert!(error.context.starts_with("down: "), "{error}");
        }
        assert!(shard.upstreams.is_down("down") && !shard.upstreams.is_down("up"));
        let _late = Fake::start_at(addr, |seen| match seen.method() {
            "server/discover" => discovered(seen),
            "tools/list" => seen.result(json!({"tools": tools(&["late"])})),
            "tools/call" => seen.result(json!({"content": [{"type": "text", "text": "at last"}]})),
            _ => Act::Hang,
        });
        shard.until(|shard| shard.lists("down") == [["late"]]).await;
        assert!(!shard.upstreams.is_down("down"));
        assert_eq!(shard.text("down", "late").await, "at last");
    });
}

#[test]
fn an_outage_is_not_asked_by_every_call() {
    on_shard(async {
        let fake = Fake::start(|seen| match seen.method() {
            "server/discover" => discovered(seen),
            _ => Act::Answer(503, vec![], String::new()),
        });
        let shard = Shard::new();
        shard.upstreams.apply(&[http("ill", &fake.url)], |_| false);
        for _ in 0..50 {
            let error = shard.upstreams.call("ill", &call("t", "{}"), &Sink::nowhere()).await.expect_err("503");
            assert_eq!(error.kind, Kind::Unreachable);
        }
        let asked = fake.methods().iter().filter(|method| *method == "tools/call").count();
        assert_eq!(asked, 3, "then calls fail fast");
    });
}

#[test]
fn a_header_found_wrong_is_mended_by_a_fresh_list_once() {
    on_shard(async {
        let fake = Fake::start(|seen| match (seen.method(), seen.header("mcp-param-region")) {
            ("server/discover", _) => discovered(seen),
            ("tools/list", _) => {
                let region = json!({"type": "string", "x-mcp-header": "Region"});
                let schema = json!({"type": "object", "properties": {"region": region}});
                seen.result(json!({"tools": [{"name": "t", "inputSchema": schema}]}))
            }
            ("tools/call", Some("eu")) => seen.result(json!({"content": [{"type": "text", "text": "mended"}]})),
            ("tools/call", _) => seen.error(400, -32020, Value::Null),
            _ => Act::Hang,
        });
        let shard = Shard::new();
        shard.upstreams.apply(&[http("one", &fake.url)], |_| false);
        let stale =
            HeaderParam { header: "Mcp-Param-Zone".into(), path: vec!["region".into()], kind: HeaderKind::String };
        let operation = Operation::Tool { name: "t", arguments: Some(br#"{"region":"eu"}"#), header_params: &[stale] };
        let wanted = UpstreamCall { operation, ..UpstreamCall::default() };
        let answer = shard.upstreams.call("one", &wanted, &Sink::nowhere()).await.expect("mended");
        assert_eq!(text(&answer), "mended");
        assert_eq!(shard.lists("one"), [["t"]], "the control thread hears of the fresh list");
        let hopeless = call("t", r#"{"region":"us"}"#);
        let answer = shard.upstreams.call("one", &hopeless, &Sink::nowhere()).await.expect("an answer");
        assert!(matches!(answer.outcome, Outcome::Error(_)));
        let calls = fake.methods().iter().filter(|method| *method == "tools/call").count();
        assert_eq!(calls, 4, "each is tried twice at most");
    });
}

#[test]
fn a_reload_keeps_what_is_unchanged_and_stops_what_is_gone() {
    on_shard(async {
        let shard = Shard::new();
        let (one, two) = (Arc::new(stdio("one", "legacy")), Arc::new(stdio("two", "modern")));
        shard.upstreams.apply(&[one.clone(), two.clone()], |_| true);
        let (first, second) = (shard.text("one", "pid").await, shard.text("two", "pid").await);
        let changed = ServerSpec { call_timeout: Duration::from_secs(9), ..(*two).clone() };
        shard.upstreams.apply(&[Arc::new((*one).clone()), Arc::new(changed)], |_| true);
        assert_eq!(shard.text("one", "pid").await, first, "an equal spec runs on");
        assert_ne!(shard.text("two", "pid").await, second, "a changed one is started anew");
        let slow = shard.upstreams.clone();
        let last =
            task::spawn(async move { slow.call("one", &call("slow", r#"{"seconds":0.3}"#), &Sink::nowhere()).await });
        task::yield_now().await;
        shard.upstreams.apply(&[], |_| true);
        assert_eq!(text(&last.await.expect("a call in flight is let end")), "slept");
        let unknown = shard.upstreams.call("one", &call("pid", "{}"), &Sink::nowhere()).await;
        assert_eq!(unknown.expect_err("gone").kind, Kind::Internal);
        let runs = |pid: &str| std::fs::exists(format!("/proc/{pid}")).expect("proc");
        shard.until(|_| !runs(&first) && !runs(&second)).await;
    });
}

#[test]
fn a_server_whose_list_changes_all_the_time_is_listed_now_and_then() {
    on_shard(async {
        let fake = Fake::start(|seen| match seen.method() {
            "server/discover" => discovered(seen),
            "tools/list" => seen.result(json!({"tools": tools(&["t"])})),
            "subscriptions/listen" => {
                let change = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
                let storm = (0..100).flat_map(|_| [Step::Pause(20), Step::Event(change.clone())]);
                Act::Stream(storm.chain([Step::Hang]).collect())
            }
            _ => Act::Hang,
        });
        let shard = Shard::new();
        shard.upstreams.apply(&[http("one", &fake.url)], |_| true);
        time::sleep(Duration::from_millis(2_200)).await;
        let lists = shard.lists("one").len();
        assert!((2..=4).contains(&lists), "{lists} listings in two seconds");
    });
}

#[test]
fn a_dead_process_is_started_again_and_listed() {
    on_shard(async {
        let shard = Shard::new();
        shard.upstreams.apply(&[Arc::new(stdio("one", "legacy"))], |_| true);
        shard.until(|shard| shard.lists("one").len() == 1).await;
        let first = shard.text("one", "pid").await;
        let died = shard.upstreams.call("one", &call("die", "{}"), &Sink::nowhere()).await.expect_err("it died");
        assert_eq!((died.kind, died.retry), (Kind::Unreachable, Retry::Unsafe));
        shard.until(|shard| shard.lists("one").len() == 2).await;
        assert_ne!(shard.text("one", "pid").await, first);
        shard.upstreams.call("one", &call("change", "{}"), &Sink::nowhere()).await.expect("changed");
        shard.until(|shard| shard.lists("one").last().is_some_and(|list| list.contains(&"extra0".to_owned()))).await;
        shard.upstreams.close().await;
    });
}

#[test]
fn what_the_home_shard_learned_spares_the_others_the_probe() {
    on_shard(async {
        let fake = modern(&["t"]);
        let shard = Shard::new();
        shard.upstreams.apply(&[http("one", &fake.url)], |_| false);
        shard.upstreams.learn("one", Verdict::MODERN);
        shard.upstreams.learn("nobody", Verdict::MODERN);
        assert_eq!(shard.text("one", "t").await, "called");
        assert_eq!(fake.methods(), ["tools/call"]);
    });
}

#[test]
fn a_server_that_was_found_knows_when_a_reload_has_let_go_of_it() {
    on_shard(async {
        let shard = Shard::new();
        let (kept, changed) = (http("kept", "http://127.0.0.1:1/"), http("changed", "http://127.0.0.1:1/"));
        shard.upstreams.apply(&[kept.clone(), changed, http("gone", "http://127.0.0.1:1/")], |_| false);
        let found = ["kept", "changed", "gone"].map(|name| shard.upstreams.find(name).expect(name));
        assert_eq!(found.each_ref().map(|server| server.is_stopped()), [false; 3]);
        shard.upstreams.apply(&[kept, http("changed", "http://127.0.0.1:2/")], |_| false);
        assert_eq!(found.each_ref().map(|server| server.is_stopped()), [false, true, true]);
        assert!(!shard.upstreams.find("changed").expect("the new one").is_stopped());
        assert!(shard.upstreams.find("gone").is_err());
        shard.upstreams.close().await;
        assert!(found[0].is_stopped());
    });
}

#[test]
fn calls_are_placed_where_their_session_or_process_lives() {
    on_shard(async {
        let shard = Shard::new();
        let (web, child) = (http("web", "http://127.0.0.1:1/"), Arc::new(stdio("child", "legacy")));
        shard.upstreams.apply(&[web.clone(), child], |_| false);
        let key = KeyId::parse("one").expect("an id");
        let one = scope_key(Scope::PerKey, key, Some([7; 16]));
        let place = |server: &str, scope: &ScopeKey| {
            shard.upstreams.find(server).expect("it runs").placement(scope, Era::Legacy)
        };
        let home = Placement::Home(home_number("web", &one));
        assert_eq!(place("web", &one), home, "who opens a session before the era is known opens it at its home");
        let era = EraSetting::Modern;
        assert_eq!(placement(&ServerSpec { era, ..(*web).clone() }, None, &one, Era::Legacy), Placement::Anywhere);
        shard.upstreams.learn("web", Verdict::legacy(false));
        assert_eq!(place("web", &one), Placement::Anywhere);
        shard.upstreams.learn("web", Verdict::legacy(true));
        assert_eq!(place("web", &one), home);
        assert_eq!(place("child", &ScopeKey::Shared), Placement::Home(home_number("child", &ScopeKey::Shared)));
        assert_ne!(home_number("web", &one), home_number("web", &ScopeKey::Shared));
        assert_eq!(home_number("web", &ScopeKey::Gate), home_number("web", &ScopeKey::Shared));
        assert_eq!(scope_key(Scope::Shared, key, Some([7; 16])), ScopeKey::Shared);
        assert_eq!(scope_key(Scope::PerSession, key, None), one);
        assert_eq!(scope_key(Scope::PerSession, key, Some([7; 16])), ScopeKey::Session(key, [7; 16]));
    });
}
