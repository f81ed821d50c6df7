//! Reading a kept stream, on the shard that keeps it or from another: who reads asks for what comes after an event, and
//! is answered once there is something. So no shard is sent more than it has asked for.

use crate::base::error::{Error, Kind, Result};
use crate::base::ids::ShardId;
use crate::base::limits::REPLAY_POLL_MS;
use crate::rt::{local, task, time};
use crate::shard::Shard;
use crate::shard::messages::{Pull, Pulled, Rest, Ticket, ToShard};
use crate::shard::replay::Replay;
use foldhash::HashMap;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLL: Duration = Duration::from_millis(REPLAY_POLL_MS);

/// Who waits for the answers of other shards.
#[derive(Default)]
pub(crate) struct Pulls {
    waiting: RefCell<HashMap<u64, local::OneSender<Pulled>>>,
}

/// One that waits.
struct Waiting<'a> {
    pulls: &'a Pulls,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pulls.waiting.borrow_mut().remove(&self.number);
    }
}

/// Asks the shard that keeps a stream.
///
/// # Errors
/// [`Kind::Overloaded`] where it does not answer in time.
pub(crate) async fn pull(shard: &Shard, home: ShardId, pull: &Pull) -> Result<Pulled> {
    if home == shard.id {
        return Ok(pull_here(shard, pull).await);
    }
    if !shard.peers.others().any(|other| other == home) {
        return Ok(Pulled::Lost);
    }
    let ticket = shard.peers.ticket();
    let (sender, answer) = local::oneshot();
    shard.pulls.waiting.borrow_mut().insert(ticket.number, sender);
    let _waiting = Waiting { pulls: &shard.pulls, number: ticket.number };
    let late = || Error::new(Kind::Overloaded, "the shard that keeps the stream does not answer in time: come back");
    if !shard.peers.deliver(home, ToShard::Pull(ticket, Box::new(pull.clone()))).await {
        return Err(late());
    }
    match time::timeout(2 * POLL, answer).await {
        Ok(Ok(pulled)) => Ok(pulled),
        Ok(Err(local::Closed)) | Err(_) => Err(late()),
    }
}

/// Answers another shard.
pub(crate) fn serve(shard: &Rc<Shard>, ticket: Ticket, pull: Pull) {
    let shard = shard.clone();
    drop(task::spawn(async move {
        let pulled = pull_here(&shard, &pull).await;
        // Where it is not taken, whoever asked waits for its deadline and ends: its client comes back.
        shard.peers.deliver(ticket.origin, ToShard::Pulled(ticket.number, Box::new(pulled))).await;
    }));
}

impl Pulls {
    /// The answer of another shard.
    pub(crate) fn pulled(&self, number: u64, pulled: Pulled) {
        if let Some(sender) = self.waiting.borrow_mut().remove(&number) {
            // Nobody waits any more where the client has just gone.
            let _ = sender.send(pulled);
        }
    }
}

/// Waits for more, but not for long: who reads may be gone without a word.
async fn pull_here(shard: &Shard, pull: &Pull) -> Pulled {
    let Some(replay) = shard.replays.find(&pull.session, pull.number) else { return Pulled::Lost };
    replay.touch();
    let reader = pull.reader.unwrap_or_else(|| replay.take_over());
    let _listening = replay.listen();
    // Where a GET stream's client is gone, nothing is said until somebody listens.
    if let Some(place) = replay.place() {
        shard.streams.look(place);
    }
    let reading = read(&replay, reader, pull);
    match time::timeout(POLL, reading).await {
        Ok(pulled) => pulled,
        Err(_) => Pulled::Read(reader, Rest { events: Vec::new(), is_all: false }),
    }
}

async fn read(replay: &Replay, reader: u64, pull: &Pull) -> Pulled {
    loop {
        if !replay.is_read_by(reader) {
            return Pulled::Taken;
        }
        let rest = replay.after(pull.after).filter(|_| !replay.is_closed());
        let Some(rest) = rest else { return Pulled::Lost };
        // A client that has just come back is told at once that it is heard.
        if pull.reader.is_none() || !rest.events.is_empty() || rest.is_all {
            return Pulled::Read(reader, rest);
        }
        replay.changed().await;
    }
}
