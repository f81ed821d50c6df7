//! Objects by kind and name, each a text with a revision: whoever changes one says which revision was seen.

use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result, Retry};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

/// One stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name, one of its kind.
    pub name: String,
    /// What it is, as JSON.
    pub body: String,
    /// How often it was changed, from 1 on.
    pub revision: i64,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was changed last.
    pub changed_ms: i64,
}

/// What a change expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing of this name.
    Absent,
    /// This revision.
    Revision(i64),
}

/// How a change went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made; the object has this revision now.
    Done(i64),
    /// Something else was found, so nothing was changed: this revision, or no object.
    Found(Option<i64>),
}

impl Object {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            body: row.get(1)?,
            revision: row.get(2)?,
            created_ms: row.get(3)?,
            changed_ms: row.get(4)?,
        })
    }
}

/// One object.
///
/// # Errors
/// As the store says.
pub fn get(store: &Connection, kind: &str, name: &str) -> Result<Option<Object>> {
    let query = "SELECT name, body, revision, created, changed FROM objects WHERE kind = ?1 AND name = ?2";
    Ok(store.query_row(query, params![kind, name], Object::read).optional()?)
}

/// Hands every object of a kind over, by name and body, without keeping any. They come in no order that means anything.
///
/// # Errors
/// As the store says, and as `each` says.
pub fn scan(store: &Connection, kind: &str, mut each: impl FnMut(&str, &str) -> Result<()>) -> Result<()> {
    let mut statement = store.prepare("SELECT name, body FROM objects WHERE kind = ?1")?;
    let mut rows = statement.query(params![kind])?;
    while let Some(row) = rows.next()? {
        let text = |at| row.get_ref(at)?.as_str().map_err(rusqlite::Error::from);
        each(text(0)?, text(1)?)?;
    }
    Ok(())
}

/// Up to `max` objects of a kind whose names come after `after`, in the order of their names.
///
/// # Errors
/// As the store says.
pub fn list(store: &Connection, kind: &str, after: &str, max: usize) -> Result<Vec<Object>> {
    let query = "SELECT name, body, revision, created, changed FROM objects WHERE kind = ?1 AND name > ?2 \
                 ORDER BY name LIMIT ?3";
    let mut statement = store.prepare(query)?;
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![kind, after, max], Object::read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// How many objects there are of a kind.
///
/// # Errors
/// As the store says.
pub fn count(store: &Connection, kind: &str) -> Result<usize> {
    let count: i64 = store.query_row("SELECT COUNT(*) FROM objects WHERE kind = ?1", [kind], |row| row.get(0))?;
    usize::try_from(count).map_err(|_| Error::new(Kind::Internal, "a count below nothing").retry(Retry::Never))
}

/// Makes or changes an object, where what is there is what was expected.
///
/// # Errors
/// As the store says.
pub fn put(change: &Transaction<'_>, kind: &str, name: &str, body: &str, expected: Expected) -> Result<Outcome> {
    let now = i64::try_from(Clock::wall().0).unwrap_or(i64::MAX);
    let changed = match expected {
        Expected::Absent => change.execute(
            "INSERT INTO objects (kind, name, body, revision, created, changed) VALUES (?1, ?2, ?3, 1, ?4, ?4) \
             ON CONFLICT (kind, name) DO NOTHING",
            params![kind, name, body, now],
        )?,
        Expected::Revision(seen) => change.execute(
            "UPDATE objects SET body = ?3, revision = revision + 1, changed = ?5 \
             WHERE kind = ?1 AND name = ?2 AND revision = ?4",
            params![kind, name, body, seen, now],
        )?,
    };
    outcome(change, kind, name, changed, expected)
}

/// Removes an object of this revision.
///
/// # Errors
/// As the store says.
pub fn delete(change: &Transaction<'_>, kind: &str, name: &str, seen: i64) -> Result<Outcome> {
    let query = "DELETE FROM objects WHERE kind = ?1 AND name = ?2 AND revision = ?3";
    match change.execute(query, params![kind, name, seen])? {
        0 => Ok(Outcome::Found(revision(change, kind, name)?)),
        _ => Ok(Outcome::Done(seen)),
    }
}

fn outcome(change: &Transaction<'_>, kind: &str, name: &str, changed: usize, expected: Expected) -> Result<Outcome> {
    Ok(match (changed, expected) {
        (0, _) => Outcome::Found(revision(change, kind, name)?),
        (_, Expected::Absent) => Outcome::Done(1),
        (_, Expected::Revision(seen)) => Outcome::Done(seen + 1),
    })
}

fn revision(store: &Connection, kind: &str, name: &str) -> Result<Option<i64>> {
    let query = "SELECT revision FROM objects WHERE kind = ?1 AND name = ?2";
    Ok(store.query_row(query, params![kind, name], |row| row.get(0)).optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn an_object_changes_only_from_the_revision_that_was_seen() {
        let dir = tempfile::tempdir().expect("dir");
        let mut store = Store::open(dir.path()).expect("store");
        let mut put = |body: &str, expected| store.change(|tx| put(tx, "team", "a", body, expected)).expect("put");
        assert_eq!(put("{}", Expected::Revision(1)), Outcome::Found(None));
        assert_eq!(put("{}", Expected::Absent), Outcome::Done(1));
        assert_eq!(put("{\"x\":1}", Expected::Absent), Outcome::Found(Some(1)));
        assert_eq!(put("{\"x\":2}", Expected::Revision(1)), Outcome::Done(2));
        assert_eq!(put("{\"x\":3}", Expected::Revision(1)), Outcome::Found(Some(2)));
        let found = store.read(|tx| get(tx, "team", "a")).expect("read").expect("there");
        assert_eq!((found.body.as_str(), found.revision), ("{\"x\":2}", 2));
        assert!(found.created_ms <= found.changed_ms);
        assert_eq!(store.change(|tx| delete(tx, "team", "a", 1)), Ok(Outcome::Found(Some(2))));
        assert_eq!(store.change(|tx| delete(tx, "team", "a", 2)), Ok(Outcome::Done(2)));
        assert_eq!(store.read(|tx| get(tx, "team", "a")), Ok(None));
    }

    #[test]
    fn objects_are_listed_by_name_and_kind() {
        let dir = tempfile::tempdir().expect("dir");
        let mut store = Store::open(dir.path()).expect("store");
        let fill = |tx: &Transaction<'_>| {
            for (kind, name) in [("key", "b"), ("key", "a"), ("key", "c"), ("team", "a")] {
                put(tx, kind, name, "{}", Expected::Absent)?;
            }
            Ok(())
        };
        store.change(fill).expect("filled");
        let names = |after: &str, max| {
            let page = store.read(|tx| list(tx, "key", after, max)).expect("page");
            page.into_iter().map(|object| object.name).collect::<Vec<_>>()
        };
        assert_eq!(names("", 2), ["a", "b"]);
        assert_eq!(names("b", 2), ["c"]);
        let mut seen = 0;
        let add = |_: &str, body: &str| {
            seen += body.len();
            Ok(())
        };
        let scanned = store.read(|tx| scan(tx, "key", add));
        assert_eq!((scanned, seen, store.read(|tx| count(tx, "key"))), (Ok(()), 6, Ok(3)));
    }
}
