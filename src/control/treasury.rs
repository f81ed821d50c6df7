//! The treasury: opens the periods of budgets, leases money to the shards, and keeps the ledger beside the journal.
//!
//! Order is all: a lease is stored before a shard may spend it; a row is opened only with everything the journal says
//! of it. What the shards spend meanwhile is read from the journal in the background and changes no decision.

use crate::base::clock::WallTime;
use crate::base::error::{Error, Result};
use crate::base::limits::LEDGER_TURN_RECORDS_MAX;
use crate::config::Snapshot;
use crate::control::books::{Begin, Books, JournalBooks};
use crate::policy::{Budget, CalendarPeriod, Cell, Lease, Ledger, Money, Open};
use crate::store::Store;
use crate::store::ledger::{self, Writer};
use crate::store::objects;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// A period that ends so soon is followed by one that is open already; one that has ended stays open so long, for a
/// clock that is set back a little.
const AHEAD_MS: u64 = 60_000;
/// Kind of stored objects that raise a budget for a time, by the budget's label.
pub const RAISE: &str = "budget_raise";

/// A raise as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raise {
    /// By how much, in micro-dollars.
    pub by: u64,
    /// Until when, in milliseconds since 1970.
    pub until: u64,
}

/// What an operator changed of budgets beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// By the budget's label.
    pub raises: BTreeMap<Box<str>, Raise>,
    /// What does not count, by the label of the period.
    pub forgiven: BTreeMap<Box<str>, u64>,
}

impl Changes {
    /// Reads them.
    ///
    /// # Errors
    /// As the store says, or a raise is malformed.
    pub fn load(store: &Store) -> Result<Self> {
        store.read(|connection| {
            let mut raises = BTreeMap::new();
            objects::scan(connection, RAISE, |label, body| {
                let raise = serde_json::from_str(body);
                let malformed =
                    |error| Error::new(crate::base::error::Kind::Config, format!("raise of {label}: {error}"));
                raises.insert(label.into(), raise.map_err(malformed)?);
                Ok(())
            })?;
            Ok(Self { raises, forgiven: ledger::forgiven(connection)? })
        })
    }

    /// A cell of a budget with what they change of it.
    pub fn open(&self, budget: &str, cell: Arc<Cell>) -> Open {
        let forgiven = Money(self.forgiven.get(cell.label()).copied().unwrap_or(0));
        let raised = self.raises.get(budget).map(|raise| (Money(raise.by), WallTime(raise.until)));
        Open { cell, forgiven, raised }
    }
}

/// Who keeps the ledger of a running gate.
#[derive(Debug)]
pub(super) struct Treasury<B> {
    store: Store,
    books: B,
    ledger: Ledger,
    writer: Writer,
    changes: Changes,
    /// Cells that are open, or that calls under way are charged to.
    cells: HashMap<Box<str>, Arc<Cell>>,
    /// Labels of cells that were open since all records were taken: the ledger may lack some of theirs.
    closed: HashSet<Box<str>>,
    /// Budgets that somebody has spent of, by their address.
    budgets: HashMap<usize, Arc<Budget>>,
    is_behind: bool,
}

impl Treasury<JournalBooks> {
    /// Takes up the ledger of a state directory where the process before left it. `is_start` is false while shards
    /// write already.
    ///
    /// # Errors
    /// The store or the journal cannot be read, or the ledger not be stored.
    pub(super) fn take_up(
        (state, journal): (&Path, &Path),
        snapshot: &Snapshot,
        (shards, now, is_start): (u16, WallTime, bool),
    ) -> Result<Self> {
        let store = Store::open(state)?;
        let (saved, before): (_, Option<Writer>) = store.read(|tx| Ok((ledger::load(tx)?, ledger::writer(tx)?)))?;
        let (boot, mut ledger) = (boot_id()?, Ledger::new(saved));
        let mut books = JournalBooks::find(journal)?;
        let is_whole = before.as_ref().is_none_or(|writer| books.is_whole(writer, &boot));
        match before {
            None if !is_start => books.begin(Begin::End)?,
            _ => draw(&mut books, &mut ledger, (before.as_ref(), snapshot, now))?,
        }
        let log = books.log();
        let writer = Writer { log, boot, shards, ended: false };
        Self::begin(store, books, (ledger, writer), !is_whole)
    }

