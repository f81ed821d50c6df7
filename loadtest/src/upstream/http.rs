//! Streamable HTTP: one read and one write a request.

use super::head::{self, Head, Unreadable, Verb};
use super::service::{Eras, Reply, Service, What};
use super::sessions::Sessions;
use crate::failure::Failure;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tollgate::base::ids::ShardId;
use tollgate::base::limits::RING_ENTRIES;
use tollgate::rt::net::{TcpListener, TcpStream, ensure_free};
use tollgate::rt::shard::{DriverChoice, ShardSpec, choose, spawn_shard};
use tollgate::rt::stream::Stream;
use tollgate::rt::{probe, task, time};
use tollgate::wire::rpc;

/// Room for a request before it is known how long it is.
const READ_ROOM: usize = 4 * 1024;
/// Longest body.
const BODY_MAX: usize = 64 << 20;
/// JSON-RPC code of what is no message.
const PARSE: i32 = -32700;
/// JSON-RPC code of what has no session and needs one.
const NO_SESSION: i32 = -32000;

/// A server that answers until its process ends.
#[derive(Debug)]
pub struct Running {
    /// Where it listens; the path is any, `/mcp` by custom.
    pub address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Waits for ever, or until a thread of it dies.
    pub fn wait(self) {
        for thread in self.threads {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

/// Starts one thread on each given core, or one that is not pinned where none is given; all answer at one address.
///
/// # Errors
/// The address cannot be had, or a thread cannot be started.
pub fn start(service: Service, listen: SocketAddr, cores: &[usize]) -> Result<Running, Failure> {
    let cannot = |e: &dyn std::fmt::Display| Failure::new(format!("the built-in server at {listen}: {e}"));
    if listen.port() != 0 {
        ensure_free(listen).map_err(|e| cannot(&e))?;
    }
    let driver = choose(DriverChoice::Auto, &probe::probe()).map_err(|e| cannot(&e))?;
    let shared = Arc::new(Shared { service, sessions: Sessions::default() });
    let pins = if cores.is_empty() { vec![None] } else { cores.iter().copied().map(Some).collect() };
    let mut running = Running { address: listen, threads: Vec::new() };
    for (number, core) in (0..).zip(pins) {
        let (shared, address) = (shared.clone(), running.address);
        let (tell, told) = sync_channel(1);
        let spec = ShardSpec { id: ShardId(number), core, driver, entries: RING_ENTRIES };
        let thread = spawn_shard(spec, move || accept(address, shared, tell)).map_err(|e| cannot(&e))?;
        running.address = told.recv().unwrap_or_else(|e| Err(std::io::Error::other(e))).map_err(|e| cannot(&e))?;
        running.threads.push(thread);
    }
    Ok(running)
}

struct Shared {
    service: Service,
    sessions: Sessions,
}

async fn accept(address: SocketAddr, shared: Arc<Shared>, tell: SyncSender<std::io::Result<SocketAddr>>) {
    let listener = match TcpListener::bind(address) {
        Ok(listener) => listener,
        Err(e) => return drop(tell.send(Err(e))),
    };
    drop(tell.send(Ok(listener.local_addr())));
    loop {
        // Out of descriptors: told after a pause, so going on does not spin.
        if let Ok((stream, _)) = listener.accept().await {
            task::spawn(serve(stream, shared.clone()));
        }
    }
}

/// Serves one connection until either side ends it.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut input = Vec::with_capacity(READ_ROOM);
    let mut out = Vec::new();
    loop {
        let head = match head::read(&input) {
            Ok(Some(head)) if head.body > BODY_MAX => return refuse(&mut stream, 413).await,
            Ok(Some(head)) if input.len() >= head.length + head.body => head,
            Ok(head) => {
                input.reserve(head.map_or(READ_ROOM, |head| head.length + head.body - input.len()));
                match stream.read(input).await {
                    (Ok(1..), back) => input = back,
                    _ => return,
                }
                continue;
            }
            Err(Unreadable(status)) => return refuse(&mut stream, status).await,
        };
        let (used, stays) = (head.length + head.body, head.stays);
        out.clear();
        match shared.step(&head, &input[head.length..used], &mut out) {
            Step::Write(after) => {
                if !after.is_zero() {
                    time::sleep(after).await;
                }
                let (written, back) = stream.write_all(out).await;
                out = back;
                if written.is_err() {
                    return;
                }
            }
            Step::Events(events) => {
                if events.write(&mut stream).await.is_err() {
                    return;
                }
            }
            Step::Listen => return listen(stream).await,
        }
        if !stays {
            // Nothing more is said: dropping the stream closes it either way.
            let _ = stream.shutdown().await;
            return;
        }
        if used == input.len() {
            input.clear();
        } else {
            input.drain(..used);
        }
    }
}

/// What comes of one request.
enum Step {
    /// Write what is rendered, after this time.
    Write(Duration),
    /// A stream of progress, then the answer.
    Events(Events),
    /// A stream that stays open and silent.
    Listen,
}

impl Shared {
    fn step(&self, head: &Head<'_>, body: &[u8], out: &mut Vec<u8>) -> Step {
        let alive = head.session.map(|id| self.sessions.is_alive(id));
        match (head.verb, alive) {
            (_, Some(false)) => status(out, 404),
            (Verb::Post, None) if self.service.eras == Eras::Legacy => return self.first(body, out),
            (Verb::Post, session) => return self.answer(body, session.is_some(), out),
            (Verb::Get, Some(true)) => return Step::Listen,
            (Verb::Delete, Some(true)) => {
                let ended = head.session.is_some_and(|id| self.sessions.end(id));
                status(out, if ended { 200 } else { 404 });
            }
            _ => status(out, 405),
        }
        Step::Write(Duration::ZERO)
    }

    /// What a server that knows sessions only says to a message without one.
    fn first(&self, body: &[u8], out: &mut Vec<u8>) -> Step {
        let reply = self.service.answer(body, true);
        if matches!(&reply, Some(Reply { what: What::Session(_) | What::Accepted, .. })) {
            return self.answer(body, true, out);
        }
        error(out, 400, reply.and_then(|reply| reply.id), NO_SESSION, "no Mcp-Session-Id; initialize first");
        Step::Write(Duration::ZERO)
    }

    fn answer(&self, body: &[u8], legacy: bool, out: &mut Vec<u8>) -> Step {
        let Some(reply) = self.service.answer(body, legacy) else {
            error(out, 400, None, PARSE, "not a JSON-RPC message");
            return Step::Write(Duration::ZERO);
        };
        let id = reply.id.unwrap_or(b"null");
        match reply.what {
            What::Result(result) => json(out, "", id, &result),
            What::Session(result) => {
                json(out, &format!("Mcp-Session-Id: {}\r\n", self.sessions.open()), id, result);
            }
            What::Accepted => status(out, 202),
            // The legacy era knows no HTTP status for what a method says.
            What::Error(status, code, message) => {
                error(out, if legacy { 200 } else { status }, reply.id, code, message)
            }
            What::Progress { token, events, every, result } => {
                let mut last = Vec::new();
                rpc::result(&mut last, id, result);
                return Step::Events(Events { token: token.to_vec(), count: events, every, last });
            }
        }
        Step::Write(reply.after)
    }
}

/// Renders an answer with a result.
fn json(out: &mut Vec<u8>, fields: &str, id: &[u8], result: &[u8]) {
    /// Bytes that `rpc::result` puts around id and result.
    const AROUND: usize = br#"{"jsonrpc":"2.0","id":,"result":}"#.len();
    out.reserve(256 + id.len() + result.len());
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ");
    // Writing into a vector cannot fail.
    let _ = write!(out, "{}\r\n{fields}\r\n", AROUND + id.len() + result.len());
    rpc::result(out, id, result);
}

fn error(out: &mut Vec<u8>, status: u16, id: Option<&[u8]>, code: i32, message: &str) {
    let mut body = Vec::new();
    rpc::error(&mut body, id, code, message, None);
    let line = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
    );
    out.extend_from_slice(&body);
}

/// Renders an answer without a body.
fn status(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(format!("HTTP/1.1 {status} {}\r\nContent-Length: 0\r\n\r\n", reason(status)).as_bytes());
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        _ => "Error",
    }
}

