//! A segment file: its name, its head, and how the end of what was written in it is found.

use super::digest::Digest;
use super::frame::{ALIGN, Cursor, Flaw, FrameHead, LogId, array};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::ShardId;
use crate::rt::file;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of the head; the first frame stands behind it.
pub(crate) const SEGMENT_HEAD: usize = 128;
/// The name of the file that will become the next segment.
pub(crate) const SPARE: &str = "spare";

const MAGIC: &[u8; 8] = b"TGSEG\0\0\x01";
const EXTENSION: &str = "seg";
/// Bytes read at once.
const WINDOW: usize = 256 * 1024;
/// Bytes looked at together for anything but zeros.
const ZERO_BLOCK: usize = 4 * 1024;

/// What the head of a segment says.
///
/// ```text
/// magic 8 | crc u32 | zero u32 | log id 16 | shard u16 | zero 6
/// first seq u64 | bytes u64 | hlc u64 | chain 32 | zero 32
/// ```
/// The CRC-32C covers everything behind itself. The zeros are room for a signing key's id and a tree's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub(crate) log: LogId,
    pub(crate) shard: ShardId,
    pub(crate) first: u64,
    /// Length of the whole file.
    pub(crate) bytes: u64,
    /// Time of the last entry before.
    pub(crate) hlc: u64,
    /// Chain value before the first entry.
    pub(crate) chain: Digest,
}

impl SegmentHead {
    /// The head as it stands in the file.
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEAD] {
        let mut out = [0; SEGMENT_HEAD];
        out[..8].copy_from_slice(MAGIC);
        out[16..32].copy_from_slice(&self.log.0);
        out[32..34].copy_from_slice(&self.shard.0.to_le_bytes());
        out[40..48].copy_from_slice(&self.first.to_le_bytes());
        out[48..56].copy_from_slice(&self.bytes.to_le_bytes());
        out[56..64].copy_from_slice(&self.hlc.to_le_bytes());
        out[64..96].copy_from_slice(&self.chain);
        let crc = crc32c::crc32c(&out[12..]);
        out[8..12].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a head; the error says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEAD]) -> std::result::Result<Self, &'static str> {
        if &bytes[..8] != MAGIC {
            return Err("this is not a segment that this program knows");
        }
        if bytes[8..12] != crc32c::crc32c(&bytes[12..]).to_le_bytes() {
            return Err("the checksum of the segment's head is wrong");
        }
        let parts = || {
            Some(Self {
                log: LogId(array(bytes, 16)?),
                shard: ShardId(u16::from_le_bytes(array(bytes, 32)?)),
                first: u64::from_le_bytes(array(bytes, 40)?),
                bytes: u64::from_le_bytes(array(bytes, 48)?),
                hlc: u64::from_le_bytes(array(bytes, 56)?),
                chain: array(bytes, 64)?,
            })
        };
        parts().ok_or("the segment's head is cut")
    }

    /// Where reading this segment begins.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::at_segment(self.log, self.shard, self.first, self.hlc, self.chain, SEGMENT_HEAD as u64)
    }
}

/// The path of the segment that begins with entry `first`.
pub(crate) fn path(shard_dir: &Path, first: u64) -> PathBuf {
    shard_dir.join(format!("{first:020}.{EXTENSION}"))
}

/// First entries of all segments of a shard, in order; none if there is no such directory.
pub(crate) fn list(shard_dir: &Path) -> Result<Vec<u64>> {
    let entries = match std::fs::read_dir(shard_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::from(error).at(&shard_dir.display().to_string())),
    };
    let mut firsts = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        firsts.extend(name.to_str().and_then(first_of));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// A segment open for reading, through a window that follows the reader.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub(crate) path: PathBuf,
    pub(crate) head: SegmentHead,
    file: File,
    window: Vec<u8>,
    window_at: u64,
}

