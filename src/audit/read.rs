//! Reads one shard's log, segments and ring together, whether or not a gate is writing it.
//!
//! The ring is copied before the segments are looked at: what its writer makes durable meanwhile is then found there.
//! Nothing is locked, mapped or written. Every record is checked as it comes: what is shown is what was chained.

use super::decode::decode;
use super::digest::Digest;
use super::entry::{self, Entry};
use super::frame::{Cursor, FLAG_FIRST, Flaw, Frame, FrameHead, LogId, wall_ms};
use super::ring;
use super::segment::{self, SEGMENT_HEAD, SegmentFile, Tail};
use crate::base::clock::WallTime;
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::ShardId;
use rkyv::util::AlignedVec;
use std::fmt;
use std::path::PathBuf;

/// One checked record.
#[derive(Debug)]
pub struct Record {
    /// The shard that wrote it.
    pub shard: ShardId,
    /// Its number on that shard, from 1 without gaps.
    pub seq: u64,
    /// Its time as written: 48 bits of milliseconds since 1970, 16 bits that keep the order within one.
    pub hlc: u64,
    kind: u16,
    schema: u16,
    body: AlignedVec<16>,
}

impl Record {
    /// When it was appended.
    pub fn time(&self) -> WallTime {
        WallTime(wall_ms(self.hlc))
    }

    /// What it says.
    ///
    /// # Errors
    /// A newer program wrote it, or the body is malformed.
    pub fn entry(&self) -> Result<Entry<'_>> {
        decode(self.kind, self.schema, &self.body)
    }

    /// Whether this program knows its kind and schema.
    pub fn is_known(&self) -> bool {
        entry::is_known(self.kind, self.schema)
    }
}

/// The first place where a log is not what its writer wrote.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// The byte in it.
    pub offset: u64,
    /// The entry that should stand there.
    pub seq: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: byte {}: entry {}: {}", self.file.display(), self.offset, self.seq, self.what)
    }
}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Self {
        Self::new(Kind::Journal, damage.to_string())
    }
}

/// A reader of one shard's log.
#[derive(Debug)]
pub struct ShardLog {
    dir: PathBuf,
    ring_path: Option<PathBuf>,
    shard: ShardId,
    log: LogId,
    cursor: Cursor,
    current: Option<SegmentFile>,
    ring: Vec<u8>,
    ring_at: usize,
    /// A torn tail left behind, which the next record must name.
    torn: Option<(u64, u64, Digest)>,
    unfinished: Option<u64>,
    segments: u64,
    skims: bool,
}

enum Step {
    Record(Record),
    Again,
    End,
}

impl ShardLog {
    /// Reads from the first entry of the segments in `dir` on.
    pub(crate) fn new(dir: PathBuf, ring_path: Option<PathBuf>, log: LogId, shard: ShardId) -> Result<Self> {
        let mut reader = Self {
            dir,
            ring_path,
            shard,
            log,
            cursor: Cursor::genesis(log, shard),
            current: None,
            ring: Vec::new(),
            ring_at: 0,
            torn: None,
            unfinished: None,
            segments: 0,
            skims: false,
        };
        reader.refresh()?;
        Ok(reader)
    }

    /// Sees what was written since the reader was made or last refreshed.
    ///
    /// # Errors
    /// The ring cannot be read.
    pub fn refresh(&mut self) -> Result<()> {
        self.ring.clear();
        self.ring_at = 0;
        let ring = self.ring_path.as_ref().map_or(Ok(None), |path| ring::snapshot(path))?;
        if let Some((log, shard, records)) = ring
            && (log, shard) == (self.log, self.shard)
        {
            self.ring = records;
        }
        if let Some(file) = &mut self.current {
            file.forget_window();
        }
        Ok(())
    }

    /// The same reader for who comes again and again: where nothing is written it ends, and does not look through what
    /// is left of the segment. Every record is checked all the same.
    #[must_use]
    pub fn skimming(self) -> Self {
        Self { skims: true, ..self }
    }

    /// Whose log it is.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Segments entered so far.
    pub fn segments(&self) -> u64 {
        self.segments
    }

    /// The byte of the last segment where a write that a crash cut, or that is under way, begins. Known at the end.
    pub fn unfinished(&self) -> Option<u64> {
        self.unfinished
    }

    /// Skips to the segment that begins with entry `first`, trusting its head for what went before.
    pub(crate) fn start_at(&mut self, first: u64) -> std::result::Result<(), Damage> {
        let file = self.open(first)?.ok_or_else(|| self.damage("the segment is gone"))?;
        self.cursor = file.head.cursor();
        self.current = Some(file);
        self.segments += 1;
        Ok(())
    }

