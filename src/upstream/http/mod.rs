//! Servers reached by Streamable HTTP, in both eras.
//!
//! | file | what it holds |
//! |---|---|
//! | `wire.rs` | requests to one server: address, fixed headers, our credential |
//! | `reply.rs` | a response sorted: messages, acknowledgement, refusal |
//! | `exchange.rs` | one request and the messages that answer it |
//! | `asides.rs` | messages that nobody waits for |
//! | `modern.rs` | the stateless leg, with mirrored headers |
//! | `legacy.rs` | the leg with `initialize` and sessions |
//! | `sse.rs`, `sse_session.rs` | the older legacy transport: HTTP+SSE of 2024-11-05 |
//! | `server.rs` | one server: the leg that fits, and its sessions |

mod asides;
mod asks;
mod exchange;
mod hearing;
mod legacy;
mod modern;
mod reply;
mod server;
mod sse;
mod sse_session;
#[cfg(test)]
mod sse_tests;
#[cfg(test)]
mod tests;
mod wire;

pub(super) use server::HttpServer;
pub(super) use wire::{Trust, Wire};
