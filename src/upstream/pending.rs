//! The requests that wait on one stream of messages which many of them share: each answer and event finds its request
//! by our id, and the end of the stream fails them all at once.

use crate::base::buf::Piece;
use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::limits::STDIO_IN_FLIGHT_MAX;
use crate::mcp::caps::ClientCaps;
use crate::rt::local::{self, Closed, Notify, OneReceiver, OneSender};
use crate::rt::{task, time};
use crate::upstream::answer::Outcome;
use crate::upstream::incoming::Incoming;
use crate::upstream::message;
use crate::upstream::patience::{Holds, Patience, QUESTION};
use crate::upstream::said::{Event, Sink};
use crate::upstream::watched::Watched;
use crate::wire::rpc;
use futures_util::future::{Either, select};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;

/// The requests that wait on one stream.
pub(super) struct Pending {
    waiting: RefCell<HashMap<u64, Rc<Waiting>>>,
    /// Why the stream has ended, once it has.
    end: RefCell<Option<Error>>,
    ended: Notify,
    list_changed: Rc<Notify>,
    watched: Rc<Watched>,
}

/// On whose behalf something is asked.
#[derive(Clone, Default)]
pub(super) struct Asker {
    /// Where what the request says goes.
    pub(super) sink: Sink,
    /// What the client can do.
    pub(super) caps: ClientCaps,
    /// Whether there is a client: the gate's own requests have none.
    pub(super) is_client: bool,
}

impl Asker {
    /// A client's call.
    pub(super) fn client(sink: &Sink, caps: ClientCaps) -> Self {
        Self { sink: sink.clone(), caps, is_client: true }
    }

    /// The gate's own request: nobody hears of it, and nobody can be asked.
    pub(super) fn nobody() -> Self {
        Self::default()
    }
}

struct Waiting {
    sink: Sink,
    caps: ClientCaps,
    is_client: bool,
    alive: Notify,
    /// What its client was asked, once it was.
    holds: OnceCell<Rc<Holds>>,
    answer: RefCell<Option<OneSender<Result<Outcome>>>>,
}

impl Waiting {
    fn settle(&self, outcome: Result<Outcome>) {
        if let Some(answer) = self.answer.take() {
            // The one who asked may have gone in the same moment.
            let _ = answer.send(outcome);
        }
    }
}

/// A request that waits; it is forgotten when this is dropped.
pub(super) struct Seat {
    pending: Rc<Pending>,
    id: u64,
    waiting: Rc<Waiting>,
    answer: OneReceiver<Result<Outcome>>,
}

impl Pending {
    /// Nothing waits yet. `list_changed` is rung when the server says that one of its lists changed, and
    /// `watched` told of resources.
    pub(super) fn new(list_changed: Rc<Notify>, watched: Rc<Watched>) -> Self {
        let (waiting, end) = Default::default();
        Self { waiting, end, ended: Notify::new(), list_changed, watched }
    }

    /// Why the stream has ended; nothing while it goes on.
    pub(super) fn end(&self) -> Option<Error> {
        self.end.borrow().clone()
    }

    /// Waits until the stream has ended.
    pub(super) async fn ended(&self) -> Error {
        loop {
            if let Some(error) = self.end() {
                return error;
            }
            self.ended.notified().await;
        }
    }

    /// Enters a request before it is sent.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] when too many wait; why the stream has ended, where it has. Nothing was sent then.
    pub(super) fn admit(self: &Rc<Self>, id: u64, asker: &Asker) -> Result<Seat> {
        if let Some(error) = self.end() {
            return Err(error.retry(Retry::Safe));
        }
        let mut all = self.waiting.borrow_mut();
        if all.len() >= STDIO_IN_FLIGHT_MAX {
            let context = format!("{STDIO_IN_FLIGHT_MAX} calls to the server are in flight; try again later");
            return Err(Error::new(Kind::Overloaded, context).retry(Retry::Safe));
        }
        let (sender, answer) = local::oneshot();
        let (alive, holds, answer_to) = (Notify::new(), OnceCell::new(), RefCell::new(Some(sender)));
        let Asker { sink, caps, is_client } = asker.clone();
        let waiting = Rc::new(Waiting { sink, caps, is_client, alive, holds, answer: answer_to });
        all.insert(id, waiting.clone());
        Ok(Seat { pending: self.clone(), id, waiting, answer })
    }

    /// Fails one request, if it still waits.
    pub(super) fn fail(&self, id: u64, error: Error) {
        if let Some((_, waiting)) = self.meant(Some(id)) {
            waiting.settle(Err(error));
        }
    }

