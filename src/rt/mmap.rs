//! Mapped files: a small writable one that outlives the process (on tmpfs), and read-only ones.
#![allow(unsafe_code, reason = "memory that other processes may see")]

use super::sys;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

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
    #[should_panic(expected = "outside a map")]
    fn a_write_beyond_the_end_is_caught() {
        let dir = tempfile::tempdir().unwrap();
        SharedMap::create(dir.path().join("ring"), 64).unwrap().write(60, b"12345");
    }
}
