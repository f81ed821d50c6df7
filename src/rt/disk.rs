//! Small files, read with a bound and replaced whole: a reader sees the old or the new one, also after a crash.

use crate::base::error::{Error, Result};
use crate::base::limits;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Replaces a file whole; only its owner may read it. If the superuser replaces it, it belongs to the owner of its
/// directory: root may run `tollgate key new` for a gate that runs as another user.
///
/// # Errors
/// `Kind::Io` with the path.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let directory = directory_of(path);
    let owner = fs::metadata(directory).map_err(|error| at(path, error))?;
    swap(path, content, |file| {
        give(file, &owner)?;
        file.sync_all()
    })?;
    sync_dir(directory)
}

/// As [`replace`], without waiting for the disk: for what means nothing once the machine has stopped.
///
/// # Errors
/// `Kind::Io` with the path.
pub fn replace_passing(path: &Path, content: &[u8]) -> Result<()> {
    let owner = fs::metadata(directory_of(path)).map_err(|error| at(path, error))?;
    swap(path, content, |file| give(file, &owner))
}

/// Replaces a file whole; owner and rights stay as they are.
///
/// # Errors
/// `Kind::Io` with the path.
pub fn rewrite(path: &Path, content: &[u8]) -> Result<()> {
    let old = fs::metadata(path).map_err(|error| at(path, error))?;
    swap(path, content, |file| {
        file.set_permissions(Permissions::from_mode(old.mode() & 0o777))?;
        give(file, &old)?;
        file.sync_all()
    })?;
    sync_dir(directory_of(path))
}

fn swap(path: &Path, content: &[u8], prepare: impl FnOnce(&File) -> std::io::Result<()>) -> Result<()> {
    let directory = directory_of(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.{}.new", std::process::id()));
    let written = write_new(&temporary, content).and_then(|file| prepare(&file));
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        let _ = fs::remove_file(&temporary);
        return Err(at(path, error));
    }
    Ok(())
}

/// The directory a file stands in; a bare name stands in the working directory.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

fn write_new(path: &PathBuf, content: &[u8]) -> std::io::Result<File> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    Ok(file)
}

/// Gives a file of the superuser's to the owner of another; anybody else's stays.
fn give(file: &File, to: &Metadata) -> std::io::Result<()> {
    let own = file.metadata()?;
    if own.uid() != 0 || (own.uid(), own.gid()) == (to.uid(), to.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(to.uid()), Some(to.gid()))
}

/// Opens a file for writing that its owner alone may read, making it where it is not there. It belongs to the owner of
/// its directory, as in [`replace`].
pub(crate) fn open_private(path: &Path, how: &mut OpenOptions) -> std::io::Result<File> {
    let file = how.write(true).mode(0o600).open(path)?;
    give(&file, &fs::metadata(directory_of(path))?)?;
    Ok(file)
}

/// Makes what was done in a directory survive a crash.
pub(crate) fn sync_dir(directory: &Path) -> Result<()> {
    File::open(directory).and_then(|dir| dir.sync_all()).map_err(|error| at(directory, error))
}

/// Makes a directory and its parents, for its owner only: whom the directory it stands in belongs to.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    let given = made.and_then(|()| give(&File::open(path)?, &fs::metadata(directory_of(path))?));
    given.map_err(|error| at(path, error))
}

/// Reads a text file no longer than a configuration may be.
///
/// # Errors
/// As the file system says; `InvalidData` where it is longer or not UTF-8.
pub fn read(path: &Path) -> std::io::Result<String> {
    read_at_most(path, limits::CONFIG_BYTES_MAX)
}

/// Reads a text file no longer than `max` bytes.
///
/// # Errors
/// As the file system says; `InvalidData` where it is longer or not UTF-8.
pub(crate) fn read_at_most(path: &Path, max: u64) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max {
        return Err(std::io::Error::new(ErrorKind::InvalidData, format!("longer than {max} bytes")));
    }
    Ok(text)
}

/// Whether every user of the machine can read a file.
pub(crate) fn is_world_readable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o004 != 0)
}

/// An error with its path in front.
pub(crate) fn at(path: &Path, error: std::io::Error) -> Error {
    Error::from(error).at(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewritten_file_keeps_its_rights_and_a_replaced_one_is_private() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("f");
        fs::write(&path, "old").expect("write");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("mode");
        let mode = || fs::metadata(&path).expect("meta").mode() & 0o777;
        rewrite(&path, b"new").expect("rewrite");
        assert_eq!((read(&path).expect("read").as_str(), mode()), ("new", 0o640));
        replace(&path, b"newer").expect("replace");
        assert_eq!((read(&path).expect("read").as_str(), mode()), ("newer", 0o600));
        assert!(rewrite(&dir.path().join("absent"), b"").is_err());
        assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 1, "a temporary file is left");
    }

    #[test]
    fn what_root_makes_belongs_to_the_owner_of_the_directory() {
        let dir = tempfile::tempdir().expect("dir");
        if std::os::unix::fs::chown(dir.path(), Some(4242), Some(4242)).is_err() {
            return; // Only root can give files away, and only root needs to.
        }
        make_dir(&dir.path().join("d")).expect("directory");
        replace(&dir.path().join("r"), b"x").expect("replace");
        open_private(&dir.path().join("p"), OpenOptions::new().create(true).truncate(true)).expect("open");
        for name in ["d", "r", "p"] {
            assert_eq!(fs::metadata(dir.path().join(name)).expect("meta").uid(), 4242, "{name}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("f");
        let file = File::create(&path).expect("file");
        file.set_len(limits::CONFIG_BYTES_MAX + 1).expect("len");
        assert_eq!(read(&path).expect_err("long").kind(), ErrorKind::InvalidData);
    }
}
