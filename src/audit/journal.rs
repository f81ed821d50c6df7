//! The writer of one shard: entries go into the ring at once, by copying; the drain task makes them durable.

use super::acts::{Admin, Decided, Held};
use super::entry::{self, Boot, Denied, Entry, Intent, Outcome};
use super::open::{fresh_ring, open_files, own_ring, remove_ring};
use super::recover::{self, Resume};
use super::ring::{RING_HEAD, Ring};
use super::store::{self, Store};
use super::writer::{Rotation, Spare, Writer};
use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::ids::{Seq, ShardId};
use crate::base::limits;
use crate::rt::local::Notify;
use crate::rt::time;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

/// Smallest segment and smallest ring, in bytes: room for some of the longest records.
const ROOM_MIN: usize = 4 * limits::JOURNAL_RECORD_MAX;
/// Longest wait for the last group when the journal is closed.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// How to open one shard's journal.
#[derive(Clone, Debug)]
pub struct JournalSpec {
    /// The directories, held for writing; shared by all shards of the process.
    pub store: Arc<Store>,
    /// Whose journal it is.
    pub shard: ShardId,
    /// Shards of this process.
    pub shards: u16,
    /// Bytes of a segment file; existing ones keep their size.
    pub segment_bytes: u64,
    /// Bytes of records the ring holds, rounded up to pages.
    pub ring_bytes: usize,
    /// Longest time from an append until its group is written and synced.
    pub commit: Duration,
}

impl JournalSpec {
    /// The bounds of `base::limits`.
    pub fn new(store: Arc<Store>, shard: ShardId, shards: u16) -> Self {
        Self {
            store,
            shard,
            shards,
            segment_bytes: limits::JOURNAL_SEGMENT_BYTES,
            ring_bytes: limits::JOURNAL_RING_BYTES,
            commit: Duration::from_millis(limits::JOURNAL_COMMIT_MS),
        }
    }

    pub(crate) fn dir(&self) -> std::path::PathBuf {
        self.store.shard_dir(self.shard)
    }

    /// An error about these directories.
    pub(crate) fn failed(&self, error: &std::io::Error) -> Error {
        store::failed(self.store.dir(), error)
    }
}

/// The journal of one shard. Appending copies into the mapped ring and costs no system call; [`Journal::drain`] must
/// run beside it on the same thread.
#[derive(Debug)]
pub struct Journal {
    pub(crate) spec: JournalSpec,
    pub(crate) ring: Ring,
    writer: RefCell<Writer>,
    closing: Cell<bool>,
    fault: RefCell<Option<Error>>,
    /// Rung when the ring gets its first record.
    pub(crate) wake: Notify,
    /// Rung when a group should not wait for its time.
    pub(crate) urgent: Notify,
    /// Rung after every commit, and when a spare is ready or the journal fails.
    pub(crate) drained: Notify,
    /// Segment files handed from `open` to the drain task.
    pub(crate) files: RefCell<Option<Files>>,
    entries: Cell<u64>,
    durable_bytes: Cell<u64>,
}

/// Open files of a shard's segments.
#[derive(Debug)]
pub(crate) struct Files {
    /// The segment under way; nothing before the first.
    pub(crate) current: Option<File>,
    /// The next one.
    pub(crate) spare: File,
    /// Where the next record goes in the segment under way.
    pub(crate) offset: u64,
}

/// How full a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalStats {
    /// Bytes in the ring that are not durable.
    pub ring_used: u64,
    /// Bytes the ring holds.
    pub ring_size: u64,
    /// Entries appended since it was opened.
    pub entries: u64,
    /// Bytes made durable since it was opened.
    pub durable_bytes: u64,
    /// Age of the oldest entry that is not durable.
    pub lag: Duration,
    /// Whether it takes no more entries for good.
    pub poisoned: bool,
}

impl Journal {
    /// Opens a shard's journal: brings what an ended process left in the ring into the segments, readies the ring and a
    /// spare segment, and appends `boot` (after `recovered`, if there was something to recover). Blocks; for start-up.
    ///
    /// # Errors
    /// The log is damaged or lacks entries, or there is no room; the sentence tells which file and what to do.
    pub fn open(spec: JournalSpec) -> Result<Self> {
        let spec = JournalSpec {
            segment_bytes: spec.segment_bytes.max(ROOM_MIN as u64),
            ring_bytes: spec.ring_bytes.max(ROOM_MIN).next_multiple_of(RING_HEAD),
            ..spec
        };
        store::make_dir(&spec.dir()).map_err(|error| spec.failed(&error))?;
        let left = own_ring(&spec)?;
        let resume = recover::recover(&spec.store, spec.shard, left.as_ref(), spec.segment_bytes)?;
        let ring = fresh_ring(&spec, left)?;
        let files = open_files(&spec, &resume)?;
        let recovered = resume.recovered.clone();
        let journal = Self::with(spec, ring, resume, files);
        if let Some(recovered) = recovered {
            journal.append(&Entry::Recovered(recovered), 0)?;
        }
        let (version, pid, shards) = (env!("CARGO_PKG_VERSION"), std::process::id(), journal.spec.shards);
        journal.append(&Entry::Boot(Boot { version, pid, shards }), 0)?;
        Ok(journal)
    }

