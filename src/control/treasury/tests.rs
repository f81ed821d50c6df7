//! Crashes of a simulated gate at every step of a call, a lease and a look, with real cells and a real store: no more
//! is ever let through than the limit, and nothing that was charged is lost.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]

use super::*;
use crate::base::clock::Instant;
use crate::base::ids::{ServerId, ShardId, ToolId};
use crate::policy::{Allowance, Charged, Event, Level, Limits, LimitsBuilder, Reservation, Span, Terms, Unpaid, Zone};
use crate::rt::sim::Rng;
use crate::store::ledger::{Held, Place, Row};
use std::cell::RefCell;
use std::rc::Rc;

const SHARDS: u16 = 2;
const NOW: WallTime = WallTime(1_790_000_000_000);

/// A journal in memory: of each shard its records, and how many of them a loss of power leaves.
#[derive(Debug, Default)]
struct Pages {
    shards: [(Vec<Event>, usize); SHARDS as usize],
}

impl Pages {
    fn append(&mut self, shard: u16, event: Event) -> u64 {
        let (records, _) = &mut self.shards[usize::from(shard)];
        records.push(event);
        records.len() as u64
    }

    /// What the records charge to a row: the sum that the ledger must come to.
    fn charged(&self, label: &str) -> u64 {
        let of = |held: &Held| held.labels.split(' ').any(|known| known == label);
        let mut sum = 0;
        for (records, _) in &self.shards {
            for (at, event) in (1..).zip(records) {
                let Event::Reserved(held) = event else { continue };
                // A writer's calls end with it.
                let later = records[at..].iter().take_while(|event| **event != Event::Began);
                let cost = later.filter_map(|event| match event {
                    Event::Settled(intent, cost) if *intent == at as u64 => Some(cost.0),
                    _ => None,
                });
                sum += if of(held) { cost.last().unwrap_or(held.amount) } else { 0 };
            }
        }
        sum
    }
}

/// A reader of those pages.
#[derive(Clone, Debug, Default)]
struct Reader {
    pages: Rc<RefCell<Pages>>,
    next: [u64; SHARDS as usize],
}

impl Reader {
    /// As the journal's: goes on where the ledger ends, if that place is still there.
    fn resume(pages: &Rc<RefCell<Pages>>, ledger: &mut Ledger) -> Self {
        let mut reader = Self { pages: pages.clone(), next: [1; SHARDS as usize] };
        let is_there = |(shard, place): (ShardId, Place)| {
            let pages = pages.borrow();
            let (records, _) = &pages.shards[usize::from(shard.0)];
            place.next as usize <= records.len() + 1 && place.hlc == hlc(records, place.next - 1)
        };
        if ledger.places().all(is_there) {
            ledger.places().for_each(|(shard, place)| reader.next[usize::from(shard.0)] = place.next);
        } else {
            ledger.redraw();
        }
        reader
    }
}

/// Stands for the time of a record: differs between records that stood at one place before and after a loss of power.
fn hlc(records: &[Event], seq: u64) -> u64 {
    let writers = records[..seq as usize].iter().filter(|event| **event == Event::Began).count();
    seq * 1_000 + writers as u64
}

impl Books for Reader {
    fn next(&mut self) -> Result<Option<(ShardId, Place, Event)>> {
        let pages = self.pages.borrow();
        for shard in 0..SHARDS {
            let (next, (records, _)) = (&mut self.next[usize::from(shard)], &pages.shards[usize::from(shard)]);
            if let Some(event) = records.get(*next as usize - 1) {
                let place = Place { next: *next + 1, hlc: hlc(records, *next) };
                *next += 1;
                return Ok(Some((ShardId(shard), place, event.clone())));
            }
        }
        Ok(None)
    }

    fn refresh(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A gate as far as money goes, and what survives it.
struct World {
    rng: Rng,
    directory: tempfile::TempDir,
    pages: Rc<RefCell<Pages>>,
    limits: Limits,
    charged: Charged,
    now: WallTime,
    treasury: Option<Treasury<Reader>>,
    /// Calls under way: shard, intent, reservation.
    calls: Vec<(u16, u64, Reservation)>,
    /// What really happened in each period, whatever was recorded: the money that left.
    truth: BTreeMap<String, u64>,
    limit: [u64; 2],
}

const SPANS: [Span; 2] = [Span::Minute, Span::Day];

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let limit = [rng.next_u64() % 2_000, 500 + rng.next_u64() % 6_000];
        let directory = tempfile::Builder::new().tempdir_in("/dev/shm").unwrap();
        let (pages, limits, charged) = (Rc::default(), Limits::default(), charged(None));
        let (truth, calls) = (BTreeMap::new(), Vec::new());
        let mut world = Self { rng, directory, pages, limits, charged, now: NOW, treasury: None, calls, truth, limit };
        world.start(false);
        world
    }

