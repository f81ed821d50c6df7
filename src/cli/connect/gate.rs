//! One exchange with the gate: a message goes out in a POST, what comes back is told message by message.

use crate::base::buf::Piece;
use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result, Side};
use crate::base::limits::{CALL_CAP_MS, UPSTREAM_BODY_MAX};
use crate::rt::net::TcpStream;
use crate::wire::http::{Client, Endpoint, HeaderBlock, Method, Request, Response};
use crate::wire::sse::Decoder;
use crate::wire::tls::MaybeTls;
use std::time::Duration;

/// Longest life of a stream that has no end of its own.
const STREAM_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// What the client opens.
type Answer = Response<MaybeTls<TcpStream>>;

/// The gate, and how to speak to it.
pub(super) struct Gate {
    client: Client,
    endpoint: Endpoint,
    path: Box<str>,
    headers: HeaderBlock,
}

/// What the head of an answer said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The status code.
    pub(super) status: u16,
    /// `Mcp-Session-Id`.
    pub(super) session: Option<String>,
}

/// How long an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// As long as the longest call.
    Call,
    /// Until one side ends it.
    Stream,
}

impl Gate {
    /// A gate at an endpoint; `headers` hold the key.
    pub(super) fn new(endpoint: Endpoint, path: Box<str>, headers: HeaderBlock) -> Self {
        Self { client: Client::new(), endpoint, path, headers }
    }

    /// Posts a message and tells each message of the answer.
    ///
    /// # Errors
    /// The gate cannot be reached, answers garbage or nothing in time, or `tell` fails.
    pub(super) async fn post(
        &self,
        headers: &[(String, String)],
        body: Piece,
        patience: Patience,
        tell: &mut dyn FnMut(&Head, Vec<u8>) -> Result<()>,
    ) -> Result<Head> {
        let mut all = pairs(headers);
        all.extend([("content-type", "application/json"), ("accept", "application/json, text/event-stream")]);
        let response = self.send(Method::Post, &all, body, patience).await?;
        told(response, tell).await
    }

    /// Opens the legacy stream of messages that answer no request, and tells each until it ends.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub(super) async fn listen(
        &self,
        headers: &[(String, String)],
        tell: &mut dyn FnMut(&Head, Vec<u8>) -> Result<()>,
    ) -> Result<Head> {
        let mut all = pairs(headers);
        all.push(("accept", "text/event-stream"));
        let response = self.send(Method::Get, &all, Piece::default(), Patience::Stream).await?;
        if !response.is_event_stream() {
            return Ok(head(&response));
        }
        told(response, tell).await
    }

    /// Ends a legacy session.
    ///
    /// # Errors
    /// The gate cannot be reached.
    pub(super) async fn end(&self, headers: &[(String, String)]) -> Result<()> {
        self.send(Method::Delete, &pairs(headers), Piece::default(), Patience::Call).await.map(drop)
    }

    async fn send(&self, method: Method, headers: &[(&str, &str)], body: Piece, patience: Patience) -> Result<Answer> {
        let request = Request { method, path: &self.path, prepared: &self.headers, headers, body, idempotent: false };
        self.client.send(&self.endpoint, &request, deadline(patience)).await
    }
}

fn pairs(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn deadline(patience: Patience) -> Instant {
    Clock::now()
        + match patience {
            Patience::Call => Duration::from_millis(CALL_CAP_MS),
            Patience::Stream => STREAM_LIFE,
        }
}

fn head(response: &Answer) -> Head {
    Head { status: response.status(), session: response.header("mcp-session-id").map(str::to_owned) }
}

/// Reads an answer to its end. Anything but JSON and events is no message: only its head counts.
async fn told(mut response: Answer, tell: &mut dyn FnMut(&Head, Vec<u8>) -> Result<()>) -> Result<Head> {
    let head = head(&response);
    if response.is_event_stream() {
        let mut events = Decoder::with_max(UPSTREAM_BODY_MAX);
        while let Some(chunk) = response.next_chunk().await? {
            events.push(&chunk)?;
            while let Some(event) = events.next() {
                if !event.data.is_empty() {
                    tell(&head, event.data)?;
                }
            }
        }
        return Ok(head);
    }
    let is_json = response.is_json();
    let body = response.collect(UPSTREAM_BODY_MAX).await?;
    if is_json && !body.is_empty() {
        tell(&head, body)?;
    }
    Ok(head)
}

/// What an answer without a message means.
pub(super) fn meaning(head: &Head) -> Error {
    let (kind, what) = match head.status {
        401 => (Kind::Unauthorized, "the gate does not take this key"),
        403 => (Kind::Forbidden, "the gate refuses this host or origin: see `listen.allowed_hosts`"),
        404 => (Kind::NotFound, "nothing is there: the path is `/mcp` or `/mcp/<server>`"),
        413 => (Kind::TooLarge, "the message is longer than the gate takes"),
        429 | 503 => (Kind::Overloaded, "the gate is busy; try again"),
        200..=299 => (Kind::BadAnswer, "the gate sent no answer to this request"),
        _ => (Kind::BadAnswer, "the gate answered with an error"),
    };
    Error::new(kind, format!("{what} (HTTP {})", head.status)).side(Side::Upstream)
}
