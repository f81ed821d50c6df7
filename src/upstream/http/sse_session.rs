//! One session over HTTP+SSE (2024-11-05): an event stream on which the server says everything, and an endpoint that
//! takes our messages. It ends when the stream ends, for the server then knows it no more.

use crate::base::buf::Piece;
use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result, Retry};
use crate::rt::local::{self, Closed, Notify, OneReceiver};
use crate::rt::{task, time};
use crate::upstream::http::asides::{ASIDE, Asides, GivenUp};
use crate::upstream::http::exchange::incomplete;
use crate::upstream::http::legacy::Tried;
use crate::upstream::http::reply::{Messages, Refusal, Reply};
use crate::upstream::http::wire::Wire;
use crate::upstream::incoming;
use crate::upstream::message::{self, Ask};
use crate::upstream::patience::Patience;
use crate::upstream::pending::{Asker, Pending};
use crate::upstream::watched::Watched;
use crate::upstream::wiring::Ids;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::rc::Rc;

/// An open session. Dropping it closes its stream.
pub(super) struct SseSession(Rc<Shared>);

struct Shared {
    wire: Rc<Wire>,
    ids: Rc<Ids>,
    /// Path and query of the endpoint that takes our messages.
    endpoint: Box<str>,
    pending: Rc<Pending>,
    asides: Rc<Asides>,
    stop: Notify,
}

impl SseSession {
    /// Takes over a stream that has named its endpoint.
    pub(super) fn new(
        wire: &Rc<Wire>,
        ids: &Rc<Ids>,
        (list_changed, watched): (&Rc<Notify>, &Rc<Watched>),
        (messages, endpoint): (Messages, Box<str>),
    ) -> Self {
        let shared = Rc::new(Shared {
            wire: wire.clone(),
            ids: ids.clone(),
            endpoint,
            pending: Rc::new(Pending::new(list_changed.clone(), watched.clone())),
            asides: Rc::default(),
            stop: Notify::new(),
        });
        task::spawn(read(shared.clone(), messages));
        Self(shared)
    }

    /// Waits until the server has ended the session.
    pub(super) async fn ended(&self) -> Error {
        self.0.pending.ended().await
    }

    /// Sends a message that is no request, and waits until the server has taken it: what follows must not overtake it.
    pub(super) async fn notify(&self, body: Piece, patience: &Patience) -> Result<()> {
        let sent = patience.wait(pin!(self.0.post(body, patience.cap()))).await??;
        sent.map_or(Ok(()), |refusal| Err(refusal.into_error()))
    }

    /// One call.
    pub(super) async fn call(&self, ask: &Ask<'_>, asker: &Asker, patience: &Patience) -> Result<Tried> {
        self.ask(ask, asker, patience, true).await
    }

    /// Asks, and waits as long as `patience` lasts. Dropping the future gives the request up; the server is told so
    /// where `cancel` says that it may be.
    pub(super) async fn ask(&self, ask: &Ask<'_>, asker: &Asker, patience: &Patience, cancel: bool) -> Result<Tried> {
        let pending = &self.0.pending;
        let mut seat = match pending.admit(ask.id, asker) {
            Ok(seat) => seat,
            Err(_) if pending.end().is_some() => return Ok(Tried::SessionLost),
            Err(error) => return Err(error),
        };
        let shared = self.0.clone();
        let given_up = GivenUp::new(if cancel { ask.id } else { 0 }, move |word| shared.aside(word));
        let (answered_it, over) = local::oneshot();
        // Aside, for the answer may come before the server says that it took the request.
        task::spawn(send(self.0.clone(), ask.id, ask.body.clone(), patience.cap(), over));
        let answered = seat.answer(patience).await;
        match answered {
            Ok(outcome) => {
                given_up.forget();
                // The server may have taken the request already.
                let _ = answered_it.send(());
                Ok(Tried::Answered(outcome))
            }
            Err(error) => {
                if error.kind == Kind::Timeout {
                    task::spawn(still_there(self.0.clone()));
                }
                if error.kind == Kind::Unreachable {
                    given_up.forget();
                }
                let unheard = error.retry == Retry::Safe && pending.end().is_some();
                if unheard { Ok(Tried::SessionLost) } else { Err(error) }
            }
        }
    }
}

