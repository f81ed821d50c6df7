//! An explanation in words: the verdict on a line, then a row for each thing that led to it.

use super::case::{Case, Listed};
use crate::base::ids::KeyId;
use crate::catalog::Sort;
use crate::catalog::drift::Withheld;
use crate::cli::output::{self, tame};
use crate::policy::{Bound, Found, Level, Meter, Need, Refusal, Refused, Step};

/// What a row is about, and what it says.
type Row = Vec<String>;

impl Case<'_> {
    /// All of it, for people.
    pub(crate) fn text(&self) -> String {
        format!("{}\n\n{}", self.verdict(), output::table(&self.rows()))
    }

    /// The verdict with its reason in records: `allow`, `hold`, or `deny (not_granted)`.
    pub(crate) fn word(&self) -> String {
        let verdict = self.explanation.verdict();
        self.explanation.denied.map_or_else(|| verdict.into(), |reason| format!("{verdict} ({reason})"))
    }

    fn verdict(&self) -> String {
        let (word, who, name) = (self.word(), self.who(), tame(self.name));
        let why = &self.explanation;
        let sort = self.subject.sort;
        let what = match (&why.found, why.refusal) {
            (_, Some(_)) => format!("requests {} are refused", self.with()),
            (Found::Several(all), _) => format!("{name} could be any of {}", all.len()),
            (Found::Nothing, _) => format!("nothing is known by the name {name}"),
            (Found::One(_), _) if !why.steps.iter().all(Step::passes) => {
                format!("{who} may not see {name}, and hears that there is no such {}", sort.noun())
            }
            (Found::One(_), _) if why.withheld.is_some() => {
                format!("{name} is withheld, and {who} hears that there is no such tool")
            }
            (Found::One(_), _) if why.closed.is_some() => format!("{who} may see {name}, and a limit is closed"),
            (Found::One(_), _) if why.need.is_some() => {
                format!("{who} may call {name}, each time once somebody has approved that call")
            }
            (Found::One(_), _) => format!("{who} may {} {name}", ["call", "get", "read"][sort as usize]),
        };
        format!("{word}: {what}")
    }

    fn who(&self) -> String {
        if self.key == KeyId::ANONYMOUS { "anyone".into() } else { format!("key {}", self.key) }
    }

    fn with(&self) -> String {
        if self.key == KeyId::ANONYMOUS { "without a key".into() } else { format!("with key {}", self.key) }
    }

    fn rows(&self) -> Vec<Row> {
        let why = &self.explanation;
        let mut rows = vec![row("key", self.standing()), row(self.subject.sort.noun(), self.found())];
        rows.extend(why.steps.iter().map(|step| row(label(step.level), self.step(step))));
        rows.extend(why.price.map(|price| row("price", tame(&price.to_string()))));
        rows.extend(why.need.map(|need| row("approval", approval(&need))));
        rows.extend(why.withheld.map(|withheld| row("drift", self.withheld(withheld))));
        rows.extend(why.limits.iter().map(|meter| row("limit", limit(meter, why.closed.as_ref()))));
        if matches!(why.found, Found::One(_)) && why.limits.is_empty() {
            rows.push(row("limit", "none stands in its way"));
        }
        rows
    }

    /// Whether the key is taken at all.
    fn standing(&self) -> String {
        let key = self.virtual_key();
        let name = key.map_or_else(String::new, |key| format!("{} ({})", key.id, tame(&key.name)));
        let ends = key.and_then(|key| key.expires).map(output::timestamp);
        match (self.explanation.refusal, ends) {
            (None, _) if self.key == KeyId::ANONYMOUS => "requests without a key are taken".into(),
            (None, Some(at)) => format!("{name} is valid until {at}"),
            (None, None) => format!("{name} is valid and never expires"),
            (Some(Refusal::Missing), _) => {
                "requests without a key are refused: there is no `[anonymous]` in the configuration".into()
            }
            (Some(Refusal::Revoked), _) => format!("{name} was revoked"),
            (Some(Refusal::Expired), at) => format!("{name} expired at {}", at.unwrap_or_default()),
            (Some(Refusal::Unknown | Refusal::Malformed), _) => format!("no key has the id {}", self.key),
        }
    }

    /// What the name stands for.
    fn found(&self) -> String {
        match &self.explanation.found {
            Found::One(thing) => {
                let server = self.known.snapshot.catalog.server_name(thing.server);
                format!("{server}/{}, listed as {}", tame(thing.own), tame(&thing.listed))
            }
            Found::Several(all) => format!("say which: {}", tame(&all.join(", "))),
            Found::Nothing => self.absent(),
        }
    }

    /// Why a tool is kept from everybody, and what to do about it.
    fn withheld(&self, withheld: &Withheld) -> String {
        let state = if withheld.is_quarantined { "quarantined" } else { "held" };
        let Found::One(thing) = &self.explanation.found else { return state.into() };
        let server = self.known.snapshot.catalog.server_name(thing.server);
        format!("{state}: {}; see `tollgate drift diff {server}/{}`", tame(&withheld.why), tame(thing.own))
    }

    /// Why the name stands for nothing.
    fn absent(&self) -> String {
        let noun = self.subject.sort.noun();
        if let Some(left_out) = self.left_out() {
            return format!("its server lists it, and it is left out: {}", tame(left_out));
        }
        let what = match self.server() {
            Some((server, Listed::Disabled)) => return format!("server {server} is disabled: see `enabled`"),
            Some((server, Listed::NotYet)) => {
                return format!("server {server} has not been listed yet: a gate keeps its lists when it has run");
            }
            Some((server, Listed::At(at))) if self.subject.sort == Sort::Resources => {
                format!("server {server} had no resources at {}", output::timestamp(at))
            }
            Some((server, Listed::At(at))) => {
                format!("server {server} had no {noun} of this name at {}", output::timestamp(at))
            }
            None => format!("no server has listed a {noun} of this name"),
        };
        self.near().map_or_else(|| what.clone(), |near| format!("{what}; did you mean {}?", tame(near)))
    }

    /// What one level says.
    fn step(&self, step: &Step<'_>) -> String {
        let field = self.subject.sort.field();
        let whose = if step.level == Level::Key { String::new() } else { format!("{}: ", tame(step.name)) };
        let what = match (step.patterns, step.covered_by) {
            _ if step.gone => "the configuration has no such team: its keys see nothing".to_owned(),
            (None, _) => format!("has no `{field}`, so cuts nothing"),
            (Some(_), Some(pattern)) if step.group.is_some() => {
                let group = tame(step.group.unwrap_or_default());
                format!("`{}` in group {group} covers it", tame(&pattern.to_string()))
            }
            (Some(_), None) if step.excluded.is_some() => {
                let (group, pattern) = step.excluded.map_or(("", String::new()), |(name, by)| (name, by.to_string()));
                format!("group {} excludes it by `{}`", tame(group), tame(&pattern))
            }
            (Some(_), Some(pattern)) => format!("`{}` in `{field}` covers it", tame(&pattern.to_string())),
            (Some(_), None) if step.has_groups => format!("no pattern in `{field}` and no group covers it"),
            (Some([]), None) => format!("no pattern in `{field}`, so nothing is allowed"),
            (Some(_), None) => {
                let near = self.nearest_pattern(step);
                let near = near.map_or_else(String::new, |near| format!("; the nearest is `{}`", tame(&near)));
                format!("no pattern in `{field}` covers it{near}")
            }
        };
        format!("{whose}{what}")
    }
}

