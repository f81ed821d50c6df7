//! Legacy clients that come back to a stream that broke: what they missed is told, on whatever shard they arrive, once
//! and to nobody else.

use crate::gate::{ANYONE, Home, Tables, eventually};
use crate::http::{self, Connection, Response};
use crate::mcp::{Client, LEGACY, Session};
use crate::peers::{Driver, Server, job};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
/// Attempts on connections of their own: enough for each of two shards to get some.
const SPREAD: u64 = 8;
const WATCHED: &str = "test://watched-resource";

/// One event as it came: its id, and its data, if that is a message.
#[derive(Clone, Debug)]
struct Event {
    id: Option<String>,
    retry: Option<u64>,
    data: Option<Value>,
}

/// A stream, event by event.
struct Events {
    connection: Connection,
    text: String,
}

impl Events {
    fn of(mut connection: Connection) -> Self {
        let head = connection.head().expect("an answer");
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        Self { connection, text: String::new() }
    }

    /// The next event; nothing at the end of the stream.
    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let data = field("data:").filter(|data| !data.is_empty());
                let event = Event {
                    id: field("id:").map(str::to_owned),
                    retry: field("retry:").map(|text| text.parse().unwrap()),
                    data: data.map(|data| serde_json::from_str(data).unwrap()),
                };
                self.text = rest.to_owned();
                return Some(event);
            }
            self.text.push_str(&String::from_utf8(self.connection.chunk()?).unwrap());
        }
    }

    fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// The next message.
    fn message(&mut self) -> Value {
        std::iter::from_fn(|| self.next()).find_map(|event| event.data).expect("a message before the end")
    }
}

/// Begins a call and gives its answer as it comes.
fn begin(session: &Session, id: u64, tool: &str, params: Value) -> Connection {
    let mut params = params;
    params["name"] = json!(tool);
    let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
    let mut connection = Connection::open(session.client.address);
    connection.send(&session.client.post_bytes(&session.headers(), body.to_string().as_bytes()));
    connection
}

fn wait(session: &Session, id: u64, ms: u64) -> Connection {
    begin(session, id, "f__test_wait", json!({"arguments": {"ms": ms}}))
}

fn come_back(session: &Session, event: &str) -> Connection {
    session.bare_with("GET", &[("Last-Event-ID", event)])
}

fn refused(session: &Session, event: &str) -> Response {
    come_back(session, event).read().unwrap()
}

fn messages(events: &[Event]) -> Vec<Value> {
    events.iter().filter_map(|event| event.data.clone()).collect()
}

fn meter(home: &Home, name: &str) -> u64 {
    let text = http::get(home.admin, "/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// A gate in front of our fixture, once that is listed.
fn gate_before(keys: &str, tables: &Tables<'_>, holds: impl FnOnce(&Home, &Client)) {
    let server = Server::everything("legacy");
    let home = Home::new("");
    home.configure_more(tables, &format!("{keys}[servers.f]\nurl = \"{}\"\n", server.url));
    let tokens = ["one", "two"].map(|name| home.new_key(name, &["*/*"]));
    let gate = home.start();
    let anyone = Client::new(home.listen);
    let client = if keys.is_empty() { anyone.with_key(&tokens[0]) } else { anyone };
    eventually("the fixture is listed", PATIENCE, || client.tools().len() > 5);
    holds(&home, &client);
    if keys.is_empty() {
        let other = Client::new(home.listen).with_key(&tokens[1]);
        another_key(&client, &other);
    }
    gate.stop();
}

/// What another key is told of an id is what it is told of none.
fn another_key(client: &Client, other: &Client) {
    let (session, others) = (client.session(LEGACY), other.session(LEGACY));
    let primed = Events::of(wait(&session, 1, 300)).next().unwrap().id.unwrap();
    let foreign = refused(&others, &primed);
    let unknown = refused(&others, "no-such-event");
    assert_eq!((foreign.status, foreign.text()), (unknown.status, unknown.text()));
    assert_eq!(foreign.status, 400);
    let stolen = Session { client: other.clone(), id: session.id.clone(), revision: LEGACY.into(), hello: Value::Null };
    assert_eq!(refused(&stolen, &primed).status, 404, "the session is no other key's");
}

fn in_the_open(holds: impl FnOnce(&Home, &Client)) {
    gate_before(ANYONE, &Tables::default(), holds);
}

#[test]
fn a_call_goes_on_without_its_connection_and_its_answer_comes_wherever_the_client_comes_back() {
    in_the_open(|home, client| {
        let session = client.session(LEGACY);
        let begun: Vec<_> = (0..SPREAD)
            .map(|id| {
                let mut stream = Events::of(wait(&session, id, 800));
                let first = stream.next().unwrap();
                assert!(first.data.is_none() && first.retry == Some(1000), "{first:?}");
                first.id.unwrap()
            })
            .collect();
        // Some come back while the call runs, some after it.
        let coming: Vec<_> = begun.iter().step_by(2).map(|event| come_back(&session, event)).collect();
        for (at, connection) in coming.into_iter().enumerate() {
            let mut events = Events::of(connection);
            assert_eq!(events.next().unwrap().id.as_ref(), Some(&begun[2 * at]), "where it was, once more");
            let rest = events.rest();
            assert_eq!(messages(&rest).len(), 1, "{rest:?}");
            assert_eq!(messages(&rest)[0]["id"], 2 * at);
            assert_eq!(refused(&session, rest[0].id.as_ref().unwrap()).status, 204, "there is nothing more");
        }
        for (id, event) in begun.iter().enumerate() {
            let answer = Events::of(come_back(&session, event)).message();
            assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!(id), &json!("waited 800 ms")));
        }
        assert!(meter(home, "tollgate_replay_bytes") > 0);
        let mut end = session.bare("DELETE");
        assert_eq!(end.read().unwrap().status, 204);
        assert_eq!(refused(&session, &begun[0]).status, 404);
        eventually("nothing of an ended session is kept", PATIENCE, || {
            meter(home, "tollgate_replay_bytes") == 0 && meter(home, "tollgate_replay_streams") == 0
        });
    });
}

