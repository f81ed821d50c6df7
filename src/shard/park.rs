//! Calls that wait for their modern client: a legacy server has asked something, the client was answered
//! `input_required` with a sealed state, and the call goes on when the client comes back with it (docs/protocol.md 5).
//!
//! A call that may be parked runs in a task of its own, as it outlives the request that began it. It is dropped, which
//! cancels it at the server, when its client goes away, does not come back in time, or the shard drains. Of what it
//! says while it is parked, its client hears the last when it comes back, and all that its server asks.

use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::KeyId;
use crate::base::limits::{GATHER_MS, INPUT_KEY_MAX, INPUT_REQUESTS_MAX, INPUT_TTL_MS, PARKED_MAX, PARKED_PER_KEY_MAX};
use crate::mcp::question::{InputMethod, InputRequest};
use crate::rt::local::{Notify, OneReceiver};
use crate::rt::time;
use crate::upstream::answer::Answer;
use crate::upstream::said::{Question, Relay, Reply, Said, Sink};
use foldhash::HashMap;
use futures_util::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// Time in which questions are gathered.
const GATHER: Duration = Duration::from_millis(GATHER_MS);

/// A call in a task of its own, and what it waits for. Dropping it cancels the call.
pub(crate) struct Running {
    relay: Relay,
    answer: OneReceiver<Result<Answer>>,
    cancel: Rc<Notify>,
    /// What the server has asked and nobody has answered yet, by the key the client sees.
    questions: Vec<Open>,
    /// Questions so far.
    count: u32,
}

/// One open question.
struct Open {
    /// The key by which the client sees it.
    key: Box<str>,
    method: InputMethod,
    question: Question,
}

/// What comes next of a call that goes on.
enum Next {
    Ended(Result<Answer>),
    Said(Said),
    Gathered,
}

/// How it goes on.
pub(crate) enum Turn {
    /// The call has ended.
    Ended(Result<Answer>),
    /// The server waits for the client's answers.
    Asks(Running),
}

impl Running {
    /// A call that was just started: what it says comes by `relay`, its end by `answer`; `cancel` is rung to end it.
    pub(crate) fn new(relay: Relay, answer: OneReceiver<Result<Answer>>, cancel: Rc<Notify>) -> Self {
        Self { relay, answer, cancel, questions: Vec::new(), count: 0 }
    }

    /// The open questions: the client's key, method and raw params of each.
    pub(crate) fn questions(&self) -> impl Iterator<Item = (&str, &str, &[u8])> {
        self.questions.iter().map(|open| (&*open.key, &*open.question.method, &*open.question.params))
    }

    /// Hands the client's answers over. Each is taken by `answer` as its question wants it; what has none stays open.
    ///
    /// # Errors
    /// As `answer` refuses one; none was handed over then.
    pub(crate) fn reply(&mut self, answer: impl Fn(&str, InputMethod) -> Result<Option<Reply>>) -> Result<()> {
        // All are looked at before any is handed over: a retry counts whole or not at all.
        let answers: Vec<_> =
            self.questions.iter().map(|open| answer(&open.key, open.method)).collect::<Result<_>>()?;
        for (open, answer) in std::mem::take(&mut self.questions).into_iter().zip(answers) {
            match answer {
                // The server may have ended the call meanwhile.
                Some(reply) => drop(open.question.reply.send(reply)),
                None => self.questions.push(open),
            }
        }
        Ok(())
    }

    /// Goes on until the call has ended or its server waits for the client. Events go into `sink`.
    pub(crate) async fn go_on(mut self, sink: &Sink) -> Turn {
        self.relay.rest(false);
        let mut gathered = (!self.questions.is_empty()).then(|| time::sleep(GATHER));
        loop {
            let next = {
                let (answer, said) = (pin!(&mut self.answer), pin!(self.relay.next()));
                let rested = pin!(async {
                    match &mut gathered {
                        Some(sleep) => sleep.await,
                        None => std::future::pending().await,
                    }
                });
                // In this order: a server that never stops asking must not keep its client from the first question.
                match select(answer, select(rested, said)).await {
                    Either::Left((ended, _)) => Next::Ended(ended.unwrap_or_else(|_| Err(died()))),
                    Either::Right((Either::Left(((), _)), _)) => Next::Gathered,
                    Either::Right((Either::Right((said, _)), _)) => Next::Said(said),
                }
            };
            match next {
                Next::Ended(answer) => {
                    self.last_words(sink);
                    return Turn::Ended(answer);
                }
                Next::Gathered => {
                    self.last_words(sink);
                    self.relay.rest(true);
                    return Turn::Asks(self);
                }
                Next::Said(Said::Question(question)) => {
                    self.note(question);
                    gathered.get_or_insert_with(|| time::sleep(GATHER));
                }
                Next::Said(Said::Event(event)) => {
                    if let Err(error) = sink.push(event) {
                        return Turn::Ended(Err(error));
                    }
                }
            }
        }
    }

