//! All tools, prompts and resources of all servers: their order, their names, and the maps that resolve a name. Built
//! whole, never changed.

use super::bits::Bits;
use super::drift::Withheld;
use super::resolve::{NameMaps, Names};
use super::skill::{File, Holding, Skill};
use super::uris::Owners;
use super::{Grant, Leg, ListKind, Offers, Prompt, Resource, ServerList, Template, Tool};
use crate::base::clock::WallTime;
use crate::base::ids::{PromptId, ResourceId, ServerId, TemplateId, ToolId};
use crate::base::limits::SERVER_SKILL_URIS_MAX;
use crate::invariant;
use bytes::Bytes;
use foldhash::HashMap;
use std::fmt;
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
    /// What it offers beside tools.
    pub offers: Offers,
    /// The raw object of the extensions unknown to the gate that it has and may have.
    pub extensions: Option<Bytes>,
    /// Its entries in each list.
    ranges: [Range<u32>; ListKind::ALL.len()],
}

/// What is wrong with an entry that a server listed, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Warning {
    /// The server's name.
    pub server: Box<str>,
    /// In which of its lists.
    pub kind: ListKind,
    /// Which of the entries it listed, counted from 0.
    pub position: usize,
    /// Whether the entry is listed all the same.
    pub listed: bool,
    /// What is wrong with it, with its name where it has one.
    pub text: Box<str>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.listed { "mended" } else { "left out" };
        write!(f, "server {}: {} {} is {outcome}: {}", self.server, self.kind, self.position, self.text)
    }
}

/// All tools in a fixed order (servers as configured, each server's tools as it listed them) with the maps by which
/// names resolve; prompts, resources and their templates likewise.
#[derive(Debug, Default)]
pub struct Catalog {
    tools: Vec<Tool>,
    pub(super) prompts: Vec<Prompt>,
    pub(super) resources: Vec<Resource>,
    pub(super) templates: Vec<Template>,
    pub(super) skills: Vec<Skill>,
    /// What comes with the skills.
    pub(super) files: Vec<File>,
    servers: Vec<ServerEntry>,
    /// Places in `servers` by `ServerId`.
    places: Vec<Option<u16>>,
    server_ids: HashMap<Box<str>, ServerId>,
    tool_names: NameMaps<ToolId>,
    pub(super) prompt_names: NameMaps<PromptId>,
    pub(super) resource_owners: Owners<Holding>,
    pub(super) template_owners: Owners<TemplateId>,
    warnings: Vec<Warning>,
    /// Tools that no grant shows, whatever it allows.
    withheld: HashMap<ToolId, Withheld>,
    pub(super) withheld_tools: Bits,
}

/// A server whose lists are being added.
type Server<'a> = (ServerId, &'a str);

impl Catalog {
    /// Builds a catalogue. Entries that break a rule are left out, each with a warning; they never cost another its
    /// place.
    pub fn build(servers: &[(ServerId, &str, &ServerList)]) -> Self {
        let mut catalog = Self::default();
        for (id, name, list) in servers {
            catalog.add_server((*id, name), list);
        }
        if !catalog.withheld.is_empty() {
            catalog.withheld_tools = Bits::with_room(catalog.tools.len());
            catalog.withheld.keys().for_each(|id| catalog.withheld_tools.set(id.0 as usize));
        }
        catalog
    }

    fn add_server(&mut self, server: Server<'_>, list: &ServerList) {
        let ranges = [
            self.add_all(server, ListKind::Tools, list, Self::add_tool),
            self.add_all(server, ListKind::Prompts, list, Self::add_prompt),
            self.add_all(server, ListKind::Resources, list, Self::add_resource),
            self.add_all(server, ListKind::Templates, list, Self::add_template),
            self.add_all(server, ListKind::Skills, list, Self::add_skill),
        ];
        let (id, name) = (server.0, server.1.into());
        let (leg, fetched_at, stale, offers) = (list.leg, list.fetched_at, list.stale, list.offers);
        let extensions = list.extensions.clone();
        self.add_entry(ServerEntry { id, name, leg, fetched_at, stale, offers, extensions, ranges });
    }

