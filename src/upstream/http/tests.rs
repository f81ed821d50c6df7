//! HTTP servers of both eras, well behaved and not, over real sockets.

use super::{HttpServer, Trust, Wire};
use crate::base::error::{Kind, Result, Retry};
use crate::base::ids::KeyId;
use crate::catalog::{HeaderKind, HeaderParam};
use crate::mcp::caps::Policy;
use crate::mcp::revision::Era;
use crate::rt::{task, time};
use crate::upstream::answer::{Answer, Outcome, ScopeKey, UpstreamCall};
use crate::upstream::fixture::http::{Act, Fake, Feed, Seen, Step};
use crate::upstream::fixture::{call, event, on_shard, text, wiring};
use crate::upstream::incoming::error_code;
use crate::upstream::leg::Verdict;
use crate::upstream::operation::Operation;
use crate::upstream::said::{EventKind, Sink, relay};
use crate::upstream::spec::{EraSetting, HttpSpec, Scope, ServerSpec, TransportSpec};
use crate::upstream::wiring::{Transport, Wiring};
use crate::wire::http::Client;
use serde_json::{Value, json};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

fn spec(fake: &Fake) -> ServerSpec {
    let headers = vec![("authorization".into(), "Bearer ours".into())];
    let http = HttpSpec { url: fake.url.as_str().into(), headers, ca_file: None, oauth: None };
    // One session for listing and calls.
    let asks = Policy { elicitation: false, ..Policy::default() };
    ServerSpec { asks, ..ServerSpec::new("fake", TransportSpec::Http(http)) }
}

fn server(spec: ServerSpec) -> (Rc<HttpServer>, Rc<Wiring>) {
    let wiring = wiring(spec);
    let TransportSpec::Http(http) = &wiring.spec.transport else { panic!("an http spec") };
    let wire = Wire::new(http, Client::new(), &Trust::default(), None).map(Rc::new);
    (Rc::new(HttpServer::new(wiring.clone(), wire)), wiring)
}

fn content(value: &str) -> Value {
    json!({"content": [{"type": "text", "text": value}], "resultType": "complete"})
}

fn capabilities() -> Value {
    json!({"tools": {"listChanged": true}})
}

/// A modern server; `calls` answers `tools/call`.
fn modern(calls: impl Fn(&Seen) -> Act + 'static) -> Fake {
    Fake::start(move |seen| match seen.method() {
        "server/discover" => seen.result(json!({"supportedVersions": ["2026-07-28"], "capabilities": capabilities()})),
        "tools/list" => seen.result(json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}]})),
        "tools/call" => calls(seen),
        _ => seen.error(404, -32601, Value::Null),
    })
}

/// A legacy server; `sessions` gives out and judges session ids, `calls` answers `tools/call`.
fn legacy(sessions: impl Fn(Option<&str>) -> Option<String> + 'static, calls: impl Fn(&Seen) -> Act + 'static) -> Fake {
    Fake::start(move |seen| {
        let given = sessions(seen.header("mcp-session-id"));
        let known = given.as_deref() == seen.header("mcp-session-id");
        match (seen.verb.as_str(), seen.method()) {
            ("POST", "initialize") => {
                let result = json!({"protocolVersion": "2025-06-18", "capabilities": capabilities(), "serverInfo": {}});
                let Act::Answer(status, _, body) = seen.result(result) else { panic!("an answer") };
                Act::Answer(status, given.map(|id| ("Mcp-Session-Id", id)).into_iter().collect(), body)
            }
            ("POST", "server/discover") => seen.error(400, -32000, Value::Null),
            _ if !known => Act::Answer(404, vec![], String::new()),
            ("DELETE", _) => Act::Answer(200, vec![], String::new()),
            ("GET", _) => Act::Answer(405, vec![], String::new()),
            (_, "tools/list") => seen.result(json!({"tools": []})),
            (_, "tools/call") => calls(seen),
            _ => Act::Answer(202, vec![], String::new()),
        }
    })
}

