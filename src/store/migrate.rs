//! The store's schema, as the list of steps that lead to it. A step that was released is never changed.

use crate::base::error::{Error, Kind, Result};
use rusqlite::{Connection, Transaction, TransactionBehavior};

/// The steps in their order, one file a topic; the schema's version is how many were taken.
const STEPS: &[&str] = &[
    include_str!("migrations/0001-objects.sql"),
    include_str!("migrations/0002-ledger.sql"),
    include_str!("migrations/0003-approvals.sql"),
];

/// The version this program knows.
pub(super) fn latest() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// The version of an open store.
pub(super) fn version(connection: &Connection) -> Result<i64> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Refuses a schema that a later program made: what it means is not known here.
pub(super) fn refuse_newer(connection: &Connection) -> Result<()> {
    let (found, known) = (version(connection)?, latest());
    if found <= known {
        return Ok(());
    }
    let what = format!(
        "has schema {found}, and this tollgate knows no more than {known}: it was made by a newer one; run that one, \
         or restore the copy from before the update"
    );
    Err(Error::new(Kind::Config, what))
}

/// Takes the steps that are missing, each in a transaction of its own. Of two programs at once, one takes a step.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    for (to, step) in (1..).zip(STEPS) {
        if version(connection)? < to {
            take(connection, to, step)?;
        }
    }
    Ok(())
}

fn take(connection: &mut Connection, to: i64, step: &str) -> Result<()> {
    let change = Transaction::new(connection, TransactionBehavior::Immediate)?;
    if version(&change)? < to {
        change.execute_batch(step)?;
        change.pragma_update(None, "user_version", to)?;
    }
    Ok(change.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_taken_once() {
        let mut connection = Connection::open_in_memory().expect("memory");
        migrate(&mut connection).expect("all steps");
        migrate(&mut connection).expect("none left");
        assert_eq!(version(&connection), Ok(latest()));
        connection.pragma_update(None, "user_version", latest() + 1).expect("set");
        assert_eq!(refuse_newer(&connection).expect_err("newer").kind, Kind::Config);
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_behind() {
        let mut connection = Connection::open_in_memory().expect("memory");
        assert!(take(&mut connection, 1, "CREATE TABLE a (b TEXT); CREATE TABLE a (b TEXT);").is_err());
        assert_eq!(version(&connection), Ok(0));
        assert!(connection.execute("INSERT INTO a VALUES ('x')", []).is_err(), "its first half was undone");
    }

    /// PostgreSQL is to serve many hosts later: what only SQLite understands stays out.
    #[test]
    fn the_steps_are_portable() {
        for step in STEPS {
            let step = step.to_uppercase();
            for word in ["AUTOINCREMENT", "OR REPLACE", "OR IGNORE", "WITHOUT ROWID", "STRICT;", "PRAGMA", "ROWID"] {
                assert!(!step.contains(word), "{word}");
            }
        }
    }
}
