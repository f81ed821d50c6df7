//! The simulation's network: streams in memory that delay, split, stall and cut as the seed says.

use super::Rng;
use super::executor::{with_net, with_rng};
use crate::base::clock::{Clock, Instant};
use crate::rt::local::{self, Notify, Receiver, Sender};
use crate::rt::stream::{Busy, READ_RESERVE, Stream};
use crate::rt::time;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// Bytes under way in one direction before a writer waits.
const WINDOW_BYTES: usize = 64 * 1024;
/// Connections waiting to be accepted before more are refused.
const BACKLOG: usize = 128;
/// The first port given to those who do not care.
const FIRST_PORT: u16 = 40_000;

/// What can go wrong on the simulated network. The default is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetFaults {
    /// The longest a piece is under way.
    pub delay_max: Duration,
    /// How many writes in a hundred arrive in pieces.
    pub split_percent: u8,
    /// How many connects in a hundred are refused.
    pub refuse_percent: u8,
    /// How many pieces in a thousand cut their connection.
    pub cut_permille: u16,
    /// How many pieces in a thousand silence their direction for ever, with nobody told.
    pub stall_permille: u16,
}

/// Sets what goes wrong from now on.
pub fn set_net_faults(faults: NetFaults) {
    with_net(|net| net.faults = faults);
}

/// Listeners and faults of one simulation.
pub(super) struct Net {
    faults: NetFaults,
    listeners: BTreeMap<SocketAddr, Vec<Sender<SimStream>>>,
    next_port: u16,
}

impl Default for Net {
    fn default() -> Self {
        Self { faults: NetFaults::default(), listeners: BTreeMap::new(), next_port: FIRST_PORT }
    }
}

impl Net {
    fn free_addr(&mut self, ip: IpAddr) -> SocketAddr {
        let port = self.next_port;
        self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
        SocketAddr::new(ip, port)
    }
}

fn faults() -> NetFaults {
    with_net(|net| net.faults)
}

fn hits(permille: u16) -> bool {
    permille > 0 && with_rng(|rng| rng.below(1000)) < usize::from(permille)
}

fn some_delay(rng: &mut Rng, max: Duration) -> Duration {
    Duration::from_nanos(rng.below(usize::try_from(max.as_nanos()).unwrap_or(usize::MAX)) as u64)
}

/// Whether nobody listens on an address of the simulation.
pub(in crate::rt) fn ensure_free(addr: SocketAddr) -> io::Result<()> {
    let taken = with_net(|net| net.listeners.contains_key(&addr));
    if taken { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(()) }
}

/// A simulation knows one name.
pub(in crate::rt) fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match host {
        "localhost" => Ok(vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)]),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, format!("host {host} is unknown to the simulation"))),
    }
}

/// A listening address of the simulation.
pub(in crate::rt) struct SimListener {
    addr: SocketAddr,
    arrivals: RefCell<Option<Receiver<SimStream>>>,
}

impl SimListener {
    pub(in crate::rt) fn bind(addr: SocketAddr) -> Self {
        let (send, arrivals) = local::channel(BACKLOG);
        let addr = with_net(|net| {
            let addr = if addr.port() == 0 { net.free_addr(addr.ip()) } else { addr };
            net.listeners.entry(addr).or_default().push(send);
            addr
        });
        Self { addr, arrivals: RefCell::new(Some(arrivals)) }
    }

    pub(in crate::rt) async fn accept(&self) -> SimStream {
        let mut arrivals = crate::invariant!(self.arrivals.take(), "one task accepts and never drops its accept");
        let arrived = arrivals.recv().await;
        self.arrivals.replace(Some(arrivals));
        match arrived {
            Some(stream) => stream,
            None => std::future::pending().await,
        }
    }

    pub(in crate::rt) fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

impl fmt::Debug for SimListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimListener({})", self.addr)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let arrivals = self.arrivals.take();
        drop(arrivals);
        with_net(|net| {
            if let Some(all) = net.listeners.get_mut(&self.addr) {
                all.retain(|sender| !sender.is_closed());
            }
            net.listeners.retain(|_, all| !all.is_empty());
        });
    }
}

/// One direction of a connection.
#[derive(Default)]
struct Way {
    pieces: RefCell<VecDeque<(Instant, Bytes)>>,
    bytes: Cell<usize>,
    /// The writer said that no more will come.
    ended: Cell<bool>,
    cut: Cell<bool>,
    stalled: Cell<bool>,
    arrived: Notify,
    room: Notify,
}

impl Way {
    /// When the next piece or end can be read; nothing if none is under way.
    fn next_at(&self) -> Option<Instant> {
        if self.cut.get() {
            return Some(Instant(0));
        }
        if self.stalled.get() {
            return None;
        }
        let front = self.pieces.borrow().front().map(|(at, _)| *at);
        front.or_else(|| self.ended.get().then_some(Instant(0)))
    }

