//! The maps by which names resolve: of tools, and of prompts.

use super::catalog::Door;
use crate::base::ids::ServerId;
use foldhash::{HashMap, HashMapExt};

/// The names of the entries of one kind.
#[derive(Debug)]
pub(super) struct NameMaps<I> {
    /// At the door of all servers.
    exposed: HashMap<Box<str>, I>,
    /// At each server's own door, by server id.
    own: Vec<HashMap<Box<str>, I>>,
    /// Every entry that bears an upstream name, with its server.
    bare: HashMap<Box<str>, Vec<(ServerId, I)>>,
}

impl<I> Default for NameMaps<I> {
    fn default() -> Self {
        Self { exposed: HashMap::new(), own: Vec::new(), bare: HashMap::new() }
    }
}

/// The three names of an entry.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) exposed: &'a str,
    pub(super) unprefixed: &'a str,
    pub(super) upstream: &'a str,
}

impl<I: Copy> NameMaps<I> {
    /// Enters an entry of a server; false where an earlier one has one of its names.
    pub(super) fn add(&mut self, server: ServerId, names: Names<'_>, id: I) -> bool {
        let slot = usize::from(server.0);
        self.own.resize_with(self.own.len().max(slot + 1), HashMap::new);
        let own = &mut self.own[slot];
        if self.exposed.contains_key(names.exposed) || own.contains_key(names.unprefixed) {
            return false;
        }
        self.exposed.insert(names.exposed.into(), id);
        own.insert(names.unprefixed.into(), id);
        self.bare.entry(names.upstream.into()).or_default().push((server, id));
        true
    }

    /// The entry of a name at a door: as it is listed there, else by the upstream's own name where that is unique among
    /// the entries that are allowed. Others count only where none of those bears the name, so that they neither disturb
    /// nor show. What is found may still be denied.
    pub(super) fn resolve(&self, door: Door, name: &str, allowed: impl Fn(I) -> bool) -> Option<I> {
        let listed = match door {
            Door::All => self.exposed.get(name),
            Door::Server(id) => self.own.get(usize::from(id.0))?.get(name),
        };
        listed.copied().or_else(|| self.resolve_bare(door, name, allowed))
    }

    /// The entry that is listed so at the door of all servers.
    pub(super) fn listed(&self, name: &str) -> Option<I> {
        self.exposed.get(name).copied()
    }

    /// The entry that a server knows by this name.
    pub(super) fn of_server(&self, server: ServerId, upstream: &str) -> Option<I> {
        self.bare.get(upstream)?.iter().find(|(own, _)| *own == server).map(|(_, id)| *id)
    }

    fn resolve_bare(&self, door: Door, name: &str, allowed: impl Fn(I) -> bool) -> Option<I> {
        let here = |server: ServerId| door == Door::All || door == Door::Server(server);
        let mut bearers = self.bare.get(name)?.iter().filter(|(server, _)| here(*server)).map(|(_, id)| *id);
        let mut may = bearers.clone().filter(|id| allowed(*id));
        match (may.next(), may.next()) {
            (Some(id), None) => Some(id),
            (Some(_), Some(_)) => None,
            (None, _) => bearers.next(),
        }
    }
}
