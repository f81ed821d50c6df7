//! The clients in front: each sends its next request when the last is answered. Prints what the proxy's process spent
//! meanwhile.

use crate::message::{self, From, MESSAGE_MAX};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

/// Load before the clock starts, once every connection has had an answer.
const WARM_UP: Duration = Duration::from_millis(500);
/// Longest wait for that.
const READY_MAX: Duration = Duration::from_secs(30);
const BODY: usize = 300;
/// The unit of /proc/PID/stat, in microseconds: the kernel shows hundredths of a second to every program.
const TICK_US: u64 = 10_000;

/// Loads `address` over so many connections and prints one line of JSON: requests answered and CPU time of `pid`.
pub(crate) fn run(address: &str, connections: &str, seconds: &str, pid: &str) -> io::Result<()> {
    let bad = |what: &str| io::Error::other(format!("{what} is not what it should be"));
    let address: SocketAddr = address.parse().map_err(|_| bad("ADDRESS"))?;
    let connections: usize = connections.parse().map_err(|_| bad("CONNECTIONS"))?;
    let time = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = time.ok_or_else(|| bad("SECONDS"))?;
    let pid: u32 = pid.parse().map_err(|_| bad("PID"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, measure(address, connections, time, pid))
}

async fn measure(address: SocketAddr, connections: usize, time: Duration, pid: u32) -> io::Result<()> {
    let tally = Rc::new(Tally::default());
    let clients: Vec<_> = (0..connections).map(|_| spawn_local(client(address, tally.clone()))).collect();
    let begun = Instant::now();
    while tally.clients.get() < connections && begun.elapsed() < READY_MAX {
        sleep(WARM_UP / 10).await;
    }
    sleep(WARM_UP).await;
    let (from, count, cpu) = (Instant::now(), tally.answers.get(), cpu_us(pid)?);
    sleep(time).await;
    let (took, count, cpu) = (from.elapsed(), tally.answers.get() - count, cpu_us(pid)? - cpu);
    if tally.clients.get() < connections {
        return Err(io::Error::other(format!("only {} of {connections} clients were answered", tally.clients.get())));
    }
    // A client ends only by an error.
    for ended in clients.into_iter().filter(|client| client.is_finished()) {
        ended.await??;
    }
    println!(r#"{{"requests":{count},"cpu_us":{cpu},"wall_us":{}}}"#, took.as_micros());
    Ok(())
}

/// What all clients have had so far.
#[derive(Default)]
struct Tally {
    /// Clients with an answer.
    clients: Cell<usize>,
    answers: Cell<u64>,
}

async fn client(address: SocketAddr, tally: Rc<Tally>) -> io::Result<()> {
    let head =
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: application/json\r\n";
    let request = format!("{head}content-length: {BODY}\r\n\r\n{}", "q".repeat(BODY));
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buf = Vec::with_capacity(MESSAGE_MAX);
    let mut is_first = true;
    loop {
        stream.write_all(request.as_bytes()).await?;
        buf.clear();
        while message::length(&buf, From::Server)?.is_none() {
            if stream.read_buf(&mut buf).await? == 0 {
                return Err(io::Error::other("the proxy closed a connection"));
            }
        }
        tally.answers.set(tally.answers.get() + 1);
        tally.clients.set(tally.clients.get() + usize::from(std::mem::take(&mut is_first)));
    }
}

/// User and system time of a process since it began, all its threads, in microseconds.
fn cpu_us(pid: u32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold blanks; what follows it counts from the state, field 3.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace().skip(11).take(2));
    let ticks: Option<u64> = fields.and_then(|times| times.map(|time| time.parse::<u64>().ok()).sum());
    ticks.map(|ticks| ticks * TICK_US).ok_or_else(|| io::Error::other("/proc/PID/stat has another form"))
}
