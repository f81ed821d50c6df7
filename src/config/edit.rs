//! Changes of stored objects, for the command line and the admin API alike: what is refused, and why.
//!
//! Everything is looked at before it is stored, in the transaction that stores it: the object by itself, the names it
//! uses, and who uses its name. What stands in the configuration file is changed there and nowhere else.

use crate::base::clock::WallTime;
use crate::base::error::{Error, Kind, Result};
use crate::base::limits::{KEY_NAME_MAX, KEYS_MAX, LEVELS_MAX};
use crate::config::compile::Compiled;
use crate::config::compile::keys::{Around, Home, KeyCompiler};
use crate::config::compile::levels::{self, Levels};
use crate::config::document::Document;
use crate::config::file::{Config, Customer, Key, Team};
use crate::config::keys_file::KeysFile;
use crate::config::notes::{About, Notes};
use crate::config::objects::{Objects, Stored};
pub use crate::config::refused::Refused;
use crate::config::report::Report;
use crate::config::state::StateDir;
use crate::policy::{Pepper, Token};
use crate::rt::random;
use crate::store::objects::{self, Expected, Object, Outcome};
use crate::store::{Connection, Transaction};
use std::path::Path;

/// A stored object with its place in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// Its name; a key's id.
    pub name: String,
    /// What it says.
    pub object: T,
    /// How often it was changed, from 1 on.
    pub revision: i64,
    /// When it was made.
    pub created: WallTime,
    /// When it was changed last.
    pub changed: WallTime,
}

/// How a change went.
pub type Edited<T> = std::result::Result<T, Refused>;

/// A kind of object that can be changed here.
pub trait Checked: Stored {
    /// Most of them.
    const MAX: usize;

    /// Notes what is wrong with it.
    fn check(&self, name: &str, around: (&Config, &Surroundings), notes: &mut Notes<'_>);

    /// Who uses it, in words.
    ///
    /// # Errors
    /// As the store says.
    fn users(name: &str, config: &Config, store: &Connection) -> Result<Option<String>>;
}

/// The groups of the file, and the teams and customers of the file and of the store.
#[derive(Debug)]
pub struct Surroundings(Levels);

/// Changes the stored objects of one gate.
#[derive(Clone, Copy, Debug)]
pub struct Editor<'a> {
    state: &'a StateDir,
    file: Option<(&'a Config, &'a Path)>,
}

impl<'a> Editor<'a> {
    /// An editor beside this configuration.
    pub fn new(compiled: &'a Compiled) -> Self {
        Self { state: &compiled.settings.state, file: Some((&compiled.written, &compiled.path)) }
    }

    /// An editor for a configuration file that is wrong: keys can still be revoked and deleted.
    pub fn without_file(state: &'a StateDir) -> Self {
        Self { state, file: None }
    }

    /// One stored object.
    ///
    /// # Errors
    /// As the store says; `Kind::Config` where the object does not read.
    pub fn get<T: Stored>(&self, name: &str) -> Result<Option<Entry<T>>> {
        let Some(store) = self.state.look()? else { return Ok(None) };
        store.read(|store| objects::get(store, T::KIND, name))?.map(entry).transpose()
    }

    /// Up to `max` stored objects with names after `after`, in the order of their names. One that does not read is
    /// given as closed.
    ///
    /// # Errors
    /// As the store says.
    pub fn list<T: Stored>(&self, after: &str, max: usize) -> Result<Vec<Entry<T>>> {
        let Some(store) = self.state.look()? else { return Ok(Vec::new()) };
        let found = store.read(|store| objects::list(store, T::KIND, after, max))?;
        Ok(found
            .into_iter()
            .map(|object| entry(object.clone()).unwrap_or_else(|_| with(object, T::closed())))
            .collect())
    }

    /// Keys that an earlier version kept in a file and that nobody has moved into the store yet.
    ///
    /// # Errors
    /// `Kind::Io` where the file is there and cannot be read.
    pub fn earlier_keys(&self) -> Result<Vec<Key>> {
        let document = self.state.keys_file_document()?;
        Ok(document.map_or_else(Vec::new, |document| KeysFile::read(&document).0.keys))
    }

