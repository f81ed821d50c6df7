//! One record's frame: length, CRC, sequence, time, kind, body, chain. Pure: bytes in, checked parts out.
//!
//! ```text
//! len u32 | crc u32 | seq u64 | hlc u64 | kind u16 | schema u16 | flags u32 | body … | chain 32 | zeros to 16
//! ```
//! Little-endian. `len` counts from itself to the end of the chain. The CRC-32C covers `log id ‖ shard u16 ‖
//! segment u64 ‖ offset u64 ‖ len ‖ seq … chain`, so bytes that stand in the wrong place fail.
//! `leaf = SHA-256(0x00 ‖ seq … body)`, `chain = SHA-256(0x02 ‖ chain before ‖ leaf)`.

use super::digest::Digest;
use crate::base::ids::ShardId;
use crate::base::limits::JOURNAL_RECORD_MAX;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Bytes before the body.
pub(crate) const HEAD: usize = 32;
/// Bytes of the chain value behind the body.
pub(crate) const CHAIN: usize = 32;
/// Frames begin at multiples of this.
pub(crate) const ALIGN: usize = 16;
/// Flag of a frame that is the first of its segment.
pub(crate) const FLAG_FIRST: u32 = 1;

const LEAF: u8 = 0x00;
const LINK: u8 = 0x02;
const GENESIS: &[u8] = b"tollgate journal v1";

/// The identity of one log: random, made with its directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LogId(pub [u8; 16]);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

impl LogId {
    /// Reads 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let number = u128::from_str_radix(text, 16).ok()?;
        Some(Self(number.to_be_bytes()))
    }

    /// The chain value before the first entry of a shard.
    pub(crate) fn genesis(&self, shard: ShardId) -> Digest {
        let hash = Sha256::new().chain_update(GENESIS).chain_update(self.0).chain_update(shard.0.to_le_bytes());
        hash.finalize().into()
    }
}

/// The fields in front of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) len: u32,
    pub(crate) crc: u32,
    pub(crate) seq: u64,
    pub(crate) hlc: u64,
    pub(crate) kind: u16,
    pub(crate) schema: u16,
    pub(crate) flags: u32,
}

impl FrameHead {
    /// Reads the fields as they stand; nothing if there are too few bytes.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            len: u32::from_le_bytes(array(bytes, 0)?),
            crc: u32::from_le_bytes(array(bytes, 4)?),
            seq: u64::from_le_bytes(array(bytes, 8)?),
            hlc: u64::from_le_bytes(array(bytes, 16)?),
            kind: u16::from_le_bytes(array(bytes, 24)?),
            schema: u16::from_le_bytes(array(bytes, 26)?),
            flags: u32::from_le_bytes(array(bytes, 28)?),
        })
    }

    fn write(&self, to: &mut [u8]) {
        to[..4].copy_from_slice(&self.len.to_le_bytes());
        to[8..16].copy_from_slice(&self.seq.to_le_bytes());
        to[16..24].copy_from_slice(&self.hlc.to_le_bytes());
        to[24..26].copy_from_slice(&self.kind.to_le_bytes());
        to[26..28].copy_from_slice(&self.schema.to_le_bytes());
        to[28..32].copy_from_slice(&self.flags.to_le_bytes());
    }

    /// Whether a frame may be that long.
    pub(crate) fn len_is_possible(&self) -> bool {
        let len = self.len as usize;
        len >= HEAD + CHAIN && padded(len) <= JOURNAL_RECORD_MAX
    }

    /// Bytes of the frame with its padding.
    pub(crate) fn size(&self) -> usize {
        padded(self.len as usize)
    }
}

/// `N` bytes at `at`.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// `len` rounded up to where the next frame may begin.
pub(crate) fn padded(len: usize) -> usize {
    len.next_multiple_of(ALIGN)
}

/// A checked frame, borrowed from where it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) head: FrameHead,
    pub(crate) body: &'a [u8],
    pub(crate) chain: Digest,
}

