//! What a shard does with the messages in its mailbox.

use crate::base::clock::Clock;
use crate::base::error::Result;
use crate::base::ids::{ServerId, ShardId};
use crate::base::limits::MAILBOX_MAX;
use crate::config::Snapshot;
use crate::rt::local::Notify;
use crate::rt::mailbox::Receiver;
use crate::rt::{task, time};
use crate::shard::forward::FULL_PAUSE;
use crate::shard::messages::{Forward, Returned, Ticket, ToShard};
use crate::shard::session::SessionKey;
use crate::shard::{Busy, InForce, Shard, streams};
use crate::upstream::answer::{Answer, Event, ScopeKey, Sink, UpstreamCall};
use crate::upstream::upstreams::{Placement, Upstream, home_number};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Time after which an answer that no mailbox takes is given up: the asker's own deadline has passed by then.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// Serves the mailbox until the shard is told to drain.
pub(crate) async fn serve(shard: &Rc<Shard>, mailbox: &mut Receiver<ToShard>) {
    loop {
        match mailbox.recv().await {
            ToShard::Snapshot(snapshot) => {
                shard.adopt(snapshot);
                streams::changed(shard);
            }
            ToShard::Learned(server, verdict) => shard.upstreams.learn(&server, verdict),
            ToShard::Identity(identity) => drop(shard.identity.replace(Some(identity))),
            ToShard::Forward(forward) => start_here(shard, *forward),
            ToShard::Returned(number, what) => shard.peers.returned(number, *what),
            ToShard::Abandoned(ticket) => shard.peers.abandoned(ticket),
            ToShard::SessionEnded(session, asker) => shard.hear_session_end(session, asker),
            ToShard::SessionEndKnown(number) => shard.peers.acknowledged(number),
            ToShard::LogLevel(session, level) => shard.log_levels.set(session, level),
            ToShard::Cancelled(session, id) => drop(shard.in_flight.cancel(session, &id)),
            ToShard::Drain => return,
        }
    }
}

impl Shard {
    /// Takes a new snapshot: servers are started and stopped.
    pub(crate) fn adopt(&self, snapshot: Arc<Snapshot>) {
        self.metrics.epoch.set(snapshot.epoch.0);
        self.upstreams.apply(&snapshot.servers, |name| self.home_of(name, &ScopeKey::Shared) == self.id);
        *self.in_force.borrow_mut() = Rc::new(InForce::new(snapshot, &self.table, &self.upstreams));
    }

    /// Notes that a session has ended; its streams end with it.
    pub(crate) fn end_session(&self, session: SessionKey) {
        self.ended.add(session);
        self.streams.look_of(&session);
    }

    fn hear_session_end(&self, session: SessionKey, ticket: Ticket) {
        self.end_session(session);
        // A full mailbox loses this: the asker then waits for its deadline and says so.
        let _ = self.peers.send(ticket.origin, ToShard::SessionEndKnown(ticket.number));
    }

    /// The shard where a server's scope lives.
    fn home_of(&self, server: &str, scope: &ScopeKey) -> ShardId {
        self.peers.home(home_number(server, scope))
    }

    /// Calls a server, on the shard where the call must run.
    pub(crate) async fn call_upstream(
        &self,
        upstream: &Upstream,
        call: &UpstreamCall<'_>,
        sink: &Sink,
    ) -> Result<Answer> {
        if let Placement::Home(number) = upstream.placement(&call.scope) {
            let home = self.peers.home(number);
            if home != self.id {
                // Boxed, as most calls stay here and each would carry the room for it.
                return Box::pin(self.peers.call(home, upstream.name(), call.into(), sink)).await;
            }
        }
        upstream.call(call, sink).await
    }

    /// The server of a snapshot as it runs on this shard. A reload may have put another in its place since: that one
    /// has its name.
    pub(super) fn upstream(&self, in_force: &InForce, server: ServerId, name: &str) -> Result<Upstream> {
        let found = in_force.served(server).and_then(|served| served.upstream.as_ref());
        match found.filter(|upstream| !upstream.is_stopped()) {
            Some(upstream) => Ok(upstream.clone()),
            None => self.upstreams.find(name),
        }
    }
}

/// Starts a call for another shard. It is entered before its task first runs: the next message in the mailbox may be
/// that it is abandoned, or that the shard drains.
fn start_here(shard: &Rc<Shard>, forward: Forward) {
    let abandoned = shard.peers.serve(forward.ticket);
    drop(task::spawn(run_here(Busy::new(shard), forward, abandoned)));
}

/// Runs a call for another shard and sends back what it says.
async fn run_here(busy: Busy, forward: Forward, abandoned: Rc<Notify>) {
    let (shard, ticket) = (&busy.0, forward.ticket);
    let sink = Sink::hand(event_home(shard, ticket));
    let call = forward.call.as_call();
    let running = shard.upstreams.call(&forward.server, &call, &sink);
    let ended = match select(pin!(running), pin!(abandoned.notified())).await {
        Either::Left((answer, _)) => Some(answer),
        Either::Right(((), _)) => None,
    };
    shard.peers.served(ticket);
    if let Some(answer) = ended {
        send_home(shard, ticket, Returned::Answer(answer)).await;
    }
}

fn event_home(shard: &Rc<Shard>, ticket: Ticket) -> impl Fn(Event) -> bool + 'static {
    let shard = shard.clone();
    move |event| {
        let message = ToShard::Returned(ticket.number, Box::new(Returned::Event(event)));
        shard.peers.send(ticket.origin, message).is_ok()
    }
}

/// An answer must not be lost to a mailbox that happens to be full: it is offered again until the asker has given up.
async fn send_home(shard: &Rc<Shard>, ticket: Ticket, what: Returned) {
    let until = Clock::now() + GIVE_UP_AFTER;
    let mut message = ToShard::Returned(ticket.number, Box::new(what));
    while let Err(back) = shard.peers.offer(ticket.origin, message) {
        if Clock::now() > until {
            tracing::warn!(mailbox_max = MAILBOX_MAX, "an answer was given up: the mailbox of its shard stayed full");
            return;
        }
        message = back;
        time::sleep(FULL_PAUSE).await;
    }
}
