//! TCP on this thread's ring or epoll.

use super::stream::{Busy, READ_RESERVE, Stream, with_room};
use super::{mode, sys};
use bytes::Bytes;
use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

pub use super::resolve::resolve;

/// Connections the kernel completes before we accept them; more are turned away by it.
const BACKLOG: i32 = 4096;
/// Silence after which the kernel asks whether a peer still lives.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// Time between such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// Unanswered questions after which the connection is reset.
const KEEPALIVE_TRIES: u32 = 3;
/// Pause before telling that no descriptor or memory is left, so that an accept loop cannot spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// A listening socket of one shard; each shard binds its own to the same address.
#[derive(Debug)]
pub struct TcpListener {
    inner: monoio::net::TcpListener,
    addr: SocketAddr,
}

/// A plain socket with what both ends of the gate share.
fn listening_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Checks that nobody listens on an address yet. [`TcpListener::bind`] alone would share it with another process of
/// the same user, each getting half the connections.
///
/// # Errors
/// `AddrInUse` if somebody listens there, or whatever keeps us from binding it.
pub fn ensure_free(addr: SocketAddr) -> io::Result<()> {
    let socket = listening_socket(addr)?;
    socket.bind(&addr.into())?;
    socket.listen(1)
}

impl TcpListener {
    /// Listens on an address, sharing it with the other shards of this process (SO_REUSEPORT). Port 0 takes a free
    /// one; [`TcpListener::local_addr`] tells which. Must be called inside a runtime.
    ///
    /// # Errors
    /// The address is taken by a stranger, not ours, or not allowed.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = listening_socket(addr)?;
        socket.set_reuse_port(true)?;
        // Accepted sockets inherit these.
        socket.set_tcp_nodelay(true)?;
        socket.set_keepalive(true)?;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
        socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_TRIES))?;
        socket.set_nonblocking(mode::wants_nonblocking())?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        let std = std::net::TcpListener::from(socket);
        let addr = std.local_addr()?;
        Ok(Self { inner: monoio::net::TcpListener::from_std(std)?, addr })
    }

    /// Takes the next connection. Never drop it while it waits: a connection accepted by then would leak. One task
    /// owns the listener and calls nothing else.
    ///
    /// # Errors
    /// Out of descriptors or memory, told after a short pause; a loop simply goes on.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            match self.inner.accept().await {
                Ok((stream, peer)) => return Ok((TcpStream::new(stream), peer)),
                Err(e) if is_about_one_connection(&e) => {}
                Err(e) => {
                    super::time::sleep(EXHAUSTED_PAUSE).await;
                    return Err(e);
                }
            }
        }
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

/// Whether a failed accept says something about a connection that died in the queue, not about us (accept(2)).
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, PermissionDenied, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | PermissionDenied | WouldBlock)
}

/// A TCP connection, without Nagle's delay.
#[derive(Debug)]
pub struct TcpStream {
    inner: monoio::net::TcpStream,
    reading: Busy,
    writing: Busy,
}

impl TcpStream {
    /// Connects; limit it with [`super::time::timeout`], which may drop it safely.
    ///
    /// # Errors
    /// Refused, unreachable, or out of descriptors.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let inner = monoio::net::TcpStream::connect_addr(addr).await?;
        inner.set_nodelay(true)?;
        Ok(Self::new(inner))
    }

    fn new(inner: monoio::net::TcpStream) -> Self {
        Self { inner, reading: Busy::default(), writing: Busy::default() }
    }

    /// Our address on this connection.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// The peer's address.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    #[allow(unsafe_code, reason = "monoio hands out only the number of a descriptor")]
    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `inner` owns the descriptor and outlives the borrow.
        unsafe { BorrowedFd::borrow_raw(self.inner.as_raw_fd()) }
    }
}

impl Stream for TcpStream {
    async fn read(&mut self, buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        if let Err(e) = self.reading.begin() {
            return (Err(e), buf);
        }
        let buf = with_room(buf);
        let filled = buf.len();
        let (result, spare) = self.inner.read(buf.slice_mut(filled..)).await;
        self.reading.end();
        (result, spare.into_inner())
    }

    async fn write_all(&mut self, buf: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        if let Err(e) = self.writing.begin() {
            return (Err(e), buf);
        }
        let (result, buf) = self.inner.write_all(buf).await;
        self.writing.end();
        (result.map(drop), buf)
    }

    async fn write_bytes(&mut self, buf: Bytes) -> io::Result<()> {
        self.writing.begin()?;
        let (result, _) = self.inner.write_all(buf).await;
        self.writing.end();
        result.map(drop)
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        self.inner.shutdown().await
    }

    async fn readable(&self) -> io::Result<()> {
        self.inner.readable(false).await
    }

    fn peek_closed(&self) -> bool {
        !matches!(sys::peek(self.fd()), Ok(sys::Peeked::Bytes | sys::Peeked::Nothing))
    }

    fn try_read(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        if self.reading.is_taken() {
            return Err(io::Error::other("an earlier read on this stream was dropped half way; close the stream"));
        }
        if buf.len() == buf.capacity() {
            buf.reserve(READ_RESERVE);
        }
        sys::recv_spare(self.fd(), buf)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rt::shard::tests::on_each_driver;
    use crate::rt::{task, time};

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
        on_each_driver(echo_once);
    }

    #[test]
    fn megabytes_pass_a_slow_reader_whole() {
        on_each_driver(|| async {
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
        on_each_driver(|| async {
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
        on_each_driver(|| async {
            let (_client, mut server) = pair().await;
            assert!(time::timeout(Duration::from_millis(1), server.read(Vec::new())).await.is_err());
            assert!(server.read(Vec::new()).await.0.is_err());
        });
    }

    #[test]
    fn a_gone_peer_is_seen_without_reading_and_waiting_bytes_are_not_taken_for_it() {
        on_each_driver(|| async {
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
        on_each_driver(|| async {
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
