//! HTTP+SSE servers (2024-11-05), well behaved and not, over real sockets.

use super::{HttpServer, Trust, Wire};
use crate::base::error::{Error, Kind, Result, Retry};
use crate::mcp::caps::Policy;
use crate::mcp::revision::Era;
use crate::rt::{task, time};
use crate::upstream::answer::Answer;
use crate::upstream::fixture::http::{Act, Fake, Feed, Seen, Step};
use crate::upstream::fixture::{call, on_shard, text, wiring};
use crate::upstream::leg::Verdict;
use crate::upstream::said::{Sink, relay};
use crate::upstream::spec::{EraSetting, HttpSpec, ServerSpec, TransportSpec};
use crate::upstream::wiring::{Transport, Wiring};
use crate::wire::http::Client;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// A server of the older transport. `calls` is told of each call, with the feed of its session's stream.
struct Older {
    fake: Fake,
    /// The feeds of its sessions, in the order they were opened.
    feeds: Rc<RefCell<Vec<Feed>>>,
}

impl Older {
    fn start(calls: impl Fn(&Seen, &Feed) -> Act + 'static) -> Self {
        let feeds = Rc::<RefCell<Vec<Feed>>>::default();
        let sessions = feeds.clone();
        let fake = Fake::start(move |seen| match (seen.verb.as_str(), seen.path.as_str()) {
            ("GET", _) => {
                let feed = Feed::default();
                feed.lines(&format!("event: endpoint\ndata: /message?s={}\n\n", sessions.borrow().len()));
                sessions.borrow_mut().push(feed.clone());
                Act::Stream(vec![Step::Feed(feed)])
            }
            (_, "/mcp") => Act::Answer(404, vec![], "<h1>Cannot POST</h1>".into()),
            (_, path) => {
                let at: usize = path.strip_prefix("/message?s=").and_then(|at| at.parse().ok()).expect(path);
                posted(seen, &sessions.borrow()[at], &calls)
            }
        });
        Self { fake, feeds }
    }

    fn opened(&self) -> usize {
        self.feeds.borrow().len()
    }
}

fn posted(seen: &Seen, feed: &Feed, calls: &impl Fn(&Seen, &Feed) -> Act) -> Act {
    let answer = match seen.method() {
        "initialize" => {
            json!({"protocolVersion": "2024-11-05", "serverInfo": {"name": "old", "version": "1"},
                   "capabilities": {"tools": {"listChanged": true}}})
        }
        "tools/list" => json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}),
        "ping" => json!({}),
        "tools/call" => return calls(seen, feed),
        _ => return taken(),
    };
    feed.message(&json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": answer}));
    taken()
}

fn taken() -> Act {
    Act::Answer(202, vec![], "Accepted".into())
}

