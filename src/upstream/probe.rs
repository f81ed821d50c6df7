//! What a server's answers say: about its era (2026-07-28 basic/versioning), about itself, and its tools page by page.

use crate::base::error::{Error, Kind, Result};
use crate::mcp::meta::{ClientInfo, SERVER_INFO};
use crate::mcp::revision::{Era, Revision};
use crate::upstream::answer::Outcome;
use crate::upstream::incoming::{error_code, error_message, printable};
use crate::wire::rpc;
use std::borrow::Cow;

/// JSON-RPC code of a protocol version that the server does not speak (2026-07-28).
const UNSUPPORTED_VERSION: i64 = -32022;

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Probed {
    /// The server speaks the modern revision.
    Modern(About),
    /// It does not: `initialize` is the way.
    Legacy,
}

/// What a server says of itself in `server/discover` or `initialize`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The revision to speak.
    pub revision: Revision,
    /// Its name and version, for display only.
    pub name: Option<(Box<str>, Box<str>)>,
    /// Whether it has tools.
    pub tools: bool,
    /// Whether it says when its tools change.
    pub tools_list_changed: bool,
    /// Its instructions for the model's eyes.
    pub instructions: Option<Box<str>>,
}

impl About {
    fn read(result: &[u8], revision: Revision, info: Option<&[u8]>) -> Self {
        let capabilities = rpc::field(result, "capabilities");
        let tools = capabilities.and_then(|all| rpc::field(all, "tools")).filter(|tools| rpc::is_object(tools));
        let changes = tools.and_then(|tools| rpc::field(tools, "listChanged")).and_then(rpc::boolean);
        let info = info.and_then(|raw| ClientInfo::read(raw).ok());
        Self {
            revision,
            name: info.map(|info| (info.name.into(), info.version.into())),
            tools: tools.is_some(),
            tools_list_changed: changes == Some(true),
            instructions: rpc::field(result, "instructions").and_then(rpc::string).map(Into::into),
        }
    }
}

/// The verdict on a JSON-RPC answer to `server/discover`. Servers that do not know it answer with any code there is, so
/// only what speaks for the modern revision counts as a sign of it.
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
    let Some(versions) = versions.filter(|raw| rpc::is_array(raw)) else { return Ok(Probed::Legacy) };
    let versions: Vec<Cow<'_, str>> = rpc::array_items(versions).filter_map(rpc::string).collect();
    let newest = versions.iter().filter_map(|version| Revision::parse(version)).max();
    let only_legacy = versions.iter().all(|text| Revision::parse(text).is_some_and(|r| r.era() == Era::Legacy));
    match (outcome, newest) {
        (Outcome::Result(result), Some(revision)) if revision.era() == Era::Modern => {
            Ok(Probed::Modern(About::read(result, revision, discovered_info(result))))
        }
        _ if only_legacy => Ok(Probed::Legacy),
        _ => {
            let (theirs, ours) = (printable(&versions.join(", "), 100), Revision::NEWEST_MODERN.as_str());
            Err(bad(format!("the server speaks no revision that this gate does: {theirs} against {ours} and older")))
        }
    }
}

fn discovered_info(result: &[u8]) -> Option<&[u8]> {
    rpc::field(result, "_meta").and_then(|meta| rpc::field(meta, SERVER_INFO)).or(rpc::field(result, "serverInfo"))
}

/// What `initialize` was answered with.
///
/// # Errors
/// [`Kind::BadAnswer`]: it was refused, or answered with a revision that is no legacy one.
pub(super) fn judge_initialize(outcome: &Outcome) -> Result<About> {
    let result = match outcome {
        Outcome::Result(result) => result,
        Outcome::Error(error) => {
            let (code, message) = (error_code(error), error_message(error));
            return Err(bad(format!("the server refused initialize: {message} ({code})")));
        }
    };
    let version = rpc::field(result, "protocolVersion").and_then(rpc::string).unwrap_or_default();
    let revision = Revision::parse(&version).filter(|revision| revision.era() == Era::Legacy);
    let revision = revision.ok_or_else(|| {
        bad(format!("the server answered initialize with the unknown revision \"{}\"", printable(&version, 40)))
    })?;
    Ok(About::read(result, revision, rpc::field(result, "serverInfo")))
}

