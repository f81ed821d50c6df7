//! Why somebody may use something or not: what the decision itself says, and beside it everything that led there.
//! Nothing here decides; a test of `cli::explain` holds that what is told always agrees with the decision.

use super::approval::{Approvals, Need};
use super::call::Asked;
use super::decide::{Reason, Verdict};
use super::key::{KeyRing, Refusal};
use super::limits::{ChainId, Charged, Limits, Refused};
use super::meter::{Level, Meter};
use super::price::Price;
use super::tree::Team;
use crate::base::clock::{Instant, WallTime};
use crate::base::ids::{GrantId, KeyId, ServerId, ToolId};
use crate::catalog::drift::Withheld;
use crate::catalog::{
    Catalog, Ceiling, Door, Grant, GrantCompiler, Grants, Group, Owned, Part, Pattern, Rights, ServerEntry, Sort,
};
use std::borrow::Cow;
use std::sync::Arc;

/// What explanations are drawn from: the parts of one snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    /// All tools, prompts and resources.
    pub catalog: &'a Catalog,
    /// All keys.
    pub keys: &'a KeyRing,
    /// What the keys may see.
    pub grants: &'a Grants,
    /// The meters in the way of calls.
    pub limits: &'a Limits,
    /// Which tools need an approval.
    pub approvals: &'a Approvals,
    /// What requests without a key may use, where they are taken.
    pub anonymous: Option<&'a Rights>,
}

/// What is asked about, as a client would name it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What it is.
    pub sort: Sort,
    /// Its name or URI.
    pub name: &'a str,
    /// The door at which the name is said.
    pub door: Door,
    /// The server that the name speaks of, and its own word: what patterns are held against where nothing is found.
    pub claimed: Option<(&'a str, &'a str)>,
}

impl Subject<'_> {
    /// Whether a server is behind the door.
    fn is_at(&self, server: ServerId) -> bool {
        self.door == Door::All || self.door == Door::Server(server)
    }
}

/// Why somebody may use something or not.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// The reason in records; nothing where it is allowed.
    pub denied: Option<&'static str>,
    /// The approval that it needs, where it is a tool that does.
    pub need: Option<Need>,
    /// Why the key itself is not taken, if it is not.
    pub refusal: Option<Refusal>,
    /// What the name stands for.
    pub found: Found<'a>,
    /// The key's patterns, then those of the levels above it.
    pub steps: Vec<Step<'a>>,
    /// The limits in its way, in the order in which they are asked.
    pub limits: Vec<&'a Arc<Meter>>,
    /// What it costs, where it has a price.
    pub price: Option<&'a Price>,
    /// The first of them that lets nothing through at all.
    pub closed: Option<Refused>,
    /// Why the tool is kept from everybody, if it is.
    pub withheld: Option<&'a Withheld>,
}

impl Explanation<'_> {
    /// The verdict's name: `allow`, `hold`, `deny`.
    pub fn verdict(&self) -> &'static str {
        match (self.denied, self.need) {
            (Some(_), _) => "deny",
            (None, Some(_)) => "hold",
            (None, None) => "allow",
        }
    }
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// This, allowed or not.
    One(Thing<'a>),
    /// Nothing, as it could be any of these.
    Several(Vec<Cow<'a, str>>),
    /// Nothing.
    Nothing,
}

/// A tool, prompt or resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing<'a> {
    /// Its server.
    pub server: ServerId,
    /// Its number, where it is a tool.
    pub tool: Option<ToolId>,
    /// The name or URI by which its server knows it.
    pub own: &'a str,
    /// The one under which it is listed at the door of all servers.
    pub listed: Cow<'a, str>,
}

/// What one level says of it.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Which level.
    pub level: Level,
    /// Whose.
    pub name: &'a str,
    /// Its patterns; nothing where it says none and so cuts nothing.
    pub patterns: Option<&'a [Pattern]>,
    /// The first of them, or of its groups', that covers it.
    pub covered_by: Option<&'a Pattern>,
    /// The group whose pattern that is, if it is one's.
    pub group: Option<&'a str>,
    /// Whether it has any groups.
    pub has_groups: bool,
    /// The first of its groups that would give it but for what it excludes, and by which pattern.
    pub excluded: Option<(&'a str, &'a Pattern)>,
    /// Whether it is a team that the configuration does not have.
    pub gone: bool,
}