impl SegmentFile {
    /// Opens the segment and reads its head; nothing if there is no such file.
    pub(crate) fn open(path: PathBuf) -> Result<Option<Self>> {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::from(error).at(&path.display().to_string())),
        };
        let at = |what: &str| Error::new(Kind::Journal, format!("{}: byte 0: {what}", path.display()));
        let mut bytes = [0; SEGMENT_HEAD];
        file.read_exact_at(&mut bytes, 0).map_err(|error| at(&error.to_string()))?;
        let head = SegmentHead::decode(&bytes).map_err(at)?;
        Ok(Some(Self { path, head, file, window: Vec::new(), window_at: 0 }))
    }

    /// Up to `len` bytes at `at`, fewer only at the end of the file.
    fn bytes(&mut self, at: u64, len: usize) -> Result<&[u8]> {
        let end = self.window_at + self.window.len() as u64;
        if at < self.window_at || at + len as u64 > end {
            self.fill(at, len.max(WINDOW))?;
        }
        let from = usize::try_from(at - self.window_at).unwrap_or(usize::MAX).min(self.window.len());
        let to = (from + len).min(self.window.len());
        Ok(&self.window[from..to])
    }

    fn fill(&mut self, at: u64, len: usize) -> Result<()> {
        self.window.resize(len, 0);
        self.window_at = at;
        let mut filled = 0;
        while filled < len {
            match self.file.read_at(&mut self.window[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from(error).at(&self.path.display().to_string())),
            }
        }
        self.window.truncate(filled);
        Ok(())
    }

    /// Reads again from the file at the next look: a writer may have gone on.
    pub(crate) fn forget_window(&mut self) {
        self.window.clear();
    }

    /// The bytes of the frame at `at`, as far as the file has them.
    pub(crate) fn frame_bytes(&mut self, at: u64) -> Result<&[u8]> {
        let head = self.bytes(at, super::frame::HEAD)?;
        let len = match FrameHead::read(head) {
            Some(head) if head.len_is_possible() => head.size(),
            _ => head.len(),
        };
        self.bytes(at, len)
    }

    /// Looks at everything from `cursor` to the end of the file, where no valid next frame stands.
    pub(crate) fn tail(&mut self, cursor: &Cursor) -> Result<Tail> {
        if self.is_zero_from(cursor.offset)? {
            return Ok(Tail::Clean);
        }
        let mut hash = Sha256::new();
        let mut at = cursor.offset;
        loop {
            let piece = self.bytes(at, WINDOW)?;
            if piece.is_empty() {
                break;
            }
            hash.update(piece);
            at += piece.len() as u64;
        }
        let later = self.later_frame(*cursor, at)?;
        Ok(later.map_or(Tail::Torn(hash.finalize().into()), Tail::Damaged))
    }

    /// Whether only zeros follow. What was never written is not read: that is most of a segment, at every start.
    fn is_zero_from(&mut self, mut at: u64) -> Result<bool> {
        file::no_read_ahead(&self.file);
        loop {
            let next = file::next_written(&self.file, at);
            let next = next.map_err(|error| Error::from(error).at(&self.path.display().to_string()))?;
            let Some(next) = next else { return Ok(true) };
            let piece = self.bytes(next, WINDOW)?;
            if piece.is_empty() {
                return Ok(true);
            }
            if !is_zero(piece) {
                return Ok(false);
            }
            at = next + piece.len() as u64;
        }
    }

    /// A place behind `probe` where an intact later frame of this segment stands.
    fn later_frame(&mut self, mut probe: Cursor, end: u64) -> Result<Option<u64>> {
        let seq = probe.seq;
        while probe.offset + ALIGN as u64 <= end {
            let bytes = self.frame_bytes(probe.offset)?;
            if let Ok(frame) = probe.check_bytes(bytes)
                && frame.head.seq >= seq
            {
                return Ok(Some(probe.offset));
            }
            probe.offset += ALIGN as u64;
        }
        Ok(None)
    }
}

/// Whether all bytes are zero. Gathered in blocks, without an early end in each, so that it is done many at once.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZERO_BLOCK).all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
}

