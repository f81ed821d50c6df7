//! A connection with what has been read from it and not yet used, and the deadline of each wait.

use crate::base::buf;
use crate::base::clock::Instant;
use crate::rt::stream::Stream;
use crate::wire::http::watch::Watch;
use bytes::Bytes;
use std::io;
use std::mem;
use std::pin::pin;

/// Less room than this is not worth a read, in bytes.
const ROOM_MIN: usize = 1024;
/// Room a read is given when the buffer is full, in bytes.
const ROOM: usize = 4 * 1024;

/// Why a connection cannot be used any more.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The peer took too long.
    Late,
    /// Reading or writing failed.
    Io(io::Error),
}

/// Either side's view of one connection.
pub(crate) struct Conn<S> {
    pub(crate) stream: S,
    /// Bytes read and not yet used.
    pub(crate) buf: Vec<u8>,
    watch: Watch,
    /// A read failed or was dropped half way: bytes may be lost.
    read_broken: bool,
    /// A write failed or was dropped half way.
    write_broken: bool,
}

impl<S: Stream> Conn<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buf: Vec::new(), watch: Watch::default(), read_broken: false, write_broken: false }
    }

    /// Whether it can still be used both ways.
    pub(crate) fn is_sound(&self) -> bool {
        !self.read_broken && !self.write_broken
    }

    /// Whether the peer can still be told something.
    pub(crate) fn can_write(&self) -> bool {
        !self.write_broken
    }

    /// Waits until something can be read, holding no buffer. Safe to drop.
    pub(crate) async fn readable(&mut self, deadline: Instant) -> Result<(), Broken> {
        match self.watch.until(deadline, pin!(self.stream.readable())).await {
            Ok(result) => result.map_err(Broken::Io),
            Err(_) => Err(Broken::Late),
        }
    }

    /// Reads once, appending to `buf`; `want` is how much is known to come. 0 is the end.
    pub(crate) async fn fill(&mut self, want: usize, deadline: Instant) -> Result<usize, Broken> {
        let mut buf = mem::take(&mut self.buf);
        if buf.capacity() == 0 {
            buf = buf::take();
        }
        let spare = buf.capacity() - buf.len();
        if spare < want.max(ROOM_MIN) {
            buf.reserve(want.max(ROOM));
        }
        self.read_broken = true;
        let (read, buf) = match self.watch.until(deadline, pin!(self.stream.read(buf))).await {
            Ok((Ok(read), buf)) => (read, buf),
            Ok((Err(error), _)) => return Err(Broken::Io(error)),
            Err(_) => return Err(Broken::Late),
        };
        self.read_broken = false;
        self.buf = buf;
        Ok(read)
    }

    /// Writes all of a pooled buffer, which goes back to the pool.
    pub(crate) async fn write(&mut self, out: Vec<u8>, deadline: Instant) -> Result<(), Broken> {
        self.write_broken = true;
        match self.watch.until(deadline, pin!(self.stream.write_all(out))).await {
            Ok((Ok(()), out)) => buf::give(out),
            Ok((Err(error), _)) => return Err(Broken::Io(error)),
            Err(_) => return Err(Broken::Late),
        }
        self.write_broken = false;
        Ok(())
    }

    /// Writes what there is room for without waiting. What is left comes back, to be written by [`Self::write`].
    ///
    /// # Errors
    /// The peer is gone.
    pub(crate) fn try_write(&self, mut out: Vec<u8>) -> io::Result<Vec<u8>> {
        let put = match self.stream.try_write(&out) {
            Ok(put) => put,
            Err(error) if is_no_answer(&error) => 0,
            Err(error) => return Err(error),
        };
        if put == out.len() {
            buf::give(out);
            return Ok(Vec::new());
        }
        out.drain(..put);
        Ok(out)
    }

    /// Writes shared bytes.
    pub(crate) async fn write_bytes(&mut self, out: Bytes, deadline: Instant) -> Result<(), Broken> {
        self.write_broken = true;
        match self.watch.until(deadline, pin!(self.stream.write_bytes(out))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Broken::Io(error)),
            Err(_) => return Err(Broken::Late),
        }
        self.write_broken = false;
        Ok(())
    }

    /// Ends our half, as far as the peer still cares.
    pub(crate) async fn shutdown(&mut self, deadline: Instant) {
        // The connection is given up either way; an error here tells nothing new.
        let _ = self.watch.until(deadline, pin!(self.stream.shutdown())).await;
    }

    /// Takes the first `len` bytes of what was read. What follows stays, in a buffer of its own.
    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        let mut taken = mem::take(&mut self.buf);
        if taken.len() > len {
            let mut rest = buf::take();
            rest.extend_from_slice(&taken[len..]);
            taken.truncate(len);
            self.buf = rest;
        }
        taken
    }

    /// Lets go of what only a busy connection needs: an empty buffer, and a timer that no wait is under.
    pub(crate) fn rest(&mut self) {
        self.watch = Watch::default();
        if self.buf.is_empty() {
            buf::give(mem::take(&mut self.buf));
        }
    }

    /// Forgets the first `len` bytes of what was read, and the buffer if none are left.
    pub(crate) fn forget(&mut self, len: usize) {
        if len >= self.buf.len() {
            buf::give(mem::take(&mut self.buf));
        } else {
            self.buf.drain(..len);
        }
    }
}

/// Whether a write that was not to wait says nothing about the peer.
fn is_no_answer(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::Unsupported)
}
