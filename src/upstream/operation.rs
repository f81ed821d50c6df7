//! What a server is asked for, in the raw members of its request: all that any era's form of it is written from.

use crate::catalog::HeaderParam;
use crate::mcp::skill::SkillMethod;
use crate::mcp::task::TaskMethod;

/// One request of a client as a server gets it. All of it is borrowed, from the client's request and the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// `tools/call`.
    Tool {
        /// The tool's name as the server knows it.
        name: &'a str,
        /// The raw JSON object of the arguments, forwarded untouched; absent where the client gave none.
        arguments: Option<&'a [u8]>,
        /// The arguments that the tool's definition wants mirrored into `Mcp-Param-*` headers (modern HTTP only).
        header_params: &'a [HeaderParam],
    },
    /// `prompts/get`.
    Prompt {
        /// The prompt's name as the server knows it.
        name: &'a str,
        /// The raw JSON object of the arguments; absent where the client gave none.
        arguments: Option<&'a [u8]>,
    },
    /// `resources/read`.
    Resource {
        /// The URI as the server knows it.
        uri: &'a str,
    },
    /// `completion/complete`.
    Complete {
        /// The raw reference, with the name or URI that the server knows.
        reference: &'a [u8],
        /// The raw argument to complete.
        argument: &'a [u8],
        /// The raw context, where the client gave one.
        context: Option<&'a [u8]>,
    },
    /// `tasks/get`, `tasks/update` or `tasks/cancel` (extension `io.modelcontextprotocol/tasks`).
    Task {
        /// What is to be done with it.
        method: TaskMethod,
        /// The task's id as the server knows it.
        id: &'a str,
    },
    /// `skills/get` or `resources/directory/read` (extension `io.modelcontextprotocol/skills`).
    Skill {
        /// Which of them.
        method: SkillMethod,
        /// The URI as the server knows it.
        uri: &'a str,
        /// The raw cursor of a folder's next page, the server's own.
        cursor: Option<&'a [u8]>,
    },
}

impl Default for Operation<'_> {
    fn default() -> Self {
        Self::Tool { name: "", arguments: None, header_params: &[] }
    }
}

impl<'a> Operation<'a> {
    /// The method's name.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Tool { .. } => "tools/call",
            Self::Prompt { .. } => "prompts/get",
            Self::Resource { .. } => "resources/read",
            Self::Complete { .. } => "completion/complete",
            Self::Task { method, .. } => method.as_str(),
            Self::Skill { method, .. } => method.as_str(),
        }
    }

    /// What `Mcp-Name` says of it in the modern era; nothing for a method that has no such header.
    pub fn mirrored_name(&self) -> Option<&'a str> {
        match *self {
            Self::Tool { name, .. } | Self::Prompt { name, .. } => Some(name),
            Self::Resource { uri } => Some(uri),
            Self::Complete { .. } | Self::Skill { .. } => None,
            Self::Task { id, .. } => Some(id),
        }
    }
}

/// What a client answers to a server that asked for input (2026-07-28 server/mrtr): raw members of the request that is
/// made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Input<'a> {
    /// `inputResponses`, an object.
    pub responses: Option<&'a [u8]>,
    /// `requestState`, the server's own string, raw.
    pub state: Option<&'a [u8]>,
}

/// The owned form of [`Input`].
#[derive(Clone, Debug)]
pub struct OwnedInput {
    responses: Option<Box<[u8]>>,
    state: Option<Box<[u8]>>,
}

impl From<Input<'_>> for OwnedInput {
    fn from(Input { responses, state }: Input<'_>) -> Self {
        Self { responses: responses.map(Into::into), state: state.map(Into::into) }
    }
}

impl OwnedInput {
    /// What it brings.
    pub fn borrowed(&self) -> Input<'_> {
        Input { responses: self.responses.as_deref(), state: self.state.as_deref() }
    }
}

/// An operation that owns what it says, to cross to another shard or to outlive its request.
#[derive(Clone, Debug)]
pub(super) enum OwnedOperation {
    Tool { name: Box<str>, arguments: Option<Box<[u8]>>, header_params: Box<[HeaderParam]> },
    Prompt { name: Box<str>, arguments: Option<Box<[u8]>> },
    Resource { uri: Box<str> },
    Complete { reference: Box<[u8]>, argument: Box<[u8]>, context: Option<Box<[u8]>> },
    Task { method: TaskMethod, id: Box<str> },
    Skill { method: SkillMethod, uri: Box<str>, cursor: Option<Box<[u8]>> },
}

impl From<Operation<'_>> for OwnedOperation {
    fn from(operation: Operation<'_>) -> Self {
        match operation {
            Operation::Tool { name, arguments, header_params } => Self::Tool {
                name: name.into(),
                arguments: arguments.map(Into::into),
                header_params: header_params.into(),
            },
            Operation::Prompt { name, arguments } => {
                Self::Prompt { name: name.into(), arguments: arguments.map(Into::into) }
            }
            Operation::Resource { uri } => Self::Resource { uri: uri.into() },
            Operation::Complete { reference, argument, context } => Self::Complete {
                reference: reference.into(),
                argument: argument.into(),
                context: context.map(Into::into),
            },
            Operation::Task { method, id } => Self::Task { method, id: id.into() },
            Operation::Skill { method, uri, cursor } => {
                Self::Skill { method, uri: uri.into(), cursor: cursor.map(Into::into) }
            }
        }
    }
}

impl OwnedOperation {
    /// The operation it is.
    pub(super) fn borrowed(&self) -> Operation<'_> {
        match self {
            Self::Tool { name, arguments, header_params } => {
                Operation::Tool { name, arguments: arguments.as_deref(), header_params }
            }
            Self::Prompt { name, arguments } => Operation::Prompt { name, arguments: arguments.as_deref() },
            Self::Resource { uri } => Operation::Resource { uri },
            Self::Complete { reference, argument, context } => {
                Operation::Complete { reference, argument, context: context.as_deref() }
            }
            Self::Task { method, id } => Operation::Task { method: *method, id },
            Self::Skill { method, uri, cursor } => Operation::Skill { method: *method, uri, cursor: cursor.as_deref() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owned_says_the_same() {
        let all = [
            Operation::Tool { name: "t", arguments: Some(b"{}"), header_params: &[] },
            Operation::Prompt { name: "p", arguments: None },
            Operation::Resource { uri: "a://b" },
            Operation::Complete { reference: b"{}", argument: b"{ }", context: Some(b"{\"a\":1}") },
            Operation::Task { method: TaskMethod::Update, id: "7" },
            Operation::Skill { method: SkillMethod::Directory, uri: "a:b", cursor: Some(b"\"c\"") },
        ];
        for operation in all {
            assert_eq!(OwnedOperation::from(operation).borrowed(), operation);
        }
        assert_eq!(
            all.map(|operation| operation.mirrored_name()),
            [Some("t"), Some("p"), Some("a://b"), None, Some("7"), None]
        );
        assert_eq!(all[4].method(), "tasks/update");
    }
}
