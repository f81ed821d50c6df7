//! Meters: what a level of the tree lets through in a time, and at once. Their cells are atomic and shared by all
//! shards of a host; none of them is ever locked.
//!
//! A rate is kept by the generic cell rate algorithm (ITU-T I.371): one number, the moment at which everything let
//! through so far would have arrived at the even pace. A limit of `n` in a period lets `n` through at once, then one
//! more each `n`th part of the period, and never more than `n` before any of that time has passed.

use super::budget::{Budget, Overspent, Terms};
use crate::base::clock::Instant;
use crate::telemetry::LIMIT_LEVELS;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A length of time that a rate counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// One second.
    Second,
    /// Sixty seconds.
    Minute,
    /// Sixty minutes.
    Hour,
    /// Twenty-four hours.
    Day,
}

impl Period {
    /// All of them, the shortest first.
    pub const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    /// Its name in the configuration and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    fn nanoseconds(self) -> u64 {
        let seconds = match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        };
        seconds * 1_000_000_000
    }
}

/// So many calls in a period, as `600/minute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many; none at all where it is zero.
    pub count: u64,
    /// In what time.
    pub period: Period,
}

impl Rate {
    /// Reads `count/period`; nothing where it is not that.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, name) = text.split_once('/')?;
        let plain = !count.is_empty() && count.bytes().all(|digit| digit.is_ascii_digit());
        let period = Period::ALL.into_iter().find(|period| period.name() == name)?;
        Some(Self { count: count.parse().ok().filter(|_| plain)?, period })
    }

    /// Time between two calls at the even pace, rounded up: a limit is never exceeded by rounding.
    fn pace(self) -> u64 {
        self.period.nanoseconds().div_ceil(self.count.max(1))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.period.name())
    }
}

/// What a level allows. Nothing said, nothing limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Allowance {
    /// Calls in a time; all of them hold. One at most for each period.
    pub rates: Box<[Rate]>,
    /// Calls under way at once.
    pub at_once: Option<u32>,
    /// Money in a time; all of them hold. One at most for each length of the calendar.
    pub budgets: Box<[Terms]>,
}

impl Allowance {
    /// Whether it limits nothing.
    pub fn is_empty(&self) -> bool {
        self.rates.is_empty() && self.at_once.is_none() && self.budgets.is_empty()
    }
}

/// Which kind of thing a meter stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// One key.
    Key,
    /// All keys of a team.
    Team,
    /// All keys of all teams of a customer.
    Customer,
    /// A set of tools, whoever calls.
    Tools,
    /// A server, whoever calls.
    Server,
}

impl Level {
    /// All of them; each stands at its own number.
    pub const ALL: [Self; LIMIT_LEVELS.len()] = [Self::Key, Self::Team, Self::Customer, Self::Tools, Self::Server];

    /// Its name in records, metrics and answers.
    pub fn name(self) -> &'static str {
        LIMIT_LEVELS[self as usize]
    }
}

/// What a meter counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Calls in a time.
    Rate(Rate),
    /// Calls under way at once.
    AtOnce(u32),
    /// Money in a time.
    Money(Overspent),
}

/// Why a meter let a call not through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// What is used up.
    pub bound: Bound,
    /// How long until it lets one more through, if nobody else comes; nothing where time alone does not help.
    pub wait: Option<Duration>,
}

/// What one customer, team, key, set of tools or server has left. Its counts are shared by all shards.
#[derive(Debug)]
pub struct Meter {
    /// Where it stands.
    pub level: Level,
    /// Whose it is.
    pub name: Arc<str>,
    allowance: Allowance,
    /// For each rate: when all that was let through would have arrived at the even pace, on the monotonic clock.
    arrivals: Box<[Arc<AtomicU64>]>,
    under_way: Arc<AtomicU32>,
    budgets: Box<[Arc<Budget>]>,
}

impl Meter {
    /// A meter that nothing has passed yet.
    pub fn new(level: Level, name: &str, allowance: Allowance) -> Self {
        let (name, arrivals) = (Arc::<str>::from(name), allowance.rates.iter().map(|_| Arc::default()).collect());
        let budget = |terms: &Terms| Arc::new(Budget::new(level, name.clone(), terms.clone()));
        let budgets = allowance.budgets.iter().map(budget).collect();
        Self { level, name, allowance, arrivals, under_way: Arc::default(), budgets }
    }

    /// The same meter with what it allows from now on: what has passed stays counted.
    #[must_use]
    pub fn allowing(&self, allowance: Allowance, now: Instant) -> Self {
        let arrivals = allowance.rates.iter().map(|rate| self.arrival_at(*rate, now)).collect();
        let budgets = allowance.budgets.iter().map(|terms| self.budget_of(terms)).collect();
        let (level, name, under_way) = (self.level, self.name.clone(), self.under_way.clone());
        Self { level, name, allowance, arrivals, under_way, budgets }
    }

