//! `tollgate key`: virtual keys, those of the store to be changed.

use crate::base::clock::{Clock, WallTime};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::KeyId;
use crate::base::limits::KEYS_MAX;
use crate::cli::bounds::{BoundFlags, Field, Source, tell_the_gate};
use crate::cli::known::no_key;
use crate::cli::{Failure, output, switch};
use crate::config::edit::{self, Editor, Entry};
use crate::config::file::Key;
use crate::config::state::StateDir;
use crate::config::{Compiled, Purpose, mask};
use crate::policy::Switch;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

/// Arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key and print it, once
    New(Box<NewArgs>),
    /// List the keys of the configuration file and of the store
    List {
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a key
    Show {
        /// The key's public half: what stands between `tg_` and the next `_`
        id: String,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a key in the store: what is given takes the place of what was
    Set(Box<SetArgs>),
    /// Refuse a key from now on and cancel its calls under way; on every shard at once
    Revoke {
        /// The key's public half: what stands between `tg_` and the next `_`
        id: String,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a key from the store
    Delete {
        /// The key's public half: what stands between `tg_` and the next `_`
        id: String,
        /// Delete it only if it still has this revision
        #[arg(long, value_name = "NUMBER")]
        revision: Option<i64>,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct NewArgs {
    /// What people call it
    name: String,
    #[command(flatten)]
    bounds: BoundFlags,
    /// Its team: it may do no more than the team may, and counts there too
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// How long it lasts: `90d`, `12h`, `4w`, a day such as `2027-02-20`, or `never`
    #[arg(long, value_name = "TIME", default_value = "90d")]
    expires: String,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// The key's public half: what stands between `tg_` and the next `_`
    id: String,
    /// What people call it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    bounds: BoundFlags,
    /// Its team: it may do no more than the team may, and counts there too
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// How long it lasts: `90d`, `12h`, `4w`, a day such as `2027-02-20`, or `never`
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Take a field away: patterns then allow nothing, and limits bound nothing
    #[arg(long, value_enum, value_name = "FIELD", num_args = 1..)]
    unset: Vec<Field>,
    /// Change it only if it still has this revision
    #[arg(long, value_name = "NUMBER")]
    revision: Option<i64>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &KeyArgs, config: &Path) -> std::result::Result<(), Failure> {
    match &args.command {
        KeyCommand::New(args) => new(args, &Compiled::load(config, Purpose::Look)?),
        KeyCommand::List { json } => list(&Compiled::load(config, Purpose::Look)?, *json),
        KeyCommand::Show { id, json } => show(id, &Compiled::load(config, Purpose::Look)?, *json),
        KeyCommand::Set(args) => set(args, &Compiled::load(config, Purpose::Look)?),
        KeyCommand::Revoke { id, json } => revoke(id, *json, config),
        KeyCommand::Delete { id, revision, json } => beside(config, |editor, state| {
            editor.delete::<Key>(id, *revision)?;
            let told = tell_the_gate(state);
            if *json {
                return output::print_json(&json!({"id": id, "deleted": true}));
            }
            output::complain(&format!("key {} is deleted{told}\n", output::tame(id)));
            Ok(())
        }),
    }
}

fn new(args: &NewArgs, compiled: &Compiled) -> std::result::Result<(), Failure> {
    let state = &compiled.settings.state;
    let expires = expiry("--expires", &args.expires, Clock::wall())?;
    let (token, mac) = edit::mint(state)?;
    let mut key = Key {
        id: token.id().to_string(),
        name: args.name.clone(),
        mac,
        team: args.team.clone(),
        expires: expires.map(output::timestamp),
        created: Some(output::timestamp(Clock::wall())),
        ..Key::default()
    };
    args.bounds.apply(&mut key);
    Editor::new(compiled).create(&key.id, &key)?;
    if args.bounds.grants_nothing() {
        output::complain("tollgate: warning: without --allow, --prompt, --resource or --group the key sees nothing\n");
    }
    let told = tell_the_gate(state);
    if args.json {
        let line = json!({"key": token.reveal(), "id": key.id, "name": key.name, "allow": key.allow,
            "prompts": key.prompts, "resources": key.resources, "groups": key.groups, "team": key.team,
            "rates": key.rates, "concurrency_max": key.concurrency_max, "budgets": key.budgets,
            "time_zone": key.time_zone, "expires": key.expires, "mac": key.mac});
        return output::print_json(&line);
    }
    output::complain(&format!("key {} ({}) is made; it is shown this once{told}\n", key.id, output::tame(&key.name)));
    output::print(&format!("{}\n", token.reveal()))
}

fn set(args: &SetArgs, compiled: &Compiled) -> std::result::Result<(), Failure> {
    let expires = args.expires.as_ref().map(|text| expiry("--expires", text, Clock::wall())).transpose()?;
    let changed = Editor::new(compiled).change(&args.id, args.revision, |key: &mut Key| {
        args.unset.iter().for_each(|field| field.unset(key));
        args.bounds.apply(key);
        if let Some(name) = &args.name {
            key.name.clone_from(name);
        }
        if args.team.is_some() {
            key.team.clone_from(&args.team);
        }
        if let Some(expires) = expires {
            key.expires = expires.map(output::timestamp);
        }
    })?;
    let told = tell_the_gate(&compiled.settings.state);
    if args.json {
        return output::print_json(&shown(&changed.object, word(&changed.object, compiled), source(&changed)));
    }
    output::complain(&format!("key {} ({}) is changed{told}\n", changed.name, output::tame(&changed.object.name)));
    Ok(())
}

/// Changes a key whatever else is wrong with the configuration file.
fn beside(
    config: &Path,
    change: impl FnOnce(&Editor<'_>, &StateDir) -> std::result::Result<(), Failure>,
) -> std::result::Result<(), Failure> {
    match Compiled::load(config, Purpose::Look) {
        Ok(compiled) => change(&Editor::new(&compiled), &compiled.settings.state),
        Err(report) => {
            let state = Compiled::state_dir(config).ok_or(report)?;
            change(&Editor::without_file(&state), &state)
        }
    }
}

/// Revokes a key, whatever else is wrong with the configuration file. A gate that runs does it itself, at once.
fn revoke(id: &str, json: bool, config: &Path) -> std::result::Result<(), Failure> {
    let key = Switch::Key(KeyId::parse(id).ok_or_else(|| no_key(id))?);
    let done = switch::order(&key, true, config)?;
    let changed = match &done {
        Some(done) => done.changed,
        None => switch::revoke_stored(id, config)?,
    };
    switch::tell(&key, true, (changed, done), json)
}

fn source<T>(entry: &Entry<T>) -> Source {
    Source::Store(entry.revision)
}

/// All keys with their places: those of the file in its order, then the stored ones, oldest first, then those that have
/// not moved into the store yet.
fn all(compiled: &Compiled) -> Result<Vec<(Key, Source)>> {
    let editor = Editor::new(compiled);
    let mut stored = editor.list::<Key>("", KEYS_MAX)?;
    let known: HashSet<String> = stored.iter().map(|entry| entry.name.clone()).collect();
    let earlier = editor.earlier_keys()?.into_iter().filter(|key| !known.contains(&key.id));
    stored.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    let own = compiled.written.keys.iter().map(|key| (key.clone(), Source::File));
    let stored = stored.into_iter().map(|entry| {
        let source = source(&entry);
        (Key { id: entry.name, ..entry.object }, source)
    });
    Ok(own.chain(stored).chain(earlier.map(|key| (key, Source::Earlier))).collect())
}

fn list(compiled: &Compiled, json: bool) -> std::result::Result<(), Failure> {
    let keys = all(compiled)?;
    let usable: HashSet<&str> = compiled.keys.iter().map(|key| key.id.as_str()).collect();
    let word = |key: &Key| if usable.contains(&*key.id) { standing(key, compiled) } else { "unusable" };
    if json {
        return output::print_json(&keys.iter().map(|(key, source)| shown(key, word(key), *source)).collect());
    }
    let head = ["ID", "NAME", "STATE", "SOURCE", "EXPIRES", "TEAM", "RATES", "ALLOW", "PROMPTS", "RESOURCES", "GROUPS"];
    let row = |(key, source): &(Key, Source)| {
        let expires = key.expires.clone().unwrap_or_else(|| "never".into());
        let [name, id, team] =
            [&key.name, &key.id, key.team.as_ref().unwrap_or(&String::new())].map(|text| output::tame(text));
        let lists = [&key.rates, &key.allow, &key.prompts, &key.resources, &key.groups];
        let lists = lists.map(|list| output::tame(&list.join(" ")));
        let mut row = vec![id, name, word(key).into(), source.name().into(), expires, team];
        row.extend(lists);
        row
    };
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned).to_vec()).chain(keys.iter().map(row)).collect();
    output::print(&output::table(&rows))
}

fn show(id: &str, compiled: &Compiled, json: bool) -> std::result::Result<(), Failure> {
    let (key, source) = all(compiled)?.into_iter().find(|(key, _)| key.id == id).ok_or_else(|| no_key(id))?;
    if json {
        return output::print_json(&shown(&key, word(&key, compiled), source));
    }
    let state = word(&key, compiled);
    let shown = Key { mac: mask::COVER.into(), ..key };
    let text = toml::to_string(&shown).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    output::print(&format!("# {state}, in the {}\n{text}", source.name()))
}

/// A key for a program to read; its hash stays where it is.
fn shown(key: &Key, state: &str, source: Source) -> Value {
    let mut line = json!({"id": key.id, "name": key.name, "state": state, "allow": key.allow, "prompts": key.prompts,
        "resources": key.resources, "groups": key.groups, "team": key.team, "rates": key.rates,
        "concurrency_max": key.concurrency_max, "budgets": key.budgets, "time_zone": key.time_zone,
        "expires": key.expires, "created": key.created,
        "source": source.name()});
    if let Source::Store(revision) = source {
        line["revision"] = revision.into();
    }
    line
}

/// How a key stands, also one that is left out because something is wrong with it.
fn word(key: &Key, compiled: &Compiled) -> &'static str {
    let is_usable = compiled.keys.iter().any(|usable| usable.id.as_str() == key.id);
    // One that was changed just now may be usable now.
    if is_usable || compiled.written.keys.iter().all(|own| own.id != key.id) {
        standing(key, compiled)
    } else {
        "unusable"
    }
}

fn standing(key: &Key, compiled: &Compiled) -> &'static str {
    let is_off = KeyId::parse(&key.id).is_some_and(|id| compiled.switches.keys.contains(&id));
    match key {
        key if key.revoked || is_off => "revoked",
        key if key
            .expires
            .as_ref()
            .and_then(|text| crate::config::time(text))
            .is_some_and(|at| at <= Clock::wall()) =>
        {
            "expired"
        }
        _ => "valid",
    }
}

/// When something ends, as a flag says it; nothing for `never`.
pub(crate) fn expiry(flag: &str, text: &str, now: WallTime) -> Result<Option<WallTime>> {
    if text == "never" {
        return Ok(None);
    }
    let at =
        duration(text).map(|span| WallTime(now.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))));
    let at = at.or_else(|| crate::config::time(text)).filter(|at| *at > now && at.0 < u64::from(u32::MAX) * 5_000);
    let wrong = || {
        let what =
            format!("{flag} {text:.40}: write `90d`, `12h`, `4w`, a coming day such as `2027-02-20`, or `never`");
        Error::new(Kind::InvalidParams, what)
    };
    at.map(Some).ok_or_else(wrong)
}