    /// A process begins.
    fn start(&mut self, is_doubtful: bool) {
        let mut builder = LimitsBuilder::new(None, Instant(1));
        let budgets = [0, 1].map(|at| Terms { limit: Money(self.limit[at]), span: SPANS[at], zone: Zone::default() });
        let [one, two] = budgets;
        let own = Allowance { budgets: [one].into(), ..Allowance::default() };
        let team = Allowance { budgets: [two].into(), ..Allowance::default() };
        let chain = builder.chain([(Level::Key, "k", &own), (Level::Team, "t", &team)].into_iter());
        (self.limits, self.charged) = (builder.build(), charged(chain));
        let store = Store::open(self.directory.path()).unwrap();
        let mut ledger = Ledger::new(store.read(ledger::load).unwrap());
        let before = store.read(ledger::writer).unwrap();
        let is_doubtful = is_doubtful && before.is_some_and(|writer: Writer| !writer.ended);
        let books = Reader::resume(&self.pages, &mut ledger);
        let writer = Writer { shards: SHARDS, ..Writer::default() };
        self.treasury = Some(Treasury::begin(store, books, (ledger, writer), is_doubtful).unwrap());
        for shard in 0..SHARDS {
            self.pages.borrow_mut().append(shard, Event::Began);
        }
    }

    /// kill -9, or a loss of power that takes records nobody had synced.
    fn crash(&mut self, is_power: bool) {
        self.treasury = None;
        // A process that is gone gives nothing back.
        self.calls.drain(..).for_each(std::mem::forget);
        if is_power {
            for (records, synced) in &mut self.pages.borrow_mut().shards {
                let at = *synced + self.rng.below(records.len() - *synced + 1);
                records.truncate(at);
            }
        }
        self.pages.borrow_mut().shards.iter_mut().for_each(|(records, synced)| *synced = records.len());
        self.start(is_power);
    }

    fn below(&mut self, end: u64) -> u64 {
        self.rng.next_u64() % end
    }

    fn step(&mut self) {
        match self.below(100) {
            0..=39 => self.call(),
            40..=69 => self.end(),
            70..=76 => self.provide(),
            77..=81 => self.treasury.as_mut().unwrap().look(self.now).unwrap(),
            82..=85 => {
                let shard = self.rng.below(2);
                let (records, synced) = &mut self.pages.borrow_mut().shards[shard];
                *synced = records.len();
            }
            86..=89 => self.now.0 += self.below(70_000),
            90 => self.now.0 += 86_400_000 * self.below(4),
            91..=92 => self.now.0 -= self.below(120_000),
            93 => self.now.0 -= 86_400_000,
            94 => self.close(),
            95..=97 => self.crash(false),
            _ => self.crash(true),
        }
        self.check();
    }

    fn provide(&mut self) {
        let budgets: Vec<_> = self.limits.budgets().cloned().collect();
        self.treasury.as_mut().unwrap().provide(&budgets, self.now).unwrap();
    }

    /// A call begins: reserved, perhaps a crash, recorded, perhaps a crash.
    fn call(&mut self) {
        let amount = Money(1 + self.below(60));
        let ask = |budget: &Arc<Budget>| {
            budget.ask(amount);
        };
        let mut reservation = match self.limits.reserve(&self.charged, amount, self.now, ask) {
            Ok(reservation) => reservation,
            Err(Unpaid::Lease(budget)) => {
                budget.ask(amount);
                return self.provide();
            }
            Err(Unpaid::Refused(_)) => return,
        };
        if self.below(40) == 0 {
            let is_power = self.below(2) == 0;
            std::mem::forget(reservation);
            return self.crash(is_power);
        }
        let shard = self.below(2) as u16;
        let held = Held { amount: amount.0, labels: reservation.labels().into() };
        let seq = self.pages.borrow_mut().append(shard, Event::Reserved(held));
        reservation.recorded();
        // From here on the call may have gone out: it costs what it may, until it is known better.
        for label in reservation.labels().split(' ') {
            *self.truth.entry(label.to_owned()).or_default() += amount.0;
        }
        self.calls.push((shard, seq, reservation));
    }

