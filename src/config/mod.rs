//! Rank 6: as written → Snapshot, all errors at once.
//!
//! A [`document::Document`] is a file with places; [`file::Config`] is what it says; `compile` checks that and reads
//! its references.

mod callers;
mod compile;
mod diff;
pub mod document;
mod env;
pub mod file;
pub mod import;
pub mod mask;
pub mod reference;
pub mod report;
pub mod schema;
pub mod settings;
mod snapshot;
pub mod state;
mod stored;
mod words;

pub(crate) use compile::keys::time;
pub use compile::{Compiled, Purpose};
pub use diff::Diff;
pub use env::{Lenient, Lookup, Resolved, Unresolved};
pub use report::Report;
pub use settings::Settings;
pub use snapshot::Snapshot;
pub(crate) use words::nearest;
