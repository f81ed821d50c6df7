//! The doors: what a client says at each of them, understood and handed on.

pub(crate) mod legacy;
pub(crate) mod mcp;
mod modern;
mod notices;
pub(crate) mod stream;
