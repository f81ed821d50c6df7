//! An answer as it arrives: head known, body read piece by piece or whole, its connection kept only if all was read.

use crate::base::buf;
use crate::base::clock::Instant;
use crate::base::error::{Error, Kind, Result, Retry, Side};
use crate::rt::stream::Stream;
use crate::wire::http::chunk::ChunkDecoder;
use crate::wire::http::conn::{Broken, Conn};
use crate::wire::http::fault::Fault;
use crate::wire::http::framing::Framing;
use crate::wire::http::head::ResponseHead;
use crate::wire::http::pool::Shelf;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

/// Most room given to a body before its bytes have come, in bytes.
const STEP_MAX: usize = 256 * 1024;
/// Taken off a server's word on how long it keeps a connection: our clocks and the wire differ.
const HINT_MARGIN: Duration = Duration::from_secs(1);

/// What of the body is still to come.
#[derive(Debug)]
enum Rest {
    Done,
    Length(u64),
    Chunked(ChunkDecoder),
    Close,
}

/// The answer to one request. Dropped before its body is read, it closes its connection.
pub struct Response<S: Stream> {
    head: ResponseHead,
    rest: Rest,
    conn: Option<Conn<S>>,
    /// Where the connection goes when the answer is read.
    shelf: Rc<Shelf<S>>,
    deadline: Instant,
}

impl<S: Stream> Response<S> {
    /// The answer that `conn` brings.
    pub(crate) fn new(head: ResponseHead, conn: Option<Conn<S>>, shelf: Rc<Shelf<S>>, deadline: Instant) -> Self {
        let rest = match head.framing() {
            Framing::None => Rest::Done,
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunked(ChunkDecoder::default()),
            Framing::Close => Rest::Close,
        };
        let mut response = Self { head, rest, conn, shelf, deadline };
        if matches!(response.rest, Rest::Done) {
            response.finish();
        }
        response
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The first value of a header; names compare without case.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.head.header(name)
    }

    /// The whole head.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// Whether the content type is JSON.
    pub fn is_json(&self) -> bool {
        self.head.is_json()
    }

    /// Whether the content type is `text/event-stream`.
    pub fn is_event_stream(&self) -> bool {
        self.head.is_event_stream()
    }

    /// Moves the deadline, which from here on holds for every wait.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Waits until [`Self::next_chunk`] has something to read. Safe to drop, which `next_chunk` is not: so this is what
    /// to race against other events. The deadline does not hold here.
    pub async fn ready(&self) {
        if let Some(conn) = self.conn.as_ref().filter(|conn| conn.buf.is_empty()) {
            // An error is told by the read that follows.
            let _ = conn.stream.readable().await;
        }
    }

