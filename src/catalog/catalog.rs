//! All tools of all servers: their order, their names, and the maps that resolve a name. Built whole, never changed.

use super::{Grant, Leg, ServerList, Tool};
use crate::base::clock::WallTime;
use crate::base::ids::{ServerId, ToolId};
use crate::base::limits::SERVER_TOOLS_MAX;
use crate::invariant;
use foldhash::HashMap;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::fmt;
use std::hash::BuildHasher;
use std::ops::Range;

/// The way by which a client came in, which settles what tools are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// `/mcp`: all servers, exposed names; bare names where they are unique.
    All,
    /// `/mcp/<server>`: one server, its own names.
    Server(ServerId),
}

/// One server in a catalogue.
#[derive(Clone, Debug)]
pub struct ServerEntry {
    /// Its place in the snapshot.
    pub id: ServerId,
    /// Its name in the configuration.
    pub name: Box<str>,
    /// The era its list was fetched over.
    pub leg: Leg,
    /// When its list was fetched.
    pub fetched_at: WallTime,
    /// Whether its list is a last good one and the server does not answer now.
    pub stale: bool,
    tools: Range<u32>,
    own_names: Index,
}

/// What is wrong with a tool that a server listed, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Warning {
    /// The server's name.
    pub server: Box<str>,
    /// Which of the tools it listed, counted from 0.
    pub position: usize,
    /// Whether the tool is listed all the same.
    pub listed: bool,
    /// What is wrong with it, with its name where it has one.
    pub text: Box<str>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.listed { "mended" } else { "left out" };
        write!(f, "server {}: tool {} is {outcome}: {}", self.server, self.position, self.text)
    }
}

/// Tools by a name they bear themselves, so that a look-up reads no other copy of it.
type Index = HashTable<ToolId>;

/// All tools in a fixed order (servers as configured, each server's tools as it listed them) with the maps by which
/// names resolve.
#[derive(Debug, Default)]
pub struct Catalog {
    tools: Vec<Tool>,
    servers: Vec<ServerEntry>,
    /// Places in `servers` by `ServerId`.
    places: Vec<Option<u16>>,
    server_ids: HashMap<Box<str>, ServerId>,
    exposed: Index,
    /// Of the names in every [`Index`].
    hasher: RandomState,
    /// Every tool that bears an upstream name, whatever its server.
    bare: HashMap<Box<str>, Vec<ToolId>>,
    warnings: Vec<Warning>,
}

impl Catalog {
    /// Builds a catalogue. Tools that break a rule are left out, each with a warning; they never cost another tool
    /// its place.
    pub fn build(servers: &[(ServerId, &str, &ServerList)]) -> Self {
        let mut catalog = Self::default();
        for (id, name, list) in servers {
            catalog.add_server(*id, name, list);
        }
        catalog
    }

    fn add_server(&mut self, id: ServerId, name: &str, list: &ServerList) {
        let start = self.end();
        let mut own_names = Index::with_capacity(list.tools.len().min(SERVER_TOOLS_MAX));
        for (position, definition) in list.tools.iter().take(SERVER_TOOLS_MAX).enumerate() {
            match Tool::parse(id, name, definition).and_then(|tool| self.add_tool(tool, &mut own_names)) {
                Ok(None) => {}
                Ok(Some(mended)) => self.warn(name, position, true, mended),
                Err(text) => self.warn(name, position, false, text),
            }
        }
        if list.tools.len() > SERVER_TOOLS_MAX {
            let text = format!("so are all after it: more than {SERVER_TOOLS_MAX} tools");
            self.warn(name, SERVER_TOOLS_MAX, false, text);
        }
        let tools = start..self.end();
        let (leg, fetched_at, stale) = (list.leg, list.fetched_at, list.stale);
        self.add_entry(ServerEntry { id, name: name.into(), leg, fetched_at, stale, tools, own_names });
    }

    fn warn(&mut self, server: &str, position: usize, listed: bool, text: String) {
        self.warnings.push(Warning { server: server.into(), position, listed, text: text.into() });
    }

    /// Adds a tool, or says why not; also says what was mended.
    fn add_tool(&mut self, tool: Tool, own_names: &mut Index) -> Result<Option<String>, String> {
        let exposed_before = self.look_up(&self.exposed, tool.exposed(), Tool::exposed);
        if exposed_before.or_else(|| self.look_up(own_names, tool.unprefixed(), Tool::unprefixed)).is_some() {
            return Err(format!("{:?}: an earlier tool has this name", tool.name()));
        }
        let mended = tool.forms().are_mended();
        let mended = mended.then(|| format!("{:?}: its inputSchema has no type, listed as \"object\"", tool.name()));
        let id = ToolId(self.end());
        self.bare.entry(tool.name().into()).or_default().push(id);
        self.tools.push(tool);
        let (tools, hasher) = (&self.tools, &self.hasher);
        enter(&mut self.exposed, tools, hasher, id, Tool::exposed);
        enter(own_names, tools, hasher, id, Tool::unprefixed);
        Ok(mended)
    }

