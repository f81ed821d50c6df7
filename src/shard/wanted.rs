//! What a client wants of a server, in its own words, and what it may have: the server, and the words that one knows.

use crate::audit::Digest;
use crate::base::clock::Clock;
use crate::base::error::{Error, Kind};
use crate::base::ids::{PromptId, ServerId, ToolId};
use crate::catalog::{Catalog, Tool};
use crate::mcp::call::{CallMethod, CallParams};
use crate::mcp::skill::{Folder, SkillMethod};
use crate::mcp::state;
use crate::mcp::task::{TaskId, TaskMethod};
use crate::shard::exchange::Exchange;
use crate::shard::interests::Topic;
use crate::upstream::operation::Operation;
use crate::upstream::spec::Scope;
use crate::upstream::watched::Subject;
use crate::wire::rpc::{self, Edit};
use std::borrow::Cow;

/// Characters of a client's words that are repeated in an answer.
const ECHO_MAX: usize = 256;

/// What a client wants, in its own words.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// `tools/call`.
    Tool {
        /// The tool's name as the client sent it.
        name: &'a str,
        /// The raw arguments; nothing where the client gave none.
        arguments: Option<&'a [u8]>,
    },
    /// `prompts/get`.
    Prompt {
        /// The prompt's name as the client sent it.
        name: &'a str,
        /// The raw arguments; nothing where the client gave none.
        arguments: Option<&'a [u8]>,
    },
    /// `resources/read`.
    Resource {
        /// The URI as the client sent it.
        uri: &'a str,
    },
    /// `completion/complete`.
    Complete {
        /// The raw reference.
        reference: &'a [u8],
        /// The raw argument.
        argument: &'a [u8],
        /// The raw context; nothing where the client gave none.
        context: Option<&'a [u8]>,
    },
    /// `tasks/get`, `tasks/update`, `tasks/cancel`.
    Task {
        /// Which of them.
        method: TaskMethod,
        /// The id as the client sent it: one that we sealed.
        id: &'a str,
    },
    /// `skills/get`, `resources/directory/read`.
    Skill {
        /// Which of them.
        method: SkillMethod,
        /// The URI as the client sent it.
        uri: &'a str,
        /// The raw cursor of a folder's next page.
        cursor: Option<&'a [u8]>,
    },
}

/// What is wanted by a request that was read.
pub(crate) fn wanted_of<'a>(params: &'a CallParams<'_>) -> Wanted<'a> {
    let (name, arguments) = (&*params.name, params.arguments);
    match (params.method, params.completes) {
        (CallMethod::Tool, _) => Wanted::Tool { name, arguments },
        (CallMethod::Prompt, _) => Wanted::Prompt { name, arguments },
        (CallMethod::Task(method), _) => Wanted::Task { method, id: name },
        (CallMethod::Skill(method), _) => Wanted::Skill { method, uri: name, cursor: arguments },
        (CallMethod::Complete, Some((reference, context))) => {
            Wanted::Complete { reference, argument: arguments.unwrap_or(b"{}"), context }
        }
        (CallMethod::Resource | CallMethod::Complete, _) => Wanted::Resource { uri: name },
    }
}

impl<'a> Wanted<'a> {
    /// The method.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::Tool { .. } => "tools/call",
            Self::Prompt { .. } => "prompts/get",
            Self::Resource { .. } => "resources/read",
            Self::Complete { .. } => "completion/complete",
            Self::Task { method, .. } => method.as_str(),
            Self::Skill { method, .. } => method.as_str(),
        }
    }

    /// What it is about, by the client's word for it; nothing for a completion, whose reference says it.
    pub(crate) fn name(&self) -> &'a str {
        match *self {
            Self::Tool { name, .. } | Self::Prompt { name, .. } => name,
            Self::Resource { uri } | Self::Skill { uri, .. } => uri,
            Self::Complete { .. } => "",
            Self::Task { id, .. } => id,
        }
    }

    /// The raw arguments, where it has some.
    pub(crate) fn arguments(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Tool { arguments, .. } | Self::Prompt { arguments, .. } => arguments,
            Self::Complete { argument, .. } => Some(argument),
            Self::Skill { cursor, .. } => cursor,
            Self::Resource { .. } | Self::Task { .. } => None,
        }
    }

    /// The digest by which the same request is known when it comes again.
    pub(crate) fn digest(&self) -> [u8; 16] {
        state::digest(self.method(), self.name(), self.arguments())
    }

    /// The one answer where it is not there, is hidden or is denied: nobody can tell which.
    pub(crate) fn unknown(&self) -> Error {
        let cut: String = self.name().chars().take(ECHO_MAX).flat_map(char::escape_debug).collect();
        let words = match self {
            Self::Tool { name, .. } => return crate::policy::unknown_tool(name),
            Self::Prompt { .. } => format!("unknown prompt: {cut}: list the prompts to see what this key may get"),
            Self::Resource { .. } => format!("resource not found: {cut}"),
            Self::Complete { .. } => "nothing can be completed for this ref: it is unknown".to_owned(),
            Self::Task { .. } => "unknown task".to_owned(),
            Self::Skill { method: SkillMethod::Get, .. } => format!("unknown skill: {cut}"),
            Self::Skill { cursor: None, .. } => format!("not a directory: {cut}"),
            Self::Skill { .. } => format!("not a directory, or not a cursor of it: {cut}: read it from the start"),
        };
        Error::new(Kind::InvalidParams, words)
    }
}

