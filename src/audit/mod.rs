//! The journal: what happened, in records that survive a crash and show any change.

mod entry;

pub use entry::digest;
pub use entry::{Boot, Denied, Digest, Digester, Ended, Entry, EntryKind, Era, Intent, Outcome, Recovered, Status};
