//! JSON-RPC bodies, made before the run; the id and the progress token are patched in for each request.

use crate::order::Era;
use serde_json::Value;

/// The modern revision that is spoken.
pub(crate) const MODERN: &str = "2026-07-28";
/// The legacy revision that is spoken.
pub(crate) const LEGACY: &str = "2025-11-25";

/// The id as it stands in a body before a request's own is patched in. Every id has as many digits.
pub(crate) const ID: &str = "1000000000";

/// What a call gives its tool, as the fake upstream's tools understand it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// `text`, echoed.
    Text,
    /// `bytes` of text wanted in the answer, and `pad`.
    Sized(usize),
    /// `ms` to take, and `pad`.
    Slow(u64),
    /// `events`, `every_ms`, and `pad`; the request carries a progress token.
    Progress(u32, u64),
}

/// One `tools/call`.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The tool, with its prefix.
    pub tool: &'a str,
    /// What it is given.
    pub arguments: Arguments,
    /// Bytes of the whole body, reached by padding an argument; less is not cut.
    pub bytes: Option<usize>,
}

impl Call<'_> {
    /// The body in an era.
    pub(super) fn body(&self, era: Era) -> String {
        let bare = self.padded(era, 0);
        let missing = self.bytes.unwrap_or(0).saturating_sub(bare.len());
        if missing == 0 { bare } else { self.padded(era, missing) }
    }

    fn padded(&self, era: Era, padding: usize) -> String {
        let pad: String = ('a'..='z').cycle().take(padding).collect();
        let arguments = match self.arguments {
            Arguments::Text => format!(r#"{{"text":"{pad}"}}"#),
            Arguments::Sized(bytes) => format!(r#"{{"bytes":{bytes},"pad":"{pad}"}}"#),
            Arguments::Slow(ms) => format!(r#"{{"ms":{ms},"pad":"{pad}"}}"#),
            Arguments::Progress(events, ms) => format!(r#"{{"events":{events},"every_ms":{ms},"pad":"{pad}"}}"#),
        };
        let token = matches!(self.arguments, Arguments::Progress(..));
        let rest = format!(r#""name":{},"arguments":{arguments}"#, Value::from(self.tool));
        request("tools/call", &rest, era, token)
    }
}

/// A request's body; `rest` are the members of `params` besides `_meta`.
pub(crate) fn request(method: &str, rest: &str, era: Era, token: bool) -> String {
    let comma = if rest.is_empty() || (era == Era::Legacy && !token) { "" } else { "," };
    let meta = meta(era, token);
    format!(r#"{{"jsonrpc":"2.0","id":{ID},"method":"{method}","params":{{{rest}{comma}{meta}}}}}"#)
}

fn meta(era: Era, token: bool) -> String {
    let token = if token { format!(r#""progressToken":{ID}"#) } else { String::new() };
    match era {
        Era::Legacy if token.is_empty() => token,
        Era::Legacy => format!(r#""_meta":{{{token}}}"#),
        Era::Modern => {
            let comma = if token.is_empty() { "" } else { "," };
            let prefix = "io.modelcontextprotocol";
            format!(
                r#""_meta":{{"{prefix}/protocolVersion":"{MODERN}","{prefix}/clientCapabilities":{{}}{comma}{token}}}"#
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn bodies_are_json_of_the_size_asked_for() {
        for era in [Era::Modern, Era::Legacy] {
            for arguments in [Arguments::Text, Arguments::Sized(9), Arguments::Slow(8), Arguments::Progress(7, 6)] {
                for bytes in [None, Some(300), Some(4096)] {
                    let body = Call { tool: "fake__e\"cho", arguments, bytes }.body(era);
                    let value = parse(&body);
                    assert_eq!(value["params"]["name"], "fake__e\"cho");
                    assert_eq!(value["id"], 1_000_000_000);
                    if let Some(bytes) = bytes {
                        assert!(body.len() == bytes || body.len() < bytes + 100 && bytes == 300, "{}", body.len());
                    }
                    let token = &value["params"]["_meta"]["progressToken"];
                    assert_eq!(token.is_number(), matches!(arguments, Arguments::Progress(..)));
                }
            }
        }
        assert_eq!(Call { tool: "echo", arguments: Arguments::Text, bytes: Some(300) }.body(Era::Modern).len(), 300);
    }

    #[test]
    fn requests_without_parameters_are_json_too() {
        for era in [Era::Modern, Era::Legacy] {
            for rest in ["", r#""cursor":"x""#] {
                assert_eq!(parse(&request("tools/list", rest, era, false))["method"], "tools/list");
            }
        }
    }
}
