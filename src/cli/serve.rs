//! `tollgate serve`: starts the shards, runs control on this thread, and waits for the end.

use crate::audit::{Act, Journal, JournalSpec, Store};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::{Epoch, ShardId};
use crate::base::limits::{APPROVAL_REQUESTS_MAX, MAILBOX_MAX, RING_ENTRIES};
use crate::cli::Failure;
use crate::config::settings::Settings;
use crate::config::{Compiled, Purpose, Snapshot};
use crate::control::{
    Approvals, Control, Fleet, Health, Lists, Purse, Readings, ShardState, Signals, listen_admin, notify_ready,
};
use crate::policy::{AskLease, Budget, Decision, Plea, Standing};
use crate::rt::mailbox::{Parcel, Sender, mailbox};
use crate::rt::probe::probe;
use crate::rt::shard::{Driver, ShardSpec, allow_open_files, choose, cores, spawn_shard};
use crate::rt::{net, random};
use crate::shard::messages::ToShard;
use crate::shard::{self, ShardArgs};
use crate::telemetry::{DriftMetrics, ServerTable, ShardMetrics};
use crate::upstream::credential;
use crate::upstream::discover::Report;
use crate::upstream::leg::Verdict;
use crate::wire::tls::ServerIdentity;
use rustls::ServerConfig;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Reports of servers waiting for control.
const REPORTS_MAX: usize = 4_096;

/// Files open beside client connections: the journal's, and connections to servers.
const OTHER_FILES: u64 = 4_096;

/// Time the listeners of a gate that was just killed may take to go.
const LINGER: Duration = Duration::from_secs(2);
/// Time between looks whether they have gone.
const LINGER_LOOK: Duration = Duration::from_millis(20);

/// Where everything serves.
pub(crate) struct Serving {
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// Where health and metrics are served.
    pub(crate) admin: SocketAddr,
}

/// The shards of this process, behind their mailboxes.
struct Shards(Box<[Sender<ToShard>]>);

/// Runs a gate with the configuration of a file until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting, or from ending well.
pub(crate) fn run(path: &Path) -> std::result::Result<(), Failure> {
    let mut compiled = Compiled::load(path, Purpose::Serve)?;
    for line in std::mem::take(&mut compiled.warnings).lines() {
        tracing::warn!("{line}");
    }
    Ok(run_settled(compiled, |_| ())?)
}

/// Runs a gate until it is told to stop. `settled` is called once every server was heard of and every shard knows the
/// tools.
///
/// # Errors
/// Whatever keeps it from starting, or from ending well.
pub(crate) fn run_settled(compiled: Compiled, settled: impl FnOnce(&Serving) + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(compiled, settled))
}

async fn serve(mut compiled: Compiled, settled: impl FnOnce(&Serving) + 'static) -> Result<()> {
    let settings = compiled.settings.clone();
    let signals = Signals::listen()?;
    settings.state.create()?;
    let _held = settings.state.hold()?;
    // A command may have switched something since the configuration was read; from here on it asks this gate.
    compiled.switches = Arc::new(settings.state.switches()?);
    let admin =
        TcpListener::bind(settings.admin).await.map_err(|e| cannot_listen("admin.address", settings.admin, &e))?;
    let socket = listen_admin(&settings.state)?;
    let ((reports, news), (plead, pleas)) = (mpsc::channel(REPORTS_MAX), mpsc::channel(APPROVAL_REQUESTS_MAX));
    let (leases, asked) = mpsc::channel(REPORTS_MAX);
    let approvals = Approvals::open(&settings.state)?;
    let mut start = Start::new(&compiled, reports, plead, leases)?;
    let purse = Purse::start(&settings, &start.snapshot, start.count, asked)?;
    settings.state.write_pid()?;
    wait_until_free(settings.listen.address).await?;
    let listen = start.shards(&settings)?;
    let serving = Serving { listen, admin: admin.local_addr()? };
    tracing::info!(listen = %serving.listen, admin = %serving.admin, shards = start.count, "serving");
    notify_ready("serving");
    let ended = ended(std::mem::take(&mut start.threads));
    let Start { lists, snapshot, fleet, readings, .. } = start;
    let control = Control::new(compiled, lists, snapshot, (fleet, readings), (approvals, purse));
    let control = control.when_settled(move || settled(&serving));
    let outcome = control.run((admin, socket), signals, (news, pleas), ended).await;
    let _ = std::fs::remove_file(settings.state.admin_socket());
    settings.state.remove_pid();
    outcome
}

/// Everything that is made before the shards start.
struct Start {
    count: u16,
    driver: Driver,
    cores: Vec<usize>,
    lists: Lists,
    snapshot: Arc<Snapshot>,
    fleet: Shards,
    mailboxes: Vec<Parcel<ToShard>>,
    readings: Readings,
    sealing: [u8; 32],
    identity: Option<Arc<ServerConfig>>,
    reports: mpsc::Sender<Report>,
    plead: mpsc::Sender<Plea>,
    lease: AskLease,
    store: Arc<Store>,
    threads: Vec<JoinHandle<()>>,
}