    fn add_entry(&mut self, entry: ServerEntry) {
        let place = invariant!(u16::try_from(self.servers.len()), "a snapshot holds at most SERVERS_MAX servers");
        let slot = usize::from(entry.id.0);
        self.places.resize(self.places.len().max(slot + 1), None);
        self.places[slot] = Some(place);
        self.server_ids.insert(entry.name.clone(), entry.id);
        self.servers.push(entry);
    }

    fn end(&self) -> u32 {
        invariant!(u32::try_from(self.tools.len()), "servers times tools per server fit 32 bits")
    }

    /// All tools, in order.
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// All tools with their ids, in order.
    pub fn tools_with_ids(&self) -> impl Iterator<Item = (ToolId, &Tool)> {
        (0..self.end()).map(ToolId).zip(&self.tools)
    }

    /// A tool by an id of this catalogue.
    pub fn tool(&self, id: ToolId) -> &Tool {
        &self.tools[id.0 as usize]
    }

    /// All servers, in order.
    pub fn servers(&self) -> &[ServerEntry] {
        &self.servers
    }

    /// A server by an id of this catalogue.
    pub fn server(&self, id: ServerId) -> Option<&ServerEntry> {
        let place = self.places.get(usize::from(id.0)).copied().flatten()?;
        self.servers.get(usize::from(place))
    }

    /// A server's name; empty for an id that is not of this catalogue.
    pub fn server_name(&self, id: ServerId) -> &str {
        self.server(id).map_or("", |server| &server.name)
    }

    /// A server's id by its name.
    pub fn server_id(&self, name: &str) -> Option<ServerId> {
        self.server_ids.get(name).copied()
    }

    /// One more than the greatest server id.
    pub(super) fn servers_end(&self) -> usize {
        self.places.len()
    }

    /// What was left out or mended, and why.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The tools behind a door, in order.
    pub fn behind(&self, door: Door) -> impl Iterator<Item = ToolId> + use<> {
        let range = match door {
            Door::All => 0..self.end(),
            Door::Server(id) => self.server(id).map_or(0..0, |server| server.tools.clone()),
        };
        range.map(ToolId)
    }

    /// The name under which a tool is listed at a door.
    pub fn listed_name(&self, door: Door, id: ToolId) -> &str {
        let tool = self.tool(id);
        match door {
            Door::All => tool.exposed(),
            Door::Server(_) => tool.unprefixed(),
        }
    }

    /// The tool of a name at a door: as it is listed there, else by the upstream's own name where that is unique
    /// among the tools the grant allows. Other tools count only where none of those bears the name, so that they
    /// neither disturb nor show. What is found may still be denied: that is for `policy::decide` to say.
    pub fn resolve(&self, door: Door, name: &str, grant: &Grant) -> Option<ToolId> {
        let listed = match door {
            Door::All => self.look_up(&self.exposed, name, Tool::exposed),
            Door::Server(id) => self.look_up(&self.server(id)?.own_names, name, Tool::unprefixed),
        };
        listed.or_else(|| self.resolve_bare(door, name, grant))
    }

    fn look_up(&self, index: &Index, name: &str, name_of: NameOf) -> Option<ToolId> {
        index.find(self.hasher.hash_one(name), |id| name_of(self.tool(*id)) == name).copied()
    }

    fn resolve_bare(&self, door: Door, name: &str, grant: &Grant) -> Option<ToolId> {
        let here = |id: &ToolId| door == Door::All || door == Door::Server(self.tool(*id).server);
        let mut bearers = self.bare.get(name)?.iter().copied().filter(here);
        let mut allowed = bearers.clone().filter(|id| grant.allows(*id));
        match (allowed.next(), allowed.next()) {
            (Some(id), None) => Some(id),
            (Some(_), Some(_)) => None,
            (None, _) => bearers.next(),
        }
    }
}

/// Which of a tool's names an index goes by.
type NameOf = fn(&Tool) -> &str;

/// Enters a tool whose name is not there yet.
fn enter(index: &mut Index, tools: &[Tool], hasher: &RandomState, id: ToolId, name_of: NameOf) {
    let hash = |id: &ToolId| hasher.hash_one(name_of(&tools[id.0 as usize]));
    index.insert_unique(hash(&id), id, hash);
}

#[cfg(test)]
mod tests {
    use super::super::{Pattern, catalogue, testing};
    use super::*;
    use std::collections::BTreeSet;

    fn grant(catalog: &Catalog, patterns: &[&str]) -> Grant {
        let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        Grant::compile(&patterns, catalog)
    }

    fn resolved(catalog: &Catalog, door: Door, name: &str, patterns: &[&str]) -> Option<String> {
        let id = catalog.resolve(door, name, &grant(catalog, patterns))?;
        Some(catalog.tool(id).exposed().to_owned())
    }

