//! The meters that stand in the way of each call, in one snapshot. They are asked in a fixed order: the key's, its
//! team's, its customer's, those of the tool, the server's. A call passes all of them or counts at none. Budgets are
//! asked last, and only of tools that have a price.

use super::budget::{self, Budget, Overspent, Reservation};
use super::meter::{Allowance, Bound, Exceeded, Level, Meter};
use super::money::Money;
use super::price::Price;
use crate::base::clock::{Instant, WallTime};
use crate::base::error::{Error, Kind, Retry};
use crate::base::ids::{ServerId, ToolId};
use crate::invariant;
use foldhash::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The meters of a key, its team and its customer, in one [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChainId(u32);

/// Whom a call counts for.
#[derive(Clone, Copy, Debug)]
pub struct Charged {
    /// The meters of the one who calls, where any stand in its way.
    pub chain: Option<ChainId>,
    /// The tool, where one is called.
    pub tool: Option<ToolId>,
    /// The server.
    pub server: ServerId,
}

/// Why a call was refused: whose meter, and what is used up of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where the meter stands.
    pub level: Level,
    /// Whose it is.
    pub name: Arc<str>,
    /// What is used up.
    pub exceeded: Exceeded,
}

/// Why nothing was reserved for a call.
#[derive(Debug)]
pub enum Unpaid {
    /// A budget is spent.
    Refused(Refused),
    /// This host has leased too little of a budget that has enough: ask for more, and try again.
    Lease(Arc<Budget>),
}

/// A call that was let through. It counts as under way until this is dropped.
#[derive(Debug, Default)]
#[must_use = "the call counts as under way until this is dropped"]
pub struct Permit(Vec<Arc<Meter>>);

/// All meters of one snapshot.
#[derive(Debug, Default)]
pub struct Limits {
    chains: Vec<Box<[Arc<Meter>]>>,
    tools: HashMap<ToolId, Box<[Arc<Meter>]>>,
    servers: HashMap<ServerId, Arc<Meter>>,
    prices: HashMap<ToolId, Arc<Price>>,
    known: HashMap<(Level, Arc<str>), Arc<Meter>>,
}

/// Builds the meters of a snapshot; what passed those of the one before stays counted.
#[derive(Debug)]
pub struct LimitsBuilder<'a> {
    limits: Limits,
    previous: Option<&'a Limits>,
    now: Instant,
}

impl<'a> LimitsBuilder<'a> {
    /// Knows no meter yet.
    pub fn new(previous: Option<&'a Limits>, now: Instant) -> Self {
        Self { limits: Limits::default(), previous, now }
    }

    /// The meters of a key: `levels` from the key upwards, with what each allows. Nothing where none limits anything.
    pub fn chain<'b>(&mut self, levels: impl Iterator<Item = (Level, &'b str, &'b Allowance)>) -> Option<ChainId> {
        let meters: Box<[_]> = levels.filter_map(|(level, name, allowed)| self.meter(level, name, allowed)).collect();
        if meters.is_empty() {
            return None;
        }
        let id = invariant!(u32::try_from(self.limits.chains.len()), "there are fewer chains than keys");
        self.limits.chains.push(meters);
        Some(ChainId(id))
    }

    /// A meter for these tools together.
    pub fn tools(&mut self, name: &str, allowed: &Allowance, tools: impl Iterator<Item = ToolId>) {
        let Some(meter) = self.meter(Level::Tools, name, allowed) else { return };
        for tool in tools {
            let at = self.limits.tools.entry(tool).or_default();
            *at = at.iter().chain([&meter]).cloned().collect();
        }
    }

    /// The meter of a server.
    pub fn server(&mut self, name: &str, allowed: &Allowance, server: ServerId) {
        if let Some(meter) = self.meter(Level::Server, name, allowed) {
            self.limits.servers.insert(server, meter);
        }
    }

    /// The price of these tools, where none was said before.
    pub fn price(&mut self, price: &Arc<Price>, tools: impl Iterator<Item = ToolId>) {
        for tool in tools {
            self.limits.prices.entry(tool).or_insert_with(|| price.clone());
        }
    }

    /// All of them.
    pub fn build(self) -> Limits {
        self.limits
    }

    fn meter(&mut self, level: Level, name: &str, allowed: &Allowance) -> Option<Arc<Meter>> {
        if allowed.is_empty() {
            return None;
        }
        let key = (level, Arc::from(name));
        if let Some(meter) = self.limits.known.get(&key) {
            return Some(meter.clone());
        }
        let meter = match self.previous.and_then(|previous| previous.known.get(&key)) {
            Some(meter) if meter.allowance() == allowed => meter.clone(),
            Some(meter) => Arc::new(meter.allowing(allowed.clone(), self.now)),
            None => Arc::new(Meter::new(level, name, allowed.clone())),
        };
        self.limits.known.insert(key, meter.clone());
        Some(meter)
    }
}

