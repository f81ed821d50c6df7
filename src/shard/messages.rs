//! What comes into a shard's mailbox: from the control thread, and from other shards.

use crate::audit::Act;
use crate::base::buf::Piece;
use crate::base::error::Result;
use crate::base::ids::{KeyId, ShardId};
use crate::catalog::Narrowing;
use crate::config::Snapshot;
use crate::mcp::meta::LogLevel;
use crate::mcp::refusal::Refusal;
use crate::policy::{Decision, Standing};
use crate::shard::interests::{News, Topic};
use crate::shard::session::SessionKey;
use crate::upstream::answer::{Answer, OwnedCall};
use crate::upstream::credential;
use crate::upstream::leg::Verdict;
use crate::upstream::said::{Event, Reply};
use crate::upstream::watched::Subject;
use bytes::Bytes;
use rustls::ServerConfig;
use std::sync::Arc;

/// A message to one shard.
pub enum ToShard {
    /// A new snapshot is in force.
    Snapshot(Arc<Snapshot>),
    /// What the home shard of a server found out about it.
    Learned(Box<str>, Verdict),
    /// How the token of a server stands.
    Credential(Box<str>, Box<credential::Standing>),
    /// The listener's TLS identity was read anew; connections that come from now on use it.
    Identity(Arc<ServerConfig>),
    /// Another shard asks this one, the server's home, to run a call.
    Forward(Box<Forward>),
    /// The client of a call that is parked here has come back to the asking shard.
    Resume(Box<Resume>),
    /// What a call that ran elsewhere has to say.
    Returned(u64, Box<Returned>),
    /// The shard that asked for a call no longer wants it.
    Abandoned(Ticket),
    /// What the client answered to a question of a call that runs here, by the question's number; nothing where nobody
    /// will answer.
    Replied(u64, Option<Reply>),
    /// A client ended its session; the asking shard waits to hear that this one knows.
    SessionEnded(SessionKey, Ticket),
    /// The shard asked with this number has heard of an ended session or of a subscription, and what came of it.
    Known(u64, Result<()>),
    /// A legacy client answered a question of this shard, by the question's number.
    ClientReplied(SessionKey, u64, Reply),
    /// A legacy client said which log messages it wants in its session.
    LogLevel(SessionKey, LogLevel),
    /// A legacy client subscribes its session to a resource, or no longer does; the asking shard waits to hear that
    /// this one knows.
    Subscribed(Ticket, Box<Subscribed>),
    /// What a shard wants to hear about, of a server whose home is here.
    Wants(Box<Wants>),
    /// A server has said what it tells of.
    Stands(Box<Stands>),
    /// Something changed that this shard wants to hear about.
    Updated(Box<News>),
    /// A page was visited that a legacy client was asked to visit.
    Visited(Box<Visited>),
    /// A legacy client cancelled a request of its session.
    Cancelled(SessionKey, Box<[u8]>),
    /// A message for a session over HTTP+SSE whose stream is open on this shard.
    Posted(Ticket, Box<Posted>),
    /// The word on a message that the shard asked with this number handed over.
    PostTaken(u64, Box<std::result::Result<(), Refusal>>),
    /// A client that came back on the asking shard wants more of a stream that is kept here.
    Pull(Ticket, Box<Pull>),
    /// The answer to the shard that asked so with this number.
    Pulled(u64, Box<Pulled>),
    /// Somebody did something through the admin API; this shard records it.
    Act(Box<Act>),
    /// How an approval stands that this shard asked about with this number.
    Standing(u64, Box<Standing>),
    /// A decision that is to be recorded here.
    Decided(Box<Decision>),
    /// Take no more connections, finish what is under way, then stop.
    Drain,
}

/// A message for a session over HTTP+SSE, on its way to the shard of its stream.
pub struct Posted {
    /// The session.
    pub(crate) session: SessionKey,
    /// The message.
    pub(crate) body: Vec<u8>,
    /// What the request that brought it narrowed its rights to.
    pub(crate) narrowing: Option<Narrowing>,
}

