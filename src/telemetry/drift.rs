//! Meters of changed and suspicious definitions, by server. The control thread alone writes them.

use super::metrics::{Counter, Gauge, ServerSlot};
use crate::base::limits::METRIC_SERVERS_MAX;

/// What may come of a definition that is not the pinned one, as a metric label.
pub const CHANGES: [&str; 3] = ["harmless", "held", "quarantined"];

/// The meters of one server, or of all that have no row of their own.
#[derive(Debug, Default)]
pub struct DriftRow {
    /// Tools that wait for approval.
    pub held: Gauge,
    /// Tools that are suspicious and wait for approval.
    pub quarantined: Gauge,
    /// Pins that cannot be read.
    pub pin_faults: Gauge,
    /// Changes seen, by [`CHANGES`].
    pub changes: [Counter; CHANGES.len()],
}

/// The meters of all servers.
#[derive(Debug)]
pub struct DriftMetrics([DriftRow; METRIC_SERVERS_MAX + 1]);

impl Default for DriftMetrics {
    fn default() -> Self {
        Self(std::array::from_fn(|_| DriftRow::default()))
    }
}

impl DriftMetrics {
    /// The row of a server.
    pub fn row(&self, slot: ServerSlot) -> &DriftRow {
        &self.0[slot.place()]
    }

    /// Pins of all servers that cannot be read.
    pub fn pin_faults(&self) -> u64 {
        self.0.iter().map(|row| row.pin_faults.get()).sum()
    }
}
