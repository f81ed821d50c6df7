//! Calls that must run on another shard: a stdio server's process and a stateful session live at their home shard only.
//!
//! Crossing costs two wake-ups (docs/architecture.md), which is why everything stateless runs where the client is.

use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result, Retry, Side};
use crate::base::ids::ShardId;
use crate::base::limits::{CALL_CAP_MS, INPUT_TTL_MS};
use crate::invariant;
use crate::rt::local::{self, Notify};
use crate::rt::mailbox::{Sender, TrySend};
use crate::rt::{task, time};
use crate::shard::messages::{Forward, Returned, Ticket, ToShard};
use crate::shard::session::SessionKey;
use crate::upstream::answer::{Answer, OwnedCall};
use crate::upstream::said::{Question, Reply, Sink};
use foldhash::HashMap;
use futures_util::future::try_join_all;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Time the other shards have to hear of an ended session.
const END_TIME: Duration = Duration::from_secs(2);
/// Pause before a message is offered again to a mailbox that was full.
const FULL_PAUSE: Duration = Duration::from_millis(2);
/// Time after which a message that no mailbox takes is given up: the other side's own deadline has passed by then.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// Time after which the answer of another shard is no longer waited for: its own deadline has passed long ago, so the
/// task that was to answer has died.
const LOST_AFTER: Duration = Duration::from_millis(CALL_CAP_MS + 60_000);

/// The ways to the other shards, and the questions that are open in either direction.
pub(crate) struct Peers {
    own: ShardId,
    mailboxes: Box<[Sender<ToShard>]>,
    next: Cell<u64>,
    asked: RefCell<HashMap<u64, Asker>>,
    serving: RefCell<HashMap<Ticket, Rc<Notify>>>,
    /// Who waits for what a client is asked elsewhere, by our number for the question.
    questions: RefCell<HashMap<u64, (Ticket, local::OneSender<Reply>)>>,
    ends: RefCell<HashMap<u64, local::OneSender<Result<()>>>>,
}

/// Who waits for a call that runs elsewhere.
struct Asker {
    /// Where it runs.
    home: ShardId,
    /// Takes its events; bounded like those of a call that runs here.
    events: Sink,
    answer: local::OneSender<Result<Answer>>,
}

/// A question of ours; dropping it before the answer tells the other shard to stop.
struct Asked<'a> {
    peers: &'a Peers,
    home: ShardId,
    number: u64,
    answered: bool,
}

impl Peers {
    /// The ways from shard `own`; `mailboxes` holds every shard's, in the order of their ids.
    pub(crate) fn new(own: ShardId, mailboxes: Box<[Sender<ToShard>]>) -> Self {
        let (asked, serving, ends) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { own, mailboxes, next: Cell::new(0), asked, serving, questions: RefCell::default(), ends }
    }

    /// The shard that a number picks: the same on every shard.
    pub(crate) fn home(&self, number: u64) -> ShardId {
        let picked = number % self.mailboxes.len() as u64;
        ShardId(invariant!(u16::try_from(picked), "shards are numbered in 16 bits"))
    }

    /// The other shards.
    pub(crate) fn others(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.all().filter(|shard| *shard != self.own)
    }

