//! Budgets: what a level of the tree may spend in a period of the calendar.
//!
//! What is spent in one period stands in one [`Cell`], shared by all shards of a host and never locked. It lets through
//! no more than the host has leased of the ledger, and the ledger leases no more than the limit. The most that a call
//! may cost is reserved before it is made; what it did not cost is given back once its record says so.

use super::calendar::{Period, Span, Zone};
use super::meter::Level;
use super::money::Money;
use crate::base::clock::WallTime;
use arc_swap::ArcSwap;
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Periods of one budget that are open at once: the one before now, the one now, the next.
const OPEN: usize = 3;

/// So much money in a period, as `5.00/day`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// How much; nothing at all where it is zero.
    pub limit: Money,
    /// In what length of the calendar.
    pub span: Span,
    /// Whose calendar.
    pub zone: Zone,
}

impl Terms {
    /// Reads `amount/period`; nothing where it is not that.
    pub fn parse(text: &str, zone: &Zone) -> Option<Self> {
        let (amount, span) = text.split_once('/')?;
        Some(Self { limit: Money::parse(amount)?, span: Span::named(span)?, zone: zone.clone() })
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.limit, self.span.name())
    }
}

/// What is charged in one period of one budget.
#[derive(Debug)]
pub struct Cell {
    /// The period.
    pub period: Period,
    label: Box<str>,
    /// What was charged and reserved.
    charged: AtomicU64,
    /// What the ledger says may be charged at most. It never shrinks while the cell is open.
    ceiling: AtomicU64,
    /// Once more than this is charged, the lease should grow.
    mark: AtomicU64,
}

impl Cell {
    /// A period of which so much is spent, and nothing leased yet.
    pub fn new(label: &str, period: Period, spent: Money) -> Self {
        let of = |amount: Money| AtomicU64::new(amount.0);
        Self { period, label: label.into(), charged: of(spent), ceiling: of(spent), mark: AtomicU64::new(0) }
    }

    /// Its name in records and in the ledger: `team:research/day@1764370800000`, with the period's first moment in
    /// milliseconds since 1970.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What was charged and reserved up to now.
    pub fn charged(&self) -> Money {
        Money(self.charged.load(Ordering::Relaxed))
    }

    /// What may be charged at most, as leased.
    pub fn ceiling(&self) -> Money {
        Money(self.ceiling.load(Ordering::Acquire))
    }

    /// Whether its lease should grow.
    pub fn is_low(&self) -> bool {
        self.charged.load(Ordering::Relaxed) >= self.mark.load(Ordering::Relaxed)
    }

    /// Lets charges go up to `ceiling`, which is in the ledger by now, and asks for more once they are above `mark`.
    pub fn lease(&self, ceiling: Money, mark: Money) {
        self.ceiling.fetch_max(ceiling.0, Ordering::Release);
        self.mark.store(mark.0, Ordering::Relaxed);
    }

    fn take(&self, amount: Money, bound: Money) -> Result<(), Shortage> {
        let most = bound.min(self.ceiling()).0;
        let room = |charged: u64| charged.checked_add(amount.0).filter(|sum| *sum <= most);
        match self.charged.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => Ok(()),
            Err(charged) if charged.checked_add(amount.0).is_none_or(|sum| sum > bound.0) => {
                Err(Shortage::Spent(bound.minus(Money(charged))))
            }
            Err(_) => Err(Shortage::Lease),
        }
    }

    fn give_back(&self, amount: Money) {
        self.charged.fetch_sub(amount.0, Ordering::Relaxed);
    }
}

/// Why a cell lets a charge not through.
enum Shortage {
    /// So much is left of the budget, and it is too little.
    Spent(Money),
    /// The budget has enough, and this host has not leased it.
    Lease,
}

