//! What a shard does with the messages in its mailbox.

use crate::audit::Act;
use crate::base::error::Result;
use crate::base::ids::{ServerId, ShardId};
use crate::base::limits::MAILBOX_MAX;
use crate::config::Snapshot;
use crate::mcp::state::Asked;
use crate::rt::local::Notify;
use crate::rt::mailbox::Receiver;
use crate::rt::task;
use crate::shard::approve;
use crate::shard::attend;
use crate::shard::doors::sse;
use crate::shard::interests;
use crate::shard::messages::{Forward, Resume, Returned, Subscribed, Ticket, ToShard};
use crate::shard::session::SessionKey;
use crate::shard::{Busy, InForce, Shard, reread, streams};
use crate::upstream::answer::{Answer, ScopeKey, UpstreamCall};
use crate::upstream::said::{Said, Sink};
use crate::upstream::upstreams::{Placement, Upstream, home_number};
use futures_util::future::{Either, join, select};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;

/// Serves the mailbox until the shard is told to drain.
pub(crate) async fn serve(shard: &Rc<Shard>, mailbox: &mut Receiver<ToShard>) {
    loop {
        match mailbox.recv().await {
            ToShard::Snapshot(snapshot) => {
                shard.adopt(snapshot);
                streams::changed(shard);
            }
            ToShard::Learned(server, verdict) => shard.upstreams.learn(&server, verdict),
            ToShard::Credential(server, standing) => shard.upstreams.credential(&server, *standing),
            ToShard::Identity(identity) => drop(shard.identity.replace(Some(identity))),
            ToShard::Forward(forward) => start_here(shard, *forward),
            ToShard::Resume(resume) => resume_here(shard, *resume),
            ToShard::Returned(number, what) => shard.peers.returned(number, *what),
            ToShard::Abandoned(ticket) => shard.peers.abandoned(ticket),
            ToShard::SessionEnded(session, asker) => shard.hear_session_end(session, asker),
            ToShard::Known(number, came) => shard.peers.acknowledged(number, came),
            ToShard::LogLevel(session, level) => shard.log_levels.set(session, level),
            ToShard::Subscribed(ticket, subscribed) => hear_subscription(shard, ticket, *subscribed),
            ToShard::Wants(wants) => shard.fanout.wants(&shard.upstreams, *wants),
            ToShard::Stands(stands) => shard.interests.stands(*stands),
            ToShard::Updated(news) => interests::updated(shard, &news),
            ToShard::Visited(visited) => shard.streams.visited(*visited),
            ToShard::Replied(number, reply) => shard.peers.replied(number, reply),
            ToShard::ClientReplied(session, number, reply) => shard.asked.answer(session, number, reply),
            ToShard::Cancelled(session, id) => drop(shard.in_flight.cancel(session, &id)),
            ToShard::Posted(ticket, posted) => sse::take_in(shard, ticket, *posted),
            ToShard::PostTaken(number, taken) => shard.event_sessions.taken(number, *taken),
            ToShard::Pull(ticket, pull) => reread::serve(shard, ticket, *pull),
            ToShard::Pulled(number, pulled) => shard.pulls.pulled(number, *pulled),
            ToShard::Act(act) => record(shard, &act),
            ToShard::Standing(number, standing) => shard.approvals.answered(number, *standing),
            ToShard::Decided(decision) => approve::record_decision(shard, &decision),
            ToShard::Drain => return,
        }
    }
}

impl Shard {
    /// Takes a new snapshot: servers are started and stopped, and calls under way end that it no longer lets be made.
    pub(crate) fn adopt(&self, snapshot: Arc<Snapshot>) {
        self.upstreams.apply(&snapshot.servers, |name| self.home_of(name, &ScopeKey::Shared) == self.id);
        self.fanout.renew(&self.upstreams);
        let epoch = snapshot.epoch.0;
        *self.in_force.borrow_mut() = Rc::new(InForce::new(snapshot, &self.table, &self.upstreams));
        self.under_way.look(&self.in_force().snapshot);
        // Last: whoever reads it may rely on all of this.
        self.metrics.epoch.set(epoch);
    }

    /// Notes that a session has ended; its streams and its requests under way end with it.
    pub(crate) fn end_session(&self, session: SessionKey) {
        self.ended.add(session);
        self.interests.forget(&session);
        self.in_flight.cancel_all(&session);
        self.replays.forget(&session);
        self.streams.look_of(&session);
    }

    fn hear_session_end(&self, session: SessionKey, ticket: Ticket) {
        self.end_session(session);
        // A full mailbox loses this: the asker then waits for its deadline and says so.
        let _ = self.peers.send(ticket.origin, ToShard::Known(ticket.number, Ok(())));
    }

    /// The shard where a server's scope lives.
    pub(super) fn home_of(&self, server: &str, scope: &ScopeKey) -> ShardId {
        self.peers.home(home_number(server, scope))
    }

