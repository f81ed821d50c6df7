//! How a server answered one HTTP request: with messages, with an acknowledgement, or with a refusal.

use crate::base::buf;
use crate::base::buf::Piece;
use crate::base::error::{Error, Kind, Result, Retry, Side};
use crate::base::limits::{SESSION_ID_MAX, UPSTREAM_ERROR_MAX};
use crate::rt::{task, time};
use crate::upstream::answer::Outcome;
use crate::upstream::http::wire::Answered;
use crate::upstream::incoming::{self, Incoming};
use crate::wire::sse::{self, Decoder};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The answer to one HTTP request, sorted by what can be done with it.
#[allow(clippy::large_enum_variant, reason = "made once an exchange, and taken apart at once")]
pub(super) enum Reply {
    /// JSON-RPC messages, one or a stream of them.
    Messages(Messages),
    /// A notification or response of ours was taken.
    Accepted,
    /// A status that says no.
    Refused(Refusal),
}

/// A status other than 2xx, or a body that is no message.
#[derive(Clone)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) status: u16,
    /// The raw JSON-RPC error object that came with it, if one did.
    pub(super) error: Option<Piece>,
}

impl Reply {
    /// The answer that `response` brings. It comes pinned: taken by value it would stand in this future twice.
    ///
    /// # Errors
    /// As the response.
    pub(super) async fn of(response: Pin<&mut impl Future<Output = Result<Answered>>>, max: usize) -> Result<Self> {
        let refused = match Self::sort(response.await?, max) {
            Ok(reply) => return Ok(reply),
            Err(refused) => refused,
        };
        // Boxed, as it is rare and each call would carry the room for it.
        Ok(Self::Refused(Box::pin(Refusal::read(refused)).await))
    }

    /// What a response is by its head; one that says no is given back.
    fn sort(response: Answered, max: usize) -> std::result::Result<Self, Box<Answered>> {
        let status = response.status();
        let events = match status {
            202 | 204 => return Ok(Self::Accepted),
            // The response is an event too: as long as it may be in a plain body.
            200 if response.is_event_stream() => Some(Box::new(Decoder::with_max(max))),
            200 if response.is_json() => None,
            200 => return Ok(Self::Refused(Refusal { status, error: None })),
            _ => return Err(Box::new(response)),
        };
        Ok(Self::Messages(Messages { response, max, events, done: false }))
    }

    /// The response is there: reads what little follows it aside, so that nobody waits for that.
    pub(super) fn wind_up(self) {
        if let Self::Messages(messages) = self {
            messages.wind_up();
        }
    }
}

impl Reply {
    /// Whether a server took a message whose answer comes elsewhere: its refusal, if it did not. Bodies are read to the
    /// end (bounded), so that the connection can be used again.
    pub(super) async fn taken(mut response: Answered) -> Result<Option<Refusal>> {
        let status = response.status();
        let body = response.collect(UPSTREAM_ERROR_MAX).await;
        let refusal = || Refusal { status, error: rpc_error(body.unwrap_or_default().into()) };
        Ok((!matches!(status, 200..=299)).then(refusal))
    }
}

/// The JSON-RPC error in a body, if that is what it is.
fn rpc_error(body: Piece) -> Option<Piece> {
    incoming::read(&body).ok()?.into_iter().find_map(|message| match message {
        Incoming::Answer { outcome: Outcome::Error(error), .. } => Some(error),
        _ => None,
    })
}

impl Refusal {
    /// Reads a refusal to its end (bounded), so that its connection can be used again.
    async fn read(mut response: Box<Answered>) -> Self {
        let body = response.collect(UPSTREAM_ERROR_MAX).await.unwrap_or_default();
        Self { status: response.status(), error: rpc_error(body.into()) }
    }

    /// Whether it is an outage and no word of the server about what it was asked.
    pub(super) fn is_outage(&self) -> bool {
        self.status >= 500 || matches!(self.status, 408 | 425 | 429)
    }

    /// Whether our credential was refused, which says nothing about the server's era.
    pub(super) fn is_credential(&self) -> bool {
        matches!(self.status, 401 | 403 | 407)
    }

    /// Whether it names a method or parameters that the server does not take: it has then looked at the request itself.
    pub(super) fn is_about_request(&self) -> bool {
        let code = self.error.as_deref().map(incoming::error_code);
        code.is_some_and(|code| {
            [Kind::MethodNotFound, Kind::InvalidParams].map(|kind| i64::from(kind.rpc_code())).contains(&code)
        })
    }