impl Drop for SseSession {
    fn drop(&mut self) {
        self.0.pending.finish(Error::new(Kind::Unreachable, "its session is being closed").retry(Retry::Unsafe));
        self.0.stop.notify_one();
    }
}

impl Shared {
    /// Posts a message: a refusal, if the server did not take it.
    async fn post(&self, body: Piece, deadline: Instant) -> Result<Option<Refusal>> {
        let response = self.wire.post_to(&self.endpoint, body, deadline).await?;
        Reply::taken(response).await
    }

    /// Sends a message nobody waits for.
    fn aside(self: &Rc<Self>, body: Piece) {
        if self.pending.end().is_some() {
            return;
        }
        let (Some(aside), shared) = (self.asides.begin(), self.clone()) else { return };
        task::spawn(async move {
            if let Err(error) = shared.post(body, Clock::now() + ASIDE).await {
                tracing::debug!("could not send a message: {error}");
            }
            drop(aside);
        });
    }

    /// Takes what the server says, until it ends its stream.
    async fn listen(self: &Rc<Self>, messages: &mut Messages) -> Error {
        loop {
            let text = match messages.next().await {
                Ok(Some(text)) => text,
                Ok(None) => return incomplete(),
                Err(error) => return error,
            };
            match incoming::read(&text) {
                Ok(batch) => batch.into_iter().for_each(|message| {
                    let shared = self.clone();
                    self.pending.take(message, move |body| shared.aside(body));
                }),
                Err(error) => return error,
            }
        }
    }
}

/// Owns the stream until it ends or is no longer wanted.
async fn read(shared: Rc<Shared>, mut messages: Messages) {
    let (listening, stopped) = (pin!(shared.listen(&mut messages)), pin!(shared.stop.notified()));
    if let Either::Left((why, _)) = select(listening, stopped).await {
        let why = format!("the server ended its event stream: {}", why.context);
        shared.pending.finish(Error::new(Kind::Unreachable, why).retry(Retry::Unsafe));
    }
}

/// Sends a request; a request that did not reach the server fails at once, and safely so. It does not outlive the wait
/// for its answer: `over` resolves when that has come, and closes when nobody waits any more.
async fn send(shared: Rc<Shared>, id: u64, body: Piece, deadline: Instant, over: OneReceiver<()>) {
    let posted = match select(pin!(shared.post(body, deadline)), over).await {
        Either::Left((posted, _)) => posted,
        // What of it has reached the server is cancelled there by a message of its own.
        Either::Right((Err(Closed), _)) => return,
        Either::Right((Ok(()), posting)) => {
            // Read to its end, so that its connection can be used again; but nobody needs it any more.
            let _ = time::timeout(ASIDE, posting).await;
            return;
        }
    };
    let error = match posted {
        Ok(None) => return,
        Err(error) => error,
        Ok(Some(refusal)) if matches!(refusal.status, 404 | 410) => {
            // It has executed nothing: whoever asked may try in a fresh session. What it took before is another matter.
            shared.pending.fail(id, lost().retry(Retry::Safe));
            shared.pending.finish(lost().retry(Retry::Unsafe));
            shared.stop.notify_one();
            return;
        }
        Ok(Some(refusal)) => refusal.into_error(),
    };
    shared.pending.fail(id, error);
}

fn lost() -> Error {
    Error::new(Kind::Unreachable, "the server no longer knows its session")
}

/// A call was not answered: its stream may be dead without a sign, which a ping shows.
async fn still_there(shared: Rc<Shared>) {
    let ask = message::ping(shared.ids.mint());
    let Ok(mut seat) = shared.pending.admit(ask.id, &Asker::nobody()) else { return };
    let patience = Patience::fixed(ASIDE);
    let (_waits, over) = local::oneshot();
    task::spawn(send(shared.clone(), ask.id, ask.body, patience.cap(), over));
    if seat.answer(&patience).await.is_err_and(|error| error.kind == Kind::Timeout) {
        shared.pending.finish(Error::new(Kind::Unreachable, "the server is silent").retry(Retry::Unsafe));
        shared.stop.notify_one();
    }
}