    fn is_ready(&self) -> bool {
        self.next_at().is_some_and(|at| at <= Clock::now())
    }

    async fn ready(&self) {
        while !self.is_ready() {
            match self.next_at() {
                Some(at) => drop(time::deadline(at, self.arrived.notified()).await),
                None => self.arrived.notified().await,
            }
        }
    }

    /// What is there, without waiting.
    fn take(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        if !self.is_ready() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.cut.get() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let mut pieces = self.pieces.borrow_mut();
        let Some((_, piece)) = pieces.front_mut() else { return Ok(0) };
        let taken = piece.split_to(piece.len().min(into.capacity() - into.len()));
        if piece.is_empty() {
            pieces.pop_front();
        }
        into.extend_from_slice(&taken);
        self.bytes.set(self.bytes.get() - taken.len());
        self.room.notify_one();
        Ok(taken.len())
    }

    /// Sends one piece on its way; pieces keep their order.
    fn put(&self, piece: Bytes, delay: Duration) {
        let mut pieces = self.pieces.borrow_mut();
        let last = pieces.back().map_or(Instant(0), |(at, _)| *at);
        self.bytes.set(self.bytes.get() + piece.len());
        pieces.push_back((last.max(Clock::now() + delay), piece));
        self.arrived.notify_one();
    }

    fn cut(&self) {
        self.cut.set(true);
        self.arrived.notify_one();
        self.room.notify_one();
    }

    fn end(&self) {
        self.ended.set(true);
        self.arrived.notify_one();
        self.room.notify_one();
    }
}

/// One end of a connection in the simulation.
pub struct SimStream {
    local: SocketAddr,
    peer: SocketAddr,
    inward: Rc<Way>,
    outward: Rc<Way>,
    reading: Busy,
    writing: Busy,
}

impl fmt::Debug for SimStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimStream({} to {})", self.local, self.peer)
    }
}

impl SimStream {
    /// Two connected ends, without a listener.
    pub fn pair() -> (Self, Self) {
        let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
        let (a, b) = with_net(|net| (net.free_addr(ip), net.free_addr(ip)));
        Self::between(a, b)
    }

    fn between(a: SocketAddr, b: SocketAddr) -> (Self, Self) {
        let (there, back) = (Rc::new(Way::default()), Rc::new(Way::default()));
        (Self::end(a, b, back.clone(), there.clone()), Self::end(b, a, there, back))
    }

    fn end(local: SocketAddr, peer: SocketAddr, inward: Rc<Way>, outward: Rc<Way>) -> Self {
        Self { local, peer, inward, outward, reading: Busy::default(), writing: Busy::default() }
    }

    pub(in crate::rt) async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let faults = faults();
        let delay = with_rng(|rng| some_delay(rng, faults.delay_max));
        time::sleep(delay).await;
        let refused = with_rng(|rng| rng.chance(faults.refuse_percent));
        let listener = with_net(|net| {
            let all = net.listeners.get(&addr)?;
            all.get(with_rng(|rng| rng.below(all.len()))).cloned()
        });
        let listener = listener.filter(|_| !refused).ok_or(io::ErrorKind::ConnectionRefused)?;
        let ours = with_net(|net| net.free_addr(addr.ip()));
        let (client, server) = Self::between(ours, addr);
        listener.try_send(server).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(client)
    }

    pub(in crate::rt) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(in crate::rt) fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Breaks the connection for both ends, as a reset does.
    pub fn cut(&self) {
        self.inward.cut();
        self.outward.cut();
    }

    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.writing.begin()?;
        let written = self.write_pieces(bytes).await;
        self.writing.end();
        written
    }

    async fn write_pieces(&self, mut bytes: Bytes) -> io::Result<()> {
        let faults = faults();
        while !bytes.is_empty() {
            self.wait_for_room().await?;
            let most = bytes.len().min(WINDOW_BYTES);
            let (size, delay) = with_rng(|rng| {
                let size = if rng.chance(faults.split_percent) { 1 + rng.below(most) } else { most };
                (size, some_delay(rng, faults.delay_max))
            });
            if hits(faults.cut_permille) {
                self.cut();
            }
            if hits(faults.stall_permille) {
                self.outward.stalled.set(true);
            }
            self.outward.put(bytes.split_to(size), delay);
        }
        Ok(())
    }

    async fn wait_for_room(&self) -> io::Result<()> {
        let way = &self.outward;
        while !way.cut.get() && !way.ended.get() && way.bytes.get() >= WINDOW_BYTES {
            way.room.notified().await;
        }
        match () {
            () if way.cut.get() => Err(io::ErrorKind::ConnectionReset.into()),
            () if way.ended.get() => Err(io::ErrorKind::BrokenPipe.into()),
            () => Ok(()),
        }
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.outward.end();
        // Nobody reads what still comes: as the kernel does, tell the writer by a reset.
        if self.inward.bytes.get() > 0 {
            self.outward.cut();
        }
        self.inward.end();
    }
}