/// A cell that is open, and what may be charged to it now.
#[derive(Clone, Debug)]
pub struct Open {
    /// The cell.
    pub cell: Arc<Cell>,
    /// What was charged before a reset, and so does not count.
    pub forgiven: Money,
    /// So much more may be spent until then.
    pub raised: Option<(Money, WallTime)>,
}

impl Open {
    /// The most that may be charged to it at a time.
    pub fn bound(&self, limit: Money, now: WallTime) -> Money {
        let raised = self.raised.filter(|(_, until)| now < *until).map_or(Money(0), |(by, _)| by);
        limit.plus(self.forgiven).plus(raised)
    }
}

/// Why a budget let a call not through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overspent {
    /// What may be spent in a period.
    pub limit: Money,
    /// How long a period is.
    pub span: Span,
    /// What is left of it.
    pub left: Money,
    /// What the call may cost.
    pub asked: Money,
    /// When the next period begins.
    pub resets: WallTime,
}

/// What one customer, team, key, set of tools or server may spend.
#[derive(Debug)]
pub struct Budget {
    /// Where it stands.
    pub level: Level,
    /// Whose it is.
    pub name: Arc<str>,
    /// How much, and in what time.
    pub terms: Terms,
    open: ArcSwap<SmallVec<[Open; OPEN]>>,
    /// The dearest call that asked for more of it and was not heard yet, in micro-dollars; nobody asked where zero.
    wanted: AtomicU64,
}

/// Tells whoever keeps the ledger that more of a budget should be leased.
pub type AskLease = Arc<dyn Fn(&Arc<Budget>) + Send + Sync>;

/// Why nothing could be reserved of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is spent.
    Spent(Overspent),
    /// It is not, and nothing of it is leased: whoever keeps the ledger is to be asked.
    Lease,
}

impl Budget {
    /// A budget of which no period is open yet.
    pub fn new(level: Level, name: Arc<str>, terms: Terms) -> Self {
        Self { level, name, terms, open: ArcSwap::default(), wanted: AtomicU64::new(0) }
    }

    /// Whose it is and what it counts in, as its cells' labels begin: `team:research/day`.
    pub fn label(&self) -> String {
        format!("{}:{}/{}", self.level.name(), self.name, self.terms.span.name())
    }

    /// The label of the cell of a period.
    pub fn cell_label(&self, period: Period) -> String {
        format!("{}@{:013}", self.label(), period.start.0)
    }

    /// The periods that are open.
    pub fn opened(&self) -> Arc<SmallVec<[Open; OPEN]>> {
        self.open.load_full()
    }

    /// Opens these periods and closes all others.
    pub fn open(&self, cells: impl IntoIterator<Item = Open>) {
        self.open.store(Arc::new(cells.into_iter().collect()));
    }

    /// Notes that a call of so much wants more of it; says whether nobody else does.
    pub fn ask(&self, amount: Money) -> bool {
        self.wanted.fetch_max(amount.0.max(1), Ordering::Relaxed) == 0
    }

    /// Hears who asked: the dearest of their calls.
    pub fn hear(&self) -> Money {
        Money(self.wanted.swap(0, Ordering::Relaxed))
    }

    /// Reserves an amount in the period of now.
    pub(super) fn take(&self, amount: Money, now: WallTime) -> Result<Arc<Cell>, Refusal> {
        let opened = self.open.load();
        let Some(open) = opened.iter().find(|open| open.cell.period.holds(now)) else { return Err(Refusal::Lease) };
        match open.cell.take(amount, open.bound(self.terms.limit, now)) {
            Ok(()) => Ok(open.cell.clone()),
            Err(Shortage::Lease) => Err(Refusal::Lease),
            Err(Shortage::Spent(left)) => {
                let (Terms { limit, span, .. }, resets) = (self.terms.clone(), open.cell.period.end);
                Err(Refusal::Spent(Overspent { limit, span, left, asked: amount, resets }))
            }
        }
    }