    /// Brings rings of shards that this process does not run into their segments and removes them. Call it once, before
    /// any shard opens its journal.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn recover_others(spec: &JournalSpec) -> Result<()> {
        for shard in spec.store.rings()?.into_iter().filter(|shard| shard.0 >= spec.shards) {
            let spec = JournalSpec { shard, ..spec.clone() };
            // Opening recovers; the records that say so are then recovered in turn.
            drop(Self::open(spec.clone())?);
            let left = own_ring(&spec)?;
            recover::recover(&spec.store, shard, left.as_ref(), spec.segment_bytes)?;
            remove_ring(&spec)?;
        }
        Ok(())
    }

    fn with(spec: JournalSpec, ring: Ring, resume: Resume, files: Files) -> Self {
        let writer = Writer {
            cursor: resume.cursor,
            segment_bytes: resume.segment_bytes,
            spare: Spare::Ready,
            rotation: None,
            outstanding: 0,
            oldest: None,
            scratch: vec![0; limits::JOURNAL_RECORD_MAX].into(),
        };
        Self {
            spec,
            ring,
            writer: RefCell::new(writer),
            closing: Cell::new(false),
            fault: RefCell::new(None),
            wake: Notify::new(),
            urgent: Notify::new(),
            drained: Notify::new(),
            files: RefCell::new(Some(files)),
            entries: Cell::new(0),
            durable_bytes: Cell::new(0),
        }
    }

    /// Records that a call is about to go upstream. The outcome's room is kept free until it is recorded.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] if the ring is full; [`Kind::Journal`] if nothing can be recorded. The call must not
    /// go out.
    pub fn intent(&self, intent: &Intent<'_>) -> Result<Seq> {
        self.begin(&Entry::Intent(intent.clone()))
    }

    pub(super) fn begin(&self, entry: &Entry<'_>) -> Result<Seq> {
        let reserve = (self.writer.borrow().outstanding + 1) * limits::JOURNAL_OUTCOME_BYTES;
        let seq = self.append(entry, reserve)?;
        self.writer.borrow_mut().outstanding += 1;
        Ok(seq)
    }

    /// Records how the call of that intent ended; once for each intent.
    ///
    /// # Errors
    /// [`Kind::Journal`] or [`Kind::Overloaded`]: the answer must not be given.
    pub fn outcome(&self, intent: Seq, outcome: &Outcome<'_>) -> Result<()> {
        self.end(&entry::ending(intent, outcome, None))
    }

    pub(super) fn end(&self, entry: &Entry<'_>) -> Result<()> {
        {
            let mut writer = self.writer.borrow_mut();
            writer.outstanding = writer.outstanding.saturating_sub(1);
        }
        self.append(entry, 0).map(drop)
    }

    /// Records a call that was refused.
    ///
    /// # Errors
    /// As [`Journal::intent`]; the refusal stands all the same.
    pub fn denied(&self, denied: &Denied<'_>) -> Result<Seq> {
        self.aside(&Entry::Denied(denied.clone()))
    }

    /// Records that a call was held for an approval.
    ///
    /// # Errors
    /// As [`Journal::intent`]; the call must not be answered then.
    pub fn held(&self, held: &Held<'_>) -> Result<Seq> {
        self.aside(&Entry::Held(held.clone()))
    }

    /// Records what became of an approval.
    ///
    /// # Errors
    /// As [`Journal::intent`]; no call may be made with the approval then.
    pub fn decided(&self, decided: &Decided<'_>) -> Result<Seq> {
        self.aside(&Entry::Decided(decided.clone()))
    }

    /// An entry that no outcome follows; the room of those that will is left alone.
    fn aside(&self, entry: &Entry<'_>) -> Result<Seq> {
        let reserve = self.writer.borrow().outstanding * limits::JOURNAL_OUTCOME_BYTES;
        self.append(entry, reserve)
    }

    /// Records what somebody did through the admin API.
    ///
    /// # Errors
    /// As [`Journal::intent`]; what was done stands all the same.
    pub fn admin(&self, admin: &Admin<'_>) -> Result<Seq> {
        let reserve = self.writer.borrow().outstanding * limits::JOURNAL_OUTCOME_BYTES;
        self.append(&Entry::Admin(admin.clone()), reserve)
    }

    /// Waits until an intent would fit, at most `JOURNAL_ROOM_MS`. Append without waiting for anything else between.
    ///
    /// # Errors
    /// As [`Journal::intent`].
    pub async fn room(&self) -> Result<()> {
        if self.has_room().is_ok() {
            return Ok(());
        }
        let limit = Duration::from_millis(limits::JOURNAL_ROOM_MS);
        time::timeout(limit, self.wait_for_room()).await.unwrap_or_else(|_| self.has_room())
    }

    async fn wait_for_room(&self) -> Result<()> {
        loop {
            match self.has_room() {
                Err(error) if error.kind == Kind::Overloaded => {}
                settled => return settled,
            }
            self.urgent.notify_one();
            self.drained.notified().await;
        }
    }

    fn has_room(&self) -> Result<()> {
        self.may_append()?;
        let writer = self.writer.borrow();
        let reserve = (writer.outstanding + 1) * limits::JOURNAL_OUTCOME_BYTES;
        writer.room(&self.ring, limits::JOURNAL_RECORD_MAX, reserve).map(drop)
    }

    fn may_append(&self) -> Result<()> {
        if let Some(fault) = &*self.fault.borrow() {
            return Err(fault.clone());
        }
        if self.closing.get() {
            return Err(Error::new(Kind::Journal, "the gate is stopping: nothing more is recorded").retry(Retry::Safe));
        }
        Ok(())
    }

    fn append(&self, entry: &Entry<'_>, reserve: usize) -> Result<Seq> {
        self.may_append()?;
        let was_empty = self.ring.used() == 0;
        let seq = self.writer.borrow_mut().append(&self.spec, &self.ring, entry, reserve)?;
        self.entries.set(self.entries.get() + 1);
        if was_empty {
            self.writer.borrow_mut().oldest = Some(Clock::recent());
            self.wake.notify_one();
        }
        if self.ring.used() > self.ring.capacity() / 2 {
            self.urgent.notify_one();
        }
        Ok(seq)
    }

    /// How full it is now.
    pub fn stats(&self) -> JournalStats {
        let oldest = self.writer.borrow().oldest;
        JournalStats {
            ring_used: self.ring.used() as u64,
            ring_size: self.ring.capacity() as u64,
            entries: self.entries.get(),
            durable_bytes: self.durable_bytes.get(),
            lag: oldest.map_or(Duration::ZERO, |oldest| Clock::now().since(oldest)),
            poisoned: self.fault.borrow().is_some(),
        }
    }

    /// Why it takes no calls, while it does not: it failed for good, it is closing, or the disk has no room.
    pub fn fault(&self) -> Option<Error> {
        self.has_room().err().filter(|error| error.kind == Kind::Journal)
    }

    /// Takes no more entries, waits until all are durable, and removes the empty ring.
    ///
    /// # Errors
    /// The journal failed before, or the disk takes too long: what is in the ring is recovered at the next start.
    pub async fn close(&self) -> Result<()> {
        self.closing.set(true);
        let late = |_| Err(Error::new(Kind::Journal, "the disk is too slow: the next start takes over what is left"));
        time::timeout(CLOSE_WAIT, self.wait_until_empty()).await.unwrap_or_else(late)?;
        self.wake.notify_one();
        remove_ring(&self.spec)
    }

    async fn wait_until_empty(&self) -> Result<()> {
        while self.ring.used() > 0 {
            if let Some(fault) = &*self.fault.borrow() {
                return Err(fault.clone());
            }
            self.wake.notify_one();
            self.urgent.notify_one();
            self.drained.notified().await;
        }
        Ok(())
    }

    /// Whether [`Journal::close`] was called.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Fails every append from now on.
    pub(crate) fn poison(&self, error: &std::io::Error) -> Error {
        let fault = self.spec.failed(error);
        let context = format!("{fault}, then restart the gate: until then no call is taken");
        let fault = Error::new(Kind::Journal, context);
        *self.fault.borrow_mut() = Some(fault.clone());
        self.drained.notify_all();
        fault
    }

    /// What a commit has to write: the ring from tail to head, and where in it a new segment begins.
    pub(crate) fn take_group(&self) -> (u64, u64, Option<Rotation>) {
        (self.ring.tail(), self.ring.head(), self.writer.borrow_mut().rotation.take())
    }

    /// Everything before `head` is durable; what came later is as old as `began` at most.
    pub(crate) fn group_is_durable(&self, head: u64, began: Instant) {
        let bytes = head - self.ring.tail();
        self.ring.release(head);
        self.durable_bytes.set(self.durable_bytes.get() + bytes);
        self.writer.borrow_mut().oldest = (self.ring.used() > 0).then_some(began);
        if self.ring.used() > 0 {
            self.wake.notify_one();
        }
        self.drained.notify_all();
    }

    /// A spare segment was made, or could not be.
    pub(crate) fn spare_made(&self, made: std::result::Result<(), &std::io::Error>) {
        let spare = match made {
            Ok(()) => Spare::Ready,
            Err(error) => Spare::Failed(self.spec.failed(error)),
        };
        self.writer.borrow_mut().spare = spare;
        self.drained.notify_all();
    }
}