impl Limits {
    /// All of them, in no order.
    pub fn meters(&self) -> impl Iterator<Item = &Arc<Meter>> {
        self.known.values()
    }

    /// Counts a call at every meter in its way, or at none.
    ///
    /// # Errors
    /// The first meter that lets no more through.
    pub fn take(&self, charged: &Charged, now: Instant) -> Result<Permit, Refused> {
        let mut permit = Permit::default();
        for meter in self.in_the_way_of(charged) {
            if let Err(exceeded) = meter.take(now) {
                permit.0.drain(..).for_each(|taken| taken.give_back());
                return Err(Refused::by(meter, exceeded));
            }
            permit.0.push(meter.clone());
        }
        Ok(permit)
    }

    /// What a call of the tool costs, where it has a price.
    pub fn price_of(&self, tool: Option<ToolId>) -> Option<&Arc<Price>> {
        tool.filter(|_| !self.prices.is_empty()).and_then(|tool| self.prices.get(&tool))
    }

    /// Reserves the most that a call may cost of every budget in its way, or of none. `low` is told of budgets whose
    /// lease should grow.
    ///
    /// # Errors
    /// The first budget of which it cannot be reserved.
    pub fn reserve(
        &self,
        charged: &Charged,
        amount: Money,
        now: WallTime,
        mut low: impl FnMut(&Arc<Budget>),
    ) -> Result<Reservation, Unpaid> {
        let mut reservation = Reservation::new(amount);
        if amount == Money(0) {
            return Ok(reservation);
        }
        for budget in self.in_the_way_of(charged).flat_map(|meter| meter.budgets()) {
            match budget.take(amount, now) {
                Ok(cell) => {
                    if cell.is_low() {
                        low(budget);
                    }
                    reservation.add(cell);
                }
                Err(budget::Refusal::Lease) => return Err(Unpaid::Lease(budget.clone())),
                Err(budget::Refusal::Spent(overspent)) => {
                    return Err(Unpaid::Refused(Refused::over(budget, overspent, now)));
                }
            }
        }
        Ok(reservation)
    }

    /// Whether a budget of this one's level, name and span is part of these limits.
    pub fn has_budget(&self, budget: &Arc<Budget>) -> bool {
        let meter = self.known.get(&(budget.level, budget.name.clone()));
        meter.is_some_and(|meter| meter.budgets().iter().any(|known| Arc::ptr_eq(known, budget)))
    }

    /// All budgets, in no order that means anything.
    pub fn budgets(&self) -> impl Iterator<Item = &Arc<Budget>> {
        self.known.values().flat_map(|meter| meter.budgets())
    }

    /// The first meter in the way that lets no call through at all, also where none was counted yet: a limit of zero,
    /// a budget of less than the price. Nothing is counted.
    pub fn closed(&self, charged: &Charged, (wall, now): (WallTime, Instant)) -> Option<Refused> {
        let rates = self.in_the_way_of(charged).find_map(|meter| {
            let unused = Meter::new(meter.level, &meter.name, meter.allowance().clone());
            unused.take(now).err().map(|exceeded| Refused::by(meter, exceeded))
        });
        let least = self.price_of(charged.tool).map_or(Money(0), |price| price.least());
        let budgets = self.in_the_way_of(charged).flat_map(|meter| meter.budgets());
        let too_small = |budget: &&Arc<Budget>| budget.terms.limit < least;
        let over = |budget: &Arc<Budget>| Refused::over(budget, budget.never(least, wall), wall);
        rates.or_else(|| { budgets }.find(too_small).map(over))
    }

    /// The meters that a call is held against, in the order in which they are asked.
    pub fn in_the_way_of(&self, charged: &Charged) -> impl Iterator<Item = &Arc<Meter>> {
        let chain = charged.chain.map(|chain| &*self.chains[chain.0 as usize]).unwrap_or_default();
        let tools = charged.tool.filter(|_| !self.tools.is_empty()).and_then(|tool| self.tools.get(&tool));
        let server = (!self.servers.is_empty()).then(|| self.servers.get(&charged.server)).flatten();
        chain.iter().chain(tools.into_iter().flatten()).chain(server)
    }
}

