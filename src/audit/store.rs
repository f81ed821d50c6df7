//! The directories of a journal: made private, held by one writer at a time, with the log's identity in them.

use super::frame::LogId;
use super::ring;
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::ShardId;
use crate::rt::{file, random};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const LOG_ID: &str = "log-id";
const LOCK: &str = "lock";
/// Names the ring directory for readers.
const RING_DIR: &str = "ring-directory";

/// A journal's directories, held for writing. Whoever holds it is the only writer; dropping it lets the next one in.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    ring_dir: PathBuf,
    log: LogId,
    _locks: [File; 2],
}

impl Store {
    /// Makes what is missing of the two directories and takes them for writing.
    ///
    /// # Errors
    /// Another writer holds one of them, or they cannot be made or read.
    pub fn open(dir: &Path, ring_dir: &Path) -> Result<Self> {
        let locks = [lock(dir)?, lock(ring_dir)?];
        let log = log_id(dir).map_err(|error| failed(dir, &error))?;
        let ring_text = ring_dir.to_string_lossy();
        let place = dir.join(RING_DIR);
        // Written only where it changes: making it durable is a large part of a start.
        if !std::fs::read(&place).is_ok_and(|known| known == ring_text.as_bytes()) {
            replace(&place, ring_text.as_bytes()).map_err(|error| failed(dir, &error))?;
        }
        Ok(Self { dir: dir.to_owned(), ring_dir: ring_dir.to_owned(), log, _locks: locks })
    }

    /// The log's identity.
    pub fn log_id(&self) -> LogId {
        self.log
    }

    /// Where the segments are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of a shard's segments.
    pub(crate) fn shard_dir(&self, shard: ShardId) -> PathBuf {
        shard_dir(&self.dir, shard)
    }

    /// The path of a shard's ring.
    pub(crate) fn ring_path(&self, shard: ShardId) -> PathBuf {
        ring::path(&self.ring_dir, shard)
    }

    /// Shards that left a ring behind.
    pub(crate) fn rings(&self) -> Result<Vec<ShardId>> {
        numbered(&self.ring_dir, "ring-s")
    }
}

/// The directory of a shard's segments.
pub(crate) fn shard_dir(dir: &Path, shard: ShardId) -> PathBuf {
    dir.join(format!("s{}", shard.0))
}

/// Shards that have a directory in a journal.
pub(crate) fn shards(dir: &Path) -> Result<Vec<ShardId>> {
    numbered(dir, "s")
}

/// The identity of the log in `dir`, for readers.
pub(crate) fn read_log_id(dir: &Path) -> Result<LogId> {
    let path = dir.join(LOG_ID);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let context = format!("{}: {error}: this is no journal directory; name one with --dir", path.display());
        Error::new(Kind::Journal, context)
    })?;
    let bad = || Error::new(Kind::Journal, format!("{}: this is not 32 hexadecimal digits", path.display()));
    LogId::parse(text.trim()).ok_or_else(bad)
}

/// The ring directory that the journal's last writer used; nothing if it never had one.
pub(crate) fn read_ring_dir(dir: &Path) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let bytes = std::fs::read(dir.join(RING_DIR)).ok()?;
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

/// Numbers behind `prefix` of the names in a directory, in order.
fn numbered(dir: &Path, prefix: &str) -> Result<Vec<ShardId>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| failed(dir, &error))? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(prefix));
        found.extend(digits.and_then(|digits| digits.parse().ok()).map(ShardId));
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes a directory that only the gate's user may enter, with its parents.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn lock(dir: &Path) -> Result<File> {
    make_dir(dir).map_err(|error| failed(dir, &error))?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    let file = options.open(dir.join(LOCK)).map_err(|error| failed(dir, &error))?;
    match file::lock(&file) {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let context = format!(
                "another gate writes the journal in {}; stop it, or give this one another directory",
                dir.display()
            );
            Err(Error::new(Kind::Journal, context))
        }
        Err(TryLockError::Error(error)) => Err(failed(dir, &error)),
    }
}

fn log_id(dir: &Path) -> io::Result<LogId> {
    let path = dir.join(LOG_ID);
    match std::fs::read_to_string(&path) {
        Ok(text) => LogId::parse(text.trim()).ok_or_else(|| io::Error::other("log-id is not 32 hexadecimal digits")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => new_log_id(dir, &path),
        Err(error) => Err(error),
    }
}

/// A fresh identity; refused where segments of a lost one are.
fn new_log_id(dir: &Path, path: &Path) -> io::Result<LogId> {
    if shards(dir).is_ok_and(|shards| !shards.is_empty()) {
        return Err(io::Error::other("there are segments but no log-id; restore it, or use an empty directory"));
    }
    let mut id = LogId([0; 16]);
    random::fill(&mut id.0);
    replace(path, format!("{id}\n").as_bytes())?;
    Ok(id)
}

/// Writes a small file whole and durably, or leaves what was there.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Waits until the names in a directory are durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// An error about a journal directory.
pub(crate) fn failed(dir: &Path, error: &io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space there",
        io::ErrorKind::PermissionDenied => "let the gate's user write there",
        io::ErrorKind::ReadOnlyFilesystem => "mount it writable",
        _ => "see that the disk is well",
    };
    Error::new(Kind::Journal, format!("journal in {}: {error}; {hint}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_writer_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, ring) = (dir.path().join("a/journal"), dir.path().join("ring"));
        let first = Store::open(&journal, &ring).unwrap();
        let error = Store::open(&journal, &dir.path().join("other")).unwrap_err();
        assert_eq!(error.kind, Kind::Journal);
        assert!(error.to_string().contains("another gate"), "{error}");
        assert!(Store::open(&dir.path().join("b"), &ring).is_err(), "a shared ring directory must be refused too");
        let id = first.log_id();
        drop(first);
        assert_eq!(Store::open(&journal, &ring).unwrap().log_id(), id);
        assert_eq!((read_log_id(&journal).unwrap(), read_ring_dir(&journal)), (id, Some(ring)));
    }

    #[test]
    fn the_directories_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        let _store = Store::open(&journal, &dir.path().join("ring")).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&journal), mode(&journal.join(LOG_ID))), (0o700, 0o600));
    }

    #[test]
    fn a_lost_identity_is_not_replaced_over_segments() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("s0")).unwrap();
        let error = Store::open(dir.path(), &dir.path().join("ring")).unwrap_err();
        assert!(error.to_string().contains("no log-id"), "{error}");
        std::fs::write(dir.path().join(LOG_ID), "nonsense").unwrap();
        assert!(Store::open(dir.path(), &dir.path().join("ring")).is_err());
    }
}