async fn tried(server: &HttpServer, tool: &str) -> Result<Answer> {
    server.call(&call(tool, r#"{"a": 1}"#), &Sink::nowhere()).await
}

#[test]
fn a_modern_server_is_called_with_mirrored_headers() {
    on_shard(async {
        let fake = modern(|seen| seen.result(content("hello")));
        let (server, wiring) = server(spec(&fake));
        let region =
            HeaderParam { header: "Mcp-Param-Region".into(), path: vec!["region".into()], kind: HeaderKind::String };
        let arguments = Some(r#"{"region":"köln"}"#.as_bytes());
        let operation = Operation::Tool { name: "naïve", arguments, header_params: &[region] };
        let wanted = UpstreamCall { operation, ..UpstreamCall::default() };
        let answer = server.call(&wanted, &Sink::nowhere()).await.expect("answered");
        assert_eq!((text(&answer), answer.era), ("hello".into(), Era::Modern));
        assert_eq!(wiring.leg.known(), Some(Verdict::MODERN));
        assert_eq!(fake.methods(), ["server/discover", "tools/call"]);
        let seen = fake.last("tools/call");
        assert_eq!(seen.header("mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(seen.header("mcp-method"), Some("tools/call"));
        assert_eq!(seen.header("mcp-name"), Some("=?base64?bmHDr3Zl?="));
        assert_eq!(seen.header("mcp-param-region"), Some("=?base64?a8O2bG4=?="));
        assert_eq!(seen.header("authorization"), Some("Bearer ours"));
        assert_eq!(seen.header("accept"), Some("application/json, text/event-stream"));
        assert_eq!(seen.body["params"]["arguments"], json!({"region": "köln"}));
        assert_eq!(seen.header("mcp-session-id"), None);
        tried(&server, "t").await.expect("no second probe");
        assert_eq!(fake.methods().len(), 3);
    });
}

#[test]
fn progress_is_relayed_as_it_comes_and_keeps_the_call_alive() {
    on_shard(async {
        let fake = modern(|seen| {
            let token = seen.body["params"]["_meta"]["progressToken"].clone();
            let progress = |token: &Value, n: u32| {
                let params = json!({"progressToken": token, "progress": n});
                Step::Event(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))
            };
            let steps = vec![
                progress(&token, 1),
                progress(&json!("another's"), 9),
                Step::Pause(200),
                progress(&token, 2),
                Step::Pause(200),
                Step::Event(json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": content("done")})),
            ];
            Act::Stream(steps)
        });
        let (server, _) = server(ServerSpec { call_timeout: Duration::from_millis(300), ..spec(&fake) });
        let (sink, mut relay) = relay();
        let mut wanted = call("t", "{}");
        wanted.meta.progress = true;
        let other = server.clone();
        let answer = task::spawn(async move { other.call(&wanted, &sink).await });
        let first = event(relay.next().await);
        assert!(!answer.is_finished(), "the event came before the answer");
        assert_eq!(first.kind, EventKind::Progress);
        assert_eq!(text(&answer.await.expect("400 ms in steps of 200")), "done");
        let second = event(relay.try_next().expect("two of ours"));
        assert!(String::from_utf8_lossy(&second.params).contains("\"progress\":2"));
        assert!(relay.try_next().is_none(), "what bears another's token is not ours");
    });
}

#[test]
fn dropping_a_modern_call_closes_its_connection() {
    on_shard(async {
        let fake = modern(|_| Act::Stream(vec![Step::Hang]));
        let (server, _) = server(spec(&fake));
        server.open().await.expect("modern");
        assert!(time::timeout(Duration::from_millis(100), Box::pin(tried(&server, "t"))).await.is_err());
        fake.until(|fake| fake.abandoned.get() == 1).await;
    });
}

#[test]
fn an_error_is_an_answer_whatever_its_status() {
    on_shard(async {
        for status in [200, 400, 404, 500] {
            let fake =
                modern(move |seen| seen.error(status, -32021, json!({"requiredCapabilities": {"sampling": {}}})));
            let (server, wiring) = server(spec(&fake));
            let answer = tried(&server, "t").await.expect("an answer");
            let Outcome::Error(error) = answer.outcome else { panic!("an error") };
            assert_eq!(error_code(&error), -32021);
            assert!(error.ends_with(br#""message":"as scripted"}"#) && wiring.leg.known().is_some());
        }
    });
}

#[test]
fn statuses_without_an_answer_say_what_to_do() {
    on_shard(async {
        let cases = [
            (401, Kind::BadAnswer, "credential", true),
            (307, Kind::BadAnswer, "redirect", false),
            (404, Kind::BadAnswer, "endpoint", false),
            (429, Kind::Overloaded, "later", true),
            (503, Kind::Unreachable, "503", true),
            (200, Kind::BadAnswer, "without a message", false),
            (202, Kind::BadAnswer, "without answering", true),
        ];
        for (status, kind, words, keeps_verdict) in cases {
            let fake = modern(move |_| Act::Answer(status, vec![], String::new()));
            let (server, wiring) = server(spec(&fake));
            let error = tried(&server, "t").await.expect_err("no answer");
            assert_eq!(error.kind, kind, "{status}: {error}");
            assert!(error.context.contains(words), "{status}: {error}");
            assert_eq!(wiring.leg.known().is_some(), keeps_verdict, "{status}");
        }
    });
}

#[test]
fn garbage_of_every_kind_fails_one_call_and_nothing_else() {
    on_shard(async {
        let sse = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        let json = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        let raws = [
            "\x00\x01\x02 not http\r\n\r\n".to_owned(),
            "SSH-2.0-OpenSSH_9.9\r\n".to_owned(),
            format!("{json}content-length: 4\r\n\r\nnope"),
            format!("{json}content-length: 90\r\n\r\n{{\"jsonrpc\""),
            format!("{json}content-length: 5\r\ncontent-length: 6\r\n\r\n[]"),
            format!("{json}content-length: 99999999999\r\n\r\n"),
            format!("{sse}data: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"result\":2}}\n\n"),
            format!("{sse}data: {{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{{}}}}\n\n"),
            format!("{sse}data: {{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"sampling/createMessage\"}}\n\n"),
            format!("{sse}: nothing\n\n"),
        ];
        let turn = Rc::new(Cell::new(0));
        let (next, all) = (turn.clone(), raws.clone());
        let fake = modern(move |seen| match all.get(next.get()) {
            Some(raw) => Act::Raw(raw.clone().into_bytes()),
            None => seen.result(content("fine")),
        });
        let (server, _) = server(spec(&fake));
        for (at, raw) in raws.iter().enumerate() {
            turn.set(at);
            let error = tried(&server, "t").await.expect_err(raw);
            assert!(matches!(error.kind, Kind::BadAnswer | Kind::Unreachable), "{raw}: {error}");
            assert_ne!(error.retry, Retry::Safe, "{raw}: it may have run");
        }
        turn.set(raws.len());
        assert_eq!(text(&tried(&server, "t").await.expect("the next call works")), "fine");
    });
}

#[test]
fn a_server_that_hangs_is_given_up_in_time() {
    on_shard(async {
        let fake = modern(|_| Act::Hang);
        let (server, _) = server(ServerSpec { call_timeout: Duration::from_millis(200), ..spec(&fake) });
        let error = tried(&server, "t").await.expect_err("nothing came");
        assert_eq!((error.kind, error.retry), (Kind::Timeout, Retry::Unsafe));
        fake.until(|fake| fake.abandoned.get() == 1).await;
    });
}

#[test]
fn an_answer_over_its_bound_is_refused() {
    on_shard(async {
        let streamed = |seen: &Seen| {
            let result = content(&"x".repeat(5_000_000));
            Act::Stream(vec![Step::Event(json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": result}))])
        };
        for fake in [modern(|seen| seen.result(content(&"x".repeat(5_000_000)))), modern(streamed)] {
            let (strict, _) = server(ServerSpec { answer_max: 4096, ..spec(&fake) });
            let error = tried(&strict, "t").await.expect_err("too long");
            assert_eq!(error.kind, Kind::BadAnswer);
            assert!(error.context.contains("4096"), "{error}");
            let (usual, _) = server(spec(&fake));
            assert_eq!(text(&tried(&usual, "t").await.expect("5 MB fit")).len(), 5_000_000);
        }
    });
}

#[test]
fn a_stateful_legacy_server_is_called_in_a_session_that_is_deleted() {
    on_shard(async {
        let fake = legacy(|_| Some("s-1".into()), |seen| seen.result(content("hi")));
        let (server, wiring) = server(spec(&fake));
        let answer = tried(&server, "t").await.expect("answered");
        assert_eq!((text(&answer), answer.era), ("hi".into(), Era::Legacy));
        assert_eq!(wiring.leg.known(), Some(Verdict::legacy(true)));
        assert_eq!(fake.methods(), ["server/discover", "initialize", "notifications/initialized", "tools/call"]);
        assert_eq!(fake.last("initialize").header("mcp-protocol-version"), None);
        assert_eq!(fake.last("initialize").body["params"]["protocolVersion"], "2025-11-25");
        let seen = fake.last("tools/call");
        assert_eq!(seen.header("mcp-session-id"), Some("s-1"));
        assert_eq!(seen.header("mcp-protocol-version"), Some("2025-06-18"));
        assert_eq!((seen.header("mcp-method"), &seen.body["params"]["_meta"]), (None, &Value::Null));
        server.close().await;
        assert_eq!(fake.methods().last().map(String::as_str), Some("DELETE"));
    });
}

#[test]
fn a_lost_session_is_opened_anew_and_the_call_runs_once() {
    on_shard(async {
        let generation = Rc::new(Cell::new(1));
        let current = generation.clone();
        let fake = legacy(move |_| Some(format!("s-{}", current.get())), |seen| seen.result(content("ran")));
        let (server, _) = server(spec(&fake));
        tried(&server, "t").await.expect("first session");
        generation.set(2);
        assert_eq!(text(&tried(&server, "t").await.expect("second session")), "ran");
        assert_eq!(fake.last("tools/call").header("mcp-session-id"), Some("s-2"));
        let opened = fake.methods().iter().filter(|method| *method == "initialize").count();
        assert_eq!(opened, 2);
    });
}

/// A legacy server that says 400, and not 404, of a session it does not know; `calls` answers `tools/call`.
fn says_400(current: Rc<Cell<u32>>, calls: impl Fn(&Seen) -> Act + 'static) -> Fake {
    Fake::start(move |seen| {
        let id = format!("s-{}", current.get());
        let known = seen.header("mcp-session-id") == Some(&id);
        match seen.method() {
            "server/discover" => seen.error(400, -32000, Value::Null),
            "initialize" => {
                let result = json!({"protocolVersion": "2025-06-18", "capabilities": capabilities(), "serverInfo": {}});
                let Act::Answer(status, _, body) = seen.result(result) else { panic!("an answer") };
                Act::Answer(status, vec![("Mcp-Session-Id", id)], body)
            }
            // As server-everything and SDKs do: one with a JSON-RPC error, one in plain words.
            _ if !known && current.get().is_multiple_of(2) => seen.error(400, -32000, Value::Null),
            _ if !known => Act::Answer(400, vec![], String::new()),
            "ping" => seen.result(json!({})),
            "tools/call" => calls(seen),
            _ => Act::Answer(202, vec![], String::new()),
        }
    })
}

#[test]
fn a_session_whose_loss_is_told_by_400_is_opened_anew() {
    on_shard(async {
        let generation = Rc::new(Cell::new(1));
        let fake = says_400(generation.clone(), |seen| seen.result(content("ran")));
        let (server, _) = server(spec(&fake));
        tried(&server, "t").await.expect("first session");
        for restarts in [2, 3] {
            generation.set(restarts);
            assert_eq!(text(&tried(&server, "t").await.expect("a fresh session")), "ran");
        }
        let opened = fake.methods().iter().filter(|method| *method == "initialize").count();
        assert_eq!(opened, 3);
    });
}

#[test]
fn a_call_refused_by_400_in_a_living_session_is_not_run_again() {
    on_shard(async {
        let fake = says_400(Rc::new(Cell::new(1)), |seen| seen.error(400, -32000, Value::Null));
        let (server, _) = server(spec(&fake));
        for _ in 0..2 {
            let Outcome::Error(error) = tried(&server, "t").await.expect("an answer").outcome else {
                panic!("a result")
            };
            assert_eq!(error_code(&error), -32000);
        }
        let count = |name: &str| fake.methods().iter().filter(|method| *method == name).count();
        assert_eq!((count("tools/call"), count("initialize")), (2, 1));
    });
}

#[test]
fn a_server_that_loses_every_session_is_not_asked_for_ever() {
    on_shard(async {
        let count = Cell::new(0);
        let fresh = move |_: Option<&str>| {
            count.set(count.get() + 1);
            Some(format!("s-{}", count.get()))
        };
        let fake = legacy(fresh, |seen| seen.result(content("never")));
        let (server, _) = server(spec(&fake));
        assert_eq!(tried(&server, "t").await.expect_err("lost").kind, Kind::BadAnswer);
        assert!(fake.methods().len() < 10, "{:?}", fake.methods());
    });
}

#[test]
fn a_stateless_legacy_server_needs_one_handshake_for_all_scopes() {
    on_shard(async {
        let fake = legacy(|_| None, |seen| seen.result(content("hi")));
        let (server, wiring) = server(ServerSpec { scope: Scope::PerKey, ..spec(&fake) });
        server.open().await.expect("legacy");
        assert_eq!(wiring.leg.known(), Some(Verdict::legacy(false)));
        for key in ["one", "two", "three"] {
            let call = UpstreamCall { scope: ScopeKey::Key(KeyId::parse(key).expect("an id")), ..call("t", "{}") };
            server.call(&call, &Sink::nowhere()).await.expect(key);
        }
        let handshakes = fake.methods().iter().filter(|method| *method == "initialize").count();
        assert!(handshakes <= 2, "one for listing, one for all calls: {:?}", fake.methods());
        server.close().await;
        assert!(!fake.methods().contains(&"DELETE".to_owned()), "there is nothing to delete");
    });
}

#[test]
fn each_key_has_its_session_where_the_server_keeps_state() {
    on_shard(async {
        let count = Cell::new(0);
        let known = move |id: Option<&str>| {
            count.set(count.get() + u32::from(id.is_none()));
            Some(id.map_or_else(|| format!("s-{}", count.get()), ToOwned::to_owned))
        };
        let fake = legacy(known, |seen| seen.result(content(seen.header("mcp-session-id").unwrap_or("none"))));
        let (server, _) = server(ServerSpec { scope: Scope::PerKey, ..spec(&fake) });
        let session_of = async |key: &str| {
            let call = UpstreamCall { scope: ScopeKey::Key(KeyId::parse(key).expect("an id")), ..call("t", "{}") };
            text(&server.call(&call, &Sink::nowhere()).await.expect(key))
        };
        let (one, two) = (session_of("one").await, session_of("two").await);
        assert_ne!(one, two);
        assert_eq!(one, session_of("one").await);
        server.close().await;
        assert!(fake.methods().iter().filter(|method| *method == "DELETE").count() >= 2);
    });
}

#[test]
fn a_legacy_call_given_up_is_cancelled_by_a_message() {
    on_shard(async {
        let fake = legacy(|_| Some("s".into()), |_| Act::Stream(vec![Step::Hang]));
        let (server, _) = server(spec(&fake));
        server.open().await.expect("legacy");
        assert!(time::timeout(Duration::from_millis(100), Box::pin(tried(&server, "t"))).await.is_err());
        fake.until(|fake| fake.methods().contains(&"notifications/cancelled".to_owned())).await;
        let cancelled = fake.last("notifications/cancelled");
        assert_eq!(cancelled.body["params"]["requestId"], fake.last("tools/call").body["id"]);
        assert_eq!(cancelled.header("mcp-session-id"), Some("s"));
    });
}

#[test]
fn a_legacy_stream_that_ends_early_or_breaks_is_resumed() {
    on_shard(async {
        for end in [Step::Pause(0), Step::Break] {
            let fake =
                Fake::start(move |seen| match (seen.verb.as_str(), seen.method(), seen.header("last-event-id")) {
                    ("GET", _, Some("e-1")) => Act::Stream(vec![Step::Lines("id: e-2\n\n"), end.clone()]),
                    ("GET", _, Some("e-2")) => {
                        let answer = json!({"jsonrpc": "2.0", "id": 3, "result": content("resumed")});
                        Act::Stream(vec![Step::Event(answer)])
                    }
                    ("POST", "initialize", _) => {
                        seen.result(json!({"protocolVersion": "2025-11-25", "capabilities": {}}))
                    }
                    ("POST", "tools/call", _) => {
                        assert_eq!(seen.body["id"], 3, "the resumed stream answers this id");
                        Act::Stream(vec![Step::Lines("id: e-1\nretry: 60\ndata:\n\n"), end.clone()])
                    }
                    ("POST", "server/discover", _) => seen.error(400, -32000, Value::Null),
                    _ => Act::Answer(202, vec![], String::new()),
                });
            let (server, _) = server(spec(&fake));
            assert_eq!(text(&tried(&server, "t").await.expect("resumed twice")), "resumed");
        }
        let forgetful = legacy(|_| None, |_| Act::Stream(vec![Step::Lines("id: e-1\nretry: 60\ndata:\n\n")]));
        let error = tried(&server(spec(&forgetful)).0, "t").await.expect_err("its GET says 405");
        assert_eq!((error.kind, error.retry), (Kind::Unreachable, Retry::Unsafe));
    });
}

#[test]
fn a_legacy_servers_own_requests_are_answered_beside_the_stream() {
    on_shard(async {
        let fake = legacy(
            |_| Some("s".into()),
            |seen| {
                Act::Stream(vec![
                    Step::Event(json!({"jsonrpc": "2.0", "id": "p", "method": "ping"})),
                    Step::Event(json!({"jsonrpc": "2.0", "id": 7, "method": "elicitation/create", "params": {}})),
                    Step::Event(json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})),
                    Step::Event(json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": content("done")})),
                ])
            },
        );
        let (server, wiring) = server(spec(&fake));
        assert_eq!(text(&tried(&server, "t").await.expect("answered")), "done");
        let seen = fake.seen.borrow().clone();
        let replies: Vec<_> = seen.iter().filter(|seen| seen.verb == "POST" && seen.method().is_empty()).collect();
        assert_eq!(replies[0].body, json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
        assert_eq!((&replies[1].body["id"], &replies[1].body["error"]["code"]), (&json!(7), &json!(-32601)));
        let heard = time::timeout(Duration::from_secs(1), wiring.list_changed.notified()).await;
        assert!(heard.is_ok(), "the change of the list was heard");
    });
}

#[test]
fn a_server_that_asks_without_end_on_its_sessions_stream_is_not_answered_without_end() {
    on_shard(async {
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        let feed = Feed::default();
        feed.lines(&format!("data: {ping}\n\n").repeat(2_000));
        let fake = Fake::start(move |seen| match (seen.verb.as_str(), seen.method()) {
            ("GET", _) => Act::Stream(vec![Step::Feed(feed.clone())]),
            (_, "server/discover") => seen.error(200, -32601, Value::Null),
            (_, "initialize") => {
                seen.result(json!({"protocolVersion": "2025-11-25", "capabilities": capabilities(), "serverInfo": {}}))
            }
            (_, "tools/call") => seen.result(content("done")),
            _ => Act::Answer(202, vec![], String::new()),
        });
        let (server, _) = server(spec(&fake));
        let about = server.open().await.expect("legacy").about;
        let other = server.clone();
        let watch = task::spawn(async move { other.watch(&about).await });
        let replies = |fake: &Fake| fake.seen.borrow().iter().filter(|seen| seen.body.get("result").is_some()).count();
        fake.until(|fake| replies(fake) > 0).await;
        assert_eq!(text(&tried(&server, "t").await.expect("answered")), "done");
        time::sleep(Duration::from_millis(300)).await;
        assert!((1..2_000).contains(&replies(&fake)), "{}", replies(&fake));
        assert!(!watch.is_finished());
    });
}

#[test]
fn outages_and_refused_credentials_are_no_evidence_of_an_era() {
    on_shard(async {
        for status in [401, 403, 500, 502, 429, 302] {
            let fake = Fake::start(move |_| Act::Answer(status, vec![], String::new()));
            let (server, wiring) = server(spec(&fake));
            assert!(server.open().await.is_err());
            assert_eq!(fake.methods(), ["server/discover"], "{status}: no initialize was tried");
            assert_eq!(wiring.leg.known(), None);
        }
        let (server, wiring) = server(spec(&Fake::start(|_| Act::Raw(Vec::new()))));
        assert!(server.open().await.is_err());
        assert_eq!(wiring.leg.known(), None);
        let nobody = HttpSpec { url: "http://127.0.0.1:1/".into(), headers: vec![], ca_file: None, oauth: None };
        let (server, _) = self::server(ServerSpec::new("gone", TransportSpec::Http(nobody)));
        let error = server.open().await.expect_err("nobody listens");
        assert_eq!((error.kind, error.retry), (Kind::Unreachable, Retry::Safe));
    });
}

#[test]
fn what_speaks_no_revision_of_ours_is_told_so() {
    on_shard(async {
        let plain = Fake::start(|_| Act::Answer(404, vec![], "<h1>no</h1>".into()));
        let error = server(spec(&plain)).0.open().await.expect_err("no MCP here");
        assert!(error.context.contains("neither"), "{error}");
        let newer = Fake::start(|seen| seen.error(400, -32022, json!({"supported": ["2027-02-02"]})));
        let error = server(spec(&newer)).0.open().await.expect_err("too new");
        assert!(error.context.contains("no revision"), "{error}");
        let old = legacy(|_| None, |seen| seen.result(content("")));
        let strict = ServerSpec { era: EraSetting::Modern, ..spec(&old) };
        let error = server(strict).0.open().await.expect_err("set to modern");
        assert!(error.context.contains("`era`"), "{error}");
    });
}

#[test]
fn changes_are_heard_on_a_listen_stream() {
    on_shard(async {
        let fake = Fake::start(|seen| match seen.method() {
            "server/discover" => {
                seen.result(json!({"supportedVersions": ["2026-07-28"], "capabilities": capabilities()}))
            }
            "subscriptions/listen" => Act::Stream(vec![
                Step::Event(json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged"})),
                Step::Event(json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {}})),
                Step::Pause(50),
                Step::Event(json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": {"resultType": "complete"}})),
            ]),
            _ => Act::Hang,
        });
        let (server, wiring) = server(spec(&fake));
        let about = server.open().await.expect("modern").about;
        server.watch(&about).await.expect("the server ends it politely");
        assert!(time::timeout(Duration::ZERO, wiring.list_changed.notified()).await.is_ok());
        assert_eq!(
            fake.last("subscriptions/listen").body["params"]["notifications"],
            json!({"toolsListChanged": true})
        );
    });
}

#[test]
fn changes_are_heard_on_a_legacy_sessions_own_stream() {
    on_shard(async {
        let fake = Fake::start(|seen| match (seen.verb.as_str(), seen.method()) {
            ("GET", _) => Act::Stream(vec![
                Step::Event(json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})),
                Step::Hang,
            ]),
            (_, "server/discover") => seen.error(200, -32601, Value::Null),
            (_, "initialize") => {
                seen.result(json!({"protocolVersion": "2025-11-25", "capabilities": capabilities(), "serverInfo": {}}))
            }
            _ => Act::Answer(202, vec![], String::new()),
        });
        let (server, wiring) = server(spec(&fake));
        let about = server.open().await.expect("legacy").about;
        let other = server.clone();
        let watch = task::spawn(async move { other.watch(&about).await });
        let heard = time::timeout(Duration::from_secs(5), wiring.list_changed.notified()).await;
        assert!(heard.is_ok() && !watch.is_finished());
        let seen = fake.seen.borrow().iter().find(|seen| seen.verb == "GET").expect("a GET").clone();
        assert_eq!(seen.header("accept"), Some("text/event-stream"));
    });
}
