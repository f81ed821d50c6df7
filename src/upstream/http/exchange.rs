//! One request and the messages that answer it: events on to the sink, the server's own requests to whoever answers
//! them, until the response is there.

use crate::base::buf::Piece;
use crate::base::error::{Error, Kind, Result, Retry};
use crate::rt::local::Notify;
use crate::upstream::answer::Outcome;
use crate::upstream::http::reply::Messages;
use crate::upstream::incoming::{self, Incoming};
use crate::upstream::patience::Patience;
use crate::upstream::said::{Event, Sink};
use crate::upstream::watched::Watched;
use std::pin::pin;

/// A request of the server that came on the stream of one of ours.
pub(super) struct ServerRequest {
    /// Its raw id.
    pub(super) id: Piece,
    /// What it wants.
    pub(super) method: Box<str>,
    /// Its raw `params`; empty where it has none.
    pub(super) params: Piece,
}

/// A stream ended, and there is no way to have the rest of it.
pub(super) fn incomplete() -> Error {
    Error::new(Kind::Unreachable, "the server closed its answer before it was complete").retry(Retry::Unsafe)
}

/// One exchange that waits for its answer.
pub(super) struct Exchange<'a> {
    /// The id of our request.
    pub(super) id: u64,
    /// Where events go.
    pub(super) sink: &'a Sink,
    /// How long it is waited for.
    pub(super) patience: &'a Patience,
    /// Rung when the server says that one of its lists changed.
    pub(super) list_changed: &'a Notify,
    /// Told when the server says that a resource changed.
    pub(super) watched: &'a Watched,
}

impl Exchange<'_> {
    /// Reads until the response is there. `serve` answers the server's own requests, or refuses the whole exchange.
    ///
    /// # Errors
    /// [`Kind::Timeout`]; [`Kind::BadAnswer`]: what came is no message or another request's answer;
    /// [`Kind::Unreachable`]: the stream ended before the response.
    pub(super) async fn finish(
        &self,
        mut messages: Messages,
        serve: impl AsyncFn(ServerRequest) -> Result<()>,
    ) -> Result<Outcome> {
        let outcome = self.read(&mut messages, &serve).await?.ok_or_else(incomplete)?;
        messages.wind_up();
        Ok(outcome)
    }

    /// As [`Self::finish`], but gives nothing where the stream ends before the response: it may go on elsewhere.
    ///
    /// # Errors
    /// As [`Self::finish`], but for the last.
    pub(super) async fn read(
        &self,
        messages: &mut Messages,
        serve: &impl AsyncFn(ServerRequest) -> Result<()>,
    ) -> Result<Option<Outcome>> {
        while let Some(text) = self.next(messages).await? {
            for message in incoming::read(&text)? {
                if let Some(outcome) = self.take(message, serve).await? {
                    return Ok(Some(outcome));
                }
            }
            // A stream that always has more to say is always ready, and no clock is looked at.
            self.patience.check()?;
        }
        Ok(None)
    }

    async fn next(&self, messages: &mut Messages) -> Result<Option<Piece>> {
        self.patience.wait(pin!(messages.next())).await?
    }

    async fn take(
        &self,
        message: Incoming,
        serve: &impl AsyncFn(ServerRequest) -> Result<()>,
    ) -> Result<Option<Outcome>> {
        match message {
            Incoming::Answer { id, outcome } => return self.judge(id, outcome).map(Some),
            Incoming::Event { token, kind, params } if token.is_none_or(|token| token == self.id) => {
                self.patience.touch();
                self.sink.push(Event { kind, params })?;
            }
            Incoming::ListChanged => self.list_changed.notify_one(),
            Incoming::Updated(uri) => self.watched.updated(&uri),
            Incoming::Task(params) => self.watched.task(&params),
            Incoming::Visited(params) => self.watched.visited(&params),
            Incoming::Acknowledged { stream, honoured } => self.watched.acknowledged(stream, &honoured),
            Incoming::Request { id, method, params } => serve(ServerRequest { id, method, params }).await?,
            Incoming::Event { .. } | Incoming::Other(_) => {}
        }
        Ok(None)
    }

    /// An answer belongs to the exchange it came in. A result must also bear our id; an error need not, for some
    /// servers answer what they could not read with an id of their own making.
    fn judge(&self, id: Option<u64>, outcome: Outcome) -> Result<Outcome> {
        match outcome {
            Outcome::Result(_) if id != Some(self.id) => {
                Err(Error::new(Kind::BadAnswer, "the server answered with the id of another request"))
            }
            outcome => Ok(outcome),
        }
    }
}