impl Stream for SimStream {
    async fn read(&mut self, mut buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        if let Err(e) = self.reading.begin() {
            return (Err(e), buf);
        }
        // Boxed, here and below: a real stream's futures must not grow by what a simulated one needs.
        Box::pin(self.inward.ready()).await;
        self.reading.end();
        let got = self.try_read(&mut buf);
        (got, buf)
    }

    async fn write_all(&mut self, buf: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let written = Box::pin(self.write(Bytes::copy_from_slice(&buf))).await;
        (written, buf)
    }

    async fn write_bytes(&mut self, buf: Bytes) -> io::Result<()> {
        Box::pin(self.write(buf)).await
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        self.outward.end();
        Ok(())
    }

    async fn readable(&self) -> io::Result<()> {
        Box::pin(self.inward.ready()).await;
        Ok(())
    }

    fn peek_closed(&self) -> bool {
        self.inward.is_ready() && (self.inward.cut.get() || self.inward.pieces.borrow().is_empty())
    }

    fn try_read(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.reading.check()?;
        if buf.len() == buf.capacity() {
            buf.reserve(READ_RESERVE);
        }
        self.inward.take(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{sim, task};

    /// Sends `sent` and reads it back to the end, or to an error.
    async fn transfer(sent: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let (mut client, mut server) = SimStream::pair();
        let writing = task::spawn(async move {
            let result = client.write_all(sent).await.0;
            client.shutdown().await.unwrap();
            result
        });
        let mut got = Vec::new();
        let end = loop {
            let (n, back) = server.read(got).await;
            got = back;
            match n {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(e) => break Err(e),
            }
        };
        drop(server);
        let _ = writing.await;
        (end, got)
    }

    #[test]
    fn delays_and_splits_change_the_pieces_but_not_the_bytes() {
        let faults = NetFaults { delay_max: Duration::from_millis(50), split_percent: 80, ..NetFaults::default() };
        for seed in 0..30 {
            sim::run(seed, async {
                set_net_faults(faults);
                let sent: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0]).collect();
                let (end, got) = transfer(sent.clone()).await;
                end.unwrap();
                assert!(got == sent);
                assert!(Clock::now() > Instant(0), "time passed on the way");
            });
        }
    }

    #[test]
    fn a_cut_is_an_error_and_never_a_short_end() {
        let faults = NetFaults { split_percent: 100, cut_permille: 100, ..NetFaults::default() };
        let cuts = (0..50).filter(|&seed| {
            sim::run(seed, async {
                set_net_faults(faults);
                let (end, got) = transfer(vec![1; 1000]).await;
                match end {
                    Ok(()) => assert_eq!(got.len(), 1000),
                    Err(ref e) => assert_eq!(e.kind(), io::ErrorKind::ConnectionReset),
                }
                end.is_err()
            })
        });
        assert!((5..50).contains(&cuts.count()));
    }

    #[test]
    fn a_stalled_peer_is_found_only_by_a_deadline() {
        sim::run(3, async {
            set_net_faults(NetFaults { stall_permille: 1000, ..NetFaults::default() });
            let late = time::timeout(Duration::from_secs(30), transfer(vec![1])).await;
            assert!(late.is_err());
            assert_eq!(Clock::now(), Instant(30_000_000_000));
        });
    }

    #[test]
    fn connects_are_refused_without_a_listener_or_by_chance() {
        sim::run(4, async {
            let addr = SocketAddr::from(([10, 0, 0, 1], 80));
            assert_eq!(SimStream::connect(addr).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            let listener = SimListener::bind(addr);
            assert!(ensure_free(addr).is_err());
            assert!(SimStream::connect(addr).await.is_ok());
            set_net_faults(NetFaults { refuse_percent: 100, ..NetFaults::default() });
            assert!(SimStream::connect(addr).await.is_err());
            drop(listener);
            ensure_free(addr).unwrap();
        });
    }

    #[test]
    fn a_writer_waits_for_a_slow_reader_and_learns_that_it_left() {
        sim::run(5, async {
            let (mut client, server) = SimStream::pair();
            let writing = task::spawn(async move { client.write_all(vec![0; 1_000_000]).await.0 });
            time::sleep(Duration::from_secs(1)).await;
            assert!(!writing.is_finished());
            drop(server);
            assert!(writing.await.is_err());
        });
    }
}