impl Permit {
    /// The call is not made after all: it counts nowhere.
    pub fn give_back(mut self) {
        self.0.drain(..).for_each(|meter| meter.give_back());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.iter().for_each(|meter| meter.end());
    }
}

impl Refused {
    fn by(meter: &Meter, exceeded: Exceeded) -> Self {
        Self { level: meter.level, name: meter.name.clone(), exceeded }
    }

    fn over(budget: &Budget, overspent: Overspent, now: WallTime) -> Self {
        let wait = Some(Duration::from_millis(overspent.resets.0.saturating_sub(now.0)));
        let exceeded = Exceeded { bound: Bound::Money(overspent), wait: wait.filter(|_| overspent.limit.0 > 0) };
        Self { level: budget.level, name: budget.name.clone(), exceeded }
    }

    /// The reason's name in records.
    pub fn reason(&self) -> &'static str {
        match self.exceeded.bound {
            Bound::Money(_) => "budget",
            Bound::Rate(_) => "rate_limited",
            Bound::AtOnce(_) => "too_many_at_once",
        }
    }

    /// What the client is told: which limit, and when to come back.
    pub fn answer(&self) -> Error {
        let (level, name) = (self.level.name(), &self.name);
        let limit = match self.exceeded.bound {
            Bound::Money(overspent) => return self.unpaid(&overspent),
            Bound::Rate(rate) => format!("{} calls a {}", rate.count, rate.period.name()),
            Bound::AtOnce(most) => format!("{most} calls at once"),
        };
        let (when, retry) = match self.exceeded.wait {
            Some(wait) => {
                let seconds = whole_seconds(wait);
                (format!("try again in {seconds} s"), Retry::After(seconds))
            }
            None if matches!(self.exceeded.bound, Bound::AtOnce(1..)) => {
                ("try again when one of them has ended".to_owned(), Retry::After(1))
            }
            None => ("it is closed; ask whoever runs the gate".to_owned(), Retry::Never),
        };
        Error::new(Kind::Limited, format!("limit of {level} {name}: {limit}: {when}")).retry(retry)
    }
}