    /// A budget of these terms: the one there is, or one of which no period is open yet. What was spent of it before
    /// is in the ledger.
    fn budget_of(&self, terms: &Terms) -> Arc<Budget> {
        let known = self.budgets.iter().find(|budget| budget.terms == *terms).cloned();
        known.unwrap_or_else(|| Arc::new(Budget::new(self.level, self.name.clone(), terms.clone())))
    }

    /// Its budgets.
    pub fn budgets(&self) -> &[Arc<Budget>] {
        &self.budgets
    }

    /// The count of a rate that may be new: as many calls are used up of it as of the one before.
    fn arrival_at(&self, rate: Rate, now: Instant) -> Arc<AtomicU64> {
        let same_period = |(_, known): &(_, &Rate)| known.period == rate.period;
        let Some((cell, known)) = self.arrivals.iter().zip(&self.allowance.rates).find(same_period) else {
            return Arc::default();
        };
        if *known == rate {
            return cell.clone();
        }
        let used = cell.load(Ordering::Relaxed).saturating_sub(now.0).div_ceil(known.pace());
        Arc::new(AtomicU64::new(now.0.saturating_add(used.saturating_mul(rate.pace()))))
    }

    /// What it allows.
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// How many calls each rate would still let through now, by the places of the rates.
    pub fn left(&self, now: Instant) -> Vec<u64> {
        let left = |(cell, rate): (&Arc<AtomicU64>, &Rate)| {
            let used = cell.load(Ordering::Relaxed).saturating_sub(now.0).div_ceil(rate.pace().max(1));
            rate.count.saturating_sub(used)
        };
        self.arrivals.iter().zip(&self.allowance.rates).map(left).collect()
    }

