//! Which notifications of a running call reach its client, and under which token.

use super::meta::LogLevel;
use crate::wire::rpc::{self, Edit, Envelope};

/// The notifications of one call.
#[derive(Clone, Debug)]
pub struct Notices {
    ours: u64,
    theirs: Option<Box<[u8]>>,
    last: Option<f64>,
    logs: Option<LogLevel>,
    open: bool,
}

impl Notices {
    /// For a call sent under our id `ours`, which is its token too. `theirs` is the client's raw token, absent where it
    /// wants no progress; `logs` the least level it wants, absent where it wants none. Legacy clients that have not
    /// set a level want all.
    pub fn new(ours: u64, theirs: Option<&[u8]>, logs: Option<LogLevel>) -> Self {
        Self { ours, theirs: theirs.map(Box::from), last: None, logs, open: true }
    }

    /// Whether anything may pass at all, so that an answer may have to be a stream.
    pub fn wanted(&self) -> bool {
        self.theirs.is_some() || self.logs.is_some()
    }

    /// The message for the client, if this notification of the server is one for it. Progress must bear our token and
    /// grow; log notifications must be grave enough; nothing passes once the call is over.
    pub fn relay(&mut self, notification: &Envelope<'_>) -> Option<Vec<u8>> {
        let params = notification.params.filter(|_| self.open)?;
        match notification.method_name() {
            "notifications/progress" => self.progress(params),
            "notifications/message" => self.log(params),
            _ => None,
        }
    }

    /// Whether this is progress of this call, passed on or not: a sign of life.
    pub fn is_life(&self, notification: &Envelope<'_>) -> bool {
        let token = notification.params.and_then(|params| rpc::field(params, "progressToken"));
        notification.method_name() == "notifications/progress" && token.is_some_and(|raw| self.is_ours(raw))
    }

    /// The call is answered: nothing more passes.
    pub fn finish(&mut self) {
        self.open = false;
    }

    fn is_ours(&self, token: &[u8]) -> bool {
        rpc::integer(token).and_then(|token| u64::try_from(token).ok()) == Some(self.ours)
    }

    fn progress(&mut self, params: &[u8]) -> Option<Vec<u8>> {
        let theirs = self.theirs.as_deref()?;
        rpc::field(params, "progressToken").filter(|token| self.is_ours(token))?;
        let value: f64 = std::str::from_utf8(rpc::field(params, "progress")?).ok()?.parse().ok()?;
        if self.last.is_some_and(|last| value <= last) {
            return None;
        }
        self.last = Some(value);
        let mut edited = Vec::with_capacity(params.len() + theirs.len());
        rpc::edit(&mut edited, params, &[Edit::Set("progressToken", theirs)]);
        Some(message("notifications/progress", &edited))
    }

    fn log(&self, params: &[u8]) -> Option<Vec<u8>> {
        let level = LogLevel::read(rpc::field(params, "level")?).ok()?;
        (level >= self.logs?).then(|| message("notifications/message", params))
    }
}

fn message(method: &str, params: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(params.len() + 80);
    rpc::notification(&mut out, method, Some(params));
    out
}
