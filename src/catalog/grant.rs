//! What somebody may see: sets of tools, prompts, resources and servers of one catalogue, as bits.

use super::aliases::Aliases;
use super::bits::Bits;
use super::covered::{Covered, Use, lists_of};
use super::{Catalog, Ceiling, Door, Group, ListKind, Narrowing, Off, Part, Pattern, Rights, Sort};
use crate::base::ids::{GrantId, PromptId, ResourceId, ServerId, TemplateId, ToolId};
use crate::invariant;
use foldhash::{HashMap, HashMapExt};
use std::sync::Arc;

/// What may be seen, and the servers that the patterns speak of (a server may have listed nothing yet). Compiled for
/// one catalogue and valid for that one only. Equal grants see the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grant {
    /// By [`ListKind`].
    seen: [Bits; ListKind::ALL.len()],
    /// Tools that would be among them, were they not withheld.
    withheld: Bits,
    /// Servers that some pattern speaks of.
    servers: Bits,
    /// Servers of which some pattern of a sort speaks, by [`Sort`].
    servers_of: [Bits; Sort::ALL.len()],
    /// For URIs that nobody lists: something of each of these must reach one.
    uris: Arc<[Box<[Reach]>]>,
    /// What its groups call its tools.
    aliases: Option<Arc<Aliases>>,
    /// What is seen at the doors of groups, by their names, in order.
    doors: Arc<[(Box<str>, GrantId)]>,
    /// The group at whose door it counts; nothing where it counts at all others.
    group: Option<Box<str>>,
}

/// Patterns of URIs, less those that are excluded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reach {
    patterns: Box<[Pattern]>,
    excludes: Box<[Pattern]>,
}

impl Reach {
    fn of(part: Part<'_>) -> Self {
        Self { patterns: part.patterns.into(), excludes: part.excludes.into() }
    }

    fn covers(&self, server: &str, uri: &str) -> bool {
        let part = Part { patterns: &self.patterns, excludes: &self.excludes, group: None };
        part.covering(Sort::Resources, server, uri).is_some()
    }
}

impl Grant {
    /// The grant that sees nothing.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Every tool that any of the patterns allows, and nothing else. No pattern, no tool.
    pub fn compile(patterns: &[Pattern], catalog: &Catalog) -> Self {
        let rights = Rights { tools: patterns.into(), ..Rights::default() };
        GrantCompiler::new(catalog).compile(&rights)
    }

    fn with_room(catalog: &Catalog) -> Self {
        let servers = || Bits::with_room(catalog.servers_end());
        Self {
            seen: ListKind::ALL.map(|kind| Bits::with_room(catalog.len(kind))),
            withheld: Bits::default(),
            servers: servers(),
            servers_of: Sort::ALL.map(|_| servers()),
            uris: Arc::default(),
            aliases: None,
            doors: Arc::default(),
            group: None,
        }
    }

    fn add(&mut self, sort: Sort, covered: &Covered) {
        self.servers_of[sort as usize].add(&covered.servers);
        covered.lists.iter().for_each(|(kind, bits)| self.seen[*kind as usize].add(bits));
    }

    fn take(&mut self, sort: Sort, covered: &Covered) {
        self.servers_of[sort as usize].take(&covered.servers);
        covered.lists.iter().for_each(|(kind, bits)| self.seen[*kind as usize].take(bits));
    }

    /// Keeps of one sort what another grant has too.
    fn keep(&mut self, most: &Self, sort: Sort) {
        self.servers_of[sort as usize].keep(&most.servers_of[sort as usize]);
        for kind in lists_of(sort) {
            self.seen[*kind as usize].keep(&most.seen[*kind as usize]);
        }
    }

    /// What is left of it while something is switched off.
    fn without(&self, off: &Off) -> Self {
        let mut left = self.clone();
        left.seen.iter_mut().zip(&off.seen).for_each(|(own, gone)| own.take(gone));
        left.servers_of.iter_mut().chain([&mut left.servers]).for_each(|own| own.take(&off.servers));
        left
    }

