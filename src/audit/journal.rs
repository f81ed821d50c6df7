//! The writer of one shard: entries go into the ring at once, by copying; the drain task makes them durable.

use super::entry::{self, Boot, Denied, Entry, Intent, Outcome};
use super::frame::{self, Cursor, FLAG_FIRST, HEAD};
use super::recover::{self, Resume};
use super::ring::{RING_HEAD, Ring};
use super::segment::{self, SEGMENT_HEAD, SegmentHead};
use super::store::{self, Store};
use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::ids::{Seq, ShardId};
use crate::base::limits;
use crate::rt::local::Notify;
use crate::rt::time;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Smallest segment: head and some of the longest records.
const SEGMENT_BYTES_MIN: u64 = 4 * limits::JOURNAL_RECORD_MAX as u64;
/// Part of the ring that outcomes of admitted calls may keep free at most.
const RESERVE_PART: usize = 4;

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

/// What appending changes.
struct Writer {
    cursor: Cursor,
    segment_bytes: u64,
    spare: Spare,
    rotation: Option<Rotation>,
    /// Admitted calls without an outcome.
    outstanding: usize,
    /// When the oldest record in the ring was appended.
    oldest: Option<Instant>,
    scratch: Box<[u8]>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

/// Whether a next segment waits.
#[derive(Clone, Debug)]
enum Spare {
    Ready,
    Awaited,
    Failed(Error),
}

/// From where on in the ring records go to the next segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation {
    /// Count of the ring's bytes before the new segment's first record.
    pub(crate) at: u64,
    pub(crate) head: SegmentHead,
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
            segment_bytes: spec.segment_bytes.max(SEGMENT_BYTES_MIN),
            ring_bytes: spec.ring_bytes.max(SEGMENT_BYTES_MIN as usize).next_multiple_of(RING_HEAD),
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
    /// [`Kind::Overloaded`] if the ring is full; [`Kind::Journal`] if nothing can be recorded. The call must not go out.
    pub fn intent(&self, intent: &Intent<'_>) -> Result<Seq> {
        let reserve = (self.writer.borrow().outstanding + 1) * limits::JOURNAL_OUTCOME_BYTES;
        let seq = self.append(&Entry::Intent(intent.clone()), reserve)?;
        self.writer.borrow_mut().outstanding += 1;
        Ok(seq)
    }

    /// Records how the call of that intent ended; once for each intent.
    ///
    /// # Errors
    /// [`Kind::Journal`] or [`Kind::Overloaded`]: the answer must not be given.
    pub fn outcome(&self, intent: Seq, outcome: &Outcome<'_>) -> Result<()> {
        {
            let mut writer = self.writer.borrow_mut();
            writer.outstanding = writer.outstanding.saturating_sub(1);
        }
        self.append(&entry::ending(intent, outcome), 0).map(drop)
    }

