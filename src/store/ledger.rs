//! The ledger of budgets as it is stored. What it means is `policy::Ledger`'s to say.

use crate::base::error::{Error, Kind, Result};
use crate::base::ids::ShardId;
use rusqlite::{Connection, Transaction, params};
use std::collections::BTreeMap;

/// One period of one budget, in micro-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What the journal says was charged, calls without an outcome with the most they may cost.
    pub charged: u64,
    /// What may have been charged beside that, for a loss of power may have taken the last records.
    pub lost: u64,
    /// What may be charged at most before the ledger is asked again.
    pub ceiling: u64,
}

/// A call without an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it may cost at most, in micro-dollars.
    pub amount: u64,
    /// The rows it is charged to, with blanks between.
    pub labels: Box<str>,
}

/// How far a shard's journal was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The next entry.
    pub next: u64,
    /// The time of the entry before, as written.
    pub hlc: u64,
}

/// Who wrote the ledger last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    /// The journal that it was drawn from.
    pub log: String,
    /// The run of the machine.
    pub boot: String,
    /// Shards of the process.
    pub shards: u16,
    /// Whether it ended in order, with everything read and nothing leased.
    pub ended: bool,
}

/// The whole ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// By label: `team:research/day@1764374400000`.
    pub rows: BTreeMap<Box<str>, Row>,
    /// By shard and sequence of the intent.
    pub held: BTreeMap<(ShardId, u64), Held>,
    /// By shard.
    pub places: BTreeMap<ShardId, Place>,
}

/// What changed since the ledger was stored last; nothing in place of what is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Rows by label.
    pub rows: BTreeMap<Box<str>, Option<Row>>,
    /// Calls by shard and sequence.
    pub held: BTreeMap<(ShardId, u64), Option<Held>>,
    /// Places by shard.
    pub places: BTreeMap<ShardId, Option<Place>>,
}

/// Reads the ledger.
///
/// # Errors
/// As the store says.
pub fn load(store: &Connection) -> Result<Saved> {
    let mut saved = Saved::default();
    each(store, "SELECT label, charged, lost, ceiling FROM ledger_rows", |row| {
        let amounts = Row { charged: amount(row, 1)?, lost: amount(row, 2)?, ceiling: amount(row, 3)? };
        saved.rows.insert(row.get::<_, String>(0)?.into(), amounts);
        Ok(())
    })?;
    each(store, "SELECT shard, seq, amount, labels FROM ledger_held", |row| {
        let held = Held { amount: amount(row, 2)?, labels: row.get::<_, String>(3)?.into() };
        saved.held.insert((ShardId(row.get(0)?), number(row.get(1)?)?), held);
        Ok(())
    })?;
    each(store, "SELECT shard, next, hlc FROM ledger_places", |row| {
        saved.places.insert(ShardId(row.get(0)?), Place { next: number(row.get(1)?)?, hlc: amount(row, 2)? });
        Ok(())
    })?;
    Ok(saved)
}

/// Who wrote it last; nobody where it was never written.
///
/// # Errors
/// As the store says.
pub fn writer(store: &Connection) -> Result<Option<Writer>> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    each(store, "SELECT name, value FROM ledger_writer", |row| {
        found.insert(row.get(0)?, row.get(1)?);
        Ok(())
    })?;
    if found.is_empty() {
        return Ok(None);
    }
    let mut take = |name: &str| found.remove(name).unwrap_or_default();
    let (log, boot, ended) = (take("log"), take("boot"), take("ended") == "1");
    let shards = take("shards").parse().map_err(|_| malformed("the count of shards is no number"))?;
    Ok(Some(Writer { log, boot, shards, ended }))
}

/// What was forgiven of each row when it was reset.
///
/// # Errors
/// As the store says.
pub fn forgiven(store: &Connection) -> Result<BTreeMap<Box<str>, u64>> {
    let mut out = BTreeMap::new();
    each(store, "SELECT label, forgiven FROM ledger_resets", |row| {
        out.insert(row.get::<_, String>(0)?.into(), amount(row, 1)?);
        Ok(())
    })?;
    Ok(out)
}