fn row(label: &str, text: impl Into<String>) -> Row {
    vec![label.to_owned(), text.into()]
}

fn label(level: Level) -> &'static str {
    if level == Level::Key { "grant" } else { level.name() }
}

/// Why an approval is needed, and how long one is good for.
fn approval(need: &Need) -> String {
    let why = match need.rule {
        Some(at) => format!("rule {} of `approval.rules` covers it", at + 1),
        None => "its server marks it destructive, and no rule of `approval.rules` covers it".to_owned(),
    };
    format!("{why}: an approval is good for {} s and one call", need.expires_s)
}

/// What one limit lets through.
fn limit(meter: &Meter, closed: Option<&Refused>) -> String {
    let allowance = meter.allowance();
    let mut bounds: Vec<String> = allowance.rates.iter().map(ToString::to_string).collect();
    bounds.extend(allowance.at_once.map(|most| format!("{most} at once")));
    bounds.extend(allowance.budgets.iter().map(|terms| format!("{terms} ({})", terms.zone.name())));
    let is_closed = closed.is_some_and(|closed| (closed.level, &closed.name) == (meter.level, &meter.name));
    let end = match closed.filter(|_| is_closed).map(|closed| closed.exceeded.bound) {
        Some(Bound::Rate(rate)) => format!(": {rate} lets nothing through"),
        Some(Bound::AtOnce(most)) => format!(": {most} at once lets nothing through"),
        Some(Bound::Money(over)) => {
            format!(": {}/{} is less than a call may cost ({})", over.limit, over.span.name(), over.asked)
        }
        None => String::new(),
    };
    format!("{} {}: {}{end}", meter.level.name(), tame(&meter.name), bounds.join(", "))
}