    /// Adds a server's entries of one kind; their places.
    fn add_all(
        &mut self,
        server: Server<'_>,
        kind: ListKind,
        list: &ServerList,
        add: fn(&mut Self, Server<'_>, &Bytes) -> Result<Option<String>, String>,
    ) -> Range<u32> {
        let (start, definitions) = (self.end(kind), list.of(kind));
        for (position, definition) in definitions.iter().take(kind.most()).enumerate() {
            match add(self, server, definition) {
                Ok(None) => {}
                Ok(Some(mended)) => self.warn(server, kind, position, true, mended),
                Err(text) => {
                    self.warn(server, kind, position, false, text);
                    continue;
                }
            }
            let withheld = list.withheld.get(&position).filter(|_| kind == ListKind::Tools);
            if let Some(withheld) = withheld {
                self.withheld.insert(ToolId(self.end(kind) - 1), withheld.clone());
            }
        }
        if definitions.len() > kind.most() {
            let text = format!("so are all after it: more than {} {}", kind.most(), kind.plural());
            self.warn(server, kind, kind.most(), false, text);
        }
        start..self.end(kind)
    }

    fn warn(&mut self, server: Server<'_>, kind: ListKind, position: usize, listed: bool, text: String) {
        self.warnings.push(Warning { server: server.1.into(), kind, position, listed, text: text.into() });
    }

    /// Adds a tool, or says why not; also says what was mended.
    fn add_tool(&mut self, (id, server): Server<'_>, definition: &Bytes) -> Result<Option<String>, String> {
        let tool = Tool::parse(id, server, definition)?;
        let names = Names { exposed: tool.exposed(), unprefixed: tool.unprefixed(), upstream: tool.name() };
        if !self.tool_names.add(id, names, ToolId(self.end(ListKind::Tools))) {
            return Err(format!("{:?}: an earlier tool has this name", tool.name()));
        }
        let mended = tool.forms().are_mended();
        let mended = mended.then(|| format!("{:?}: its inputSchema has no type, listed as \"object\"", tool.name()));
        self.tools.push(tool);
        Ok(mended)
    }

    fn add_prompt(&mut self, (id, server): Server<'_>, definition: &Bytes) -> Result<Option<String>, String> {
        let prompt = Prompt::parse(id, server, definition)?;
        let names = Names { exposed: &prompt.exposed, unprefixed: &prompt.unprefixed, upstream: &prompt.name };
        if !self.prompt_names.add(id, names, PromptId(self.end(ListKind::Prompts))) {
            return Err(format!("{:?}: an earlier prompt has this name", prompt.name));
        }
        self.prompts.push(prompt);
        Ok(None)
    }

    fn add_resource(&mut self, server: Server<'_>, definition: &Bytes) -> Result<Option<String>, String> {
        let resource = Resource::parse(server.0, definition)?;
        let id = ResourceId(self.end(ListKind::Resources));
        let listed = self.resource_owners.add(&resource.uri, server, Holding::Resource(id));
        let listed = listed.ok_or_else(|| format!("{:?}: an earlier resource has this URI", resource.uri))?;
        self.resources.push(Resource { listed, ..resource });
        Ok(None)
    }

    fn add_template(&mut self, server: Server<'_>, definition: &Bytes) -> Result<Option<String>, String> {
        let template = Template::parse(server.0, definition)?;
        let id = TemplateId(self.end(ListKind::Templates));
        let listed = self.template_owners.add(&template.text, server, id);
        let listed = listed.ok_or_else(|| format!("{:?}: an earlier template is the same", template.text))?;
        self.templates.push(Template { listed, ..template });
        Ok(None)
    }

    fn add_skill(&mut self, server: Server<'_>, definition: &Bytes) -> Result<Option<String>, String> {
        let (mut skill, uris) = Skill::parse(server.0, definition)?;
        let mut own = self.skills.iter().rev().take_while(|known| known.server == server.0);
        if own.any(|known| known.uri == skill.uri) {
            return Err(format!("{:?}: an earlier skill has this URI", skill.uri));
        }
        let held = self.files.iter().rev().take_while(|file| file.server == server.0).count();
        if held + uris.len() > SERVER_SKILL_URIS_MAX {
            return Err(format!("{:?}: the server's skills have more than {SERVER_SKILL_URIS_MAX} files", skill.uri));
        }
        skill.settle(server.1, &mut self.resource_owners, (uris, &mut self.files));
        self.skills.push(skill);
        Ok(None)
    }

    fn add_entry(&mut self, entry: ServerEntry) {
        let place = invariant!(u16::try_from(self.servers.len()), "a snapshot holds at most SERVERS_MAX servers");
        let slot = usize::from(entry.id.0);
        self.places.resize(self.places.len().max(slot + 1), None);
        self.places[slot] = Some(place);
        self.server_ids.insert(entry.name.clone(), entry.id);
        self.servers.push(entry);
    }

    /// How many entries there are of a kind.
    pub fn len(&self, kind: ListKind) -> usize {
        match kind {
            ListKind::Tools => self.tools.len(),
            ListKind::Prompts => self.prompts.len(),
            ListKind::Resources => self.resources.len(),
            ListKind::Templates => self.templates.len(),
            ListKind::Skills => self.skills.len(),
        }
    }

    /// One more than the greatest place of a kind.
    fn end(&self, kind: ListKind) -> u32 {
        invariant!(u32::try_from(self.len(kind)), "servers times entries per server fit 32 bits")
    }

    /// All tools, in order.
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// Why a tool is in no list, where it is kept from clients.
    pub fn withheld(&self, id: ToolId) -> Option<&Withheld> {
        self.withheld.get(&id)
    }

    /// All tools with their ids, in order.
    pub fn tools_with_ids(&self) -> impl Iterator<Item = (ToolId, &Tool)> {
        (0..self.end(ListKind::Tools)).map(ToolId).zip(&self.tools)
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

    /// The places of the entries of a kind behind a door, in order.
    pub(super) fn range(&self, door: Door, kind: ListKind) -> Range<u32> {
        match door {
            Door::All => 0..self.end(kind),
            Door::Server(id) => self.server(id).map_or(0..0, |server| server.ranges[kind as usize].clone()),
        }
    }

    /// The tools behind a door, in order.
    pub fn behind(&self, door: Door) -> impl Iterator<Item = ToolId> + use<> {
        self.range(door, ListKind::Tools).map(ToolId)
    }

    /// The name under which a tool is listed at a door to those who have this grant.
    pub fn listed_name<'a>(&'a self, door: Door, id: ToolId, grant: &'a Grant) -> &'a str {
        let tool = self.tool(id);
        match door {
            Door::All => grant.aliases().and_then(|aliases| aliases.name(id)).unwrap_or_else(|| tool.exposed()),
            Door::Server(_) => tool.unprefixed(),
        }
    }

    /// The tool that a server knows by this name.
    pub fn tool_of(&self, server: ServerId, name: &str) -> Option<ToolId> {
        self.tool_names.of_server(server, name)
    }

    /// The tool of this name, whatever groups call it.
    pub fn tool_listed(&self, exposed: &str) -> Option<ToolId> {
        self.tool_names.listed(exposed)
    }

    /// The tool of a name at a door: as it is listed there, else by the upstream's own name where that is unique
    /// among the tools the grant allows. Other tools count only where none of those bears the name, so that they
    /// neither disturb nor show. What is found may still be denied: that is for `policy::decide` to say. A tool that a
    /// group of the grant renames has no other name at the door of all servers.
    pub fn resolve(&self, door: Door, name: &str, grant: &Grant) -> Option<ToolId> {
        let Some(aliases) = grant.aliases().filter(|_| door == Door::All) else {
            return self.tool_names.resolve(door, name, |id| grant.allows(id));
        };
        let keeps_its_name = |id: &ToolId| aliases.name(*id).is_none();
        let own = || self.tool_names.resolve(door, name, |id| grant.allows(id) && keeps_its_name(&id));
        aliases.find(name).or_else(|| own().filter(keeps_its_name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pattern, catalogue, testing};
    use super::*;
    use crate::base::limits::SERVER_TOOLS_MAX;
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
    fn what_is_withheld_is_there_and_no_grant_shows_it() {
        let mut lists = [("a", &["x", "y", "x"][..]), ("b", &["y"])].map(|(server, tools)| {
            let tools = tools.iter().map(|name| catalogue::plain_tool(name)).collect();
            testing::list(&catalogue::Listed { server: server.into(), tools })
        });
        let held = Withheld { is_quarantined: false, why: "changed".into() };
        lists[0].withheld.extend([(1, held.clone()), (2, held.clone())]);
        let entries: Vec<_> = (0..).map(ServerId).zip(&lists).map(|(id, list)| (id, &*list.server, list)).collect();
        let catalog = Catalog::build(&entries);
        let all = grant(&catalog, &["*/*"]);
        let seen: Vec<_> = all.tools(&catalog, Door::All).map(|id| catalog.tool(id).exposed()).collect();
        assert_eq!((seen, catalog.tools().len()), (vec!["a__x", "b__y"], 3));
        assert_eq!(catalog.resolve(Door::All, "y", &all), Some(ToolId(2)), "what is withheld disturbs no name");
        assert_eq!(catalog.withheld(ToolId(1)), Some(&held));
        assert_eq!((catalog.withheld(ToolId(0)), catalog.withheld(ToolId(2))), (None, None));
        let withholds = |patterns: &[&str]| grant(&catalog, patterns).withholds(ToolId(1));
        assert!(withholds(&["*/*"]) && withholds(&["a/y"]) && !withholds(&["a/x"]));
    }

    #[test]
    fn a_flood_of_tools_is_cut_with_one_warning() {
        let tool = |at: usize| format!("{{\"name\":\"t{at}\",\"inputSchema\":{{\"type\":\"object\"}}}}");
        let tools = (0..SERVER_TOOLS_MAX + 5).map(tool).collect();
        let catalog = testing::build(&[catalogue::Listed { server: "s".into(), tools }]);
        assert_eq!((catalog.tools().len(), catalog.warnings().len()), (SERVER_TOOLS_MAX, 1));
    }
}
