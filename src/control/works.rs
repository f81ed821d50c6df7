//! What takes long is done beside the control loop, on a helper thread: reading the configuration, and building
//! snapshots. So a switch is never behind a reload, however many keys there are.

use crate::base::ids::Epoch;
use crate::config::{Compiled, Diff, Purpose, Report, Snapshot};
use crate::control::{Control, Fleet};
use crate::telemetry::events;
use std::future::pending;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

/// What a reload comes to: what changed and since when, or why the file is not taken.
pub(super) type Reloaded = Result<(Diff, Epoch), Vec<String>>;
/// Who wants to hear of a reload.
type Reply = oneshot::Sender<Reloaded>;

/// A configuration that was read.
pub(super) struct Loaded {
    /// What is to be in force, and what changes; nothing where not even the stored keys could be read.
    next: Option<(Compiled, Diff)>,
    /// Why the file itself is not taken.
    refused: Vec<String>,
    /// Whether the store could not be read.
    pub(super) store_unread: bool,
}

/// Something is done.
pub(super) enum Done {
    Loaded(Box<Loaded>),
    /// A snapshot, and the number of the last wish for one that it fulfils.
    Built(Box<Snapshot>, u64),
}

/// What is under way, and who waits for it.
#[derive(Default)]
pub(super) struct Works {
    loading: Option<JoinHandle<Loaded>>,
    building: Option<JoinHandle<(Snapshot, u64)>>,
    /// Whether the next snapshot to be in force comes after a reload: the store may say something else of money too.
    pub(super) store_is_reread: bool,
    /// How often a snapshot was wished for.
    wished: u64,
    /// Those who wait for the reload under way.
    asking: Vec<Reply>,
    /// Those who came while one was under way: the file may have changed since it was read, so it is read again.
    later: Option<Vec<Reply>>,
    /// Those who wait for the snapshot of that wish, and what they will be told.
    waiting: Vec<(u64, Reply, Result<Diff, Vec<String>>)>,
}

impl Works {
    /// Whether anything is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.loading.is_some() || self.building.is_some()
    }

    /// Waits until something is done. Safe to drop.
    pub(super) async fn done(&mut self) -> Done {
        loop {
            tokio::select! {
                loaded = finished(&mut self.loading) => match loaded {
                    Some(loaded) => return Done::Loaded(loaded.into()),
                    None => return Done::Loaded(Loaded::failed().into()),
                },
                built = finished(&mut self.building) => match built {
                    Some((snapshot, wish)) => return Done::Built(snapshot.into(), wish),
                    // Whoever waits for it hears that it will not come.
                    None => self.waiting.clear(),
                },
            }
        }
    }
}

/// Waits for a helper's work and takes its place; nothing where it has died, which it has logged.
async fn finished<T>(work: &mut Option<JoinHandle<T>>) -> Option<T> {
    let Some(handle) = work.as_mut() else { return pending().await };
    let outcome = handle.await;
    *work = None;
    outcome.inspect_err(|error| tracing::error!(%error, "a helper of control has died")).ok()
}

impl<F: Fleet> Control<F> {
    /// Reads the configuration and the stored keys anew; `reply` hears once it is in force everywhere control can see.
    pub(super) fn reload(&mut self, reply: Option<Reply>) {
        if self.works.loading.is_some() {
            self.works.later.get_or_insert_default().extend(reply);
            return;
        }
        self.works.asking.extend(reply);
        let current = self.compiled.clone();
        self.works.loading = Some(spawn_blocking(move || load(&current)));
    }

    /// Wishes for a snapshot of what is known now. Gives the wish's number.
    pub(super) fn publish(&mut self) -> u64 {
        self.due = None;
        self.works.wished += 1;
        if self.works.building.is_none() {
            self.build();
        }
        self.works.wished
    }

    fn build(&mut self) {
        self.lists.judge(&self.compiled);
        self.tell_of_drift();
        let (compiled, lists, previous) = (self.compiled.clone(), self.lists.known().clone(), self.snapshot.clone());
        let wish = self.works.wished;
        let build = move || (Snapshot::build(&compiled, &lists, previous.epoch, Some(&previous)), wish);
        self.works.building = Some(spawn_blocking(build));
    }

    /// Goes on with what was done.
    pub(super) fn go_on(&mut self, done: Done) {
        match done {
            Done::Loaded(loaded) => self.take_in(*loaded),
            Done::Built(snapshot, wish) => self.put_in_force(*snapshot, wish),
        }
    }

    fn take_in(&mut self, loaded: Loaded) {
        self.note_store(&loaded);
        let Loaded { next, refused, .. } = loaded;
        let asking = std::mem::take(&mut self.works.asking);
        if let Some((compiled, diff)) = next {
            self.take_over(compiled);
            self.works.store_is_reread = true;
            self.renew_identity();
            let wish = self.publish();
            let told = |reply| (wish, reply, if refused.is_empty() { Ok(diff.clone()) } else { Err(refused.clone()) });
            self.works.waiting.extend(asking.into_iter().map(told));
        } else {
            self.renew_identity();
            asking.into_iter().for_each(|reply| drop(reply.send(Err(refused.clone()))));
        }
        if let Some(later) = self.works.later.take() {
            self.works.asking = later;
            self.reload(None);
        }
    }

    /// What was built may be older than what has been switched since: that is seen to first.
    fn put_in_force(&mut self, mut next: Snapshot, wish: u64) {
        let epoch = Epoch(self.snapshot.epoch.0 + 1);
        next.epoch = epoch;
        if next.switches != self.snapshot.switches {
            next = next.switched(&self.snapshot.switches, epoch);
        }
        super::report_dropped(&self.snapshot, &next);
        self.replace(next);
        let (catalog, keys) = (&self.snapshot.catalog, self.snapshot.keys.entries().len());
        events::snapshot_swapped(epoch, self.snapshot.servers.len(), catalog.tools().len(), keys);
        let waiting = std::mem::take(&mut self.works.waiting);
        for (wanted, reply, told) in waiting {
            if wanted <= wish {
                drop(reply.send(told.map(|diff| (diff, epoch))));
            } else {
                self.works.waiting.push((wanted, reply, told));
            }
        }
        if self.works.wished > wish {
            self.build();
        }
    }
}

/// Reads the file and the store. A file with errors changes nothing but what is stored: a key is revoked at once,
/// whatever state the file is in.
fn load(current: &Arc<Compiled>) -> Loaded {
    let mut loaded = Loaded { next: None, refused: Vec::new(), store_unread: false };
    let read = Compiled::load(&current.path, Purpose::Serve).or_else(|report| {
        loaded.refuse(&report);
        if loaded.store_unread {
            Err(report)
        } else {
            current.with_stored().inspect_err(|report| loaded.refuse(report))
        }
    });
    loaded.next = read.ok().map(|mut compiled| {
        for line in std::mem::take(&mut compiled.warnings).lines() {
            tracing::warn!("{line}");
        }
        let diff = Diff::between(current, &compiled);
        tracing::info!("reload: {diff}");
        (compiled, diff)
    });
    loaded
}

impl Loaded {
    /// What is said where reading died.
    fn failed() -> Self {
        Self { next: None, refused: vec!["reading it failed: see the log".into()], store_unread: false }
    }

    fn refuse(&mut self, report: &Report) {
        for line in report.lines() {
            tracing::error!("reload refused: {line}");
            self.refused.push(line);
        }
        self.store_unread |= report.unread_store().is_some();
    }
}
