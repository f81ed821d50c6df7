//! What a server's answer to `server/discover` or `initialize` says about it (mcp.md of the 2026-07-28 revision:
//! basic/versioning). Pure.

use crate::base::error::{Error, Kind, Result};
use crate::upstream::answer::Outcome;
use crate::upstream::incoming::{error_code, error_message, printable};
use crate::upstream::message::{LEGACY_VERSIONS, MODERN_VERSION};
use crate::wire::rpc;

/// JSON-RPC code of a protocol version that the server does not speak (2026-07-28).
const UNSUPPORTED_VERSION: i64 = -32022;

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probed {
    /// The server speaks the modern revision.
    Modern(Offer),
    /// It does not: `initialize` is the way.
    Legacy,
}

/// What a server offers, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    /// Whether it has tools at all.
    pub(super) tools: bool,
    /// Whether it says when its list of tools changes.
    pub(super) list_changed: bool,
}

/// The verdict on a JSON-RPC answer to `server/discover`.
///
/// # Errors
/// [`Kind::BadAnswer`]: the server is modern, but speaks no revision that we do.
pub(super) fn judge_discover(outcome: &Outcome) -> Result<Probed> {
    let versions = match outcome {
        Outcome::Result(result) => rpc::field(result, "supportedVersions"),
        Outcome::Error(error) if error_code(error) == UNSUPPORTED_VERSION => {
            rpc::field(error, "data").and_then(|data| rpc::field(data, "supported"))
        }
        Outcome::Error(_) => None,
    };
    let Some(versions) = versions else { return Ok(Probed::Legacy) };
    let versions: Vec<_> = rpc::array_items(versions).filter_map(rpc::string).collect();
    match outcome {
        Outcome::Result(result) if versions.iter().any(|version| version == MODERN_VERSION) => {
            Ok(Probed::Modern(offer(result)))
        }
        _ if versions.iter().all(|version| LEGACY_VERSIONS.contains(&version.as_ref())) => Ok(Probed::Legacy),
        _ => {
            let theirs = printable(&versions.join(", "), 100);
            let context = format!("the server speaks {theirs}; this gate speaks {MODERN_VERSION} and older");
            Err(Error::new(Kind::BadAnswer, context))
        }
    }
}

/// What `initialize` was answered with: the revision to speak and what is offered.
///
/// # Errors
/// [`Kind::BadAnswer`]: it was refused, or with a revision that is no legacy one.
pub(super) fn judge_initialize(outcome: &Outcome) -> Result<(&'static str, Offer)> {
    let result = match outcome {
        Outcome::Result(result) => result,
        Outcome::Error(error) => {
            let (code, message) = (error_code(error), error_message(error));
            return Err(Error::new(Kind::BadAnswer, format!("the server refused initialize: {message} ({code})")));
        }
    };
    let version = rpc::field(result, "protocolVersion").and_then(rpc::string).unwrap_or_default();
    let known = LEGACY_VERSIONS.iter().find(|known| **known == version);
    let known = known.ok_or_else(|| {
        let version = printable(&version, 40);
        Error::new(Kind::BadAnswer, format!("the server answered initialize with the unknown revision \"{version}\""))
    })?;
    Ok((known, offer(result)))
}

fn offer(result: &[u8]) -> Offer {
    let tools = rpc::field(result, "capabilities").and_then(|capabilities| rpc::field(capabilities, "tools"));
    let changed = tools.and_then(|tools| rpc::field(tools, "listChanged")).and_then(rpc::boolean);
    Offer { tools: tools.is_some_and(rpc::is_object), list_changed: changed == Some(true) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn result(text: &'static str) -> Outcome {
        Outcome::Result(Bytes::from_static(text.as_bytes()))
    }

    fn error(text: &'static str) -> Outcome {
        Outcome::Error(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn measured_replies_to_the_probe_are_told_apart() {
        let modern =
            r#"{"supportedVersions":["2025-11-25","2026-07-28"],"capabilities":{"tools":{"listChanged":true}}}"#;
        let offer = Offer { tools: true, list_changed: true };
        assert_eq!(judge_discover(&result(modern)), Ok(Probed::Modern(offer)));
        let legacy = [
            error(r#"{"code":-32601,"message":"Method not found"}"#),
            error(r#"{"code":-32602,"message":"Invalid request parameters","data":""}"#),
            error(r#"{"code":-32000,"message":"Bad Request: Server not initialized"}"#),
            error(r#"{"code":-32022,"message":"x","data":{"supported":["2025-11-25"],"requested":"2026-07-28"}}"#),
            error("{}"),
            result("{}"),
            result("7"),
        ];
        for outcome in legacy {
            assert_eq!(judge_discover(&outcome), Ok(Probed::Legacy), "{outcome:?}");
        }
        let newer = error(r#"{"code":-32022,"data":{"supported":["2027-01-01"]}}"#);
        assert_eq!(judge_discover(&newer).expect_err("too new").kind, Kind::BadAnswer);
    }

    #[test]
    fn initialize_must_be_answered_with_a_legacy_revision() {
        let good = result(r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{}}"#);
        assert_eq!(judge_initialize(&good), Ok(("2025-06-18", Offer { tools: true, list_changed: false })));
        for bad in [r#"{"protocolVersion":"2026-07-28"}"#, r#"{"protocolVersion":7}"#, "{}", "null"] {
            assert_eq!(judge_initialize(&result(bad)).expect_err(bad).kind, Kind::BadAnswer);
        }
        let refused = judge_initialize(&error(r#"{"code":-32600,"message":"no"}"#)).expect_err("refused");
        assert!(refused.context.contains("no (-32600)"), "{refused}");
    }
}
