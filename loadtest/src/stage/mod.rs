//! What a measurement needs around it: processes started on their cores, and stopped.
//!
//! | file | what it holds |
//! |---|---|
//! | `descriptors.rs` | as many open connections as the machine allows |
//! | `pin.rs` | a thread on some cores |
//! | `process.rs` | a process: started, heard, stopped |
//! | `ready.rs` | whether an endpoint lists a tool yet |
//! | `gate.rs` | a gate with one shard, keys and a journal |
//! | `nginx.rs` | nginx as a plain reverse proxy |

pub mod descriptors;
pub mod gate;
pub mod nginx;
pub mod pin;
pub mod process;
pub mod ready;