fn duration(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let sane = !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_digit());
    sane.then(|| digits.parse::<u64>().ok()).flatten().map(|count| Duration::from_secs(count * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_args(allow: &str) -> NewArgs {
        let some = |text: &str| Some(vec![text.to_owned()]);
        let bounds = BoundFlags {
            allow: some(allow),
            prompt: some("a/*"),
            resource: some("a/file:///x/*"),
            group: None,
            rate: some("5/minute"),
            concurrency: Some(2),
            budget: some("5/day"),
            time_zone: Some("Europe/Berlin".into()),
        };
        NewArgs { name: "n".into(), bounds, team: None, expires: "90d".into(), json: true }
    }

    fn set_args(id: &str) -> SetArgs {
        let (bounds, unset) = (BoundFlags::default(), Vec::new());
        SetArgs { id: id.into(), name: None, bounds, team: None, expires: None, unset, revision: None, json: false }
    }

    #[test]
    fn a_key_is_made_changed_listed_and_revoked_also_when_the_file_is_wrong() {
        let dir = tempfile::tempdir().expect("dir");
        let config = dir.path().join("t.toml");
        let good = "state.directory = \"s\"\n[servers.a]\nurl = \"https://h\"\nheaders = { x = \"${env:NO_SUCH}\" }\n";
        std::fs::write(&config, good).expect("write");
        let compiled = || Compiled::load(&config, Purpose::Look).expect("a look needs no secrets");
        new(&new_args("a/*"), &compiled()).expect("made");
        let wrong = |change: fn(&mut NewArgs)| {
            let mut args = new_args("a/*");
            change(&mut args);
            new(&args, &compiled()).map_err(|_| ()).expect_err("refused")
        };
        wrong(|args| args.bounds.allow = Some(vec!["b/*".into()]));
        wrong(|args| args.bounds.resource = Some(vec!["b/x:*".into()]));
        wrong(|args| args.team = Some("t".into()));
        wrong(|args| args.bounds.rate = Some(vec!["5/week".into()]));
        wrong(|args| args.bounds.rate = Some(vec!["5/minute".into(), "6/minute".into()]));
        wrong(|args| args.bounds.budget = Some(vec!["5".into()]));
        wrong(|args| args.bounds.budget = Some(vec!["5/day".into(), "6/day".into()]));
        wrong(|args| args.bounds.budget = None);
        wrong(|args| args.bounds.time_zone = Some("Mars".into()));
        wrong(|args| args.name = "two\nlines".into());
        let keys = all(&compiled()).expect("keys");
        let (key, Source::Store(1)) = &keys[0] else { panic!("{keys:?}") };
        assert_eq!((keys.len(), word(key, &compiled())), (1, "valid"));
        assert_eq!((key.rates.clone(), key.concurrency_max), (vec!["5/minute".into()], Some(2)));
        assert_eq!((key.budgets.join(" ").as_str(), key.time_zone.as_deref()), ("5/day", Some("Europe/Berlin")));
        assert_eq!(
            [&key.allow, &key.prompts, &key.resources].map(|list| list.join(" ")),
            ["a/*", "a/*", "a/file:///x/*"]
        );
        let args = SetArgs { name: Some("m".into()), unset: vec![Field::Rates, Field::Budgets], ..set_args(&key.id) };
        set(&args, &compiled()).expect("changed");
        assert!(set(&SetArgs { revision: Some(1), ..set_args(&key.id) }, &compiled()).is_err(), "it has revision 2");
        let changed = all(&compiled()).expect("keys").remove(0);
        assert_eq!((changed.0.name.as_str(), changed.0.rates.len(), changed.1), ("m", 0, Source::Store(2)));
        assert_eq!((changed.0.budgets.len(), changed.0.time_zone), (0, None));
        std::fs::write(&config, format!("x = 1\n{good}")).expect("write");
        revoke(&key.id, true, &config).expect("revoked");
        assert!(revoke("nobody", true, &config).is_err());
        std::fs::write(&config, good).expect("write");
        assert_eq!(word(&all(&compiled()).expect("keys")[0].0, &compiled()), "revoked");
    }

    #[test]
    fn keys_end_when_said() {
        let now = WallTime(1_790_000_000_000);
        let at = |text| expiry("--expires", text, now).map(|at| at.map(output::timestamp)).map_err(|error| error.kind);
        assert_eq!(output::timestamp(now), "2026-09-21T14:13:20Z");
        assert_eq!(at("never"), Ok(None));
        assert_eq!(at("90d"), Ok(Some("2026-12-20T14:13:20Z".into())));
        assert_eq!(at("2027-02-20"), Ok(Some("2027-02-20T00:00:00Z".into())));
        assert_eq!(at("30m"), Ok(Some("2026-09-21T14:43:20Z".into())));
        for bad in ["", "d", "0d", "-1d", "1y", "2020-01-01", "1e9d", "9999999d", "soon", "é"] {
            assert_eq!(at(bad), Err(Kind::InvalidParams), "{bad}");
        }
    }
}
