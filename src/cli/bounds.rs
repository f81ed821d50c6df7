//! What the commands about keys, teams and customers have in common: the flags of what each may do, and how they are
//! told of.

use crate::catalog::Sort;
use crate::cli::output;
use crate::config::edit::Entry;
use crate::config::file::{Customer, Key, Team};
use crate::config::state::StateDir;
use crate::rt::signal;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};

/// What one may do, as far as it is said.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct BoundFlags {
    /// Allowed tools: `server/tool`, `server/*`, `server/get_*`, `*/*`; without a pattern, none
    #[arg(long, value_name = "PATTERN", num_args = 0..)]
    pub(crate) allow: Option<Vec<String>>,
    /// Allowed prompts: `server/prompt`, `server/*`, `*/*`; without a pattern, none
    #[arg(long, value_name = "PATTERN", num_args = 0..)]
    pub(crate) prompt: Option<Vec<String>>,
    /// Allowed resources, by URI: `server/file:///docs/*`, `server/*`, `*/*`; without a pattern, none
    #[arg(long, value_name = "PATTERN", num_args = 0..)]
    pub(crate) resource: Option<Vec<String>>,
    /// Groups of tools, by their names in the configuration; without a name, none
    #[arg(long, value_name = "NAME", num_args = 0..)]
    pub(crate) group: Option<Vec<String>>,
    /// Most calls in a time, such as `600/minute`; one for each of second, minute, hour and day
    #[arg(long, value_name = "RATE", num_args = 1..)]
    pub(crate) rate: Option<Vec<String>>,
    /// Most calls under way at once
    #[arg(long, value_name = "COUNT")]
    pub(crate) concurrency: Option<u32>,
    /// Most money in a time, such as `5.00/day`; one for each of minute, hour, day, week, month and year
    #[arg(long, value_name = "BUDGET", num_args = 1..)]
    pub(crate) budget: Option<Vec<String>>,
    /// Time zone of its days and months, such as `Europe/Berlin`; UTC without it
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
}

/// A field that can be taken away again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Field {
    /// Allowed tools
    Allow,
    /// Allowed prompts
    Prompts,
    /// Allowed resources
    Resources,
    /// Groups of tools
    Groups,
    /// Rates
    Rates,
    /// Calls under way at once
    Concurrency,
    /// Budgets, and the time zone they are for
    Budgets,
    /// The time zone: UTC then
    TimeZone,
    /// The team, or the customer, it belongs to
    #[value(name = "team", alias = "customer")]
    Above,
}

/// One that has bounds: its lists of patterns by [`Sort`], and the rest.
pub(crate) trait Bounded {
    /// Sets the patterns of a sort, or takes them away.
    fn set_list(&mut self, sort: Sort, patterns: Option<Vec<String>>);
    /// Its groups.
    fn groups(&mut self) -> &mut Vec<String>;
    /// Its rates.
    fn rates(&mut self) -> &mut Vec<String>;
    /// Its calls under way at once.
    fn concurrency(&mut self) -> &mut Option<u32>;
    /// Its budgets, and their time zone.
    fn money(&mut self) -> (&mut Vec<String>, &mut Option<String>);
    /// What it belongs to, if it can belong to something.
    fn above(&mut self) -> Option<&mut Option<String>>;
}

impl BoundFlags {
    /// Sets what was said, and leaves the rest.
    pub(crate) fn apply(&self, to: &mut impl Bounded) {
        for (sort, said) in Sort::ALL.into_iter().zip([&self.allow, &self.prompt, &self.resource]) {
            if let Some(patterns) = said {
                to.set_list(sort, Some(patterns.clone()));
            }
        }
        if let Some(groups) = &self.group {
            to.groups().clone_from(groups);
        }
        if let Some(rates) = &self.rate {
            to.rates().clone_from(rates);
        }
        if self.concurrency.is_some() {
            *to.concurrency() = self.concurrency;
        }
        let (budgets, time_zone) = to.money();
        if let Some(said) = &self.budget {
            budgets.clone_from(said);
        }
        if self.time_zone.is_some() {
            time_zone.clone_from(&self.time_zone);
        }
    }

    /// Whether no pattern and no group was given.
    pub(crate) fn grants_nothing(&self) -> bool {
        let lists = [&self.allow, &self.prompt, &self.resource, &self.group];
        lists.into_iter().all(|list| list.as_ref().is_none_or(Vec::is_empty))
    }
}