/// One page of a server's tools; spans borrow from the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToolsPage<'a> {
    /// The raw array of definitions.
    pub(super) tools: &'a [u8],
    /// The raw cursor of the next page. Opaque; `""` is one too.
    pub(super) next_cursor: Option<&'a [u8]>,
}

impl<'a> ToolsPage<'a> {
    /// Reads an answer to `tools/list`.
    ///
    /// # Errors
    /// [`Kind::BadAnswer`]: it was refused, `tools` is no array of objects, or `nextCursor` is no string.
    pub(super) fn read(outcome: &'a Outcome) -> Result<Self> {
        let page = match outcome {
            Outcome::Result(page) => page,
            Outcome::Error(error) => {
                let (code, message) = (error_code(error), error_message(error));
                return Err(bad(format!("the server refused tools/list: {message} ({code})")));
            }
        };
        let tools = rpc::field(page, "tools").filter(|raw| rpc::is_array(raw));
        let tools = tools.ok_or_else(|| bad("the server answered tools/list without an array of tools"))?;
        if !rpc::array_items(tools).all(rpc::is_object) {
            return Err(bad("the server answered tools/list with a tool that is not an object"));
        }
        let next_cursor = rpc::field(page, "nextCursor").filter(|raw| !rpc::is_null(raw));
        if next_cursor.is_some_and(|raw| !rpc::is_string(raw)) {
            return Err(bad("the server answered tools/list with a nextCursor that is not a string"));
        }
        Ok(Self { tools, next_cursor })
    }
}

fn bad(why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::BadAnswer, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(text: &'static str) -> Outcome {
        Outcome::Result(text.into())
    }

    fn error(text: &'static str) -> Outcome {
        Outcome::Error(text.into())
    }

    #[test]
    fn measured_replies_to_the_probe_are_told_apart() {
        let modern = result(
            r#"{"supportedVersions":["2025-11-25","2026-07-28","2099-01-01"],
                "capabilities":{"tools":{"listChanged":true}},
                "_meta":{"io.modelcontextprotocol/serverInfo":{"name":"n","version":"1"}},"instructions":"be kind"}"#,
        );
        let Ok(Probed::Modern(about)) = judge_discover(&modern) else { panic!("modern") };
        assert!(about.tools && about.tools_list_changed);
        assert_eq!(about.name, Some(("n".into(), "1".into())));
        assert_eq!(about.instructions.as_deref(), Some("be kind"));
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
        let newer = error(r#"{"code":-32022,"data":{"supported":["2027-01-01","2025-11-25"]}}"#);
        assert!(judge_discover(&newer).expect_err("too new").context.contains("2027-01-01"));
    }

    #[test]
    fn initialize_must_be_answered_with_a_legacy_revision() {
        let good = result(r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{}}"#);
        assert_eq!(judge_initialize(&good).expect("good").revision, Revision::V2025_06_18);
        for bad in [r#"{"protocolVersion":"2026-07-28"}"#, r#"{"protocolVersion":7}"#, "{}", "null"] {
            assert_eq!(judge_initialize(&result(bad)).expect_err(bad).kind, Kind::BadAnswer);
        }
        let refused = judge_initialize(&error(r#"{"code":-32600,"message":"no"}"#)).expect_err("refused");
        assert!(refused.context.contains("no (-32600)"), "{refused}");
    }

    #[test]
    fn pages_are_read_or_refused() {
        let page = result(r#"{"tools":[{"name":"a"}],"nextCursor":""}"#);
        let empty = Some(&br#""""#[..]);
        assert_eq!(ToolsPage::read(&page).expect("a page").next_cursor, empty);
        assert_eq!(ToolsPage::read(&result(r#"{"tools":[],"nextCursor":null}"#)).expect("last").next_cursor, None);
        let bad = [r#"{"tools":{}}"#, r#"{"tools":["x"]}"#, r#"{"tools":[],"nextCursor":7}"#, "{}", "[]"];
        for text in bad {
            assert_eq!(ToolsPage::read(&result(text)).expect_err(text).kind, Kind::BadAnswer);
        }
        assert!(ToolsPage::read(&error("{}")).is_err());
    }
}
