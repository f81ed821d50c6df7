//! The lists that a server may offer, and what else it offers beside its tools.

use crate::base::limits::{
    SERVER_LIST_BYTES_MAX, SERVER_PROMPTS_MAX, SERVER_RESOURCES_MAX, SERVER_SKILLS_MAX, SERVER_TEMPLATES_MAX,
    SERVER_TOOLS_MAX, SIDE_LIST_BYTES_MAX,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One of the lists of MCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
    /// `skills/list` (extension `io.modelcontextprotocol/skills`).
    Skills,
}

impl ListKind {
    /// All of them; each stands at its own number.
    pub const ALL: [Self; 5] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates, Self::Skills];

    /// The method that asks for the list.
    pub fn method(self) -> &'static str {
        ["tools/list", "prompts/list", "resources/list", "resources/templates/list", "skills/list"][self as usize]
    }

    /// The list that a method asks for.
    pub fn of_method(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.method() == method)
    }

    /// The member of the result that holds the list.
    pub fn member(self) -> &'static str {
        ["tools", "prompts", "resources", "resourceTemplates", "skills"][self as usize]
    }

    /// Most entries taken from one server.
    pub fn most(self) -> usize {
        let most =
            [SERVER_TOOLS_MAX, SERVER_PROMPTS_MAX, SERVER_RESOURCES_MAX, SERVER_TEMPLATES_MAX, SERVER_SKILLS_MAX];
        most[self as usize]
    }

    /// Most bytes of all entries taken from one server.
    pub fn bytes_most(self) -> usize {
        if self == Self::Tools { SERVER_LIST_BYTES_MAX } else { SIDE_LIST_BYTES_MAX }
    }

    /// What several entries are called.
    pub fn plural(self) -> &'static str {
        ["tools", "prompts", "resources", "resource templates", "skills"][self as usize]
    }
}

impl fmt::Display for ListKind {
    /// What one entry is called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["tool", "prompt", "resource", "resource template", "skill"][*self as usize])
    }
}

/// What a server offers beside tools, as it says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "each is a capability of its own")]
pub struct Offers {
    /// Prompts.
    pub prompts: bool,
    /// Resources and their templates.
    pub resources: bool,
    /// Completion of arguments.
    pub completions: bool,
    /// Word of a change of one resource.
    pub subscribe: bool,
    /// Tasks: results that come later (extension `io.modelcontextprotocol/tasks`).
    pub tasks: bool,
    /// Interfaces that tools bring along (extension `io.modelcontextprotocol/ui`).
    pub ui: bool,
    /// Skills (extension `io.modelcontextprotocol/skills`).
    pub skills: bool,
    /// What is in a folder of a skill (the same extension, `directoryRead`).
    pub directories: bool,
}

impl Offers {
    /// Whether it offers nothing beside tools.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_known_by_its_method() {
        for (at, kind) in ListKind::ALL.into_iter().enumerate() {
            assert_eq!((kind as usize, ListKind::of_method(kind.method())), (at, Some(kind)));
        }
        assert_eq!(ListKind::of_method("resources/read"), None);
    }
}