impl Refused {
    /// What is said of a budget that is spent: whose, what is left, and when there is more.
    fn unpaid(&self, overspent: &Overspent) -> Error {
        let Overspent { limit, span, left, asked, resets } = overspent;
        let (level, name, span) = (self.level.name(), &self.name, span.name());
        let at = i64::try_from(resets.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let at = at.unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ");
        let retry = self.exceeded.wait.map(whole_seconds);
        let when = match retry {
            Some(_) => format!("there is more from {at} on"),
            None => "it is closed; ask whoever runs the gate".to_owned(),
        };
        let what = format!("budget of {level} {name}: {left} left of {limit} a {span}, and this call may cost {asked}");
        let wait = retry.map_or(String::new(), |seconds| format!(r#","retryAfterSeconds":{seconds}"#));
        let whose = format!(r#""level":"{level}","name":"{name}","period":"{span}""#);
        let amounts = format!(r#""limit":"{limit}","left":"{left}","asked":"{asked}""#);
        let data = format!(r#"{{{whose},{amounts},"resetsAt":"{at}"{wait}}}"#);
        let retry = retry.map_or(Retry::Never, Retry::After);
        Error::new(Kind::Spent, format!("{what}: {when}")).retry(retry).data(data)
    }
}

fn whole_seconds(wait: Duration) -> u32 {
    let up = u64::from(wait.subsec_nanos() > 0);
    u32::try_from(wait.as_secs() + up).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::meter::Rate;
    use super::*;

    const NOW: Instant = Instant(5_000_000_000);
    const SERVER: ServerId = ServerId(3);

    fn allowance(rates: &[&str], at_once: Option<u32>) -> Allowance {
        Allowance {
            rates: rates.iter().map(|text| Rate::parse(text).unwrap()).collect(),
            at_once,
            ..Allowance::default()
        }
    }

    fn limits(previous: Option<&Limits>, team: &Allowance) -> (Limits, [Option<ChainId>; 2]) {
        let mut builder = LimitsBuilder::new(previous, NOW);
        let own = allowance(&["3/minute"], None);
        let none = Allowance::default();
        let one = builder.chain([(Level::Key, "one", &own), (Level::Team, "t", team)].into_iter());
        let two = builder.chain([(Level::Key, "two", &none), (Level::Team, "t", team)].into_iter());
        assert_eq!(builder.chain([(Level::Key, "free", &none)].into_iter()), None);
        builder.tools("writes", &allowance(&["2/hour"], None), [ToolId(1), ToolId(2)].into_iter());
        builder.server("git", &allowance(&[], Some(3)), SERVER);
        (builder.build(), [one, two])
    }

    fn charged(chain: Option<ChainId>, tool: Option<u32>, server: ServerId) -> Charged {
        Charged { chain, tool: tool.map(ToolId), server }
    }

    #[test]
    fn a_call_counts_at_every_level_or_at_none() {
        let (limits, [one, two]) = limits(None, &allowance(&["4/minute"], None));
        let take = |chain, tool, server| limits.take(&charged(chain, tool, server), NOW).map_err(|r| (r.level, r.name));
        let elsewhere = ServerId(9);
        for _ in 0..3 {
            let _ = take(one, None, elsewhere).unwrap();
        }
        assert_eq!(take(one, None, elsewhere).unwrap_err(), (Level::Key, "one".into()));
        let _ = take(two, Some(7), elsewhere).unwrap();
        assert_eq!(take(two, None, elsewhere).unwrap_err(), (Level::Team, "t".into()));
        assert!(take(None, None, elsewhere).is_ok());
    }

    #[test]
    fn tools_share_their_meter_and_a_server_counts_what_is_under_way() {
        let (limits, _) = limits(None, &Allowance::default());
        let take = |tool, server| limits.take(&charged(None, tool, server), NOW).map_err(|r| r.level);
        let held = [take(Some(1), SERVER).unwrap(), take(Some(2), SERVER).unwrap(), take(None, SERVER).unwrap()];
        assert_eq!(take(Some(1), ServerId(0)).unwrap_err(), Level::Tools);
        assert_eq!(take(None, SERVER).unwrap_err(), Level::Server);
        drop(held);
        assert!(take(None, SERVER).is_ok());
        assert_eq!(limits.known.values().map(|meter| meter.under_way()).sum::<u32>(), 0);
    }

    #[test]
    fn the_next_snapshot_counts_on() {
        let (first, [_, two]) = limits(None, &allowance(&["2/minute"], None));
        let held = [(); 2].map(|()| first.take(&charged(two, None, SERVER), NOW).unwrap());
        let (same, _) = limits(Some(&first), &allowance(&["2/minute"], None));
        assert!(same.take(&charged(two, None, SERVER), NOW).is_err());
        let (wider, _) = limits(Some(&same), &allowance(&["200/minute"], None));
        assert!(wider.take(&charged(two, None, SERVER), NOW).is_ok());
        let more = wider.take(&charged(two, None, SERVER), NOW).unwrap();
        let full = wider.take(&charged(two, None, SERVER), NOW).unwrap_err();
        assert_eq!(
            (full.level, full.exceeded.bound),
            (Level::Server, Bound::AtOnce(3)),
            "those of before are under way"
        );
        drop((held, more));
        assert_eq!(wider.known.values().map(|meter| meter.under_way()).sum::<u32>(), 0);
    }

    #[test]
    fn what_a_call_may_cost_is_reserved_at_every_budget_or_at_none() {
        use super::super::budget::tests::lease;
        use super::super::{Terms, Zone};
        let now = WallTime(1_790_000_000_000);
        let of = |text: &str| {
            let budgets = [Terms::parse(text, &Zone::default()).unwrap()].into();
            Allowance { budgets, ..Allowance::default() }
        };
        let (own, team, none) = (of("0.000010/day"), of("0.000015/month"), of("0/day"));
        let build = |previous| {
            let mut builder = LimitsBuilder::new(previous, NOW);
            let one = builder.chain([(Level::Key, "one", &own), (Level::Team, "t", &team)].into_iter());
            let two = builder.chain([(Level::Key, "two", &own), (Level::Team, "t", &team)].into_iter());
            let closed = builder.chain([(Level::Key, "none", &none)].into_iter());
            let price = Arc::new(Price { fixed: Money(4), metered: None });
            builder.price(&price, [ToolId(1)].into_iter());
            builder.price(&Arc::new(Price { fixed: Money(9), metered: None }), [ToolId(1)].into_iter());
            (builder.build(), [one, two, closed])
        };
        let (limits, [one, two, none]) = build(None);
        let budgets = |chain: Option<ChainId>| {
            let whom = charged(chain, None, SERVER);
            limits.in_the_way_of(&whom).flat_map(|meter| meter.budgets()).cloned().collect::<Vec<_>>()
        };
        let all: Vec<_> = budgets(one).into_iter().chain([budgets(two)[0].clone()]).collect();
        let cells: Vec<_> = all.iter().map(|budget| lease(budget, 0, 100)).collect();
        let spent = || cells.iter().map(|cell| cell.charged().0).collect::<Vec<_>>();
        let mut lows = 0;
        let mut reserve = |chain| limits.reserve(&charged(chain, Some(1), SERVER), Money(4), now, |_| lows += 1);
        let [mut first, mut second] = [(); 2].map(|()| reserve(one).unwrap());
        first.recorded();
        second.recorded();
        assert_eq!(spent(), [8, 8, 0]);
        let Err(Unpaid::Refused(refused)) = reserve(one) else { panic!("let through") };
        assert_eq!((refused.level, refused.reason(), spent()), (Level::Key, "budget", vec![8, 8, 0]));
        drop(reserve(two).unwrap());
        assert_eq!(spent(), [8, 8, 0], "what is not recorded is given back");
        let mut third = reserve(two).unwrap();
        third.recorded();
        let Err(Unpaid::Refused(refused)) = reserve(two) else { panic!("let through") };
        assert_eq!((refused.level, spent()), (Level::Team, vec![8, 12, 4]), "given back at the key");
        let Err(Unpaid::Lease(budget)) = reserve(none) else { panic!("nothing is leased") };
        assert_eq!((budget.ask(Money(4)), budget.ask(Money(5)), budget.hear()), (true, false, Money(5)));
        assert_eq!(lows, 0, "half of a lease is left");
        let price = limits.price_of(Some(ToolId(1))).unwrap();
        assert_eq!((price.fixed, limits.price_of(Some(ToolId(2)))), (Money(4), None), "the first that is said");
        let closed = |chain, tool| {
            let whom = charged(chain, tool, SERVER);
            limits.closed(&whom, (now, NOW)).map(|refused| refused.reason())
        };
        assert_eq!((closed(none, Some(1)), closed(none, Some(2)), closed(one, Some(1))), (Some("budget"), None, None));
        let (next, _) = build(Some(&limits));
        assert!(all.iter().all(|budget| next.has_budget(budget)), "a reload keeps what is open");
    }

    #[test]
    fn a_spent_budget_says_what_is_left_and_when_there_is_more() {
        let overspent = Overspent {
            limit: Money(5_000_000),
            span: super::super::Span::Day,
            left: Money(120_000),
            asked: Money(400_000),
            resets: WallTime(1_790_035_200_000),
        };
        let name: Arc<str> = "t".into();
        let terms = super::super::Terms::parse("5/day", &super::super::Zone::default()).unwrap();
        let budget = Budget::new(Level::Team, name, terms);
        let error = Refused::over(&budget, overspent, WallTime(1_790_035_190_500)).answer();
        assert_eq!(
            error.context,
            "budget of team t: 0.12 left of 5.00 a day, and this call may cost 0.40: there is more from \
             2026-09-22T00:00:00Z on"
        );
        assert_eq!((error.kind.http_status(), error.kind.rpc_code(), error.retry), (402, -31027, Retry::After(10)));
        let data: serde_json::Value = serde_json::from_str(&error.data.unwrap()).unwrap();
        assert_eq!((&data["left"], &data["resetsAt"]), (&"0.12".into(), &"2026-09-22T00:00:00Z".into()));
        assert_eq!(data["retryAfterSeconds"], 10);
        let closed = Overspent { limit: Money(0), ..overspent };
        assert_eq!(Refused::over(&budget, closed, WallTime(0)).answer().retry, Retry::Never);
    }

    #[test]
    fn a_refusal_says_which_limit_and_when() {
        let (limits, [_, two]) = limits(None, &allowance(&["1/hour"], None));
        let _ = limits.take(&charged(two, None, SERVER), NOW).unwrap();
        let error = limits.take(&charged(two, None, SERVER), NOW).unwrap_err().answer();
        assert_eq!(error.context, "limit of team t: 1 calls a hour: try again in 3600 s");
        assert_eq!((error.kind.http_status(), error.retry), (429, Retry::After(3_600)));
        let closed = Refused {
            level: Level::Tools,
            name: "x".into(),
            exceeded: Exceeded { bound: Bound::AtOnce(0), wait: None },
        };
        assert_eq!(closed.answer().retry, Retry::Never);
    }
}
