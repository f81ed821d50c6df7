//! The place of the next record, and whether there is room for it in the ring and on the disk.

use super::entry::Entry;
use super::frame::{self, Cursor, FLAG_FIRST, HEAD};
use super::journal::JournalSpec;
use super::ring::Ring;
use super::segment::{SEGMENT_HEAD, SegmentHead};
use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::ids::Seq;
use crate::base::limits;

/// Part of the ring that outcomes of admitted calls may keep free at most.
const RESERVE_PART: usize = 4;

/// What appending changes.
pub(crate) struct Writer {
    pub(crate) cursor: Cursor,
    pub(crate) segment_bytes: u64,
    pub(crate) spare: Spare,
    pub(crate) rotation: Option<Rotation>,
    /// Admitted calls without an outcome.
    pub(crate) outstanding: usize,
    /// When the oldest record in the ring was appended.
    pub(crate) oldest: Option<Instant>,
    pub(crate) scratch: Box<[u8]>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

/// Whether a next segment waits.
#[derive(Clone, Debug)]
pub(crate) enum Spare {
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

impl Writer {
    pub(crate) fn append(&mut self, spec: &JournalSpec, ring: &Ring, entry: &Entry<'_>, reserve: usize) -> Result<Seq> {
        let body = entry.encode(&mut self.scratch[HEAD..limits::JOURNAL_RECORD_MAX - frame::CHAIN])?;
        let size = frame::padded(HEAD + body + frame::CHAIN);
        if self.room(ring, size, reserve)? {
            self.rotate(spec, ring.head());
        }
        let seq = Seq(self.cursor.seq);
        let hlc = frame::next_hlc(self.cursor.hlc, Clock::recent_wall().0);
        let flags = if self.cursor.seq == self.cursor.segment { FLAG_FIRST } else { 0 };
        let size = self.cursor.seal(&mut self.scratch, body, hlc, entry.kind() as u16, entry.schema(), flags);
        ring.push(&self.scratch[..size]);
        Ok(seq)
    }

    /// Whether a record of `size` goes to the next segment, if there is room for it and `reserve` bytes more. Never a
    /// record enters the ring whose place on the disk is not allocated.
    pub(crate) fn room(&self, ring: &Ring, size: usize, reserve: usize) -> Result<bool> {
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