    /// The stream has ended: all that wait fail. Only the first reason counts.
    pub(super) fn finish(&self, why: Error) {
        if self.end.borrow().is_some() {
            return;
        }
        self.end.replace(Some(why.clone()));
        for (_, waiting) in self.waiting.take() {
            waiting.settle(Err(why.clone()));
        }
        self.ended.notify_all();
    }

    /// Takes a message of the server in. `say` takes the answer to a request of its own.
    pub(super) fn take(&self, message: Incoming, say: impl FnOnce(Piece) + 'static) {
        match message {
            Incoming::Answer { id, outcome } => self.answer(id, outcome),
            Incoming::Event { token, kind, params } => {
                let Some((_, waiting)) = self.meant(token) else { return };
                waiting.alive.notify_one();
                if let Err(error) = waiting.sink.push(Event { kind, params }) {
                    waiting.settle(Err(error));
                }
            }
            Incoming::ListChanged => self.list_changed.notify_one(),
            Incoming::Updated(uri) => self.watched.updated(&uri),
            Incoming::Task(params) => self.watched.task(&params),
            Incoming::Visited(params) => self.watched.visited(&params),
            Incoming::Acknowledged { stream, honoured } => self.watched.acknowledged(stream, &honoured),
            Incoming::Request { id, method, params } => self.serve(id, &method, params, say),
            Incoming::Other(_) => {}
        }
    }

    /// Answers a request of the server: from the client of the one call it can be about, if that may be asked this.
    fn serve(&self, id: Piece, method: &str, params: Piece, say: impl FnOnce(Piece) + 'static) {
        let asked = self.askable(method, &params).and_then(|waiting| {
            let answer = self.watched.ask(&waiting.sink, rpc::string(&id).as_deref(), method, params).ok()?;
            let hold = waiting.holds.get_or_init(Rc::default).begin(QUESTION);
            waiting.alive.notify_one();
            Some((answer, hold))
        });
        let Some((answer, hold)) = asked else { return say(message::reply(&id, method)) };
        task::spawn(async move {
            let reply = time::timeout(QUESTION, answer).await.ok().and_then(|answer| answer.ok());
            say(message::answer(&id, reply.as_ref()));
            drop(hold);
        });
    }

    /// The call that a question can be about, as it names none: the only one of a client, if that can be asked this.
    /// Where there are several, even of clients that can be asked nothing, nobody could tell whose it is.
    fn askable(&self, method: &str, params: &[u8]) -> Option<Rc<Waiting>> {
        let waiting = self.waiting.borrow();
        let mut may = waiting.values().filter(|one| one.is_client);
        let found = may.next().filter(|_| may.next().is_none())?;
        found.caps.permits(method, Some(params)).then(|| found.clone())
    }

    /// The request a message belongs to: by its id, or the only one that can be meant where the message names none. One
    /// that takes no events is meant only where it is alone.
    fn meant(&self, id: Option<u64>) -> Option<(u64, Rc<Waiting>)> {
        let waiting = self.waiting.borrow();
        if let Some(id) = id {
            return waiting.get(&id).map(|found| (id, found.clone()));
        }
        let mut meant = waiting.iter().filter(|(_, one)| waiting.len() == 1 || !one.sink.is_nowhere());
        let (id, found) = meant.next().filter(|_| meant.next().is_none())?;
        Some((*id, found.clone()))
    }

    fn answer(&self, id: Option<u64>, outcome: Outcome) {
        // An answer without a usable id can only be an error: the server could not read what it was asked.
        if id.is_none() && matches!(outcome, Outcome::Result(_)) {
            return;
        }
        if let Some((id, waiting)) = self.meant(id) {
            self.waiting.borrow_mut().remove(&id);
            self.watched.answered(&waiting.sink, &outcome);
            waiting.settle(Ok(outcome));
        }
    }
}

