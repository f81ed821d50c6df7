//! MCP over HTTP/1.1 as a client that loads a server needs it: request bytes made beforehand, answers read and judged
//! at little cost.

mod body;
mod chunks;
mod judge;
mod reader;
mod request;

pub use body::{Arguments, Call};
pub use judge::{Asked, judge, judge_strictly};
pub use reader::{Broken, Found, Reader};
pub use request::{Id, Method, Request, Requests, Session};
