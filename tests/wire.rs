//! HTTP over real sockets on both drivers: framing that must be refused, servers, clients, and what a call allocates.
//! `cargo test --test wire`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is not as it should be")]

#[path = "wire/allocations.rs"]
mod allocations;
#[path = "wire/client.rs"]
mod client;
#[path = "wire/counting.rs"]
mod counting;
#[path = "wire/differential.rs"]
mod differential;
#[path = "wire/framing.rs"]
mod framing;
#[path = "wire/peers.rs"]
mod peers;
#[path = "wire/server.rs"]
mod server;
#[path = "wire/sim.rs"]
mod sim;