#[test]
fn what_came_after_an_event_is_told_again_and_nothing_of_another_stream() {
    in_the_open(|_, client| {
        for (revision, is_primed) in [(LEGACY, true), ("2025-06-18", false), ("2025-03-26", false)] {
            let session = client.session(revision);
            let call = |id: u64| {
                let params = json!({"_meta": {"progressToken": format!("token {id}")}, "arguments": {}});
                Events::of(begin(&session, id, "f__test_tool_with_progress", params)).rest()
            };
            let (one, other) = (call(1), call(2));
            let is_empty: Vec<bool> = one.iter().map(|event| event.data.is_none()).collect();
            let expected = [true, false, false, false, false];
            assert_eq!(is_empty, &expected[usize::from(!is_primed)..], "{one:?}");
            let ids: std::collections::BTreeSet<_> = one.iter().chain(&other).map(|event| event.id.clone()).collect();
            assert_eq!(ids.len(), one.len() + other.len(), "unique in the session");
            for (at, event) in one[..one.len() - 1].iter().enumerate() {
                let again = Events::of(come_back(&session, event.id.as_ref().unwrap())).rest();
                assert_eq!(messages(&again), messages(&one[at + 1..]));
                assert_eq!(again[0].data.is_none(), is_primed, "older clients take no event without data");
            }
            assert_eq!(messages(&one).last().unwrap()["id"], 1);
        }
    });
}

#[test]
fn an_id_that_names_nothing_here_is_refused_whosever_it_is() {
    gate_before("", &Tables::default(), |_, client| {
        let (session, other) = (client.session(LEGACY), client.session(LEGACY));
        let primed = Events::of(wait(&session, 1, 300)).next().unwrap().id.unwrap();
        let unknown = refused(&session, "nothing");
        assert_eq!((unknown.status, unknown.code()), (400, -32600));
        let long = "A".repeat(4000);
        let (sealed, _) = primed.rsplit_once('.').unwrap();
        let altered = primed.replacen(&primed[20..21], if &primed[20..21] == "A" { "B" } else { "A" }, 1);
        for forged in [&altered, sealed, &format!("{sealed}.x"), &long, &session.id, "1", ".", ".e"] {
            let answer = refused(&session, forged);
            assert_eq!((answer.status, answer.text()), (400, unknown.text()), "{forged}");
        }
        let foreign = refused(&other, &primed);
        assert_eq!((foreign.status, foreign.text()), (400, unknown.text()), "another session of the same key");
        let twice = session.bare_with("GET", &[("Last-Event-ID", &primed), ("Last-Event-ID", &primed)]).read();
        assert_eq!(twice.unwrap().status, 400);
        assert_eq!(Events::of(come_back(&session, &primed)).message()["id"], 1);
    });
}

