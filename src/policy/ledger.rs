//! The ledger: what was charged to each period of each budget, drawn from the journal, and what may be charged before
//! it is asked again.
//!
//! The journal is the truth. A row's `charged` is the sum of what the journal's records charge to it, up to the place
//! that is kept beside it. A lease (`ceiling`) is stored before anybody may spend it, so whatever a crash takes, no
//! more was spent than was leased. After a crash of the process alone the journal is whole, and the leases are given
//! back; where it may have lost its last records, what was leased counts as spent (`lost`).

use super::money::Money;
use crate::base::ids::ShardId;
use crate::base::limits::LEDGER_PERIODS_MAX;
use crate::store::ledger::{Delta, Held, Place, Row, Saved};
use std::collections::BTreeSet;
use std::ops::Bound;

/// A lease is this part of a budget: so much a loss of power can cost.
const LEASE_PART: u64 = 64;
/// A lease is at least so many of the dearest call that asked for it.
const LEASE_CALLS: u64 = 32;

/// What one record of the journal means to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A writer began: calls of the one before have ended, and nobody knows how.
    Began,
    /// A call may cost so much at each of these rows.
    Reserved(Held),
    /// The call of that intent cost so much.
    Settled(u64, Money),
    /// Nothing.
    Other,
}

/// What may be charged to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// At most.
    pub ceiling: Money,
    /// Once this much is charged, more should be leased.
    pub mark: Money,
}

/// What is charged, what is leased, and how far the journal was read.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    saved: Saved,
    rows: BTreeSet<Box<str>>,
    held: BTreeSet<(ShardId, u64)>,
    places: BTreeSet<ShardId>,
}

impl Ledger {
    /// The ledger as it was stored.
    pub fn new(saved: Saved) -> Self {
        Self { saved, ..Self::default() }
    }

