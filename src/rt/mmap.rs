//! Mapped files: a small writable one that outlives the process (on tmpfs), and read-only ones.
#![allow(unsafe_code, reason = "memory that other processes may see")]

use super::sys;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that a processor fetches at once.
#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;
/// Rights of a mapped file we make: the gate's user alone.
const MODE: u32 = 0o600;

/// A writable map of a file, shared with whoever maps it too. What is written survives the process, not the machine
/// (on tmpfs) and not a crash of the kernel (anywhere).
///
/// All its memory is allocated when it is made: a later write cannot fail for lack of room (which would be SIGBUS).
/// No reference into it is ever given out, because another process may read or write at any time.
#[derive(Debug)]
pub struct SharedMap {
    map: memmap2::MmapRaw,
    _file: File,
}

impl SharedMap {
    /// Makes a file of `len` zero bytes, which must not exist yet, and maps it.
    ///
    /// # Errors
    /// It exists, there is no room, or `len` is 0.
    pub fn create(path: impl AsRef<Path>, len: usize) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(MODE).open(path)?;
        sys::allocate(&file, len as u64)?;
        Self::map(file, len)
    }

    /// Maps a file that is there, whole.
    ///
    /// # Errors
    /// It is missing, empty or not ours.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if len > 0 {
            // A hole would be SIGBUS at a full file system.
            sys::allocate(&file, len as u64)?;
        }
        Self::map(file, len)
    }

    fn map(file: File, len: usize) -> io::Result<Self> {
        if len == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an empty file cannot be mapped"));
        }
        let map = memmap2::MmapOptions::new().len(len).map_raw(&file)?;
        Ok(Self { map, _file: file })
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Never: an empty file cannot be mapped.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// A pointer to `len` bytes at `at`.
    fn place(&self, at: usize, len: usize) -> *mut u8 {
        let end = crate::invariant!(at.checked_add(len), "positions in a map do not overflow");
        assert!(end <= self.len(), "{at}+{len} lies outside a map of {}", self.len());
        self.map.as_mut_ptr().wrapping_add(at)
    }

    /// Copies bytes in.
    ///
    /// # Panics
    /// Outside the map.
    pub fn write(&self, at: usize, from: &[u8]) {
        let to = self.place(at, from.len());
        // SAFETY: `place` checked the bounds of a live map; `from` cannot overlap it, as no slice of it exists.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
    }

    /// Copies bytes out. A writer at the same moment can tear them: check what was read.
    ///
    /// # Panics
    /// Outside the map.
    pub fn read(&self, at: usize, into: &mut [u8]) {
        let from = self.place(at, into.len());
        // SAFETY: as in `write`.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) }
    }

    /// Tells the processor that `len` bytes at `at` are written soon, so that it has them at hand by then. Does nothing
    /// where the compiler knows no way to say so.
    ///
    /// # Panics
    /// Outside the map.
    pub fn expect_write(&self, at: usize, len: usize) {
        let start = self.place(at, len);
        #[cfg(target_arch = "x86_64")]
        for offset in (0..len).step_by(CACHE_LINE) {
            // SAFETY: it reads nothing that a program could see, and every address of it lies in a live map.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset).cast::<i8>()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = start;
    }

    /// The 8 bytes at `at` as an atomic number in the machine's byte order, for positions that say what is complete.
    ///
    /// # Panics
    /// Outside the map, or `at` is no multiple of 8.
    pub fn word(&self, at: usize) -> Word<'_> {
        assert!(at.is_multiple_of(8), "{at} is not aligned");
        // SAFETY: in bounds (`place`), aligned (maps start at a page), alive as long as the borrow.
        Word(unsafe { AtomicU64::from_ptr(self.place(at, 8).cast()) })
    }
}

/// One atomic number in a [`SharedMap`].
#[derive(Debug)]
pub struct Word<'a>(&'a AtomicU64);

impl Word<'_> {
    /// Reads it; everything written before the matching [`Word::set`] is then visible.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Writes it, after everything written before.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }
}

/// A read-only map of a file that nobody writes any more (a sealed segment).
#[derive(Debug)]
pub struct ReadMap(memmap2::Mmap);

impl ReadMap {
    /// Maps a file whole.
    ///
    /// # Errors
    /// It is missing or not readable. An empty file is an empty map.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the gate only maps segments it has sealed; one that is cut while mapped ends a command that reads
        // logs with SIGBUS, never the serving process.
        unsafe { memmap2::Mmap::map(&file) }.map(Self)
    }

    /// All its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_seen_by_other_maps_and_outlives_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        let first = SharedMap::create(&path, 4096).unwrap();
        assert!(SharedMap::create(&path, 4096).is_err());
        first.write(100, b"record");
        first.word(8).set(106);
        let second = SharedMap::open(&path).unwrap();
        drop(first);
        let mut got = [0; 6];
        second.read(100, &mut got);
        assert_eq!((&got, second.word(8).get(), second.len()), (b"record", 106, 4096));
        assert_eq!(&ReadMap::open(&path).unwrap().bytes()[100..106], b"record");
    }

    #[test]
    fn empty_and_missing_files_are_errors_not_signals() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none");
        assert!(SharedMap::open(&path).is_err());
        assert!(SharedMap::create(dir.path().join("empty"), 0).is_err());
        std::fs::write(&path, b"").unwrap();
        assert!(SharedMap::open(&path).is_err());
        assert_eq!(ReadMap::open(&path).unwrap().bytes(), b"");
    }

    #[test]
    fn an_expected_write_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let map = SharedMap::create(dir.path().join("ring"), 4096).unwrap();
        map.write(4000, b"record");
        map.expect_write(3900, 196);
        map.expect_write(4096, 0);
        let mut got = [0; 6];
        map.read(4000, &mut got);
        assert_eq!(&got, b"record");
    }

    #[test]
    #[should_panic(expected = "outside a map")]
    fn an_expected_write_beyond_the_end_is_caught() {
        let dir = tempfile::tempdir().unwrap();
        SharedMap::create(dir.path().join("ring"), 64).unwrap().expect_write(60, 5);
    }

    #[test]
    #[should_panic(expected = "outside a map")]
    fn a_write_beyond_the_end_is_caught() {
        let dir = tempfile::tempdir().unwrap();
        SharedMap::create(dir.path().join("ring"), 64).unwrap().write(60, b"12345");
    }
}
