//! The state directory: the store with the keys made by the command line, the pepper they are hashed with, the pid
//! file, and the last good tool lists. Files are replaced whole, readable by their owner only.

use crate::base::error::{Error, Kind, Result};
pub use crate::base::hex::{hex, unhex};
use crate::base::limits;
use crate::config::document::Document;
use crate::config::takeover::take_over;
use crate::rt::disk::{self, make_dir, replace, replace_passing, sync_dir};
use crate::rt::{file, random};
use crate::store::Store;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Bytes of the pepper.
pub const PEPPER_LEN: usize = 32;

/// The state directory of one gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The directory at `path`; nothing is made yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where earlier versions kept the keys made by `tollgate key new`.
    pub fn keys_file(&self) -> PathBuf {
        self.0.join("keys.toml")
    }

    /// The pepper that secrets are hashed with.
    pub fn pepper_file(&self) -> PathBuf {
        self.0.join("pepper")
    }

    /// The pid of the gate that runs on this directory.
    pub fn pid_file(&self) -> PathBuf {
        self.0.join("tollgate.pid")
    }

    /// The socket of the admin API of the gate that runs on this directory.
    pub fn admin_socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }

    /// The last good tool lists, one file a server.
    pub fn lists_dir(&self) -> PathBuf {
        self.0.join("lists")
    }

    /// The file of one server's last good tool list. Server names hold nothing that a path gives a meaning.
    pub fn list_file(&self, server: &str) -> PathBuf {
        self.lists_dir().join(format!("{server}.json"))
    }

    /// The journal's directory unless the configuration names another.
    pub fn journal_dir(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// Makes the directory and its parents, for its owner only.
    ///
    /// # Errors
    /// `Kind::Io` with the path where it cannot be made.
    pub fn create(&self) -> Result<()> {
        make_dir(&self.0)?;
        make_dir(&self.lists_dir())
    }

    /// The pepper; made at first use.
    ///
    /// # Errors
    /// `Kind::Config` where others can read it or it is not 64 hex digits; `Kind::Io` where it cannot be read or made.
    pub fn pepper(&self) -> Result<[u8; PEPPER_LEN]> {
        let path = self.pepper_file();
        match disk::read(&path) {
            Ok(text) => {
                refuse_open(&path)?;
                unhex(text.trim())
                    .ok_or_else(|| bad(&path, "is not 64 hex digits; restore it, or delete it and make new keys"))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.make_pepper(),
            Err(error) => Err(Error::from(error).at(&path.display().to_string())),
        }
    }

    fn make_pepper(&self) -> Result<[u8; PEPPER_LEN]> {
        self.create()?;
        let mut pepper = [0; PEPPER_LEN];
        random::fill(&mut pepper);
        let path = self.pepper_file();
        // `create_new`: of two processes that start together, one makes it and the other reads it.
        match disk::open_private(&path, OpenOptions::new().create_new(true)) {
            Ok(mut file) => {
                let written = file.write_all(format!("{}\n", hex(&pepper)).as_bytes()).and_then(|()| file.sync_all());
                written.map_err(|error| Error::from(error).at(&path.display().to_string()))?;
                sync_dir(&self.0)?;
                Ok(pepper)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.pepper(),
            Err(error) => Err(Error::from(error).at(&path.display().to_string())),
        }
    }

    /// The store, to read and to change; made where there is none. Keys that an earlier version kept move into it.
    ///
    /// # Errors
    /// As [`Store::open`], and `Kind::Config` where those keys cannot be moved.
    pub fn store(&self) -> Result<Store> {
        self.create()?;
        let mut store = Store::open(&self.0)?;
        take_over(self, &mut store)?;
        Ok(store)
    }

    /// The store, to read; nothing is made, and there is none where nobody has made it.
    ///
    /// # Errors
    /// As [`Store::look`].
    pub fn look(&self) -> Result<Option<Store>> {
        Store::look(&self.0)
    }

    /// The keys file of earlier versions, where there is one still.
    ///
    /// # Errors
    /// `Kind::Io` where it cannot be read.
    pub fn keys_file_document(&self) -> Result<Option<Document>> {
        let path = self.keys_file();
        match disk::read_at_most(&path, limits::KEYS_FILE_BYTES_MAX) {
            Ok(text) => Ok(Some(Document::parse(&path.display().to_string(), text))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk::at(&path, error)),
        }
    }

    /// Takes the directory for one gate, as long as what comes back is kept.
    ///
    /// # Errors
    /// `Kind::Config` where another gate runs on it; `Kind::Io` where it cannot be taken.
    pub fn hold(&self) -> Result<File> {
        // A command that changes what is switched off looks for a gate at the same time.
        let _lock = self.lock_switches()?;
        let what = "is the state of another gate that runs; stop it, or name another `state.directory`";
        self.take_gate_lock()?.ok_or_else(|| bad(&self.0, what))
    }

    /// Takes the lock of a running gate; nothing where one has it.
    pub(super) fn take_gate_lock(&self) -> Result<Option<File>> {
        let path = self.0.join("gate.lock");
        let in_place = |error: std::io::Error| Error::from(error).at(&path.display().to_string());
        let lock = disk::open_private(&path, OpenOptions::new().create(true).truncate(false)).map_err(in_place)?;
        match file::lock(&lock) {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(in_place(error)),
        }
    }

    /// Writes this process's pid.
    ///
    /// # Errors
    /// `Kind::Io` where it cannot be written.
    pub fn write_pid(&self) -> Result<()> {
        replace_passing(&self.pid_file(), format!("{}\n", std::process::id()).as_bytes())
    }

    /// Removes the pid file if it is this process's.
    pub fn remove_pid(&self) {
        if self.running() == Some(std::process::id()) {
            let _ = fs::remove_file(self.pid_file());
        }
    }

    /// The pid of the gate that runs on this directory, if one does.
    pub fn running(&self) -> Option<u32> {
        let pid = fs::read_to_string(self.pid_file()).ok()?.trim().parse::<u32>().ok()?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        // A pid is reused after its process has gone; only a process that carries our name counts.
        (pid > 0 && name.trim_end().starts_with("tollgate")).then_some(pid)
    }

    /// Writes one server's last good list.
    ///
    /// # Errors
    /// `Kind::Io` where it cannot be written.
    pub fn write_list(&self, server: &str, json: &[u8]) -> Result<()> {
        make_dir(&self.lists_dir())?;
        replace(&self.list_file(server), json)
    }

    /// One server's last good list as written; nothing where there is none.
    ///
    /// # Errors
    /// `Kind::Io` where it is there and cannot be read.
    pub fn read_list(&self, server: &str) -> Result<Option<Vec<u8>>> {
        let path = self.list_file(server);
        match fs::read(&path) {
            Ok(json) => Ok(Some(json)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::from(error).at(&path.display().to_string())),
        }
    }
}

/// Refuses a file that others can read.
pub(super) fn refuse_open(path: &Path) -> Result<()> {
    let meta = fs::metadata(path).map_err(|error| Error::from(error).at(&path.display().to_string()))?;
    match meta.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => Err(bad(
            path,
            "can be read by others; run `chmod 600` on it, and renew what it holds if others used this machine",
        )),
    }
}

fn bad(path: &Path, what: &str) -> Error {
    Error::new(Kind::Config, format!("{} {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    fn state() -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().expect("dir");
        let state = StateDir::new(dir.path().join("a/state"));
        (dir, state)
    }

    #[test]
    fn the_pepper_is_made_once_and_for_the_owner_only() {
        let (_dir, state) = state();
        let pepper = state.pepper().expect("made");
        assert_eq!(state.pepper().expect("read"), pepper);
        let mode = |mode| fs::set_permissions(state.pepper_file(), fs::Permissions::from_mode(mode)).expect("mode");
        assert_eq!(fs::metadata(state.pepper_file()).expect("meta").mode() & 0o777, 0o600);
        mode(0o644);
        assert!(state.pepper().expect_err("open").context.contains("chmod 600"));
        mode(0o600);
        fs::write(state.pepper_file(), "short").expect("write");
        assert_eq!(state.pepper().expect_err("short").kind, Kind::Config);
    }

    #[test]
    fn a_foreign_pid_does_not_count() {
        let (_dir, state) = state();
        state.create().expect("create");
        assert_eq!(state.running(), None);
        for text in ["1\n", "0", "-1", "junk", "999999999"] {
            fs::write(state.pid_file(), text).expect("write");
            assert_eq!(state.running(), None, "{text}");
        }
        state.write_pid().expect("pid");
        let own = fs::read_to_string("/proc/self/comm").expect("comm");
        assert_eq!(state.running().is_some(), own.starts_with("tollgate"));
    }
}
