//! Rank 3: what must survive a restart beside the journal, in one SQLite file of the state directory.
//!
//! Writers take turns, and wait for each other up to [`STORE_BUSY_MS`]; readers see one state and wait for nobody.
//! Each change is on the disk before it is answered. Nothing here ever deletes or replaces a store that is there: what
//! cannot be read is an error that says what to do. SQL is kept to what PostgreSQL understands too.

pub mod approvals;
pub mod ledger;
mod migrate;
pub mod objects;

use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::limits::{STORE_BUSY_CONTROL_MS, STORE_BUSY_MS};
use crate::rt::{disk, random};
pub use rusqlite::{Connection, Transaction};
use rusqlite::{ErrorCode, OpenFlags, TransactionBehavior};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the store's file.
pub const STORE_FILE: &str = "store.db";
/// Marks a file as ours, in SQLite's header: `toll`.
const APPLICATION_ID: i64 = 0x746f_6c6c;

/// What is said of a file that lacks the mark.
const NOT_OURS: &str = "is not a store of Tollgate, or damaged: restore it from a backup, or name another \
                        `state.directory`";

/// An open store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the store of a state directory to read and to change; makes it where there is none, and brings an older
    /// one's schema up to date.
    ///
    /// # Errors
    /// `Kind::Config` where the file is damaged, foreign or of a newer schema; `Kind::Overloaded` where another
    /// program holds it for too long; `Kind::Io` where it cannot be opened.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(STORE_FILE);
        if !exists(&path)? {
            make(directory, &path).map_err(|error| error.at(&path.display().to_string()))?;
        }
        let mut store = Self::attach(path, STORE_BUSY_MS)?;
        migrate::migrate(&mut store.connection).map_err(|error| store.placed(error))?;
        Ok(store)
    }

    /// Opens the store to read, and makes nothing: none where there is none.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn look(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(STORE_FILE);
        if exists(&path)? { Self::attach(path, STORE_BUSY_MS).map(Some) } else { Ok(None) }
    }

    /// Opens a store that is there, to read and to change, for one who may not wait long: it makes none and leaves the
    /// schema alone.
    ///
    /// # Errors
    /// As [`Self::open`], and `Kind::Io` where there is none.
    pub fn hurried(directory: &Path) -> Result<Self> {
        Self::attach(directory.join(STORE_FILE), STORE_BUSY_CONTROL_MS)
    }

    /// The file itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads one state of the store, whatever others change meanwhile.
    ///
    /// # Errors
    /// As the store says, and as `read` says.
    pub fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let transaction = self.connection.unchecked_transaction().map_err(|error| self.placed(error.into()))?;
        read(&transaction)
    }

    /// Changes the store in one transaction: all of it, on the disk, or nothing.
    ///
    /// # Errors
    /// As the store says, and as `change` says; then nothing was changed.
    pub fn change<T>(&mut self, change: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let path = self.path.display().to_string();
        let placed = |error: rusqlite::Error| Error::from(error).at(&path);
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(placed)?;
        let out = change(&transaction)?;
        transaction.commit().map_err(placed)?;
        Ok(out)
    }

    /// Opens a file that is there, and looks whether it is a store that this program understands.
    fn attach(path: PathBuf, busy_ms: u64) -> Result<Self> {
        let placed = |error: Error| error.at(&path.display().to_string());
        // SQLite says of a file it may not read only that it cannot be opened, and takes an empty one for a new one.
        let length = File::open(&path).and_then(|file| file.metadata()).map_err(|error| placed(error.into()))?.len();
        if length == 0 {
            return Err(placed(damaged("it is empty")));
        }
        let connection = connect(&path, busy_ms).and_then(|connection| {
            let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
            if application != APPLICATION_ID {
                return Err(Error::new(Kind::Config, NOT_OURS));
            }
            migrate::refuse_newer(&connection)?;
            Ok(connection)
        });
        Ok(Self { connection: connection.map_err(placed)?, path })
    }

    fn placed(&self, error: Error) -> Error {
        error.at(&self.path.display().to_string())
    }
}

/// Whether there is a file; where that cannot be told, it is not taken for absent.
fn exists(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(disk::at(path, error)),
    }
}

/// Makes a store under another name and gives it its own once it is whole: a crash leaves none or a good one, and of
/// two programs at once the first one's stays.
fn make(directory: &Path, path: &Path) -> Result<()> {
    let mut unique = [0; 8];
    random::fill(&mut unique);
    let temporary = directory.join(format!(".{STORE_FILE}.{:016x}.new", u64::from_ne_bytes(unique)));
    let filled = fill(&temporary).and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    });
    for tail in ["", "-wal", "-shm"] {
        let mut name = temporary.clone().into_os_string();
        name.push(tail);
        let _ = fs::remove_file(name);
    }
    filled?;
    disk::sync_dir(directory)
}

fn fill(temporary: &Path) -> Result<()> {
    // The file belongs to the owner of its directory, and so do those that SQLite lays beside it.
    drop(disk::open_private(temporary, OpenOptions::new().create_new(true))?);
    let mut connection = connect(temporary, STORE_BUSY_MS)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    let _: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    migrate::migrate(&mut connection)?;
    // The last to close the file leaves all of it in the file itself.
    connection.close().map_err(|(_, error)| error)?;
    Ok(File::open(temporary)?.sync_all()?)
}

