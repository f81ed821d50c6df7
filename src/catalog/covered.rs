//! What one pattern covers of a catalogue.

use super::bits::Bits;
use super::{Catalog, Door, ListKind, Pattern, Sort};
use crate::base::ids::{PromptId, ResourceId, TemplateId, ToolId};

/// What a pattern is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Use {
    /// What it covers may be seen.
    Gives,
    /// What it covers may not.
    Excludes,
}

/// What one pattern covers.
#[derive(Debug)]
pub(super) struct Covered {
    /// Servers of which it speaks.
    pub(super) servers: Bits,
    /// Of the lists that its sort speaks of.
    pub(super) lists: Vec<(ListKind, Bits)>,
}

impl Covered {
    /// Only the entries of servers it speaks of are looked at. A server is excluded where all of it is.
    pub(super) fn by(pattern: &Pattern, (sort, usage): (Sort, Use), catalog: &Catalog) -> Self {
        let kinds = lists_of(sort);
        let mut servers = Bits::with_room(catalog.servers_end());
        let room = |kind: &ListKind| (*kind, Bits::with_room(catalog.len(*kind)));
        let mut lists: Vec<_> = kinds.iter().map(room).collect();
        for server in catalog.servers().iter().filter(|server| pattern.covers_server(&server.name)) {
            if usage == Use::Gives || pattern.covers_all_of(&server.name) {
                servers.set(usize::from(server.id.0));
            }
            for (kind, bits) in &mut lists {
                let range = catalog.range(Door::Server(server.id), *kind);
                range
                    .filter(|at| covers((pattern, usage), catalog, &server.name, (*kind, *at)))
                    .for_each(|at| bits.set(at as usize));
            }
        }
        Self { servers, lists }
    }
}

/// The lists that patterns of a sort speak of.
pub(super) fn lists_of(sort: Sort) -> &'static [ListKind] {
    match sort {
        Sort::Tools => &[ListKind::Tools],
        Sort::Prompts => &[ListKind::Prompts],
        Sort::Resources => &[ListKind::Resources, ListKind::Templates, ListKind::Skills],
    }
}

fn covers((pattern, usage): (&Pattern, Use), catalog: &Catalog, server: &str, (kind, at): (ListKind, u32)) -> bool {
    let (sort, name) = match kind {
        ListKind::Tools => (Sort::Tools, catalog.tool(ToolId(at)).name()),
        ListKind::Prompts => (Sort::Prompts, &*catalog.prompt(PromptId(at)).name),
        ListKind::Resources => (Sort::Resources, &*catalog.resource(ResourceId(at)).uri),
        ListKind::Templates => (Sort::Resources, &*catalog.template(TemplateId(at)).text),
        ListKind::Skills => (Sort::Resources, &*catalog.skills()[at as usize].uri),
    };
    match usage {
        Use::Gives => pattern.covers_as(sort, server, name),
        Use::Excludes => pattern.excludes_as(sort, server, name),
    }
}
