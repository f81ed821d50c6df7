//! Rank 6: as written → Snapshot, all errors at once.
//!
//! A [`document::Document`] is a file with places; [`file::Config`] is what it says; `compile` checks that and reads
//! its references.

pub mod document;
mod env;
pub mod file;
pub mod mask;
pub mod report;
pub mod settings;
pub mod state;
mod words;

pub use env::{Lookup, Resolved, Unresolved};
