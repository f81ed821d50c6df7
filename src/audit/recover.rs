//! Where a shard's log ends, and the records that an ended process left in its ring brought to their place in it.
//!
//! Only what the ring still holds is written, at the place it was made for: a record that was drained already has a
//! lower sequence and is passed over or overwritten by the same bytes, so each stands there exactly once.

use super::digest::Digest;
use super::entry::Recovered;
use super::frame::{Cursor, FLAG_FIRST, Flaw, FrameHead};
use super::ring::Ring;
use super::segment::{self, SEGMENT_HEAD, SegmentFile, SegmentHead, Tail};
use super::store::{self, Store};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::ShardId;
use crate::rt::file;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The unit in which a file's room on the disk is told, in bytes (stat(2)).
const BLOCK_BYTES: u64 = 512;

/// Where a writer goes on.
#[derive(Debug)]
pub(crate) struct Resume {
    /// The place of the next record. Its segment is 0 if a new one must begin.
    pub(crate) cursor: Cursor,
    /// Length of the segment the cursor stands in.
    pub(crate) segment_bytes: u64,
    /// What was found again; nothing after a clean end.
    pub(crate) recovered: Option<Recovered>,
}

/// Finds the end of a shard's log and empties the ring into it.
///
/// # Errors
/// The log is damaged, entries are missing between it and the ring, or writing fails.
pub(crate) fn recover(store: &Store, shard: ShardId, ring: Option<&Ring>, segment_bytes: u64) -> Result<Resume> {
    let left = ring.map(Ring::content).unwrap_or_default();
    let from_seq = FrameHead::read(&left).map(|head| head.seq);
    let mut log = LogEnd::find(store, shard, from_seq)?;
    let count = log.take_over(&left, segment_bytes)?;
    if let Some(ring) = ring {
        ring.release(ring.head());
    }
    let torn = log.torn()?;
    let mut cursor = log.cursor;
    if torn.is_some() {
        cursor.segment = 0;
    }
    let (torn_segment, torn_offset, torn_digest) = torn.unwrap_or_default();
    let found = count > 0 || torn.is_some();
    let from_seq = from_seq.filter(|_| count > 0).unwrap_or(0);
    let recovered = found.then_some(Recovered { from_seq, count, torn_segment, torn_offset, torn_digest });
    let segment_bytes = log.file.as_ref().map_or(0, |file| file.head.bytes);
    Ok(Resume { cursor, segment_bytes, recovered })
}

/// The end of a shard's segments.
struct LogEnd {
    dir: PathBuf,
    shard: ShardId,
    store_log: super::frame::LogId,
    cursor: Cursor,
    file: Option<SegmentFile>,
}

impl LogEnd {
    /// Walks the last segment to its end; or, if the ring begins earlier, to the ring's first entry.
    fn find(store: &Store, shard: ShardId, ring_from: Option<u64>) -> Result<Self> {
        let dir = store.shard_dir(shard);
        let log = store.log_id();
        let firsts = segment::list(&dir)?;
        let before_ring = firsts.iter().rev().find(|first| ring_from.is_none_or(|seq| **first <= seq));
        let start = before_ring.or(firsts.first()).copied();
        let mut end = Self { dir, shard, store_log: log, cursor: Cursor::genesis(log, shard), file: None };
        if let Some(first) = start {
            end.enter(first)?;
            end.walk(ring_from.unwrap_or(u64::MAX))?;
        }
        end.missing(ring_from)?;
        Ok(end)
    }

    fn enter(&mut self, first: u64) -> Result<()> {
        let path = segment::path(&self.dir, first);
        let gone = || Error::new(Kind::Journal, format!("{}: the segment is gone", path.display()));
        let file = SegmentFile::open(path.clone())?.ok_or_else(gone)?;
        if (file.head.log, file.head.shard, file.head.first) != (self.store_log, self.shard, first) {
            let context = format!("{}: byte 0: the segment belongs to another log, shard or place", path.display());
            return Err(Error::new(Kind::Journal, context));
        }
        self.cursor = file.head.cursor();
        self.file = Some(file);
        Ok(())
    }