    #[test]
    fn every_tool_of_both_catalogues_has_its_own_name() {
        for servers in [catalogue::any(), catalogue::generated()] {
            let catalog = testing::build(&servers);
            assert_eq!(catalog.tools().len(), catalogue::TOOLS);
            assert!(catalog.warnings().iter().all(|warning| warning.listed), "{:?}", catalog.warnings());
            let names: BTreeSet<_> = catalog.tools().iter().map(Tool::exposed).collect();
            assert_eq!(names.len(), catalogue::TOOLS);
            assert!(names.iter().all(|name| name.len() <= 64));
            let all = grant(&catalog, &["*/*"]);
            for (id, tool) in catalog.tools_with_ids() {
                assert_eq!(catalog.resolve(Door::All, tool.exposed(), &all), Some(id));
                let door = Door::Server(tool.server);
                assert_eq!(catalog.resolve(door, tool.unprefixed(), &all), Some(id));
                assert_eq!(catalog.resolve(door, tool.name(), &all), Some(id));
            }
        }
    }

    #[test]
    fn names_and_order_do_not_depend_on_other_servers() {
        let servers = catalogue::generated();
        let together = testing::build(&servers);
        for (at, server) in servers.iter().enumerate() {
            let alone = testing::build(std::slice::from_ref(server));
            let names = |catalog: &Catalog, door| -> Vec<_> {
                catalog.behind(door).map(|id| catalog.tool(id).exposed().to_owned()).collect()
            };
            let door = Door::Server(ServerId(u16::try_from(at).unwrap()));
            assert_eq!(names(&alone, Door::All), names(&together, door));
        }
    }

    #[test]
    fn names_that_run_together_stay_apart() {
        let catalog = testing::plain(&[("a", &["b_c", "b__c"]), ("a_b", &["c"]), ("a__b", &["c"]), ("a_", &["b"])]);
        assert_eq!(catalog.tools().len(), 5);
        let names: BTreeSet<_> = catalog.tools().iter().map(|tool| tool.exposed()).collect();
        assert_eq!(names.len(), 5);
        assert!(names.contains("a__b_c") && names.contains("a__b__c") && names.contains("a_b__c"));
    }

    #[test]
    fn a_bare_name_is_taken_where_it_is_unique_among_what_is_allowed() {
        let catalog = testing::plain(&[("a", &["search", "x"]), ("b", &["search", "a__x"])]);
        let at = |name, patterns| resolved(&catalog, Door::All, name, patterns);
        assert_eq!(at("a__search", &["*/*"]).as_deref(), Some("a__search"));
        assert_eq!(at("search", &["*/*"]), None);
        assert_eq!(at("search", &["b/*"]).as_deref(), Some("b__search"));
        assert_eq!(at("a__x", &["b/*"]).as_deref(), Some("a__x"), "a listed name goes before a bare one");
        assert_eq!(at("x", &[]).as_deref(), Some("a__x"), "found, for the record, though not allowed");
        assert_eq!(at("nothing", &["*/*"]), None);
    }

    #[test]
    fn one_servers_door_knows_its_own_names_only() {
        let catalog = testing::plain(&[("a", &["search", "n.x"]), ("b", &["search"])]);
        let at = |server, name| resolved(&catalog, Door::Server(ServerId(server)), name, &["*/*"]);
        assert_eq!(at(0, "search").as_deref(), Some("a__search"));
        assert_eq!(at(1, "search").as_deref(), Some("b__search"));
        assert_eq!((at(1, "a__search"), at(1, "n.x"), at(7, "search")), (None, None, None));
        assert_eq!((catalog.server_id("b"), catalog.server_id("c")), (Some(ServerId(1)), None));
    }

    #[test]
    fn a_bad_tool_costs_no_other_its_place() {
        let schema = r#""inputSchema":{"type":"object"}"#;
        let tool = |name: &str| format!("{{\"name\":\"{name}\",{schema}}}");
        let long = tool(&"x".repeat(257));
        let broken = r#"{"name":"odd\u202e","inputSchema":{"type":"string"}}"#;
        let tools = ["{", &tool("a"), &long, &tool("a"), broken, &tool("b")].map(str::to_owned).to_vec();
        let catalog = testing::build(&[catalogue::Listed { server: "s".into(), tools }]);
        let names: Vec<_> = catalog.tools().iter().map(|tool| tool.name()).collect();
        assert_eq!(names, ["a", "b"]);
        let warnings: Vec<_> = catalog.warnings().iter().map(Warning::to_string).collect();
        assert_eq!(warnings.len(), 4, "{warnings:?}");
        assert!(warnings[2].ends_with("tool 3 is left out: \"a\": an earlier tool has this name"), "{}", warnings[2]);
        assert!(warnings[3].contains(r#""odd\u{202e}": its inputSchema is not a schema of type "object""#));
    }

    #[test]
    fn a_flood_of_tools_is_cut_with_one_warning() {
        let tool = |at: usize| format!("{{\"name\":\"t{at}\",\"inputSchema\":{{\"type\":\"object\"}}}}");
        let tools = (0..SERVER_TOOLS_MAX + 5).map(tool).collect();
        let catalog = testing::build(&[catalogue::Listed { server: "s".into(), tools }]);
        assert_eq!((catalog.tools().len(), catalog.warnings().len()), (SERVER_TOOLS_MAX, 1));
    }
}