impl Seat {
    /// Waits for the answer as long as `patience` lasts; each event of the request prolongs it, and so does a question.
    ///
    /// # Errors
    /// [`Kind::Timeout`]; why the stream has ended; what the request was failed with.
    pub(super) async fn answer(&mut self, patience: &Patience) -> Result<Outcome> {
        let waiting = &self.waiting;
        let signs = pin!(async {
            loop {
                waiting.alive.notified().await;
                patience.touch();
                if let Some(holds) = waiting.holds.get() {
                    patience.adopt(holds);
                }
            }
        });
        let answered = match patience.wait(pin!(select(&mut self.answer, signs))).await? {
            Either::Left((answered, _)) => answered,
            Either::Right((never, _)) => never,
        };
        match answered {
            Ok(outcome) => outcome,
            Err(Closed) => Err(self.pending.ended().await),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pending.waiting.borrow_mut().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::fixture::on_shard;
    use crate::upstream::said::{EventKind, Said, relay};
    use std::time::Duration;

    fn pending() -> Rc<Pending> {
        Rc::new(Pending::new(Rc::new(Notify::new()), Rc::new(Watched::new(|_| ()))))
    }

    fn answer(id: Option<u64>, outcome: Outcome) -> Incoming {
        Incoming::Answer { id, outcome }
    }

    fn no_request(_: Piece) {
        panic!("no request was sent");
    }

    #[test]
    fn answers_find_their_request_and_strangers_find_none() {
        on_shard(async {
            let (pending, patience) = (pending(), Patience::fixed(Duration::from_secs(5)));
            let mut first = pending.admit(1, &Asker::nobody()).expect("room");
            let mut second = pending.admit(2, &Asker::nobody()).expect("room");
            pending.take(answer(Some(9), Outcome::Result("9".into())), no_request);
            pending.take(answer(None, Outcome::Result("0".into())), no_request);
            pending.take(answer(Some(2), Outcome::Result("2".into())), no_request);
            pending.take(answer(Some(2), Outcome::Result("again".into())), no_request);
            assert_eq!(second.answer(&patience).await, Ok(Outcome::Result("2".into())));
            // An error without an id belongs to the only one that waits.
            pending.take(answer(None, Outcome::Error("{}".into())), no_request);
            assert_eq!(first.answer(&patience).await, Ok(Outcome::Error("{}".into())));
            assert!(pending.waiting.borrow().is_empty());
        });
    }

    #[test]
    fn events_prolong_the_wait_and_the_end_fails_all() {
        on_shard(async {
            let (pending, patience) = (pending(), Patience::new(Duration::from_millis(60)));
            let (sink, mut events) = relay();
            let asker = Asker::client(&sink, ClientCaps::default());
            let mut seat = pending.admit(7, &asker).expect("room");
            let other = pending.clone();
            task::spawn(async move {
                for _ in 0..4 {
                    time::sleep(Duration::from_millis(30)).await;
                    let kind = EventKind::Progress;
                    other.take(Incoming::Event { token: Some(7), kind, params: "{}".into() }, no_request);
                }
                other.finish(Error::new(Kind::Unreachable, "gone").retry(Retry::Unsafe));
            });
            let error = seat.answer(&patience).await.expect_err("the stream ended");
            assert_eq!((error.kind, error.retry), (Kind::Unreachable, Retry::Unsafe));
            assert_eq!(std::iter::from_fn(|| events.try_next()).count(), 4);
            let refused = pending.admit(8, &asker).err().expect("ended");
            assert_eq!(refused.retry, Retry::Safe, "nothing was sent");
        });
    }

    #[test]
    fn a_question_that_could_be_of_another_clients_call_reaches_nobody() {
        on_shard(async {
            let (pending, (sink, mut said)) = (pending(), relay());
            let ask = || {
                let (told, answer) = local::oneshot();
                let (id, params) = (Piece::from("1"), Piece::default());
                let request = Incoming::Request { id, method: "roots/list".into(), params };
                pending.take(request, |answer| drop(told.send(answer)));
                answer
            };
            let _gate = pending.admit(1, &Asker::nobody()).expect("room");
            let _askable = pending.admit(2, &Asker::client(&sink, ClientCaps::ASKABLE)).expect("room");
            let _asked = ask();
            assert!(matches!(said.try_next(), Some(Said::Question(_))), "the only client's");
            let silent = pending.admit(3, &Asker::client(&Sink::nowhere(), ClientCaps::default())).expect("room");
            let refused = ask().await.expect("answered at once");
            assert!(std::str::from_utf8(&refused).unwrap().contains("error"), "it may be the other client's");
            assert!(said.try_next().is_none());
            drop(silent);
        });
    }

    #[test]
    fn the_number_that_wait_is_bounded_and_room_comes_back() {
        on_shard(async {
            let pending = pending();
            let admit = |id| pending.admit(id, &Asker::nobody());
            let seats: Vec<_> = (0..STDIO_IN_FLIGHT_MAX as u64).map(|id| admit(id).expect("room")).collect();
            assert_eq!(admit(999).err().map(|error| error.kind), Some(Kind::Overloaded));
            drop(seats);
            assert!(admit(999).is_ok());
        });
    }
}