/// Why bytes are not the frame that should stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing was written here: the length is zero.
    Empty,
    /// The bytes end within the frame.
    Cut,
    /// The length is impossible.
    Length(u32),
    /// The checksum is wrong, or the frame belongs somewhere else.
    Checksum,
    /// The bytes that fill up the frame are not zero.
    Padding,
    /// Another entry's number.
    Sequence { found: u64, expected: u64 },
    /// Its time is not after that of the entry before.
    Time,
    /// It does not follow from the entry before.
    Chain,
    /// It says that it begins a segment but does not, or the other way round.
    Boundary,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "nothing is written here"),
            Self::Cut => write!(f, "the file ends within a record"),
            Self::Length(len) => write!(f, "a record cannot be {len} bytes long"),
            Self::Checksum => write!(f, "the checksum is wrong"),
            Self::Padding => write!(f, "bytes between records are not zero"),
            Self::Sequence { found, expected } => write!(f, "entry {found} stands where entry {expected} must"),
            Self::Time => write!(f, "the time is not after that of the entry before"),
            Self::Chain => write!(f, "the record does not follow from the one before (chain broken)"),
            Self::Boundary => write!(f, "the record is marked as another place in its segment"),
        }
    }
}

/// The next place of one shard's chain: where a frame goes or comes from and what it must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    log: LogId,
    shard: ShardId,
    /// CRC of log id, shard and segment.
    seed: u32,
    /// First sequence of the segment.
    pub(crate) segment: u64,
    /// Byte in the segment where the next frame stands.
    pub(crate) offset: u64,
    /// Sequence of the next frame.
    pub(crate) seq: u64,
    /// Time of the frame before.
    pub(crate) hlc: u64,
    /// Chain value of the frame before.
    pub(crate) chain: Digest,
}

impl Cursor {
    /// Before the first entry of a shard's log.
    pub(crate) fn genesis(log: LogId, shard: ShardId) -> Self {
        let chain = log.genesis(shard);
        Self { log, shard, seed: 0, segment: 0, offset: 0, seq: 1, hlc: 0, chain }
    }

    /// Moves to the first frame of the segment that begins with the next entry; frames begin at `offset` in it.
    pub(crate) fn enter_segment(&mut self, offset: u64) {
        self.segment = self.seq;
        self.offset = offset;
        self.reseed();
    }

    /// Stands at the start of a segment whose head says what went before.
    pub(crate) fn at_segment(log: LogId, shard: ShardId, first: u64, hlc: u64, chain: Digest, offset: u64) -> Self {
        let mut cursor = Self { seq: first, hlc, chain, ..Self::genesis(log, shard) };
        cursor.enter_segment(offset);
        cursor
    }

    fn reseed(&mut self) {
        let seed = crc32c::crc32c(&self.log.0);
        let seed = crc32c::crc32c_append(seed, &self.shard.0.to_le_bytes());
        self.seed = crc32c::crc32c_append(seed, &self.segment.to_le_bytes());
    }

    fn crc(&self, len: u32, rest: &[u8]) -> u32 {
        let crc = crc32c::crc32c_append(self.seed, &self.offset.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c_append(crc, &len.to_le_bytes()), rest)
    }

    /// Makes a frame around the `body` bytes that already stand at [`HEAD`] in `frame`, moves on, and tells its size.
    /// The caller has made sure that `frame` holds the frame and that the frame fits its segment.
    pub(crate) fn seal(
        &mut self,
        frame: &mut [u8],
        body: usize,
        hlc: u64,
        kind: u16,
        schema: u16,
        flags: u32,
    ) -> usize {
        let end = HEAD + body;
        let len = end + CHAIN;
        let size = padded(len);
        #[allow(clippy::cast_possible_truncation, reason = "a record is at most JOURNAL_RECORD_MAX long")]
        let mut head = FrameHead { len: len as u32, crc: 0, seq: self.seq, hlc, kind, schema, flags };
        head.write(frame);
        let chain = link(&self.chain, &frame[8..end]);
        frame[end..len].copy_from_slice(&chain);
        frame[len..size].fill(0);
        head.crc = self.crc(head.len, &frame[8..len]);
        frame[4..8].copy_from_slice(&head.crc.to_le_bytes());
        self.advance(&head, chain);
        size
    }