    /// The refusal as an error: what happened and what to do.
    pub(super) fn into_error(self) -> Error {
        let status = self.status;
        let told = self.error.as_deref().map(incoming::error_message).filter(|told| !told.is_empty());
        let told = told.map(|told| format!(": {told}")).unwrap_or_default();
        let (kind, retry, context) = match status {
            200..=299 => (Kind::BadAnswer, Retry::Never, format!("the server answered {status} without a message")),
            300..=399 => {
                let context = format!("the server answers with a redirect ({status}); set `url` to where it leads");
                (Kind::BadAnswer, Retry::Never, context)
            }
            _ if self.is_credential() => {
                let context =
                    format!("the server refuses our credential ({status}){told}; check its `headers`, or set `oauth`");
                (Kind::BadAnswer, Retry::Never, context)
            }
            429 => {
                (Kind::Overloaded, Retry::Safe, format!("the server wants fewer calls (429){told}; try again later"))
            }
            404 | 405 => {
                let context = format!("the server has no MCP endpoint at this `url` ({status}){told}");
                (Kind::BadAnswer, Retry::Never, context)
            }
            _ if self.is_outage() => (Kind::Unreachable, Retry::Unsafe, format!("the server answered {status}{told}")),
            _ => (Kind::BadAnswer, Retry::Never, format!("the server answered {status}{told}")),
        };
        Error::new(kind, context).side(Side::Upstream).retry(retry)
    }
}

/// The messages of one answer as they come.
pub(super) struct Messages {
    response: Answered,
    max: usize,
    /// Boxed: most answers are no stream, and each is moved a few times.
    events: Option<Box<Decoder>>,
    done: bool,
}

impl Messages {
    /// The session id that came with the answer.
    ///
    /// # Errors
    /// [`Kind::BadAnswer`]: it is too long or not visible ASCII, so it could not be sent back.
    pub(super) fn session_id(&self) -> Result<Option<Box<str>>> {
        let Some(id) = self.response.header("mcp-session-id") else { return Ok(None) };
        let fits = (1..=SESSION_ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        match fits {
            true => Ok(Some(id.into())),
            false => Err(Error::new(Kind::BadAnswer, "the server gave a session id that is not visible ASCII")),
        }
    }

    /// Where a stream that has ended can be resumed: the id of its last event, and the time to wait before.
    pub(super) fn resumable(&self) -> Option<(String, Duration)> {
        let events = self.events.as_ref()?;
        let wait = events.retry_ms().unwrap_or(RESUME_MS).clamp(RESUME_MIN_MS, RESUME_MAX_MS);
        Some((events.last_event_id()?.to_owned(), Duration::from_millis(wait)))
    }

    /// The next message; nothing at the end. Dropping it half way is safe only if the answer is dropped too.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>> {
        if self.events.is_none() {
            return self.whole().await;
        }
        while let Some(event) = self.event().await? {
            // An empty event only primes the stream.
            let is_message = event.event.as_deref().is_none_or(|name| name == "message");
            if is_message && !event.data.is_empty() {
                return Ok(Some(event.data.into()));
            }
        }
        Ok(None)
    }

    /// Whether they come as a stream of events.
    pub(super) fn is_stream(&self) -> bool {
        self.events.is_some()
    }

    /// The text of the next event of this name; nothing at the end of the stream. Those before it are passed over.
    ///
    /// # Errors
    /// [`Kind::BadAnswer`]: it is longer than `max`, or no text.
    pub(super) async fn named(&mut self, name: &str, max: usize) -> Result<Option<String>> {
        while let Some(event) = self.event().await? {
            if event.event.as_deref() == Some(name) {
                let text = String::from_utf8(event.data).ok().filter(|text| text.len() <= max);
                let wrong =
                    || Error::new(Kind::BadAnswer, format!("the server's event \"{name}\" is too long or no text"));
                return text.map(Some).ok_or_else(wrong);
            }
        }
        Ok(None)
    }

    /// The next event of a stream; nothing at its end.
    async fn event(&mut self) -> Result<Option<sse::Event>> {
        let Some(events) = &mut self.events else { return Ok(None) };
        loop {
            if let Some(event) = events.next() {
                return Ok(Some(event));
            }
            match self.response.next_chunk().await {
                Ok(Some(chunk)) => {
                    events.push(&chunk)?;
                    buf::give(chunk);
                }
                Ok(None) => return Ok(None),
                // A broken stream that can be resumed has only ended.
                Err(error) if error.kind == Kind::BadAnswer && events.last_event_id().is_some() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    async fn whole(&mut self) -> Result<Option<Piece>> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        Ok(Some(self.response.collect(self.max).await?.into()))
    }
}

/// Time before a stream is resumed where the server names none, and the bounds of what it may name, in milliseconds.
const RESUME_MS: u64 = 1_000;
const RESUME_MIN_MS: u64 = 50;
const RESUME_MAX_MS: u64 = 30_000;
/// Time a stream may take to end after its response, so that its connection can be used again.
const ENDING: Duration = Duration::from_millis(500);

impl Messages {
    /// The response is there: reads what little follows it aside, so that nobody waits for that.
    pub(super) fn wind_up(mut self) {
        if self.events.is_none() {
            return;
        }
        task::spawn(async move {
            let end = async {
                while let Ok(Some(chunk)) = self.response.next_chunk().await {
                    buf::give(chunk)
                }
            };
            let _ = time::timeout(ENDING, end).await;
        });
    }
}
