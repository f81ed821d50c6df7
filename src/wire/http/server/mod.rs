//! The server's side of one connection: heads in, bodies in when asked for, answers out, one after the other.
//!
//! Each exchange is `read_head`, perhaps `read_body`, then `respond` or the three calls of a stream. After a fault the
//! connection answers once, with `refuse`, and closes: whatever the client sent behind it is never looked at.

mod read;
mod write;

use crate::base::buf;
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::rt::stream::Stream;
use crate::wire::http::chunk::{ChunkDecoder, LAST_CHUNK, encode_chunk};
use crate::wire::http::conn::Conn;
use crate::wire::http::head::{KnownRequest, RequestHead};
use crate::wire::http::limits::HttpLimits;
use crate::wire::http::writer::{Length, response_head};
use bytes::Bytes;
use std::future::pending;
use std::mem;
use std::rc::Rc;

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// None.
    Empty,
    /// Bytes of its own; a pooled buffer goes back to the pool.
    Vec(Vec<u8>),
    /// Shared bytes, one after the other.
    Parts(Vec<Bytes>),
}

impl Body {
    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Vec(bytes) => bytes.len(),
            Self::Parts(parts) => parts.iter().map(Bytes::len).sum(),
        }
    }
}

/// What of the request's body has not been read.
#[derive(Debug)]
enum Unread {
    Nothing,
    Length(u64),
    Chunked(ChunkDecoder),
}

/// How the answer being written tells its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Streaming {
    No,
    Chunked,
    /// By closing: the client speaks HTTP/1.0.
    Close,
    /// Not at all: the answer is to HEAD.
    Nothing,
}

/// One client's connection.
pub struct ServerConn<S> {
    conn: Conn<S>,
    limits: HttpLimits,
    /// The head that was parsed last: the next is likely to say the same.
    known: Option<Rc<KnownRequest>>,
    unread: Unread,
    streaming: Streaming,
    /// The request being answered is HEAD.
    head_only: bool,
    /// It is HTTP/1.0.
    old: bool,
    /// Its client waits for `100 Continue`.
    expects_continue: bool,
    /// A request has been read and not been answered.
    owed: bool,
    /// No request is read after this one.
    closing: bool,
    /// The last request came soon after the answer before it.
    busy: bool,
    /// The status of the fault that the last call returned as an error.
    fault: Option<u16>,
}

impl<S: Stream> ServerConn<S> {
    /// Takes an accepted connection.
    pub fn new(stream: S, limits: HttpLimits) -> Self {
        Self {
            conn: Conn::new(stream),
            limits,
            known: None,
            unread: Unread::Nothing,
            streaming: Streaming::No,
            head_only: false,
            old: false,
            expects_continue: false,
            owed: false,
            closing: false,
            busy: false,
            fault: None,
        }
    }

    /// Reads the next request's head. `None`: the client closed, idled too long, or this connection is to close.
    ///
    /// Dropping it half way makes the connection unusable.
    ///
    /// # Errors
    /// The client broke the protocol, or the bounds in size or time; answer with [`Self::refuse`].
    pub async fn read_head(&mut self) -> Result<Option<RequestHead>> {
        if !self.keep_alive() || !self.drain().await {
            return Ok(None);
        }
        if self.conn.buf.is_empty() && !self.first_bytes().await {
            self.closing = true;
            return Ok(None);
        }
        if let Some(head) = self.known_head() {
            return Ok(Some(self.begin(head)));
        }
        match self.unknown_head().await {
            Ok(head) => Ok(Some(self.begin(head))),
            Err(fault) => Err(self.fail(fault)),
        }
    }

    /// Reads the whole body of the request whose head was read last; empty if it has none or was read before.
    ///
    /// Sends `100 Continue` if the client waits for it: so call it only once the request is known to be welcome.
    ///
    /// # Errors
    /// The body is too long, malformed, late or cut short; answer with [`Self::refuse`].
    pub async fn read_body(&mut self) -> Result<Vec<u8>> {
        let deadline = Clock::recent() + self.limits.body_time;
        let body = match mem::replace(&mut self.unread, Unread::Nothing) {
            Unread::Nothing => return Ok(Vec::new()),
            Unread::Length(length) => self.sized_body(length, deadline).await,
            Unread::Chunked(decoder) => self.chunked_body(decoder, deadline).await,
        };
        body.map_err(|fault| self.fail(fault))
    }

