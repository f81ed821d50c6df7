//! The immutable compiled configuration that every shard reads, replaced whole.
//!
//! Built again at every reload and whenever a server's list changes; the catalogue is shared with the snapshot before
//! where no list changed, and views are rendered when first asked for.

use crate::base::clock::{Clock, WallTime};
use crate::base::ids::{Epoch, GrantId, KeyId, ServerId};
use crate::catalog::{
    Catalog, Door, Grant, GrantCompiler, Grants, ListKind, Off, Offers, Rights, ServerList, View, Views,
};
use crate::config::compile::Compiled;
use crate::config::settings::Settings;
use crate::mcp::vendor;
use crate::policy::{
    Allowance, Anonymous, Approvals, KeyEntry, KeyRing, Level, Limits, LimitsBuilder, Pepper, Stopped, Switches, Team,
    VirtualKey,
};
use crate::upstream::spec::ServerSpec;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One state of the gate: settings, servers, tools, keys and what each key sees.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its number.
    pub epoch: Epoch,
    /// What the runtime takes.
    pub settings: Arc<Settings>,
    /// Enabled servers; a server's place is its [`ServerId`].
    pub servers: Vec<Arc<ServerSpec>>,
    /// All tools, prompts and resources.
    pub catalog: Arc<Catalog>,
    /// All keys.
    pub keys: KeyRing,
    /// What the keys were granted.
    pub granted: Arc<Grants>,
    /// What the keys may see: what they were granted, less what is switched off.
    pub grants: Arc<Grants>,
    /// The meters in the way of calls.
    pub limits: Arc<Limits>,
    /// What is switched off.
    pub switches: Arc<Switches>,
    /// Which tools need an approval.
    pub approvals: Arc<Approvals>,
    views: Arc<Views>,
    /// What the catalogue was built from, to tell whether the next snapshot can share it.
    sources: Arc<Vec<ServerList>>,
}

impl Snapshot {
    /// Builds a snapshot from a checked configuration and the lists known now. A server without a list has no tools
    /// yet. Work is shared with `previous` where its tools are the same.
    pub fn build(
        compiled: &Compiled,
        lists: &BTreeMap<String, ServerList>,
        epoch: Epoch,
        previous: Option<&Self>,
    ) -> Self {
        let (catalog, sources) = catalog(&compiled.servers, lists, previous);
        let mut grants = Interned::new(&catalog);
        let mut limits = limits(compiled, &catalog, previous);
        let nobody = [(Level::Key, KeyId::ANONYMOUS, &compiled.levels.anonymous)];
        let anonymous = compiled.anonymous.as_ref().map(|rights| Anonymous {
            grant: grants.of(rights, None),
            chain: limits.chain(nobody.iter().map(|(level, id, allowed)| (*level, id.as_str(), *allowed))),
        });
        let keys = compiled.keys.iter().map(|key| KeyEntry {
            grant: grants.of(&key.rights, key.team.as_deref()),
            chain: limits.chain(levels(key)),
            key: key.clone(),
        });
        let entries = keys.collect();
        let granted = Arc::new(grants.grants);
        let mut pepper = *compiled.pepper.0;
        let ring = KeyRing::new(Pepper::new(&mut pepper), entries, anonymous);
        let snapshot = Self {
            epoch,
            settings: compiled.settings.clone(),
            servers: compiled.servers.clone(),
            keys: crate::invariant!(ring, "compile refuses key ids that are reserved or given twice"),
            views: Arc::new(Views::new(&granted)),
            limits: Arc::new(limits.build()),
            grants: granted.clone(),
            granted,
            switches: Arc::default(),
            approvals: Arc::new(Approvals::compile(&compiled.approvals, &catalog)),
            catalog,
            sources,
        };
        if compiled.switches.is_empty() { snapshot } else { snapshot.switched(&compiled.switches, epoch) }
    }