    /// All shards, this one too.
    pub(crate) fn all(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..).map(ShardId).take(self.mailboxes.len())
    }

    /// A fresh number for a question of this shard.
    pub(crate) fn ticket(&self) -> Ticket {
        let number = self.next.get();
        self.next.set(number + 1);
        Ticket { origin: self.own, number }
    }

    /// Puts a message into a shard's mailbox.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] where it is full.
    pub(crate) fn send(&self, shard: ShardId, message: ToShard) -> Result<()> {
        let sent = self.mailboxes[usize::from(shard.0)].try_send(message);
        let full = |_| Error::new(Kind::Overloaded, "a shard's mailbox is full; try again").retry(Retry::Safe);
        sent.map_err(full)
    }

    /// Puts a message into a shard's mailbox, or gives it back where it is full.
    pub(crate) fn offer(&self, shard: ShardId, message: ToShard) -> std::result::Result<(), ToShard> {
        self.mailboxes[usize::from(shard.0)].try_send(message).map_err(|refused| match refused {
            TrySend::Full(message) | TrySend::Closed(message) => message,
        })
    }

    /// Puts a message into a shard's mailbox, again and again while that is full: until whoever waits for it has given
    /// up. Says whether it was taken.
    pub(crate) async fn deliver(&self, shard: ShardId, mut message: ToShard) -> bool {
        let until = Clock::now() + GIVE_UP_AFTER;
        while let Err(back) = self.offer(shard, message) {
            if Clock::now() > until {
                return false;
            }
            message = back;
            time::sleep(FULL_PAUSE).await;
        }
        true
    }

    /// Runs a call at the home shard of its server. Dropping the future cancels it there.
    pub(crate) async fn call(&self, home: ShardId, server: &str, call: OwnedCall, sink: &Sink) -> Result<Answer> {
        let client = sink.client();
        let forward = |ticket| ToShard::Forward(Box::new(Forward { ticket, server: server.into(), call, client }));
        self.ask(home, sink, forward).await
    }

    /// Has another shard do what ends in an answer. Dropping the future ends it there.
    pub(crate) async fn ask(
        &self,
        home: ShardId,
        sink: &Sink,
        message: impl FnOnce(Ticket) -> ToShard,
    ) -> Result<Answer> {
        let ticket = self.ticket();
        let (answer, answered) = local::oneshot();
        self.asked.borrow_mut().insert(ticket.number, Asker { home, events: sink.clone(), answer });
        let mut asked = Asked { peers: self, home, number: ticket.number, answered: true };
        self.send(home, message(ticket))?;
        asked.answered = false;
        let answer = time::timeout(LOST_AFTER, answered).await.map_err(|_| lost())?;
        let slow = |_| Error::new(Kind::Overloaded, "the client reads the events of its call too slowly");
        let answer = answer.map_err(|closed| slow(closed).side(Side::Downstream))?;
        asked.answered = true;
        answer
    }

    /// Takes what another shard says of a call of ours. A reader that lags loses the call.
    pub(crate) fn returned(self: &Rc<Self>, number: u64, what: Returned) {
        let mut asked = self.asked.borrow_mut();
        match what {
            Returned::Question { number: question, name, method, params } => {
                let Some(asker) = asked.get(&number) else { return };
                let (home, answer) = (asker.home, asker.events.ask(name.as_deref(), &method, params));
                drop(task::spawn(self.clone().reply(home, question, answer)));
            }
            Returned::Event(event) => {
                let lags = asked.get(&number).is_some_and(|asker| asker.events.push(event).is_err());
                if lags {
                    asked.remove(&number);
                }
            }
            Returned::Answer(answer) => {
                if let Some(asker) = asked.remove(&number) {
                    // Nobody waits any more where the client has just gone.
                    let _ = asker.answer.send(answer);
                }
            }
        }
    }

    /// Brings the answer to a question to the shard where the call runs that asked it.
    async fn reply(self: Rc<Self>, home: ShardId, question: u64, answer: Result<local::OneReceiver<Reply>>) {
        let reply = match answer {
            // Bounded here: where the call has ended, nobody else ends the wait for a client that never answers.
            Ok(answer) => {
                time::timeout(Duration::from_millis(INPUT_TTL_MS), answer).await.ok().and_then(|reply| reply.ok())
            }
            Err(_) => None,
        };
        self.deliver(home, ToShard::Replied(question, reply)).await;
    }

    /// Enters a question that another shard's client is to answer; gives its number.
    pub(crate) fn question(&self, ticket: Ticket, question: Question) -> Returned {
        let number = self.ticket().number;
        self.questions.borrow_mut().insert(number, (ticket, question.reply));
        Returned::Question { number, name: question.name, method: question.method, params: question.params }
    }

    /// Takes the answer to a question that was entered here.
    pub(crate) fn replied(&self, number: u64, reply: Option<Reply>) {
        let found = self.questions.borrow_mut().remove(&number);
        if let (Some((_, asker)), Some(reply)) = (found, reply) {
            // The call may have ended meanwhile.
            let _ = asker.send(reply);
        }
    }

    /// Tells every other shard that a session has ended, and waits until each has heard of it.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] where one does not say so in time; the session may then still be taken there.
    pub(crate) async fn announce_end(&self, session: SessionKey) -> Result<()> {
        self.announce(|ticket| ToShard::SessionEnded(session, ticket)).await
    }

    /// Tells every other shard something of a session, and waits until each has heard of it.
    ///
    /// # Errors
    /// As one of them refuses it; [`Kind::Overloaded`] where one does not say so in time.
    pub(crate) async fn announce(&self, message: impl Fn(Ticket) -> ToShard) -> Result<()> {
        let told = try_join_all(self.others().map(|shard| self.announce_to(shard, &message)));
        let late =
            |_| Error::new(Kind::Overloaded, "a shard did not hear in time of a change of the session; try again");
        time::timeout(END_TIME, told).await.map_err(late)?.map(drop)
    }

    /// Tells one shard, once its mailbox has room, and waits until it has heard.
    async fn announce_to(&self, shard: ShardId, message: &impl Fn(Ticket) -> ToShard) -> Result<()> {
        let ticket = self.ticket();
        let (sender, heard) = local::oneshot();
        self.ends.borrow_mut().insert(ticket.number, sender);
        let _forget = Ending { peers: self, number: ticket.number };
        while self.send(shard, message(ticket)).is_err() {
            time::sleep(FULL_PAUSE).await;
        }
        // The sender stays in the map until it is used.
        heard.await.unwrap_or(Ok(()))
    }

    /// Another shard has heard of what was announced, and says what came of it.
    pub(crate) fn acknowledged(&self, number: u64, came: Result<()>) {
        if let Some(sender) = self.ends.borrow_mut().remove(&number) {
            // Nobody waits any more where the time was up.
            let _ = sender.send(came);
        }
    }

    /// Enters a call that another shard asked for; the result tells when it no longer wants it.
    pub(crate) fn serve(&self, ticket: Ticket) -> Rc<Notify> {
        let abandoned = Rc::new(Notify::default());
        self.serving.borrow_mut().insert(ticket, abandoned.clone());
        abandoned
    }

    /// Forgets a call that another shard asked for.
    pub(crate) fn served(&self, ticket: Ticket) {
        self.serving.borrow_mut().remove(&ticket);
        self.questions.borrow_mut().retain(|_, (asker, _)| *asker != ticket);
    }

    /// The other shard no longer wants its call.
    pub(crate) fn abandoned(&self, ticket: Ticket) {
        if let Some(serving) = self.serving.borrow().get(&ticket) {
            serving.notify_one();
        }
    }
}