    /// What was said before the end of the call or of this turn, and not yet heard.
    fn last_words(&mut self, sink: &Sink) {
        while let Some(said) = self.relay.try_next() {
            match said {
                // A client too slow for it does without.
                Said::Event(event) => drop(sink.push(event)),
                Said::Question(question) => self.note(question),
            }
        }
    }

    /// Takes a question in. One that the modern era has no form for is dropped, which tells the server so, and so is
    /// one too many.
    fn note(&mut self, question: Question) {
        if self.questions.len() >= INPUT_REQUESTS_MAX {
            return;
        }
        let Some(request) = InputRequest::legacy(&question.method, Some(&question.params)) else { return };
        self.count += 1;
        // The server's own id names it best, where it is a text that can be a key.
        let own = question.name.clone().filter(|name| (1..=INPUT_KEY_MAX).contains(&name.len()));
        let own = own.filter(|name| self.questions.iter().all(|open| open.key != *name));
        let key = own.unwrap_or_else(|| format!("question_{}", self.count).into());
        let method = request.method;
        self.questions.push(Open { key, method, question });
    }
}

fn died() -> Error {
    Error::new(Kind::Internal, "the call's task has died; it may have been run")
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel.notify_one();
    }
}

/// A call that its modern client will come back for.
struct Parked {
    running: Running,
    key: KeyId,
    until: Instant,
}

/// The parked calls of one shard.
#[derive(Default)]
pub(crate) struct Parks {
    parked: RefCell<HashMap<u64, Parked>>,
    count: Cell<u64>,
}

impl Parks {
    /// Keeps a call until its client comes back, `INPUT_TTL_MS` at most; gives its number.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] where this shard, or this key on it, has too many; the call is cancelled then.
    pub(crate) fn park(&self, key: KeyId, running: Running) -> Result<u64> {
        let mut parked = self.parked.borrow_mut();
        let own = parked.values().filter(|call| call.key == key).count();
        if parked.len() >= PARKED_MAX || own >= PARKED_PER_KEY_MAX {
            let words = "too many calls of this key wait for their client: answer or abandon some, then try again";
            return Err(Error::new(Kind::Overloaded, words));
        }
        let number = self.count.replace(self.count.get() + 1);
        let until = Clock::recent() + Duration::from_millis(INPUT_TTL_MS);
        parked.insert(number, Parked { running, key, until });
        Ok(number)
    }

    /// Takes a key's call out. It is nobody else's to take, and can be taken once.
    pub(crate) fn take(&self, number: u64, key: KeyId) -> Option<Running> {
        let mut parked = self.parked.borrow_mut();
        parked.get(&number).filter(|call| call.key == key)?;
        parked.remove(&number).map(|call| call.running)
    }

    /// Puts a call back that was taken out.
    pub(crate) fn put_back(&self, number: u64, key: KeyId, running: Running) {
        let until = Clock::recent() + Duration::from_millis(INPUT_TTL_MS);
        self.parked.borrow_mut().insert(number, Parked { running, key, until });
    }

    /// Drops those whose client has not come back in time.
    pub(crate) fn expire(&self) {
        let now = Clock::recent();
        self.parked.borrow_mut().retain(|_, call| call.until > now);
    }