    /// The same state with other things switched off: what was compiled is shared, so this takes milliseconds however
    /// many keys there are. A key that was revoked stays so.
    #[must_use]
    pub fn switched(&self, switches: &Arc<Switches>, epoch: Epoch) -> Self {
        let mut next = Self { epoch, switches: switches.clone(), ..self.clone() };
        let revoked = switches.keys.difference(&self.switches.keys);
        let revoked: Vec<KeyId> = revoked.copied().collect();
        if !revoked.is_empty() {
            next.keys = self.keys.revoking(revoked);
        }
        if (&switches.tools, &switches.servers) != (&self.switches.tools, &self.switches.servers) {
            let server = |name: &str| switches.stops(name, None).is_some();
            let off = Off::of(&self.catalog, server, |server, tool| switches.stops(server, Some(tool)).is_some());
            next.grants = Arc::new(self.granted.without(&off));
            next.views = Arc::new(Views::new(&next.grants));
        }
        next
    }

    /// Whether calls of this key, server and tool are to end, under way or not: the key is no longer taken (a key whose
    /// time is over may finish), or something is switched off.
    pub fn stops(&self, key: KeyId, server: &str, tool: Option<&str>) -> Option<Stopped> {
        let is_taken = self.keys.standing(key, WallTime(0)).is_some();
        if is_taken { self.switches.stops(server, tool) } else { Some(Stopped::Key) }
    }

    /// What a grant sees of a list at a door, rendered once for all who ask, as far as there is room to keep it.
    pub fn view(&self, grant: GrantId, door: Door, kind: ListKind) -> Arc<View> {
        self.views.get(&self.catalog, &self.grants, grant, door, kind)
    }

    /// What the servers behind a door offer of what a grant shows.
    pub fn offers(&self, grant: GrantId, door: Door) -> Offers {
        self.catalog.offers(door, self.grant(grant))
    }

    /// The extensions unknown to the gate that the servers behind a door have and may have, as raw members of an
    /// object: where several have one, the first says what it is.
    pub fn vendor_extensions(&self, grant: GrantId, door: Door) -> Vec<u8> {
        let (mut seen, mut all) = (Vec::new(), Vec::new());
        for (at, spec) in self.servers.iter().enumerate().filter(|(_, spec)| !spec.extensions.is_empty()) {
            let id = server_id(at);
            let is_here = door == Door::All || door == Door::Server(id);
            let said = self.catalog.server(id).and_then(|server| server.extensions.as_deref());
            let Some(said) = said.filter(|_| is_here && self.grant(grant).admits(id)) else { continue };
            for name in &spec.extensions {
                let member = vendor::allowed(said, [&**name]);
                if !member.is_empty() && !seen.contains(&name) {
                    seen.push(name);
                    all.push(member);
                }
            }
        }
        all.join(&b',')
    }

    /// What a grant of this snapshot shows.
    pub fn grant(&self, grant: GrantId) -> &Grant {
        self.grants.get(grant)
    }

    /// An enabled server by its name.
    pub fn server_by_name(&self, name: &str) -> Option<(ServerId, &Arc<ServerSpec>)> {
        let at = self.servers.iter().position(|server| &*server.name == name)?;
        Some((server_id(at), &self.servers[at]))
    }

    /// An enabled server by its place in this snapshot.
    pub fn server(&self, id: ServerId) -> Option<&Arc<ServerSpec>> {
        self.servers.get(usize::from(id.0))
    }
}

/// The meters of tools and servers; those of keys are added as the keys are looked at.
fn limits<'a>(compiled: &Compiled, catalog: &Catalog, previous: Option<&'a Snapshot>) -> LimitsBuilder<'a> {
    let mut limits = LimitsBuilder::new(previous.map(|previous| &*previous.limits), Clock::now());
    for limit in &compiled.levels.tools {
        let covered = Grant::compile(&limit.tools, catalog);
        limits.tools(&limit.name, &limit.allowance, covered.tools(catalog, Door::All));
    }
    for (tools, price) in &compiled.levels.prices {
        limits.price(price, Grant::compile(tools, catalog).tools(catalog, Door::All));
    }
    for (at, server) in compiled.servers.iter().enumerate() {
        if let Some(allowed) = compiled.levels.servers.get(&server.name) {
            limits.server(&server.name, allowed, server_id(at));
        }
    }
    limits
}