    /// Whether a state directory has a ledger.
    ///
    /// # Errors
    /// As the store says.
    pub(super) fn is_kept(state: &Path) -> Result<bool> {
        let store = Store::look(state)?;
        // A store of an older schema has none yet.
        store.map_or(Ok(false), |store| Ok(store.read(ledger::writer).is_ok_and(|writer| writer.is_some())))
    }
}

impl<B: Books> Treasury<B> {
    /// Takes every record there is, and ends the leases of the process before.
    ///
    /// # Errors
    /// As [`Treasury::take_up`].
    pub(super) fn begin(store: Store, books: B, (ledger, writer): (Ledger, Writer), is_doubtful: bool) -> Result<Self> {
        let changes = Changes::load(&store)?;
        let (cells, closed, budgets) = (HashMap::new(), HashSet::new(), HashMap::new());
        let mut treasury = Self { store, books, ledger, writer, changes, cells, closed, budgets, is_behind: false };
        treasury.catch_up(usize::MAX)?;
        treasury.ledger.restart(is_doubtful);
        treasury.ledger.prune(|_| false);
        treasury.save()?;
        Ok(treasury)
    }

    /// Whether there are records that it has not taken yet.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Opens the period of now of each of these budgets, and leases what was asked for.
    ///
    /// # Errors
    /// Nothing was leased: the ledger could not be stored.
    pub(super) fn provide(&mut self, asked: &[Arc<Budget>], now: WallTime) -> Result<()> {
        let mut opened = Vec::new();
        for budget in asked {
            let wanted = budget.hear();
            opened.push((budget, self.open(budget, wanted, now)?));
        }
        self.save()?;
        for (budget, cells) in opened {
            for (open, lease) in &cells {
                if let Some(Lease { ceiling, mark }) = *lease {
                    open.cell.lease(ceiling, mark);
                }
            }
            budget.open(cells.into_iter().map(|(open, _)| open));
            self.budgets.entry(Arc::as_ptr(budget).addr()).or_insert_with(|| budget.clone());
        }
        Ok(())
    }

    /// Takes the next records, forgets what nobody needs, and opens periods that are about to begin.
    ///
    /// # Errors
    /// As [`Self::provide`], or the journal cannot be read.
    pub(super) fn look(&mut self, now: WallTime) -> Result<()> {
        self.budgets.retain(|_, budget| Arc::strong_count(budget) > 1);
        let unused = self.cells.extract_if(|_, cell| Arc::strong_count(cell) == 1);
        self.closed.extend(unused.map(|(label, _)| label));
        self.catch_up(LEDGER_TURN_RECORDS_MAX)?;
        self.ledger.prune(|label| self.cells.contains_key(label) || self.closed.contains(label));
        let due = |budget: &&Arc<Budget>| is_due(budget, now);
        let due: Vec<_> = self.budgets.values().filter(due).cloned().collect();
        self.provide(&due, now)
    }

    /// Reads anew what an operator changed, and opens all periods so.
    ///
    /// # Errors
    /// As [`Self::provide`].
    pub(super) fn reread(&mut self, now: WallTime) -> Result<()> {
        self.changes = Changes::load(&self.store)?;
        self.budgets.retain(|_, budget| Arc::strong_count(budget) > 1);
        let budgets: Vec<_> = self.budgets.values().cloned().collect();
        self.provide(&budgets, now)
    }

    /// Takes every record and ends all leases, once no shard writes any more.
    ///
    /// # Errors
    /// As [`Self::look`]; the next start then finds out by itself.
    pub(super) fn close(mut self) -> Result<()> {
        self.catch_up(usize::MAX)?;
        self.ledger.restart(false);
        self.writer.ended = true;
        self.save()
    }

    fn catch_up(&mut self, most: usize) -> Result<()> {
        if !self.is_behind {
            self.books.refresh()?;
        }
        self.is_behind = true;
        for _ in 0..most {
            let Some((shard, place, event)) = self.books.next()? else {
                self.is_behind = false;
                self.closed.clear();
                return Ok(());
            };
            self.ledger.take(shard, place, event);
        }
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        let (delta, writer) = (self.ledger.changes(), &self.writer);
        let saved = self.store.change(|tx| ledger::save(tx, &delta, writer));
        saved.inspect_err(|_| self.ledger.not_stored(&delta))
    }