/// Stores what changed, and who writes.
///
/// # Errors
/// As the store says.
pub fn save(change: &Transaction<'_>, delta: &Delta, writer: &Writer) -> Result<()> {
    for (label, row) in &delta.rows {
        change.execute("DELETE FROM ledger_rows WHERE label = ?1", [label])?;
        if let Some(Row { charged, lost, ceiling }) = row {
            let query = "INSERT INTO ledger_rows (label, charged, lost, ceiling) VALUES (?1, ?2, ?3, ?4)";
            let [charged, lost, ceiling] = [charged, lost, ceiling].map(u64::to_string);
            change.execute(query, params![label, charged, lost, ceiling])?;
        } else {
            change.execute("DELETE FROM ledger_resets WHERE label = ?1", [label])?;
        }
    }
    for ((shard, seq), held) in &delta.held {
        let seq = signed(*seq)?;
        let query = "DELETE FROM ledger_held WHERE shard = ?1 AND seq = ?2";
        change.execute(query, params![shard.0, seq])?;
        if let Some(Held { amount, labels }) = held {
            let query = "INSERT INTO ledger_held (shard, seq, amount, labels) VALUES (?1, ?2, ?3, ?4)";
            change.execute(query, params![shard.0, seq, amount.to_string(), labels])?;
        }
    }
    for (shard, place) in &delta.places {
        change.execute("DELETE FROM ledger_places WHERE shard = ?1", [shard.0])?;
        if let Some(Place { next, hlc }) = place {
            let query = "INSERT INTO ledger_places (shard, next, hlc) VALUES (?1, ?2, ?3)";
            change.execute(query, params![shard.0, signed(*next)?, hlc.to_string()])?;
        }
    }
    let Writer { log, boot, shards, ended } = writer;
    let ended = if *ended { "1" } else { "0" };
    for (name, value) in [("log", log.as_str()), ("boot", boot), ("shards", &shards.to_string()), ("ended", ended)] {
        let query = "INSERT INTO ledger_writer (name, value) VALUES (?1, ?2) \
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        change.execute(query, [name, value])?;
    }
    Ok(())
}

/// Notes that what is charged to a row up to now does not count.
///
/// # Errors
/// As the store says.
pub fn forgive(change: &Transaction<'_>, label: &str, amount: u64) -> Result<()> {
    let query = "INSERT INTO ledger_resets (label, forgiven) VALUES (?1, ?2) \
                 ON CONFLICT (label) DO UPDATE SET forgiven = excluded.forgiven";
    change.execute(query, [label, &amount.to_string()])?;
    Ok(())
}

fn each(store: &Connection, query: &str, mut take: impl FnMut(&rusqlite::Row<'_>) -> Result<()>) -> Result<()> {
    let mut statement = store.prepare(query)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

fn amount(row: &rusqlite::Row<'_>, at: usize) -> Result<u64> {
    let text = row.get_ref(at)?.as_str().map_err(rusqlite::Error::from)?;
    text.parse().map_err(|_| malformed("an amount is no number"))
}

fn number(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| malformed("a sequence is below nothing"))
}

fn signed(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| malformed("a sequence is too large"))
}

fn malformed(what: &str) -> Error {
    let what = format!("the ledger of budgets is damaged ({what}): restore the store from a backup");
    Error::new(Kind::Config, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn what_is_stored_is_read_and_what_is_gone_is_not() {
        let dir = tempfile::tempdir().expect("dir");
        let mut store = Store::open(dir.path()).expect("store");
        assert_eq!(store.read(writer), Ok(None));
        let row = Row { charged: u64::MAX, lost: 1, ceiling: u64::MAX };
        let held = Held { amount: u64::MAX, labels: "a@1 b@1".into() };
        let place = Place { next: 7, hlc: u64::MAX };
        let mut delta = Delta::default();
        delta.rows.extend([("a@1".into(), Some(row)), ("b@1".into(), Some(Row::default()))]);
        delta.held.insert((ShardId(1), 5), Some(held.clone()));
        delta.places.insert(ShardId(1), Some(place));
        let ours = Writer { log: "l".into(), boot: "b".into(), shards: 2, ended: false };
        store.change(|tx| save(tx, &delta, &ours)).expect("saved");
        store.change(|tx| forgive(tx, "a@1", 9)).expect("forgiven");
        store.change(|tx| forgive(tx, "a@1", 10)).expect("forgiven more");
        let saved = store.read(load).expect("loaded");
        assert_eq!((saved.rows["a@1"], saved.rows.len(), saved.places[&ShardId(1)]), (row, 2, place));
        assert_eq!(saved.held[&(ShardId(1), 5)], held);
        assert_eq!(store.read(writer), Ok(Some(ours.clone())));
        assert_eq!(store.read(forgiven).expect("resets")["a@1"], 10);
        let gone = Delta {
            rows: [("a@1".into(), None)].into(),
            held: [((ShardId(1), 5), None)].into(),
            places: [(ShardId(1), None)].into(),
        };
        store.change(|tx| save(tx, &gone, &Writer { ended: true, ..ours })).expect("saved");
        let saved = store.read(load).expect("loaded");
        assert_eq!((saved.rows.len(), saved.held.len(), saved.places.len()), (1, 0, 0));
        assert!(store.read(writer).expect("read").expect("there").ended);
        assert!(store.read(forgiven).expect("resets").is_empty());
    }
}
