//! What comes into a shard's mailbox: from the control thread, and from other shards.

use crate::base::error::Result;
use crate::base::ids::ShardId;
use crate::config::Snapshot;
use crate::mcp::meta::LogLevel;
use crate::shard::session::SessionKey;
use crate::upstream::answer::{Answer, Event, OwnedCall};
use crate::upstream::leg::Verdict;
use rustls::ServerConfig;
use std::sync::Arc;

/// A message to one shard.
pub enum ToShard {
    /// A new snapshot is in force.
    Snapshot(Arc<Snapshot>),
    /// What the home shard of a server found out about it.
    Learned(Box<str>, Verdict),
    /// The listener's TLS identity was read anew; connections that come from now on use it.
    Identity(Arc<ServerConfig>),
    /// Another shard asks this one, the server's home, to run a call.
    Forward(Box<Forward>),
    /// What a call that ran elsewhere has to say.
    Returned(u64, Box<Returned>),
    /// The shard that asked for a call no longer wants it.
    Abandoned(Ticket),
    /// A client ended its session; the asking shard waits to hear that this one knows.
    SessionEnded(SessionKey, Ticket),
    /// The shard asked with this number has heard of an ended session.
    SessionEndKnown(u64),
    /// A legacy client said which log messages it wants in its session.
    LogLevel(SessionKey, LogLevel),
    /// A legacy client cancelled a request of its session.
    Cancelled(SessionKey, Box<[u8]>),
    /// Take no more connections, finish what is under way, then stop.
    Drain,
}

/// A question between shards: who asked, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The shard that asked.
    pub origin: ShardId,
    /// Its own number for the question.
    pub number: u64,
}

/// A call on its way to the home shard of a server.
pub struct Forward {
    /// Who asked.
    pub ticket: Ticket,
    /// The server, by name: the snapshots of two shards may differ for a moment.
    pub server: Box<str>,
    /// The call.
    pub call: OwnedCall,
}

/// What a forwarded call says on its way back.
pub enum Returned {
    /// A notification of the call.
    Event(Event),
    /// The end of it.
    Answer(Result<Answer>),
}
