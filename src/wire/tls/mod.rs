//! TLS over owned buffers: rustls with the aws-lc provider, named explicitly, on any [`crate::rt::stream::Stream`].

mod config;
mod either;
mod stream;

pub use config::{ServerIdentity, client_config};
pub use either::MaybeTls;
pub use rustls::{ClientConfig, ServerConfig};
pub use stream::TlsStream;
