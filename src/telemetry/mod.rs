//! What the gate tells about itself: meters that only their own shard writes, their text for Prometheus, log events.

mod drift;
mod encode;
pub mod events;
mod metrics;
mod money;
pub mod names;
mod process;
mod steps;

pub use drift::{CHANGES, DriftMetrics, DriftRow};
pub use encode::{CONTENT_TYPE, encode};
pub use metrics::{
    CallOutcome, Counter, Gauge, HISTOGRAM_BOUNDS_US, Histogram, JournalGauges, LIMIT_LEVELS, ServerCalls, ServerSlot,
    ServerTable, ShardMetrics,
};
pub use money::MoneyMeters;
pub use process::ProcessInfo;
pub use steps::ApprovalStep;