impl Start {
    fn new(
        compiled: &Compiled,
        reports: mpsc::Sender<Report>,
        plead: mpsc::Sender<Plea>,
        leases: mpsc::Sender<Arc<Budget>>,
    ) -> Result<Self> {
        let settings = &compiled.settings;
        let driver = driver(settings)?;
        let cores = cores()?;
        let wanted = if settings.runtime.shards == 0 { cores.len() } else { settings.runtime.shards };
        let count = u16::try_from(wanted).unwrap_or(u16::MAX);
        allow_connections(settings, count)?;
        let made: Vec<_> = (0..count).map(|_| mailbox(MAILBOX_MAX)).collect::<std::io::Result<_>>()?;
        let (senders, mailboxes): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        let journal = &settings.journal;
        let store = Arc::new(Store::open(&journal.directory, &journal.ring_directory)?);
        let lists = Lists::restore(compiled);
        let snapshot = Arc::new(Snapshot::build(compiled, lists.known(), Epoch(1), None));
        let mut sealing = [0; 32];
        random::fill(&mut sealing);
        let identity = settings.listen.tls.as_ref().map(|tls| ServerIdentity::load(&tls.cert, &tls.key));
        let readings = Readings {
            health: Arc::new(Health::new(usize::from(count))),
            metrics: (0..count).map(|_| Arc::new(ShardMetrics::default())).collect(),
            servers: Arc::new(ServerTable::default()),
            drift: Arc::new(DriftMetrics::default()),
        };
        let fleet = Shards(senders.into());
        let (identity, threads) = (identity.transpose()?.map(|identity| identity.config()), Vec::new());
        Ok(Self {
            count,
            driver,
            cores,
            lists,
            snapshot,
            fleet,
            mailboxes,
            readings,
            sealing,
            identity,
            reports,
            plead,
            lease: Arc::new(move |budget| {
                if leases.try_send(budget.clone()).is_err() {
                    // Whoever waits asks again.
                    budget.hear();
                }
            }),
            store,
            threads,
        })
    }

    /// Starts every shard, the first one first: where the port is the kernel's to choose, the others follow it.
    fn shards(&mut self, settings: &Settings) -> Result<SocketAddr> {
        let mut listen = settings.listen.address;
        Journal::recover_others(&self.journal(settings, ShardId(0)))?;
        for (id, mailbox) in (0..).map(ShardId).zip(std::mem::take(&mut self.mailboxes)) {
            listen = self.shard(settings, id, listen, mailbox)?;
        }
        Ok(listen)
    }

    fn shard(
        &mut self,
        settings: &Settings,
        id: ShardId,
        listen: SocketAddr,
        mailbox: Parcel<ToShard>,
    ) -> Result<SocketAddr> {
        let at = usize::from(id.0);
        let core = settings.runtime.pin.then(|| self.cores[at % self.cores.len()]);
        let spec = ShardSpec { id, core, driver: self.driver, entries: RING_ENTRIES };
        let args = self.args(settings, id, listen, mailbox);
        let health = self.readings.health.clone();
        let (told, wait) = sync_channel(1);
        let main = move || shard::run(args, move |outcome| drop(told.send(outcome)));
        self.threads.push(spawn_shard(spec, main)?);
        let listening = wait.recv().map_err(|_| Error::new(Kind::Internal, "a shard ended before it listened"))??;
        health.enter(id, ShardState::Serving);
        Ok(listening)
    }

    fn args(&self, settings: &Settings, id: ShardId, listen: SocketAddr, mailbox: Parcel<ToShard>) -> ShardArgs {
        let (health, reports, pleas) = (self.readings.health.clone(), self.reports.clone(), self.plead.clone());
        ShardArgs {
            id,
            listen,
            identity: self.identity.clone(),
            snapshot: self.snapshot.clone(),
            journal: self.journal(settings, id),
            sealing: self.sealing,
            metrics: self.readings.metrics[usize::from(id.0)].clone(),
            table: self.readings.servers.clone(),
            mailboxes: self.fleet.0.clone(),
            mailbox,
            report: Arc::new(move |report| {
                if reports.try_send(report).is_err() {
                    tracing::warn!("news of a server were lost: control lags behind");
                }
            }),
            plead: Arc::new(move |plea| pleas.try_send(plea).is_ok()),
            beat: Arc::new(move |id, records| {
                health.enter(id, if records { ShardState::Serving } else { ShardState::Poisoned });
            }),
            lease: self.lease.clone(),
        }
    }
}

impl Start {
    fn journal(&self, settings: &Settings, id: ShardId) -> JournalSpec {
        let (segment_bytes, commit) = (settings.journal.segment_bytes, settings.journal.commit);
        JournalSpec { segment_bytes, commit, ..JournalSpec::new(self.store.clone(), id, self.count) }
    }
}

