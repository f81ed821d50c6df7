//! TCP on this thread's ring or epoll: what [`super::net`] is outside a simulation.

use super::stream::{Busy, READ_RESERVE, Stream, with_room};
use super::{mode, sys};
use bytes::Bytes;
use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::time::Duration;

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
pub(super) struct OsListener {
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

/// Checks that nobody listens on an address yet.
pub(super) fn ensure_free(addr: SocketAddr) -> io::Result<()> {
    let socket = listening_socket(addr)?;
    socket.bind(&addr.into())?;
    socket.listen(1)
}

impl OsListener {
    pub(super) fn bind(addr: SocketAddr) -> io::Result<Self> {
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

    pub(super) async fn accept(&self) -> io::Result<(OsStream, SocketAddr)> {
        loop {
            match self.inner.accept().await {
                Ok((stream, peer)) => return Ok((OsStream::new(stream), peer)),
                Err(e) if is_about_one_connection(&e) => {}
                Err(e) => {
                    super::time::sleep(EXHAUSTED_PAUSE).await;
                    return Err(e);
                }
            }
        }
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
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
pub(super) struct OsStream {
    inner: monoio::net::TcpStream,
    reading: Busy,
    writing: Busy,
}

impl OsStream {
    pub(super) async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let inner = monoio::net::TcpStream::connect_addr(addr).await?;
        inner.set_nodelay(true)?;
        Ok(Self::new(inner))
    }

    fn new(inner: monoio::net::TcpStream) -> Self {
        Self { inner, reading: Busy::default(), writing: Busy::default() }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// Writes what a first write has left from `put` on. Boxed, as few find less room than they need.
    fn write_rest(&mut self, buf: Vec<u8>, put: usize) -> Pin<Box<impl Future<Output = (io::Result<()>, Vec<u8>)>>> {
        Box::pin(async move {
            let (result, rest) = self.inner.write_all(buf.slice(put..)).await;
            (result.map(drop), rest.into_inner())
        })
    }

    #[allow(unsafe_code, reason = "monoio hands out only the number of a descriptor")]
    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `inner` owns the descriptor and outlives the borrow.
        unsafe { BorrowedFd::borrow_raw(self.inner.as_raw_fd()) }
    }
}

impl Stream for OsStream {
    async fn read(&mut self, buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        if let Err(e) = self.reading.begin() {
            return (Err(e), buf);
        }
        let buf = with_room(buf);
        let filled = buf.len();
        // An empty buffer, which is nearly each, goes as it is: the runtime moves it often on its way.
        let (result, buf) = if filled == 0 {
            self.inner.read(buf).await
        } else {
            let (result, spare) = self.inner.read(buf.slice_mut(filled..)).await;
            (result, spare.into_inner())
        };
        self.reading.end();
        (result, buf)
    }

    async fn write_all(&mut self, buf: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        if let Err(e) = self.writing.begin() {
            return (Err(e), buf);
        }
        let (first, buf) = self.inner.write(buf).await;
        let (result, buf) = match first {
            Ok(put) if put == buf.len() => (Ok(()), buf),
            Ok(put) => self.write_rest(buf, put).await,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => self.write_rest(buf, 0).await,
            Err(e) => (Err(e), buf),
        };
        self.writing.end();
        (result, buf)
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
        self.reading.check()?;
        if buf.len() == buf.capacity() {
            buf.reserve(READ_RESERVE);
        }
        sys::recv_spare(self.fd(), buf)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.writing.check()?;
        sys::send_some(self.fd(), bytes)
    }
}
