//! What a call says on its way, its server's questions among it, and the bounded way this takes to whoever answers the
//! client.

use crate::base::buf::Piece;
use crate::base::error::{Error, Kind, Result, Side};
use crate::base::limits::{RELAY_BYTES_MAX, RELAY_EVENTS_MAX};
use crate::rt::local::{self, Notify, OneReceiver, OneSender};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

/// A notification that belongs to one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is.
    pub kind: EventKind,
    /// The raw JSON object of its `params`. A progress token in it is ours; `mcp::progress` puts the client's back.
    pub params: Piece,
}

/// The notifications that are relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `notifications/progress`.
    Progress,
    /// `notifications/message`: a log line.
    Log,
    /// `notifications/elicitation/complete`: a page that the client was asked to visit was visited; legacy alone.
    Visited,
}

/// A request of the server that belongs to one call: for the client to answer, through its gate.
#[derive(Debug)]
pub struct Question {
    /// The server's own name for it: its id, where that is a text.
    pub name: Option<Box<str>>,
    /// Its method.
    pub method: Box<str>,
    /// Its raw `params`; empty where it has none.
    pub params: Piece,
    /// Takes the answer. Dropping it says that nobody will answer.
    pub reply: OneSender<Reply>,
}

/// What a client answered to a question: the raw JSON of one member of its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The raw value of `result`.
    Result(Piece),
    /// The raw value of `error`.
    Error(Piece),
}

/// What a call says on its way.
#[derive(Debug)]
pub enum Said {
    /// A notification.
    Event(Event),
    /// A question, to be answered or dropped.
    Question(Question),
}

/// Where what a call says goes as it comes. Cheap to clone; it stays on its thread.
#[derive(Clone, Default)]
pub struct Sink {
    way: Way,
    /// The session of a legacy client, where that can be asked to visit pages.
    client: Option<[u8; 16]>,
}

/// A sink that keeps nothing alive: it is gone when its call has ended.
pub struct WeakSink(WeakWay);

enum WeakWay {
    Nowhere,
    Queue(Weak<Queue>),
    Hand(Weak<dyn Fn(Said) -> bool>),
}

impl WeakSink {
    /// The sink, while its call is under way.
    pub fn upgrade(&self) -> Option<Sink> {
        let way = match &self.0 {
            WeakWay::Nowhere => return None,
            WeakWay::Queue(queue) => Way::Queue(queue.upgrade()?),
            WeakWay::Hand(take) => Way::Hand(take.upgrade()?),
        };
        Some(way.into())
    }
}

impl From<Way> for Sink {
    fn from(way: Way) -> Self {
        Self { way, client: None }
    }
}

#[derive(Clone, Default)]
enum Way {
    #[default]
    Nowhere,
    Unheard,
    Queue(Rc<Queue>),
    Hand(Rc<dyn Fn(Said) -> bool>),
}

/// The reading end of a [`Sink`]: what has come and was not yet taken; nothing ever where nobody listens. Where its
/// reader rests, what is asked and was said last is kept for it.
pub struct Relay(Option<Rc<Queue>>);

#[derive(Default)]
struct Queue {
    said: RefCell<VecDeque<Said>>,
    bytes: Cell<usize>,
    closed: Cell<bool>,
    resting: Cell<bool>,
    more: Notify,
}

/// A bounded way from a call to the one who answers the client: at most `RELAY_EVENTS_MAX` events and
/// `RELAY_BYTES_MAX` bytes wait in it.
pub fn relay() -> (Sink, Relay) {
    let queue = Rc::new(Queue::default());
    (Way::Queue(queue.clone()).into(), Relay(Some(queue)))
}

/// The same for a client that takes no events: what comes into it is a sign of life, and dropped.
pub fn unheard() -> (Sink, Relay) {
    (Way::Unheard.into(), Relay(None))
}

impl Sink {
    /// A sink that wants nothing and never ends a call.
    pub fn nowhere() -> Self {
        Self::default()
    }

    /// Whether it wants nothing.
    pub fn is_nowhere(&self) -> bool {
        matches!(self.way, Way::Nowhere)
    }