impl Field {
    /// Takes the field away.
    pub(crate) fn unset(self, of: &mut impl Bounded) {
        match self {
            Self::Allow => of.set_list(Sort::Tools, None),
            Self::Prompts => of.set_list(Sort::Prompts, None),
            Self::Resources => of.set_list(Sort::Resources, None),
            Self::Groups => of.groups().clear(),
            Self::Rates => of.rates().clear(),
            Self::Concurrency => *of.concurrency() = None,
            Self::Budgets => {
                let (budgets, time_zone) = of.money();
                budgets.clear();
                *time_zone = None;
            }
            Self::TimeZone => *of.money().1 = None,
            Self::Above => {
                if let Some(above) = of.above() {
                    *above = None;
                }
            }
        }
    }
}

/// The two kinds whose lists may be absent, which is not the same as empty.
macro_rules! bounded_level {
    ($level:ty, $above:expr) => {
        impl Bounded for $level {
            fn set_list(&mut self, sort: Sort, patterns: Option<Vec<String>>) {
                match sort {
                    Sort::Tools => self.allow = patterns,
                    Sort::Prompts => self.prompts = patterns,
                    Sort::Resources => self.resources = patterns,
                }
            }

            fn groups(&mut self) -> &mut Vec<String> {
                &mut self.groups
            }

            fn rates(&mut self) -> &mut Vec<String> {
                &mut self.rates
            }

            fn concurrency(&mut self) -> &mut Option<u32> {
                &mut self.concurrency_max
            }

            fn money(&mut self) -> (&mut Vec<String>, &mut Option<String>) {
                (&mut self.budgets, &mut self.time_zone)
            }

            fn above(&mut self) -> Option<&mut Option<String>> {
                let above: fn(&mut Self) -> Option<&mut Option<String>> = $above;
                above(self)
            }
        }
    };
}

bounded_level!(Team, |team| Some(&mut team.customer));
bounded_level!(Customer, |_| None);

impl Bounded for Key {
    fn set_list(&mut self, sort: Sort, patterns: Option<Vec<String>>) {
        let list = match sort {
            Sort::Tools => &mut self.allow,
            Sort::Prompts => &mut self.prompts,
            Sort::Resources => &mut self.resources,
        };
        *list = patterns.unwrap_or_default();
    }

    fn groups(&mut self) -> &mut Vec<String> {
        &mut self.groups
    }

    fn rates(&mut self) -> &mut Vec<String> {
        &mut self.rates
    }

    fn concurrency(&mut self) -> &mut Option<u32> {
        &mut self.concurrency_max
    }

    fn money(&mut self) -> (&mut Vec<String>, &mut Option<String>) {
        (&mut self.budgets, &mut self.time_zone)
    }

    fn above(&mut self) -> Option<&mut Option<String>> {
        Some(&mut self.team)
    }
}

/// Where an object is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the configuration file.
    File,
    /// In the store, with this revision.
    Store(i64),
    /// In the keys file of an earlier version, until it moves into the store.
    Earlier,
}

impl Source {
    /// Its name in tables and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "config",
            Self::Store(_) => "store",
            Self::Earlier => "keys.toml",
        }
    }
}

/// An object with its name, its fields, and where it is kept.
pub(crate) fn to_json<T: Serialize>(name: &str, object: &T, source: Source) -> Value {
    let mut value = json!({"name": name});
    if let (Some(all), Ok(Value::Object(fields))) = (value.as_object_mut(), serde_json::to_value(object)) {
        all.extend(fields);
    }
    value["source"] = source.name().into();
    if let Source::Store(revision) = source {
        value["revision"] = revision.into();
    }
    value
}

/// As [`to_json`], of a stored one.
pub(crate) fn entry_to_json<T: Serialize>(entry: &Entry<T>) -> Value {
    to_json(&entry.name, &entry.object, Source::Store(entry.revision))
}

/// Has a running gate read what is stored again; the end of a sentence about it.
pub(crate) fn tell_the_gate(state: &StateDir) -> String {
    let Some(pid) = state.running() else { return "; no gate runs on this state directory now".into() };
    match signal::hang_up(pid) {
        Ok(()) => format!("; the running gate (pid {pid}) reads it again"),
        Err(error) => format!("; the running gate (pid {pid}) could not be told ({error}): reload it"),
    }
}

/// A list of patterns in a table: `-` where it bounds nothing.
pub(crate) fn cell(list: Option<&Vec<String>>) -> String {
    list.map_or("-".into(), |list| output::tame(&list.join(" ")))
}
