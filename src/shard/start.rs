//! What a shard is given, and its life: open the journal, listen, serve, drain, stop.

use crate::audit::{Journal, JournalSpec};
use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::ShardId;
use crate::config::Snapshot;
use crate::mcp::model::Model;
use crate::mcp::session::Sealing;
use crate::policy::{AskLease, Plea};
use crate::rt::mailbox::{Parcel, Receiver, Sender};
use crate::rt::net::TcpListener;
use crate::rt::{task, time};
use crate::shard::approve::Approvals;
use crate::shard::fanout::Fanout;
use crate::shard::forward::Peers;
use crate::shard::messages::ToShard;
use crate::shard::{InForce, Shard, connection, inbox, interests};
use crate::telemetry::{ServerTable, ShardMetrics, events};
use crate::upstream::discover::Report;
use crate::upstream::upstreams::Upstreams;
use crate::upstream::watched::Heard;
use crate::wire::http::Client;
use futures_util::future::select;
use rustls::ServerConfig;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Time between heartbeats, of the shard and of its groups of streams.
const BEAT: Duration = Duration::from_secs(1);
/// Time between looks whether anything is still under way while draining.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// Time requests under way have to end while draining.
const DRAIN_TIME: Duration = Duration::from_secs(20);

/// What one shard is given. Everything in it may cross to the shard's thread.
pub struct ShardArgs {
    /// Its number.
    pub id: ShardId,
    /// Where it listens: the same address as every other shard.
    pub listen: SocketAddr,
    /// The TLS identity of the listener; nothing for plain HTTP.
    pub identity: Option<Arc<ServerConfig>>,
    /// The snapshot to start with.
    pub snapshot: Arc<Snapshot>,
    /// Its journal.
    pub journal: JournalSpec,
    /// The secret under which session ids are sealed, the same for every shard.
    pub sealing: [u8; 32],
    /// Its meters.
    pub metrics: Arc<ShardMetrics>,
    /// The rows of servers in everybody's meters.
    pub table: Arc<ServerTable>,
    /// Every shard's mailbox, in the order of their ids.
    pub mailboxes: Box<[Sender<ToShard>]>,
    /// Its own mailbox.
    pub mailbox: Parcel<ToShard>,
    /// Takes the news of the servers whose home it is.
    pub report: Arc<dyn Fn(Report) + Send + Sync>,
    /// Takes what calls ask about approvals; says whether there was room for it.
    pub plead: Arc<dyn Fn(Plea) -> bool + Send + Sync>,
    /// Told so at every heartbeat; the flag says whether the journal still takes entries.
    pub beat: Arc<dyn Fn(ShardId, bool) + Send + Sync>,
    /// Told of budgets of which more should be leased.
    pub lease: AskLease,
}

/// Runs a shard until it is told to drain. `started` is told once it listens, and on which address, or why not.
pub async fn run(args: ShardArgs, started: impl FnOnce(Result<SocketAddr>)) {
    let (id, beat) = (args.id, args.beat.clone());
    match Box::pin(open(args)).await {
        Err(error) => started(Err(error.at(&format!("shard {}", id.0)))),
        Ok((shard, listener, mut mailbox)) => {
            started(Ok(listener.local_addr()));
            task::spawn(connection::accept(shard.clone(), listener));
            task::spawn(keep_journal(shard.clone()));
            task::spawn(tell_beats(shard.clone(), beat));
            inbox::serve(&shard, &mut mailbox).await;
            // Calls that crossed shards still come and go until all are done.
            let hearing = async {
                loop {
                    inbox::serve(&shard, &mut mailbox).await;
                }
            };
            select(pin!(drain(&shard)), pin!(hearing)).await;
        }
    }
}

async fn open(args: ShardArgs) -> Result<(Rc<Shard>, TcpListener, Receiver<ToShard>)> {
    let journal = Rc::new(Journal::open(args.journal)?);
    let report = args.report.clone();
    let peers = Rc::new(Peers::new(args.id, args.mailboxes));
    let fanout = Rc::new(Fanout::new(peers.clone()));
    let told = fanout.clone();
    let heard = move |server: &str, heard: Heard<'_>| told.heard(server, heard);
    let upstreams = Upstreams::new(Client::new(), move |news| report(news), heard);
    let shard = Rc::new(Shard {
        id: args.id,
        in_force: RefCell::new(Rc::new(InForce::new(args.snapshot.clone(), &args.table, &upstreams))),
        identity: RefCell::new(args.identity),
        journal,
        upstreams,
        metrics: args.metrics,
        table: args.table,
        peers,
        fanout,
        sealing: Sealing::new(&args.sealing),
        model: Model::new(env!("CARGO_PKG_VERSION"), None),
        busy: Cell::new(0),
        ended: Default::default(),
        in_flight: Default::default(),
        under_way: Default::default(),
        approvals: Approvals::new(args.id, args.plead),
        asked: Default::default(),
        parks: Default::default(),
        log_levels: Default::default(),
        interests: Default::default(),
        streams: Default::default(),
        replays: Default::default(),
        pulls: Default::default(),
        event_sessions: Default::default(),
        lease: args.lease,
        draining: Cell::new(false),
    });
    let cannot = |error| Error::new(Kind::Io, format!("cannot listen on {}: {error}", args.listen));
    let listener = TcpListener::bind(args.listen).map_err(cannot)?;
    shard.adopt(args.snapshot);
    Ok((shard, listener, args.mailbox.open()))
}

/// Makes the journal durable. Once it fails the shard goes on: every call is refused, and health says why.
async fn keep_journal(shard: Rc<Shard>) {
    let meters = shard.metrics.clone();
    let drained = shard.journal.clone().drain(move |commit| meters.journal.commit.record(commit.took)).await;
    if let Err(error) = drained {
        events::journal_poisoned(shard.id, &error);
    }
}

/// Brings the journal's state into the meters.
fn measure_journal(shard: &Shard) {
    let (stats, meters) = (shard.journal.stats(), &shard.metrics.journal);
    meters.ring_used.set(stats.ring_used);
    meters.ring_size.set(stats.ring_size);
    meters.entries.set(stats.entries);
    meters.bytes.set(stats.durable_bytes);
    meters.lag_us.set(u64::try_from(stats.lag.as_micros()).unwrap_or(u64::MAX));
    meters.poisoned.set(u64::from(stats.poisoned));
}

async fn tell_beats(shard: Rc<Shard>, beat: Arc<dyn Fn(ShardId, bool) + Send + Sync>) {
    loop {
        measure_journal(&shard);
        beat(shard.id, shard.journal.fault().is_none());
        shard.streams.beat();
        interests::tell_all(&shard);
        shard.parks.expire();
        shard.measure_parks();
        shard.replays.expire();
        shard.measure_replays();
        time::sleep(BEAT).await;
    }
}

/// Lets requests under way end, closes servers and the journal.
async fn drain(shard: &Rc<Shard>) {
    shard.draining.set(true);
    shard.streams.look_all();
    shard.parks.clear();
    shard.approvals.clear();
    let until = Clock::now() + DRAIN_TIME;
    while shard.busy.get() > 0 && Clock::now() < until {
        time::sleep(DRAIN_LOOK).await;
    }
    shard.upstreams.close().await;
    if let Err(error) = shard.journal.close().await {
        tracing::error!(shard = shard.id.0, %error, "the journal was not closed well");
    }
}
