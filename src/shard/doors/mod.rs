//! The doors: what a client says at each of them, understood and handed on.

mod asking;
pub(crate) mod held;
pub(crate) mod legacy;
pub(crate) mod mcp;
mod modern;
mod notices;
mod replies;
pub(crate) mod resume;
pub(crate) mod sse;
pub(crate) mod stream;
mod told;