    /// A row; an empty one where there is none.
    pub fn row(&self, label: &str) -> Option<Row> {
        self.saved.rows.get(label).copied()
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = (&str, Row)> {
        self.saved.rows.iter().map(|(label, row)| (&**label, *row))
    }

    /// What is spent of a row: charged by the journal, or perhaps.
    pub fn spent(&self, label: &str) -> Money {
        self.row(label).map_or(Money(0), |row| Money(row.charged.saturating_add(row.lost)))
    }

    /// What calls without an outcome have reserved of a row.
    pub fn reserved(&self, label: &str) -> Money {
        let of = |held: &&Held| held.labels.split(' ').any(|known| known == label);
        self.saved.held.values().filter(of).fold(Money(0), |sum, held| sum.plus(Money(held.amount)))
    }

    /// How far each shard's journal was read.
    pub fn places(&self) -> impl Iterator<Item = (ShardId, Place)> {
        self.saved.places.iter().map(|(shard, place)| (*shard, *place))
    }

    /// Takes one record, which stands before `place`.
    pub fn take(&mut self, shard: ShardId, place: Place, event: Event) {
        match event {
            Event::Other => {}
            Event::Began => {
                while let Some(at) = self.saved.held.range((shard, 0)..=(shard, u64::MAX)).next().map(|(at, _)| *at) {
                    self.release(at);
                }
            }
            Event::Reserved(held) => {
                for label in held.labels.split(' ').filter(|label| !label.is_empty()) {
                    self.change(label, |row| row.charged = row.charged.saturating_add(held.amount));
                }
                self.held.insert((shard, place.next - 1));
                self.saved.held.insert((shard, place.next - 1), held);
            }
            Event::Settled(intent, cost) => {
                if let Some(held) = self.release((shard, intent)) {
                    let back = held.amount.saturating_sub(cost.0);
                    // A row that was forgotten meanwhile stays so: a new one would say that nothing was spent of it.
                    for label in held.labels.split(' ') {
                        if self.row(label).is_some() {
                            self.change(label, |row| row.charged = row.charged.saturating_sub(back));
                        }
                    }
                }
            }
        }
        self.places.insert(shard);
        self.saved.places.insert(shard, place);
    }

    /// A new process begins, and every record there is was taken: leases are over. Where records may be lost, what was
    /// leased counts as spent.
    pub fn restart(&mut self, is_doubtful: bool) {
        let labels: Vec<_> = self.saved.rows.keys().cloned().collect();
        for label in labels {
            self.change(&label, |row| {
                if is_doubtful {
                    row.lost = row.lost.max(row.ceiling.saturating_sub(row.charged));
                }
                row.ceiling = row.charged.saturating_add(row.lost);
            });
        }
    }

    /// Forgets what was drawn from the journal, to draw it anew: the place up to which it was read is no longer there.
    /// Gives the first moment of the oldest row: nothing before it counts.
    pub fn redraw(&mut self) -> u64 {
        let labels: Vec<_> = self.saved.rows.keys().cloned().collect();
        labels.iter().for_each(|label| self.change(label, |row| row.charged = 0));
        let (held, places): (Vec<_>, Vec<_>) =
            (self.saved.held.keys().copied().collect(), self.saved.places.keys().copied().collect());
        held.into_iter().for_each(|at| drop(self.release(at)));
        for shard in places {
            self.places.insert(shard);
            self.saved.places.remove(&shard);
        }
        let start = |label: &str| label.rsplit_once('@').and_then(|(_, start)| start.parse().ok());
        labels.iter().filter_map(|label| start(label)).min().unwrap_or(u64::MAX)
    }

    /// Leases more of a row of which so much is charged by now, where a call of up to `wanted` asked for it. It may be
    /// spent once the ledger is stored.
    pub fn lease(&mut self, label: &str, charged: Money, (wanted, bound): (Money, Money)) -> Lease {
        let least = wanted.0.saturating_mul(LEASE_CALLS);
        let part = least.max(bound.0 / LEASE_PART);
        let mut ceiling = 0;
        self.change(label, |row| {
            row.ceiling = row.ceiling.max(charged.0.saturating_add(part).min(bound.0));
            ceiling = row.ceiling;
        });
        let mark = if ceiling >= bound.0 { u64::MAX } else { ceiling - (part / 2).min(ceiling) };
        Lease { ceiling: Money(ceiling), mark: Money(mark) }
    }

    /// Whether a period without a row may have had one: the newest of its budget are kept, and it is older.
    pub fn has_forgotten(&self, label: &str) -> bool {
        let budget = label.rsplit_once('@').map_or("", |(budget, _)| budget);
        let newer = self.saved.rows.range::<str, _>((Bound::Included(label), Bound::Unbounded)).map(|(known, _)| known);
        let newer = newer.take_while(|known| known.strip_prefix(budget).is_some_and(|rest| rest.starts_with('@')));
        self.row(label).is_none() && newer.count() >= LEDGER_PERIODS_MAX
    }

    /// Forgets all but the newest periods of each budget, and those to `keep`.
    pub fn prune(&mut self, keep: impl Fn(&str) -> bool) {
        let mut gone: Vec<Box<str>> = Vec::new();
        let (mut budget, mut count) = ("", 0);
        // Starts have leading zeros, so the last is the newest.
        for label in self.saved.rows.keys().rev() {
            let of = label.rsplit_once('@').map_or("", |(of, _)| of);
            count = if of == budget { count + 1 } else { 1 };
            budget = of;
            if count > LEDGER_PERIODS_MAX && !keep(label) {
                gone.push(label.clone());
            }
        }
        for label in gone {
            self.saved.rows.remove(&label);
            self.rows.insert(label);
        }
    }

    /// What changed since this was asked last: to be stored.
    pub fn changes(&mut self) -> Delta {
        let row = |label: Box<str>| (label.clone(), self.saved.rows.get(&label).copied());
        let rows = std::mem::take(&mut self.rows).into_iter().map(row).collect();
        let held = std::mem::take(&mut self.held).into_iter().map(|at| (at, self.saved.held.get(&at).cloned()));
        let held = held.collect();
        let places = std::mem::take(&mut self.places).into_iter().map(|at| (at, self.saved.places.get(&at).copied()));
        Delta { rows, held, places: places.collect() }
    }

    /// Those changes could not be stored: they are changes still.
    pub fn not_stored(&mut self, delta: &Delta) {
        self.rows.extend(delta.rows.keys().cloned());
        self.held.extend(delta.held.keys().copied());
        self.places.extend(delta.places.keys().copied());
    }

    fn release(&mut self, at: (ShardId, u64)) -> Option<Held> {
        self.held.insert(at);
        self.saved.held.remove(&at)
    }

    fn change(&mut self, label: &str, change: impl FnOnce(&mut Row)) {
        if !self.rows.contains(label) {
            self.rows.insert(label.into());
        }
        match self.saved.rows.get_mut(label) {
            Some(row) => change(row),
            None => change(self.saved.rows.entry(label.into()).or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(0);
    const LABEL: &str = "key:k/day@0000000000009";

    fn at(next: u64) -> Place {
        Place { next, hlc: next }
    }

    fn held(amount: u64) -> Event {
        Event::Reserved(Held { amount, labels: format!("{LABEL} team:t/day@0000000000009").into() })
    }

    #[test]
    fn a_row_is_the_sum_of_what_the_journal_charges_to_it() {
        let mut ledger = Ledger::default();
        ledger.take(SHARD, at(2), Event::Began);
        ledger.take(SHARD, at(3), held(10));
        ledger.take(SHARD, at(4), held(5));
        assert_eq!((ledger.spent(LABEL), ledger.reserved(LABEL)), (Money(15), Money(15)));
        ledger.take(SHARD, at(5), Event::Settled(2, Money(4)));
        ledger.take(SHARD, at(6), Event::Settled(2, Money(0)));
        ledger.take(SHARD, at(7), Event::Settled(99, Money(0)));
        assert_eq!((ledger.spent(LABEL), ledger.reserved(LABEL)), (Money(9), Money(5)));
        ledger.take(ShardId(1), at(2), Event::Began);
        assert_eq!(ledger.reserved(LABEL), Money(5), "another shard's writer");
        ledger.take(SHARD, at(8), Event::Began);
        ledger.take(SHARD, at(9), Event::Settled(3, Money(0)));
        assert_eq!((ledger.spent("team:t/day@0000000000009"), ledger.reserved(LABEL)), (Money(9), Money(0)));
        let delta = ledger.changes();
        assert_eq!((delta.rows.len(), delta.held[&(SHARD, 2)].is_none(), delta.places[&SHARD]), (2, true, Some(at(9))));
        assert_eq!(ledger.changes(), Delta::default());
        ledger.not_stored(&delta);
        assert_eq!(ledger.changes(), delta);
    }

    #[test]
    fn leases_grow_to_the_limit_and_end_with_the_process() {
        let mut ledger = Ledger::default();
        let first = ledger.lease(LABEL, Money(0), (Money(1), Money(6_400)));
        assert_eq!(first, Lease { ceiling: Money(100), mark: Money(50) });
        let dear = ledger.lease(LABEL, Money(60), (Money(10), Money(6_400)));
        assert_eq!(dear, Lease { ceiling: Money(380), mark: Money(220) });
        let all = ledger.lease(LABEL, Money(380), (Money(u64::MAX), Money(6_400)));
        assert_eq!(all, Lease { ceiling: Money(6_400), mark: Money::MAX });
        ledger.take(SHARD, at(2), held(30));
        ledger.restart(false);
        assert_eq!(ledger.row(LABEL), Some(Row { charged: 30, lost: 0, ceiling: 30 }));
        let lease = ledger.lease(LABEL, Money(30), (Money(1), Money(6_400)));
        assert_eq!(lease.ceiling, Money(130));
        ledger.restart(true);
        assert_eq!(ledger.row(LABEL), Some(Row { charged: 30, lost: 100, ceiling: 130 }));
        ledger.restart(true);
        assert_eq!(ledger.spent(LABEL), Money(130), "doubt is counted once");
        assert_eq!(ledger.redraw(), 9);
        assert_eq!((ledger.row(LABEL).unwrap().charged, ledger.places().count()), (0, 0));
        let zero = ledger.lease("x@1", Money(0), (Money(1), Money(0)));
        assert_eq!(zero, Lease { ceiling: Money(0), mark: Money::MAX });
    }

    #[test]
    fn the_oldest_periods_are_forgotten() {
        let mut ledger = Ledger::default();
        for start in 0..20 {
            ledger.lease(&format!("key:a/day@{start:013}"), Money(0), (Money(1), Money(9)));
        }
        ledger.lease("key:b/day@0000000000000", Money(0), (Money(1), Money(9)));
        ledger.changes();
        ledger.prune(|label| label.ends_with("@0000000000003"));
        assert_eq!((ledger.rows().count(), ledger.changes().rows.len()), (LEDGER_PERIODS_MAX + 2, 11));
        assert!(ledger.has_forgotten("key:a/day@0000000000001") && !ledger.has_forgotten("key:a/day@0000000000015"));
        assert!(!ledger.has_forgotten("key:a/day@0000000000003") && !ledger.has_forgotten("key:c/day@0000000000000"));
        assert!(ledger.row("key:a/day@0000000000019").is_some() && ledger.row("key:b/day@0000000000000").is_some());
    }
}
