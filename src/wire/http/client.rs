//! The client: one a shard, its connections kept between requests.
//!
//! A request is sent twice in one case only: it is marked idempotent and the kept connection it went to was closed
//! before any byte of an answer. All else is for the caller to decide, by the error's `Retry`.

use crate::base::buf;
use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result, Retry, Side};
use crate::base::limits::{CONNECT_DEADLINE_MS, INFORMATIONAL_MAX};
use crate::rt::stream::Stream;
use crate::rt::time;
use crate::wire::http::conn::{Broken, Conn};
use crate::wire::http::endpoint::{Connect, Dial, Endpoint};
use crate::wire::http::fault::Fault;
use crate::wire::http::head::ResponseHead;
use crate::wire::http::limits::HttpLimits;
use crate::wire::http::method::Method;
use crate::wire::http::pool::{Pool, Shelf};
use crate::wire::http::request::Request;
use crate::wire::http::response::Response;
use crate::wire::http::scan::Scanner;
use bytes::Bytes;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

/// Requests up to this size leave in one write with their head, in bytes.
const JOIN_MAX: usize = 32 * 1024;

/// One shard's HTTP client. A clone shares the pool.
pub struct Client<C: Connect = Dial> {
    connect: Rc<C>,
    pool: Rc<Pool<C::Stream>>,
    limits: HttpLimits,
}

impl<C: Connect> Clone for Client<C> {
    fn clone(&self) -> Self {
        Self { connect: self.connect.clone(), pool: self.pool.clone(), limits: self.limits }
    }
}

impl Client<Dial> {
    /// A client over TCP and TLS.
    pub fn new() -> Self {
        Self::over(Dial)
    }
}

impl Default for Client<Dial> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Connect> Client<C> {
    /// A client over connections that `connect` opens.
    pub fn over(connect: C) -> Self {
        Self { connect: Rc::new(connect), pool: Pool::new(), limits: HttpLimits::default() }
    }

    /// Sends a request and reads its answer's head; the body is read from the [`Response`]. The deadline holds for the
    /// whole exchange, body included.
    ///
    /// # Errors
    /// The request cannot be sent as it stands; the server cannot be reached (`Retry::Safe`); it did not answer, not
    /// in time, or not in HTTP (`Retry::Unsafe`: it may have acted on the request).
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Response<C::Stream>> {
        // Rendered before anything is opened: a request that cannot be sent costs no connection.
        let mut head = render(request, endpoint)?;
        let shelf = self.pool.shelf(endpoint);
        // Stays where it is until the answer takes it along: taken apart it would stand in this future twice.
        let mut kept = shelf.take();
        let was_sent = kept.is_some();
        if let Some(conn) = &mut kept {
            match self.exchange(conn, &shelf, request, mem::take(&mut head), deadline).await {
                Ok(answer) => return Ok(Response::new(answer, kept, shelf, deadline)),
                Err(failed) => {
                    if failed.unanswered {
                        shelf.distrust();
                    }
                    if !(failed.unanswered && request.idempotent) {
                        return Err(failed.error);
                    }
                }
            }
            head = render(request, endpoint)?;
        }
        drop(kept);
        // Boxed: few requests need it, and each would carry the room for it.
        let opened = Box::pin(self.open(endpoint, deadline)).await;
        // The first sending may have been acted on, whatever became of this one.
        let opened = opened.map_err(|error| if was_sent { error.retry(Retry::Unsafe) } else { error });
        let conn = Conn::new(opened?);
        Box::pin(self.send_over(conn, request, head, shelf, deadline)).await
    }

    /// Sends a request over a connection that was opened for it.
    async fn send_over(
        &self,
        mut conn: Conn<C::Stream>,
        request: &Request<'_>,
        head: Vec<u8>,
        shelf: Rc<Shelf<C::Stream>>,
        deadline: Instant,
    ) -> Result<Response<C::Stream>> {
        match self.exchange(&mut conn, &shelf, request, head, deadline).await {
            Ok(answer) => Ok(Response::new(answer, Some(conn), shelf, deadline)),
            Err(failed) => Err(failed.error),
        }
    }

    /// Connections waiting for a next request.
    pub fn idle(&self) -> usize {
        self.pool.len()
    }

    async fn open(&self, endpoint: &Endpoint, deadline: Instant) -> Result<C::Stream> {
        let own = Clock::now() + Duration::from_millis(CONNECT_DEADLINE_MS);
        // Boxed: a handshake's state is large, rare, and would otherwise make every exchange's future as large.
        let opened = time::deadline(own.min(deadline), Box::pin(self.connect.connect(endpoint))).await;
        opened.unwrap_or_else(|_| {
            let words = format!("{endpoint:?} did not accept a connection in time");
            Err(Error::new(Kind::Unreachable, words).retry(Retry::Safe))
        })
    }

