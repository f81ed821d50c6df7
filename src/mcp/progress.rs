//! Which notifications of a running call reach its client, and under which token.

use super::meta::LogLevel;
use crate::wire::rpc::{self, Edit};

/// The notifications of one call. Which call a notification belongs to is matched before, by the token that we minted.
#[derive(Clone, Debug)]
pub struct Notices {
    token: Option<Box<[u8]>>,
    last: Option<f64>,
    level: Option<LogLevel>,
    open: bool,
}

impl Notices {
    /// `token` is the client's raw progress token, absent where it wants no progress; `level` the least level of log
    /// notifications it wants, absent where it wants none (2026-07-28: unless the request names one; legacy: a client
    /// that has set none may be sent all).
    pub fn new(token: Option<&[u8]>, level: Option<LogLevel>) -> Self {
        Self { token: token.map(Box::from), last: None, level, open: true }
    }

    /// Whether anything may pass at all, so that the answer may have to be a stream.
    pub fn wanted(&self) -> bool {
        self.token.is_some() || self.level.is_some()
    }

    /// The message for the client of a `notifications/progress` with these raw params: the token put back. Nothing if
    /// the client wants none, progress does not grow, or the call is over.
    pub fn progress(&mut self, params: &[u8]) -> Option<Vec<u8>> {
        let token = self.token.as_deref().filter(|_| self.open)?;
        let value: f64 = std::str::from_utf8(rpc::field(params, "progress")?).ok()?.parse().ok()?;
        if self.last.is_some_and(|last| value <= last) {
            return None;
        }
        self.last = Some(value);
        let mut edited = Vec::with_capacity(params.len() + token.len());
        rpc::edit(&mut edited, params, &[Edit::Set("progressToken", token)]);
        Some(message("notifications/progress", &edited))
    }

    /// The message for the client of a `notifications/message` with these raw params. Nothing if it is less grave than
    /// the client wants, has no level, or the call is over.
    pub fn log(&self, params: &[u8]) -> Option<Vec<u8>> {
        let level = LogLevel::read(rpc::field(params, "level")?).ok()?;
        let wanted = self.open && level >= self.level?;
        wanted.then(|| message("notifications/message", params))
    }

    /// The call is answered: nothing more passes.
    pub fn finish(&mut self) {
        self.open = false;
    }
}

fn message(method: &str, params: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(params.len() + 80);
    rpc::notification(&mut out, method, Some(params));
    out
}
