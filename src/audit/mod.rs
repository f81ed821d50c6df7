//! The journal: what happened, in records that survive a crash and show any change.
//!
//! | file | what |
//! |---|---|
//! | `entry.rs`, `acts.rs`, `priced.rs`, `digest.rs`, `decode.rs` | kinds of entries, their fields, their rkyv bodies |
//! | `frame.rs` | one record's frame: length, CRC, sequence, time, chain |
//! | `segment.rs` | a segment file: name, head, where its content ends |
//! | `ring.rs` | the mapped ring on tmpfs |
//! | `store.rs` | the directories and who may write them |
//! | `journal.rs`, `writer.rs`, `drain.rs` | appending; making it durable |
//! | `open.rs`, `recover.rs` | starting, and going on after a crash |
//! | `place.rs`, `read.rs`, `verify.rs`, `render.rs` | reading a log, checking it, showing it |

mod acts;
mod decode;
mod digest;
mod drain;
mod entry;
mod frame;
mod journal;
mod open;
mod place;
mod priced;
mod read;
mod recover;
pub mod render;
mod ring;
mod segment;
mod store;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use acts::{Act, Admin, Decided, Held};
pub use digest::{Digest, Digester, digest};
pub use drain::Commit;
pub use entry::{Boot, Denied, Ended, Entry, EntryKind, Era, Intent, Outcome, Recovered, Status};
pub use frame::LogId;
pub use journal::{Journal, JournalSpec, JournalStats};
pub use place::LogPlace;
pub use priced::{BASES, Reserved, Settled};
pub use read::{Damage, Record, ShardLog};
pub use store::Store;
pub use verify::{ShardReport, verify};
