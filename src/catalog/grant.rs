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
        GrantCompiler::new(catalog).compile(patterns)
    }

    fn with_room(catalog: &Catalog) -> Self {
        Self { tools: Bits::with_room(catalog.tools().len()), servers: Bits::with_room(catalog.servers_end()) }
    }

    /// Everything that one pattern allows: only the tools of servers it speaks of are looked at.
    fn of_pattern(pattern: &Pattern, catalog: &Catalog) -> Self {
        let mut grant = Self::with_room(catalog);
        for server in catalog.servers().iter().filter(|server| pattern.covers_server(&server.name)) {
            grant.servers.set(usize::from(server.id.0));
            let covered = |id: &ToolId| pattern.covers(&server.name, catalog.tool(*id));
            catalog.behind(Door::Server(server.id)).filter(covered).for_each(|id| grant.tools.set(id.0 as usize));
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

/// Makes grants of one catalogue. What a pattern covers is worked out once, however many grants it is part of: keys
/// have many rights in common, and each of them would else be held against every tool.
#[derive(Debug)]
pub struct GrantCompiler<'a> {
    catalog: &'a Catalog,
    covered: HashMap<&'a Pattern, Grant>,
}

impl<'a> GrantCompiler<'a> {
    /// Knows no pattern yet.
    pub fn new(catalog: &'a Catalog) -> Self {
        Self { catalog, covered: HashMap::new() }
    }

    /// Everything that any of the patterns allows. No pattern, no tool.
    pub fn compile(&mut self, patterns: &'a [Pattern]) -> Grant {
        let mut grant = Grant::with_room(self.catalog);
        for pattern in patterns {
            let covered = self.covered.entry(pattern).or_insert_with(|| Grant::of_pattern(pattern, self.catalog));
            grant.tools.add(&covered.tools);
            grant.servers.add(&covered.servers);
        }
        grant
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

    /// Takes in another set of the same room.
    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, more)| *own |= more);
    }

    fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, two)| one & two).collect())
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
            let both = grant.intersect(&Grant::compile(&asked, &catalog));
            prop_assert_eq!(seen(&catalog, &narrowed), seen(&catalog, &both));
            prop_assert!(narrowed.tools(&catalog, Door::All).all(|id| grant.allows(id)));
        }
    }
}