/// What was admitted: what it stands for at which server.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The server.
    pub(crate) server: ServerId,
    /// What is asked of it, in its own words.
    pub(super) target: Target,
    /// Whether it is made only with an approval.
    pub(super) needs_approval: bool,
}

/// What a request is about, as its server knows it.
#[derive(Debug)]
pub(super) enum Target {
    Tool(ToolId),
    Prompt(PromptId),
    Resource(Box<str>),
    Complete(Box<[u8]>),
    Task(Box<str>),
    /// Its URI, and the server's own raw cursor of a folder's next page.
    Skill(Box<str>, Option<Box<[u8]>>),
}

impl Admitted {
    /// What needs no approval.
    pub(super) fn new(server: ServerId, target: Target) -> Self {
        Self { server, target, needs_approval: false }
    }

    /// The number of the tool that is to be called, if one is.
    pub(super) fn tool_id(&self) -> Option<ToolId> {
        match self.target {
            Target::Tool(id) => Some(id),
            _ => None,
        }
    }

    /// The tool that is to be called, if one is.
    pub(super) fn tool<'a>(&self, catalog: &'a Catalog) -> Option<&'a Tool> {
        self.tool_id().map(|id| catalog.tool(id))
    }

    /// What the server is asked for, in its own words.
    pub(super) fn operation<'a>(&'a self, catalog: &'a Catalog, wanted: &Wanted<'a>) -> Operation<'a> {
        match (&self.target, *wanted) {
            (Target::Tool(id), _) => {
                let tool = catalog.tool(*id);
                let (name, arguments) = (tool.name(), wanted.arguments());
                Operation::Tool { name, arguments, header_params: tool.header_params() }
            }
            (Target::Prompt(id), _) => {
                Operation::Prompt { name: &catalog.prompt(*id).name, arguments: wanted.arguments() }
            }
            (Target::Complete(reference), Wanted::Complete { argument, context, .. }) => {
                Operation::Complete { reference, argument, context }
            }
            (Target::Task(id), Wanted::Task { method, .. }) => Operation::Task { method, id },
            (Target::Skill(uri, cursor), Wanted::Skill { method, .. }) => {
                Operation::Skill { method, uri, cursor: cursor.as_deref() }
            }
            (Target::Resource(uri) | Target::Task(uri) | Target::Skill(uri, _), _) => Operation::Resource { uri },
            (Target::Complete(reference), _) => Operation::Complete { reference, argument: b"{}", context: None },
        }
    }

    /// What the record says was asked for: a tool by its exposed name, all else by method and name.
    pub(super) fn recorded<'a>(&self, catalog: &'a Catalog, wanted: &Wanted<'a>) -> Cow<'a, str> {
        match self.tool(catalog) {
            Some(tool) => Cow::Borrowed(tool.exposed()),
            None => recorded(wanted),
        }
    }
}

/// What the record says was asked for where it stands for nothing.
pub(super) fn recorded<'a>(wanted: &Wanted<'a>) -> Cow<'a, str> {
    match wanted {
        Wanted::Tool { name, .. } => Cow::Borrowed(name),
        Wanted::Complete { .. } => Cow::Borrowed(wanted.method()),
        _ => Cow::Owned(format!("{} {}", wanted.method(), wanted.name())),
    }
}

/// The digest of a tool's definition; zeros for what is none.
pub(super) fn definition_hash(tool: Option<&Tool>) -> Digest {
    tool.map_or(Digest::default(), |tool| tool.hash)
}