impl Step<'_> {
    /// Whether this level lets it pass.
    pub fn passes(&self) -> bool {
        self.patterns.is_none() || self.covered_by.is_some()
    }
}

/// Who asks, with what is said of them.
#[derive(Clone, Copy, Debug, Default)]
struct Holder<'a> {
    name: &'a str,
    grant: Option<GrantId>,
    chain: Option<ChainId>,
    rights: Option<&'a Rights>,
    team: Option<&'a Team>,
}

impl<'a> Grounds<'a> {
    /// What would come of a request of this key now, were no other under way and none counted, and why.
    pub fn explain(&self, key: KeyId, subject: &Subject<'a>, (wall, now): (WallTime, Instant)) -> Explanation<'a> {
        let holder = self.holder(key);
        let nothing = Grant::nothing();
        let grant = holder.grant.map_or(&nothing, |id| self.grants.get(id));
        let (found, denied) = match subject.sort {
            Sort::Tools => self.tool(subject, grant),
            Sort::Prompts => self.prompt(subject, grant),
            Sort::Resources => self.resource(subject, grant),
        };
        let (mut limits, mut price, mut closed, mut spoken_of) = (Vec::new(), None, None, subject.claimed);
        let (mut withheld, mut need) = (None, None);
        if let Found::One(thing) = &found {
            need = thing.tool.and_then(|tool| self.approvals.need(tool));
            let charged = Charged { chain: holder.chain, tool: thing.tool, server: thing.server };
            limits = self.limits.in_the_way_of(&charged).collect();
            closed = self.limits.closed(&charged, (wall, now));
            price = self.limits.price_of(thing.tool).map(|price| &**price);
            withheld = thing.tool.and_then(|id| self.catalog.withheld(id));
            spoken_of = Some((self.catalog.server_name(thing.server), thing.own));
        }
        let steps = spoken_of.map_or_else(Vec::new, |spoken_of| holder.steps(subject.sort, spoken_of));
        let refusal = self.keys.stands(key, wall).err();
        let limited = closed.as_ref().map(Refused::reason);
        let denied = refusal.map(Refusal::name).or(denied.map(Reason::name)).or(limited);
        Explanation { denied, need, refusal, found, steps, limits, price, closed, withheld }
    }

    fn holder(&self, key: KeyId) -> Holder<'a> {
        if key == KeyId::ANONYMOUS {
            let Some(anonymous) = self.keys.anonymous() else { return Holder::default() };
            let (grant, chain) = (Some(anonymous.grant), anonymous.chain);
            return Holder { name: "anonymous", grant, chain, rights: self.anonymous, team: None };
        }
        let Some(entry) = self.keys.entry(key) else { return Holder::default() };
        let (name, rights, team) = (entry.key.id.as_str(), Some(&*entry.key.rights), entry.key.team.as_deref());
        Holder { name, grant: Some(entry.grant), chain: entry.chain, rights, team }
    }

    fn tool(&self, subject: &Subject<'a>, grant: &Grant) -> (Found<'a>, Option<Reason>) {
        let catalog = self.catalog;
        let approvals = self.approvals;
        let asked = Asked { name: subject.name, door: subject.door, grant, narrowing: None, approvals };
        let admission = asked.admit(catalog);
        let found = match admission.tool {
            Some(id) => {
                let tool = catalog.tool(id);
                let (server, own) = (tool.server, tool.name());
                let listed = catalog.listed_name(Door::All, id, grant).to_owned().into();
                Found::One(Thing { server, tool: Some(id), own, listed })
            }
            None => {
                let bearers =
                    catalog.tools().iter().filter(|tool| subject.is_at(tool.server) && tool.name() == subject.name);
                Found::among(bearers.map(|tool| tool.exposed().into()))
            }
        };
        let denied = match admission.verdict {
            Verdict::Allow(_) | Verdict::Hold(_) => None,
            Verdict::Deny(reason) => Some(reason),
        };
        (found, denied)
    }

