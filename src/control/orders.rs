//! What the admin API asks of the control loop, which alone changes what is in force.

use crate::audit::Act;
use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::Epoch;
use crate::config::{Compiled, Diff, Snapshot};
use crate::control::admin::Readings;
use crate::control::works::Reloaded;
use crate::control::{Control, Fleet};
use crate::policy::Switch;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

/// Orders that may wait for the control loop.
const ORDERS_MAX: usize = 256;
/// Time between looks whether every shard has what was ordered.
const LOOK: Duration = Duration::from_millis(1);
/// Longest wait for that. A shard that takes longer hangs: health says so.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// What is in force.
pub struct View {
    /// The snapshot the shards have, or are just given.
    pub snapshot: Arc<Snapshot>,
    /// What it was built from.
    pub compiled: Arc<Compiled>,
}

/// One order.
pub(super) enum Order {
    /// Switch something off, or on again.
    Switch(Switch, bool, oneshot::Sender<Result<Set>>),
    /// Read the configuration anew.
    Reload(oneshot::Sender<Reloaded>),
    /// Record what somebody did.
    Record(Act),
}

/// What came of a switch.
pub(super) struct Set {
    changed: bool,
    epoch: Epoch,
}

/// What a change came to once every shard has it.
#[derive(Clone, Copy, Debug)]
pub struct Applied {
    /// Whether anything was another way before.
    pub changed: bool,
    /// Time from the order to the last shard.
    pub took: Duration,
    /// How many shards have it: all.
    pub shards: usize,
}

/// Where the admin API gives its orders and sees what is in force.
#[derive(Clone)]
pub struct Desk {
    orders: mpsc::Sender<Order>,
    view: watch::Receiver<Arc<View>>,
    /// What the admin listener reads.
    pub readings: Readings,
    /// Held while what is switched off is written: the last to write is the last that was ordered.
    keeper: Arc<Mutex<()>>,
}

/// The control loop's side of a desk.
pub(super) struct Orders {
    pub(super) inbox: mpsc::Receiver<Order>,
    pub(super) view: watch::Sender<Arc<View>>,
}

/// A desk and the control loop's side of it.
pub(super) fn desk(view: View, readings: Readings) -> (Desk, Orders) {
    let (orders, inbox) = mpsc::channel(ORDERS_MAX);
    let (sender, view) = watch::channel(Arc::new(view));
    (Desk { orders, view, readings, keeper: Arc::default() }, Orders { inbox, view: sender })
}

impl Desk {
    /// What is in force now.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Switches something off, or on again, on every shard, and keeps it so for the next start.
    ///
    /// # Errors
    /// Where the gate stops, a shard hangs, or it could not be kept: it is in force then all the same.
    pub async fn switch(&self, switch: Switch, off: bool) -> Result<Applied> {
        let began = Clock::now();
        let (reply, answer) = oneshot::channel();
        self.order(Order::Switch(switch, off, reply)).await?;
        let Set { changed, epoch } = answer.await.map_err(|_| stopping())??;
        let settled = async {
            self.settled(epoch).await?;
            Ok::<_, Error>(Clock::now().since(began))
        };
        let (took, kept) = tokio::join!(settled, self.keep());
        let took = took?;
        kept.map_err(|error| error.at("it is in force now, and it could not be kept for the next start"))?;
        Ok(Applied { changed, took, shards: self.readings.metrics.len() })
    }

    /// Reads the configuration anew, and waits until every shard has it.
    ///
    /// # Errors
    /// The findings that keep it from being taken; one line where the gate stops or a shard hangs.
    pub async fn reload(&self) -> std::result::Result<Diff, Vec<String>> {
        let (reply, answer) = oneshot::channel();
        let line = |error: Error| vec![error.to_string()];
        self.order(Order::Reload(reply)).await.map_err(line)?;
        let (diff, epoch) = answer.await.map_err(|_| line(stopping()))??;
        self.settled(epoch).await.map_err(line)?;
        Ok(diff)
    }

    /// Records what somebody did.
    ///
    /// # Errors
    /// Where the gate stops.
    pub async fn record(&self, act: Act) -> Result<()> {
        self.order(Order::Record(act)).await
    }

    async fn order(&self, order: Order) -> Result<()> {
        self.orders.send(order).await.map_err(|_| stopping())
    }

    /// Waits until every shard has a snapshot.
    async fn settled(&self, epoch: Epoch) -> Result<()> {
        let everywhere = async {
            while self.readings.metrics.iter().any(|shard| shard.epoch.get() < epoch.0) {
                sleep(LOOK).await;
            }
        };
        let late = |_| Error::new(Kind::Timeout, "not every shard has taken it: see /readyz?verbose");
        timeout(LOOK_MAX, everywhere).await.map_err(late)
    }

    async fn keep(&self) -> Result<()> {
        let _alone = self.keeper.lock().await;
        let view = self.view();
        let kept = move || view.compiled.settings.state.write_switches(&view.snapshot.switches);
        let joined = tokio::task::spawn_blocking(kept).await;
        joined.map_err(|error| Error::new(Kind::Internal, error.to_string()))?
    }
}

fn stopping() -> Error {
    Error::new(Kind::Overloaded, "the gate is stopping: ask again once it has started")
}

impl<F: Fleet> Control<F> {
    /// Does what the admin API asks.
    pub(super) fn obey(&mut self, order: Order) {
        // Whoever asked may be gone: what was ordered is done all the same.
        match order {
            Order::Switch(switch, off, reply) => drop(reply.send(self.switch(&switch, off))),
            Order::Reload(reply) => self.reload(Some(reply)),
            Order::Record(act) => self.fleet.record_act(act),
        }
    }

    /// Switches something off, or on again: the snapshot in force, less that. Nothing is read or compiled.
    fn switch(&mut self, switch: &Switch, off: bool) -> Result<Set> {
        let mut switches = (*self.snapshot.switches).clone();
        let changed = switches.set(switch, off)?;
        if changed {
            let epoch = Epoch(self.snapshot.epoch.0 + 1);
            let switches = Arc::new(switches);
            let next = self.snapshot.switched(&switches, epoch);
            self.replace(next);
            let word = if off { "off" } else { "on" };
            tracing::warn!(event = "switched", "{switch} is switched {word}");
        }
        Ok(Set { changed, epoch: self.snapshot.epoch })
    }
}
