//! Servers reached by Streamable HTTP, in both eras.
//!
//! | file | what it holds |
//! |---|---|
//! | `wire.rs` | requests to one server: address, fixed headers, our credential |
//! | `reply.rs` | a response sorted: messages, acknowledgement, refusal |
//! | `exchange.rs` | one request and the messages that answer it |
//! | `modern.rs` | the stateless leg, with mirrored headers |
//! | `legacy.rs` | the leg with `initialize` and sessions |
//! | `server.rs` | one server: the leg that fits, and its sessions |

mod exchange;
mod legacy;
mod modern;
mod reply;
mod server;
#[cfg(test)]
mod tests;
mod wire;

pub(super) use server::HttpServer;
pub(super) use wire::{Trust, Wire};