    /// Whether this tool may be seen and called.
    pub fn allows(&self, tool: ToolId) -> bool {
        self.sees(ListKind::Tools, tool.0)
    }

    /// Whether this tool could be seen and called, were it not withheld.
    pub fn withholds(&self, tool: ToolId) -> bool {
        self.withheld.has(tool.0 as usize)
    }

    /// Whether this prompt may be seen and got.
    pub fn allows_prompt(&self, prompt: PromptId) -> bool {
        self.sees(ListKind::Prompts, prompt.0)
    }

    /// Whether this resource may be seen and read.
    pub fn allows_resource(&self, resource: ResourceId) -> bool {
        self.sees(ListKind::Resources, resource.0)
    }

    /// Whether this template may be seen. What comes of it may be read where [`Self::covers_uri`] says so.
    pub fn allows_template(&self, template: TemplateId) -> bool {
        self.sees(ListKind::Templates, template.0)
    }

    /// Whether an entry of a list may be seen, by its place in the catalogue.
    pub(super) fn sees(&self, kind: ListKind, at: u32) -> bool {
        self.seen[kind as usize].has(at as usize)
    }

    /// Whether a server may be asked for a URI of its own, listed or not.
    pub fn covers_uri(&self, server: ServerId, name: &str, uri: &str) -> bool {
        let covers = |list: &[Reach]| list.iter().any(|reach| reach.covers(name, uri));
        self.admits_resources(server) && self.uris.iter().all(|list| covers(list))
    }

    /// Whether some pattern speaks of this server, so that its door exists for the holder.
    pub fn admits(&self, server: ServerId) -> bool {
        self.servers.has(usize::from(server.0))
    }

    /// Whether some pattern speaks of this server's prompts.
    pub fn admits_prompts(&self, server: ServerId) -> bool {
        self.servers_of[Sort::Prompts as usize].has(usize::from(server.0))
    }

    /// Whether some pattern speaks of this server's resources.
    pub fn admits_resources(&self, server: ServerId) -> bool {
        self.servers_of[Sort::Resources as usize].has(usize::from(server.0))
    }

    /// What is seen at the door of a group; nothing where that door is not there for the holder.
    pub fn behind(&self, group: &str) -> Option<GrantId> {
        let at = self.doors.binary_search_by(|(name, _)| (**name).cmp(group)).ok()?;
        Some(self.doors[at].1)
    }

    /// The groups whose doors are there for the holder, by name.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.doors.iter().map(|(name, _)| &**name)
    }

    /// Says what is seen at the doors of groups.
    pub(super) fn open_doors(&mut self, mut doors: Vec<(Box<str>, GrantId)>) {
        doors.sort_unstable();
        self.doors = doors.into();
    }

    /// The group at whose door it counts; nothing where it counts at all others.
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// What its groups call its tools, where any does.
    pub(super) fn aliases(&self) -> Option<&Aliases> {
        self.aliases.as_deref()
    }

    /// What is said of a tool at a door in place of its description: a server's own door says the server's words.
    pub fn description(&self, door: Door, id: ToolId) -> Option<&str> {
        self.aliases().filter(|_| door == Door::All)?.description(id)
    }

    /// How many tools may be seen.
    pub fn len(&self) -> usize {
        self.seen[ListKind::Tools as usize].count()
    }

    /// Whether no tool may be seen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tools that may be seen at a door, in the catalogue's order.
    pub fn tools<'a>(&'a self, catalog: &'a Catalog, door: Door) -> impl Iterator<Item = ToolId> + 'a {
        catalog.behind(door).filter(|id| self.allows(*id))
    }

    /// What is left of it where the request asked for fewer tools. Never more than before.
    #[must_use]
    pub fn narrow(&self, narrowing: &Narrowing, catalog: &Catalog, door: Door) -> Self {
        let mut tools = Bits::with_room(catalog.tools().len());
        for id in self.tools(catalog, door).filter(|id| narrowing.covers(catalog, door, (*id, self))) {
            tools.set(id.0 as usize);
        }
        let mut narrowed = self.clone();
        narrowed.seen[ListKind::Tools as usize] = tools;
        narrowed
    }
}