    /// Answers. An unread body is read and dropped if it is short; otherwise the connection closes after the answer.
    ///
    /// # Errors
    /// A header is not one that can be sent (nothing was written), or the client does not take the answer.
    pub async fn respond(&mut self, status: u16, headers: &[(&str, &str)], body: Body) -> Result<()> {
        self.settle_close();
        let bodyless = status < 200 || matches!(status, 204 | 304);
        let length = if bodyless { Length::Unsaid } else { Length::Known(body.len()) };
        let mut out = buf::take();
        response_head(&mut out, status, headers, length, self.connection())?;
        self.owed = false;
        let body = if bodyless || self.head_only { Body::Empty } else { body };
        self.send(out, body).await?;
        self.end_exchange().await;
        Ok(())
    }

    /// Answers `OPTIONS`, or with another status than 204 a method that is not served: `allow` lists those that are.
    ///
    /// # Errors
    /// As [`Self::respond`].
    pub async fn respond_allow(&mut self, status: u16, allow: &str) -> Result<()> {
        self.respond(status, &[("allow", allow)], Body::Empty).await
    }

    /// Answers an error of `read_head` or `read_body` with its status and closes. Nothing the client sent after the
    /// fault is ever answered.
    pub async fn refuse(&mut self, error: &Error) {
        self.closing = true;
        let status = self.fault.take().unwrap_or(error.kind.http_status());
        if !self.conn.can_write() || self.streaming != Streaming::No {
            return;
        }
        let body = error_body(error);
        let allow = [("content-type", "application/json"), ("allow", "GET, HEAD, POST, DELETE, OPTIONS")];
        let headers = if status == 405 { &allow[..] } else { &allow[..1] };
        let mut out = buf::take();
        let length = Length::Known(body.len());
        if response_head(&mut out, status, headers, length, Some("close")).is_err() {
            return;
        }
        let body = if self.head_only { Body::Empty } else { Body::Vec(body) };
        if self.send(out, body).await.is_ok() {
            self.linger().await;
        }
    }

    /// Starts an answer of unknown length; its head leaves at once.
    ///
    /// # Errors
    /// As [`Self::respond`].
    pub async fn start_stream(&mut self, status: u16, headers: &[(&str, &str)]) -> Result<()> {
        self.settle_close();
        self.closing |= self.old;
        let length = if self.old { Length::Unsaid } else { Length::Chunked };
        let mut out = buf::take();
        response_head(&mut out, status, headers, length, self.connection())?;
        self.streaming = match (self.head_only, self.old) {
            (true, _) => Streaming::Nothing,
            (false, true) => Streaming::Close,
            (false, false) => Streaming::Chunked,
        };
        self.send(out, Body::Empty).await
    }

    /// Writes a part of a streamed answer; empty ones are left out.
    ///
    /// # Errors
    /// The client is gone, or reads too slowly.
    pub async fn write_stream(&mut self, part: Vec<u8>) -> Result<()> {
        let out = self.framed(&part);
        buf::give(part);
        self.write_framed(out).await
    }

    /// Writes a part of a streamed answer as far as the client takes it without waiting. What is left comes back, empty
    /// if all was taken; [`Self::write_framed`] writes it, before anything else is written.
    ///
    /// # Errors
    /// The client is gone.
    pub fn try_write_stream(&self, part: &[u8]) -> Result<Vec<u8>> {
        self.conn.try_write(self.framed(part)).map_err(write::gone)
    }

    /// Writes what [`Self::try_write_stream`] left.
    ///
    /// # Errors
    /// As [`Self::write_stream`].
    pub async fn write_framed(&mut self, rest: Vec<u8>) -> Result<()> {
        if rest.is_empty() {
            return Ok(());
        }
        self.send(rest, Body::Empty).await
    }