    /// Checks the frame at the start of `bytes` in this order: length, checksum, padding, sequence, time, chain.
    pub(crate) fn check<'a>(&self, bytes: &'a [u8]) -> Result<Frame<'a>, Flaw> {
        let frame = self.check_bytes(bytes)?;
        let head = frame.head;
        if head.seq != self.seq {
            return Err(Flaw::Sequence { found: head.seq, expected: self.seq });
        }
        if (head.flags & FLAG_FIRST != 0) != (head.seq == self.segment) {
            return Err(Flaw::Boundary);
        }
        if head.hlc <= self.hlc {
            return Err(Flaw::Time);
        }
        let linked = link(&self.chain, &bytes[8..HEAD + frame.body.len()]);
        if linked != frame.chain { Err(Flaw::Chain) } else { Ok(frame) }
    }

    /// Checks length, checksum and padding only: that these bytes were written as a frame for this very place.
    pub(crate) fn check_bytes<'a>(&self, bytes: &'a [u8]) -> Result<Frame<'a>, Flaw> {
        let head = FrameHead::read(bytes).ok_or(Flaw::Cut)?;
        if head.len == 0 {
            return Err(Flaw::Empty);
        }
        if !head.len_is_possible() {
            return Err(Flaw::Length(head.len));
        }
        let len = head.len as usize;
        let padding = bytes.get(len..head.size()).ok_or(Flaw::Cut)?;
        if self.crc(head.len, &bytes[8..len]) != head.crc {
            return Err(Flaw::Checksum);
        }
        if padding.iter().any(|b| *b != 0) {
            return Err(Flaw::Padding);
        }
        let end = len - CHAIN;
        let chain = array(bytes, end).ok_or(Flaw::Cut)?;
        Ok(Frame { head, body: &bytes[HEAD..end], chain })
    }

    /// Moves behind a checked frame.
    pub(crate) fn pass(&mut self, frame: &Frame<'_>) {
        self.advance(&frame.head, frame.chain);
    }

    fn advance(&mut self, head: &FrameHead, chain: Digest) {
        self.offset += head.size() as u64;
        self.seq += 1;
        self.hlc = head.hlc;
        self.chain = chain;
    }
}

/// The chain value of a frame, from the one before and the bytes from sequence to end of body.
fn link(before: &Digest, hashed: &[u8]) -> Digest {
    let leaf = Sha256::new().chain_update([LEAF]).chain_update(hashed).finalize();
    Sha256::new().chain_update([LINK]).chain_update(before).chain_update(leaf).finalize().into()
}

/// The time of the next entry: the wall clock, but always after the entry before. 48 bits of milliseconds, 16 of count.
pub(crate) fn next_hlc(before: u64, wall_ms: u64) -> u64 {
    (wall_ms << 16).max(before + 1)
}

