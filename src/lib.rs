//! Tollgate: one URL in front of many MCP servers. This file is the map.
//!
//! A module imports only lower ranks, and modules of one rank do not import each other; `tests/tidy.rs` holds it.
//!
//! | rank | modules |
//! |---|---|
//! | 0 | [`base`]: ids, bounds, the clock, buffers, errors, phases |
//! | 1 | [`rt`]: the machine; the only folder that names the runtime, libc or mmap |
//! | 2 | [`wire`]: bytes ↔ messages (HTTP, TLS, SSE, JSON-RPC), no policy |
//! | 3 | [`catalog`], [`audit`], [`telemetry`] |
//! | 4 | [`policy`], [`mcp`] |
//! | 5 | [`upstream`] |
//! | 6 | [`config`]: as written → `Snapshot` |
//! | 7 | [`shard`], [`control`] |
//! | 8 | [`cli`]: one file per command |

// The futures of a call nest deeper than rustc looks by itself.
#![recursion_limit = "256"]

pub mod audit;
pub mod base;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod control;
pub mod mcp;
pub mod policy;
pub mod rt;
pub mod shard;
pub mod store;
pub mod telemetry;
pub mod upstream;
pub mod wire;