    /// Records a call that was refused.
    ///
    /// # Errors
    /// As [`Journal::intent`]; the refusal stands all the same.
    pub fn denied(&self, denied: &Denied<'_>) -> Result<Seq> {
        let reserve = self.writer.borrow().outstanding * limits::JOURNAL_OUTCOME_BYTES;
        self.append(&Entry::Denied(denied.clone()), reserve)
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
            self.writer.borrow_mut().oldest = Some(Clock::now());
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

    /// Why it takes no more entries, once it does not.
    pub fn fault(&self) -> Option<Error> {
        self.fault.borrow().clone()
    }

    /// Takes no more entries, waits until all are durable, and removes the empty ring.
    ///
    /// # Errors
    /// The journal failed before.
    pub async fn close(&self) -> Result<()> {
        self.closing.set(true);
        while self.ring.used() > 0 {
            if let Some(fault) = self.fault() {
                return Err(fault);
            }
            self.wake.notify_one();
            self.urgent.notify_one();
            self.drained.notified().await;
        }
        self.wake.notify_one();
        remove_ring(&self.spec)
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

impl Writer {
    fn append(&mut self, spec: &JournalSpec, ring: &Ring, entry: &Entry<'_>, reserve: usize) -> Result<Seq> {
        let body = entry.encode(&mut self.scratch[HEAD..limits::JOURNAL_RECORD_MAX - frame::CHAIN])?;
        let size = frame::padded(HEAD + body + frame::CHAIN);
        if self.room(ring, size, reserve)? {
            self.rotate(spec, ring.head());
        }
        let seq = Seq(self.cursor.seq);
        let hlc = frame::next_hlc(self.cursor.hlc, Clock::wall().0);
        let flags = if self.cursor.seq == self.cursor.segment { FLAG_FIRST } else { 0 };
        let size = self.cursor.seal(&mut self.scratch, body, hlc, entry.kind() as u16, entry::SCHEMA, flags);
        ring.push(&self.scratch[..size]);
        Ok(seq)
    }

    /// Whether a record of `size` goes to the next segment, if there is room for it and `reserve` bytes more. Never a
    /// record enters the ring whose place on the disk is not allocated.
    fn room(&self, ring: &Ring, size: usize, reserve: usize) -> Result<bool> {
        let reserve = reserve.min(ring.capacity() / RESERVE_PART);
        if ring.free() < size + reserve {
            return Err(overloaded("the journal's ring is full: the disk is slower than the calls; try again"));
        }
        let begun = self.cursor.segment != 0;
        let left = if begun { self.segment_bytes.saturating_sub(self.cursor.offset) } else { 0 };
        if left >= (size + reserve) as u64 {
            return Ok(false);
        }
        match &self.spare {
            Spare::Ready => Ok(left < size as u64),
            Spare::Awaited | Spare::Failed(_) if reserve == 0 && left >= size as u64 => Ok(false),
            Spare::Awaited => Err(overloaded("the journal's next segment is not ready yet; try again")),
            Spare::Failed(error) => Err(error.clone()),
        }
    }

    fn rotate(&mut self, spec: &JournalSpec, at: u64) {
        let head = SegmentHead {
            log: spec.store.log_id(),
            shard: spec.shard,
            first: self.cursor.seq,
            bytes: spec.segment_bytes,
            hlc: self.cursor.hlc,
            chain: self.cursor.chain,
        };
        self.cursor.enter_segment(SEGMENT_HEAD as u64);
        self.segment_bytes = spec.segment_bytes;
        self.spare = Spare::Awaited;
        self.rotation = Some(Rotation { at, head });
    }
}

fn overloaded(what: &'static str) -> Error {
    Error::new(Kind::Overloaded, what).retry(Retry::Safe)
}

/// The shard's ring, if it is this log's. Another log's is moved aside where it holds records, else removed.
fn own_ring(spec: &JournalSpec) -> Result<Option<Ring>> {
    let path = spec.store.ring_path(spec.shard);
    let Some(ring) = Ring::open(&path)? else { return Ok(None) };
    let (log, shard) = ring.owner();
    if (log, shard) == (spec.store.log_id(), spec.shard) {
        return Ok(Some(ring));
    }
    if ring.used() > 0 {
        let aside = path.with_extension(format!("of-{log}"));
        std::fs::rename(&path, &aside).map_err(|error| spec.failed(&error))?;
        tracing::warn!("{} holds records of another journal, {log}: moved to {}", path.display(), aside.display());
    }
    Ok(None)
}

/// The emptied ring, or a new one if it is missing or has another size.
fn fresh_ring(spec: &JournalSpec, left: Option<Ring>) -> Result<Ring> {
    if let Some(ring) = left.filter(|ring| ring.capacity() == spec.ring_bytes) {
        return Ok(ring);
    }
    remove_ring(spec)?;
    Ring::create(&spec.store.ring_path(spec.shard), spec.store.log_id(), spec.shard, spec.ring_bytes)
}

fn remove_ring(spec: &JournalSpec) -> Result<()> {
    match std::fs::remove_file(spec.store.ring_path(spec.shard)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(spec.failed(&error)),
        _ => Ok(()),
    }
}

fn open_files(spec: &JournalSpec, resume: &Resume) -> Result<Files> {
    let dir = spec.dir();
    let current = (resume.cursor.segment != 0).then(|| writable(&segment::path(&dir, resume.cursor.segment)));
    let current = current.transpose().map_err(|error| spec.failed(&error))?;
    let spare = recover::make_spare(&dir, spec.segment_bytes).map_err(|error| spec.failed(&error))?;
    Ok(Files { current, spare, offset: resume.cursor.offset })
}

fn writable(path: &Path) -> std::io::Result<File> {
    std::fs::OpenOptions::new().read(true).write(true).open(path)
}
