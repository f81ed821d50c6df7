//! Rank 6: as written → Snapshot, all errors at once.
//!
//! A [`document::Document`] is a file with places; [`file::Config`] is what it says; `compile` checks that and reads
//! its references.

mod accounts;
mod admins;
mod approval;
mod callers;
mod compile;
mod diff;
pub mod document;
mod drift;
pub mod edit;
mod env;
pub mod file;
pub mod import;
mod keys_file;
pub mod mask;
pub mod notes;
mod oauth;
pub mod objects;
mod pins;
pub mod reference;
mod refused;
pub mod report;
pub mod schema;
pub mod settings;
mod snapshot;
pub mod state;
mod switched;
mod takeover;
mod watch;
mod words;

pub use admins::{AdminHolder, Role};
pub(crate) use compile::keys::time;
pub(crate) use compile::servers::UNREAD;
pub use compile::{Compiled, Purpose};
pub use diff::Diff;
pub use env::{Lenient, Lookup, Resolved, Unresolved};
pub use report::Report;
pub use settings::Settings;
pub use snapshot::Snapshot;
pub use watch::Watch;
pub(crate) use words::nearest;
