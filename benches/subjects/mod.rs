//! What is measured: each file prepares the state of one step of a request and runs that step on it, so that wall time
//! and instruction counts are those of the same functions.
//!
//! | file | the step |
//! |---|---|
//! | `envelope.rs` | a body to a JSON-RPC envelope, at three sizes |
//! | `head.rs` | the head of a request and of an upstream's answer |
//! | `keys.rs` | a token to a principal |
//! | `tools.rs` | a tool's name to a verdict; the view of 508 tools to an answer |
//! | `journal.rs` | the two records of a call |
//! | `money.rs` | limits and budgets at five levels; wall time alone |
//!
//! Nothing here depends on time, randomness or what lies beside the repository.

pub(crate) mod envelope;
pub(crate) mod head;
pub(crate) mod journal;
pub(crate) mod keys;
pub(crate) mod tools;
