//! Writing answers: how many writes, when the connection ends, and how it ends so that the answer is still read.

use super::{Body, ServerConn, Unread};
use crate::base::buf;
use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result, Side};
use crate::base::limits::{DRAIN_MAX, LINGER_MAX, LINGER_MS};
use crate::rt::stream::Stream;
use crate::wire::http::conn::Broken;
use bytes::Bytes;
use std::io;
use std::mem;
use std::time::Duration;

/// Longest time spent on a client that has had its last answer.
const LINGER_TIME: Duration = Duration::from_millis(LINGER_MS);
/// Answers up to this size leave in one write with their head, in bytes.
const JOIN_MAX: usize = 32 * 1024;

impl<S: Stream> ServerConn<S> {
    /// Decides before an answer whether it is the last: a long body that nobody read is not worth reading, and a client
    /// that waits for `100 Continue` may or may not send its body after another answer.
    pub(super) fn settle_close(&mut self) {
        let buffered = self.conn.buf.len() as u64;
        let too_long = match &self.unread {
            Unread::Nothing => false,
            Unread::Length(left) => left.saturating_sub(buffered) > DRAIN_MAX as u64,
            Unread::Chunked(_) => false,
        };
        let waits = self.expects_continue && !matches!(self.unread, Unread::Nothing);
        self.closing |= too_long || waits;
    }

    /// The `Connection` header of the answer.
    pub(super) fn connection(&self) -> Option<&'static str> {
        match (self.closing, self.old) {
            (true, _) => Some("close"),
            (false, true) => Some("keep-alive"),
            (false, false) => None,
        }
    }

    /// Writes a head and a body, in one write unless the body is large.
    pub(super) async fn send(&mut self, mut out: Vec<u8>, body: Body) -> Result<()> {
        let deadline = Clock::recent() + self.limits.write_time;
        let sent = match body {
            Body::Empty => self.conn.write(out, deadline).await,
            Body::Vec(bytes) if bytes.len() <= JOIN_MAX => {
                out.extend_from_slice(&bytes);
                buf::give(bytes);
                self.conn.write(out, deadline).await
            }
            Body::Vec(bytes) => match self.conn.write(out, deadline).await {
                Ok(()) => self.conn.write(bytes, deadline).await,
                broken => broken,
            },
            Body::Parts(parts) => self.send_parts(out, parts, deadline).await,
        };
        sent.map_err(|broken| self.lose(broken))
    }

    /// Small parts are gathered, large ones written as they are.
    pub(super) async fn send_parts(
        &mut self,
        mut out: Vec<u8>,
        parts: Vec<Bytes>,
        deadline: Instant,
    ) -> std::result::Result<(), Broken> {
        for part in parts {
            if out.len() + part.len() <= JOIN_MAX {
                out.extend_from_slice(&part);
                continue;
            }
            self.conn.write(mem::replace(&mut out, buf::take()), deadline).await?;
            if part.len() <= JOIN_MAX / 2 {
                out.extend_from_slice(&part);
            } else {
                self.conn.write_bytes(part, deadline).await?;
            }
        }
        if out.is_empty() {
            buf::give(out);
            return Ok(());
        }
        self.conn.write(out, deadline).await
    }

    /// The client did not take what we wrote.
    pub(super) fn lose(&mut self, broken: Broken) -> Error {
        self.closing = true;
        match broken {
            Broken::Late => Error::new(Kind::Timeout, "the client reads too slowly").side(Side::Downstream),
            Broken::Io(error) => gone(error),
        }
    }

    /// After an answer: keeps the connection, or closes it so that the client still reads the answer.
    pub(super) async fn end_exchange(&mut self) {
        if !self.closing {
            return;
        }
        if matches!(self.unread, Unread::Nothing) {
            self.conn.shutdown(Clock::now() + LINGER_TIME).await;
        } else {
            self.linger().await;
        }
    }

    /// Ends our half and drops for a moment what still comes: closing with bytes unread would send a reset, which may
    /// overtake the answer (RFC 9112 9.6).
    pub(super) async fn linger(&mut self) {
        let deadline = Clock::now() + LINGER_TIME;
        self.conn.shutdown(deadline).await;
        let mut dropped = 0;
        while dropped < LINGER_MAX {
            self.conn.forget(self.conn.buf.len());
            match self.conn.fill(0, deadline).await {
                Ok(read @ 1..) => dropped += read,
                _ => return,
            }
        }
    }
}

/// The error of a write to a client that is gone.
pub(super) fn gone(error: io::Error) -> Error {
    Error::new(Kind::Io, format!("the client is gone: {error}")).side(Side::Downstream)
}
