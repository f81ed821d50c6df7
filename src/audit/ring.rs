//! The ring: a mapped file on tmpfs where records stand from the moment they are appended until they are durable.
//!
//! ```text
//! 0 magic 8 | log id 16 | shard u16 …   128 head u64   192 tail u64   4096 records …
//! ```
//! Head and tail count bytes since the ring was made and only grow; a byte's place is its count modulo the capacity. A
//! record counts from the moment the head has passed it: a crash before that leaves nothing of it.

use super::frame::{ALIGN, LogId};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::ShardId;
use crate::rt::mmap::SharedMap;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"TGRING\0\x01";
const HEAD_AT: usize = 128;
const TAIL_AT: usize = 192;
/// Where the records begin; also what a ring file has on top of its capacity.
pub(crate) const RING_HEAD: usize = 4096;

/// About the size of a call's record, in bytes. A ring is larger than the caches next to a processor: what is written
/// next comes from far.
const NEXT_RECORD: usize = 512;

/// One shard's ring.
#[derive(Debug)]
pub(crate) struct Ring {
    map: SharedMap,
    capacity: usize,
}

/// The path of a shard's ring.
pub(crate) fn path(ring_dir: &Path, shard: ShardId) -> PathBuf {
    ring_dir.join(format!("ring-s{}", shard.0))
}

impl Ring {
    /// Makes an empty ring for `capacity` bytes of records, which must be a multiple of a page.
    pub(crate) fn create(path: &Path, log: LogId, shard: ShardId, capacity: usize) -> Result<Self> {
        let fail = |error: std::io::Error| {
            let context = format!("cannot make the journal ring {}: {error}", path.display());
            Error::new(Kind::Journal, context)
        };
        let map = SharedMap::create(path, RING_HEAD + capacity).map_err(fail)?;
        map.write(8, &log.0);
        map.write(24, &shard.0.to_le_bytes());
        // Last, so that a ring without it was never in use.
        map.write(0, MAGIC);
        Ok(Self { map, capacity })
    }

    /// Opens the ring that an earlier writer left; nothing if there is none or it was never finished.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let map = match SharedMap::open(path) {
            Ok(map) => map,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidInput) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::from(error).at(&path.display().to_string())),
        };
        let mut magic = [0; 8];
        if map.len() > RING_HEAD {
            map.read(0, &mut magic);
        }
        let capacity = map.len().saturating_sub(RING_HEAD);
        Ok((&magic == MAGIC).then_some(Self { map, capacity }))
    }

    /// Whose ring it is.
    pub(crate) fn owner(&self) -> (LogId, ShardId) {
        let (mut log, mut shard) = ([0; 16], [0; 2]);
        self.map.read(8, &mut log);
        self.map.read(24, &mut shard);
        (LogId(log), ShardId(u16::from_le_bytes(shard)))
    }

    /// Bytes of records it holds at most.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes ever appended.
    pub(crate) fn head(&self) -> u64 {
        self.map.word(HEAD_AT).get()
    }

    /// Bytes that are durable elsewhere.
    pub(crate) fn tail(&self) -> u64 {
        self.map.word(TAIL_AT).get()
    }

    /// Bytes in it; the capacity at most, whatever the file says.
    pub(crate) fn used(&self) -> usize {
        let used = self.head().wrapping_sub(self.tail());
        usize::try_from(used).unwrap_or(usize::MAX).min(self.capacity)
    }

    /// Bytes it has room for.
    pub(crate) fn free(&self) -> usize {
        self.capacity - self.used()
    }

    /// Appends a whole record, which must be no longer than [`Ring::free`]. It counts once this returns, or not at all.
    pub(crate) fn push(&self, record: &[u8]) {
        debug_assert!(record.len() <= self.free() && record.len().is_multiple_of(ALIGN));
        let head = self.head();
        self.copy_in(head, record);
        let head = head + record.len() as u64;
        self.map.word(HEAD_AT).set(head);
        let next = self.place(head);
        self.map.expect_write(RING_HEAD + next, NEXT_RECORD.min(self.capacity - next));
    }

    /// Writes bytes where they belong without counting them.
    fn copy_in(&self, at: u64, bytes: &[u8]) {
        let start = self.place(at);
        let first = bytes.len().min(self.capacity - start);
        self.map.write(RING_HEAD + start, &bytes[..first]);
        self.map.write(RING_HEAD, &bytes[first..]);
    }

    /// Appends `len` bytes that stand from `at` on to `out`.
    pub(crate) fn copy_out(&self, at: u64, len: usize, out: &mut Vec<u8>) {
        let filled = out.len();
        out.resize(filled + len, 0);
        let start = self.place(at);
        let first = len.min(self.capacity - start);
        let (before, behind) = out[filled..].split_at_mut(first);
        self.map.read(RING_HEAD + start, before);
        self.map.read(RING_HEAD, behind);
    }

    /// Gives back everything before `tail`: it is durable.
    pub(crate) fn release(&self, tail: u64) {
        self.map.word(TAIL_AT).set(tail);
    }

    /// All records in it, whole.
    pub(crate) fn content(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.copy_out(self.tail(), self.used(), &mut out);
        out
    }

    #[allow(clippy::cast_possible_truncation, reason = "a remainder of a usize fits one")]
    fn place(&self, at: u64) -> usize {
        (at % self.capacity as u64) as usize
    }
}