    fn prompt(&self, subject: &Subject<'a>, grant: &Grant) -> (Found<'a>, Option<Reason>) {
        let (catalog, door, name) = (self.catalog, subject.door, subject.name);
        let found = match catalog.prompt_named(door, name, grant) {
            Some(id) => {
                let prompt = catalog.prompt(id);
                let (server, own, listed) = (prompt.server, &*prompt.name, (&*prompt.exposed).into());
                Found::One(Thing { server, tool: None, own, listed })
            }
            None => {
                let bearers =
                    catalog.prompts().iter().filter(|prompt| subject.is_at(prompt.server) && &*prompt.name == name);
                Found::among(bearers.map(|prompt| (&*prompt.exposed).into()))
            }
        };
        (found, hidden(catalog.resolve_prompt(door, name, grant)))
    }

    fn resource(&self, subject: &Subject<'a>, grant: &Grant) -> (Found<'a>, Option<Reason>) {
        let (catalog, door, uri) = (self.catalog, subject.door, subject.name);
        let allowed = catalog.resolve_resource(door, uri, grant);
        let found = match allowed.or_else(|| self.owner_for_all(door, uri)) {
            Some(Owned { server, uri: own, .. }) => {
                Found::One(Thing { server, tool: None, own, listed: catalog.listed_uri(Door::All, server, own) })
            }
            None => {
                let has = |server: &&ServerEntry| subject.is_at(server.id) && catalog.has_resources(server);
                let may = catalog.servers().iter().filter(has);
                Found::among(may.map(|server| format!("{}/{uri}", server.name).into()))
            }
        };
        (found, hidden(allowed))
    }

    /// Who would be asked for a URI by somebody who may see everything.
    fn owner_for_all(&self, door: Door, uri: &'a str) -> Option<Owned<'a>> {
        let all =
            Rights { resources: Pattern::parse_as(Sort::Resources, "*/*").into_iter().collect(), ..Rights::default() };
        self.catalog.resolve_resource(door, uri, &GrantCompiler::new(self.catalog).compile(&all))
    }
}

/// What is no tool is recorded alike, absent or not allowed.
fn hidden<T>(found: Option<T>) -> Option<Reason> {
    found.is_none().then_some(Reason::NotGranted)
}

impl<'a> Found<'a> {
    fn among(bearers: impl Iterator<Item = Cow<'a, str>>) -> Self {
        let bearers: Vec<_> = bearers.collect();
        if bearers.len() > 1 { Self::Several(bearers) } else { Self::Nothing }
    }
}

impl<'a> Holder<'a> {
    /// What each level says of a thing of a server. A key is cut by its team, a team by its customer.
    fn steps(&self, sort: Sort, (server, own): (&str, &str)) -> Vec<Step<'a>> {
        let Some(rights) = self.rights else { return Vec::new() };
        let customer = self.team.and_then(|team| team.customer.as_deref());
        let step = |level, name, patterns: Option<&'a [Pattern]>, groups: &'a [Arc<Group>]| {
            let own_part = patterns.map(Part::own);
            let mut parts = own_part.into_iter().chain(groups.iter().map(|group| group.part(sort)));
            let covered = parts.clone().find_map(|part| Some((part.covering(sort, server, own)?, part.group)));
            let name_of = |part: Part<'a>| part.group.map_or("", |group| &group.name);
            let excluded = parts.find_map(|part| Some((name_of(part), part.excluding(sort, server, own)?)));
            let has_groups = !groups.is_empty();
            let (covered_by, group) = (covered.map(|(pattern, _)| pattern), covered.and_then(|(_, group)| group));
            Step {
                level,
                name,
                patterns,
                covered_by,
                has_groups,
                group: group.map(|group| &*group.name),
                excluded,
                gone: false,
            }
        };
        let above = |level, name, ceiling: &'a Ceiling| step(level, name, ceiling.of(sort), &ceiling.groups);
        let mut steps = vec![step(Level::Key, self.name, Some(rights.of(sort)), &rights.groups)];
        steps.extend(self.team.map(|team| Step { gone: team.gone, ..above(Level::Team, &team.name, &team.ceiling) }));
        steps.extend(customer.map(|customer| above(Level::Customer, &customer.name, &customer.ceiling)));
        steps
    }
}