/// Says why and ends the connection: where the next request would begin is unknown.
async fn refuse(stream: &mut TcpStream, why: u16) {
    let mut out = Vec::new();
    status(&mut out, why);
    // The peer may be gone already, and there is nothing else to tell it.
    let _ = stream.write_all(out).await;
    let _ = stream.shutdown().await;
}

const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
                           Transfer-Encoding: chunked\r\n\r\n";

/// Keeps a silent stream open until the client ends it.
async fn listen(mut stream: TcpStream) {
    let opening = format!("{STREAM_HEAD}8\r\n: open\n\n\r\n");
    if stream.write_all(opening.into_bytes()).await.0.is_ok() {
        // Bytes, the end or an error: each ends the stream.
        let _ = stream.readable().await;
    }
}

/// A call that tells its progress.
struct Events {
    token: Vec<u8>,
    count: u64,
    every: Duration,
    last: Vec<u8>,
}

impl Events {
    async fn write(self, stream: &mut TcpStream) -> std::io::Result<()> {
        stream.write_all(STREAM_HEAD.into()).await.0?;
        let token = String::from_utf8_lossy(&self.token);
        for event in 1..=self.count {
            if !self.every.is_zero() {
                time::sleep(self.every).await;
            }
            let params = format!(r#"{{"progressToken":{token},"progress":{event},"total":{}}}"#, self.count);
            let mut message = Vec::new();
            rpc::notification(&mut message, "notifications/progress", Some(params.as_bytes()));
            stream.write_all(chunk(&message, false)).await.0?;
        }
        stream.write_all(chunk(&self.last, true)).await.0
    }
}

/// An event in a chunk of its own; the last one ends the body too.
fn chunk(message: &[u8], is_last: bool) -> Vec<u8> {
    let length = b"event: message\ndata: \n\n".len() + message.len();
    let mut out = format!("{length:x}\r\nevent: message\ndata: ").into_bytes();
    out.extend_from_slice(message);
    out.extend_from_slice(if is_last { b"\n\n\r\n0\r\n\r\n" } else { b"\n\n\r\n" });
    out
}
