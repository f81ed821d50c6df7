//! What a server's answers say: about its era (mcp.md 1.2), about itself, and its tools page by page.

use super::meta::{ClientInfo, SERVER_INFO};
use super::revision::{Era, Revision};
use crate::base::error::{Error, Kind, Result};
use crate::wire::rpc::{self, Message};
use std::borrow::Cow;

/// What the answer to a `server/discover` probe says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A modern server with a revision in common.
    Modern(About),
    /// Try `initialize`.
    Legacy,
    /// A modern server that speaks no revision of ours; `initialize` is not to be tried.
    NoCommonRevision,
    /// 401 or 403: says nothing about the era. Mend the credential and probe again.
    Unauthorized,
    /// An outage: says nothing about the era. Keep the old verdict and back off.
    Outage,
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
    /// Whether it sends log notifications.
    pub logging: bool,
    /// Its instructions for the model's eyes.
    pub instructions: Option<Box<str>>,
}

/// The verdict on an HTTP answer to the probe; `message` is its JSON body, or the data of the SSE event that carried
/// the response. The id is not looked at: some servers answer with another (mcp.md 1.2), the exchange is what matches.
pub fn http_verdict(status: u16, message: &[u8]) -> Verdict {
    match status {
        401 | 403 => Verdict::Unauthorized,
        200 | 202 | 400..=407 | 409..=428 | 431..=499 => message_verdict(message),
        _ => Verdict::Outage,
    }
}

/// The verdict on a stdio server's answer to the probe. One that exits or stays silent is legacy without asking here.
pub fn message_verdict(message: &[u8]) -> Verdict {
    let Ok(Message::Single(envelope)) = rpc::parse(message) else { return Verdict::Legacy };
    match (envelope.result, envelope.error) {
        (Some(result), _) => discover_verdict(result),
        (_, Some(error)) => error_verdict(error),
        _ => Verdict::Legacy,
    }
}

fn discover_verdict(result: &[u8]) -> Verdict {
    let Some(versions) = rpc::field(result, "supportedVersions").filter(|raw| rpc::is_array(raw)) else {
        return Verdict::Legacy;
    };
    let result_type = rpc::field(result, "resultType").and_then(rpc::string);
    if result_type.is_some_and(|kind| kind != "complete") {
        return Verdict::Legacy;
    }
    match common(versions) {
        Common::Modern(revision) => Verdict::Modern(About::read(result, revision, discovered_info(result))),
        Common::LegacyOnly => Verdict::Legacy,
        Common::None => Verdict::NoCommonRevision,
    }
}

/// `-32022` with legacy versions only means legacy; any other error is what servers answer to a method they do not
/// know, each with another code.
fn error_verdict(error: &[u8]) -> Verdict {
    let code = rpc::field(error, "code").and_then(rpc::integer);
    let supported = rpc::field(error, "data").and_then(|data| rpc::field(data, "supported"));
    match (code, supported.map(common)) {
        (Some(-32022), Some(Common::None | Common::Modern(_))) => Verdict::NoCommonRevision,
        _ => Verdict::Legacy,
    }
}

enum Common {
    Modern(Revision),
    LegacyOnly,
    None,
}

/// The newest modern revision in a raw list that is ours too. Legacy ones in it count only where there is no other.
fn common(versions: &[u8]) -> Common {
    let known = |raw| rpc::string(raw).and_then(|text| Revision::parse(&text));
    match rpc::array_items(versions).filter_map(known).max() {
        Some(revision) if revision.era() == Era::Modern => Common::Modern(revision),
        Some(_) => Common::LegacyOnly,
        None => Common::None,
    }
}

fn discovered_info(result: &[u8]) -> Option<&[u8]> {
    // 2026-07-28 drafts had it in the body; the revision has it in `_meta`.
    rpc::field(result, "_meta").and_then(|meta| rpc::field(meta, SERVER_INFO)).or(rpc::field(result, "serverInfo"))
}

impl About {
    /// Reads the raw result of `initialize`.
    ///
    /// # Errors
    /// `Kind::BadAnswer` where it is no such result, or names a revision that is not legacy or not known.
    pub fn initialized(result: &[u8]) -> Result<Self> {
        let version = rpc::field(result, "protocolVersion").and_then(rpc::string);
        let version = version.ok_or_else(|| bad("initialize was answered without a protocolVersion"))?;
        let revision = Revision::parse(&version).filter(|revision| revision.era() == Era::Legacy);
        let revision = revision.ok_or_else(|| bad("initialize was answered with a revision that was not offered"))?;
        Ok(Self::read(result, revision, rpc::field(result, "serverInfo")))
    }

    fn read(result: &[u8], revision: Revision, info: Option<&[u8]>) -> Self {
        let capability = |name| rpc::field(rpc::field(result, "capabilities")?, name).filter(|raw| rpc::is_object(raw));
        let changes = capability("tools").and_then(|tools| rpc::field(tools, "listChanged"));
        let info = info.and_then(|raw| ClientInfo::read(raw).ok());
        Self {
            revision,
            name: info.map(|info| (info.name.into(), info.version.into())),
            tools: capability("tools").is_some(),
            tools_list_changed: changes == Some(b"true"),
            logging: capability("logging").is_some(),
            instructions: rpc::field(result, "instructions").and_then(rpc::string).map(Into::into),
        }
    }
}

/// One page of a server's tools; spans borrow from the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolsPage<'a> {
    /// The raw array of definitions; walk it with `rpc::array_items`.
    pub tools: &'a [u8],
    /// The raw cursor of the next page. Opaque; `""` is one too.
    pub next_cursor: Option<&'a [u8]>,
    /// How long the server says the page stays fresh, in milliseconds.
    pub ttl_ms: Option<u64>,
}

impl<'a> ToolsPage<'a> {
    /// Reads the raw result of `tools/list`.
    ///
    /// # Errors
    /// `Kind::BadAnswer` where `tools` is no array of objects or `nextCursor` is no string.
    pub fn read(result: &'a [u8]) -> Result<Self> {
        let tools = rpc::field(result, "tools").filter(|raw| rpc::is_array(raw));
        let tools = tools.ok_or_else(|| bad("tools/list was answered without an array of tools"))?;
        if !rpc::array_items(tools).all(rpc::is_object) {
            return Err(bad("tools/list was answered with a tool that is not an object"));
        }
        let next_cursor = rpc::field(result, "nextCursor").filter(|raw| !rpc::is_null(raw));
        if next_cursor.is_some_and(|raw| !rpc::is_string(raw)) {
            return Err(bad("tools/list was answered with a nextCursor that is not a string"));
        }
        let ttl_ms = rpc::field(result, "ttlMs").and_then(rpc::integer).and_then(|ms| u64::try_from(ms).ok());
        Ok(Self { tools, next_cursor, ttl_ms })
    }
}

fn bad(why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::BadAnswer, why)
}