/// What a request stands for that is no tool call, if its principal may have it.
pub(super) fn find(exchange: &Exchange, wanted: &Wanted<'_>) -> Option<Admitted> {
    let (catalog, grant, door) = (exchange.catalog(), exchange.grant(), exchange.door);
    match *wanted {
        Wanted::Tool { name, .. } => {
            let id = catalog.resolve(door, name, grant)?;
            Some(Admitted::new(catalog.tool(id).server, Target::Tool(id)))
        }
        Wanted::Prompt { name, .. } => {
            let id = catalog.resolve_prompt(door, name, grant)?;
            Some(Admitted::new(catalog.prompt(id).server, Target::Prompt(id)))
        }
        Wanted::Resource { uri } => {
            let owned = catalog.resolve_resource(door, uri, grant)?;
            Some(Admitted::new(owned.server, Target::Resource(owned.uri.into())))
        }
        Wanted::Complete { reference, .. } => completed(exchange, reference),
        Wanted::Task { id, .. } => task(exchange, id),
        Wanted::Skill { uri, cursor, .. } => {
            let owned = catalog.resolve_skill(door, uri, grant)?;
            let (sealing, now) = (&exchange.shard.sealing, Clock::recent_wall());
            let cursor = match cursor {
                Some(raw) => Some(folder_of(exchange, owned.server, uri).opened(sealing, raw, now)?),
                None => None,
            };
            Some(Admitted::new(owned.server, Target::Skill(owned.uri.into(), cursor)))
        }
    }
}

/// A folder of a server as the principal reads it, by the client's URI.
pub(super) fn folder_of<'a>(exchange: &'a Exchange, server: ServerId, uri: &str) -> Folder<'a> {
    Folder::new(exchange.catalog().server_name(server), exchange.principal.key, uri)
}

/// The resource that a URI stands for at a principal's door, if it may be read.
pub(super) fn topic_of(exchange: &Exchange, uri: &str) -> Option<Topic> {
    let catalog = exchange.catalog();
    let owned = catalog.resolve_resource(exchange.door, uri, exchange.grant())?;
    Some(Topic { server: catalog.server_name(owned.server).into(), subject: Subject::resource(owned.uri) })
}

/// The task that an id stands for, if it may be asked about and its server can be heard of it: a process of each key
/// has tasks of its own, and only the one that lists its server is listened to.
pub(super) fn task_topic_of(exchange: &Exchange, id: &str) -> Option<Topic> {
    let Admitted { server, target: Target::Task(id), .. } = task(exchange, id)? else { return None };
    let spec = exchange.snapshot().server(server)?;
    let is_heard = !spec.is_stdio() || spec.scope == Scope::Shared;
    is_heard.then(|| Topic { server: exchange.catalog().server_name(server).into(), subject: Subject::Task(id) })
}

/// A reference with the name or URI that its server knows.
fn completed(exchange: &Exchange, reference: &[u8]) -> Option<Admitted> {
    let (catalog, grant, door) = (exchange.catalog(), exchange.grant(), exchange.door);
    let text = |key| rpc::field(reference, key).and_then(rpc::string);
    let (server, member, own): (_, _, Cow<'_, str>) = match &*text("type")? {
        "ref/prompt" => {
            let prompt = catalog.prompt(catalog.resolve_prompt(door, &text("name")?, grant)?);
            (prompt.server, "name", Cow::Borrowed(&*prompt.name))
        }
        "ref/resource" => {
            let uri = text("uri")?;
            match catalog.resolve_template(door, &uri, grant) {
                Some(id) => {
                    let template = catalog.template(id);
                    (template.server, "uri", Cow::Borrowed(&*template.text))
                }
                None => {
                    let owned = catalog.resolve_resource(door, &uri, grant)?;
                    (owned.server, "uri", Cow::Owned(owned.uri.to_owned()))
                }
            }
        }
        _ => return None,
    };
    let mut edited = Vec::with_capacity(reference.len() + 32);
    rpc::edit(&mut edited, reference, &[Edit::Set(member, &rpc::quoted(&own))]);
    Some(Admitted::new(server, Target::Complete(edited.into())))
}

/// A task that this key was given the id of, at a server that it still may use.
fn task(exchange: &Exchange, id: &str) -> Option<Admitted> {
    let snapshot = exchange.snapshot();
    let task = TaskId::open(&exchange.shard.sealing, id, &exchange.principal.key).ok()?;
    let (server, _) = snapshot.server_by_name(&task.server)?;
    exchange.grant().admits(server).then_some(Admitted::new(server, Target::Task(task.inner)))
}