    /// A call ends: recorded, perhaps a crash, settled.
    fn end(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let at = self.rng.below(self.calls.len());
        let (shard, intent, reservation) = self.calls.swap_remove(at);
        let cost = Money(self.below(reservation.amount().0 + 1));
        self.pages.borrow_mut().append(shard, Event::Settled(intent, cost));
        for label in reservation.labels().split(' ') {
            *self.truth.get_mut(label).unwrap() -= reservation.amount().0 - cost.0;
        }
        if self.below(40) == 0 {
            let is_power = self.below(2) == 0;
            std::mem::forget(reservation);
            return self.crash(is_power);
        }
        reservation.settle(cost);
    }

    /// Ends in order, and starts again.
    fn close(&mut self) {
        while !self.calls.is_empty() {
            self.end();
        }
        self.treasury.take().unwrap().close().unwrap();
        self.pages.borrow_mut().shards.iter_mut().for_each(|(records, synced)| *synced = records.len());
        self.start(true);
    }

    fn check(&mut self) {
        for (label, truth) in &self.truth {
            let limit = self.limit[usize::from(label.contains("/day@"))];
            assert!(*truth <= limit, "{label}: {truth} of {limit} were let through");
        }
        for budget in self.limits.budgets() {
            for open in budget.opened().iter() {
                let (label, charged) = (open.cell.label(), open.cell.charged().0);
                let truth = self.truth.get(label).copied().unwrap_or(0);
                assert!(charged >= truth, "{label}: {charged} are charged, and {truth} left");
            }
        }
    }

    /// Whatever the store says, with the records behind it, is what the journal says.
    fn audit(&mut self) {
        self.crash(false);
        let store = Store::look(self.directory.path()).unwrap().unwrap();
        let saved = store.read(ledger::load).unwrap();
        for (label, Row { charged, lost, ceiling }) in &saved.rows {
            assert_eq!(*charged, self.pages.borrow().charged(label), "{label}");
            assert_eq!(*ceiling, charged + lost, "no lease outlives its process");
            assert!(charged + lost >= self.truth.get(&**label).copied().unwrap_or(0), "{label}");
        }
    }
}

fn charged(chain: Option<crate::policy::ChainId>) -> Charged {
    Charged { chain, tool: Some(ToolId(0)), server: ServerId(0) }
}

#[test]
fn no_crash_lets_more_through_or_loses_what_was_charged() {
    let (mut spent, mut refused_at_limit) = (0, 0);
    for seed in 0..1_000 {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            (0..120).for_each(|_| world.step());
            world.audit();
            world.truth.values().sum::<u64>()
        });
        let sum = outcome.unwrap_or_else(|_| panic!("seed {seed}"));
        spent += sum;
        refused_at_limit += u64::from(sum > 0);
    }
    assert!(spent > 100_000 && refused_at_limit > 900, "the schedules spend money: {spent} in {refused_at_limit}");
}

#[test]
fn what_is_spent_before_a_kill_is_spent_after_it() {
    let mut world = World::new(7);
    world.limit = [600, 100_000];
    world.crash(false);
    let mut calls = 0;
    for round in 0..400 {
        world.call();
        calls += 1;
        if round % 50 == 49 {
            world.crash(false);
        }
    }
    let minute: u64 = world.truth.iter().filter(|(label, _)| label.contains("minute")).map(|(_, sum)| *sum).sum();
    assert!(calls == 400 && (541..=600).contains(&minute), "all of one minute's money and no more: {minute}");
}

#[test]
fn a_forgotten_period_is_not_given_out_again() {
    let mut world = World::new(3);
    world.provide();
    for _ in 0..12 {
        world.now.0 += 60_000;
        world.provide();
    }
    let treasury = world.treasury.as_mut().unwrap();
    treasury.look(world.now).unwrap();
    world.now = NOW;
    world.provide();
    let budget = world.limits.budgets().find(|budget| budget.level == Level::Key).unwrap();
    let cell = budget.opened().iter().find(|open| open.cell.period.holds(NOW)).unwrap().cell.clone();
    assert_eq!(cell.charged(), Money::MAX, "nobody knows any more what was spent of it");
}
