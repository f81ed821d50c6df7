//! Files by position, with owned buffers, through the ring; slow metadata calls go to a helper thread.

use super::stream::with_room;
use super::{mode, offload, sim::SimFile, sys};
use bytes::Bytes;
use monoio::buf::IoBufMut;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Rights of a file we make: the gate's user alone.
const MODE: u32 = 0o600;

/// Tries of a lock that is held.
const LOCK_TRIES: u32 = 20;
/// Pause between two of them.
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// To read; it must exist.
    Read,
    /// To read and write, keeping what is in it; made if it is not there.
    Write,
    /// To read and write; it must not exist yet.
    New,
}

/// An open file. On io_uring reads, writes and syncs never block the thread; on epoll reads and writes do (they are
/// in the page cache most of the time) and syncs take a helper thread. In a simulation it lies on the simulated disk.
#[derive(Debug)]
pub struct File(Inner);

#[derive(Debug)]
enum Inner {
    Os(OsFile),
    Sim(SimFile),
}

#[derive(Debug)]
struct OsFile {
    ring: monoio::fs::File,
    /// The same file for the calls that go to helper threads.
    std: Arc<std::fs::File>,
}

impl File {
    /// Opens a file; ours are readable by the gate's user alone.
    ///
    /// # Errors
    /// As `open(2)`.
    pub async fn open(path: impl AsRef<Path>, how: Open) -> io::Result<Self> {
        if mode::is_sim() {
            return SimFile::open(path.as_ref(), how).map(|file| Self(Inner::Sim(file)));
        }
        let path = path.as_ref().to_owned();
        let std = offload::run(move || {
            let mut options = std::fs::OpenOptions::new();
            options.read(true).mode(MODE);
            options.write(how != Open::Read).create(how == Open::Write).create_new(how == Open::New);
            options.open(path)
        });
        Self::from_std(std.await??)
    }

    /// Takes a file that is open already. Not inside a simulation.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn from_std(std: std::fs::File) -> io::Result<Self> {
        let ring = monoio::fs::File::from_std(std.try_clone()?)?;
        Ok(Self(Inner::Os(OsFile { ring, std: Arc::new(std) })))
    }

    /// Appends bytes found at `at` to `buf`, within its spare capacity (some is reserved if there is none). `Ok(0)`
    /// is the end of the file.
    pub async fn read_at(&self, buf: Vec<u8>, at: u64) -> (io::Result<usize>, Vec<u8>) {
        let mut buf = with_room(buf);
        match &self.0 {
            Inner::Os(file) => {
                let filled = buf.len();
                let (result, spare) = file.ring.read_at(buf.slice_mut(filled..), at).await;
                (result, spare.into_inner())
            }
            Inner::Sim(file) => (file.read_at(&mut buf, at), buf),
        }
    }

    /// Writes all of `buf` at `at` and gives it back.
    pub async fn write_at(&self, buf: Vec<u8>, at: u64) -> (io::Result<()>, Vec<u8>) {
        match &self.0 {
            Inner::Os(file) => file.ring.write_all_at(buf, at).await,
            Inner::Sim(file) => (file.write_at(&buf, at), buf),
        }
    }

    /// Writes all of some shared bytes at `at`.
    ///
    /// # Errors
    /// As `pwrite(2)`; part of the bytes may have been written.
    pub async fn write_bytes_at(&self, buf: Bytes, at: u64) -> io::Result<()> {
        match &self.0 {
            Inner::Os(file) => file.ring.write_all_at(buf, at).await.0,
            Inner::Sim(file) => file.write_at(&buf, at),
        }
    }

    /// Waits until what was written is on the disk (`fdatasync`). After an error the file's state on disk is unknown
    /// for good: the kernel may have dropped the pages, and a second sync that succeeds proves nothing.
    ///
    /// # Errors
    /// As `fdatasync(2)`.
    pub async fn sync_data(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Os(file) if mode::wants_nonblocking() => {
                let std = file.std.clone();
                offload::run(move || std.sync_data()).await?
            }
            Inner::Os(file) => file.ring.sync_data().await,
            Inner::Sim(file) => file.sync(),
        }
    }

    /// Gives the file `len` bytes of disk, zeroed where new, so that later writes cannot run out of it.
    ///
    /// # Errors
    /// No room, or the file system cannot do it.
    pub async fn allocate(&self, len: u64) -> io::Result<()> {
        match &self.0 {
            Inner::Os(file) => {
                let std = file.std.clone();
                offload::run(move || sys::allocate(&std, len)).await?
            }
            Inner::Sim(file) => file.allocate(len),
        }
    }

    /// Cuts or extends the file to `len` bytes.
    ///
    /// # Errors
    /// As `ftruncate(2)`.
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        match &self.0 {
            Inner::Os(file) => {
                let std = file.std.clone();
                offload::run(move || std.set_len(len)).await?
            }
            Inner::Sim(file) => file.set_len(len),
        }
    }

    /// The file's length in bytes.
    ///
    /// # Errors
    /// As `fstat(2)`.
    pub fn len(&self) -> io::Result<u64> {
        match &self.0 {
            Inner::Os(file) => file.std.metadata().map(|meta| meta.len()),
            Inner::Sim(file) => file.len(),
        }
    }

    /// Whether the file is empty.
    ///
    /// # Errors
    /// As `fstat(2)`.
    pub fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }
}