    fn walk(&mut self, until: u64) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        while self.cursor.seq < until {
            match self.cursor.check(file.frame_bytes(self.cursor.offset)?) {
                Ok(frame) => self.cursor.pass(&frame),
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Refuses a ring that begins behind the end of the segments.
    fn missing(&self, ring_from: Option<u64>) -> Result<()> {
        let Some(seq) = ring_from.filter(|seq| *seq > self.cursor.seq) else { return Ok(()) };
        let context = format!(
            "{}: entries {} to {} are missing: the ring goes on with entry {seq}. put the missing segments back, or \
             give the gate an empty journal directory",
            self.dir.display(),
            self.cursor.seq,
            seq - 1
        );
        Err(Error::new(Kind::Journal, context))
    }

    /// Writes the ring's records behind the end and tells how many they were.
    fn take_over(&mut self, mut left: &[u8], segment_bytes: u64) -> Result<u64> {
        let mut writer = None;
        let mut count = 0;
        while let Some(head) = FrameHead::read(left) {
            if head.flags & FLAG_FIRST != 0 {
                finish(writer.take())?;
                writer = Some(self.begin_segment(segment_bytes)?);
            }
            let frame = self.cursor.check(left).map_err(|flaw| self.bad_ring(flaw))?;
            if writer.is_none() {
                writer = Some(self.open_segment()?);
            }
            if let Some(file) = &writer {
                let bytes = &left[..frame.head.size()];
                file.write_all_at(bytes, self.cursor.offset).map_err(|error| store::failed(&self.dir, &error))?;
            }
            self.cursor.pass(&frame);
            left = &left[frame.head.size()..];
            count += 1;
        }
        finish(writer).map_err(|error| error.at(&self.dir.display().to_string()))?;
        self.reopen()?;
        Ok(count)
    }

    fn bad_ring(&self, flaw: Flaw) -> Error {
        let context = format!(
            "the journal's ring of shard {} holds a bad record where entry {} must be: {flaw}. keep a copy of it and \
             remove it to start without the entries it holds",
            self.shard.0, self.cursor.seq
        );
        Error::new(Kind::Journal, context)
    }

    fn open_segment(&self) -> Result<File> {
        let path = segment::path(&self.dir, self.cursor.segment);
        OpenOptions::new().write(true).open(path).map_err(|error| store::failed(&self.dir, &error))
    }

    /// The segment that begins with the next entry, made or, if a crash came after that, written again.
    fn begin_segment(&mut self, segment_bytes: u64) -> Result<File> {
        let head = SegmentHead {
            log: self.store_log,
            shard: self.shard,
            first: self.cursor.seq,
            bytes: segment_bytes,
            hlc: self.cursor.hlc,
            chain: self.cursor.chain,
        };
        self.cursor.enter_segment(SEGMENT_HEAD as u64);
        let path = segment::path(&self.dir, head.first);
        if path.exists() {
            return self.open_segment();
        }
        make_segment(&self.dir, &path, &head).map_err(|error| store::failed(&self.dir, &error))
    }

    fn reopen(&mut self) -> Result<()> {
        if self.cursor.segment != 0 {
            self.file = SegmentFile::open(segment::path(&self.dir, self.cursor.segment))?;
        }
        Ok(())
    }

    /// Segment, offset and digest of a torn tail.
    fn torn(&mut self) -> Result<Option<(u64, u64, Digest)>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        match file.tail(&self.cursor)? {
            Tail::Clean => Ok(None),
            Tail::Torn(_) if self.cursor.seq == self.cursor.segment => {
                let context = format!(
                    "{}: byte {SEGMENT_HEAD}: there is no valid record in the segment. keep a copy, and give the gate \
                     an empty journal directory to go on",
                    file.path.display()
                );
                Err(Error::new(Kind::Journal, context))
            }
            Tail::Torn(digest) => Ok(Some((self.cursor.segment, self.cursor.offset, digest))),
            Tail::Damaged(later) => {
                let bytes = file.frame_bytes(self.cursor.offset)?;
                let flaw = self.cursor.check(bytes).err().unwrap_or(Flaw::Checksum);
                Err(segment::damaged(&file.path, self.cursor.offset, flaw, later))
            }
        }
    }
}

/// Makes a segment under another name first, so that under its own it is always whole.
fn make_segment(dir: &Path, path: &Path, head: &SegmentHead) -> std::io::Result<File> {
    let new = dir.join(segment::SPARE);
    let file = make_spare(dir, head.bytes)?;
    file.write_all_at(&head.encode(), 0)?;
    file.sync_data()?;
    std::fs::rename(new, path)?;
    store::sync_dir(dir)?;
    Ok(file)
}

/// The spare that an earlier run left, if it is whole and nothing was ever written to it; else a fresh one.
pub(crate) fn open_spare(dir: &Path, bytes: u64) -> std::io::Result<File> {
    match kept_spare(dir, bytes) {
        Ok(Some(kept)) => Ok(kept),
        _ => make_spare(dir, bytes),
    }
}

fn kept_spare(dir: &Path, bytes: u64) -> std::io::Result<Option<File>> {
    let spare = OpenOptions::new().read(true).write(true).open(dir.join(segment::SPARE))?;
    let meta = spare.metadata()?;
    let is_whole = meta.is_file() && meta.len() == bytes && meta.blocks() * BLOCK_BYTES >= bytes;
    Ok((is_whole && file::next_written(&spare, 0)?.is_none()).then_some(spare))
}

/// Makes a fresh spare, in place of any that is there.
pub(crate) fn make_spare(dir: &Path, bytes: u64) -> std::io::Result<File> {
    let path = dir.join(segment::SPARE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let made = file::create_allocated(&path, bytes).and_then(|file| {
        file.sync_all()?;
        store::sync_dir(dir)?;
        Ok(file)
    });
    if made.is_err() {
        // A file that got only part of its room must not keep it.
        let _ = std::fs::remove_file(&path);
    }
    made
}

fn finish(writer: Option<File>) -> Result<()> {
    writer.map_or(Ok(()), |file| file.sync_data()).map_err(Error::from)
}