#[test]
fn a_client_that_comes_back_a_thousand_times_leaves_nothing_behind() {
    in_the_open(|home, client| {
        let session = client.session(LEGACY);
        let primed = Events::of(wait(&session, 5, 8_000)).next().unwrap().id.unwrap();
        for _ in 0..1_000 {
            let mut events = Events::of(come_back(&session, &primed));
            assert_eq!(events.next().unwrap().id.as_ref(), Some(&primed));
        }
        // Those that stay are let go of as the next one comes.
        let stale: Vec<_> = (0..4).map(|_| Events::of(come_back(&session, &primed))).collect();
        let mut last = Events::of(come_back(&session, &primed));
        for mut stale in stale {
            assert_eq!(messages(&stale.rest()), Vec::<Value>::new());
        }
        assert_eq!(last.message()["id"], 5);
        drop(last);
        eventually("no connection is kept", PATIENCE, || {
            meter(home, "tollgate_streams_open") == 0 && meter(home, "tollgate_connections_open") == 0
        });
    });
}

#[test]
fn an_answer_that_is_kept_no_longer_is_said_to_be_lost() {
    let tables = Tables { runtime: "shards = 1", ..Tables::default() };
    gate_before(ANYONE, &tables, |home, client| {
        let session = client.session(LEGACY);
        let primed = Events::of(wait(&session, 41, 120)).rest()[0].id.clone().unwrap();
        let other = client.session(LEGACY);
        std::thread::scope(|scope| {
            for worker in 0..8_u64 {
                let other = &other;
                scope.spawn(move || {
                    (0..33).for_each(|id| drop(Events::of(wait(other, worker * 100 + id, 110)).rest()));
                });
            }
        });
        eventually("as many are kept as may be", PATIENCE, || meter(home, "tollgate_replay_streams") == 256);
        let lost = Events::of(come_back(&session, &primed)).rest();
        let message = lost[0].data.clone().unwrap();
        assert_eq!(
            (lost.len(), &message["id"], &message["error"]["code"]),
            (1, &json!(41), &json!(-32603)),
            "{lost:?}"
        );
        assert_eq!(refused(&session, lost[0].id.as_ref().unwrap()).status, 204);
    });
}

#[test]
fn a_get_stream_tells_what_changed_while_its_client_was_gone() {
    in_the_open(|home, client| {
        for round in 0..SPREAD / 2 {
            let session = client.session(LEGACY);
            let mut stream = Events::of(session.bare("GET"));
            let primed = stream.next().unwrap();
            assert!(primed.data.is_none());
            let subscribed = session.request("resources/subscribe", json!({"uri": WATCHED})).answer();
            assert_eq!(subscribed["result"], json!({}));
            drop(stream);
            eventually("the gate knows that it is gone", PATIENCE, || meter(home, "tollgate_streams_open") == 0);
            assert_eq!(client.call("f__test_trigger_update", json!({})).status, 200);
            assert_eq!(client.call("f__test_trigger_prompt_change", json!({})).status, 200);
            std::thread::sleep(Duration::from_millis(500));
            let mut again = Events::of(come_back(&session, primed.id.as_ref().unwrap()));
            let mut told = [again.message(), again.message()].map(|message| message["method"].clone());
            told.sort_by_key(Value::to_string);
            assert_eq!(
                told,
                [json!("notifications/prompts/list_changed"), json!("notifications/resources/updated")],
                "{round}"
            );
            assert_eq!(client.call("f__test_trigger_update", json!({})).status, 200);
            let event = std::iter::from_fn(|| again.next()).find(|event| event.data.is_some()).unwrap();
            assert_eq!(event.data.unwrap()["method"], "notifications/resources/updated");
            // What was written and lost with the connection is told again too.
            drop(again);
            let told = messages(&[Events::of(come_back(&session, primed.id.as_ref().unwrap()))].map(|mut events| {
                let mut found = std::iter::from_fn(|| events.next()).filter(|event| event.data.is_some());
                found.next().unwrap()
            }));
            assert!(told[0]["method"].as_str().unwrap().starts_with("notifications/"));
            assert_eq!(session.bare("DELETE").read().unwrap().status, 204);
        }
        eventually("nothing is kept", PATIENCE, || meter(home, "tollgate_replay_streams") == 0);
    });
}

