//! The stream of a legacy session on which its server speaks unasked: changes, and questions that name no call.

use crate::base::clock::Clock;
use crate::base::error::Result;
use crate::mcp::caps::ClientCaps;
use crate::rt::local::Notify;
use crate::rt::{task, time};
use crate::upstream::http::asides::{ASIDE, Asides};
use crate::upstream::http::asks::{Asks, Listening, UnderWay};
use crate::upstream::http::exchange::{ServerRequest, incomplete};
use crate::upstream::http::legacy::{Legacy, Session, Tried};
use crate::upstream::http::reply::{Messages, Reply};
use crate::upstream::http::wire::{Prepared, Wire};
use crate::upstream::incoming::{self, Incoming};
use crate::upstream::message;
use crate::upstream::patience::{Patience, QUESTION};
use crate::upstream::said::Sink;
use crate::upstream::watched::{self, Watched};
use crate::wire::rpc;
use futures_util::future::{Either, select};
use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

impl Legacy<'_> {
    /// Enters a call whose client can be asked, and listens on the session's stream, as some servers ask there. One
    /// that has no such stream asks nothing on it.
    pub(super) async fn listen(&self, session: &Session, sink: &Sink, patience: &Patience) -> UnderWay {
        let under_way = session.asks.enter(sink, patience.holds().clone());
        let Some(listening) = session.asks.begin() else { return under_way };
        let opening = Patience::opening(self.wiring.spec.probe_timeout);
        let response = pin!(self.wire.get(&session.headers, &[], opening.cap()));
        match opening.wait(pin!(Reply::of(response, self.wiring.spec.answer_max))).await {
            Ok(Ok(Reply::Messages(messages))) => drop(task::spawn(self.listener(session).run(messages, listening))),
            // It stays marked as listened to: asking again with each call would find nothing new.
            Ok(Ok(Reply::Refused(_) | Reply::Accepted)) => std::mem::forget(listening),
            Ok(Err(_)) | Err(_) => {}
        }
        under_way
    }

    fn listener(&self, session: &Session) -> Listener {
        let (wire, headers) = (self.wire.clone(), session.headers.clone());
        let (list_changed, watched) = (self.wiring.list_changed.clone(), session.watched.clone());
        let (asks, asides) = (session.asks.clone(), session.asides.clone());
        Listener { wire, headers, asks, asides, caps: session.caps, list_changed, watched }
    }

    /// Listens for changes of its lists and of what is watched on the session's own stream until the server ends it. A
    /// server without such a stream is never heard, which is no loss of anything.
    pub(super) async fn watch(&self, session: &Session) -> Result<Tried> {
        if !session.about.offers.subscribe {
            return self.hear(session).await;
        }
        match select(pin!(self.hear(session)), pin!(self.subscribe(session))).await {
            Either::Left((heard, _)) => heard,
            Either::Right((lost, _)) => lost,
        }
    }

    /// Keeps the session's subscriptions in line with what is wanted until it is lost.
    async fn subscribe(&self, session: &Session) -> Result<Tried> {
        let lost = Cell::new(false);
        let ask = async |change, uri: &str| {
            let ask = message::subscribe(self.wiring.ids.mint(), change, uri);
            match self.ask(session, &ask, &Patience::fixed(self.wiring.spec.call_timeout)).await? {
                Tried::Answered(_) => Ok(()),
                Tried::SessionLost => {
                    lost.set(true);
                    Err(incomplete())
                }
            }
        };
        match watched::subscribe(&self.wiring.watched, ask).await {
            Err(_) if lost.get() => Ok(Tried::SessionLost),
            ended => ended.map(|()| Tried::SessionLost),
        }
    }

    async fn hear(&self, session: &Session) -> Result<Tried> {
        if let Some(events) = &session.events {
            tracing::debug!("an event stream has ended: {}", events.ended().await);
            return Ok(Tried::SessionLost);
        }
        // A session has one such stream: what is asked of calls comes on it too, and a call may listen already.
        let _listening = session.asks.begin_in_turn().await;
        let opening = Patience::opening(self.wiring.spec.probe_timeout);
        let response = pin!(self.wire.get(&session.headers, &[], opening.cap()));
        let stream = Reply::of(response, self.wiring.spec.answer_max);
        let messages = match opening.wait(pin!(stream)).await?? {
            Reply::Messages(messages) => messages,
            Reply::Refused(refusal) if refusal.status == 404 && session.stateful => return Ok(Tried::SessionLost),
            Reply::Refused(_) | Reply::Accepted => return std::future::pending().await,
        };
        let (sink, forever) = (Sink::nowhere(), Patience::fixed(Duration::MAX));
        let listener = self.listener(session);
        let serve = async |request| {
            listener.serve(request);
            Ok(())
        };
        self.exchange(0, &sink, &forever, &session.watched).finish(messages, serve).await.map(Tried::Answered)
    }
}

/// Hears what a server asks on the stream of a session.
struct Listener {
    wire: Rc<Wire>,
    headers: Rc<Prepared>,
    asks: Rc<Asks>,
    asides: Rc<Asides>,
    caps: ClientCaps,
    list_changed: Rc<Notify>,
    watched: Rc<Watched>,
}

impl Listener {
    /// Until the stream or the session ends; the next call that can be asked opens another.
    async fn run(self, mut messages: Messages, listening: Listening) {
        let asks = self.asks.clone();
        let hear = async {
            while let Ok(Some(text)) = messages.next().await {
                for message in incoming::read(&text).unwrap_or_default() {
                    self.take(message);
                }
            }
        };
        select(pin!(hear), pin!(asks.ended.notified())).await;
        drop(listening);
    }

    fn take(&self, message: Incoming) {
        match message {
            Incoming::Request { id, method, params } => self.serve(ServerRequest { id, method, params }),
            Incoming::ListChanged => self.list_changed.notify_one(),
            Incoming::Updated(uri) => self.watched.updated(&uri),
            Incoming::Visited(params) => self.watched.visited(&params),
            _ => {}
        }
    }

    fn serve(&self, ServerRequest { id, method, params }: ServerRequest) {
        let Some(aside) = self.asides.begin() else { return };
        let name = rpc::string(&id).map(String::from);
        let asked = match self.caps.permits(&method, Some(&params)) {
            true => self.asks.ask(name.as_deref(), (&method, params), &self.watched).ok(),
            false => None,
        };
        let (wire, headers) = (self.wire.clone(), self.headers.clone());
        task::spawn(async move {
            let (said, _hold) = match asked {
                Some((answer, hold)) => {
                    let reply = time::timeout(QUESTION, answer).await.ok().and_then(|answer| answer.ok());
                    (message::answer(&id, reply.as_ref()), Some(hold))
                }
                None => (message::reply(&id, &method), None),
            };
            if let Err(error) = wire.post(&headers, &[], said, Clock::now() + ASIDE).await {
                tracing::debug!("could not answer a server's request: {error}");
            }
            drop(aside);
        });
    }
}