/// A copy of a ring that a writer may be using, taken through the file. Records that the writer made durable meanwhile
/// are left out: they are in the segments by then. Nothing if there is no ring.
pub(crate) fn snapshot(path: &Path) -> Result<Option<(LogId, ShardId, Vec<u8>)>> {
    use std::os::unix::fs::FileExt;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::from(error).at(&path.display().to_string())),
    };
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
    if bytes.len() <= RING_HEAD {
        return Ok(None);
    }
    let mut header = [0; RING_HEAD];
    file.read_exact_at(&mut header, 0)?;
    file.read_exact_at(&mut bytes, 0)?;
    let word = |from: &[u8], at: usize| super::frame::array(from, at).map_or(0, u64::from_le_bytes);
    let (head, before) = (word(&header, HEAD_AT), word(&header, TAIL_AT));
    // The header again, after the records: what lies before this tail may be torn in the copy.
    let mut after = [0; 8];
    file.read_exact_at(&mut after, TAIL_AT as u64)?;
    let tail = u64::from_le_bytes(after).clamp(before, head.max(before));
    let log = LogId(super::frame::array(&header, 8).unwrap_or_default());
    let shard = ShardId(super::frame::array(&header, 24).map_or(0, u16::from_le_bytes));
    let mut records = bytes.split_off(RING_HEAD);
    unroll(&mut records, tail, head);
    Ok((&header[..8] == MAGIC).then_some((log, shard, records)))
}

/// Turns the ring's bytes into the records from `tail` to `head`.
#[allow(clippy::cast_possible_truncation, reason = "a remainder of a usize fits one")]
fn unroll(records: &mut Vec<u8>, tail: u64, head: u64) {
    let capacity = records.len();
    let used = usize::try_from(head.saturating_sub(tail)).unwrap_or(usize::MAX).min(capacity);
    records.rotate_left((tail % capacity as u64) as usize);
    records.truncate(used);
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::LOG;
    use super::*;

    fn ring(capacity: usize) -> (tempfile::TempDir, PathBuf, Ring) {
        let dir = tempfile::tempdir().unwrap();
        let place = path(dir.path(), ShardId(2));
        let ring = Ring::create(&place, LOG, ShardId(2), capacity).unwrap();
        (dir, place, ring)
    }

    #[test]
    fn records_go_round_and_come_out_whole() {
        let (_dir, place, ring) = ring(4096);
        for n in 0..100u8 {
            let record = vec![n; 1008];
            ring.push(&record);
            assert_eq!(ring.content(), record);
            assert_eq!(snapshot(&place).unwrap(), Some((LOG, ShardId(2), record)));
            ring.release(ring.head());
        }
        assert_eq!((ring.used(), ring.free()), (0, 4096));
    }

    #[test]
    fn a_record_counts_only_once_the_head_has_passed_it() {
        let (_dir, place, ring) = ring(4096);
        ring.push(&[1; 64]);
        let torn = [2u8; 160];
        for cut in 0..=torn.len() {
            ring.copy_in(ring.head(), &torn[..cut]);
            let after_crash = Ring::open(&place).unwrap().unwrap();
            assert_eq!(after_crash.content(), [1; 64], "cut at {cut}");
        }
    }

    #[test]
    fn a_ring_that_was_never_finished_or_lies_is_harmless() {
        let (dir, place, ring) = ring(4096);
        assert_eq!(ring.owner(), (LOG, ShardId(2)));
        ring.map.word(HEAD_AT).set(u64::MAX);
        assert_eq!((ring.used(), ring.free()), (4096, 0));
        assert_eq!(snapshot(&place).unwrap().unwrap().2.len(), 4096);
        let other = dir.path().join("other");
        assert!(Ring::open(&other).unwrap().is_none());
        for content in [&b""[..], b"short", &[0; RING_HEAD], &[0; 2 * RING_HEAD]] {
            std::fs::write(&other, content).unwrap();
            assert!(Ring::open(&other).unwrap().is_none());
            assert!(snapshot(&other).unwrap().is_none());
        }
    }
}