    /// A sink that hands each thing said over at once; it says whether it wants more.
    pub fn hand(take: impl Fn(Said) -> bool + 'static) -> Self {
        Way::Hand(Rc::new(take)).into()
    }

    /// The same for the client of a legacy session.
    #[must_use]
    pub fn of_client(self, session: [u8; 16]) -> Self {
        Self { client: Some(session), ..self }
    }

    /// The session of a legacy client, where that can be asked to visit pages.
    pub fn client(&self) -> Option<[u8; 16]> {
        self.client
    }

    /// The same sink, as long as its call is under way.
    pub fn downgrade(&self) -> WeakSink {
        WeakSink(match &self.way {
            Way::Nowhere | Way::Unheard => WeakWay::Nowhere,
            Way::Queue(queue) => WeakWay::Queue(Rc::downgrade(queue)),
            Way::Hand(take) => WeakWay::Hand(Rc::downgrade(take)),
        })
    }

    /// Gives an event on. An error says that the reader is gone or too slow, and that the call is to be ended.
    pub fn push(&self, event: Event) -> Result<()> {
        self.say(Said::Event(event))
    }

    /// Asks the client; `name` is the server's own name for the question, if it has one. What is given resolves with
    /// its answer, or with [`local::Closed`] when nobody will answer: at once where the client takes no questions on
    /// this call.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn ask(&self, name: Option<&str>, method: &str, params: Piece) -> Result<OneReceiver<Reply>> {
        let (reply, answer) = local::oneshot();
        let name = name.map(Into::into);
        self.say(Said::Question(Question { name, method: method.into(), params, reply }))?;
        Ok(answer)
    }

    fn say(&self, said: Said) -> Result<()> {
        let wanted = match &self.way {
            Way::Nowhere | Way::Unheard => true,
            Way::Hand(take) => take(said),
            Way::Queue(queue) => queue.push(said),
        };
        let slow = || Error::new(Kind::Overloaded, "the client reads the events of its call too slowly");
        if wanted { Ok(()) } else { Err(slow().side(Side::Downstream)) }
    }
}

impl Said {
    fn len(&self) -> usize {
        match self {
            Self::Event(event) => event.params.len(),
            Self::Question(question) => question.params.len(),
        }
    }
}

impl Queue {
    fn push(&self, said: Said) -> bool {
        if self.closed.get() {
            return false;
        }
        if self.resting.get() {
            self.make_room(said.len());
        }
        if !self.has_room(said.len()) {
            // No reader is too slow where none is there. A question that is dropped is told to be refused.
            return self.resting.get();
        }
        let bytes = self.bytes.get() + said.len();
        self.bytes.set(bytes);
        self.said.borrow_mut().push_back(said);
        self.more.notify_one();
        true
    }

    fn has_room(&self, len: usize) -> bool {
        self.said.borrow().len() < RELAY_EVENTS_MAX && self.bytes.get() + len <= RELAY_BYTES_MAX
    }

    /// Drops the oldest events until there is room for so much, as far as that goes.
    fn make_room(&self, len: usize) {
        while !self.has_room(len) {
            let mut all = self.said.borrow_mut();
            let oldest = all.iter().position(|said| matches!(said, Said::Event(_)));
            let Some(gone) = oldest.and_then(|at| all.remove(at)) else { return };
            self.bytes.set(self.bytes.get() - gone.len());
        }
    }
}

impl Relay {
    /// What was said next. It waits as long as there is nothing; race it against the call.
    pub async fn next(&mut self) -> Said {
        loop {
            if let Some(said) = self.try_next() {
                return said;
            }
            match &self.0 {
                Some(queue) => queue.more.notified().await,
                None => std::future::pending().await,
            }
        }
    }

    /// Its reader will come back later, or (`false`) has come back. Until then it is not too slow: the oldest events
    /// make room for what comes.
    pub fn rest(&self, rests: bool) {
        if let Some(queue) = &self.0 {
            queue.resting.set(rests);
        }
    }