    /// What is said of an amount that is more than it ever has.
    pub(super) fn never(&self, asked: Money, now: WallTime) -> Overspent {
        let Terms { limit, span, zone } = &self.terms;
        Overspent { limit: *limit, span: *span, left: *limit, asked, resets: span.around(now, zone).end }
    }
}

/// What is reserved of all budgets in the way of one call. What is not recorded is given back when this is dropped;
/// what is recorded stays charged until it is settled.
#[derive(Debug)]
#[must_use = "what is reserved is given back when this is dropped"]
pub struct Reservation {
    amount: Money,
    cells: SmallVec<[Arc<Cell>; 4]>,
    is_recorded: bool,
}

impl Reservation {
    /// Nothing is reserved yet.
    pub(super) fn new(amount: Money) -> Self {
        Self { amount, cells: SmallVec::new(), is_recorded: false }
    }

    pub(super) fn add(&mut self, cell: Arc<Cell>) {
        self.cells.push(cell);
    }

    /// What is reserved of each.
    pub fn amount(&self) -> Money {
        self.amount
    }

    /// The labels of its cells with blanks between, as records have them.
    pub fn labels(&self) -> String {
        let labels: SmallVec<[&str; 4]> = self.cells.iter().map(|cell| cell.label()).collect();
        labels.join(" ")
    }

    /// The journal has it: from now on it stays charged, whatever becomes of the call.
    pub fn recorded(&mut self) {
        self.is_recorded = true;
    }