fn answered(seen: &Seen, feed: &Feed, text: &str) -> Act {
    let result = json!({"content": [{"type": "text", "text": text}]});
    feed.message(&json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": result}));
    taken()
}

fn spec(fake: &Fake) -> ServerSpec {
    let headers = vec![("authorization".into(), "Bearer ours".into())];
    let http = HttpSpec { url: fake.url.as_str().into(), headers, ca_file: None, oauth: None };
    let short = Duration::from_millis(500);
    let asks = Policy { elicitation: false, ..Policy::default() };
    ServerSpec { probe_timeout: short, asks, ..ServerSpec::new("fake", TransportSpec::Http(http)) }
}

fn server(spec: ServerSpec) -> (Rc<HttpServer>, Rc<Wiring>) {
    let wiring = wiring(spec);
    let TransportSpec::Http(http) = &wiring.spec.transport else { panic!("an http spec") };
    let wire = Wire::new(http, Client::new(), &Trust::default(), None).map(Rc::new);
    (Rc::new(HttpServer::new(wiring.clone(), wire)), wiring)
}

async fn tried(server: &HttpServer, tool: &str) -> Result<Answer> {
    server.call(&call(tool, r#"{"a": 1}"#), &Sink::nowhere()).await
}

#[test]
fn an_older_server_is_found_by_probing_and_called_on_its_stream() {
    on_shard(async {
        let older = Older::start(|seen, feed| answered(seen, feed, "hello"));
        let (server, wiring) = server(spec(&older.fake));
        let opened = server.open().await.expect("found");
        assert_eq!((opened.verdict, wiring.leg.known()), (Verdict::legacy(true), Some(Verdict::legacy(true))));
        assert_eq!(opened.about.name, Some(("old".into(), "1".into())));
        let answer = tried(&server, "t").await.expect("answered");
        assert_eq!((text(&answer), answer.era), ("hello".into(), Era::Legacy));
        let methods = ["server/discover", "initialize", "GET", "initialize", "notifications/initialized", "tools/call"];
        assert_eq!(older.fake.methods(), methods);
        let seen = older.fake.last("initialize");
        assert_eq!((seen.path.as_str(), seen.header("authorization")), ("/message?s=0", Some("Bearer ours")));
        assert_eq!(seen.body["params"]["protocolVersion"], "2024-11-05");
        assert_eq!(older.fake.last("tools/call").body["params"]["arguments"], json!({"a": 1}));
        server.close().await;
        older.fake.until(|fake| fake.abandoned.get() == 1).await;
    });
}

#[test]
fn an_older_server_that_is_set_is_not_probed() {
    on_shard(async {
        let older = Older::start(|seen, feed| answered(seen, feed, "set"));
        let (server, _) = server(ServerSpec { era: EraSetting::Sse, ..spec(&older.fake) });
        assert_eq!(text(&tried(&server, "t").await.expect("answered")), "set");
        assert_eq!(older.fake.methods(), ["GET", "initialize", "notifications/initialized", "tools/call"]);
    });
}

#[test]
fn many_calls_share_a_stream_and_each_gets_its_own() {
    on_shard(async {
        let held = Rc::<RefCell<Vec<Seen>>>::default();
        let kept = held.clone();
        let older = Older::start(move |seen, feed| {
            kept.borrow_mut().push(seen.clone());
            if kept.borrow().len() == 3 {
                for (at, seen) in kept.borrow().iter().enumerate().rev() {
                    let token = &seen.body["params"]["_meta"]["progressToken"];
                    let params = json!({"progressToken": token, "progress": at + 1});
                    feed.message(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
                    let name = seen.body["params"]["name"].as_str().expect("a name");
                    answered(seen, feed, name);
                }
            }
            taken()
        });
        let (server, wiring) = server(spec(&older.fake));
        let calls = ["a", "b", "c"].map(|tool| {
            let server = server.clone();
            task::spawn(async move {
                let (sink, mut events) = relay();
                let mut wanted = call(tool, "{}");
                wanted.meta.progress = true;
                let answer = server.call(&wanted, &sink).await.expect("answered");
                (text(&answer), std::iter::from_fn(|| events.try_next()).count())
            })
        });
        for (call, tool) in calls.into_iter().zip(["a", "b", "c"]) {
            assert_eq!(call.await, (tool.to_owned(), 1));
        }
        assert_eq!(older.opened(), 1);
        let feed = older.feeds.borrow()[0].clone();
        feed.message(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
        assert!(time::timeout(Duration::from_secs(5), wiring.list_changed.notified()).await.is_ok());
        feed.message(&json!({"jsonrpc": "2.0", "id": "p", "method": "ping"}));
        feed.message(&json!({"jsonrpc": "2.0", "id": 7, "method": "roots/list"}));
        let is_reply = |seen: &&Seen| seen.verb == "POST" && seen.method().is_empty();
        older.fake.until(|fake| fake.seen.borrow().iter().filter(is_reply).count() == 2).await;
        let seen = older.fake.seen.borrow();
        let reply = |id: Value| seen.iter().find(|seen| seen.body["id"] == id && seen.method().is_empty()).cloned();
        assert_eq!(reply(json!("p")).expect("a reply").body["result"], json!({}));
        assert_eq!(reply(json!(7)).expect("a reply").body["error"]["code"], -32601);
    });
}

#[test]
fn a_call_that_is_dropped_is_cancelled() {
    on_shard(async {
        let older = Older::start(|_, _| taken());
        let (server, _) = server(spec(&older.fake));
        server.open().await.expect("found");
        assert!(time::timeout(Duration::from_millis(100), Box::pin(tried(&server, "t"))).await.is_err());
        older.fake.until(|fake| fake.methods().iter().any(|method| method == "notifications/cancelled")).await;
        let id = older.fake.last("tools/call").body["id"].clone();
        assert_eq!(older.fake.last("notifications/cancelled").body["params"]["requestId"], id);
    });
}

#[test]
fn a_post_that_is_never_taken_ends_with_its_request() {
    on_shard(async {
        let older = Older::start(|seen, feed| match seen.body["params"]["name"] == "answers" {
            true => {
                let _ = answered(seen, feed, "answered");
                Act::Hang
            }
            false => Act::Hang,
        });
        let limit = Duration::from_millis(150);
        let (server, _) = server(ServerSpec { call_timeout: limit, ..spec(&older.fake) });
        server.open().await.expect("found");
        assert_eq!(tried(&server, "t").await.expect_err("no answer").kind, Kind::Timeout);
        older.fake.until(|fake| fake.abandoned.get() == 1).await;
        assert!(time::timeout(limit / 2, Box::pin(tried(&server, "t"))).await.is_err());
        older.fake.until(|fake| fake.abandoned.get() == 2).await;
        assert_eq!(text(&tried(&server, "answers").await.expect("on the stream")), "answered");
        assert_eq!(older.opened(), 1, "the session goes on");
        older.fake.until_within(Duration::from_secs(10), |fake| fake.abandoned.get() == 3).await;
    });
}

#[test]
fn the_end_of_the_stream_fails_what_waits_and_the_next_call_opens_anew() {
    on_shard(async {
        let runs = Rc::new(Cell::new(0));
        let ran = runs.clone();
        let older = Older::start(move |seen, feed| {
            ran.set(ran.get() + 1);
            if ran.get() == 1 {
                feed.close();
                return taken();
            }
            answered(seen, feed, "again")
        });
        let (server, _) = server(spec(&older.fake));
        let error = tried(&server, "t").await.expect_err("its stream ended");
        assert_eq!((error.kind, error.retry), (Kind::Unreachable, Retry::Unsafe), "{error}");
        assert_eq!((runs.get(), older.opened()), (1, 1), "it may have run, so it is not sent again");
        assert_eq!(text(&tried(&server, "t").await.expect("a fresh session")), "again");
        assert_eq!((runs.get(), older.opened()), (2, 2));
    });
}

#[test]
fn a_session_the_server_does_not_know_is_opened_anew_and_the_call_runs_once() {
    on_shard(async {
        let refusals = Rc::new(Cell::new(0));
        let refused = refusals.clone();
        let older = Older::start(move |seen, feed| {
            if refused.replace(refused.get() + 1) == 0 {
                return Act::Answer(404, vec![], "Session not found".into());
            }
            answered(seen, feed, "ran")
        });
        let (server, _) = server(spec(&older.fake));
        assert_eq!(text(&tried(&server, "t").await.expect("a fresh session")), "ran");
        assert_eq!((refusals.get(), older.opened()), (2, 2));
    });
}

#[test]
fn a_silent_stream_is_given_up_after_a_call_it_did_not_answer() {
    on_shard(async {
        let deaf = Rc::new(Cell::new(true));
        let is_deaf = deaf.clone();
        let older = Older::start(move |seen, feed| if is_deaf.get() { taken() } else { answered(seen, feed, "heard") });
        let limit = Duration::from_millis(100);
        let (server, _) = server(ServerSpec { call_timeout: limit, ..spec(&older.fake) });
        assert_eq!(tried(&server, "t").await.expect_err("no answer").kind, Kind::Timeout);
        older.fake.until(|fake| fake.methods().iter().any(|method| method == "ping")).await;
        deaf.set(false);
        assert_eq!(text(&tried(&server, "t").await.expect("a ping showed that it is there")), "heard");
        assert_eq!(older.opened(), 1);
    });
}

async fn refused(stream: Vec<Step>) -> Error {
    let fake = Fake::start(move |seen| match seen.verb.as_str() {
        "GET" => Act::Stream(stream.clone()),
        _ => Act::Answer(405, vec![], String::new()),
    });
    let error = server(spec(&fake)).0.open().await.expect_err("no server");
    assert!(!fake.methods().iter().any(|method| method == "tools/call"));
    error
}

#[test]
fn streams_that_name_no_endpoint_of_ours_are_refused() {
    on_shard(async {
        let cases = [
            (vec![Step::Lines("event: endpoint\ndata: http://127.0.0.1:1/m\n\n"), Step::Hang], "another origin"),
            (vec![Step::Lines("event: endpoint\ndata: //evil.example/m\n\n"), Step::Hang], "another origin"),
            (vec![Step::Lines("event: endpoint\ndata: file:///m\n\n"), Step::Hang], "http://"),
            (vec![Step::Lines("event: endpoint\ndata\n\n"), Step::Hang], "no URL"),
            (vec![Step::Lines("event: endpoint\ndata: /größe\n\n"), Step::Hang], "no URL"),
            (vec![Step::Lines(": nothing\n\n"), Step::Hang], "no sign of life"),
            (vec![Step::Event(json!({"jsonrpc": "2.0", "id": 1, "result": {}}))], "before it named"),
            (vec![], "before it named"),
        ];
        for (stream, words) in cases {
            let error = refused(stream.clone()).await;
            assert!(error.context.contains(words), "{stream:?}: {error}");
        }
    });
}

#[test]
fn an_event_over_its_bound_or_garbage_ends_the_session_and_no_more() {
    on_shard(async {
        let turn = Rc::new(Cell::new(0));
        let turns = turn.clone();
        let older = Older::start(move |seen, feed| {
            match turns.replace(turns.get() + 1) {
                0 => feed.lines(&format!("data: {}\n\n", "x".repeat(70_000))),
                1 => feed.lines(&format!("data: {}", "x".repeat(70_000))),
                2 => feed.lines("data: not json\n\n"),
                3 => feed.lines("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"result\":2}\n\n"),
                _ => return answered(seen, feed, "fine"),
            }
            taken()
        });
        let (server, _) = server(ServerSpec { answer_max: 65_536, ..spec(&older.fake) });
        for at in 0..4 {
            let error = tried(&server, "t").await.expect_err("garbage");
            assert_eq!((error.kind, error.retry), (Kind::Unreachable, Retry::Unsafe), "{at}: {error}");
        }
        assert_eq!(text(&tried(&server, "t").await.expect("the next call works")), "fine");
        assert_eq!(older.opened(), 5);
    });
}

#[test]
fn a_server_that_asks_without_end_is_not_answered_without_end() {
    on_shard(async {
        let older = Older::start(|seen, feed| {
            let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
            feed.lines(&format!("data: {ping}\n\n").repeat(2_000));
            answered(seen, feed, "done")
        });
        let (server, _) = server(spec(&older.fake));
        assert_eq!(text(&tried(&server, "t").await.expect("answered")), "done");
        time::sleep(Duration::from_millis(300)).await;
        let replies = older.fake.seen.borrow().iter().filter(|seen| seen.body.get("result").is_some()).count();
        assert!((1..2_000).contains(&replies), "{replies}");
    });
}