/// Makes a file that must not exist yet, with `len` zeroed bytes of disk: for start-up and helper threads, as it
/// blocks.
///
/// # Errors
/// It exists, there is no room, or the file system cannot do it.
pub fn create_allocated(path: &Path, len: u64) -> io::Result<std::fs::File> {
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(path)?;
    sys::allocate(&file, len)?;
    Ok(file)
}

/// The first place at or behind `from` where a file may hold anything but zeros; nothing if only zeros follow. It costs
/// no reading where the file system knows what was never written, and names `from` itself where it does not. Moves the
/// file's own position: for files that are read and written by place.
///
/// # Errors
/// The file system does not tell.
pub fn next_written(file: &std::fs::File, from: u64) -> io::Result<Option<u64>> {
    sys::seek_data(file, from)
}

/// Lets what is read of a file from now on be only what was asked for. Before [`next_written`]: room that the kernel
/// has read ahead into its memory counts as written for as long as it is there.
pub fn no_read_ahead(file: &std::fs::File) {
    sys::no_read_ahead(file);
}

/// Takes a file's lock, as long as the file is open. Blocks for a moment; for start-up: a process that is being started
/// holds a copy of every open file until it runs its program, and with it the lock of a gate that has just ended.
///
/// # Errors
/// Somebody else holds it, or the file system knows no locks.
#[allow(clippy::disallowed_methods, reason = "at start, before the thread has anything else to do")]
pub fn lock(file: &std::fs::File) -> Result<(), std::fs::TryLockError> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            done => return done,
        }
    }
    file.try_lock()
}

/// Waits until the names made, changed and removed in a directory are on the disk.
///
/// # Errors
/// As `fsync(2)`.
pub async fn sync_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    if mode::is_sim() {
        SimFile::sync_dir(&path);
        return Ok(());
    }
    offload::run(move || std::fs::File::open(path)?.sync_all()).await?
}

/// Gives a file another name, replacing what had it; lasting once the directory is synced.
///
/// # Errors
/// As `rename(2)`.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    if mode::is_sim() {
        return SimFile::rename(&from, &to);
    }
    offload::run(move || std::fs::rename(from, to)).await?
}

/// Removes a file.
///
/// # Errors
/// As `unlink(2)`.
pub async fn remove(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    if mode::is_sim() {
        return SimFile::remove(&path);
    }
    offload::run(move || std::fs::remove_file(path)).await?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::shard::tests::on_each_driver;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn bytes_stay_where_they_were_put() {
        on_each_driver(|| async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a");
            let file = File::open(&path, Open::New).await.unwrap();
            file.allocate(8192).await.unwrap();
            assert_eq!(file.len().unwrap(), 8192);
            file.write_at(b"hello".to_vec(), 4096).await.0.unwrap();
            file.write_bytes_at(Bytes::from_static(b" world"), 4101).await.unwrap();
            file.sync_data().await.unwrap();
            sync_dir(dir.path()).await.unwrap();
            let (got, buf) = file.read_at(Vec::with_capacity(11), 4096).await;
            assert_eq!((got.unwrap(), &buf[..]), (11, &b"hello world"[..]));
            assert_eq!(file.read_at(Vec::new(), 8192).await.0.unwrap(), 0);
            file.set_len(0).await.unwrap();
            assert!(file.is_empty().unwrap());
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        });
    }

    #[test]
    fn opening_keeps_its_promises() {
        on_each_driver(|| async {
            let dir = tempfile::tempdir().unwrap();
            let (a, b) = (dir.path().join("a"), dir.path().join("b"));
            let kind = |result: io::Result<File>| result.unwrap_err().kind();
            assert_eq!(kind(File::open(&a, Open::Read).await), io::ErrorKind::NotFound);
            File::open(&a, Open::Write).await.unwrap().write_at(b"kept".to_vec(), 0).await.0.unwrap();
            assert_eq!(kind(File::open(&a, Open::New).await), io::ErrorKind::AlreadyExists);
            rename(&a, &b).await.unwrap();
            let read = File::open(&b, Open::Read).await.unwrap();
            assert_eq!(read.read_at(Vec::new(), 0).await.1, b"kept");
            assert!(read.write_at(b"no".to_vec(), 0).await.0.is_err());
            remove(&b).await.unwrap();
            assert_eq!(kind(File::open(&b, Open::Read).await), io::ErrorKind::NotFound);
        });
    }
}
