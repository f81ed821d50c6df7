//! The one error of the gate: what went wrong, on whose side, whether to try again, and one table that maps it to
//! JSON-RPC codes, HTTP statuses and exit codes.

use std::borrow::Cow;
use std::fmt;

/// Whose side an error lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client sent something we cannot serve.
    Downstream,
    /// A server failed or misbehaved.
    Upstream,
    /// We failed.
    Internal,
}

/// Whether the same thing may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nothing was sent: trying again is safe.
    Safe,
    /// Something may have happened: trying again may repeat it.
    Unsafe,
    /// Nothing was sent, and trying again helps once so many seconds have passed.
    After(u32),
    /// Trying again cannot help.
    Never,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The body is not JSON, or not JSON we accept (duplicate keys, depth).
    Parse,
    /// The message is not a JSON-RPC request we accept.
    InvalidRequest,
    /// The method is not served.
    MethodNotFound,
    /// Parameters are missing or wrong; also an unknown, hidden or denied tool.
    InvalidParams,
    /// A mirrored header is missing, malformed or not what the body says (2026-07-28).
    HeaderMismatch,
    /// The client lacks a capability the request needs (2026-07-28).
    MissingCapability,
    /// The protocol version is not served (2026-07-28).
    UnsupportedVersion,
    /// No key, or not a valid one.
    Unauthorized,
    /// Known, but not allowed here (`Origin`, `Host`).
    Forbidden,
    /// No such path.
    NotFound,
    /// The session is unknown, ended, expired or another key's.
    SessionNotFound,
    /// The method is not allowed on this path.
    MethodNotAllowed,
    /// The body is longer than allowed.
    TooLarge,
    /// The content type is not JSON.
    UnsupportedMedia,
    /// The peer did not send, read or answer in time.
    Timeout,
    /// The server could not be reached.
    Unreachable,
    /// The server answered something that is not what it should be.
    BadAnswer,
    /// The server wants a token that the gate does not have.
    Credential,
    /// The call was cancelled.
    Cancelled,
    /// The operator ended the call: its key was revoked, or its tool or server was switched off.
    Stopped,
    /// A bound of ours is reached; try later.
    Overloaded,
    /// A limit that the operator set for this caller, tool or server is reached.
    Limited,
    /// A budget that the operator set for this caller, tool or server is spent.
    Spent,
    /// The outcome could not be recorded, so it is not answered.
    Journal,
    /// The configuration is wrong.
    Config,
    /// Reading or writing a file or socket failed.
    Io,
    /// A bug of ours.
    Internal,
}

/// One row of the error table.
struct Row {
    name: &'static str,
    side: Side,
    rpc: i32,
    http: u16,
    exit: u8,
}

impl Kind {
    /// The one table: name, side, JSON-RPC code, HTTP status, exit code. Own codes lie outside -32768..-32000, as the
    /// 2026-07-28 revision demands.
    fn row(self) -> Row {
        use Side::{Downstream, Internal, Upstream};
        let (name, side, rpc, http, exit) = match self {
            Self::Parse => ("parse", Downstream, -32700, 400, 1),
            Self::InvalidRequest => ("invalid_request", Downstream, -32600, 400, 1),
            Self::MethodNotFound => ("method_not_found", Downstream, -32601, 404, 1),
            Self::InvalidParams => ("invalid_params", Downstream, -32602, 400, 1),
            Self::HeaderMismatch => ("header_mismatch", Downstream, -32020, 400, 1),
            Self::MissingCapability => ("missing_capability", Downstream, -32021, 400, 1),
            Self::UnsupportedVersion => ("unsupported_version", Downstream, -32022, 400, 1),
            Self::Unauthorized => ("unauthorized", Downstream, -31001, 401, 1),
            Self::Forbidden => ("forbidden", Downstream, -31003, 403, 1),
            Self::NotFound => ("not_found", Downstream, -31004, 404, 1),
            Self::SessionNotFound => ("session_not_found", Downstream, -31005, 404, 1),
            Self::MethodNotAllowed => ("method_not_allowed", Downstream, -31006, 405, 1),
            Self::TooLarge => ("too_large", Downstream, -31013, 413, 1),
            Self::UnsupportedMedia => ("unsupported_media", Downstream, -31015, 415, 1),
            Self::Timeout => ("timeout", Upstream, -31108, 504, 1),
            Self::Unreachable => ("unreachable", Upstream, -31102, 502, 1),
            Self::BadAnswer => ("bad_answer", Upstream, -31103, 502, 1),
            Self::Credential => ("credential", Upstream, -31104, 502, 1),
            Self::Cancelled => ("cancelled", Downstream, -31099, 499, 1),
            Self::Stopped => ("stopped", Downstream, -31098, 403, 1),
            Self::Overloaded => ("overloaded", Internal, -31029, 503, 1),
            Self::Limited => ("limited", Downstream, -31028, 429, 1),
            Self::Spent => ("spent", Downstream, -31027, 402, 1),
            Self::Journal => ("journal", Internal, -31030, 503, 1),
            Self::Config => ("config", Internal, -32603, 500, 78),
            Self::Io => ("io", Internal, -32603, 500, 1),
            Self::Internal => ("internal", Internal, -32603, 500, 1),
        };
        Row { name, side, rpc, http, exit }
    }

    /// The kind's name in records, metrics and logs.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The side it lies on unless an error says otherwise.
    pub fn side(self) -> Side {
        self.row().side
    }

    /// The JSON-RPC error code.
    pub fn rpc_code(self) -> i32 {
        self.row().rpc
    }

    /// The HTTP status of an answer that has not started yet.
    pub fn http_status(self) -> u16 {
        self.row().http
    }

    /// The exit code of a command that ends with it (78 is EX_CONFIG).
    pub fn exit_code(self) -> u8 {
        self.row().exit
    }
}

/// What happened, where, and what to do: lower case, no stack, fit for a user's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong.
    pub kind: Kind,
    /// Whose side it lies on.
    pub side: Side,
    /// Whether the same may be tried again.
    pub retry: Retry,
    /// The sentence for the user.
    pub context: Cow<'static, str>,
    /// What a program reads of it: the raw `error.data`, where there is more than when to try again.
    pub data: Option<Box<str>>,
}

/// A result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error on its kind's usual side that trying again cannot help.
    pub fn new(kind: Kind, context: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, side: kind.side(), retry: Retry::Never, context: context.into(), data: None }
    }

    /// The same error with another retry decision.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// The same error on another side.
    #[must_use]
    pub fn side(self, side: Side) -> Self {
        Self { side, ..self }
    }

    /// The same error with data, a raw JSON object.
    #[must_use]
    pub fn data(self, data: impl Into<Box<str>>) -> Self {
        Self { data: Some(data.into()), ..self }
    }

    /// The same error with the place in front: `place: context`.
    #[must_use]
    pub fn at(self, place: &str) -> Self {
        let context = format!("{place}: {}", self.context);
        Self { context: context.into(), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(Kind::Io, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_keeps_to_the_reserved_ranges() {
        assert_eq!(Kind::HeaderMismatch.rpc_code(), -32020);
        assert_eq!(Kind::Config.exit_code(), 78);
        let own = Kind::Overloaded.rpc_code();
        assert!(!(-32768..=-32000).contains(&own), "{own} lies in the range the protocol reserves");
    }

    #[test]
    fn the_place_stands_in_front() {
        let error = Error::new(Kind::Unreachable, "connection refused").at("server github");
        assert_eq!(error.to_string(), "server github: connection refused");
    }
}
