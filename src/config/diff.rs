//! What changed between two configurations: what a reload applies, and what it cannot without a restart.

use crate::base::ids::KeyId;
use crate::config::compile::Compiled;
use crate::config::settings::Settings;
use crate::policy::VirtualKey;
use std::collections::BTreeMap;
use std::fmt;

/// Names of one kind that are shown; of more, only their number is.
const NAMED_MAX: usize = 20;

/// The difference between the configuration in use and a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Servers that came.
    pub servers_added: Vec<Box<str>>,
    /// Servers that went, or were disabled.
    pub servers_removed: Vec<Box<str>>,
    /// Servers that are reached or treated another way now.
    pub servers_changed: Vec<Box<str>>,
    /// Keys that came.
    pub keys_added: Vec<KeyId>,
    /// Keys that went.
    pub keys_removed: Vec<KeyId>,
    /// Keys with another hash, other rights, another end, or revoked.
    pub keys_changed: Vec<KeyId>,
    /// Whether what a request without a key may use has changed.
    pub anonymous: bool,
    /// Whether groups of tools have changed.
    pub groups: bool,
    /// Whether teams, customers or limits of tools and servers have changed.
    pub levels: bool,
    /// Whether the rules of approvals have changed.
    pub approvals: bool,
    /// Settings that apply from now on.
    pub settings: Vec<&'static str>,
    /// Settings that apply only after a restart.
    pub restart: Vec<&'static str>,
}

impl Diff {
    /// What changes when `new` takes the place of `old`.
    pub fn between(old: &Compiled, new: &Compiled) -> Self {
        let (anonymous, groups) = (old.anonymous != new.anonymous, old.levels.groups != new.levels.groups);
        let (levels, approvals) = (!old.levels.bound_as(&new.levels), old.approvals != new.approvals);
        let mut diff = Self { anonymous, groups, levels, approvals, ..Self::default() };
        diff.servers(old, new);
        diff.keys(old, new);
        diff.settings(&old.settings, &new.settings);
        if old.admin_tokens != new.admin_tokens {
            diff.settings.push("admin_tokens");
        }
        if old.written.drift != new.written.drift {
            diff.settings.push("drift");
        }
        diff
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn servers(&mut self, old: &Compiled, new: &Compiled) {
        for server in &new.servers {
            match old.server(&server.name) {
                None => self.servers_added.push(server.name.clone()),
                Some(known) if known != server => self.servers_changed.push(server.name.clone()),
                Some(_) => {}
            }
        }
        let gone = old.servers.iter().filter(|server| new.server(&server.name).is_none());
        self.servers_removed = gone.map(|server| server.name.clone()).collect();
    }

    fn keys(&mut self, old: &Compiled, new: &Compiled) {
        let (old, new) = (by_id(&old.keys), by_id(&new.keys));
        for (id, key) in &new {
            match old.get(id) {
                None => self.keys_added.push(*id),
                Some(known) if !same_key(known, key) => self.keys_changed.push(*id),
                Some(_) => {}
            }
        }
        self.keys_removed = old.keys().filter(|id| !new.contains_key(id)).copied().collect();
    }

    fn settings(&mut self, old: &Settings, new: &Settings) {
        let live = [
            ("listen.allowed_hosts", old.listen.hosts != new.listen.hosts),
            ("listen.allowed_origins", old.listen.origins != new.listen.origins),
            ("listen.tls", old.listen.tls.is_some() && new.listen.tls.is_some() && old.listen.tls != new.listen.tls),
            ("approval.page_url", old.approval_page != new.approval_page),
            ("limits", old.limits != new.limits),
        ];
        let restart = [
            ("listen.address", old.listen.address != new.listen.address),
            ("listen.tls", old.listen.tls.is_some() != new.listen.tls.is_some()),
            ("admin.address", old.admin != new.admin),
            ("runtime", old.runtime != new.runtime),
            ("state.directory", old.state != new.state),
            ("journal", old.journal != new.journal),
        ];
        let changed =
            |list: &[(&'static str, bool)]| list.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        self.settings = changed(&live);
        self.restart = changed(&restart);
    }
}

fn by_id(keys: &[VirtualKey]) -> BTreeMap<KeyId, &VirtualKey> {
    keys.iter().map(|key| (key.id, key)).collect()
}

fn same_key(a: &VirtualKey, b: &VirtualKey) -> bool {
    let team = |key: &VirtualKey| key.team.as_ref().map(|team| team.name.clone());
    (&a.name, a.mac, a.expires, a.revoked, &a.rights) == (&b.name, b.mac, b.expires, b.revoked, &b.rights)
        && (team(a), &a.allowance) == (team(b), &b.allowance)
}

/// The first names of a list, and how many more there are.
fn some(names: impl ExactSizeIterator<Item = impl fmt::Display>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let mut shown = names.take(NAMED_MAX).map(|name| name.to_string()).collect::<Vec<_>>().join(", ");
    if more > 0 {
        shown.push_str(&format!(" and {more} more"));
    }
    shown
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |names: &[Box<str>]| some(names.iter());
        let ids = |ids: &[KeyId]| some(ids.iter());
        let parts = [
            ("servers added", words(&self.servers_added)),
            ("servers removed", words(&self.servers_removed)),
            ("servers changed", words(&self.servers_changed)),
            ("keys added", ids(&self.keys_added)),
            ("keys removed", ids(&self.keys_removed)),
            ("keys changed", ids(&self.keys_changed)),
            ("anonymous", if self.anonymous { "changed".into() } else { String::new() }),
            ("groups", if self.groups { "changed".into() } else { String::new() }),
            ("teams and limits", if self.levels { "changed".into() } else { String::new() }),
            ("approvals", if self.approvals { "changed".into() } else { String::new() }),
            ("settings changed", self.settings.join(", ")),
            ("needs a restart", self.restart.join(", ")),
        ];
        let shown: Vec<String> =
            parts.iter().filter(|(_, what)| !what.is_empty()).map(|(name, what)| format!("{name}: {what}")).collect();
        f.write_str(if shown.is_empty() { "nothing changed" } else { "" })?;
        f.write_str(&shown.join("; "))
    }
}
