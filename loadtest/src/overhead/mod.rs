//! What a gate adds: the same load direct, through the bare relay, through a gate and its peers, in turn, in one run.
//!
//! | file | what it holds |
//! |---|---|
//! | `statistics.rs` | medians and how far they can be trusted |
//! | `peer.rs` | another gateway, as the command line names it |
//! | `stand.rs` | server, relay, gate and nginx, each on its cores |
//! | `rounds.rs` | the order of the runs, and what is kept of each |
//! | `summary.rs` | figures of all rounds → medians, intervals, ratios, whether they can be believed |
//! | `table.rs` | the summary for people |
//!
//! Every round loads every target once, so that what the machine does meanwhile hits all of them; figures are medians
//! over the rounds, and each comes with the interval in which its true value lies at 95 %.

mod peer;
mod rounds;
mod stand;
mod statistics;
mod summary;
mod table;

pub use peer::{Peer, Place};
pub use rounds::{LoadKind, Measured, Plan, measure};
pub use stand::{Cast, Stand};
pub use statistics::Estimate;
pub use summary::{Summary, TargetSummary};
pub use table::render;