    /// Stores a new object.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn create<T: Checked>(&self, name: &str, object: &T) -> Edited<Entry<T>> {
        self.refuse_written::<T>(name)?;
        self.change_store(|change| {
            self.check(change, name, object)?;
            if objects::get(change, T::KIND, name)?.is_some() {
                return Err(Refused::Exists(T::KIND, name.to_owned()));
            }
            if objects::count(change, T::KIND)? >= T::MAX {
                return Err(Refused::Full(T::KIND, T::MAX));
            }
            put(change, name, object, Expected::Absent)
        })
    }

    /// Changes a stored object; where `seen` is given, only from that revision. One that does not read begins closed.
    ///
    /// # Errors
    /// Whatever is wrong with what came of it.
    pub fn change<T: Checked>(&self, name: &str, seen: Option<i64>, edit: impl FnOnce(&mut T)) -> Edited<Entry<T>> {
        self.change_store(|change| {
            let found = self.found::<T>(change, name, seen)?;
            let mut object = T::read(&found.name, &found.body).unwrap_or_else(|_| T::closed());
            edit(&mut object);
            self.check(change, name, &object)?;
            put(change, name, &object, Expected::Revision(found.revision))
        })
    }

    /// Deletes a stored object that nothing else names; where `seen` is given, only at that revision.
    ///
    /// # Errors
    /// Where it is not there, or is used.
    pub fn delete<T: Checked>(&self, name: &str, seen: Option<i64>) -> Edited<()> {
        self.change_store(|change| {
            let found = self.found::<T>(change, name, seen)?;
            let config = self.file.map(|(config, _)| config);
            if let Some(users) = T::users(name, config.unwrap_or(&Config::default()), change)? {
                return Err(Refused::InUse(T::KIND, name.to_owned(), users));
            }
            objects::delete(change, T::KIND, name, found.revision)?;
            Ok(())
        })
    }

    /// Refuses a stored key from now on, whatever else is wrong with it or with the configuration file.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn revoke(&self, id: &str) -> Edited<Entry<Key>> {
        self.change_store(|change| {
            let found = self.found::<Key>(change, id, None)?;
            let key = Key { revoked: true, ..Key::read(id, &found.body)? };
            put(change, id, &key, Expected::Revision(found.revision))
        })
    }

    fn found<T: Stored>(&self, change: &Transaction<'_>, name: &str, seen: Option<i64>) -> Edited<Object> {
        let Some(found) = objects::get(change, T::KIND, name)? else {
            let absent = || Refused::Absent(T::KIND, name.to_owned());
            return Err(self.refuse_written::<T>(name).err().unwrap_or_else(absent));
        };
        match seen {
            Some(seen) if seen != found.revision => Err(Refused::Changed(T::KIND, name.to_owned(), found.revision)),
            _ => Ok(found),
        }
    }

    /// All checks stand before the one statement that writes, so what is refused has written nothing.
    fn change_store<T>(&self, change: impl FnOnce(&Transaction<'_>) -> Edited<T>) -> Edited<T> {
        self.state.store()?.change(|transaction| Ok(change(transaction)))?
    }

    fn check<T: Checked>(&self, store: &Connection, name: &str, object: &T) -> Edited<()> {
        let Some((config, _)) = self.file else { return Err(Refused::NoFile) };
        let document = Document::parse("", "");
        let (mut scratch, mut report) = (Report::default(), Report::default());
        let stored = Objects::read(store, String::new())?;
        let index = scratch.add(&document, Vec::new());
        let levels = levels::compile(config, &stored, &mut Notes::new(&document, &mut scratch, index));
        let mut notes = Notes::new(&document, &mut report, index);
        let mut notes = notes.about(About { store: None, kind: T::KIND, name });
        object.check(name, (config, &Surroundings(levels)), &mut notes);
        if notes.faults() > 0 { Err(Refused::Invalid(report)) } else { Ok(()) }
    }

    fn refuse_written<T: Stored>(&self, name: &str) -> Edited<()> {
        match self.file {
            Some((config, path)) if T::written(config, name).is_some() => {
                Err(Refused::Written(T::KIND, name.to_owned(), path.display().to_string()))
            }
            _ => Ok(()),
        }
    }
}

/// A new token, shown this once, and what is kept of it.
///
/// # Errors
/// Where the pepper cannot be read or made.
pub fn mint(state: &StateDir) -> Result<(Token, String)> {
    let mut entropy = [0; Token::ENTROPY];
    random::fill(&mut entropy);
    let token = Token::from_entropy(&mut entropy);
    let mac = Pepper::new(&mut state.pepper()?).mac(&token.presented()).to_hex();
    Ok((token, mac))
}

