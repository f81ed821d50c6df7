//! What a measurement needs around it: processes started, pinned and stopped; their CPU time and memory.
//!
//! | file | what it holds |
//! |---|---|
//! | `descriptors.rs` | as many open connections as the machine allows |
//! | `pin.rs` | a thread on one core |

pub mod descriptors;
pub mod pin;