    /// How many calls are under way, where that is limited.
    pub fn under_way(&self) -> u32 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Counts one call, or says what is used up; then nothing is counted.
    ///
    /// # Errors
    /// What is used up.
    pub fn take(&self, now: Instant) -> Result<(), Exceeded> {
        for (at, rate) in self.allowance.rates.iter().enumerate() {
            if let Err(wait) = take_rate(&self.arrivals[at], *rate, now) {
                self.give_back_rates(at);
                return Err(Exceeded { bound: Bound::Rate(*rate), wait });
            }
        }
        let Some(most) = self.allowance.at_once else { return Ok(()) };
        let room = |under_way: u32| (under_way < most).then(|| under_way + 1);
        if self.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            self.give_back_rates(self.arrivals.len());
            return Err(Exceeded { bound: Bound::AtOnce(most), wait: None });
        }
        Ok(())
    }

    /// Undoes [`Self::take`]: the call was not made after all.
    pub fn give_back(&self) {
        self.give_back_rates(self.arrivals.len());
        self.end();
    }

    /// The call has ended.
    pub fn end(&self) {
        if self.allowance.at_once.is_some() {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn give_back_rates(&self, count: usize) {
        for (rate, cell) in self.allowance.rates.iter().zip(&self.arrivals).take(count) {
            cell.fetch_sub(rate.pace(), Ordering::Relaxed);
        }
    }
}

/// Counts one call of a rate; else how long until there is room for it.
fn take_rate(cell: &AtomicU64, rate: Rate, now: Instant) -> Result<(), Option<Duration>> {
    if rate.count == 0 {
        return Err(None);
    }
    let pace = rate.pace();
    let window = pace.saturating_mul(rate.count);
    let next = |arrival: u64| arrival.max(now.0).saturating_add(pace);
    let room = |arrival: u64| Some(next(arrival)).filter(|next| next - now.0 <= window);
    match cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
        Ok(_) => Ok(()),
        Err(arrival) => Err(Some(Duration::from_nanos(next(arrival) - now.0 - window))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Instant = Instant(1_000_000_000_000);

    fn allowance(rates: &[&str], at_once: Option<u32>) -> Allowance {
        Allowance {
            rates: rates.iter().map(|text| Rate::parse(text).unwrap()).collect(),
            at_once,
            ..Allowance::default()
        }
    }

    fn meter(rates: &[&str], at_once: Option<u32>) -> Meter {
        Meter::new(Level::Key, "k", allowance(rates, at_once))
    }

    fn passed(meter: &Meter, now: Instant, tries: usize) -> usize {
        (0..tries).filter(|_| meter.take(now).is_ok()).count()
    }

    #[test]
    fn rates_read_as_they_are_written() {
        for text in ["1/second", "600/minute", "0/hour", "18446744073709551615/day"] {
            assert_eq!(Rate::parse(text).unwrap().to_string(), text);
        }
        for bad in
            ["", "1", "/minute", "1/", "1/week", "-1/day", "+1/day", "1 /day", "1.5/day", "1/Minute", "1/minute/x"]
        {
            assert_eq!(Rate::parse(bad), None, "{bad}");
        }
        assert_eq!(Rate::parse("18446744073709551616/day"), None);
    }

    #[test]
    fn a_rate_lets_its_count_through_and_then_keeps_the_pace() {
        let meter = meter(&["10/minute"], None);
        assert_eq!(passed(&meter, NOW, 64), 10);
        let refused = meter.take(NOW).unwrap_err();
        assert_eq!(refused.wait, Some(Duration::from_secs(6)));
        assert_eq!(passed(&meter, NOW + Duration::from_millis(5_999), 64), 0);
        assert_eq!(passed(&meter, NOW + Duration::from_secs(6), 64), 1);
        assert_eq!(passed(&meter, NOW + Duration::from_secs(3_600), 64), 10);
    }

    #[test]
    fn nothing_passes_zero_and_everything_passes_no_limit() {
        let closed = meter(&["0/day"], None);
        assert_eq!(closed.take(NOW).unwrap_err().wait, None);
        assert_eq!(passed(&meter(&[], Some(0)), NOW, 9), 0);
        assert_eq!(passed(&meter(&[], None), NOW, 1_000), 1_000);
        assert_eq!(passed(&meter(&["18446744073709551615/second"], Some(u32::MAX)), NOW, 1_000), 1_000);
    }

    #[test]
    fn all_rates_hold_and_a_refusal_counts_nothing() {
        let meter = meter(&["3/second", "5/hour"], None);
        assert_eq!(passed(&meter, NOW, 9), 3);
        assert_eq!(passed(&meter, NOW + Duration::from_millis(1_001), 9), 2, "of the hour");
        let refused = meter.take(NOW + Duration::from_millis(1_001)).unwrap_err();
        assert_eq!(refused.bound, Bound::Rate(Rate::parse("5/hour").unwrap()));
        assert_eq!(passed(&meter, NOW + Duration::from_secs(721), 9), 1, "no refusal took of the second");
    }

    #[test]
    fn calls_under_way_are_counted_until_they_end() {
        let meter = meter(&["9/day"], Some(2));
        assert_eq!((passed(&meter, NOW, 9), meter.under_way()), (2, 2));
        assert_eq!(meter.take(NOW).unwrap_err(), Exceeded { bound: Bound::AtOnce(2), wait: None });
        meter.end();
        assert_eq!(passed(&meter, NOW, 9), 1);
        meter.end();
        meter.end();
        assert_eq!((0..9).filter(|_| meter.take(NOW).map(|()| meter.end()).is_ok()).count(), 6, "of the day");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let meter = meter(&["2/hour"], Some(2));
        meter.take(NOW).unwrap();
        meter.take(NOW).unwrap();
        meter.give_back();
        assert_eq!((passed(&meter, NOW, 9), meter.under_way()), (1, 2));
    }

    #[test]
    fn a_change_of_the_limit_forgets_nothing_that_passed() {
        let small = meter(&["10/minute"], Some(100));
        assert_eq!(passed(&small, NOW, 99), 10);
        let large = small.allowing(allowance(&["100/minute"], Some(16)), NOW);
        assert_eq!((passed(&large, NOW, 99), large.under_way()), (6, 16), "ten were under way");
        (0..16).for_each(|_| large.end());
        assert_eq!((0..999).filter(|_| large.take(NOW).map(|()| large.end()).is_ok()).count(), 84, "of the minute");
        let less = large.allowing(allowance(&["10/minute"], None), NOW);
        assert_eq!(passed(&less, NOW + Duration::from_secs(540), 99), 0);
        assert_eq!(passed(&less, NOW + Duration::from_secs(546), 99), 1);
        let same = less.allowing(allowance(&["10/minute", "1/hour"], None), NOW);
        assert_eq!(
            (passed(&same, NOW + Duration::from_secs(552), 9), passed(&less, NOW + Duration::from_secs(552), 9)),
            (1, 0)
        );
    }

    #[test]
    fn exactly_the_limit_passes_however_many_threads_ask() {
        for _ in 0..20 {
            let meter = meter(&["10/minute"], Some(7));
            let count = || {
                let through = AtomicU32::new(0);
                let ask = || {
                    let passed = (0..8).map(|_| u32::from(meter.take(NOW).is_ok())).sum();
                    through.fetch_add(passed, Ordering::Relaxed)
                };
                std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(ask))));
                through.into_inner()
            };
            assert_eq!(count(), 7);
            (0..7).for_each(|_| meter.end());
            assert_eq!(count(), 3);
        }
    }

    proptest! {
        /// In no time do more pass than the count and what the pace gives.
        #[test]
        fn never_more_than_the_count_and_the_pace(
            count in 1_u64..50,
            steps in proptest::collection::vec(0_u64..3_000, 1..300),
        ) {
            let rate = Rate { count, period: Period::Second };
            let meter = Meter::new(Level::Key, "k", Allowance { rates: [rate].into(), ..Allowance::default() });
            let (mut now, mut through) = (NOW, Vec::new());
            for step in steps {
                now = now + Duration::from_micros(step * step / 30);
                if meter.take(now).is_ok() {
                    through.push(now);
                }
            }
            for (at, first) in through.iter().enumerate() {
                for (more, last) in through[at..].iter().enumerate() {
                    let pace = u64::try_from(last.since(*first).as_nanos()).unwrap() / rate.pace();
                    prop_assert!((more as u64) < count + pace);
                }
            }
        }
    }
}
