//! HTTP/1.1 on httparse: head, body, server loop, client, pool.
//!
//! Sans-IO parts (`scan`, `head`, `framing`, `chunk`, `writer`) know bytes only; `server` and `client` move them over
//! any `rt::stream::Stream`. Strictness is the rule on both sides: a message that two parsers could read differently is
//! refused and its connection closed (RFC 9112 11.2).

mod chunk;
mod client;
mod conn;
mod endpoint;
mod fault;
mod fields;
mod framing;
mod head;
mod host;
mod known;
mod limits;
mod method;
mod names;
mod pool;
mod request;
mod response;
mod scan;
mod server;
mod template;
mod watch;
mod writer;

pub use chunk::{ChunkDecoder, encode_chunk};
pub use client::Client;
pub use endpoint::{Connect, Dial, Endpoint};
pub use fault::Fault;
pub use framing::Framing;
pub use head::{RequestHead, ResponseHead};
pub use limits::HttpLimits;
pub use method::Method;
pub use names::{Found, Header};
pub use request::{HeaderBlock, Request};
pub use response::Response;
pub use server::{Body, ServerConn};