    /// Drops all of them.
    pub(crate) fn clear(&self) {
        self.parked.borrow_mut().clear();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.parked.borrow().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buf::Piece;
    use crate::base::clock::WallTime;
    use crate::base::limits::RELAY_EVENTS_MAX;
    use crate::mcp::revision::Era;
    use crate::rt::local::{self, OneSender};
    use crate::rt::sim;
    use crate::upstream::answer;
    use crate::upstream::said::{Event, EventKind, relay};

    type Answering = OneSender<Result<Answer>>;

    /// A call that is under way: where it says things, where it ends, what rings when it is given up, who follows it.
    fn call() -> (Sink, Answering, Rc<Notify>, Running) {
        let ((sink, said), (ended, answer), cancel) = (relay(), local::oneshot(), Rc::new(Notify::new()));
        let running = Running::new(said, answer, cancel.clone());
        (sink, ended, cancel, running)
    }

    fn event() -> Event {
        Event { kind: EventKind::Log, params: Piece::from("{}") }
    }

    fn ask(sink: &Sink) -> OneReceiver<Reply> {
        sink.ask(None, "roots/list", Piece::from("{}")).expect("somebody listens")
    }

    fn key() -> KeyId {
        KeyId::parse("abcdefghijklmnop").expect("a key's id")
    }

    async fn asks(running: Running, sink: &Sink) -> Running {
        match running.go_on(sink).await {
            Turn::Asks(running) => running,
            Turn::Ended(answer) => panic!("it has ended: {answer:?}"),
        }
    }

    #[test]
    fn a_parked_call_may_say_what_it_likes_and_its_questions_and_answer_are_kept() {
        sim::run(1, async {
            let (sink, ended, _, running) = call();
            let (client, mut heard) = relay();
            sink.push(event()).expect("room");
            let first = ask(&sink);
            sink.push(event()).expect("room");
            let running = asks(running, &client).await;
            assert_eq!(std::iter::from_fn(|| heard.try_next()).count(), 2, "what was said before it was parked");
            for _ in 0..RELAY_EVENTS_MAX * 4 {
                sink.push(event()).expect("nobody is too slow");
            }
            let second = ask(&sink);
            let mut running = running;
            running.reply(|_, _| Ok(Some(Reply::Result(Piece::from("{}"))))).expect("taken");
            assert_eq!(first.await, Ok(Reply::Result(Piece::from("{}"))));
            let mut running = asks(running, &client).await;
            assert_eq!(running.questions().count(), 1, "the one that was asked meanwhile");
            running.reply(|_, _| Ok(Some(Reply::Result(Piece::from("{}"))))).expect("taken");
            second.await.expect("answered");
            let done = Answer { outcome: answer::Outcome::Result("{}".into()), era: Era::Legacy };
            let ends = async {
                sink.push(event()).expect("room");
                let _ = ended.send(Ok(done.clone()));
            };
            let (turn, ()) = futures_util::future::join(running.go_on(&client), ends).await;
            let Turn::Ended(answer) = turn else { panic!("it asks nothing more") };
            assert_eq!(answer, Ok(done));
            let count = std::iter::from_fn(|| heard.try_next()).count();
            assert_eq!(count, RELAY_EVENTS_MAX, "the last of what was said, and who is back hears again");
        });
    }

    #[test]
    fn a_call_that_nobody_comes_back_for_is_given_up_and_its_server_told() {
        sim::run(1, async {
            let (sink, _ended, cancel, running) = call();
            let question = ask(&sink);
            let running = asks(running, &Sink::nowhere()).await;
            let parks = Parks::default();
            let number = parks.park(key(), running).expect("room");
            time::sleep(Duration::from_millis(INPUT_TTL_MS - 1)).await;
            parks.expire();
            assert_eq!(parks.len(), 1);
            time::sleep(Duration::from_millis(2)).await;
            parks.expire();
            assert!(parks.take(number, key()).is_none());
            cancel.notified().await;
            assert!(question.await.is_err(), "nobody will answer");
        });
    }

    #[test]
    fn a_key_parks_so_many_calls_and_takes_but_its_own_and_once() {
        Clock::simulate(Instant(0), WallTime(0));
        let parks = Parks::default();
        let numbers: Vec<u64> = (0..PARKED_PER_KEY_MAX).map(|_| parks.park(key(), call().3).expect("room")).collect();
        let (.., cancel, over) = call();
        assert_eq!(parks.park(key(), over).map_err(|error| error.kind), Err(Kind::Overloaded));
        assert!(futures_util::FutureExt::now_or_never(cancel.notified()).is_some(), "it is cancelled");
        let other = KeyId::parse("ponmlkjihgfedcba").expect("a key's id");
        assert!(parks.take(numbers[0], other).is_none());
        assert!(parks.take(numbers[0], key()).is_some());
        assert!(parks.take(numbers[0], key()).is_none());
        Clock::end_simulation();
    }
}