/// What reaches anything at all.
fn reaches<'a>(parts: impl Iterator<Item = Part<'a>>) -> Box<[Reach]> {
    parts.filter(|part| !part.patterns.is_empty()).map(Reach::of).collect()
}

/// Makes grants of one catalogue. What a pattern covers is worked out once, however many grants it is part of: keys
/// have many rights in common, and each of them would else be held against every tool.
#[derive(Debug)]
pub struct GrantCompiler<'a> {
    catalog: &'a Catalog,
    covered: HashMap<(Sort, Use, &'a Pattern), Covered>,
}

impl<'a> GrantCompiler<'a> {
    /// Knows no pattern yet.
    pub fn new(catalog: &'a Catalog) -> Self {
        Self { catalog, covered: HashMap::new() }
    }

    /// Everything that any of the patterns allows. No pattern, nothing allowed.
    pub fn compile(&mut self, rights: &'a Rights) -> Grant {
        self.compile_under(rights, &[])
    }

    /// The same, cut to what every ceiling leaves.
    pub fn compile_under(&mut self, rights: &'a Rights, ceilings: &[&'a Ceiling]) -> Grant {
        let mut grant = Grant::with_room(self.catalog);
        for sort in Sort::ALL {
            rights.parts(sort).for_each(|part| self.add(&mut grant, sort, part));
            for parts in ceilings.iter().filter_map(|ceiling| ceiling.parts(sort)) {
                let mut most = Grant::with_room(self.catalog);
                parts.for_each(|part| self.add(&mut most, sort, part));
                grant.keep(&most, sort);
            }
            grant.servers.add(&grant.servers_of[sort as usize]);
        }
        let tools = &mut grant.seen[ListKind::Tools as usize];
        grant.withheld.clone_from(&self.catalog.withheld_tools);
        grant.withheld.keep(tools);
        tools.take(&self.catalog.withheld_tools);
        let gives: Box<[Reach]> = reaches(rights.parts(Sort::Resources));
        if !gives.is_empty() {
            let cuts = ceilings.iter().filter_map(|ceiling| ceiling.parts(Sort::Resources));
            grant.uris = std::iter::once(gives).chain(cuts.map(reaches)).collect();
        }
        grant.aliases = self.aliases(&grant, rights.groups.iter().map(|group| &**group));
        grant
    }

    /// What is left of a grant at the door of a group: what the group gives too, under the names that it gives.
    pub fn behind(&mut self, grant: &Grant, group: &'a Group) -> Grant {
        let mut behind = Grant { group: Some(group.name.clone()), doors: Arc::default(), ..grant.clone() };
        behind.servers = Bits::with_room(self.catalog.servers_end());
        for sort in Sort::ALL {
            let mut given = Grant::with_room(self.catalog);
            self.add(&mut given, sort, group.part(sort));
            behind.keep(&given, sort);
            if sort == Sort::Tools {
                behind.withheld.keep(&given.seen[ListKind::Tools as usize]);
            }
            behind.servers.add(&behind.servers_of[sort as usize]);
        }
        let given = std::iter::once(reaches(std::iter::once(group.part(Sort::Resources))));
        behind.uris = grant.uris.iter().cloned().chain(given).collect();
        behind.aliases = self.aliases(&behind, std::iter::once(group));
        behind
    }

    fn aliases<'b>(&self, grant: &Grant, groups: impl Iterator<Item = &'b Group>) -> Option<Arc<Aliases>> {
        let all = groups.flat_map(|group| &group.aliases);
        Aliases::of(all, self.catalog, |id| grant.allows(id) || grant.withholds(id)).map(Arc::new)
    }

    fn add(&mut self, grant: &mut Grant, sort: Sort, part: Part<'a>) {
        if part.excludes.is_empty() {
            part.patterns.iter().for_each(|pattern| grant.add(sort, self.covered(pattern, (sort, Use::Gives))));
            return;
        }
        let mut given = Grant::with_room(self.catalog);
        part.patterns.iter().for_each(|pattern| given.add(sort, self.covered(pattern, (sort, Use::Gives))));
        part.excludes.iter().for_each(|pattern| given.take(sort, self.covered(pattern, (sort, Use::Excludes))));
        grant.servers_of[sort as usize].add(&given.servers_of[sort as usize]);
        lists_of(sort).iter().for_each(|kind| grant.seen[*kind as usize].add(&given.seen[*kind as usize]));
    }

    fn covered(&mut self, pattern: &'a Pattern, (sort, usage): (Sort, Use)) -> &Covered {
        let covered = self.covered.entry((sort, usage, pattern));
        covered.or_insert_with(|| Covered::by(pattern, (sort, usage), self.catalog))
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

    /// The id of a grant with what of it is seen at the doors of these groups.
    pub fn intern_with<'a>(
        &mut self,
        mut grant: Grant,
        groups: impl Iterator<Item = &'a Group>,
        compiler: &mut GrantCompiler<'a>,
    ) -> GrantId {
        let mut doors: Vec<(Box<str>, GrantId)> = Vec::new();
        for group in groups {
            if doors.iter().all(|(name, _)| *name != group.name) {
                doors.push((group.name.clone(), self.intern(compiler.behind(&grant, group))));
            }
        }
        grant.open_doors(doors);
        self.intern(grant)
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

    /// The same grants under the same ids, with what is left of each while something is switched off.
    #[must_use]
    pub fn without(&self, off: &Off) -> Self {
        Self { all: self.all.iter().map(|grant| grant.without(off)).collect(), ids: HashMap::new() }
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

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Catalog {
        plain(&[("git", &["get_a", "get_b", "put"]), ("web", &["get_a", "x"]), ("down", &[])])
    }

    fn compile(catalog: &Catalog, patterns: &[&str]) -> Grant {
        let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        Grant::compile(&patterns, catalog)
    }

    fn seen(catalog: &Catalog, grant: &Grant) -> Vec<String> {
        grant.tools(catalog, Door::All).map(|id| catalog.tool(id).exposed().to_owned()).collect()
    }

    #[test]
    fn patterns_allow_what_they_say() {
        let catalog = sample();
        let cases: [(&[&str], &[&str]); 6] = [
            (&[], &[]),
            (&["git/put"], &["git__put"]),
            (&["git/get_*", "web/x"], &["git__get_a", "git__get_b", "web__x"]),
            (&["web/*"], &["web__get_a", "web__x"]),
            (&["*/get_a"], &["git__get_a", "web__get_a"]),
            (&["absent/*", "git/absent"], &[]),
        ];
        for (patterns, expected) in cases {
            assert_eq!(seen(&catalog, &compile(&catalog, patterns)), expected, "{patterns:?}");
        }
        assert_eq!(compile(&catalog, &["*/*"]).len(), 5);
    }

    #[test]
    fn a_server_that_listed_nothing_yet_still_has_its_door() {
        let catalog = sample();
        let grant = compile(&catalog, &["down/*"]);
        assert!(grant.is_empty() && grant.admits(ServerId(2)));
        assert!(!grant.admits(ServerId(0)) && !grant.admits(ServerId(999)) && !grant.allows(ToolId(999)));
        assert!(!Grant::nothing().allows(ToolId(0)) && !Grant::nothing().admits(ServerId(0)));
    }

    fn ceiling(sort: Sort, patterns: &[&str]) -> Ceiling {
        let mut ceiling = Ceiling::default();
        ceiling.set(sort, patterns.iter().map(|text| Pattern::parse_as(sort, text).unwrap()).collect());
        ceiling
    }

    #[test]
    fn a_ceiling_cuts_and_never_adds() {
        let catalog = sample();
        let tools = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        let resources = [Pattern::parse_as(Sort::Resources, "git/file:///*").unwrap()].into();
        let rights = Rights { tools: tools(&["git/*", "web/x"]), resources, ..Rights::default() };
        let (open, closed) = (Ceiling::default(), Ceiling::closed());
        let (gets, deep) = (ceiling(Sort::Tools, &["*/get_*"]), ceiling(Sort::Resources, &["git/file:///d/*"]));
        let mut compiler = GrantCompiler::new(&catalog);
        assert_eq!(compiler.compile_under(&rights, &[&open]), compiler.compile(&rights));
        let cut = compiler.compile_under(&rights, &[&open, &gets, &deep]);
        assert_eq!(seen(&catalog, &cut), ["git__get_a", "git__get_b"]);
        assert!(cut.covers_uri(ServerId(0), "git", "file:///d/x") && !cut.covers_uri(ServerId(0), "git", "file:///x"));
        let nothing = compiler.compile_under(&rights, &[&closed]);
        assert!(
            nothing.is_empty() && !nothing.admits(ServerId(0)) && !nothing.covers_uri(ServerId(0), "git", "file:///x")
        );
        let none = Rights::default();
        assert!(compiler.compile_under(&none, &[&gets]).is_empty());
    }

    #[test]
    fn equal_grants_share_an_id() {
        let catalog = sample();
        let mut grants = Grants::new();
        let one = grants.intern(compile(&catalog, &["web/x", "web/get_a"]));
        let two = grants.intern(compile(&catalog, &["web/*"]));
        let other = grants.intern(compile(&catalog, &["web/x"]));
        assert_eq!((one, grants.len()), (two, 2));
        assert_ne!(one, other);
        assert_eq!(seen(&catalog, grants.get(other)), ["web__x"]);
    }

    #[test]
    fn a_request_narrows_and_never_widens() {
        let catalog = sample();
        let grant = compile(&catalog, &["git/*"]);
        let at = |header: &str, door| {
            let narrowing = Narrowing::parse([header]).unwrap().unwrap();
            seen(&catalog, &grant.narrow(&narrowing, &catalog, door))
        };
        assert_eq!(at(" git/get_* ,git__put", Door::All), ["git__get_a", "git__get_b", "git__put"]);
        assert_eq!(at("web/*, web__x, */*x", Door::All), [""; 0]);
        assert_eq!(at("*/*", Door::All).len(), 3);
        assert_eq!(at("put", Door::All), [""; 0]);
        assert_eq!(at("put", Door::Server(ServerId(0))), ["git__put"]);
        for nothing in ["", ",", "no such", "\u{0}", "git//", "/"] {
            assert_eq!(at(nothing, Door::All), [""; 0], "{nothing:?}");
        }
    }

    #[test]
    fn too_many_items_are_refused_and_no_header_narrows_nothing() {
        assert_eq!(Narrowing::parse([]).unwrap(), None);
        assert!(Narrowing::parse([",a".repeat(64).as_str()]).is_ok());
        assert!(Narrowing::parse([",a".repeat(64).as_str(), "b"]).is_err());
    }

    fn patterns() -> impl Strategy<Value = Vec<Pattern>> {
        let one = "(git|web|down|\\*)/(\\*|get_a|get_\\*|\\*_b|x|put)";
        proptest::collection::vec(one.prop_map(|text| Pattern::parse(&text).unwrap()), 0..4)
    }

    proptest! {
        #[test]
        fn narrowing_is_intersection(held in patterns(), asked in patterns()) {
            let catalog = sample();
            let grant = Grant::compile(&held, &catalog);
            let header = asked.iter().map(Pattern::to_string).collect::<Vec<_>>().join(",");
            let narrowing = Narrowing::parse([header.as_str()]).unwrap().unwrap();
            let narrowed = grant.narrow(&narrowing, &catalog, Door::All);
            let asked = seen(&catalog, &Grant::compile(&asked, &catalog));
            let both: Vec<_> = seen(&catalog, &grant).into_iter().filter(|name| asked.contains(name)).collect();
            prop_assert_eq!(seen(&catalog, &narrowed), both);
            prop_assert!(narrowed.tools(&catalog, Door::All).all(|id| grant.allows(id)));
        }
    }
}
