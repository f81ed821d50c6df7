//! A call that is held against limits and budgets at every level.

use std::sync::Arc;
use tollgate::base::clock::{Instant, WallTime};
use tollgate::base::ids::{ServerId, ToolId};
use tollgate::policy::{
    Allowance, Cell, Charged, Level, Limits, LimitsBuilder, Money, Open, Price, Rate, Span, Terms, Zone,
};

const NOW: Instant = Instant(1_000_000_000_000);
const WALL: WallTime = WallTime(1_790_000_000_000);
const TOOL: ToolId = ToolId(0);
const SERVER: ServerId = ServerId(0);

/// Five levels, each with a rate, a bound of calls under way, and one budget.
pub(crate) struct Levels {
    limits: Limits,
    charged: Charged,
}

impl Levels {
    pub(crate) fn new() -> Self {
        let terms = Terms { limit: Money::MAX, span: Span::Day, zone: Zone::default() };
        let rate = Rate::parse("1000000000/second").expect("a rate");
        let all = Allowance { rates: [rate].into(), at_once: Some(u32::MAX), budgets: [terms].into() };
        let mut builder = LimitsBuilder::new(None, NOW);
        let chain = [(Level::Key, "k", &all), (Level::Team, "t", &all), (Level::Customer, "c", &all)];
        let chain = builder.chain(chain.into_iter());
        builder.tools("x", &all, [TOOL].into_iter());
        builder.server("s", &all, SERVER);
        builder.price(&Arc::new(Price { fixed: Money(1), metered: None }), [TOOL].into_iter());
        let limits = builder.build();
        for budget in limits.budgets() {
            let period = budget.terms.span.around(WALL, &budget.terms.zone);
            let cell = Arc::new(Cell::new(&budget.cell_label(period), period, Money(0)));
            cell.lease(Money::MAX, Money::MAX);
            budget.open([Open { cell, forgiven: Money(0), raised: None }]);
        }
        Self { limits, charged: Charged { chain, tool: Some(TOOL), server: SERVER } }
    }

    /// Counts a call at all levels, reserves what it costs, and settles it.
    pub(crate) fn pass(&self) -> bool {
        let permit = self.limits.take(&self.charged, NOW);
        let worst = self.limits.price_of(self.charged.tool).map_or(Money(0), |price| price.worst(None));
        let reserved = self.limits.reserve(&self.charged, worst, WALL, |_| ());
        let passed = permit.is_ok() && reserved.is_ok();
        if let Ok(mut reservation) = reserved {
            reservation.recorded();
            reservation.settle(Money(1));
        }
        if let Ok(permit) = permit {
            permit.give_back();
        }
        passed
    }
}
