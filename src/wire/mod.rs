//! Rank 2: bytes ↔ messages, no policy.

pub mod http;
pub mod rpc;
pub mod sse;
pub mod tls;
