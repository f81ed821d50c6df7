//! What one tools/call asks of the allocator on the gate's side, in a steady state: a modern client, a key, a policy, a
//! journal, a modern server over HTTP that answers in JSON.

use crate::counting;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tollgate::audit::{JournalSpec, Store};
use tollgate::base::clock::Clock;
use tollgate::base::ids::{Epoch, ShardId};
use tollgate::catalog::ServerList;
use tollgate::config::{Compiled, Lookup, Purpose, Snapshot};
use tollgate::policy::{Pepper, Token};
use tollgate::rt::mailbox::{Parcel, Sender, mailbox};
use tollgate::rt::probe::probe;
use tollgate::rt::shard::{Driver, ShardSpec, spawn_shard};
use tollgate::shard::messages::ToShard;
use tollgate::shard::{self, ShardArgs};
use tollgate::telemetry::{ServerTable, ShardMetrics};

/// Requests for memory that one call may cost.
const ALLOCATIONS: u64 = 1;
/// Calls until everything that is kept is there.
const WARM_UP: usize = 300;
/// Calls counted.
const CALLS: u64 = 500;
/// Requests for memory that the shard's own chores may make in each second begun: it beats, and its timers ring.
const CHORES: u64 = 30;
const VERSION: &str = "2026-07-28";
const PATIENCE: Duration = Duration::from_secs(20);

/// One kept connection that reads whole HTTP messages into room of its own.
struct Wire(BufReader<TcpStream>);

impl Wire {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// The body of the next message; nothing at the end.
    fn message(&mut self) -> Option<Vec<u8>> {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().to_ascii_lowercase().strip_prefix("content-length:") {
                Some(value) => length = value.trim().parse().unwrap(),
                None if line == "\r\n" => break,
                None => (),
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some(body)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }
}

/// A modern server with one tool.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || answer_all(Wire::new(stream.unwrap())));
        }
    });
    address
}

fn answer_all(mut wire: Wire) {
    let listed = r#"{"name":"echo","inputSchema":{"type":"object"}}"#;
    while let Some(body) = wire.message() {
        let message: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let result = match message["method"].as_str().unwrap() {
            "server/discover" => format!(r#""supportedVersions":["{VERSION}"],"capabilities":{{"tools":{{}}}}"#),
            "tools/list" => format!(r#""tools":[{listed}]"#),
            _ => format!(r#""content":[{{"type":"text","text":"{}"}}]"#, "x".repeat(200)),
        };
        let result = format!(r#"{{{result},"resultType":"complete","ttlMs":3600000,"cacheScope":"public"}}"#);
        let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, message["id"]);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
        wire.send(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes());
    }
}

/// What a client sends for one call.
fn call(token: &str) -> Vec<u8> {
    let meta = format!(
        r#"{{"io.modelcontextprotocol/protocolVersion":"{VERSION}","io.modelcontextprotocol/clientCapabilities":{{}},
        "io.modelcontextprotocol/clientInfo":{{"name":"allocations","version":"1"}}}}"#
    );
    let params = format!(r#"{{"name":"one__echo","arguments":{{"text":"{}"}},"_meta":{meta}}}"#, "y".repeat(100));
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {VERSION}\r\nMcp-Method: tools/call\r\n\
         Mcp-Name: one__echo\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A configuration with one server and one key, compiled, and the key's token.
fn compiled(folder: &Path) -> (Compiled, Token) {
    let bare = config(folder, "");
    bare.settings.state.create().unwrap();
    let token = Token::generate();
    let mac = Pepper::new(&mut bare.settings.state.pepper().unwrap()).mac(&token.presented()).to_hex();
    let key = format!("[[keys]]\nid = \"{}\"\nname = \"one\"\nmac = \"{mac}\"\nallow = [\"one/*\"]\n", token.id());
    (config(folder, &key), token)
}

fn config(folder: &Path, keys: &str) -> Compiled {
    let path = folder.join("tollgate.toml");
    let state = "[state]\ndirectory = \"state\"\n[journal]\nring_directory = \"ring\"\n";
    let text = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\n{state}[servers.one]\nurl = \"http://{}/mcp\"\n{keys}",
        upstream()
    );
    Compiled::from_text(&path, &text, &Lookup::fixed(&[], None, folder), Purpose::Serve).unwrap()
}

fn args(compiled: &Compiled, mailbox: Parcel<ToShard>, own: Sender<ToShard>) -> ShardArgs {
    let settings = &compiled.settings;
    let tool = r#"{"name":"echo","inputSchema":{"type":"object"}}"#;
    let list = ServerList { tools: vec![tool.into()], ..ServerList::empty("one") };
    let snapshot = Snapshot::build(compiled, &[("one".to_owned(), list)].into(), Epoch(1), None);
    let store = Store::open(&settings.journal.directory, &settings.journal.ring_directory).unwrap();
    ShardArgs {
        id: ShardId(0),
        listen: settings.listen.address,
        identity: None,
        snapshot: Arc::new(snapshot),
        // A commit is a chore of the time that passes, not of a call: none falls into the count.
        journal: JournalSpec { commit: PATIENCE * 3, ..JournalSpec::new(Arc::new(store), ShardId(0), 1) },
        sealing: [7; 32],
        metrics: Arc::new(ShardMetrics::default()),
        table: Arc::new(ServerTable::default()),
        mailboxes: [own].into(),
        mailbox,
        report: Arc::new(|_| ()),
        plead: Arc::new(|_| false),
        beat: Arc::new(|_, _| ()),
        lease: Arc::new(|_| ()),
    }
}

/// Allocations of [`CALLS`] calls, how many the chores may have made meanwhile, and where the first of them were made.
fn count(driver: Driver) -> (u64, u64, String) {
    let folder = tempfile::tempdir().unwrap();
    let (compiled, token) = compiled(folder.path());
    let (own, parcel) = mailbox(64).unwrap();
    let args = args(&compiled, parcel, own.clone());
    let (told, listening) = sync_channel(1);
    let (found, places) = sync_channel(1);
    let spec = ShardSpec { id: ShardId(0), core: None, driver, entries: 256 };
    let thread = spawn_shard(spec, move || async move {
        counting::watch_this_thread();
        shard::run(args, move |outcome| drop(told.send(outcome))).await;
        found.send(counting::places()).unwrap();
    });
    let address = listening.recv().unwrap().unwrap();
    let (mut client, call) = (Wire::new(TcpStream::connect(address).unwrap()), call(token.reveal()));
    let mut one = || {
        client.send(&call);
        let answer = client.message().unwrap();
        assert!(answer.windows(8).any(|part| part == b"\"result\""), "{}", String::from_utf8_lossy(&answer));
    };
    (0..WARM_UP).for_each(|_| one());
    let from = Clock::now();
    counting::start();
    (0..CALLS).for_each(|_| one());
    let counted = counting::stop();
    let chores = CHORES * (Clock::now().since(from).as_secs() + 1);
    drop(client);
    assert!(own.try_send(ToShard::Drain).is_ok(), "the shard takes messages");
    thread.unwrap().join().unwrap();
    (counted, chores, places.recv().unwrap())
}

#[test]
fn a_call_asks_for_no_memory_that_is_not_kept() {
    let ring = probe().usable().then_some(Driver::IoUring);
    for driver in ring.into_iter().chain([Driver::Epoll]) {
        let (counted, chores, places) = count(driver);
        println!("{driver:?}: {counted} allocations in {CALLS} calls");
        assert!(counted <= ALLOCATIONS * CALLS + chores, "{driver:?}: {counted} in {CALLS} calls:\n{places}");
    }
}
