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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn value(bytes: Option<Vec<u8>>) -> Value {
        serde_json::from_slice(&bytes.unwrap()).unwrap()
    }

    #[test]
    fn the_clients_token_is_put_back_and_the_rest_kept() {
        let mut notices = Notices::new(Some(br#""t\u0031""#), None);
        assert!(notices.wanted());
        let relayed = notices.progress(br#"{"progressToken":42,"progress":0,"total":100,"message":"a"}"#).unwrap();
        let text = String::from_utf8(relayed).unwrap();
        let expected = r#""params":{"progressToken":"t\u0031","progress":0,"total":100,"message":"a"}}"#;
        assert!(text.ends_with(expected), "{text}");
    }

    /// 2026-07-28 utilities/progress: the value must increase, and nothing comes after completion.
    #[test]
    fn progress_grows_and_ends_with_the_call() {
        let mut notices = Notices::new(Some(b"1"), None);
        let mut relayed = |progress: &str| {
            notices.progress(format!(r#"{{"progressToken":9,"progress":{progress}}}"#).as_bytes()).is_some()
        };
        assert!(relayed("-1") && relayed("0.5") && relayed("1e1"));
        assert!(!relayed("10") && !relayed("9") && !relayed("\"11\"") && !relayed("null"));
        assert!(relayed("10.5"));
        notices.finish();
        assert_eq!(notices.progress(br#"{"progressToken":9,"progress":99}"#), None);
        assert_eq!(Notices::new(None, Some(LogLevel::Info)).progress(br#"{"progress":1}"#), None);
    }

    /// 2026-07-28 utilities/logging: none unless the request named a level; from that level on.
    #[test]
    fn logs_pass_from_the_level_asked_for() {
        let params = br#"{"level":"warning","data":{"a":[1]}}"#;
        let said = json!({"level": "warning", "data": {"a": [1]}});
        let passed = value(Notices::new(None, Some(LogLevel::Warning)).log(params));
        assert_eq!(passed, json!({"jsonrpc": "2.0", "method": "notifications/message", "params": said}));
        assert_eq!(Notices::new(None, Some(LogLevel::Error)).log(params), None);
        assert_eq!(Notices::new(Some(b"1"), None).log(params), None);
        assert_eq!(Notices::new(None, Some(LogLevel::Debug)).log(br#"{"data":1}"#), None);
        let mut over = Notices::new(None, Some(LogLevel::Debug));
        over.finish();
        assert_eq!(over.log(params), None);
    }
}