/// A key and what is above it, with what each may do.
fn levels(key: &VirtualKey) -> impl Iterator<Item = (Level, &str, &Allowance)> {
    let own = key.allowance.iter().map(|allowed| (Level::Key, key.id.as_str(), &**allowed));
    let team = key.team.iter().map(|team| (Level::Team, &*team.name, &team.allowance));
    let customer = key.team.iter().filter_map(|team| team.customer.as_ref());
    own.chain(team).chain(customer.map(|customer| (Level::Customer, &*customer.name, &customer.allowance)))
}

fn server_id(at: usize) -> ServerId {
    ServerId(crate::invariant!(u16::try_from(at), "SERVERS_MAX is less than 65536"))
}

/// The catalogue of these servers: the previous snapshot's, where every list is the same.
fn catalog(
    servers: &[Arc<ServerSpec>],
    lists: &BTreeMap<String, ServerList>,
    previous: Option<&Snapshot>,
) -> (Arc<Catalog>, Arc<Vec<ServerList>>) {
    let list = |server: &Arc<ServerSpec>| match lists.get(&*server.name) {
        Some(list) => list.clone(),
        None => ServerList::empty(&server.name),
    };
    let sources: Vec<ServerList> = servers.iter().map(list).collect();
    if let Some(previous) = previous.filter(|previous| *previous.sources == sources && same_names(previous, servers)) {
        return (previous.catalog.clone(), previous.sources.clone());
    }
    let named: Vec<_> = servers
        .iter()
        .zip(&sources)
        .enumerate()
        .map(|(at, (server, list))| (server_id(at), &*server.name, list))
        .collect();
    (Arc::new(Catalog::build(&named)), Arc::new(sources))
}

fn same_names(previous: &Snapshot, servers: &[Arc<ServerSpec>]) -> bool {
    previous.servers.iter().map(|server| &server.name).eq(servers.iter().map(|server| &server.name))
}

/// Grants by the patterns they come from: keys with the same patterns cost one compile.
struct Interned<'a> {
    compiler: GrantCompiler<'a>,
    grants: Grants,
    known: HashMap<(&'a Rights, Option<&'a str>), GrantId>,
}

impl<'a> Interned<'a> {
    fn new(catalog: &'a Catalog) -> Self {
        Self { compiler: GrantCompiler::new(catalog), grants: Grants::new(), known: HashMap::new() }
    }