    /// The journal says what the call cost: the rest is given back.
    pub fn settle(self, cost: Money) {
        self.cells.iter().for_each(|cell| cell.give_back(self.amount.minus(cost)));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_recorded {
            self.cells.iter().for_each(|cell| cell.give_back(self.amount));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    const NOW: WallTime = WallTime(1_790_000_000_000);

    pub(in super::super) fn budget(terms: &str) -> Budget {
        Budget::new(Level::Team, "t".into(), Terms::parse(terms, &Zone::default()).unwrap())
    }

    /// Opens the period of now with so much spent and so much leased.
    pub(in super::super) fn lease(budget: &Budget, spent: u64, ceiling: u64) -> Arc<Cell> {
        let period = budget.terms.span.around(NOW, &budget.terms.zone);
        let cell = Arc::new(Cell::new(&budget.cell_label(period), period, Money(spent)));
        cell.lease(Money(ceiling), Money(ceiling / 2));
        budget.open([Open { cell: cell.clone(), forgiven: Money(0), raised: None }]);
        cell
    }

    fn spent(taken: Result<Arc<Cell>, Refusal>) -> Overspent {
        match taken {
            Err(Refusal::Spent(overspent)) => overspent,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn terms_read_as_they_are_written() {
        let zone = Zone::default();
        for text in ["5.00/day", "0.00/minute", "18446744073709.551615/year"] {
            assert_eq!(Terms::parse(text, &zone).unwrap().to_string(), text);
        }
        for bad in ["", "5", "5/", "/day", "5/days", "5/second", "-5/day", "5 /day", "5/day/day", "five/day"] {
            assert_eq!(Terms::parse(bad, &zone), None, "{bad}");
        }
    }

    #[test]
    fn a_budget_lets_through_its_limit_and_no_more_than_is_leased() {
        let budget = budget("0.000010/day");
        assert_eq!(budget.take(Money(1), NOW).unwrap_err(), Refusal::Lease, "nothing is open");
        let cell = lease(&budget, 0, 6);
        assert!(budget.take(Money(6), NOW).is_ok());
        assert_eq!(budget.take(Money(4), NOW).unwrap_err(), Refusal::Lease, "there is money, and no lease");
        assert_eq!(spent(budget.take(Money(5), NOW)).left, Money(4));
        cell.lease(Money(10), Money(10));
        assert!(budget.take(Money(4), NOW).is_ok());
        assert!(cell.is_low());
        let over = spent(budget.take(Money(1), NOW));
        assert_eq!((over.left, over.asked, over.resets), (Money(0), Money(1), cell.period.end));
    }

    #[test]
    fn zero_lets_nothing_and_the_most_there_is_lets_everything_through() {
        let closed = budget("0/month");
        lease(&closed, 0, 0);
        assert_eq!(spent(closed.take(Money(1), NOW)).left, Money(0));
        let open = budget("18446744073709.551615/month");
        let cell = lease(&open, 0, u64::MAX);
        assert!(open.take(Money(u64::MAX - 1), NOW).is_ok());
        assert!(open.take(Money(1), NOW).is_ok());
        assert_eq!(spent(open.take(Money(1), NOW)).left, Money(0), "no sum goes round");
        assert_eq!(cell.charged(), Money::MAX);
    }

    #[test]
    fn each_period_has_its_own_money_whichever_way_the_clock_jumps() {
        let budget = budget("0.000010/day");
        let today = lease(&budget, 0, 10);
        let tomorrow = Period { start: today.period.end, end: WallTime(today.period.end.0 + 86_400_000) };
        let next = Arc::new(Cell::new(&budget.cell_label(tomorrow), tomorrow, Money(0)));
        next.lease(Money(10), Money(10));
        let open = |cell: &Arc<Cell>| Open { cell: cell.clone(), forgiven: Money(0), raised: None };
        budget.open([open(&today), open(&next)]);
        assert!(budget.take(Money(7), NOW).is_ok());
        assert!(budget.take(Money(7), tomorrow.start).is_ok());
        assert_eq!(spent(budget.take(Money(7), NOW)).left, Money(3), "back again: what was spent stays spent");
        for gone in [WallTime(0), WallTime(u64::MAX), tomorrow.end] {
            assert_eq!(budget.take(Money(1), gone).unwrap_err(), Refusal::Lease, "no such period is open");
        }
    }

    #[test]
    fn a_reset_and_a_raise_give_more_and_a_raise_ends() {
        let budget = budget("0.000010/day");
        let cell = lease(&budget, 10, 100);
        let until = WallTime(NOW.0 + 1_000);
        assert_eq!(spent(budget.take(Money(1), NOW)).left, Money(0));
        let open = |forgiven, raised| budget.open([Open { cell: cell.clone(), forgiven: Money(forgiven), raised }]);
        open(10, None);
        assert!(budget.take(Money(10), NOW).is_ok(), "all of it again");
        open(10, Some((Money(5), until)));
        assert!(budget.take(Money(3), NOW).is_ok());
        assert_eq!(spent(budget.take(Money(3), NOW)).left, Money(2));
        assert_eq!(spent(budget.take(Money(1), until)).left, Money(0));
    }

    #[test]
    fn what_is_not_recorded_is_given_back_and_what_is_stays() {
        let budget = budget("0.000010/day");
        let cell = lease(&budget, 0, 10);
        let reserve = || {
            let mut reservation = Reservation::new(Money(4));
            reservation.add(budget.take(Money(4), NOW).unwrap());
            reservation
        };
        drop(reserve());
        assert_eq!(cell.charged(), Money(0));
        let mut lost = reserve();
        lost.recorded();
        drop(lost);
        assert_eq!(cell.charged(), Money(4), "nobody knows what it cost");
        let mut settled = reserve();
        settled.recorded();
        assert_eq!(settled.labels(), format!("team:t/day@{:013}", cell.period.start.0));
        settled.settle(Money(1));
        assert_eq!(cell.charged(), Money(5));
    }

    #[test]
    fn exactly_the_limit_passes_however_many_threads_ask() {
        let budget = budget("0.001/day");
        lease(&budget, 0, 1_000);
        let through = AtomicUsize::new(0);
        let ask = || {
            let passed = (0..100).filter(|_| budget.take(Money(3), NOW).is_ok()).count();
            through.fetch_add(passed, Ordering::Relaxed)
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(ask))));
        assert_eq!(through.into_inner(), 333);
    }
}
