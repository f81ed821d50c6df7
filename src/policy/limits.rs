//! The meters that stand in the way of each call, in one snapshot. They are asked in a fixed order: the key's, its
//! team's, its customer's, those of the tool, the server's. A call passes all of them or counts at none.

use super::meter::{Allowance, Bound, Exceeded, Level, Meter};
use crate::base::clock::Instant;
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

    /// The first meter in the way that lets no call through at all, also where none was counted yet: a limit of zero.
    /// Nothing is counted.
    pub fn closed(&self, charged: &Charged, now: Instant) -> Option<Refused> {
        self.in_the_way_of(charged).find_map(|meter| {
            let unused = Meter::new(meter.level, &meter.name, meter.allowance().clone());
            unused.take(now).err().map(|exceeded| Refused::by(meter, exceeded))
        })
    }

    /// The meters that a call is held against, in the order in which they are asked.
    pub fn in_the_way_of(&self, charged: &Charged) -> impl Iterator<Item = &Arc<Meter>> {
        let chain = charged.chain.map(|chain| &*self.chains[chain.0 as usize]).unwrap_or_default();
        let tools = charged.tool.filter(|_| !self.tools.is_empty()).and_then(|tool| self.tools.get(&tool));
        let server = (!self.servers.is_empty()).then(|| self.servers.get(&charged.server)).flatten();
        chain.iter().chain(tools.into_iter().flatten()).chain(server)
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

    /// The reason's name in records.
    pub fn reason(&self) -> &'static str {
        match self.exceeded.bound {
            Bound::Rate(_) => "rate_limited",
            Bound::AtOnce(_) => "too_many_at_once",
        }
    }

    /// What the client is told: which limit, and when to come back.
    pub fn answer(&self) -> Error {
        let (level, name) = (self.level.name(), &self.name);
        let limit = match self.exceeded.bound {
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
        Allowance { rates: rates.iter().map(|text| Rate::parse(text).unwrap()).collect(), at_once }
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
