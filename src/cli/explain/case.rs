//! One question of `tollgate explain`, with all that was found out about it.

use crate::base::clock::{Instant, WallTime};
use crate::base::ids::KeyId;
use crate::catalog::{Door, ListKind, Sort};
use crate::cli::known::Known;
use crate::cli::output;
use crate::config::nearest;
use crate::policy::{Explanation, Found, Grounds, Meter, Step, Subject, VirtualKey};
use serde_json::{Value, json};

/// A key, what it asks for, and why it may have it or not.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(super) known: &'a Known,
    pub(super) key: KeyId,
    /// As the question put it.
    pub(super) name: &'a str,
    pub(super) subject: Subject<'a>,
    pub(crate) explanation: Explanation<'a>,
}

/// What is known of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// It listed what it has, at that time.
    At(WallTime),
    /// It has not been listed, or its list cannot be read.
    NotYet,
    /// It is switched off.
    Disabled,
}

impl<'a> Case<'a> {
    /// Finds out what would come of a request at a time.
    pub(crate) fn ask(known: &'a Known, key: KeyId, (sort, name): (Sort, &'a str), now: (WallTime, Instant)) -> Self {
        let snapshot = &known.snapshot;
        let grounds = Grounds {
            catalog: &snapshot.catalog,
            keys: &snapshot.keys,
            grants: &snapshot.granted,
            limits: &snapshot.limits,
            approvals: &snapshot.approvals,
            anonymous: known.compiled.anonymous.as_ref(),
        };
        let subject = subject(known, sort, name);
        Self { known, key, name, subject, explanation: grounds.explain(key, &subject, now) }
    }

    /// The key itself, where it is one of those known.
    pub(super) fn virtual_key(&self) -> Option<&'a VirtualKey> {
        self.known.snapshot.keys.key(self.key)
    }

    /// The server that this is about, where it is one of those configured.
    pub(super) fn server(&self) -> Option<(&'a str, Listed)> {
        let name = match &self.explanation.found {
            Found::One(thing) => self.known.snapshot.catalog.server_name(thing.server),
            _ => self.subject.claimed?.0,
        };
        let list = self.known.lists.get(name);
        let listed = match self.known.compiled.written.servers.get(name) {
            Some(server) if !server.enabled => Listed::Disabled,
            _ => list.map_or(Listed::NotYet, |list| Listed::At(list.fetched_at)),
        };
        Some((name, listed))
    }

    /// Why a server's entry of this name is in no list, where that is so.
    pub(super) fn left_out(&self) -> Option<&'a str> {
        let (server, own) = self.subject.claimed?;
        let kind = [ListKind::Tools, ListKind::Prompts, ListKind::Resources][self.subject.sort as usize];
        let own = format!("{own:?}");
        let of_it = self.known.snapshot.catalog.warnings().iter().filter(|warning| {
            !warning.listed && &*warning.server == server && warning.kind == kind && warning.text.starts_with(&own)
        });
        of_it.map(|warning| &*warning.text).next()
    }

    /// A listed name that was meant, perhaps.
    pub(super) fn near(&self) -> Option<&'a str> {
        let catalog = &self.known.snapshot.catalog;
        match self.subject.sort {
            Sort::Tools => nearest(self.name, catalog.tools().iter().map(|tool| tool.exposed())),
            Sort::Prompts => nearest(self.name, catalog.prompts().iter().map(|prompt| &*prompt.exposed)),
            Sort::Resources => None,
        }
    }

    /// The one of a level's patterns that comes nearest to what is asked for, as text: of those that speak of its
    /// server, whichever it is; of others, where it may have been meant.
    pub(super) fn nearest_pattern(&self, step: &Step<'_>) -> Option<String> {
        let (server, own) = match &self.explanation.found {
            Found::One(thing) => (self.known.snapshot.catalog.server_name(thing.server), thing.own),
            _ => self.subject.claimed?,
        };
        let wanted = format!("{server}/{own}");
        let patterns = step.patterns?;
        let here = patterns.iter().filter(|pattern| pattern.covers_server(server)).map(ToString::to_string);
        let scored = here.map(|text| (strsim::jaro_winkler(&wanted, &text), text));
        let best = scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, text)| text);
        best.or_else(|| {
            let texts: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            nearest(&wanted, texts.iter().map(String::as_str)).map(str::to_owned)
        })
    }

    /// All of it, for programs.
    pub(crate) fn json(&self) -> Value {
        let why = &self.explanation;
        let (thing, others) = match &why.found {
            Found::One(thing) => {
                let server = self.known.snapshot.catalog.server_name(thing.server);
                (Some(json!({"server": server, "name": thing.own, "listed": thing.listed})), &[][..])
            }
            Found::Several(others) => (None, &**others),
            Found::Nothing => (None, &[][..]),
        };
        let server = self.server().map(|(name, listed)| {
            let at = if let Listed::At(at) = listed { Some(output::timestamp(at)) } else { None };
            json!({"name": name, "enabled": listed != Listed::Disabled, "listed_at": at})
        });
        json!({
            "key": self.key.as_str(),
            self.subject.sort.noun(): self.name,
            "verdict": why.verdict(),
            "reason": why.denied,
            "expires": self.virtual_key().and_then(|key| key.expires).map(output::timestamp),
            "found": thing,
            "could_be": others,
            "withheld": why.withheld.map(|withheld| &*withheld.why),
            "server": server,
            "levels": why.steps.iter().map(|step| self.step_json(step)).collect::<Vec<_>>(),
            "approval": why.need.map(|need| json!({"rule": need.rule.map(|at| at + 1), "expires_s": need.expires_s})),
            "price": why.price.map(ToString::to_string),
            "limits": why.limits.iter().map(|meter| limit_json(meter)).collect::<Vec<_>>(),
        })
    }

    fn step_json(&self, step: &Step<'_>) -> Value {
        let texts = |patterns: &[_]| patterns.iter().map(ToString::to_string).collect::<Vec<String>>();
        json!({
            "level": step.level.name(),
            "name": step.name,
            "passes": step.passes(),
            "gone": step.gone,
            "patterns": step.patterns.map(|patterns: &[crate::catalog::Pattern]| texts(patterns)),
            "covered_by": step.covered_by.map(ToString::to_string),
            "group": step.group,
            "excluded_by": step.excluded.map(|(group, by)| json!({"group": group, "pattern": by.to_string()})),
            "nearest": if step.passes() { None } else { self.nearest_pattern(step) },
        })
    }
}

fn limit_json(meter: &Meter) -> Value {
    let allowance = meter.allowance();
    let rates: Vec<String> = allowance.rates.iter().map(ToString::to_string).collect();
    let budgets: Vec<String> = allowance.budgets.iter().map(ToString::to_string).collect();
    json!({"level": meter.level.name(), "name": &*meter.name, "rates": rates, "budgets": budgets,
        "concurrency_max": allowance.at_once})
}

/// What a name asks for. Taking it apart is for the explanation: what `server__tool` stands for is looked up whole, as
/// the gate does; `server/tool` is asked at that server's own door.
fn subject<'a>(known: &'a Known, sort: Sort, name: &'a str) -> Subject<'a> {
    let is_server = |(server, _): &(&str, &str)| known.compiled.written.servers.contains_key(*server);
    if let Some((server, own)) = name.split_once('/').filter(is_server) {
        let claimed = Some((server, own));
        return match known.snapshot.server_by_name(server) {
            Some((id, _)) => Subject { sort, name: own, door: Door::Server(id), claimed },
            None => Subject { sort, name, door: Door::All, claimed },
        };
    }
    let claimed = name.split_once("__").filter(is_server).filter(|_| sort != Sort::Resources);
    Subject { sort, name, door: Door::All, claimed }
}