fn put<T: Stored>(change: &Transaction<'_>, name: &str, object: &T, from: Expected) -> Edited<Entry<T>> {
    let body = serde_json::to_string(object).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    match objects::put(change, T::KIND, name, &body, from)? {
        Outcome::Done(_) => {
            let stored = objects::get(change, T::KIND, name)?.map(|stored| with(stored, object.clone()));
            stored.ok_or_else(|| Refused::Absent(T::KIND, name.to_owned()))
        }
        Outcome::Found(Some(now)) => Err(Refused::Changed(T::KIND, name.to_owned(), now)),
        Outcome::Found(None) => Err(Refused::Absent(T::KIND, name.to_owned())),
    }
}

fn entry<T: Stored>(object: Object) -> Result<Entry<T>> {
    let read = T::read(&object.name, &object.body)?;
    Ok(with(object, read))
}

fn with<T>(stored: Object, object: T) -> Entry<T> {
    let time = |ms: i64| WallTime(u64::try_from(ms).unwrap_or(0));
    let (created, changed) = (time(stored.created_ms), time(stored.changed_ms));
    Entry { name: stored.name, object, revision: stored.revision, created, changed }
}

impl Checked for Customer {
    const MAX: usize = LEVELS_MAX;

    fn check(&self, name: &str, (config, around): (&Config, &Surroundings), notes: &mut Notes<'_>) {
        levels::customer(name, self, &around.0.groups, (config, Home::Config), notes);
    }

    fn users(name: &str, config: &Config, store: &Connection) -> Result<Option<String>> {
        let stored = Objects::read(store, String::new())?.teams;
        let mut teams = config.teams.iter().chain(&stored);
        let user = teams.find(|(_, team)| team.customer.as_deref() == Some(name));
        Ok(user.map(|(team, _)| format!("team `{team}`")))
    }
}

impl Checked for Team {
    const MAX: usize = LEVELS_MAX;

    fn check(&self, name: &str, (config, around): (&Config, &Surroundings), notes: &mut Notes<'_>) {
        levels::team(name, self, (&around.0.customers, &around.0.groups), (config, Home::Config), notes);
    }

    fn users(name: &str, config: &Config, store: &Connection) -> Result<Option<String>> {
        let is_user = |key: &Key| key.team.as_deref() == Some(name);
        let mut user = config.keys.iter().find(|key| is_user(key)).map(|key| key.id.clone());
        objects::scan(store, Key::KIND, |id, body| {
            if user.is_none() && Key::read(id, body).is_ok_and(|key| is_user(&key)) {
                user = Some(id.to_owned());
            }
            Ok(())
        })?;
        Ok(user.map(|id| format!("key `{id}`")))
    }
}

impl Checked for Key {
    const MAX: usize = KEYS_MAX;

    fn check(&self, name: &str, (config, around): (&Config, &Surroundings), notes: &mut Notes<'_>) {
        let title = self.name.chars();
        if self.name.is_empty() || title.clone().count() > KEY_NAME_MAX || title.clone().any(char::is_control) {
            let help = format!("1 to {KEY_NAME_MAX} characters on one line");
            notes.error(&["keys".into(), 0.into(), "name".into()], "this name cannot be used", help);
        }
        if self.id != name {
            notes.error(&["keys".into(), 0.into(), "id".into()], "the id is the key's name in the store", "");
        }
        KeyCompiler::new(Around { config, levels: &around.0, home: Home::Config }).one(self, 0, notes);
    }

