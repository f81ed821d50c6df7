//! Rank 7: the data plane of one thread.
//!
//! A shard owns its listener, connections, upstream pools, timers and journal. It shares nothing mutable with other
//! shards; what must cross goes through mailboxes.
//!
//! | file | what it holds |
//! |---|---|
//! | `start.rs` | what a shard is given, and its life from start to drain |
//! | `connection.rs` | accept, TLS, request after request |
//! | `dispatch.rs`, `entrance.rs` | a head → its door: path, site, key |
//! | `doors/` | what each door understands: both MCP eras, event streams |
//! | `call.rs` | the one way a tool is executed |
//! | `approve.rs` | calls that wait for somebody's approval |
//! | `asked.rs`, `park.rs` | what servers ask clients of both eras, until it is answered |
//! | `relay.rs` | an answer, plain or as a stream of events |
//! | `replay.rs`, `replays.rs`, `teller.rs`, `reread.rs` | what legacy streams said, kept for clients that come back |
//! | `forward.rs`, `messages.rs` | calls and notices that cross shards |
//! | `under_way.rs` | calls under way, so that the operator can end them |
//! | `session.rs`, `streams.rs` | what is kept of sessions and open streams |
//! | `event_sessions.rs` | sessions over HTTP+SSE, which live where their stream is |
//! | `interests.rs`, `fanout.rs` | which resources streams want to hear about, and word of them |

mod approve;
mod asked;
mod attend;
mod call;
mod connection;
mod converse;
mod dispatch;
mod doors;
mod entrance;
mod event_sessions;
mod exchange;
mod fanout;
mod forward;
mod inbox;
pub mod interests;
mod lists;
pub mod messages;
mod owned;
mod park;
mod refuse;
mod relay;
mod replay;
mod replays;
mod reread;
pub mod session;
mod spend;
mod start;
mod streams;
mod teller;
mod under_way;
mod wanted;

pub use start::{ShardArgs, run};

use crate::audit::Journal;
use crate::base::ids::{ServerId, ShardId};
use crate::config::Snapshot;
use crate::mcp::model::Model;
use crate::mcp::session::Sealing;
use crate::policy::{AskLease, Budget, Money};
use crate::shard::approve::Approvals;
use crate::shard::asked::Asked;
use crate::shard::event_sessions::EventSessions;
use crate::shard::fanout::Fanout;
use crate::shard::forward::Peers;
use crate::shard::interests::Interests;
use crate::shard::park::Parks;
use crate::shard::replays::Replays;
use crate::shard::reread::Pulls;
use crate::shard::session::{EndedSessions, InFlight, LogLevels};
use crate::shard::streams::Streams;
use crate::shard::under_way::UnderWay;
use crate::telemetry::{ServerSlot, ServerTable, ShardMetrics};
use crate::upstream::upstreams::{Upstream, Upstreams};
use crate::wire::http::HttpLimits;
use rustls::ServerConfig;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// One thread's data plane.
pub struct Shard {
    id: ShardId,
    in_force: RefCell<Rc<InForce>>,
    identity: RefCell<Option<Arc<ServerConfig>>>,
    journal: Rc<Journal>,
    upstreams: Upstreams,
    metrics: Arc<ShardMetrics>,
    table: Arc<ServerTable>,
    peers: Rc<Peers>,
    sealing: Sealing,
    model: Model,
    ended: EndedSessions,
    in_flight: InFlight,
    under_way: UnderWay,
    approvals: Approvals,
    asked: Asked,
    parks: Parks,
    log_levels: LogLevels,
    interests: Interests,
    fanout: Rc<Fanout>,
    streams: Streams,
    replays: Replays,
    pulls: Pulls,
    event_sessions: EventSessions,
    /// Tells control that more of a budget should be leased.
    lease: AskLease,
    /// Requests under way.
    busy: Cell<usize>,
    draining: Cell<bool>,
}

/// A snapshot as this shard holds it, with what a call needs of each of its servers: found once, by name, rather than
/// with each call.
struct InForce {
    snapshot: Arc<Snapshot>,
    /// By [`ServerId`].
    servers: Box<[Served]>,
}

/// One server of a snapshot on this shard.
struct Served {
    /// Its row in the shard's meters.
    slot: ServerSlot,
    /// The server itself; nothing before the shard has started it.
    upstream: Option<Upstream>,
}

impl InForce {
    fn new(snapshot: Arc<Snapshot>, table: &ServerTable, upstreams: &Upstreams) -> Self {
        let served = |name: &str| Served { slot: table.slot(name), upstream: upstreams.find(name).ok() };
        let servers = snapshot.servers.iter().map(|server| served(&server.name)).collect();
        Self { snapshot, servers }
    }

    /// The row of a server's meters.
    fn slot(&self, server: ServerId) -> ServerSlot {
        self.served(server).map_or(ServerSlot::OTHER, |served| served.slot)
    }

    fn served(&self, server: ServerId) -> Option<&Served> {
        self.servers.get(usize::from(server.0))
    }
}

impl Shard {
    /// Has more of a budget leased, for a call that may cost so much.
    fn want_lease(&self, budget: &Arc<Budget>, amount: Money) {
        if budget.ask(amount) {
            (self.lease)(budget);
        }
    }

    /// The snapshot in force.
    fn in_force(&self) -> Rc<InForce> {
        self.in_force.borrow().clone()
    }

    /// The TLS identity of the listener; nothing where it speaks plain HTTP.
    fn identity(&self) -> Option<Arc<ServerConfig>> {
        self.identity.borrow().clone()
    }

    /// Whether the shard takes no more requests.
    fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether as many connections are open as may be.
    fn is_full(&self) -> bool {
        let most = self.in_force.borrow().snapshot.settings.limits.connections_per_shard_max;
        self.metrics.connections_open.get() >= most as u64
    }

    /// Brings the number of parked calls into the meters.
    fn measure_parks(&self) {
        self.metrics.parked_calls.set(self.parks.len() as u64);
    }

    /// Brings what is kept of streams into the meters.
    fn measure_replays(&self) {
        let (streams, bytes) = self.replays.measure();
        self.metrics.replay_streams.set(streams as u64);
        self.metrics.replay_bytes.set(bytes as u64);
    }

    /// The bounds of a new connection.
    fn http_limits(&self) -> HttpLimits {
        let body_max = self.in_force.borrow().snapshot.settings.limits.body_max;
        HttpLimits { body_max, ..HttpLimits::default() }
    }
}

/// A request, or a call for another shard, under way in the shard's count: draining waits for it.
struct Busy(Rc<Shard>);

impl Busy {
    fn new(shard: &Rc<Shard>) -> Self {
        shard.busy.set(shard.busy.get() + 1);
        Self(shard.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}