    async fn exchange(
        &self,
        conn: &mut Conn<C::Stream>,
        shelf: &Shelf<C::Stream>,
        request: &Request<'_>,
        head: Vec<u8>,
        deadline: Instant,
    ) -> std::result::Result<ResponseHead, Failed> {
        if let Err(Broken::Late) = send_request(conn, head, request, deadline).await {
            return Err(Failed::late("the server did not take the request in time"));
        }
        // A server may answer and close before it has read everything: so the answer is looked for even after a write
        // that failed.
        read_head(conn, shelf, request.method, &self.limits, deadline).await
    }
}

/// Why an exchange failed.
struct Failed {
    error: Error,
    /// The connection ended before a byte of an answer.
    unanswered: bool,
}

impl Failed {
    fn late(words: &'static str) -> Self {
        let error = Error::new(Kind::Timeout, words).side(Side::Upstream).retry(Retry::Unsafe);
        Self { error, unanswered: false }
    }

    fn ended(unanswered: bool) -> Self {
        let words = "the server closed the connection without a whole answer";
        // Not a byte came: the server is down rather than wrong.
        let kind = if unanswered { Kind::Unreachable } else { Kind::BadAnswer };
        let error = Error::new(kind, words).side(Side::Upstream).retry(Retry::Unsafe);
        Self { error, unanswered }
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { error: fault.upstream(), unanswered: false }
    }
}

fn render(request: &Request<'_>, endpoint: &Endpoint) -> Result<Vec<u8>> {
    let mut out = buf::take();
    request.render(endpoint, &mut out)?;
    Ok(out)
}

/// Writes head and body, in one write unless the body is large.
async fn send_request<S: Stream>(
    conn: &mut Conn<S>,
    mut head: Vec<u8>,
    request: &Request<'_>,
    deadline: Instant,
) -> std::result::Result<(), Broken> {
    if request.body.len() <= JOIN_MAX {
        head.extend_from_slice(&request.body);
        return conn.write(head, deadline).await;
    }
    conn.write(head, deadline).await?;
    conn.write_bytes(Bytes::from_owner(request.body.clone()), deadline).await
}

/// Reads heads until one is not informational (RFC 9110 15.2).
async fn read_head<S: Stream>(
    conn: &mut Conn<S>,
    shelf: &Shelf<S>,
    method: Method,
    limits: &HttpLimits,
    deadline: Instant,
) -> std::result::Result<ResponseHead, Failed> {
    for _ in 0..=INFORMATIONAL_MAX {
        if conn.buf.is_empty() {
            read_more(conn, deadline).await?;
        }
        if let Some((head, len)) = shelf.known_head(&conn.buf, method, limits.head_max) {
            conn.forget(len);
            return Ok(head);
        }
        let len = read_head_len(conn, limits, deadline).await?;
        let head = ResponseHead::parse(&conn.buf[..len], method)?;
        conn.forget(len);
        match head.status() {
            101 => return Err(Fault::bad("the server switched protocols, which nobody asked for").into()),
            100..200 => {}
            _ => {
                shelf.learn(&head);
                return Ok(head);
            }
        }
    }
    Err(Fault::bad("the server sends only informational answers").into())
}

async fn read_head_len<S: Stream>(
    conn: &mut Conn<S>,
    limits: &HttpLimits,
    deadline: Instant,
) -> std::result::Result<usize, Failed> {
    let mut scanner = Scanner::default();
    loop {
        if let Some(end) = scanner.scan(&conn.buf, limits)? {
            return Ok(end);
        }
        read_more(conn, deadline).await?;
    }
}

async fn read_more<S: Stream>(conn: &mut Conn<S>, deadline: Instant) -> std::result::Result<(), Failed> {
    let begun = !conn.buf.is_empty();
    match conn.fill(0, deadline).await {
        Ok(1..) => Ok(()),
        Ok(0) | Err(Broken::Io(_)) => Err(Failed::ended(!begun)),
        Err(Broken::Late) => Err(Failed::late("the server did not answer in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buf::Piece;
    use crate::wire::http::request::HeaderBlock;
    use std::mem::size_of_val;

    #[test]
    fn an_exchange_waits_in_a_small_future() {
        let client = Client::new();
        let endpoint = Endpoint::new("localhost", 1, None);
        let (method, prepared) = (Method::Get, HeaderBlock::EMPTY);
        let request = Request { method, path: "/", prepared, headers: &[], body: Piece::default(), idempotent: false };
        let size = size_of_val(&client.send(&endpoint, &request, Instant(0)));
        assert!(size <= 2048, "{size} bytes for each call in flight");
    }
}
