//! Rank 7: the control thread: configuration and reload, the servers' lists, the admin listener, signals.
//!
//! It owns what is in force and hands it to the shards whole. Nothing a client does waits for it.

mod admin;
mod api;
mod approvals;
mod books;
mod drift;
mod fleet;
mod health;
mod lifecycle;
mod lists;
mod oauth;
mod orders;
mod purse;
mod reload;
mod socket;
mod treasury;
mod works;

pub use admin::Readings;
pub use approvals::Approvals;
pub use fleet::Fleet;
pub use health::{Health, ShardState};
pub use lifecycle::{Signals, notify_ready};
pub use lists::Lists;
pub use oauth::Visit;
pub use orders::{Applied, Desk, View};
pub use purse::Purse;
pub use socket::listen as listen_admin;
pub use treasury::{Changes, RAISE, Raise, current, drawn};

use crate::base::error::{Error, Kind, Result};
use crate::config::{Compiled, Snapshot};
use crate::control::lifecycle::Ask;
use crate::control::oauth::Keeper;
use crate::control::orders::{Order, Orders};
use crate::control::works::{Done, Works};
use crate::policy::Plea;
use crate::telemetry::{ShardMetrics, events};
use crate::upstream::discover::{News, Report};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

/// Time in which the reports of several servers become one snapshot.
const GATHER: Duration = Duration::from_millis(20);
/// Results of work on tokens that wait for control.
const DONE_MAX: usize = 64;
/// Time between looks at the shards' health, and feedings of the service manager's watchdog.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Time between looks whether the shards have the snapshot that settles the start.
const SETTLE_LOOK: Duration = Duration::from_millis(2);
/// Time the shards have to finish what is under way when the process stops.
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// The control thread's state.
pub struct Control<F> {
    compiled: Arc<Compiled>,
    lists: Lists,
    tokens: Keeper,
    /// What work on tokens came to.
    obtained: Receiver<oauth::Done>,
    snapshot: Arc<Snapshot>,
    /// Snapshots that were in force before and may still be in use. Taking one apart takes long with many keys, so it
    /// is done here and not by whichever shard lets go of it last.
    retired: Vec<Arc<Snapshot>>,
    fleet: F,
    purse: Purse,
    readings: Readings,
    desk: Desk,
    orders: Orders,
    works: Works,
    approvals: Approvals,
    /// What was told of changed and suspicious definitions.
    told: drift::Told,
    /// When the reports gathered so far become a snapshot.
    due: Option<Instant>,
    /// Servers that have not been heard of yet.
    silent: BTreeSet<Box<str>>,
    /// Called once no server is silent and every shard has the snapshot with their tools.
    settled: Option<Box<dyn FnOnce()>>,
    /// When the store is tried again, where it could not be read.
    reread_at: Option<Instant>,
}

/// What the control thread turns to next.
enum Turn {
    Asked(Ask),
    Ordered(Order),
    Worked(Done),
    Reported(Report),
    Obtained(Box<oauth::Done>),
    Pleaded(Plea),
    MayBeDecided,
    Gathered,
    MaySettle,
    Money(purse::Due),
    Looked,
    Ended,
}

impl<F: Fleet> Control<F> {
    /// Takes over what the process started with.
    pub fn new(
        compiled: Compiled,
        lists: Lists,
        snapshot: Arc<Snapshot>,
        (fleet, readings): (F, Readings),
        (approvals, purse): (Approvals, Purse),
    ) -> Self {
        let silent = compiled.servers.iter().map(|server| server.name.clone()).collect();
        let (tell, obtained) = mpsc::channel(DONE_MAX);
        let tokens = Keeper::new(compiled.settings.state.clone(), tell);
        let compiled = Arc::new(compiled);
        let view = View { snapshot: snapshot.clone(), compiled: compiled.clone() };
        let (desk, orders) = orders::desk(view, readings.clone());
        let mut control = Self {
            compiled,
            lists,
            tokens,
            obtained,
            snapshot,
            retired: Vec::new(),
            fleet,
            readings,
            desk,
            orders,
            works: Works::default(),
            approvals,
            purse,
            told: drift::Told::default(),
            due: None,
            silent,
            settled: None,
            reread_at: None,
        };
        control.tell_of_drift();
        control
    }

    /// Calls `settled` once, when every server was heard of and every shard knows their tools.
    #[must_use]
    pub fn when_settled(self, settled: impl FnOnce() + 'static) -> Self {
        Self { settled: Some(Box::new(settled)), ..self }
    }

