//! TCP: on this thread's ring or epoll, or inside a simulation.

use super::stream::Stream;
use super::tcp::{OsListener, OsStream};
use super::{mode, sim, tcp};
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;

pub use super::resolve::resolve;

/// A listening socket of one shard; each shard binds its own to the same address.
#[derive(Debug)]
pub struct TcpListener(Listener);

#[derive(Debug)]
enum Listener {
    Os(OsListener),
    Sim(sim::SimListener),
}

/// A TCP connection, without Nagle's delay.
#[derive(Debug)]
pub struct TcpStream(Either);

#[derive(Debug)]
enum Either {
    Os(OsStream),
    Sim(sim::SimStream),
}

/// Checks that nobody listens on an address yet. [`TcpListener::bind`] alone would share it with another process of
/// the same user, each getting half the connections.
///
/// # Errors
/// `AddrInUse` if somebody listens there, or whatever keeps us from binding it.
pub fn ensure_free(addr: SocketAddr) -> io::Result<()> {
    if mode::is_sim() { sim::ensure_free(addr) } else { tcp::ensure_free(addr) }
}

impl TcpListener {
    /// Listens on an address, sharing it with the other shards of this process (SO_REUSEPORT). Port 0 takes a free
    /// one; [`TcpListener::local_addr`] tells which. Must be called inside a runtime.
    ///
    /// # Errors
    /// The address is taken by a stranger, not ours, or not allowed.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        if mode::is_sim() {
            return Ok(Self(Listener::Sim(sim::SimListener::bind(addr))));
        }
        OsListener::bind(addr).map(|listener| Self(Listener::Os(listener)))
    }

    /// Takes the next connection. Never drop it while it waits: a connection accepted by then would leak. One task
    /// owns the listener and calls nothing else.
    ///
    /// # Errors
    /// Out of descriptors or memory, told after a short pause; a loop simply goes on.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.0 {
            Listener::Os(os) => os.accept().await.map(|(stream, peer)| (TcpStream(Either::Os(stream)), peer)),
            Listener::Sim(sim) => {
                let stream = sim.accept().await;
                let peer = stream.peer_addr();
                Ok((TcpStream(Either::Sim(stream)), peer))
            }
        }
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        match &self.0 {
            Listener::Os(os) => os.local_addr(),
            Listener::Sim(sim) => sim.local_addr(),
        }
    }
}

/// Runs one expression on whichever stream it is.
macro_rules! either {
    ($self:ident, $stream:ident => $what:expr) => {
        match &$self.0 {
            Either::Os($stream) => $what,
            Either::Sim($stream) => $what,
        }
    };
    (mut $self:ident, $stream:ident => $what:expr) => {
        match &mut $self.0 {
            Either::Os($stream) => $what,
            Either::Sim($stream) => $what,
        }
    };
}

impl TcpStream {
    /// Connects; limit it with [`super::time::timeout`], which may drop it safely.
    ///
    /// # Errors
    /// Refused, unreachable, or out of descriptors.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        if mode::is_sim() {
            return sim::SimStream::connect(addr).await.map(|stream| Self(Either::Sim(stream)));
        }
        OsStream::connect(addr).await.map(|stream| Self(Either::Os(stream)))
    }

    /// Our address on this connection.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Either::Os(os) => os.local_addr(),
            Either::Sim(sim) => Ok(sim.local_addr()),
        }
    }

    /// The peer's address.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Either::Os(os) => os.peer_addr(),
            Either::Sim(sim) => Ok(sim.peer_addr()),
        }
    }
}

impl Stream for TcpStream {
    async fn read(&mut self, buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        either!(mut self, stream => stream.read(buf).await)
    }

    async fn write_all(&mut self, buf: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        either!(mut self, stream => stream.write_all(buf).await)
    }

    async fn write_bytes(&mut self, buf: Bytes) -> io::Result<()> {
        either!(mut self, stream => stream.write_bytes(buf).await)
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        either!(mut self, stream => stream.shutdown().await)
    }

    async fn readable(&self) -> io::Result<()> {
        either!(self, stream => stream.readable().await)
    }

    fn peek_closed(&self) -> bool {
        either!(self, stream => stream.peek_closed())
    }

    fn try_read(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        either!(self, stream => stream.try_read(buf))
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, stream => stream.try_write(bytes))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rt::shard::tests::{on_each_driver, on_each_runtime};
    use crate::rt::{task, time};
    use std::time::Duration;