    fn users(_: &str, _: &Config, _: &Connection) -> Result<Option<String>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Lookup, Purpose};
    use std::fmt;

    const FILE: &str = "[customers.w]\n[teams.w]\ncustomer = \"w\"\n[servers.a]\nurl = \"http://h\"\n";

    fn compiled(dir: &Path) -> Compiled {
        let text = format!("state.directory = \"s\"\n{FILE}");
        Compiled::from_text(Path::new("t.toml"), &text, &Lookup::fixed(&[], None, dir), Purpose::Look).expect("good")
    }

    fn team(customer: &str) -> Team {
        Team { customer: Some(customer.into()), ..Team::default() }
    }

    fn key(id: &str) -> Key {
        let (id, mac, allow) = (id.to_owned(), "a0".repeat(32), vec!["a/*".into()]);
        Key { id, mac, allow, name: "n".into(), team: Some("t".into()), ..Key::default() }
    }

    fn lines<T: fmt::Debug>(edited: Edited<T>) -> String {
        edited.expect_err("refused").to_string()
    }

    #[test]
    fn objects_are_made_changed_and_deleted_by_revision() {
        let dir = tempfile::tempdir().expect("dir");
        let compiled = compiled(dir.path());
        let editor = Editor::new(&compiled);
        assert_eq!(editor.list::<Team>("", 9).expect("none yet"), []);
        assert_eq!(editor.create("t", &team("w")).expect("made").revision, 1);
        assert!(matches!(editor.create("t", &team("w")), Err(Refused::Exists("team", _))));
        let renamed = |seen| editor.change("t", seen, |team: &mut Team| team.concurrency_max = Some(3));
        assert_eq!(renamed(Some(1)).expect("changed").revision, 2);
        assert!(matches!(renamed(Some(1)), Err(Refused::Changed("team", _, 2))));
        assert_eq!(renamed(None).expect("whatever it was").object, Team { concurrency_max: Some(3), ..team("w") });
        assert!(matches!(editor.delete::<Team>("t", Some(1)), Err(Refused::Changed("team", _, 3))));
        editor.delete::<Team>("t", Some(3)).expect("deleted");
        assert!(matches!(editor.delete::<Team>("t", None), Err(Refused::Absent("team", _))));
    }

    #[test]
    fn what_is_wrong_or_written_or_used_is_refused_and_nothing_changes() {
        let dir = tempfile::tempdir().expect("dir");
        let compiled = compiled(dir.path());
        let editor = Editor::new(&compiled);
        assert!(matches!(editor.create("w", &team("w")), Err(Refused::Written("team", _, _))));
        assert!(matches!(editor.delete::<Customer>("w", None), Err(Refused::Written("customer", _, _))));
        assert!(lines(editor.create("t", &team("x"))).contains("team `t`: customer: no customer is called `x`"));
        assert!(lines(editor.create("T", &team("w"))).contains("this name cannot be used"));
        assert!(lines(editor.create("k", &key("k"))).contains("key `k`: team: no team is called `t`"));
        editor.create("c", &Customer::default()).expect("customer");
        editor.create("t", &team("c")).expect("team");
        editor.create("k", &key("k")).expect("key");
        let wrong = |edit: fn(&mut Key)| lines(editor.change("k", None, edit));
        assert!(wrong(|key| key.allow = vec!["b/*".into()]).contains("allow 1: no server is called `b`"));
        assert!(wrong(|key| key.name.clear()).contains("this name cannot be used"));
        assert!(wrong(|key| key.id = "other".into()).contains("the id is the key's name"));
        assert!(lines(editor.delete::<Team>("t", None)).contains("is used by key `k`"));
        assert!(lines(editor.delete::<Customer>("c", None)).contains("is used by team `t`"));
        assert_eq!(
            editor.get::<Key>("k").expect("read").map(|entry| (entry.object, entry.revision)),
            Some((key("k"), 1))
        );
    }

    #[test]
    fn without_the_file_keys_are_still_revoked_and_deleted_and_nothing_else_is_changed() {
        let dir = tempfile::tempdir().expect("dir");
        let compiled = compiled(dir.path());
        let editor = Editor::new(&compiled);
        editor.create("t", &team("w")).expect("team");
        editor.create("k", &key("k")).expect("key");
        let editor = Editor::without_file(&compiled.settings.state);
        assert!(editor.revoke("k").expect("revoked").object.revoked);
        assert!(matches!(editor.change("k", None, |key: &mut Key| key.revoked = false), Err(Refused::NoFile)));
        assert!(matches!(editor.create("x", &key("x")), Err(Refused::NoFile)));
        editor.delete::<Key>("k", None).expect("deleted");
        assert!(matches!(editor.revoke("k"), Err(Refused::Absent("key", _))));
    }

    #[test]
    fn an_object_that_does_not_read_begins_anew_as_closed() {
        let dir = tempfile::tempdir().expect("dir");
        let compiled = compiled(dir.path());
        let mut store = compiled.settings.state.store().expect("store");
        let put = store.change(|tx| objects::put(tx, "customer", "c", "{\"later\":1}", Expected::Absent));
        assert_eq!(put, Ok(Outcome::Done(1)));
        let editor = Editor::new(&compiled);
        assert_eq!(editor.list::<Customer>("", 9).expect("list")[0].object, Customer::closed());
        assert!(editor.get::<Customer>("c").is_err());
        let changed = editor.change("c", None, |customer: &mut Customer| customer.allow = Some(vec!["a/*".into()]));
        assert_eq!(changed.expect("changed").object.prompts, Some(Vec::new()));
        assert!(editor.get::<Customer>("c").expect("reads again").is_some());
    }
}