    /// A part of a streamed answer as it is sent; nothing where nothing is to be sent.
    fn framed(&self, part: &[u8]) -> Vec<u8> {
        let mut out = buf::take();
        match self.streaming {
            Streaming::No | Streaming::Nothing => {}
            _ if part.is_empty() => {}
            Streaming::Close => out.extend_from_slice(part),
            Streaming::Chunked => encode_chunk(&mut out, part),
        }
        out
    }

    /// Lets go of what only a connection with requests under way needs: before a long silence.
    pub fn rest(&mut self) {
        self.conn.rest();
        self.known = None;
    }

    /// Ends a streamed answer. A stream that is not ended closes its connection, which tells the client so.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn finish_stream(&mut self) -> Result<()> {
        let streaming = mem::replace(&mut self.streaming, Streaming::No);
        if streaming == Streaming::Chunked {
            self.send(LAST_CHUNK.to_vec(), Body::Empty).await?;
        }
        self.owed = false;
        self.end_exchange().await;
        Ok(())
    }

    /// Whether another request may be read after the one being answered.
    pub fn keep_alive(&self) -> bool {
        self.conn.is_sound() && !self.closing && !self.owed && self.streaming == Streaming::No
    }

    /// Lets this exchange be the last: the next answer says `Connection: close`.
    pub fn close_after_answer(&mut self) {
        self.closing = true;
    }

    /// Waits until the client is gone; never ends while it has sent more that is still unread. Safe to drop.
    pub async fn peer_gone(&self) {
        if self.conn.stream.readable().await.is_ok() && !self.conn.stream.peek_closed() {
            // Bytes wait, of the next request or of this one's body: what comes behind them cannot be seen.
            pending::<()>().await;
        }
    }

    /// The connection beneath.
    pub fn stream(&self) -> &S {
        &self.conn.stream
    }
}

/// An error as the JSON-RPC body that MCP clients read.
fn error_body(error: &Error) -> Vec<u8> {
    let message = serde_json::Value::from(error.context.as_ref());
    let code = error.kind.rpc_code();
    format!(r#"{{"jsonrpc":"2.0","error":{{"code":{code},"message":{message}}}}}"#).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::sim::{self, SimStream};
    use std::mem::{size_of, size_of_val};

    #[test]
    fn what_a_stream_takes_only_with_a_wait_is_written_with_one() {
        sim::run(1, async {
            let (mut client, stream) = SimStream::pair();
            let mut conn = ServerConn::new(stream, HttpLimits::default());
            client.write_all(b"GET /mcp HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()).await.0.unwrap();
            conn.read_head().await.unwrap();
            assert!(conn.try_write_stream(b"x").unwrap().is_empty(), "no answer has begun");
            conn.start_stream(200, &[]).await.unwrap();
            conn.rest();
            let rest = conn.try_write_stream(b"said").unwrap();
            assert_eq!(rest, b"4\r\nsaid\r\n", "a simulated stream takes nothing without a wait");
            conn.write_framed(rest).await.unwrap();
            conn.finish_stream().await.unwrap();
            drop(conn);
            let mut got = Vec::new();
            loop {
                let (read, more) = client.read(got).await;
                got = more;
                if read.unwrap() == 0 {
                    break;
                }
            }
            assert!(got.ends_with(b"\r\n\r\n4\r\nsaid\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&got));
        });
    }

    #[test]
    fn a_connection_waits_in_little_memory() {
        sim::run(1, async {
            let (_client, stream) = SimStream::pair();
            let mut conn = ServerConn::new(stream, HttpLimits::default());
            assert!(size_of::<ServerConn<crate::rt::net::TcpStream>>() <= 512);
            let head = size_of_val(&conn.read_head());
            let body = size_of_val(&conn.read_body());
            let answer = size_of_val(&conn.respond(200, &[], Body::Empty));
            assert!(head.max(body).max(answer) <= 2048, "{head}, {body}, {answer} bytes");
        });
    }
}
