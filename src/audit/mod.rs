//! The journal: what happened, in records that survive a crash and show any change.
//!
//! | file | what |
//! |---|---|
//! | `entry.rs` | kinds of entries, their fields, their rkyv bodies |
//! | `frame.rs` | one record's frame: length, CRC, sequence, time, chain |
//! | `segment.rs` | a segment file: name, head, where its content ends |
//! | `ring.rs` | the mapped ring on tmpfs |
//! | `store.rs` | the directories and who may write them |
//! | `journal.rs`, `drain.rs` | appending; making it durable |
//! | `recover.rs` | going on after a crash |

mod drain;
mod entry;
mod frame;
mod journal;
mod recover;
mod ring;
mod segment;
mod store;

pub use drain::Commit;
pub use entry::{
    Boot, Denied, Digest, Digester, Ended, Entry, EntryKind, Era, Intent, Outcome, Recovered, Status, digest,
};
pub use frame::LogId;
pub use journal::{Journal, JournalSpec, JournalStats};
pub use store::Store;