    /// The number of the next record, and the time of the one before as it was written.
    pub fn place(&self) -> (u64, u64) {
        (self.cursor.seq, self.cursor.hlc)
    }

    /// The next record; nothing at the end of what was written.
    ///
    /// # Errors
    /// The first place where the log is not what its writer wrote. Reading cannot go on behind it.
    #[allow(clippy::should_implement_trait, reason = "an iterator would go on after damage")]
    pub fn next(&mut self) -> std::result::Result<Option<Record>, Damage> {
        loop {
            match self.step()? {
                Step::Record(record) => return Ok(Some(record)),
                Step::Again => {}
                Step::End => return Ok(None),
            }
        }
    }

    fn step(&mut self) -> std::result::Result<Step, Damage> {
        let flaw = match self.read_segment()? {
            Ok(record) => return Ok(Step::Record(record)),
            Err(flaw) => flaw,
        };
        if self.cursor.seq != self.cursor.segment
            && let Some(file) = self.open(self.cursor.seq)?
        {
            return self.enter(file, flaw);
        }
        if let Some(step) = self.read_ring(flaw)? {
            return Ok(step);
        }
        self.end(flaw)
    }

    /// The next record of the segment at hand, or why it is none.
    fn read_segment(&mut self) -> std::result::Result<std::result::Result<Record, Flaw>, Damage> {
        if self.current.is_none() && self.cursor.segment != 0 {
            self.current = self.open(self.cursor.segment)?;
        }
        let Some(file) = &mut self.current else { return Ok(Err(Flaw::Empty)) };
        let bytes = match file.frame_bytes(self.cursor.offset) {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.damage(error.context)),
        };
        let (record, size, chain) = match self.cursor.check(bytes) {
            Ok(frame) => (record(self.shard, &frame), frame.head.size(), frame.chain),
            Err(flaw) => return Ok(Err(flaw)),
        };
        self.pass(&record, size as u64, chain)?;
        Ok(Ok(record))
    }

    fn pass(&mut self, record: &Record, size: u64, chain: Digest) -> std::result::Result<(), Damage> {
        self.names_torn_tail(record)?;
        self.cursor.offset += size;
        self.cursor.seq += 1;
        self.cursor.hlc = record.hlc;
        self.cursor.chain = chain;
        Ok(())
    }

    /// A torn tail is part of the log only if the next record names it.
    fn names_torn_tail(&mut self, record: &Record) -> std::result::Result<(), Damage> {
        let Some((segment, offset, digest)) = self.torn.take() else { return Ok(()) };
        let named = match record.entry() {
            Ok(Entry::Recovered(r)) => (r.torn_segment, r.torn_offset, r.torn_digest) == (segment, offset, digest),
            _ => false,
        };
        if named {
            return Ok(());
        }
        let what = "bytes that are no record, which the next record does not account for".to_owned();
        Err(Damage { file: segment::path(&self.dir, segment), offset, seq: self.cursor.seq, what })
    }

    /// Opens a segment and checks that it is the one its name says; nothing if there is no such file.
    fn open(&self, first: u64) -> std::result::Result<Option<SegmentFile>, Damage> {
        let path = segment::path(&self.dir, first);
        let bad = |what: String| Damage { file: path.clone(), offset: 0, seq: first, what };
        let place = format!("{}: byte 0: ", path.display());
        let file = SegmentFile::open(path.clone())
            .map_err(|error| bad(error.context.strip_prefix(&place).unwrap_or(&error.context).to_owned()))?;
        match file {
            Some(file) if (file.head.log, file.head.shard, file.head.first) != (self.log, self.shard, first) => {
                Err(bad("the segment belongs to another log, shard or place".to_owned()))
            }
            file => Ok(file),
        }
    }

    /// Goes on in the next segment.
    fn enter(&mut self, file: SegmentFile, flaw: Flaw) -> std::result::Result<Step, Damage> {
        if self.leave(flaw)? {
            return Ok(Step::Again);
        }
        let begin = file.head.cursor();
        if (begin.chain, begin.hlc) != (self.cursor.chain, self.cursor.hlc) {
            let what = "the segment does not follow from the one before (chain broken)".to_owned();
            return Err(Damage { file: file.path, offset: 0, seq: self.cursor.seq, what });
        }
        self.cursor = begin;
        self.current = Some(file);
        self.segments += 1;
        Ok(Step::Again)
    }

    /// Looks at what stands behind the last record of the segment at hand. True if a writer went on there meanwhile.
    fn leave(&mut self, flaw: Flaw) -> std::result::Result<bool, Damage> {
        match self.tail(flaw)? {
            Ok(None) => {}
            Ok(Some(digest)) => self.torn = Some((self.cursor.segment, self.cursor.offset, digest)),
            Err(()) => return Ok(true),
        }
        Ok(false)
    }

    /// The digest of a torn tail, nothing if the tail is clean, `Err(())` if a valid record stands there by now.
    fn tail(&mut self, flaw: Flaw) -> std::result::Result<std::result::Result<Option<Digest>, ()>, Damage> {
        let cursor = self.cursor;
        let Some(file) = &mut self.current else { return Ok(Ok(None)) };
        // What was read may be older than what is there: a writer can be at work.
        file.forget_window();
        let (tail, now) = match (file.tail(&cursor), file.frame_bytes(cursor.offset)) {
            (Ok(tail), Ok(bytes)) => (tail, cursor.check(bytes)),
            (Err(error), _) | (_, Err(error)) => return Err(self.damage(error.context)),
        };
        match tail {
            Tail::Clean => Ok(Ok(None)),
            _ if now.is_ok() => Ok(Err(())),
            Tail::Torn(digest) => Ok(Ok(Some(digest))),
            Tail::Damaged(later) => Err(self.damage(format!("{flaw}, but a later record (byte {later}) is intact"))),
        }
    }

    /// The next record of the ring; nothing if the ring has none.
    fn read_ring(&mut self, flaw: Flaw) -> std::result::Result<Option<Step>, Damage> {
        let Some(head) = self.next_in_ring() else { return Ok(None) };
        if head.seq > self.cursor.seq {
            return Err(self.missing(head.seq));
        }
        if head.flags & FLAG_FIRST != 0 && self.cursor.segment != self.cursor.seq {
            if self.leave(flaw)? {
                return Ok(Some(Step::Again));
            }
            self.cursor.enter_segment(SEGMENT_HEAD as u64);
            self.current = None;
            self.segments += 1;
        }
        let (record, size, chain) = match self.cursor.check(&self.ring[self.ring_at..]) {
            Ok(frame) => (record(self.shard, &frame), frame.head.size(), frame.chain),
            Err(flaw) => return Err(self.ring_damage(flaw)),
        };
        self.pass(&record, size as u64, chain)?;
        self.ring_at += size;
        Ok(Some(Step::Record(record)))
    }

    /// The head of the first record in the ring that was not read yet.
    fn next_in_ring(&mut self) -> Option<FrameHead> {
        loop {
            let head = FrameHead::read(self.ring.get(self.ring_at..)?)?;
            if head.seq >= self.cursor.seq || !head.len_is_possible() {
                return Some(head);
            }
            self.ring_at += head.size();
        }
    }

    /// The end of what was written, unless a later segment says that something is missing.
    fn end(&mut self, flaw: Flaw) -> std::result::Result<Step, Damage> {
        if self.skims && matches!(flaw, Flaw::Empty) {
            return Ok(Step::End);
        }
        // Listed first: whatever a writer put before a segment that is there already is found by a look after this.
        let firsts = segment::list(&self.dir).map_err(|error| self.damage(error.context))?;
        let Ok(torn) = self.tail(flaw)? else { return Ok(Step::Again) };
        if self.cursor.segment != self.cursor.seq && firsts.contains(&self.cursor.seq) {
            return Ok(Step::Again);
        }
        if let Some(later) = firsts.into_iter().find(|first| *first > self.cursor.seq) {
            return Err(self.missing(later));
        }
        self.unfinished = torn.map(|_| self.cursor.offset);
        Ok(Step::End)
    }

    /// Damage in the record that was read last.
    pub(crate) fn behind(&self, what: String) -> Damage {
        let damage = self.damage(what);
        Damage { seq: damage.seq - 1, ..damage }
    }

    fn missing(&self, next: u64) -> Damage {
        self.damage(format!("entries {} to {} are missing", self.cursor.seq, next - 1))
    }

    fn ring_damage(&self, flaw: Flaw) -> Damage {
        let file = self.ring_path.clone().unwrap_or_default();
        let what = format!("in the ring: {flaw}");
        Damage { file, offset: self.ring_at as u64, seq: self.cursor.seq, what }
    }

    fn damage(&self, what: impl Into<String>) -> Damage {
        let segment = self.cursor.segment.max(1);
        let file = segment::path(&self.dir, segment);
        Damage { file, offset: self.cursor.offset, seq: self.cursor.seq, what: what.into() }
    }
}

fn record(shard: ShardId, frame: &Frame<'_>) -> Record {
    let mut body = AlignedVec::with_capacity(frame.body.len());
    body.extend_from_slice(frame.body);
    let FrameHead { seq, hlc, kind, schema, .. } = frame.head;
    Record { shard, seq, hlc, kind, schema, body }
}
