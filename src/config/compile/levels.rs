//! Customers, teams, and what each level may do: names that are there, patterns that read, rates that hold.

use super::groups::{self, Groups};
use super::keys::{Home, patterns};
use super::prices;
use crate::base::limits::{BUDGETED_TOOL_LIMITS_MAX, LEVEL_NAME_MAX, LEVELS_MAX};
use crate::catalog::{Ceiling, Pattern, Sort};
use crate::config::document::Step;
use crate::config::file::{self, Config};
use crate::config::notes::{About, Notes};
use crate::config::objects::{Objects, Stored};
use crate::config::report::Level;
use crate::config::words;
use crate::policy::{Allowance, Customer, Price, Rate, Team, Terms, Zone};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A limit of some tools together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolsLimit {
    /// Its name.
    pub(crate) name: Box<str>,
    /// Which tools.
    pub(crate) tools: Box<[Pattern]>,
    /// What they may do.
    pub(crate) allowance: Allowance,
}

/// Everything above and beside the keys that bounds a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Levels {
    /// Groups of tools.
    pub(crate) groups: Groups,
    /// Customers.
    pub(crate) customers: BTreeMap<Box<str>, Arc<Customer>>,
    /// Teams, each with its customer.
    pub(crate) teams: BTreeMap<Box<str>, Arc<Team>>,
    /// Limits of tools.
    pub(crate) tools: Vec<ToolsLimit>,
    /// What tools cost; the first that covers one says it.
    pub(crate) prices: Vec<(Box<[Pattern]>, Arc<Price>)>,
    /// What servers may be asked, by name, where they are limited.
    pub(crate) servers: BTreeMap<Box<str>, Allowance>,
    /// What requests without a key may do.
    pub(crate) anonymous: Allowance,
}

impl Levels {
    /// Whether both bound calls alike, whatever groups there are.
    pub(crate) fn bound_as(&self, other: &Self) -> bool {
        (&self.customers, &self.teams, &self.tools) == (&other.customers, &other.teams, &other.tools)
            && (&self.servers, &self.anonymous) == (&other.servers, &other.anonymous)
    }
}

/// What all levels of a configuration file and of the store may do.
pub(crate) fn compile(written: &Config, stored: &Objects, notes: &mut Notes<'_>) -> Levels {
    let groups = groups::compile(written, notes);
    let customers = customers(written, stored, &groups, notes);
    let teams = teams(written, stored, (&customers, &groups), notes);
    let mut levels = Levels { customers, teams, groups, ..Levels::default() };
    levels.tools = tools(written, notes);
    levels.prices = prices::compile(written, notes);
    for (name, server) in &written.servers {
        let allowed = allowance(&bounds!(server), &["servers".into(), name.as_str().into()], notes);
        if !allowed.is_empty() {
            levels.servers.insert(name.as_str().into(), allowed);
        }
    }
    if let Some(anonymous) = &written.anonymous {
        levels.anonymous = allowance(&bounds!(anonymous), &["anonymous".into()], notes);
    }
    levels
}

fn customers(
    written: &Config,
    stored: &Objects,
    groups: &Groups,
    notes: &mut Notes<'_>,
) -> BTreeMap<Box<str>, Arc<Customer>> {
    check_count("customers", written.customers.len() + stored.customers.len(), notes);
    let mut out = BTreeMap::new();
    for (name, customer) in &written.customers {
        let customer = self::customer(name, customer, groups, (written, Home::Config), notes);
        out.insert(name.as_str().into(), Arc::new(customer));
    }
    for (name, customer) in &stored.customers {
        refuse_both::<file::Customer>(name, written, stored, notes);
        let mut notes = notes.about(about::<file::Customer>(name, stored));
        let customer = self::customer(name, customer, groups, (written, Home::State), &mut notes);
        let customer = if notes.faults() == 0 { customer } else { Customer::gone(name) };
        out.insert(name.as_str().into(), Arc::new(customer));
    }
    out
}