/// The wall time in milliseconds that an entry's time stands for.
pub(crate) fn wall_ms(hlc: u64) -> u64 {
    hlc >> 16
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const LOG: LogId = LogId([3; 16]);

    /// Frames with the given bodies, one behind the other, as a segment would hold them from `offset` on.
    pub(crate) fn chain_of(cursor: &mut Cursor, bodies: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for body in bodies {
            let mut frame = vec![0xee; JOURNAL_RECORD_MAX];
            frame[HEAD..HEAD + body.len()].copy_from_slice(body);
            let hlc = next_hlc(cursor.hlc, 1_000);
            let flags = if cursor.seq == cursor.segment { FLAG_FIRST } else { 0 };
            let size = cursor.seal(&mut frame, body.len(), hlc, 2, 1, flags);
            out.extend_from_slice(&frame[..size]);
        }
        out
    }

    fn start(shard: u16) -> Cursor {
        let mut cursor = Cursor::genesis(LOG, ShardId(shard));
        cursor.enter_segment(128);
        cursor
    }

    /// Bodies read until the first flaw.
    fn read(mut cursor: Cursor, mut bytes: &[u8]) -> (Vec<Vec<u8>>, Flaw) {
        let mut bodies = Vec::new();
        loop {
            match cursor.check(bytes) {
                Ok(frame) => {
                    bodies.push(frame.body.to_vec());
                    cursor.pass(&frame);
                    bytes = &bytes[frame.head.size()..];
                }
                Err(flaw) => return (bodies, flaw),
            }
        }
    }

    const BODIES: [&[u8]; 3] = [b"", b"first", b"sixteen bytes!!!"];

    #[test]
    fn frames_come_back_in_order() {
        let mut bytes = chain_of(&mut start(0), &BODIES);
        assert_eq!(bytes.len() % ALIGN, 0);
        bytes.extend_from_slice(&[0; 64]);
        assert_eq!(read(start(0), &bytes), (BODIES.map(<[u8]>::to_vec).to_vec(), Flaw::Empty));
    }

    #[test]
    fn any_flipped_byte_is_found() {
        let bytes = chain_of(&mut start(0), &BODIES);
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bent = bytes.clone();
                bent[at] ^= flip;
                assert!(read(start(0), &bent).0.len() < BODIES.len(), "byte {at} xor {flip:#x}");
            }
        }
    }

    #[test]
    fn any_cut_keeps_only_whole_frames() {
        let bytes = chain_of(&mut start(0), &BODIES);
        for len in 0..bytes.len() {
            let (bodies, flaw) = read(start(0), &bytes[..len]);
            assert!(bodies.len() < BODIES.len() && flaw == Flaw::Cut, "cut at {len}: {flaw}");
        }
    }

    #[test]
    fn reordered_doubled_and_foreign_frames_are_found() {
        let bytes = chain_of(&mut start(0), &[b"aaaa", b"bbbb", b"cccc"]);
        let size = bytes.len() / 3;
        let (a, b, c) = (&bytes[..size], &bytes[size..2 * size], &bytes[2 * size..]);
        let read_all = |parts: &[&[u8]]| read(start(0), &parts.concat()).0.len();
        assert_eq!(read_all(&[a, b, c]), 3);
        assert_eq!(read_all(&[b, a, c]), 0);
        assert_eq!(read_all(&[a, a, b]), 1);
        assert_eq!(read_all(&[a, c]), 1);
        let other = chain_of(&mut start(1), &[b"aaaa", b"bbbb", b"cccc"]);
        assert_eq!(read_all(&[a, &other[size..2 * size], c]), 1);
    }

    #[test]
    fn a_forger_who_mends_the_checksum_still_breaks_the_chain() {
        let mut writer = start(0);
        let first = chain_of(&mut writer, &[b"pays 1 coin"]);
        let second = chain_of(&mut writer, &[b"and 2 more"]);
        let forged = chain_of(&mut start(0), &[b"pays 9 coin"]);
        assert_eq!(forged.len(), first.len());
        let (bodies, flaw) = read(start(0), &[forged, second].concat());
        assert_eq!((bodies.len(), flaw), (1, Flaw::Chain));
    }

    #[test]
    fn time_never_goes_back_with_the_clock() {
        let first = next_hlc(0, 5_000);
        let second = next_hlc(first, 4_000);
        assert!(second > first);
        assert_eq!((wall_ms(second), wall_ms(next_hlc(second, 6_000))), (5_000, 6_000));
    }

    #[test]
    fn a_log_id_reads_what_it_writes() {
        let id = LogId([0xa7; 16]);
        assert_eq!(LogId::parse(&id.to_string()), Some(id));
        for bad in ["", "zz", "+a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a"] {
            assert_eq!(LogId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        bolero::check!().for_each(|input: &[u8]| {
            let (bodies, _) = read(start(0), input);
            assert!(bodies.is_empty(), "random bytes passed as a frame");
            // With a right checksum the fuzzer gets past the first gate.
            let mut mended = input.to_vec();
            if let Some(head) = FrameHead::read(input).filter(FrameHead::len_is_possible)
                && let Some(rest) = input.get(8..head.len as usize)
            {
                let crc = start(0).crc(head.len, rest);
                mended[4..8].copy_from_slice(&crc.to_le_bytes());
                let _ = read(start(0), &mended);
            }
        });
    }
}
