//! Meters of what calls cost.

use super::metrics::{Counter, LIMIT_LEVELS};

/// What the calls of one shard cost.
#[derive(Debug, Default)]
pub struct MoneyMeters {
    /// Calls refused by a budget, by the level it stands at.
    over_budget: [Counter; LIMIT_LEVELS.len()],
    /// What calls cost, in micro-dollars.
    pub cost: Counter,
    /// Calls charged with the most they could cost, as their results did not tell.
    pub cost_unread: Counter,
}

impl MoneyMeters {
    /// Calls refused by a budget of one level, by its place in [`LIMIT_LEVELS`].
    pub fn over_budget(&self, level: usize) -> &Counter {
        self.over_budget.get(level).unwrap_or(&self.over_budget[0])
    }

    /// Counts what a call cost, and whether its result did not tell.
    pub fn spent(&self, micro_dollars: u64, unread: bool) {
        self.cost.add(micro_dollars);
        if unread {
            self.cost_unread.inc();
        }
    }
}
