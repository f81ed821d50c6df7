//! The keys file of earlier versions moves into the store, once.
//!
//! All its keys go in with one transaction, and then the file gets another name. A crash between the two leaves both:
//! the next one to open the store finds the keys there already and only renames. Nobody changes a stored key before
//! that, as everybody who changes one comes through here first.

use crate::base::error::{Error, Kind, Result};
use crate::config::file::Key;
use crate::config::keys_file::KeysFile;
use crate::config::objects::Stored as _;
use crate::config::state::StateDir;
use crate::rt::disk;
use crate::store::objects::{Expected, Outcome};
use crate::store::{Store, Transaction, objects};
use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::PathBuf;

/// Moves the keys file into the store, where there is one.
///
/// # Errors
/// Where the file is wrong, or says something else of a key than the store; then nothing was moved.
pub(super) fn take_over(state: &StateDir, store: &mut Store) -> Result<()> {
    let file = state.keys_file();
    if fs::symlink_metadata(&file).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(());
    }
    // Earlier versions change the file under this lock.
    let lock_path = state.path().join("keys.lock");
    let lock = disk::open_private(&lock_path, OpenOptions::new().create(true).truncate(false))
        .and_then(|lock| lock.lock().map(|()| lock));
    let _lock = lock.map_err(|error| disk::at(&lock_path, error))?;
    let moved = store.change(|change| insert_all(state, change))?;
    if let Some(count) = moved {
        set_aside(state)?;
        tracing::info!("{}: {count} keys have moved into the store", file.display());
    }
    Ok(())
}

/// How many keys the file holds, all of them in the store; nothing where the file has gone meanwhile.
fn insert_all(state: &StateDir, change: &Transaction<'_>) -> Result<Option<usize>> {
    let Some(document) = state.keys_file_document()? else { return Ok(None) };
    let wrong = |what: String| Error::new(Kind::Config, format!("{}: {what}", document.name));
    let (file, faults) = KeysFile::read(&document);
    if let Some(fault) = faults.first() {
        return Err(wrong(format!("{}; see `tollgate check`", fault.message)));
    }
    let mut seen = HashSet::new();
    for key in &file.keys {
        if !seen.insert(&key.id) {
            return Err(wrong(format!("two keys have the id `{:.40}`: remove one of them", key.id)));
        }
        let body = serde_json::to_string(key).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        let found = objects::put(change, Key::KIND, &key.id, &body, Expected::Absent)?;
        if found != Outcome::Done(1) && objects::get(change, Key::KIND, &key.id)?.is_none_or(|known| known.body != body)
        {
            let what = format!("key `{}` is also in the store, and differs: remove it here", key.id);
            return Err(wrong(what));
        }
    }
    Ok(Some(file.keys.len()))
}

/// Renames the file; one that was set aside before stays.
fn set_aside(state: &StateDir) -> Result<()> {
    let file = state.keys_file();
    let name = |tail: &str| {
        let mut name = file.clone().into_os_string();
        name.push(tail);
        PathBuf::from(name)
    };
    let names = std::iter::once(name(".imported")).chain((2_u32..).map(|at| name(&format!(".imported-{at}"))));
    let free = names.into_iter().find(|name| !name.exists()).unwrap_or_else(|| name(".imported"));
    match fs::rename(&file, free) {
        // Another program was faster.
        Err(error) if error.kind() != ErrorKind::NotFound => Err(disk::at(&file, error)),
        _ => disk::sync_dir(state.path()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(file: &str) -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().expect("dir");
        let state = StateDir::new(dir.path());
        fs::write(state.keys_file(), file).expect("write");
        (dir, state)
    }

    fn key(id: &str) -> String {
        format!("[[keys]]\nid = \"{id}\"\nname = \"n\"\nmac = \"{}\"\nallow = [\"a/*\"]\n", "a0".repeat(32))
    }

    fn ids(state: &StateDir) -> Vec<String> {
        let store = state.look().expect("look").expect("there");
        let keys = store.read(|store| objects::list(store, Key::KIND, "", 100)).expect("keys");
        keys.into_iter().map(|key| key.name).collect()
    }

    #[test]
    fn the_keys_move_once_and_the_file_is_kept_beside() {
        let (_dir, state) = state(&(key("a") + &key("b")));
        drop(state.store().expect("store"));
        assert_eq!(ids(&state), ["a", "b"]);
        assert!(!state.keys_file().exists() && state.path().join("keys.toml.imported").exists());
        fs::write(state.keys_file(), key("c")).expect("write");
        drop(state.store().expect("an older version ran meanwhile"));
        assert_eq!(ids(&state), ["a", "b", "c"]);
        let kept = fs::read_to_string(state.path().join("keys.toml.imported")).expect("kept");
        assert_eq!(kept, key("a") + &key("b"), "what was set aside before stays");
        assert!(state.path().join("keys.toml.imported-2").exists());
    }

    /// What a crash leaves at each step, made by hand; `tests/e2e/store.rs` kills real ones.
    #[test]
    fn a_take_over_that_was_cut_short_is_ended_by_the_next() {
        let (_dir, state) = state(&(key("a") + &key("b")));
        fs::write(state.path().join(".store.db.0123.new"), "half a store").expect("a store that was never whole");
        drop(Store::open(state.path()).expect("a store without the keys"));
        let mut store = Store::open(state.path()).expect("store");
        store.change(|change| insert_all(&state, change)).expect("in, and the file is still there");
        drop(store);
        drop(state.store().expect("ended"));
        assert_eq!(ids(&state), ["a", "b"]);
        assert!(!state.keys_file().exists());
    }

    #[test]
    fn a_wrong_file_moves_nothing() {
        for (text, words) in [
            ("keys = 1".to_owned(), "see `tollgate check`"),
            (key("a") + &key("a"), "two keys have the id `a`"),
            (key("b") + &key("a").replace("\"n\"", "\"other\""), "key `a` is also in the store"),
        ] {
            let (_dir, state) = state(&key("a"));
            drop(state.store().expect("store"));
            fs::write(state.keys_file(), &text).expect("write");
            let error = state.store().expect_err("wrong");
            assert!(error.kind == Kind::Config && error.context.contains(words), "{error}");
            assert_eq!(fs::read_to_string(state.keys_file()).expect("kept"), text);
            assert_eq!(ids(&state), ["a"]);
        }
    }
}
