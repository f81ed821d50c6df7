//! What is switched off of one catalogue: the entries and servers that no grant shows until it is on again.

use super::bits::Bits;
use super::{Catalog, Door, ListKind};
use crate::base::ids::ToolId;

/// Entries and servers of one catalogue that are switched off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Off {
    /// By [`ListKind`].
    pub(super) seen: [Bits; ListKind::ALL.len()],
    pub(super) servers: Bits,
}

impl Off {
    /// All of the servers that `server` says are off, and the tools that `tool` says are, by server and its own name.
    pub fn of(catalog: &Catalog, server: impl Fn(&str) -> bool, tool: impl Fn(&str, &str) -> bool) -> Self {
        let mut off = Self {
            seen: ListKind::ALL.map(|kind| Bits::with_room(catalog.len(kind))),
            servers: Bits::with_room(catalog.servers_end()),
        };
        for entry in catalog.servers() {
            let whole = server(&entry.name);
            if whole {
                off.servers.set(usize::from(entry.id.0));
            }
            for kind in ListKind::ALL {
                let is_off =
                    |at: &u32| whole || kind == ListKind::Tools && tool(&entry.name, catalog.tool(ToolId(*at)).name());
                let range = catalog.range(Door::Server(entry.id), kind);
                range.filter(is_off).for_each(|at| off.seen[kind as usize].set(at as usize));
            }
        }
        off
    }
}