    /// Serves until it is told to stop, then drains the shards. `ended` resolves once all of them have.
    ///
    /// # Errors
    /// Where the shards do not end in time; what was under way is then cut.
    pub async fn run(
        mut self,
        (admin, socket): (TcpListener, UnixListener),
        mut signals: Signals,
        (mut reports, mut pleas): (Receiver<Report>, Receiver<Plea>),
        ended: impl Future<Output = ()>,
    ) -> Result<()> {
        let mut ended = std::pin::pin!(ended);
        tokio::spawn(api::serve(admin, self.desk.clone()));
        tokio::spawn(api::serve_local(socket, self.desk.clone()));
        self.tokens.follow(&self.compiled, &self.fleet);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let (due, decided, may_settle) = (self.due, self.approvals.due(), self.may_settle());
            let turn = tokio::select! {
                ask = signals.next() => Turn::Asked(ask),
                Some(order) = self.orders.inbox.recv() => Turn::Ordered(order),
                done = self.works.done() => Turn::Worked(done),
                Some(report) = reports.recv() => Turn::Reported(report),
                Some(done) = self.obtained.recv() => Turn::Obtained(done.into()),
                Some(plea) = pleas.recv() => Turn::Pleaded(plea),
                () = gathered(decided) => Turn::MayBeDecided,
                () = gathered(due) => Turn::Gathered,
                () = sleep(SETTLE_LOOK), if may_settle => Turn::MaySettle,
                due = self.purse.due() => Turn::Money(due),
                _ = looks.tick() => Turn::Looked,
                () = &mut ended => Turn::Ended,
            };
            match turn {
                Turn::Asked(Ask::Reload) => self.reload(None),
                Turn::Worked(done) => self.go_on(done),
                Turn::Ordered(order) => self.obey(order),
                Turn::Asked(Ask::Stop) => break,
                Turn::Reported(report) => self.hear(report),
                Turn::Obtained(done) => self.tokens.settle(*done, &self.fleet),
                Turn::Gathered => drop(self.publish()),
                Turn::Pleaded(plea) => self.plead(plea),
                Turn::MayBeDecided => self.look_at_approvals(),
                Turn::MaySettle => self.settle(),
                Turn::Money(due) => self.purse.turn(due),
                Turn::Looked => self.look(),
                Turn::Ended => return Err(Error::new(Kind::Internal, "the shards stopped by themselves; see the log")),
            }
        }
        self.stop(ended).await
    }

    /// Takes the news of one server.
    fn hear(&mut self, report: Report) {
        if let News::Refused(refused) = &report.news {
            return self.tokens.refused(&report.server, refused, &self.fleet);
        }
        self.silent.remove(&report.server);
        let is_news = match report.news {
            News::Refused(_) => false,
            News::Listed { verdict, about, list, failed } => {
                let name = about.name.as_ref().map(|(name, version)| format!("{name} {version}"));
                tracing::debug!(server = &*report.server, name, revision = about.revision.as_str(), "listed");
                self.fleet.learn(&report.server, verdict);
                self.compiled.server(&report.server).is_some() && self.lists.renew(&report.server, *list, &failed)
            }
            News::Learned(verdict) => {
                self.fleet.learn(&report.server, verdict);
                false
            }
            News::Down(error) => {
                events::upstream_down(&report.server, &error);
                self.lists.age(&report.server)
            }
        };
        if is_news && self.due.is_none() {
            self.due = Some(Instant::now() + GATHER);
        }
    }

    /// Hands the shards another snapshot.
    fn replace(&mut self, next: Snapshot) {
        self.retired.push(std::mem::replace(&mut self.snapshot, Arc::new(next)));
        let is_reread = std::mem::take(&mut self.works.store_is_reread);
        self.purse.follow(&self.snapshot, is_reread);
        self.fleet.publish(&self.snapshot);
        let view = View { snapshot: self.snapshot.clone(), compiled: self.compiled.clone() };
        self.orders.view.send_replace(Arc::new(view));
    }

    fn tell_of_drift(&mut self) {
        let (judged, watch) = self.lists.judged();
        self.told.tell(judged, watch, (&self.readings.servers, &self.readings.drift));
    }

    fn may_settle(&self) -> bool {
        self.settled.is_some() && self.silent.is_empty() && self.due.is_none() && !self.works.is_busy()
    }

    /// Tells that everything is settled once every shard has the snapshot.
    fn settle(&mut self) {
        let everywhere = self.readings.metrics.iter().all(|shard| shard.epoch.get() == self.snapshot.epoch.0);
        if let Some(settled) = self.settled.take_if(|_| everywhere) {
            settled();
        }
    }

    fn look(&mut self) {
        self.reread_store();
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        let lags = |shard: &Arc<ShardMetrics>| shard.epoch.get() != self.snapshot.epoch.0;
        if self.readings.metrics.iter().any(lags) {
            self.fleet.publish(&self.snapshot);
        }
        self.tokens.look(&self.fleet);
        if self.readings.health.alive() {
            lifecycle::feed_watchdog();
        }
        let stale = self.snapshot.catalog.servers().iter().filter(|server| server.stale).count();
        let (servers, tools) = (self.snapshot.servers.len(), self.snapshot.catalog.tools().len());
        lifecycle::notify_status(&format!("{servers} servers ({stale} stale), {tools} tools"));
    }

    async fn stop(self, ended: impl Future<Output = ()>) -> Result<()> {
        lifecycle::notify_stopping();
        self.readings.health.drain();
        tracing::info!("draining");
        self.fleet.drain();
        let late = |_| Error::new(Kind::Timeout, "the shards did not finish in time; calls under way were cut");
        timeout(DRAIN_TIME, ended).await.map_err(late)?;
        self.purse.close();
        Ok(())
    }
}

async fn gathered(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Tells once of each entry that the catalogue had to mend or leave out.
fn report_dropped(before: &Snapshot, now: &Snapshot) {
    if Arc::ptr_eq(&before.catalog, &now.catalog) {
        return;
    }
    let known: HashSet<_> = before.catalog.warnings().iter().collect();
    for warning in now.catalog.warnings().iter().filter(|warning| !known.contains(warning)) {
        tracing::warn!("{warning}");
    }
}