    fn of(&mut self, rights: &'a Rights, team: Option<&'a Team>) -> GrantId {
        let key = (rights, team.map(|team| &*team.name));
        if let Some(id) = self.known.get(&key) {
            return *id;
        }
        let ceilings: Vec<_> = team.into_iter().flat_map(Team::ceilings).collect();
        let grant = self.compiler.compile_under(rights, &ceilings);
        let attached = ceilings.iter().flat_map(|ceiling| &ceiling.groups);
        let groups = rights.groups.iter().chain(attached).map(|group| &**group);
        let id = self.grants.intern_with(grant, groups, &mut self.compiler);
        self.known.insert(key, id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Lookup, Purpose};
    use crate::policy::Credential;
    use bytes::Bytes;
    use std::fmt::Write as _;
    use std::path::Path;

    fn compiled(text: &str) -> Compiled {
        let dir = tempfile::tempdir().expect("dir");
        let text = format!("state.directory = \"s\"\n{text}");
        let lookup = Lookup::fixed(&[], None, dir.path());
        Compiled::from_text(Path::new("t"), &text, &lookup, Purpose::Check).expect("good")
    }

    fn list(server: &str, tools: usize) -> (String, ServerList) {
        let tool = |at| {
            let words = "what it does, in a sentence or two ".repeat(20);
            let schema = r#"{"type":"object","properties":{"a":{"type":"string"}}}"#;
            Bytes::from(format!(r#"{{"name":"tool_{at}","description":"{words}","inputSchema":{schema}}}"#))
        };
        let tools = (0..tools).map(tool).collect();
        (server.into(), ServerList { fetched_at: WallTime(1), stale: false, tools, ..ServerList::empty(server) })
    }

    fn key(id: usize, allow: &str) -> String {
        format!("[[keys]]\nid = \"k{id}\"\nmac = \"{}\"\nallow = [\"{allow}\"]\n", "a0".repeat(32))
    }

    const TWO: &str = "[anonymous]\nallow = [\"a/tool_1\"]\n[servers.a]\nurl = \"http://127.0.0.1\"\n\
                       [servers.b]\nurl = \"http://127.0.0.1\"\n";

    #[test]
    fn each_key_sees_what_it_was_granted() {
        let compiled = compiled(&format!("{TWO}{}{}{}", key(1, "a/*"), key(2, "*/*"), key(3, "a/*")));
        let lists = BTreeMap::from([list("a", 3), list("b", 2)]);
        let snapshot = Snapshot::build(&compiled, &lists, Epoch(7), None);
        let grants: Vec<GrantId> = snapshot.keys.entries().iter().map(|entry| entry.grant).collect();
        assert_eq!(grants[0], grants[2], "equal rights share one grant");
        let tools = |grant, door| snapshot.view(grant, door, ListKind::Tools);
        let seen: Vec<usize> = grants.iter().map(|grant| tools(*grant, Door::All).len).collect();
        assert_eq!(seen, [3, 5, 3]);
        let (b, _) = snapshot.server_by_name("b").expect("b");
        assert_eq!(tools(grants[0], Door::Server(b)).len, 0);
        assert_eq!(tools(grants[1], Door::Server(b)).len, 2);
        let nobody = snapshot.keys.authenticate(&Credential::None, WallTime(0)).expect("anonymous");
        assert_eq!(snapshot.grant(nobody.grant).len(), 1);
        assert!(snapshot.server_by_name("c").is_none() && snapshot.server(ServerId(2)).is_none());
        let place = |grant| tools(grant, Door::All).pages[0].array.as_ptr();
        assert_eq!(place(grants[0]), place(grants[2]), "a view is rendered once");
    }

    #[test]
    fn the_catalogue_is_shared_until_a_list_changes() {
        let (old, new) = (compiled(TWO), compiled(&format!("{TWO}{}", key(1, "a/*"))));
        let mut lists = BTreeMap::from([list("a", 3)]);
        let first = Snapshot::build(&old, &lists, Epoch(1), None);
        let second = Snapshot::build(&new, &lists, Epoch(2), Some(&first));
        assert!(Arc::ptr_eq(&first.catalog, &second.catalog), "only keys changed");
        lists.extend([list("b", 1)]);
        let third = Snapshot::build(&new, &lists, Epoch(3), Some(&second));
        assert!(!Arc::ptr_eq(&second.catalog, &third.catalog));
        assert_eq!((second.catalog.tools().len(), third.catalog.tools().len()), (3, 4));
        let turned =
            TWO.replace("servers.a", "servers.x").replace("servers.b", "servers.a").replace("servers.x", "servers.b");
        let fourth = Snapshot::build(&compiled(&turned), &lists, Epoch(4), Some(&third));
        assert!(!Arc::ptr_eq(&third.catalog, &fourth.catalog), "ids follow the order of the file");
    }

    #[test]
    fn what_is_off_is_gone_from_every_grant_until_it_is_on() {
        let compiled = compiled(&format!("{TWO}{}{}", key(1, "a/*"), key(2, "*/*")));
        let lists = BTreeMap::from([list("a", 3), list("b", 2)]);
        let first = Snapshot::build(&compiled, &lists, Epoch(1), None);
        let seen = |snapshot: &Snapshot| {
            let entries = snapshot.keys.entries().iter();
            entries.map(|key| snapshot.view(key.grant, Door::All, ListKind::Tools).len).collect::<Vec<_>>()
        };
        let id = KeyId::parse("k1").expect("id");
        let mut switches = Switches::default();
        switches.tools.insert(("a".into(), "tool_1".into()));
        switches.servers.insert("b".into());
        let off = first.switched(&Arc::new(switches.clone()), Epoch(2));
        assert_eq!((seen(&first), seen(&off), off.epoch), (vec![3, 5], vec![2, 2], Epoch(2)));
        let (b, _) = off.server_by_name("b").expect("b");
        assert!(!off.grant(off.keys.entries()[1].grant).admits(b), "its door is closed");
        switches.keys.insert(id);
        let revoked = off.switched(&Arc::new(switches.clone()), Epoch(3));
        assert!(Arc::ptr_eq(&revoked.grants, &off.grants) && Arc::ptr_eq(&revoked.views, &off.views));
        assert_eq!(revoked.stops(id, "a", None), Some(Stopped::Key));
        assert_eq!((off.stops(id, "a", None), off.stops(id, "a", Some("tool_1"))), (None, Some(Stopped::Tool)));
        let on = revoked.switched(&Arc::new(Switches { keys: switches.keys, ..Switches::default() }), Epoch(4));
        assert_eq!((seen(&on), on.stops(id, "a", None)), (vec![3, 5], Some(Stopped::Key)));
    }

    /// The switch of one key, and of one tool, at as many keys as there may be. Prints what it took.
    #[test]
    fn a_switch_takes_milliseconds_at_a_hundred_thousand_keys() {
        let mut compiled = compiled(&format!("{TWO}{}", key(1, "a/*")));
        let one = compiled.keys[0].clone();
        let rights: Vec<Arc<Rights>> = (0..1_000)
            .map(|at| {
                let tools = [crate::catalog::Pattern::parse(&format!("a/tool_{at}")).expect("pattern")].into();
                Arc::new(Rights { tools, ..Rights::default() })
            })
            .collect();
        let many = |at: usize| {
            let id = KeyId::parse(&format!("k{at}")).expect("id");
            VirtualKey { id, rights: rights[at % rights.len()].clone(), ..one.clone() }
        };
        compiled.keys = (0..crate::base::limits::KEYS_MAX).map(many).collect();
        let snapshot = Snapshot::build(&compiled, &BTreeMap::from([list("a", 1_000)]), Epoch(1), None);
        let timed = |switches: Switches| {
            let start = Clock::now();
            let next = snapshot.switched(&Arc::new(switches), Epoch(2));
            let took = Clock::now().since(start);
            (next, took)
        };
        let (by_key, by_tool) = (
            timed(Switches { keys: [compiled.keys[7].id].into(), ..Switches::default() }),
            timed(Switches { tools: [("a".into(), "tool_7".into())].into(), ..Switches::default() }),
        );
        println!("100,000 keys: {:?} to revoke one, {:?} to switch a tool off", by_key.1, by_tool.1);
        assert!(by_key.0.keys.standing(compiled.keys[7].id, WallTime(0)).is_none());
        assert!(by_key.1.as_millis() < 50 && by_tool.1.as_millis() < 50);
    }

    /// Five hundred tools and a hundred keys must build in far less time than anyone would wait for a reload. Prints
    /// what it took: `cargo test --lib snapshot -- --nocapture`.
    #[test]
    fn a_large_gate_builds_fast() {
        let (mut text, mut lists) = (String::new(), BTreeMap::new());
        for server in 0..16 {
            let _ = write!(text, "[servers.s{server}]\nurl = \"http://127.0.0.1\"\n");
            lists.extend([list(&format!("s{server}"), 32)]);
        }
        (0..100).for_each(|at| text.push_str(&key(at, &format!("s{}/tool_{}*", at % 16, at % 10))));
        let compiled = compiled(&text);
        let timed = |lists: &_, previous: Option<&Snapshot>| {
            let start = Clock::now();
            let snapshot = Snapshot::build(&compiled, lists, Epoch(1), previous);
            (snapshot, Clock::now().since(start))
        };
        let (first, whole) = timed(&lists, None);
        let (_, shared) = timed(&lists, Some(&first));
        println!("512 tools, 100 keys: {whole:?} from nothing, {shared:?} where no list changed");
        assert_eq!(first.catalog.tools().len(), 512);
        assert!(whole.as_millis() < 2_000 && shared < whole, "{whole:?} {shared:?}");
    }
}