    /// What was said and not yet taken: what remains to be written before the answer.
    pub fn try_next(&mut self) -> Option<Said> {
        let queue = self.0.as_ref()?;
        let said = queue.said.borrow_mut().pop_front()?;
        queue.bytes.set(queue.bytes.get() - said.len());
        Some(said)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.closed.set(true);
            // Whoever asked is told that nobody answers.
            queue.said.borrow_mut().clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(len: usize) -> Event {
        Event { kind: EventKind::Progress, params: vec![b' '; len].into() }
    }

    #[test]
    fn events_come_out_in_order_and_room_comes_back() {
        let (sink, mut relay) = relay();
        for round in 0..RELAY_EVENTS_MAX * 2 {
            sink.push(event(round)).expect("room");
            let Some(Said::Event(got)) = relay.try_next() else { panic!("nothing came") };
            assert_eq!(got, event(round));
        }
        assert!(relay.try_next().is_none());
        let (sink, mut relay) = unheard();
        sink.push(event(RELAY_BYTES_MAX * 2)).expect("nobody lags");
        assert!(relay.try_next().is_none() && !sink.is_nowhere());
    }

    #[test]
    fn a_reader_that_lags_or_is_gone_ends_the_call() {
        let (sink, relay) = relay();
        for _ in 0..RELAY_EVENTS_MAX {
            sink.push(event(1)).expect("room");
        }
        assert_eq!(sink.push(event(1)).expect_err("full").kind, Kind::Overloaded);
        drop(relay);
        let (sink, relay) = super::relay();
        sink.push(event(RELAY_BYTES_MAX)).expect("room for exactly the bound");
        assert!(sink.push(event(1)).is_err());
        drop(relay);
        assert!(sink.push(event(0)).is_err());
        Sink::nowhere().push(event(9)).expect("nowhere takes all");
    }

    #[test]
    fn while_its_reader_rests_the_oldest_events_make_room_and_questions_do_not() {
        let (sink, mut relay) = relay();
        let ask = || sink.ask(None, "roots/list", Piece::default()).expect("nobody lags");
        sink.push(event(RELAY_BYTES_MAX)).expect("room");
        relay.rest(true);
        let _first = ask();
        for len in 0..RELAY_EVENTS_MAX * 2 {
            sink.push(event(len)).expect("nobody lags");
        }
        sink.push(event(RELAY_BYTES_MAX + 1)).expect("nobody lags, and it is not kept");
        sink.push(event(7)).expect("nobody lags");
        assert!(matches!(relay.try_next(), Some(Said::Question(_))));
        let Some(Said::Event(last)) = relay.try_next() else { panic!("no event") };
        assert_eq!((last.params.len(), relay.try_next().is_none()), (7, true));
        let mut asked: Vec<_> = (0..=RELAY_EVENTS_MAX).map(|_| ask()).collect();
        let refused = asked.pop().map(futures_util::FutureExt::now_or_never);
        assert_eq!(refused, Some(Some(Err(local::Closed))), "one question too many");
        relay.rest(false);
        assert_eq!(std::iter::from_fn(|| relay.try_next()).count(), RELAY_EVENTS_MAX);
        sink.push(event(RELAY_BYTES_MAX)).expect("room");
        assert!(sink.push(event(1)).is_err(), "it reads again");
    }

    #[test]
    fn a_question_is_answered_or_dropped() {
        let (sink, mut relay) = relay();
        let mut answer = sink.ask(None, "roots/list", Piece::default()).expect("room");
        let Some(Said::Question(question)) = relay.try_next() else { panic!("no question") };
        assert_eq!((&*question.method, answer.try_recv()), ("roots/list", None));
        question.reply.send(Reply::Result(Piece::from("{}"))).expect("somebody waits");
        assert_eq!(answer.try_recv(), Some(Reply::Result(Piece::from("{}"))));
        for sink in [Sink::nowhere(), unheard().0] {
            let mut answer = sink.ask(None, "roots/list", Piece::default()).expect("taken");
            assert_eq!(futures_util::FutureExt::now_or_never(&mut answer), Some(Err(local::Closed)));
        }
        let mut left = sink.ask(None, "roots/list", Piece::default()).expect("room");
        drop(relay);
        assert_eq!(futures_util::FutureExt::now_or_never(&mut left), Some(Err(local::Closed)));
    }
}