/// Who was given no id cannot come back: nothing is kept, and nothing of it counts against the key.
#[test]
fn a_stream_is_kept_only_for_a_client_that_can_come_back_to_it() {
    in_the_open(|home, client| {
        let [newest, older] = [LEGACY, "2025-06-18"].map(|revision| client.session(revision));
        let streams = [&older, &newest].map(|session| Events::of(session.bare("GET")));
        eventually("both are open", PATIENCE, || meter(home, "tollgate_streams_open") == 2);
        drop(streams);
        eventually("both are gone", PATIENCE, || meter(home, "tollgate_streams_open") == 0);
        eventually("the newest is kept", PATIENCE, || meter(home, "tollgate_replay_streams") == 1);
        assert_eq!(newest.bare("DELETE").read().unwrap().status, 204);
        eventually("nothing is kept", PATIENCE, || meter(home, "tollgate_replay_streams") == 0);
    });
}

#[test]
fn a_gate_that_stops_says_when_to_come_back() {
    let server = Server::everything("legacy");
    let home = Home::new(&format!("{ANYONE}[servers.f]\nurl = \"{}\"\n", server.url));
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("the fixture is listed", PATIENCE, || client.tools().len() > 5);
    let [newest, older] = [LEGACY, "2025-06-18"].map(|revision| client.session(revision));
    let mut streams = [&newest, &older].map(|session| Events::of(session.bare("GET")));
    assert!(streams[0].next().unwrap().id.is_some());
    let mut called = Events::of(wait(&newest, 9, 1_500));
    let primed = called.next().unwrap().id.unwrap();
    let mut reading = Events::of(come_back(&newest, &primed));
    let mut resumed = {
        let session = client.session(LEGACY);
        let first = Events::of(session.bare("GET")).next().unwrap().id.unwrap();
        Events::of(come_back(&session, &first))
    };
    assert_eq!(resumed.next().unwrap().retry, Some(1000));
    gate.signal("TERM");
    let again = resumed.rest();
    assert!(again.len() == 1 && again[0].retry >= Some(1000) && again[0].id.is_some(), "{again:?}");
    let last = streams[0].rest();
    assert!(last.len() == 1 && last[0].retry >= Some(1000) && last[0].id.is_some(), "{last:?}");
    assert_eq!(streams[1].rest().len(), 0);
    assert_eq!(reading.message()["id"], 9, "an answer that is under way is still brought");
    gate.stop();
}

/// Stands between a client and the gate, and cuts each connection that has carried certain words, a while after.
struct Cutter {
    address: SocketAddr,
    cuts: Arc<AtomicU64>,
}

impl Cutter {
    fn new(gate: SocketAddr, words: &'static str, after: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cutter = Self { address: listener.local_addr().unwrap(), cuts: Arc::default() };
        let cuts = cutter.cuts.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(gate).unwrap();
                let (back, forth) = ((server.try_clone().unwrap(), client.try_clone().unwrap()), (client, server));
                let cuts = cuts.clone();
                std::thread::spawn(move || carry(back.0, back.1, |_| {}));
                std::thread::spawn(move || {
                    let both = (forth.0.try_clone().unwrap(), forth.1.try_clone().unwrap());
                    carry(forth.0, forth.1, |bytes| {
                        if String::from_utf8_lossy(bytes).contains(words) {
                            let (one, other) = (both.0.try_clone().unwrap(), both.1.try_clone().unwrap());
                            let cuts = cuts.clone();
                            std::thread::spawn(move || {
                                std::thread::sleep(after);
                                cuts.fetch_add(1, Ordering::Relaxed);
                                let _ = (one.shutdown(Shutdown::Both), other.shutdown(Shutdown::Both));
                            });
                        }
                    });
                });
            }
        });
        cutter
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, mut see: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        see(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// The official clients come back by themselves: a call whose connection is cut brings its answer all the same.
#[test]
fn official_clients_have_their_answer_over_a_connection_that_is_cut() {
    in_the_open(|home, _| {
        for driver in [Driver::TsV1, Driver::TsV2, Driver::PyLegacy] {
            let cutter = Cutter::new(home.listen, "test_wait", Duration::from_millis(500));
            let url = format!("http://{}/mcp", cutter.address);
            let calls = [json!({"name": "f__test_wait", "arguments": {"ms": 2500}})];
            let report = driver.drive(&job(&url, None, "legacy", &calls));
            assert!(cutter.cuts.load(Ordering::Relaxed) >= 1, "{driver:?}: nothing was cut");
            let result = &report["results"][0];
            assert_eq!(result["result"]["content"][0]["text"], "waited 2500 ms", "{driver:?}: {result}");
        }
    });
}