/// One customer of the file, of the store, or yet to be stored.
pub(crate) fn customer(
    name: &str,
    customer: &file::Customer,
    groups: &Groups,
    (config, home): (&Config, Home),
    notes: &mut Notes<'_>,
) -> Customer {
    check_name("customers", name, notes);
    let parent: [Step<'_>; 2] = ["customers".into(), name.into()];
    let lists = [&customer.allow, &customer.prompts, &customer.resources];
    let ceiling = ceiling(lists, (&customer.groups, groups), &parent, (config, home), notes);
    let allowance = allowance(&bounds!(customer), &parent, notes);
    Customer { name: name.into(), ceiling, allowance }
}

fn teams(
    written: &Config,
    stored: &Objects,
    above: (&BTreeMap<Box<str>, Arc<Customer>>, &Groups),
    notes: &mut Notes<'_>,
) -> BTreeMap<Box<str>, Arc<Team>> {
    check_count("teams", written.teams.len() + stored.teams.len(), notes);
    let mut out = BTreeMap::new();
    for (name, team) in &written.teams {
        let team = self::team(name, team, above, (written, Home::Config), notes);
        out.insert(name.as_str().into(), Arc::new(team));
    }
    for (name, team) in &stored.teams {
        refuse_both::<file::Team>(name, written, stored, notes);
        let mut notes = notes.about(about::<file::Team>(name, stored));
        let team = self::team(name, team, above, (written, Home::State), &mut notes);
        let team = if notes.faults() == 0 { team } else { Team::gone(name) };
        out.insert(name.as_str().into(), Arc::new(team));
    }
    out
}

/// One team of the file, of the store, or yet to be stored.
pub(crate) fn team(
    name: &str,
    team: &file::Team,
    (customers, groups): (&BTreeMap<Box<str>, Arc<Customer>>, &Groups),
    (config, home): (&Config, Home),
    notes: &mut Notes<'_>,
) -> Team {
    check_name("teams", name, notes);
    let parent: [Step<'_>; 2] = ["teams".into(), name.into()];
    let lists = [&team.allow, &team.prompts, &team.resources];
    let ceiling = ceiling(lists, (&team.groups, groups), &parent, (config, home), notes);
    let allowance = allowance(&bounds!(team), &parent, notes);
    let customer = team.customer.as_ref().and_then(|asked| {
        let known = customers.get(asked.as_str()).cloned();
        if known.is_none() {
            let place = [parent[0], parent[1], "customer".into()];
            let what = format!("no customer is called `{}`", words::visible(asked));
            notes.error(&place, what, near(asked, customers.keys().map(|name| &**name)));
        }
        known
    });
    Team { name: name.into(), customer, ceiling, allowance, gone: false }
}

/// The same name in the file and in the store is nobody's to win.
fn refuse_both<T: Stored>(name: &str, written: &Config, stored: &Objects, notes: &mut Notes<'_>) {
    if T::written(written, name).is_some() {
        let what = format!("{} `{name}` is both here and in {}", T::KIND, stored.place);
        let help = format!("remove this one, or the other with `tollgate {} delete {name}`", T::KIND);
        notes.key_error(&[T::TABLE.into()], name, what, help);
    }
}

fn about<'a, T: Stored>(name: &'a str, stored: &'a Objects) -> About<'a> {
    About { store: Some(&stored.place), kind: T::KIND, name }
}

fn tools(written: &Config, notes: &mut Notes<'_>) -> Vec<ToolsLimit> {
    check_count("tool_limits", written.tool_limits.len(), notes);
    let (mut out, mut with_budgets) = (Vec::<ToolsLimit>::new(), 0);
    for (at, limit) in written.tool_limits.iter().enumerate() {
        let parent = [Step::Key("tool_limits"), Step::Index(at)];
        let place = [parent[0], parent[1], "name".into()];
        if !is_name(&limit.name) {
            notes.error(&place, "this is not a name of a limit", NAME_HELP);
        } else if out.iter().any(|known| *known.name == *limit.name) {
            notes.error(&place, "another limit has this name", "rename one of them, or join their patterns");
        }
        let tools = patterns(&limit.tools, (Sort::Tools, "tools", &parent), written, Home::Config, notes).into();
        let allowance = allowance(&bounds!(limit), &parent, notes);
        if limit.tools.is_empty() || allowance.is_empty() {
            let help = "give it `tools`, and `rates`, `concurrency_max` or `budgets`";
            notes.error(&parent, "the limit limits nothing", help);
        }
        if !allowance.budgets.is_empty() {
            with_budgets += 1;
        }
        if with_budgets == BUDGETED_TOOL_LIMITS_MAX + 1 {
            let what = format!("more than {BUDGETED_TOOL_LIMITS_MAX} limits of tools have budgets");
            notes.error(&parent, what, "join some of them");
        }
        out.push(ToolsLimit { name: limit.name.as_str().into(), tools, allowance });
    }
    out
}

fn ceiling(
    lists: [&Option<Vec<String>>; Sort::ALL.len()],
    (named, groups): (&[String], &Groups),
    parent: &[Step<'_>],
    (config, home): (&Config, Home),
    notes: &mut Notes<'_>,
) -> Ceiling {
    let mut ceiling = Ceiling::default();
    // One that is not there never warns alone: a ceiling without its groups could let more through.
    ceiling.groups = groups::named(named, parent, (groups, config, Level::Error), notes);
    for (sort, written) in Sort::ALL.into_iter().zip(lists) {
        if let Some(written) = written {
            ceiling.set(sort, patterns(written, (sort, sort.field(), parent), config, home, notes).into());
        }
    }
    ceiling
}

/// What a table says of limits.
pub(crate) struct Bounds<'a> {
    pub(crate) rates: &'a [String],
    pub(crate) concurrency_max: Option<u32>,
    pub(crate) budgets: &'a [String],
    pub(crate) time_zone: Option<&'a str>,
}

/// The limits that a table of the configuration says.
macro_rules! bounds {
    ($table:expr) => {
        $crate::config::compile::levels::Bounds {
            rates: &$table.rates,
            concurrency_max: $table.concurrency_max,
            budgets: &$table.budgets,
            time_zone: $table.time_zone.as_deref(),
        }
    };
}
pub(crate) use bounds;

/// What the table at `parent` allows.
pub(crate) fn allowance(bounds: &Bounds<'_>, parent: &[Step<'_>], notes: &mut Notes<'_>) -> Allowance {
    let mut read: Vec<Rate> = Vec::new();
    for (at, text) in bounds.rates.iter().enumerate() {
        let mut place = parent.to_vec();
        place.extend([Step::Key("rates"), Step::Index(at)]);
        match Rate::parse(text) {
            None => notes.error(
                &place,
                "this is not a rate",
                "a number, `/`, and second, minute, hour or day: `600/minute`",
            ),
            Some(rate) if read.iter().any(|known| known.period == rate.period) => {
                let what = format!("there is a rate for each {} already", rate.period.name());
                notes.error(&place, what, "keep the smaller one");
            }
            Some(rate) => read.push(rate),
        }
    }
    Allowance { rates: read.into(), at_once: bounds.concurrency_max, budgets: budgets(bounds, parent, notes) }
}

/// What the table at `parent` lets be spent.
fn budgets(bounds: &Bounds<'_>, parent: &[Step<'_>], notes: &mut Notes<'_>) -> Box<[Terms]> {
    let place = |field: &'static str| parent.iter().copied().chain([Step::Key(field)]).collect::<Vec<_>>();
    let zone = match bounds.time_zone.map(Zone::find) {
        Some(Err(error)) => {
            notes.error(&place("time_zone"), error.context, "write it as `Europe/Berlin`, or leave it out for UTC");
            Zone::default()
        }
        Some(Ok(_)) if bounds.budgets.is_empty() => {
            notes.error(&place("time_zone"), "there are no `budgets` here that a time zone is for", "remove it");
            Zone::default()
        }
        Some(Ok(zone)) => zone,
        None => Zone::default(),
    };
    let mut read: Vec<Terms> = Vec::new();
    for (at, text) in bounds.budgets.iter().enumerate() {
        let mut place = place("budgets");
        place.push(Step::Index(at));
        match Terms::parse(text, &zone) {
            None => notes.error(
                &place,
                "this is not a budget",
                "dollars, `/`, and minute, hour, day, week, month or year: `5.00/day`",
            ),
            Some(terms) if read.iter().any(|known| known.span == terms.span) => {
                let what = format!("there is a budget for each {} already", terms.span.name());
                notes.error(&place, what, "keep the smaller one");
            }
            Some(terms) => read.push(terms),
        }
    }
    read.into()
}

const NAME_HELP: &str = "1 to 64 of a-z, 0-9 and -, such as `research`";

fn is_name(name: &str) -> bool {
    let sane = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=LEVEL_NAME_MAX).contains(&name.len()) && name.bytes().all(sane)
}

pub(super) fn check_name(table: &'static str, name: &str, notes: &mut Notes<'_>) {
    if !is_name(name) {
        notes.key_error(&[table.into()], name, "this name cannot be used", NAME_HELP);
    }
}

pub(super) fn check_count(table: &'static str, count: usize, notes: &mut Notes<'_>) {
    if count > LEVELS_MAX {
        notes.error(&[table.into()], format!("more than {LEVELS_MAX} of `{table}`"), "join some of them");
    }
}

/// A name that was meant, perhaps.
pub(crate) fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    words::nearest(name, known).map_or_else(String::new, |near| format!("did you mean `{near}`?"))
}
