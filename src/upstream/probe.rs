//! What a server's answers say: about its era (2026-07-28 basic/versioning), about itself, and its lists page by page.

use crate::base::error::{Error, Kind, Result};
use crate::base::limits::EXTENSIONS_BYTES_MAX;
use crate::catalog::{ListKind, Offers};
use crate::mcp::caps::{SKILLS_EXTENSION, TASKS_EXTENSION, UI_EXTENSION};
use crate::mcp::meta::{ClientInfo, SERVER_INFO};
use crate::mcp::revision::{Era, Revision};
use crate::upstream::answer::Outcome;
use crate::upstream::incoming::{error_code, error_message, printable};
use crate::upstream::watched::{Subjects, Watched};
use crate::wire::rpc;
use std::borrow::Cow;
use std::rc::Rc;

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
    /// What it has beside tools.
    pub offers: Offers,
    /// Of which lists it says when they change.
    pub changes: Changes,
    /// The raw object in which it says which extensions it has; nothing where that is too long.
    pub extensions: Option<Box<[u8]>>,
    /// Its instructions for the model's eyes.
    pub instructions: Option<Box<str>>,
}

/// The lists of which a server says when they change. Templates have no word of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Its tools.
    pub tools: bool,
    /// Its prompts.
    pub prompts: bool,
    /// Its resources.
    pub resources: bool,
}

impl Changes {
    /// Whether it says so of any.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

impl About {
    /// The lists that it has.
    pub(super) fn kinds(&self) -> impl Iterator<Item = ListKind> + '_ {
        ListKind::ALL.into_iter().filter(|kind| match kind {
            ListKind::Tools => self.tools,
            ListKind::Prompts => self.offers.prompts,
            ListKind::Resources | ListKind::Templates => self.offers.resources,
            ListKind::Skills => self.offers.skills,
        })
    }

    /// Whether it tells of anything by itself.
    pub(super) fn can_be_listened_to(&self) -> bool {
        self.changes.any() || self.offers.subscribe || self.offers.tasks
    }

    /// What of this a stream of a modern server is opened for, beside its lists; nothing where it would tell of
    /// nothing: then whoever waits for its word has it.
    pub(super) fn listened_for(&self, watched: &Watched, asked: &Subjects) -> Option<Subjects> {
        let told = asked.iter().filter(|subject| subject.is_told_by(self.offers)).cloned();
        let told: Subjects = Rc::new(told.collect());
        if self.changes.any() || !told.is_empty() {
            return Some(told);
        }
        watched.stands(asked, &told);
        None
    }