    /// Calls a server, on the shard where the call must run.
    pub(crate) async fn call_upstream(
        &self,
        upstream: &Upstream,
        call: &UpstreamCall<'_>,
        sink: &Sink,
    ) -> Result<Answer> {
        if let Placement::Home(number) = upstream.placement(&call.scope, call.client) {
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

fn record(shard: &Shard, act: &Act) {
    if let Err(error) = shard.journal.admin(&act.entry()) {
        tracing::error!(who = &*act.who, action = &*act.action, %error, "a change by the admin API is not recorded");
    }
}

/// Takes in a subscription that another shard has granted, and says so once the server is known to tell, or why this
/// shard has no room for it.
fn hear_subscription(shard: &Rc<Shard>, ticket: Ticket, subscribed: Subscribed) {
    let entered = enter_subscription(shard, &subscribed);
    let shard = shard.clone();
    drop(task::spawn(async move {
        if let Ok(Settles(true)) = entered {
            shard.interests.settled(&subscribed.topic.server).await;
        }
        let _ = shard.peers.send(ticket.origin, ToShard::Known(ticket.number, entered.map(drop)));
    }));
}

/// Whether a server is yet to say that it tells of what was entered.
pub(crate) struct Settles(bool);

/// Enters on this shard that a session subscribes to a resource, or no longer does.
///
/// # Errors
/// [`crate::base::error::Kind::Overloaded`] where there is no room.
fn enter_subscription(shard: &Rc<Shard>, subscribed: &Subscribed) -> Result<Settles> {
    let Subscribed { session, key, topic, begins } = subscribed;
    shard.interests.note((*session, *key), topic, *begins)?;
    let (places, topics) = (shard.streams.places_of(session), BTreeSet::from([topic.clone()]));
    if *begins {
        let entered = places.iter().try_for_each(|place| interests::enter(shard, (*place, *key), &topics));
        if let Err(error) = entered {
            // What some of its streams had room for goes with the rest.
            enter_subscription(shard, &subscribed.ended())?;
            return Err(error);
        }
    } else {
        places.iter().for_each(|place| interests::withdraw(shard, *place, &topics));
    }
    Ok(Settles(*begins && !places.is_empty()))
}

/// Subscribes a session to a resource on this shard, or ends that, and waits until its streams here will hear.
///
/// # Errors
/// [`crate::base::error::Kind::Overloaded`] where there is no room.
pub(crate) async fn subscribe_here(shard: &Rc<Shard>, subscribed: &Subscribed) -> Result<()> {
    if let Settles(true) = enter_subscription(shard, subscribed)? {
        shard.interests.settled(&subscribed.topic.server).await;
    }
    Ok(())
}

/// Subscribes a session to a resource on every shard, or ends that, and waits until its streams will hear wherever they
/// are. What one shard refuses is taken back on all.
///
/// # Errors
/// [`crate::base::error::Kind::Overloaded`] where a shard has no room, or does not say in time that it has.
pub(crate) async fn subscribe_everywhere(shard: &Rc<Shard>, subscribed: &Subscribed) -> Result<()> {
    let Settles(settles) = enter_subscription(shard, subscribed)?;
    let told = |ticket| ToShard::Subscribed(ticket, subscribed.clone().into());
    let here = async {
        if settles {
            shard.interests.settled(&subscribed.topic.server).await;
        }
    };
    let (everywhere, ()) = join(shard.peers.announce(told), here).await;
    if everywhere.is_err() && subscribed.begins {
        take_back(shard, &subscribed.ended());
    }
    everywhere
}

/// Ends a subscription on every shard, without waiting for that.
fn take_back(shard: &Rc<Shard>, ended: &Subscribed) {
    // To end one always succeeds.
    let _ = enter_subscription(shard, ended);
    for other in shard.peers.others() {
        let (shard, ended) = (shard.clone(), ended.clone());
        drop(task::spawn(async move {
            let end = ToShard::Subscribed(shard.peers.ticket(), ended.into());
            shard.peers.deliver(other, end).await;
        }));
    }
}

/// Goes on with a parked call for another shard, whose client has come back there.
fn resume_here(shard: &Rc<Shard>, resume: Resume) {
    let abandoned = shard.peers.serve(resume.ticket);
    let busy = Busy::new(shard);
    drop(task::spawn(async move {
        let shard = &busy.0;
        let sink = Sink::hand(said_home(shard, resume.ticket));
        let asked = Asked { server: &resume.server, key: resume.key, digest: resume.digest };
        let running = attend::resume_here(shard, resume.number, &asked, resume.responses.as_deref(), &sink);
        end_for(shard, resume.ticket, pin!(running), &abandoned).await;
    }));
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
    let sink = Sink::hand(said_home(shard, ticket));
    let sink = forward.client.map_or(sink.clone(), |session| sink.of_client(session));
    let call = forward.call.as_call();
    let running = shard.upstreams.call(&forward.server, &call, &sink);
    end_for(shard, ticket, pin!(running), &abandoned).await;
}

/// Runs to its end what another shard has asked for, unless that no longer wants it, and sends the answer.
async fn end_for(
    shard: &Rc<Shard>,
    ticket: Ticket,
    running: Pin<&mut impl Future<Output = Result<Answer>>>,
    abandoned: &Notify,
) {
    let ended = match select(running, pin!(abandoned.notified())).await {
        Either::Left((answer, _)) => Some(answer),
        Either::Right(((), _)) => None,
    };
    shard.peers.served(ticket);
    if let Some(answer) = ended {
        send_home(shard, ticket, Returned::Answer(answer)).await;
    }
}

fn said_home(shard: &Rc<Shard>, ticket: Ticket) -> impl Fn(Said) -> bool + 'static {
    let shard = shard.clone();
    move |said| {
        let returned = match said {
            Said::Event(event) => Returned::Event(event),
            Said::Question(question) => shard.peers.question(ticket, question),
        };
        let message = ToShard::Returned(ticket.number, Box::new(returned));
        shard.peers.send(ticket.origin, message).is_ok()
    }
}

/// An answer must not be lost to a mailbox that happens to be full.
async fn send_home(shard: &Rc<Shard>, ticket: Ticket, what: Returned) {
    let message = ToShard::Returned(ticket.number, Box::new(what));
    if !shard.peers.deliver(ticket.origin, message).await {
        tracing::warn!(mailbox_max = MAILBOX_MAX, "an answer was given up: the mailbox of its shard stayed full");
    }
}
