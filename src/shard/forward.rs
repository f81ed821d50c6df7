//! Calls that must run on another shard: a stdio server's process and a stateful session live at their home shard only.
//!
//! Crossing costs two wake-ups (docs/performance.md), which is why everything stateless runs where the client is.

use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::ids::ShardId;
use crate::base::limits::RELAY_EVENTS_MAX;
use crate::invariant;
use crate::rt::local::{self, Notify};
use crate::rt::mailbox::{Sender, TrySend};
use crate::rt::time;
use crate::shard::messages::{Forward, Returned, Ticket, ToShard};
use crate::shard::session::SessionKey;
use crate::upstream::answer::{Answer, Sink, UpstreamCall};
use foldhash::HashMap;
use futures_util::future::join_all;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Time the other shards have to hear of an ended session.
const END_TIME: Duration = Duration::from_secs(2);

/// The ways to the other shards, and the questions that are open in either direction.
pub(crate) struct Peers {
    own: ShardId,
    mailboxes: Box<[Sender<ToShard>]>,
    next: Cell<u64>,
    asked: RefCell<HashMap<u64, local::Sender<Returned>>>,
    serving: RefCell<HashMap<Ticket, Rc<Notify>>>,
    ends: RefCell<HashMap<u64, local::OneSender<()>>>,
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
        Self { own, mailboxes, next: Cell::new(0), asked, serving, ends }
    }

    /// The shard that a number picks: the same on every shard.
    pub(crate) fn home(&self, number: u64) -> ShardId {
        let picked = number % self.mailboxes.len() as u64;
        ShardId(invariant!(u16::try_from(picked), "shards are numbered in 16 bits"))
    }

    /// The other shards.
    pub(crate) fn others(&self) -> impl Iterator<Item = ShardId> + '_ {
        (0..).map(ShardId).take(self.mailboxes.len()).filter(|shard| *shard != self.own)
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

    /// Runs a call at the home shard of its server. Dropping the future cancels it there.
    pub(crate) async fn call(&self, home: ShardId, server: &str, call: UpstreamCall, sink: &Sink) -> Result<Answer> {
        let ticket = self.ticket();
        let (sender, mut receiver) = local::channel(RELAY_EVENTS_MAX);
        self.asked.borrow_mut().insert(ticket.number, sender);
        let mut asked = Asked { peers: self, home, number: ticket.number, answered: true };
        self.send(home, ToShard::Forward(Box::new(Forward { ticket, server: server.into(), call })))?;
        asked.answered = false;
        loop {
            match receiver.recv().await {
                Some(Returned::Event(event)) => sink.push(event)?,
                Some(Returned::Answer(answer)) => {
                    asked.answered = true;
                    return answer;
                }
                None => return Err(Error::new(Kind::Overloaded, "the answer came faster than it could be taken")),
            }
        }
    }

    /// Takes what another shard says of a call of ours. A reader that lags loses the call.
    pub(crate) fn returned(&self, number: u64, what: Returned) {
        let mut asked = self.asked.borrow_mut();
        let lags = asked.get(&number).is_some_and(|sender| sender.try_send(what).is_err());
        if lags {
            asked.remove(&number);
        }
    }

    /// Tells every other shard that a session has ended, and waits until each has heard of it.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] where one does not say so in time; the session may then still be taken there.
    pub(crate) async fn announce_end(&self, session: SessionKey) -> Result<()> {
        let mut heard = Vec::with_capacity(self.mailboxes.len());
        for shard in self.others() {
            let ticket = self.ticket();
            let (sender, receiver) = local::oneshot();
            self.ends.borrow_mut().insert(ticket.number, sender);
            self.send(shard, ToShard::SessionEnded(session, ticket))?;
            heard.push(receiver);
        }
        let late = |_| Error::new(Kind::Overloaded, "a shard did not hear in time that the session ended; try again");
        time::timeout(END_TIME, join_all(heard)).await.map(drop).map_err(late)
    }

    /// Another shard has heard of an ended session.
    pub(crate) fn acknowledged(&self, number: u64) {
        if let Some(sender) = self.ends.borrow_mut().remove(&number) {
            // Nobody waits any more where the time was up.
            let _ = sender.send(());
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
    }

    /// The other shard no longer wants its call.
    pub(crate) fn abandoned(&self, ticket: Ticket) {
        if let Some(serving) = self.serving.borrow().get(&ticket) {
            serving.notify_one();
        }
    }
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
