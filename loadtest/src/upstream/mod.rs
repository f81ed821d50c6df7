//! The built-in MCP server: as fast as it can be, so that what is measured is what stands in front of it.
//!
//! | file | what it holds |
//! |---|---|
//! | `scan.rs` | the least that must be found in a message: id, method, tool name |
//! | `definitions.rs` | what tools it serves: recorded files, or generated ones |
//! | `service.rs` | a message → its answer, rendered beforehand |
//! | `tools.rs` | the tools that do something: `echo`, `sized`, `slow`, `progress` |
//! | `head.rs` | a request's head, as little of it as matters |
//! | `http.rs` | Streamable HTTP: one read and one write a request |
//! | `sessions.rs` | legacy sessions of all threads, without a lock |
//! | `stdio.rs` | the same service over standard input and output |
//!
//! It trusts what it reads to be well formed and enforces no MCP header: a gate in front of it has done that, and a
//! server that checked it all would hide the gate's cost behind its own.

mod definitions;
mod head;
mod http;
mod scan;
mod service;
mod sessions;
mod stdio;
mod tools;

pub use definitions::{Definition, generate, read};
pub use http::{Running, start};
pub use service::{Eras, Offer, Service};
pub use stdio::serve as serve_stdio;