/// A connection to a file that is there. Also a look may write: whoever comes first after a crash mends the file.
fn connect(path: &Path, busy_ms: u64) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(busy_ms))?;
    for (name, value) in [("synchronous", "full"), ("foreign_keys", "on"), ("trusted_schema", "off")] {
        connection.pragma_update(None, name, value)?;
    }
    Ok(connection)
}

fn damaged(why: &str) -> Error {
    let what = format!("is damaged ({why}): stop the gate, keep a copy of the file, and restore it from a backup");
    Error::new(Kind::Config, what)
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        match code {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                let what = "the store is locked by another program: try again, or end what holds it";
                Self::new(Kind::Overloaded, what).retry(Retry::Safe)
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(&error.to_string()),
            Some(ErrorCode::DiskFull) => Self::new(Kind::Io, "the disk is full: nothing was changed; make room"),
            Some(
                ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied,
            ) => Self::new(Kind::Io, format!("cannot be read or written ({error}); run as the gate's user")),
            _ => Self::new(Kind::Internal, format!("the store does not do as it should: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::objects::{Expected, get, put};
    use std::os::unix::fs::MetadataExt as _;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("dir");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_store_is_made_whole_and_a_look_makes_none() {
        let dir = tempfile::tempdir().expect("dir");
        assert!(Store::look(dir.path()).expect("look").is_none());
        assert_eq!(names(dir.path()), [""; 0]);
        drop(Store::open(dir.path()).expect("store"));
        assert_eq!(names(dir.path()), [STORE_FILE]);
        let file = fs::metadata(dir.path().join(STORE_FILE)).expect("meta");
        assert_eq!(file.mode() & 0o777, 0o600);
        let store = Store::look(dir.path()).expect("look").expect("there");
        let mode: String = store.connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("mode");
        assert_eq!(mode, "wal");
    }

    #[test]
    fn what_is_no_store_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join(STORE_FILE);
        for (content, words) in
            [(&b""[..], "is damaged (it is empty)"), (&[0x5a; 8192], "is damaged"), (b"SQLite format 3\0", "damaged")]
        {
            fs::write(&path, content).expect("write");
            for error in [Store::open(dir.path()).map(drop), Store::look(dir.path()).map(drop)] {
                let error = error.expect_err("no store");
                assert_eq!(error.kind, Kind::Config, "{error}");
                assert!(error.context.contains(words) && error.context.contains(STORE_FILE), "{error}");
            }
            assert_eq!(fs::read(&path).expect("read"), content);
        }
        fs::remove_file(&path).expect("remove");
        let foreign = Connection::open(&path).expect("foreign");
        foreign.execute_batch("CREATE TABLE a (b TEXT)").expect("table");
        assert!(Store::open(dir.path()).expect_err("foreign").context.contains("is not a store of Tollgate"));
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().expect("dir");
        let store = Store::open(dir.path()).expect("store");
        store.connection.pragma_update(None, "user_version", 4_000).expect("set");
        for error in [Store::open(dir.path()).map(drop), Store::look(dir.path()).map(drop)] {
            let error = error.expect_err("newer");
            assert!(error.kind == Kind::Config && error.context.contains("has schema 4000"), "{error}");
        }
    }

    #[test]
    fn a_change_that_fails_changes_nothing() {
        let dir = tempfile::tempdir().expect("dir");
        let mut store = Store::open(dir.path()).expect("store");
        let failed: Result<()> = store.change(|tx| {
            put(tx, "team", "a", "{}", Expected::Absent)?;
            Err(Error::new(Kind::Config, "no"))
        });
        assert_eq!(failed.expect_err("failed").context, "no");
        assert_eq!(store.read(|tx| get(tx, "team", "a")), Ok(None));
    }

    #[test]
    fn a_store_that_another_holds_is_said_to_be_locked() {
        let dir = tempfile::tempdir().expect("dir");
        let mut holder = Store::open(dir.path()).expect("store");
        let mut waiter = Store::hurried(dir.path()).expect("store");
        let held = holder.change(|tx| {
            put(tx, "team", "a", "{}", Expected::Absent)?;
            let error = waiter.change(|tx| put(tx, "team", "b", "{}", Expected::Absent)).expect_err("locked");
            assert_eq!((error.kind, error.retry), (Kind::Overloaded, Retry::Safe));
            assert_eq!(waiter.read(|tx| get(tx, "team", "a")), Ok(None), "a reader waits for nobody");
            Ok(())
        });
        held.expect("held");
    }

    #[test]
    fn programs_that_start_at_once_make_one_store() {
        let dir = tempfile::tempdir().expect("dir");
        let add = |at: usize| {
            let mut store = Store::open(dir.path())?;
            store.change(|tx| put(tx, "team", &format!("t{at}"), "{}", Expected::Absent))
        };
        std::thread::scope(|scope| {
            for at in 0..4 {
                scope.spawn(move || assert_eq!(add(at), Ok(objects::Outcome::Done(1))));
            }
        });
        let store = Store::look(dir.path()).expect("look").expect("there");
        assert_eq!(store.read(|tx| objects::count(tx, "team")), Ok(4));
    }
}