    fn read(result: &[u8], revision: Revision, info: Option<&[u8]>) -> Self {
        let capabilities = rpc::field(result, "capabilities");
        let offered = |name| capabilities.and_then(|all| rpc::field(all, name)).filter(|what| rpc::is_object(what));
        let (tools, prompts, resources) = (offered("tools"), offered("prompts"), offered("resources"));
        let extensions = offered("extensions");
        let extends = |name| extensions.is_some_and(|all| rpc::field(all, name).is_some_and(rpc::is_object));
        let says = |what: Option<&[u8]>, flag| {
            what.and_then(|what| rpc::field(what, flag)).and_then(rpc::boolean) == Some(true)
        };
        let info = info.and_then(|raw| ClientInfo::read(raw).ok());
        Self {
            revision,
            name: info.map(|info| (info.name.into(), info.version.into())),
            tools: tools.is_some(),
            offers: Offers {
                prompts: prompts.is_some(),
                resources: resources.is_some(),
                completions: offered("completions").is_some(),
                subscribe: says(resources, "subscribe"),
                tasks: extends(TASKS_EXTENSION),
                ui: extends(UI_EXTENSION),
                skills: extends(SKILLS_EXTENSION),
                directories: says(extensions.and_then(|all| rpc::field(all, SKILLS_EXTENSION)), "directoryRead"),
            },
            changes: Changes {
                tools: says(tools, "listChanged"),
                prompts: says(prompts, "listChanged"),
                resources: says(resources, "listChanged"),
            },
            extensions: extensions.filter(|raw| raw.len() <= EXTENSIONS_BYTES_MAX).map(Into::into),
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

/// One page of a server's list; spans borrow from the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListPage<'a> {
    /// The raw array of definitions.
    pub(super) entries: &'a [u8],
    /// The raw cursor of the next page. Opaque; `""` is one too.
    pub(super) next_cursor: Option<&'a [u8]>,
}

impl<'a> ListPage<'a> {
    /// Reads an answer to the request of a list.
    ///
    /// # Errors
    /// [`Kind::MethodNotFound`]: the server does not know the request; [`Kind::BadAnswer`]: it was refused otherwise,
    /// its list is no array of objects, or `nextCursor` is no string.
    pub(super) fn read(outcome: &'a Outcome, kind: ListKind) -> Result<Self> {
        let method = kind.method();
        let page = match outcome {
            Outcome::Result(page) => page,
            Outcome::Error(error) => {
                let (code, message) = (error_code(error), error_message(error));
                let unknown = code == i64::from(Kind::MethodNotFound.rpc_code());
                let kind = if unknown { Kind::MethodNotFound } else { Kind::BadAnswer };
                return Err(Error::new(kind, format!("the server refused {method}: {message} ({code})")));
            }
        };
        let entries = rpc::field(page, kind.member()).filter(|raw| rpc::is_array(raw));
        let no_array = || bad(format!("the server answered {method} without an array of {}", kind.member()));
        let entries = entries.ok_or_else(no_array)?;
        if !rpc::array_items(entries).all(rpc::is_object) {
            return Err(bad(format!("the server answered {method} with a {kind} that is not an object")));
        }
        let next_cursor = rpc::field(page, "nextCursor").filter(|raw| !rpc::is_null(raw));
        if next_cursor.is_some_and(|raw| !rpc::is_string(raw)) {
            return Err(bad(format!("the server answered {method} with a nextCursor that is not a string")));
        }
        Ok(Self { entries, next_cursor })
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
                "capabilities":{"tools":{"listChanged":true},"prompts":{},"completions":{},
                    "resources":{"subscribe":true,"listChanged":true}},
                "_meta":{"io.modelcontextprotocol/serverInfo":{"name":"n","version":"1"}},"instructions":"be kind"}"#,
        );
        let Ok(Probed::Modern(about)) = judge_discover(&modern) else { panic!("modern") };
        assert_eq!(about.changes, Changes { tools: true, prompts: false, resources: true });
        assert_eq!(
            about.offers,
            Offers { prompts: true, resources: true, completions: true, subscribe: true, ..Offers::default() }
        );
        assert_eq!(about.kinds().count(), 4);
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
        fn read(outcome: &Outcome) -> Result<ListPage<'_>> {
            ListPage::read(outcome, ListKind::Tools)
        }
        let page = result(r#"{"tools":[{"name":"a"}],"nextCursor":""}"#);
        let empty = Some(&br#""""#[..]);
        assert_eq!(ListPage::read(&page, ListKind::Tools).expect("a page").next_cursor, empty);
        assert_eq!(read(&result(r#"{"tools":[],"nextCursor":null}"#)).expect("last").next_cursor, None);
        let bad = [r#"{"tools":{}}"#, r#"{"tools":["x"]}"#, r#"{"tools":[],"nextCursor":7}"#, "{}", "[]"];
        for text in bad {
            assert_eq!(read(&result(text)).expect_err(text).kind, Kind::BadAnswer);
        }
        assert_eq!(read(&error("{}")).expect_err("refused").kind, Kind::BadAnswer);
        assert_eq!(read(&error(r#"{"code":-32601}"#)).expect_err("unknown").kind, Kind::MethodNotFound);
        let templates = result(r#"{"resourceTemplates":[{}]}"#);
        assert_eq!(ListPage::read(&templates, ListKind::Templates).expect("a page").entries, b"[{}]");
    }
}
