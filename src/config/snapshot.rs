//! The immutable compiled configuration that every shard reads, replaced whole.
//!
//! Built again at every reload and whenever a server's list changes; the catalogue is shared with the snapshot before
//! where no list changed, and views are rendered when first asked for.

use crate::base::ids::{Epoch, GrantId, ServerId};
use crate::catalog::{Catalog, Door, Grant, Grants, Pattern, ServerList, View, Views};
use crate::config::compile::Compiled;
use crate::config::settings::Settings;
use crate::policy::{KeyEntry, KeyRing, Pepper};
use crate::upstream::spec::ServerSpec;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One state of the gate: settings, servers, tools, keys and what each key sees.
#[derive(Debug)]
pub struct Snapshot {
    /// Its number.
    pub epoch: Epoch,
    /// What the runtime takes.
    pub settings: Arc<Settings>,
    /// Enabled servers; a server's place is its [`ServerId`].
    pub servers: Vec<Arc<ServerSpec>>,
    /// All tools.
    pub catalog: Arc<Catalog>,
    /// All keys.
    pub keys: KeyRing,
    /// What the keys may see.
    pub grants: Grants,
    views: Views,
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
        let anonymous = compiled.anonymous.as_ref().map(|allow| grants.of(allow));
        let keys = compiled.keys.iter();
        let entries = keys.map(|key| KeyEntry { key: key.clone(), grant: grants.of(&key.allow) }).collect();
        let grants = grants.grants;
        let mut pepper = *compiled.pepper.0;
        let ring = KeyRing::new(Pepper::new(&mut pepper), entries, anonymous);
        Self {
            epoch,
            settings: compiled.settings.clone(),
            servers: compiled.servers.clone(),
            keys: crate::invariant!(ring, "compile refuses key ids that are reserved or given twice"),
            views: Views::new(&grants),
            grants,
            catalog,
            sources,
        }
    }

    /// What a grant sees at a door, rendered once for all who ask.
    pub fn view(&self, grant: GrantId, door: Door) -> &View {
        self.views.get(&self.catalog, &self.grants, grant, door)
    }

    /// The tools of a grant of this snapshot.
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
    catalog: &'a Catalog,
    grants: Grants,
    known: HashMap<&'a [Pattern], GrantId>,
}

impl<'a> Interned<'a> {
    fn new(catalog: &'a Catalog) -> Self {
        Self { catalog, grants: Grants::new(), known: HashMap::new() }
    }

    fn of(&mut self, allow: &'a [Pattern]) -> GrantId {
        if let Some(id) = self.known.get(allow) {
            return *id;
        }
        let id = self.grants.intern(Grant::compile(allow, self.catalog));
        self.known.insert(allow, id);
        id
    }
}