/// What is asked of the shard that keeps a stream.
#[derive(Clone, Debug)]
pub struct Pull {
    /// The session of the stream.
    pub(crate) session: SessionKey,
    /// Its number.
    pub(crate) number: u64,
    /// Who reads; nothing where a client has just come back to it.
    pub(crate) reader: Option<u64>,
    /// The place of the last event it has.
    pub(crate) after: u64,
}

/// What comes of it.
#[derive(Debug)]
pub enum Pulled {
    /// What comes after that event is not kept.
    Lost,
    /// The client has come back on another connection.
    Taken,
    /// What there is, to this reader; perhaps nothing yet.
    Read(u64, Rest),
}

/// What comes after an event of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Rest {
    /// The events as they are written, each with its place.
    pub(crate) events: Vec<(u64, Bytes)>,
    /// Whether nothing comes after them.
    pub(crate) is_all: bool,
}

/// What a legacy session is subscribed to from now on, or no longer.
#[derive(Clone, Debug)]
pub struct Subscribed {
    /// The session.
    pub(crate) session: SessionKey,
    /// Whose it is.
    pub(crate) key: KeyId,
    /// The resource.
    pub(crate) topic: Topic,
    /// Whether it begins; otherwise it ends.
    pub(crate) begins: bool,
}

impl Subscribed {
    /// The end of the same subscription.
    pub(crate) fn ended(&self) -> Self {
        Self { begins: false, ..self.clone() }
    }
}

/// A question between shards: who asked, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The shard that asked.
    pub origin: ShardId,
    /// Its own number for the question.
    pub number: u64,
}

/// All that a shard wants to hear about, of one server.
pub struct Wants {
    /// The server's name.
    pub server: Box<str>,
    /// The shard.
    pub from: ShardId,
    /// What, as the server knows it.
    pub subjects: Box<[Subject]>,
    /// The shard's number for this set.
    pub version: u64,
}

/// A server's word on what a shard wanted of it.
pub struct Stands {
    /// The server's name.
    pub server: Box<str>,
    /// The shard's number for what it wanted.
    pub version: u64,
    /// What of that the server will not tell of.
    pub refused: Box<[Subject]>,
}

/// A server's word that a page was visited.
#[derive(Clone)]
pub struct Visited {
    /// The server's name.
    pub server: Box<str>,
    /// The session of the client that was asked.
    pub session: SessionKey,
    /// The raw `params`.
    pub params: Bytes,
}

/// A call on its way to the home shard of a server.
pub struct Forward {
    /// Who asked.
    pub ticket: Ticket,
    /// The server, by name: the snapshots of two shards may differ for a moment.
    pub server: Box<str>,
    /// The call.
    pub call: OwnedCall,
    /// The session of its client, where that is a legacy one that can be asked to visit pages.
    pub client: Option<SessionKey>,
}

/// A client's answers on their way to the shard where its call is parked.
pub struct Resume {
    /// Who asked.
    pub(crate) ticket: Ticket,
    /// The parked call's number.
    pub(crate) number: u64,
    /// The server's name.
    pub(crate) server: Box<str>,
    /// Whose call it is.
    pub(crate) key: KeyId,
    /// The digest of the request.
    pub(crate) digest: [u8; 16],
    /// The raw `inputResponses`; nothing where the client brought none.
    pub(crate) responses: Option<Box<[u8]>>,
}

/// What a forwarded call says on its way back.
pub enum Returned {
    /// A notification of the call.
    Event(Event),
    /// A question of the call.
    Question {
        /// Its number at the shard where the call runs.
        number: u64,
        /// The server's own name for it.
        name: Option<Box<str>>,
        /// Its method.
        method: Box<str>,
        /// Its raw `params`.
        params: Piece,
    },
    /// The end of it.
    Answer(Result<Answer>),
}
