//! What somebody may see: a set of tools and servers of one catalogue, as bits.

use super::{Catalog, Door, Narrowing, Pattern};
use crate::base::ids::{GrantId, ServerId, ToolId};
use crate::invariant;
use foldhash::{HashMap, HashMapExt};

/// A set of tools, and the servers its patterns speak of (a server may have listed nothing yet). Compiled for one
/// catalogue and valid for that one only. Equal grants see the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    tools: Bits,
    servers: Bits,
}

impl Grant {
    /// The grant that sees nothing.
    pub fn nothing() -> Self {
        Self { tools: Bits::with_room(0), servers: Bits::with_room(0) }
    }

    /// Everything that any of the patterns allows. No pattern, no tool.
    pub fn compile(patterns: &[Pattern], catalog: &Catalog) -> Self {
        let mut grant =
            Self { tools: Bits::with_room(catalog.tools().len()), servers: Bits::with_room(catalog.servers_end()) };
        for (id, tool) in catalog.tools_with_ids() {
            let server = catalog.server_name(tool.server);
            if patterns.iter().any(|pattern| pattern.covers(server, tool)) {
                grant.tools.set(id.0 as usize);
            }
        }
        for server in catalog.servers() {
            if patterns.iter().any(|pattern| pattern.covers_server(&server.name)) {
                grant.servers.set(usize::from(server.id.0));
            }
        }
        grant
    }

    /// Whether this tool may be seen and called.
    pub fn allows(&self, tool: ToolId) -> bool {
        self.tools.has(tool.0 as usize)
    }

    /// Whether some pattern speaks of this server, so that its door exists for the holder.
    pub fn admits(&self, server: ServerId) -> bool {
        self.servers.has(usize::from(server.0))
    }

    /// How many tools may be seen.
    pub fn len(&self) -> usize {
        self.tools.count()
    }

    /// Whether no tool may be seen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tools that may be seen at a door, in the catalogue's order.
    pub fn tools<'a>(&'a self, catalog: &'a Catalog, door: Door) -> impl Iterator<Item = ToolId> + 'a {
        catalog.behind(door).filter(|id| self.allows(*id))
    }

    /// What both see.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self { tools: self.tools.and(&other.tools), servers: self.servers.and(&other.servers) }
    }

    /// What is left of it where the request asked for less. Never more than before.
    #[must_use]
    pub fn narrow(&self, narrowing: &Narrowing, catalog: &Catalog, door: Door) -> Self {
        let mut tools = Bits::with_room(catalog.tools().len());
        for id in self.tools(catalog, door).filter(|id| narrowing.covers(catalog, door, *id)) {
            tools.set(id.0 as usize);
        }
        Self { tools, servers: self.servers.clone() }
    }
}

/// The distinct grants of one snapshot: keys with equal rights share an id, and so a rendered view.
#[derive(Debug, Default)]
pub struct Grants {
    all: Vec<Grant>,
    ids: HashMap<Grant, GrantId>,
}

impl Grants {
    /// No grants yet.
    pub fn new() -> Self {
        Self { all: Vec::new(), ids: HashMap::new() }
    }

    /// The id of a grant, a new one only if no equal grant is here.
    pub fn intern(&mut self, grant: Grant) -> GrantId {
        if let Some(id) = self.ids.get(&grant) {
            return *id;
        }
        let id = GrantId(invariant!(u32::try_from(self.all.len()), "there are fewer grants than keys"));
        self.all.push(grant.clone());
        self.ids.insert(grant, id);
        id
    }

    /// The grant of an id that [`Self::intern`] gave.
    pub fn get(&self, id: GrantId) -> &Grant {
        &self.all[id.0 as usize]
    }

    /// How many distinct grants there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// A set of small numbers. Those beyond its room are not in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Bits(Box<[u64]>);

impl Bits {
    fn with_room(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)].into())
    }

    fn set(&mut self, bit: usize) {
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    fn has(&self, bit: usize) -> bool {
        self.0.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, two)| one & two).collect())
    }
}