    /// A listener on a free loopback port.
    fn listen() -> TcpListener {
        TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
    }

    /// A connected pair, client first.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = listen();
        let addr = listener.local_addr();
        let accepted = task::spawn(async move { listener.accept().await.unwrap() });
        let client = TcpStream::connect(addr).await.unwrap();
        let (server, peer) = accepted.await;
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(client.peer_addr().unwrap(), addr);
        (client, server)
    }

    /// One short message there and back.
    pub(crate) async fn echo_once() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"ping".to_vec()).await.0.unwrap();
        let (got, buf) = server.read(Vec::new()).await;
        assert_eq!((got.unwrap(), &buf[..]), (4, &b"ping"[..]));
        server.write_bytes(Bytes::from_static(b"pong")).await.unwrap();
        let (got, buf) = client.read(b">".to_vec()).await;
        assert_eq!((got.unwrap(), &buf[..]), (4, &b">pong"[..]));
    }

    #[test]
    fn bytes_go_there_and_back_and_reads_append() {
        on_each_runtime(echo_once);
    }

    #[test]
    fn megabytes_pass_a_slow_reader_whole() {
        on_each_runtime(|| async {
            let (mut client, mut server) = pair().await;
            let sent: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
            let copy = sent.clone();
            let writer = task::spawn(async move {
                let (result, back) = client.write_all(copy).await;
                result.unwrap();
                assert_eq!(back.len(), 3_000_000);
                client.shutdown().await.unwrap();
                client
            });
            let mut got = Vec::with_capacity(1024);
            loop {
                let (n, back) = server.read(got).await;
                got = back;
                if n.unwrap() == 0 {
                    break;
                }
                task::yield_now().await;
            }
            assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
            drop(writer.await);
        });
    }

    #[test]
    fn waiting_for_bytes_can_be_dropped_and_loses_none() {
        on_each_runtime(|| async {
            let (mut client, mut server) = pair().await;
            for round in 0..20u8 {
                assert!(time::timeout(Duration::from_millis(1), server.readable()).await.is_err());
                client.write_all(vec![round]).await.0.unwrap();
                server.readable().await.unwrap();
                let (n, buf) = server.read(Vec::new()).await;
                assert_eq!((n.unwrap(), buf), (1, vec![round]));
            }
        });
    }

    #[test]
    fn a_dropped_read_makes_the_next_one_fail() {
        on_each_runtime(|| async {
            let (_client, mut server) = pair().await;
            assert!(time::timeout(Duration::from_millis(1), server.read(Vec::new())).await.is_err());
            assert!(server.read(Vec::new()).await.0.is_err());
        });
    }

    #[test]
    fn a_write_that_does_not_wait_takes_what_there_is_room_for() {
        on_each_driver(|| async {
            let (mut client, server) = pair().await;
            assert_eq!(server.try_write(b"hello").unwrap(), 5);
            let (got, buf) = client.read(Vec::new()).await;
            assert_eq!((got.unwrap(), &buf[..]), (5, &b"hello"[..]));
            let much = vec![0; 1 << 20];
            let full = loop {
                match server.try_write(&much) {
                    Ok(put) => assert!((1..=much.len()).contains(&put)),
                    Err(error) => break error,
                }
            };
            assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        });
    }

    #[test]
    fn a_gone_peer_is_seen_without_reading_and_waiting_bytes_are_not_taken_for_it() {
        on_each_runtime(|| async {
            let (mut client, mut server) = pair().await;
            assert!(!server.peek_closed());
            client.write_all(b"x".to_vec()).await.0.unwrap();
            server.readable().await.unwrap();
            assert!(!server.peek_closed());
            drop(client);
            server.read(Vec::new()).await.0.unwrap();
            server.readable().await.unwrap();
            assert!(server.peek_closed());
            assert_eq!(server.read(Vec::new()).await.0.unwrap(), 0);
        });
    }

    #[test]
    fn a_refused_connection_is_an_error_and_a_taken_address_too() {
        on_each_runtime(|| async {
            let listener = listen();
            let addr = listener.local_addr();
            assert_eq!(ensure_free(addr).unwrap_err().kind(), io::ErrorKind::AddrInUse);
            let second = TcpListener::bind(addr).unwrap();
            assert_eq!(second.local_addr(), addr);
            let free = SocketAddr::from(([127, 0, 0, 1], 1));
            ensure_free(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            let refused = TcpStream::connect(free).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        });
    }
}
