//! `tollgate team` and `tollgate customer`: what stands above keys, as far as it is kept in the store.

use crate::base::error::{Error, Kind};
use crate::base::limits::LEVELS_MAX;
use crate::cli::bounds::{BoundFlags, Bounded, Field, Source, cell, entry_to_json, tell_the_gate, to_json};
use crate::cli::{Failure, output};
use crate::config::edit::{Checked, Editor};
use crate::config::file::{Config, Customer, Team};
use crate::config::objects::Stored as _;
use crate::config::{Compiled, Purpose};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Arguments of `team`.
#[derive(Debug, Args)]
pub struct TeamArgs {
    #[command(subcommand)]
    command: LevelCommand<TeamFlags>,
}

/// Arguments of `customer`.
#[derive(Debug, Args)]
pub struct CustomerArgs {
    #[command(subcommand)]
    command: LevelCommand<CustomerFlags>,
}

#[derive(Debug, Subcommand)]
enum LevelCommand<F: Args> {
    /// Make one in the store
    New {
        /// Its name: 1 to 64 of a-z, 0-9 and -
        name: String,
        #[command(flatten)]
        flags: F,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// List those of the configuration file and of the store
    List {
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one
    Show {
        /// Its name
        name: String,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Change one in the store: what is given takes the place of what was
    Set {
        /// Its name
        name: String,
        #[command(flatten)]
        flags: F,
        /// Take a field away, so that it bounds nothing
        #[arg(long, value_enum, value_name = "FIELD", num_args = 1..)]
        unset: Vec<Field>,
        /// Change it only if it still has this revision
        #[arg(long, value_name = "NUMBER")]
        revision: Option<i64>,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete one from the store that nothing belongs to any more
    Delete {
        /// Its name
        name: String,
        /// Delete it only if it still has this revision
        #[arg(long, value_name = "NUMBER")]
        revision: Option<i64>,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Debug, Default, Args)]
struct TeamFlags {
    #[command(flatten)]
    bounds: BoundFlags,
    /// The customer it belongs to: it may do no more than the customer may, and counts there too
    #[arg(long, value_name = "NAME")]
    customer: Option<String>,
}

#[derive(Clone, Debug, Default, Args)]
struct CustomerFlags {
    #[command(flatten)]
    bounds: BoundFlags,
}

/// A kind that these commands are about.
trait Level: Checked + Bounded {
    type Flags: Args;

    /// Those of the configuration file.
    fn all(config: &Config) -> &BTreeMap<String, Self>;
    /// Those of the store.
    fn stored(compiled: &Compiled) -> &BTreeMap<String, Self>;
    /// Sets what the flags say.
    fn apply(&mut self, flags: &Self::Flags);
    /// Its patterns of tools, its groups, what it belongs to, and its rates.
    fn cells(&self) -> [String; 4];
}

impl Level for Team {
    type Flags = TeamFlags;

    fn all(config: &Config) -> &BTreeMap<String, Self> {
        &config.teams
    }

    fn stored(compiled: &Compiled) -> &BTreeMap<String, Self> {
        &compiled.stored.teams
    }

    fn apply(&mut self, flags: &TeamFlags) {
        flags.bounds.apply(self);
        if flags.customer.is_some() {
            self.customer.clone_from(&flags.customer);
        }
    }

    fn cells(&self) -> [String; 4] {
        let above = self.customer.clone().unwrap_or_default();
        [cell(self.allow.as_ref()), self.groups.join(" "), above, self.rates.join(" ")]
    }
}

impl Level for Customer {
    type Flags = CustomerFlags;

    fn all(config: &Config) -> &BTreeMap<String, Self> {
        &config.customers
    }

    fn stored(compiled: &Compiled) -> &BTreeMap<String, Self> {
        &compiled.stored.customers
    }

    fn apply(&mut self, flags: &CustomerFlags) {
        flags.bounds.apply(self);
    }

    fn cells(&self) -> [String; 4] {
        [cell(self.allow.as_ref()), self.groups.join(" "), String::new(), self.rates.join(" ")]
    }
}

pub(crate) fn run_team(args: &TeamArgs, config: &Path) -> Result<(), Failure> {
    run::<Team>(&args.command, &Compiled::load(config, Purpose::Look)?)
}

pub(crate) fn run_customer(args: &CustomerArgs, config: &Path) -> Result<(), Failure> {
    run::<Customer>(&args.command, &Compiled::load(config, Purpose::Look)?)
}

fn run<T: Level>(command: &LevelCommand<T::Flags>, compiled: &Compiled) -> Result<(), Failure> {
    let editor = Editor::new(compiled);
    match command {
        LevelCommand::New { name, flags, json } => {
            let mut level = T::default();
            level.apply(flags);
            let made = editor.create(name, &level)?;
            done::<T>(compiled, name, "made", json.then(|| entry_to_json(&made)))
        }
        LevelCommand::List { json } => list::<T>(compiled, *json),
        LevelCommand::Show { name, json } => show::<T>(compiled, name, *json),
        LevelCommand::Set { name, flags, unset, revision, json } => {
            let changed = editor.change(name, *revision, |level: &mut T| {
                unset.iter().for_each(|field| field.unset(level));
                level.apply(flags);
            })?;
            done::<T>(compiled, name, "changed", json.then(|| entry_to_json(&changed)))
        }
        LevelCommand::Delete { name, revision, json } => {
            editor.delete::<T>(name, *revision)?;
            let line = serde_json::json!({"name": name, "deleted": true});
            done::<T>(compiled, name, "deleted", json.then_some(line))
        }
    }
}

fn done<T: Level>(compiled: &Compiled, name: &str, what: &str, json: Option<Value>) -> Result<(), Failure> {
    let told = tell_the_gate(&compiled.settings.state);
    match json {
        Some(line) => output::print_json(&line),
        None => {
            output::complain(&format!("{} {name} is {what}{told}\n", T::KIND));
            Ok(())
        }
    }
}

fn list<T: Level>(compiled: &Compiled, json: bool) -> Result<(), Failure> {
    let stored = Editor::new(compiled).list::<T>("", LEVELS_MAX)?;
    let written = T::all(&compiled.written);
    if json {
        let file = written.iter().map(|(name, level)| to_json(name, level, Source::File));
        return output::print_json(&file.chain(stored.iter().map(entry_to_json)).collect());
    }
    let mut rows = vec![["NAME", "SOURCE", "CUSTOMER", "RATES", "ALLOW", "GROUPS"].map(str::to_owned).to_vec()];
    let row = |name: &String, level: &T, source: Source| {
        let [allow, groups, above, rates] = level.cells();
        vec![output::tame(name), source.name().into(), above, rates, allow, output::tame(&groups)]
    };
    rows.extend(written.iter().map(|(name, level)| row(name, level, Source::File)));
    rows.extend(stored.iter().map(|entry| row(&entry.name, &entry.object, Source::Store(entry.revision))));
    if T::KIND == Customer::KIND {
        rows.iter_mut().for_each(|row| drop(row.remove(2)));
    }
    output::print(&output::table(&rows))
}

fn show<T: Level>(compiled: &Compiled, name: &str, json: bool) -> Result<(), Failure> {
    let stored = Editor::new(compiled).get::<T>(name)?;
    let (line, text) = match (&stored, T::all(&compiled.written).get(name)) {
        (Some(entry), _) => (entry_to_json(entry), toml::to_string(&entry.object)),
        (None, Some(level)) => (to_json(name, level, Source::File), toml::to_string(level)),
        (None, None) => {
            let known = T::all(&compiled.written).keys().chain(T::stored(compiled).keys());
            let near = crate::config::nearest(name, known.map(String::as_str));
            let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            let what = format!("no {} is called {:.64}{near}", T::KIND, output::tame(name));
            return Err(Error::new(Kind::NotFound, what).into());
        }
    };
    if json {
        return output::print_json(&line);
    }
    let text = text.map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    let source = line["source"].as_str().unwrap_or_default();
    output::print(&format!("# {} {name}, in the {source}\n{text}", T::KIND))
}