impl Shards {
    /// A full mailbox loses the message; control sees that the shard lags behind and publishes again.
    fn tell(&self, message: impl Fn() -> ToShard) {
        for (shard, mailbox) in self.0.iter().enumerate() {
            if mailbox.try_send(message()).is_err() {
                tracing::error!(shard, "a message from control was lost: the shard's mailbox is full");
            }
        }
    }

    /// A full mailbox loses the message: whoever waits for it gives up in time, and control records again.
    fn tell_one(&self, shard: ShardId, message: ToShard) {
        let sent = self.0.get(usize::from(shard.0)).map(|mailbox| mailbox.try_send(message));
        if !matches!(sent, Some(Ok(()))) {
            tracing::error!(shard = shard.0, "word about an approval was lost: the shard's mailbox is full");
        }
    }
}

impl Fleet for Shards {
    fn publish(&self, snapshot: &Arc<Snapshot>) {
        self.tell(|| ToShard::Snapshot(snapshot.clone()));
    }

    fn learn(&self, server: &str, verdict: Verdict) {
        self.tell(|| ToShard::Learned(server.into(), verdict));
    }

    fn credential(&self, server: &str, standing: &credential::Standing) {
        self.tell(|| ToShard::Credential(server.into(), Box::new(standing.clone())));
    }

    fn present(&self, identity: &Arc<ServerConfig>) {
        self.tell(|| ToShard::Identity(identity.clone()));
    }

    fn record_act(&self, act: Act) {
        let who = act.who.clone();
        let sent = self.0.first().map(|mailbox| mailbox.try_send(ToShard::Act(act.into())));
        if !matches!(sent, Some(Ok(()))) {
            tracing::error!(who = &*who, "a change by the admin API is not recorded: the shard's mailbox is full");
        }
    }

    fn stand(&self, shard: ShardId, number: u64, standing: Standing) {
        self.tell_one(shard, ToShard::Standing(number, Box::new(standing)));
    }

    fn record_decision(&self, shard: ShardId, decision: Decision) {
        self.tell_one(shard, ToShard::Decided(Box::new(decision)));
    }

    fn drain(&self) {
        self.tell(|| ToShard::Drain);
    }
}

/// Resolves once every shard's thread has ended.
async fn ended(threads: Vec<JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || {
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a shard's thread panicked");
            }
        }
    });
    if let Err(error) = joined.await {
        tracing::error!(%error, "the shards' threads could not be waited for");
    }
}

/// Asks for as many open files as there may be connections; says so where fewer are allowed.
fn allow_connections(settings: &Settings, shards: u16) -> Result<()> {
    let most = u64::from(shards) * settings.limits.connections_per_shard_max as u64;
    let wanted = most + OTHER_FILES;
    let allowed = allow_open_files(wanted)?;
    if allowed < wanted {
        tracing::warn!(
            "only {allowed} files may be open, and {most} connections may come: set LimitNOFILE={wanted} in the \
             systemd unit (or ulimit -Hn), or lower limits.connections_per_shard_max"
        );
    }
    Ok(())
}

/// Settles how sockets and files are driven, and says what the kernel lacks.
fn driver(settings: &Settings) -> Result<Driver> {
    let found = probe();
    for words in found.words() {
        tracing::warn!("{words}");
    }
    let driver = choose(settings.runtime.driver, &found)?;
    tracing::info!(kernel = found.kernel(), ?driver, "runtime");
    Ok(driver)
}

/// Checks that nobody listens where the shards will, and gives the listeners of a gate that was just killed the moment
/// they need: the kernel ends a ring, and the sockets it holds, after the process itself is gone.
async fn wait_until_free(address: SocketAddr) -> Result<()> {
    let until = Instant::now() + LINGER;
    while let Err(error) = net::ensure_free(address) {
        if error.kind() != ErrorKind::AddrInUse || Instant::now() >= until {
            return Err(cannot_listen("listen.address", address, &error));
        }
        sleep(LINGER_LOOK).await;
    }
    Ok(())
}

fn cannot_listen(field: &str, address: SocketAddr, error: &std::io::Error) -> Error {
    let what = format!("{field}: cannot listen on {address}: {error}; stop what listens there, or choose another");
    Error::new(Kind::Io, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(future)
    }

    #[test]
    fn a_listener_that_goes_in_a_moment_is_waited_for() {
        run(async {
            let lingering = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = lingering.local_addr().expect("an address");
            let gone = async {
                sleep(LINGER_LOOK * 5).await;
                drop(lingering);
            };
            let (free, ()) = tokio::join!(wait_until_free(address), gone);
            free.expect("free once it has gone");
        });
    }

    #[test]
    fn a_listener_that_stays_is_an_error_that_names_the_field() {
        run(async {
            let staying = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let error = wait_until_free(staying.local_addr().expect("an address")).await.expect_err("taken");
            assert!(error.context.contains("listen.address"), "{error}");
        });
    }

    #[test]
    fn a_port_of_the_kernels_choice_is_free() {
        run(wait_until_free("127.0.0.1:0".parse().expect("an address"))).expect("always free");
    }
}
