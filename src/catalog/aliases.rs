//! What the groups of one grant call its tools, and say of them, with the map by which those names resolve.

use super::{Alias, Catalog};
use crate::base::ids::ToolId;
use foldhash::{HashMap, HashMapExt};
use std::hash::{Hash, Hasher};

/// The tools of one grant that are called or described another way.
#[derive(Clone, Debug, Default)]
pub(super) struct Aliases {
    /// By tool, in order.
    tools: Vec<(ToolId, Shown)>,
    names: HashMap<Box<str>, ToolId>,
}

/// How a tool is shown where that is not its own way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Shown {
    name: Option<Box<str>>,
    description: Option<Box<str>>,
}

/// The map of names says nothing that the tools do not.
impl PartialEq for Aliases {
    fn eq(&self, other: &Self) -> bool {
        self.tools == other.tools
    }
}

impl Eq for Aliases {}

impl Hash for Aliases {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tools.hash(state);
    }
}

impl Aliases {
    /// Those that speak of tools which may be seen. Where two speak of one tool, they do not say different things:
    /// the configuration is refused where they do.
    pub(super) fn of<'a>(
        aliases: impl Iterator<Item = &'a Alias>,
        catalog: &Catalog,
        may_see: impl Fn(ToolId) -> bool,
    ) -> Option<Self> {
        let mut all = Self { tools: Vec::new(), names: HashMap::new() };
        for alias in aliases {
            let id = catalog.server_id(&alias.server).and_then(|server| catalog.tool_of(server, &alias.tool));
            let Some(id) = id.filter(|id| may_see(*id)) else { continue };
            let at = all.tools.binary_search_by_key(&id, |(id, _)| *id).unwrap_or_else(|at| {
                all.tools.insert(at, (id, Shown::default()));
                at
            });
            let shown = &mut all.tools[at].1;
            if shown.name.is_none() {
                shown.name.clone_from(&alias.name);
            }
            if shown.description.is_none() {
                shown.description.clone_from(&alias.description);
            }
        }
        for (id, shown) in &all.tools {
            if let Some(name) = &shown.name {
                all.names.insert(name.clone(), *id);
            }
        }
        (!all.tools.is_empty()).then_some(all)
    }

    /// The tool that is called so.
    pub(super) fn find(&self, name: &str) -> Option<ToolId> {
        self.names.get(name).copied()
    }

    /// What a tool is called, where that is not its own name.
    pub(super) fn name(&self, id: ToolId) -> Option<&str> {
        self.shown(id)?.name.as_deref()
    }

    /// What is said of a tool in place of its description.
    pub(super) fn description(&self, id: ToolId) -> Option<&str> {
        self.shown(id)?.description.as_deref()
    }

    fn shown(&self, id: ToolId) -> Option<&Shown> {
        let at = self.tools.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(&self.tools[at].1)
    }
}
