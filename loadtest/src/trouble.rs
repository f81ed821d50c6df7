//! The kinds of failure that a request can meet.

use std::fmt;

/// What became of a request instead of a good answer. Its text is the key of `Outcome.errors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// No connection could be made.
    Connect,
    /// The connection ended before the answer did.
    Closed,
    /// No whole answer within the patience.
    Timeout,
    /// It was due, but no connection came free for it before the run was over.
    Unsent,
    /// A status that is not 200 and has no JSON-RPC error in its body.
    Http(u16),
    /// A JSON-RPC error, whatever the status.
    JsonRpc(i64),
    /// A tool's result that says of itself that it is an error.
    IsError,
    /// Not HTTP, not JSON-RPC, or the answer to another question.
    Malformed,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Closed => f.write_str("closed"),
            Self::Timeout => f.write_str("timeout"),
            Self::Unsent => f.write_str("unsent"),
            Self::Http(status) => write!(f, "http {status}"),
            Self::JsonRpc(code) => write!(f, "json-rpc {code}"),
            Self::IsError => f.write_str("isError"),
            Self::Malformed => f.write_str("malformed"),
        }
    }
}