    /// The periods of a budget that are to be open now, each with its lease where it has one.
    fn open(&mut self, budget: &Arc<Budget>, wanted: Money, now: WallTime) -> Result<Vec<(Open, Option<Lease>)>> {
        let (label, period) = (budget.label(), current(budget, now));
        let mut open: Vec<(Open, Option<Lease>)> = Vec::new();
        let before = budget.opened().iter().map(|open| open.cell.clone()).find(|cell| cell.period.end == period.start);
        if let Some(cell) = before.filter(|_| now.0 - period.start.0 < AHEAD_MS) {
            open.push((self.changes.open(&label, cell), None));
        }
        let mut periods = vec![period];
        if period.end.0 - now.0 < AHEAD_MS {
            periods.push(current(budget, period.end));
        }
        for period in periods {
            let cell = self.cell(budget, period)?;
            let opening = self.changes.open(&label, cell.clone());
            let bound = opening.bound(budget.terms.limit, now);
            // A row of what was forgotten would say that nothing is spent of it.
            let is_known = !self.ledger.has_forgotten(cell.label());
            let lease = is_known.then(|| self.ledger.lease(cell.label(), cell.charged(), (wanted, bound)));
            open.push((opening, lease));
        }
        Ok(open)
    }

    /// The cell of a period: the one that is charged to already, or one with all that the journal says of it.
    fn cell(&mut self, budget: &Budget, period: CalendarPeriod) -> Result<Arc<Cell>> {
        let label = budget.cell_label(period);
        if let Some(cell) = self.cells.get(&*label) {
            return Ok(cell.clone());
        }
        if self.closed.contains(&*label) {
            self.is_behind = false;
            self.catch_up(usize::MAX)?;
        }
        // What was forgotten may all have been spent.
        let spent = if self.ledger.has_forgotten(&label) { Money::MAX } else { self.ledger.spent(&label) };
        let cell = Arc::new(Cell::new(&label, period, spent));
        self.cells.insert(label.into(), cell.clone());
        Ok(cell)
    }
}

/// Goes on in the journal where the ledger ends; where there is no ledger yet, or that place is gone, begins with the
/// oldest period that counts.
fn draw(
    books: &mut JournalBooks,
    ledger: &mut Ledger,
    (before, snapshot, now): (Option<&Writer>, &Snapshot, WallTime),
) -> Result<()> {
    if before.is_some_and(|writer| writer.log == books.log()) && books.resume(ledger)? {
        return Ok(());
    }
    let starts = snapshot.limits.budgets().map(|budget| current(budget, now).start);
    let earliest = starts.min().unwrap_or(now).min(WallTime(ledger.redraw()));
    books.begin(Begin::Time(earliest))
}

/// The ledger as the journal has it now, and what an operator changed. Changes nothing, and may read beside a gate.
///
/// # Errors
/// The store or the journal cannot be read.
pub fn drawn((state, journal): (&Path, &Path), snapshot: &Snapshot, now: WallTime) -> Result<(Ledger, Changes)> {
    let Some(store) = Store::look(state)? else { return Ok(Default::default()) };
    if !Treasury::is_kept(state)? {
        return Ok((Ledger::default(), Changes::load(&store)?));
    }
    let (saved, before) = store.read(|tx| Ok((ledger::load(tx)?, ledger::writer(tx)?)))?;
    let (mut ledger, mut books) = (Ledger::new(saved), JournalBooks::find(journal)?);
    draw(&mut books, &mut ledger, (before.as_ref(), snapshot, now))?;
    while let Some((shard, place, event)) = books.next()? {
        ledger.take(shard, place, event);
    }
    Ok((ledger, Changes::load(&store)?))
}

/// The period of a budget at a time.
pub fn current(budget: &Budget, now: WallTime) -> CalendarPeriod {
    budget.terms.span.around(now, &budget.terms.zone)
}

/// Whether a budget's lease should grow, or its next period be opened.
fn is_due(budget: &Budget, now: WallTime) -> bool {
    let opened = budget.opened();
    let Some(open) = opened.iter().find(|open| open.cell.period.holds(now)) else { return true };
    let ends_soon = open.cell.period.end.0 - now.0 < AHEAD_MS;
    let has_next = opened.iter().any(|next| next.cell.period.start == open.cell.period.end);
    open.cell.is_low() || (ends_soon && !has_next)
}

/// The run of the machine: another one after each loss of power.
fn boot_id() -> Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests;