/// The end of a session that one shard is being told of.
struct Ending<'a> {
    peers: &'a Peers,
    number: u64,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.peers.ends.borrow_mut().remove(&self.number);
    }
}

fn lost() -> Error {
    Error::new(Kind::Internal, "another shard lost the call; it may have been run").retry(Retry::Unsafe)
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.peers.asked.borrow_mut().remove(&self.number);
        if !self.answered {
            let ticket = Ticket { origin: self.peers.own, number: self.number };
            // A full mailbox loses this: the call then ends by its own deadline.
            let _ = self.peers.send(self.home, ToShard::Abandoned(ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::{RELAY_BYTES_MAX, RELAY_EVENTS_MAX};
    use crate::mcp::revision::Era;
    use crate::rt::mailbox::{self, Receiver};
    use crate::rt::{sim, task};
    use crate::upstream::answer::{Outcome, UpstreamCall};
    use crate::upstream::said::{Event, EventKind, relay};

    const OTHER: ShardId = ShardId(1);

    /// Shard 0 of two, and the mailbox of the other, with room for two messages.
    fn peers() -> (Rc<Peers>, Receiver<ToShard>) {
        let (own, _) = mailbox::try_mailbox(2).unwrap();
        let (other, receiver) = mailbox::try_mailbox(2).unwrap();
        (Rc::new(Peers::new(ShardId(0), [own, other].into())), receiver)
    }

    fn event(len: usize) -> Returned {
        Returned::Event(Event { kind: EventKind::Progress, params: vec![b' '; len].into() })
    }

    fn answer() -> Result<Answer> {
        Ok(Answer { outcome: Outcome::Result("{}".into()), era: Era::Legacy })
    }

    #[test]
    fn an_answer_finds_its_way_past_events_that_wait() {
        sim::run(1, async {
            let (peers, mut other) = peers();
            let (sink, mut events) = relay();
            let calling = peers.clone();
            let call =
                task::spawn(
                    async move { calling.call(OTHER, "s", OwnedCall::from(&UpstreamCall::default()), &sink).await },
                );
            let ToShard::Forward(forward) = other.recv().await else { panic!("not a call") };
            (0..RELAY_EVENTS_MAX).for_each(|_| peers.returned(forward.ticket.number, event(1)));
            peers.returned(forward.ticket.number, Returned::Answer(answer()));
            assert_eq!(call.await, answer());
            assert_eq!(std::iter::from_fn(|| events.try_next()).count(), RELAY_EVENTS_MAX);
            assert!(other.try_recv().is_none(), "an answered call is not abandoned");
        });
    }

    #[test]
    fn events_that_nobody_takes_are_bounded_by_their_bytes() {
        sim::run(1, async {
            let (peers, mut other) = peers();
            let (sink, events) = relay();
            let calling = peers.clone();
            let call =
                task::spawn(
                    async move { calling.call(OTHER, "s", OwnedCall::from(&UpstreamCall::default()), &sink).await },
                );
            let ToShard::Forward(forward) = other.recv().await else { panic!("not a call") };
            peers.returned(forward.ticket.number, event(RELAY_BYTES_MAX));
            assert!(!peers.asked.borrow().is_empty());
            peers.returned(forward.ticket.number, event(1));
            assert!(peers.asked.borrow().is_empty(), "nothing more of this call is taken");
            assert_eq!(call.await.unwrap_err().kind, Kind::Overloaded);
            assert!(matches!(other.recv().await, ToShard::Abandoned(ticket) if ticket == forward.ticket));
            drop(events);
        });
    }

    #[test]
    fn what_another_shard_refuses_is_known_where_it_was_asked() {
        sim::run(1, async {
            let (peers, mut other) = peers();
            let telling = peers.clone();
            let announce = |ticket| ToShard::SessionEnded([7; 16], ticket);
            let told = task::spawn(async move { telling.announce(announce).await });
            let ToShard::SessionEnded(_, ticket) = other.recv().await else { panic!("not the end of a session") };
            peers.acknowledged(ticket.number, Err(Error::new(Kind::Overloaded, "no room")));
            assert_eq!(told.await.unwrap_err().context, "no room");
            assert!(peers.ends.borrow().is_empty());
        });
    }

    #[test]
    fn the_end_of_a_session_waits_for_room_in_a_mailbox() {
        sim::run(1, async {
            let (peers, mut other) = peers();
            while peers.send(OTHER, ToShard::Drain).is_ok() {}
            let telling = peers.clone();
            let told = task::spawn(async move { telling.announce_end([7; 16]).await });
            time::sleep(Duration::from_millis(50)).await;
            let ticket = loop {
                match other.recv().await {
                    ToShard::SessionEnded(session, ticket) => {
                        assert_eq!(session, [7; 16]);
                        break ticket;
                    }
                    _ => time::sleep(Duration::from_millis(1)).await,
                }
            };
            peers.acknowledged(ticket.number, Ok(()));
            told.await.unwrap();
            let silent = peers.announce_end([8; 16]).await;
            assert_eq!(silent.unwrap_err().kind, Kind::Overloaded);
            assert!(peers.ends.borrow().is_empty(), "an end that is not confirmed in time is not waited for");
        });
    }
}
