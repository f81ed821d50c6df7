//! The proxy loop: read a request, send it over a kept connection, read the answer, send it back.

use crate::message::{self, From, MESSAGE_MAX};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;

/// A connection of one runtime. Buffers are given and given back, as io_uring needs them.
pub(crate) trait Wire: Sized {
    /// Connects, without waiting for small packets to fill.
    async fn connect(to: SocketAddr) -> io::Result<Self>;
    /// Reads once, behind what the buffer holds; 0 at the end.
    async fn read(&mut self, buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>);
    /// Writes the whole buffer.
    async fn write(&mut self, buf: Vec<u8>) -> (io::Result<()>, Vec<u8>);
}

/// Connections to the upstream that wait for the next request of this thread.
pub(crate) struct Pool<W> {
    upstream: SocketAddr,
    idle: RefCell<Vec<W>>,
}

impl<W: Wire> Pool<W> {
    pub(crate) fn new(upstream: SocketAddr) -> Self {
        Self { upstream, idle: RefCell::default() }
    }

    async fn take(&self) -> io::Result<W> {
        let kept = self.idle.borrow_mut().pop();
        match kept {
            Some(kept) => Ok(kept),
            None => W::connect(self.upstream).await,
        }
    }

    fn give(&self, upstream: W) {
        self.idle.borrow_mut().push(upstream);
    }
}

/// Serves one client until it leaves or something fails; a failed exchange costs the client its connection.
pub(crate) async fn serve<W: Wire>(mut client: W, pool: &Pool<W>) {
    let mut buf = Vec::with_capacity(MESSAGE_MAX);
    while let Ok(Some(request)) = whole(&mut client, buf, From::Client).await {
        match exchange(&mut client, request, pool).await {
            Ok(emptied) => buf = emptied,
            Err(error) => return eprintln!("runtimes: an exchange failed: {error}"),
        }
    }
}

async fn exchange<W: Wire>(client: &mut W, request: Vec<u8>, pool: &Pool<W>) -> io::Result<Vec<u8>> {
    let mut upstream = pool.take().await?;
    let buf = send(&mut upstream, request).await?;
    let answer = whole(&mut upstream, buf, From::Server).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    pool.give(upstream);
    send(client, answer).await
}

/// Reads a whole message; nothing if the other side closed before one began.
async fn whole<W: Wire>(wire: &mut W, mut buf: Vec<u8>, from: From) -> io::Result<Option<Vec<u8>>> {
    loop {
        let (came, back) = wire.read(buf).await;
        buf = back;
        match (came?, buf.is_empty()) {
            (0, true) => return Ok(None),
            (0, false) => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
        // Nobody here sends a second message before the first is answered.
        match message::length(&buf, from)? {
            Some(length) if length == buf.len() => return Ok(Some(buf)),
            Some(_) => return Err(io::Error::other("bytes behind a message")),
            None => {}
        }
    }
}

/// Sends it all; the buffer comes back empty.
async fn send<W: Wire>(wire: &mut W, buf: Vec<u8>) -> io::Result<Vec<u8>> {
    let (sent, mut buf) = wire.write(buf).await;
    buf.clear();
    sent.map(|()| buf)
}