    /// The next piece of the body as it came; nothing at its end. A piece may go back to the thread's buffer pool.
    ///
    /// # Errors
    /// The body is malformed, cut short, or did not come in time.
    pub async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let Some(conn) = &mut self.conn else { return Ok(None) };
            let piece = next_piece(&mut self.rest, conn).inspect_err(|_| self.conn = None)?;
            if let Some(piece) = piece {
                if matches!(self.rest, Rest::Done) {
                    self.finish();
                }
                return Ok(Some(piece));
            }
            if matches!(self.rest, Rest::Done) {
                self.finish();
                return Ok(None);
            }
            self.more(0).await?;
        }
    }

    /// What is left of the body, at most `max` bytes of it.
    ///
    /// # Errors
    /// As [`Self::next_chunk`], or the body is longer.
    pub async fn collect(&mut self, max: usize) -> Result<Vec<u8>> {
        let body = match mem::replace(&mut self.rest, Rest::Done) {
            Rest::Done => Ok(Vec::new()),
            Rest::Length(length) => self.collect_sized(length, max).await,
            Rest::Chunked(decoder) => self.collect_chunked(decoder, max).await,
            Rest::Close => self.collect_to_close(max).await,
        };
        self.settle(body)
    }

    /// Ends a whole read. A body that was not read to its end takes its connection along.
    fn settle(&mut self, body: Result<Vec<u8>>) -> Result<Vec<u8>> {
        match &body {
            Ok(_) => self.finish(),
            Err(_) => self.conn = None,
        }
        body
    }

    async fn collect_sized(&mut self, length: u64, max: usize) -> Result<Vec<u8>> {
        let length = usize::try_from(length).ok().filter(|length| *length <= max).ok_or_else(|| too_long(max))?;
        loop {
            let have = self.buffered().len();
            if have >= length {
                return Ok(self.conn.as_mut().map(|conn| conn.take(length)).unwrap_or_default());
            }
            self.more((length - have).min(STEP_MAX.max(have))).await?;
        }
    }

    async fn collect_chunked(&mut self, mut decoder: ChunkDecoder, max: usize) -> Result<Vec<u8>> {
        let mut body = buf::take();
        loop {
            let used = decoder.decode(self.buffered(), &mut body, max).map_err(|fault| bounded(fault, max))?;
            if let Some(conn) = &mut self.conn {
                conn.forget(used);
            }
            if decoder.is_done() {
                return Ok(body);
            }
            self.more(0).await?;
        }
    }

    async fn collect_to_close(&mut self, max: usize) -> Result<Vec<u8>> {
        self.rest = Rest::Close;
        while matches!(self.rest, Rest::Close) {
            if self.buffered().len() > max {
                return Err(too_long(max));
            }
            self.more(0).await?;
        }
        Ok(self.conn.as_mut().map(|conn| conn.take(usize::MAX)).unwrap_or_default())
    }

    fn buffered(&self) -> &[u8] {
        self.conn.as_ref().map_or(&[], |conn| &conn.buf)
    }

    /// Reads more. The end of the connection ends a body that nothing else ends, and cuts any other short.
    async fn more(&mut self, want: usize) -> Result<()> {
        let Some(conn) = &mut self.conn else { return Err(cut_short()) };
        let read = conn.fill(want, self.deadline).await;
        if matches!(read, Ok(1..)) {
            return Ok(());
        }
        if matches!((&read, &self.rest), (Ok(0), Rest::Close)) {
            self.rest = Rest::Done;
            return Ok(());
        }
        self.conn = None;
        Err(match read {
            Err(Broken::Late) => {
                let words = "the answer did not arrive in time";
                Error::new(Kind::Timeout, words).side(Side::Upstream).retry(Retry::Unsafe)
            }
            _ => cut_short(),
        })
    }

    /// The body is read: keeps the connection for another request if both sides can.
    fn finish(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        // Bytes behind the answer belong to nothing we asked for.
        if self.head.keep_alive() && conn.is_sound() && conn.buf.is_empty() {
            self.shelf.put(conn, self.head.kept_for().map(|kept| kept.saturating_sub(HINT_MARGIN)));
        }
    }
}

/// Takes what is buffered of the body; marks it done at its end.
fn next_piece<S: Stream>(rest: &mut Rest, conn: &mut Conn<S>) -> Result<Option<Vec<u8>>> {
    if conn.buf.is_empty() {
        return Ok(None);
    }
    let (piece, done) = match rest {
        Rest::Done => return Ok(None),
        Rest::Close => (conn.take(usize::MAX), false),
        Rest::Length(left) => {
            let piece = conn.take(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= piece.len() as u64;
            (piece, *left == 0)
        }
        Rest::Chunked(decoder) => {
            let mut piece = buf::take();
            let used = decoder.decode(&conn.buf, &mut piece, usize::MAX).map_err(Fault::upstream)?;
            conn.forget(used);
            (piece, decoder.is_done())
        }
    };
    if done {
        *rest = Rest::Done;
    }
    if piece.is_empty() {
        buf::give(piece);
        return Ok(None);
    }
    Ok(Some(piece))
}

fn cut_short() -> Error {
    Error::new(Kind::BadAnswer, "the answer was cut short").side(Side::Upstream).retry(Retry::Unsafe)
}

fn too_long(max: usize) -> Error {
    let words = format!("the answer is longer than {max} bytes");
    Error::new(Kind::BadAnswer, words).side(Side::Upstream).retry(Retry::Unsafe)
}

fn bounded(fault: Fault, max: usize) -> Error {
    if fault.status == 413 { too_long(max) } else { fault.upstream() }
}