/// What stands behind the last valid frame of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Zeros: nothing was written.
    Clean,
    /// Something without a valid frame in it, with its SHA-256: a write that a crash of the machine cut.
    Torn(Digest),
    /// An intact later frame stands at this byte: what is before it was changed.
    Damaged(u64),
}

/// The error of a segment that was damaged, not torn.
pub(crate) fn damaged(path: &Path, offset: u64, flaw: Flaw, later: u64) -> Error {
    let context = format!(
        "{}: byte {offset}: {flaw}, but a later record (byte {later}) is intact: the file was damaged or changed. run \
         `tollgate audit verify`, keep a copy, and give the gate an empty journal directory to go on",
        path.display()
    );
    Error::new(Kind::Journal, context)
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{LOG, chain_of};
    use super::*;

    fn head() -> SegmentHead {
        let chain = LOG.genesis(ShardId(1));
        SegmentHead { log: LOG, shard: ShardId(1), first: 1, bytes: 4096, hlc: 0, chain }
    }

    fn file_with(bytes: &[u8]) -> (tempfile::TempDir, SegmentFile) {
        let dir = tempfile::tempdir().unwrap();
        let place = path(dir.path(), 1);
        let mut content = head().encode().to_vec();
        content.extend_from_slice(bytes);
        content.resize(content.len().max(4096), 0);
        std::fs::write(&place, content).unwrap();
        let file = SegmentFile::open(place).unwrap().unwrap();
        (dir, file)
    }

    #[test]
    fn a_head_comes_back_and_every_flipped_byte_is_found() {
        let bytes = head().encode();
        assert_eq!(SegmentHead::decode(&bytes), Ok(head()));
        for at in 0..bytes.len() {
            let mut bent = bytes;
            bent[at] ^= 1;
            assert!(SegmentHead::decode(&bent).is_err(), "byte {at}");
        }
    }

    #[test]
    fn only_segment_names_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["00000000000000000009.seg", "00000000000000000001.seg", "1.seg", SPARE, "00000000000000000002.bak"]
        {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        assert_eq!(list(dir.path()).unwrap(), [1, 9]);
        assert!(list(&dir.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn a_byte_far_behind_what_was_never_written_is_found() {
        let mut cursor = head().cursor();
        let first = chain_of(&mut cursor, &[b"one"]);
        let (_dir, mut segment) = file_with(&first);
        let far = 3 * WINDOW as u64;
        let open = std::fs::OpenOptions::new().write(true).open(&segment.path).unwrap();
        open.set_len(far + 100).unwrap();
        assert_eq!(segment.tail(&cursor).unwrap(), Tail::Clean);
        segment.forget_window();
        open.write_all_at(&[0], far).unwrap();
        assert_eq!(segment.tail(&cursor).unwrap(), Tail::Clean, "a zero that was written is a zero");
        segment.forget_window();
        open.write_all_at(&[1], far + 99).unwrap();
        assert!(matches!(segment.tail(&cursor).unwrap(), Tail::Torn(_)));
    }

    #[test]
    fn the_tail_tells_clean_torn_and_damaged_apart() {
        let mut cursor = head().cursor();
        let first = chain_of(&mut cursor, &[b"one"]);
        let behind_first = cursor;
        let rest = chain_of(&mut cursor, &[b"two", b"three"]);
        let (_dir, mut clean) = file_with(&first);
        assert_eq!(clean.tail(&behind_first).unwrap(), Tail::Clean);
        for cut in 1..67 {
            let (_dir, mut torn) = file_with(&[&first[..], &rest[..cut]].concat());
            assert!(matches!(torn.tail(&behind_first).unwrap(), Tail::Torn(_)), "cut at {cut}");
        }
        let mut bent = rest.clone();
        bent[40] ^= 1;
        let (_dir, mut damaged) = file_with(&[&first[..], &bent].concat());
        let third = behind_first.offset + rest.len() as u64 / 2;
        assert_eq!(damaged.tail(&behind_first).unwrap(), Tail::Damaged(third));
    }
}
