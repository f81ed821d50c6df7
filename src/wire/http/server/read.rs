//! Reading requests: the first bytes, the head, the body, and what is left of a body nobody wanted.

use super::{ServerConn, Unread};
use crate::base::buf;
use crate::base::clock::{Clock, Instant};
use crate::base::error::Error;
use crate::base::limits::DRAIN_MAX;
use crate::rt::stream::Stream;
use crate::wire::http::chunk::ChunkDecoder;
use crate::wire::http::conn::Broken;
use crate::wire::http::fault::Fault;
use crate::wire::http::framing::Framing;
use crate::wire::http::head::RequestHead;
use crate::wire::http::method::Method;
use crate::wire::http::scan::Scanner;
use std::mem;
use std::time::Duration;

/// A client that came back this soon is waited for with a buffer in hand: one system call less a request, and at most
/// one idle deadline's worth of memory.
const BUSY_GAP: Duration = Duration::from_millis(50);
/// Most room given to a body before its bytes have come, in bytes.
const BODY_STEP_MAX: usize = 64 * 1024;

type Faulty<T> = Result<T, Fault>;

impl<S: Stream> ServerConn<S> {
    /// Waits for the first bytes of a request; false if none come.
    pub(super) async fn first_bytes(&mut self) -> bool {
        let start = Clock::recent();
        let deadline = start + self.limits.idle_time;
        if !self.busy && self.conn.readable(deadline).await.is_err() {
            return false;
        }
        let came = matches!(self.conn.fill(0, deadline).await, Ok(1..));
        self.busy = Clock::recent().since(start) < BUSY_GAP;
        came
    }

    /// Takes the next head off what has arrived if it says what the last one said, but for what changes from request to
    /// request.
    pub(super) fn known_head(&mut self) -> Option<RequestHead> {
        let (head, len) = RequestHead::like(self.known.as_ref()?, &self.conn.buf, self.limits.head_max)?;
        self.conn.forget(len);
        Some(head)
    }

    /// Reads and parses a head, to know the next by.
    pub(super) async fn unknown_head(&mut self) -> Faulty<RequestHead> {
        let len = self.head_len().await?;
        let head = RequestHead::parse(&self.conn.buf[..len])?;
        self.conn.forget(len);
        self.known = head.known();
        Ok(head)
    }

    /// Reads until the head's end.
    async fn head_len(&mut self) -> Faulty<usize> {
        let mut scanner = Scanner::default();
        let mut deadline = None;
        // RFC 9112 2.2: some clients send a line end behind a body.
        let mut may_skip = true;
        loop {
            if may_skip && self.conn.buf.starts_with(b"\r\n") {
                self.conn.forget(2);
                may_skip = false;
            }
            may_skip &= matches!(self.conn.buf[..], [] | [b'\r']);
            if !may_skip && let Some(end) = scanner.scan(&self.conn.buf, &self.limits)? {
                return Ok(end);
            }
            let deadline = *deadline.get_or_insert_with(|| Clock::recent() + self.limits.head_time);
            self.more(0, deadline, "the head did not arrive in time").await?;
        }
    }

    /// Reads more; the end of the connection is a fault here.
    pub(super) async fn more(&mut self, want: usize, deadline: Instant, late: &'static str) -> Faulty<()> {
        match self.conn.fill(want, deadline).await {
            Ok(0) | Err(Broken::Io(_)) => Err(Fault::bad("the connection ended inside a request")),
            Ok(_) => Ok(()),
            Err(Broken::Late) => Err(Fault::with(408, late)),
        }
    }

    /// Notes what the rest of the exchange needs of its head.
    pub(super) fn begin(&mut self, head: RequestHead) -> RequestHead {
        self.owed = true;
        self.closing = !head.keep_alive();
        self.head_only = head.method() == Method::Head;
        self.old = head.old();
        self.expects_continue = head.expects_continue();
        self.unread = match head.framing() {
            Framing::None | Framing::Close => Unread::Nothing,
            Framing::Length(length) => Unread::Length(length),
            Framing::Chunked => Unread::Chunked(ChunkDecoder::default()),
        };
        head
    }

    pub(super) async fn sized_body(&mut self, length: u64, deadline: Instant) -> Faulty<Vec<u8>> {
        let length = usize::try_from(length).ok().filter(|length| *length <= self.limits.body_max);
        let length = length.ok_or(Fault::with(413, "the body is too long"))?;
        self.welcome(deadline).await?;
        while self.conn.buf.len() < length {
            let missing = length - self.conn.buf.len();
            let want = missing.min(BODY_STEP_MAX.max(self.conn.buf.len()));
            self.more(want, deadline, "the body did not arrive in time").await?;
        }
        Ok(self.conn.take(length))
    }

    pub(super) async fn chunked_body(&mut self, mut decoder: ChunkDecoder, deadline: Instant) -> Faulty<Vec<u8>> {
        self.welcome(deadline).await?;
        let mut body = buf::take();
        loop {
            let used = decoder.decode(&self.conn.buf, &mut body, self.limits.body_max)?;
            self.conn.forget(used);
            if decoder.is_done() {
                return Ok(body);
            }
            self.more(0, deadline, "the body did not arrive in time").await?;
        }
    }

    /// Sends `100 Continue` if the client waits for it and has not begun to send anyway.
    pub(super) async fn welcome(&mut self, deadline: Instant) -> Faulty<()> {
        if !mem::take(&mut self.expects_continue) || !self.conn.buf.is_empty() {
            return Ok(());
        }
        let sent = self.conn.write(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), deadline).await;
        sent.map_err(|_| Fault::bad("the connection ended inside a request"))
    }

    /// Remembers a fault for `refuse`.
    pub(super) fn fail(&mut self, fault: Fault) -> Error {
        self.fault = Some(fault.status);
        self.closing = true;
        fault.downstream()
    }

    /// Reads and drops what is left of the last body; false if that is too much or does not come, in which case the
    /// connection ends so that the client still reads the answer it was given.
    pub(super) async fn drain(&mut self) -> bool {
        if matches!(self.unread, Unread::Nothing) {
            return true;
        }
        let deadline = Clock::now() + self.limits.body_time;
        let mut budget = DRAIN_MAX;
        while let Some(left) = self.drop_buffered(&mut budget) {
            let more = left > 0 && budget > 0 && matches!(self.conn.fill(0, deadline).await, Ok(1..));
            if !more {
                self.closing = true;
                self.linger().await;
                return false;
            }
        }
        true
    }

    /// Drops bytes of the unread body that are in the buffer. How many are still to come, nothing once it is over;
    /// zero stands for a body that cannot be read on.
    pub(super) fn drop_buffered(&mut self, budget: &mut usize) -> Option<u64> {
        let have = self.conn.buf.len();
        match &mut self.unread {
            Unread::Nothing => return None,
            Unread::Length(left) => {
                let some = have.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= some as u64;
                *budget = budget.saturating_sub(some);
                let left = *left;
                self.conn.forget(some);
                if left > 0 {
                    return Some(left);
                }
            }
            Unread::Chunked(decoder) => {
                let mut dropped = buf::take();
                let Ok(used) = decoder.decode(&self.conn.buf, &mut dropped, DRAIN_MAX) else { return Some(0) };
                let done = decoder.is_done();
                buf::give(dropped);
                *budget = budget.saturating_sub(used);
                self.conn.forget(used);
                if !done {
                    return Some(1);
                }
            }
        }
        self.unread = Unread::Nothing;
        None
    }
}
