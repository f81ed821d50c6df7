//! `tollgate key`: virtual keys of the state directory.

use crate::base::clock::{Clock, WallTime};
use crate::base::error::{Error, Kind, Result};
use crate::catalog::{Pattern, Sort};
use crate::cli::{Failure, output};
use crate::config::file::Key;
use crate::config::state::StateDir;
use crate::config::{Compiled, Purpose};
use crate::policy::{Pepper, Rate, Token, VirtualKey};
use crate::rt::{random, signal};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// Longest name of a key, in characters.
const NAME_MAX: usize = 128;

/// Arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key and print it, once
    New(NewArgs),
    /// List the keys
    List {
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a key from now on
    Revoke {
        /// The key's public half: what stands between `tg_` and the next `_`
        id: String,
    },
}

#[derive(Debug, Args)]
struct NewArgs {
    /// What people call it
    name: String,
    /// Allowed tools: `server/tool`, `server/*`, `server/get_*`, `*/*`; without any it sees none
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    allow: Vec<String>,
    /// Allowed prompts: `server/prompt`, `server/*`, `*/*`; without any it sees none
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    prompt: Vec<String>,
    /// Allowed resources, by URI: `server/file:///docs/*`, `server/*`, `*/*`; without any it sees none
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    resource: Vec<String>,
    /// Its team, by the name in the configuration: it may do no more than the team may, and counts there too
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// Most calls in a time, such as `600/minute`; one for each of second, minute, hour and day
    #[arg(long, value_name = "RATE", num_args = 1..)]
    rate: Vec<String>,
    /// Most calls under way at once
    #[arg(long, value_name = "COUNT")]
    concurrency: Option<u32>,
    /// How long it lasts: `90d`, `12h`, `4w`, a day such as `2027-02-20`, or `never`
    #[arg(long, value_name = "TIME", default_value = "90d")]
    expires: String,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &KeyArgs, config: &Path) -> std::result::Result<(), Failure> {
    match &args.command {
        KeyCommand::New(args) => new(args, &Compiled::load(config, Purpose::Look)?),
        KeyCommand::List { json } => list(&Compiled::load(config, Purpose::Look)?, *json),
        KeyCommand::Revoke { id } => revoke(id, config),
    }
}

fn new(args: &NewArgs, compiled: &Compiled) -> std::result::Result<(), Failure> {
    let state = &compiled.settings.state;
    let expires = expiry(&args.expires, Clock::wall())?;
    check_new(args, compiled)?;
    let mut entropy = [0; Token::ENTROPY];
    random::fill(&mut entropy);
    let token = Token::from_entropy(&mut entropy);
    let mac = Pepper::new(&mut state.pepper()?).mac(&token.presented()).to_hex();
    let key = Key {
        id: token.id().to_string(),
        name: args.name.clone(),
        mac,
        allow: args.allow.clone(),
        prompts: args.prompt.clone(),
        resources: args.resource.clone(),
        team: args.team.clone(),
        rates: args.rate.clone(),
        concurrency_max: args.concurrency,
        expires: expires.map(output::timestamp),
        created: Some(output::timestamp(Clock::wall())),
        revoked: false,
    };
    state.change_keys(|keys| {
        keys.push(key.clone());
        Ok(())
    })?;
    let told = tell_the_gate(state);
    if args.json {
        let line = json!({"key": token.reveal(), "id": key.id, "name": key.name, "allow": key.allow,
            "prompts": key.prompts, "resources": key.resources, "team": key.team,
            "rates": key.rates, "concurrency_max": key.concurrency_max, "expires": key.expires, "mac": key.mac});
        return output::print_json(&line);
    }
    output::complain(&format!("key {} ({}) is made; it is shown this once{told}\n", key.id, output::tame(&key.name)));
    output::print(&format!("{}\n", token.reveal()))
}

/// What is wrong with a new key, before anything is made.
fn check_new(args: &NewArgs, compiled: &Compiled) -> Result<()> {
    let wrong = |what: String| Error::new(Kind::InvalidParams, what);
    if args.name.is_empty() || args.name.chars().count() > NAME_MAX || args.name.chars().any(char::is_control) {
        return Err(wrong(format!("the name must be 1 to {NAME_MAX} characters on one line")));
    }
    let given = [("--allow", &args.allow), ("--prompt", &args.prompt), ("--resource", &args.resource)];
    for (sort, (option, patterns)) in Sort::ALL.into_iter().zip(given) {
        patterns.iter().try_for_each(|text| check_pattern(sort, option, text, compiled))?;
    }
    if given.iter().all(|(_, patterns)| patterns.is_empty()) {
        output::complain("tollgate: warning: without --allow, --prompt or --resource the key sees nothing\n");
    }
    check_bounds(args, compiled)
}

/// What is wrong with the team and the limits of a new key.
fn check_bounds(args: &NewArgs, compiled: &Compiled) -> Result<()> {
    let wrong = |what: String| Error::new(Kind::InvalidParams, what);
    if let Some(team) = args.team.as_ref().filter(|team| !compiled.written.teams.contains_key(*team)) {
        let known = listed(compiled.written.teams.keys());
        return Err(wrong(format!("--team {:.64}: no team is called that; configured: {known}", output::tame(team))));
    }
    let mut periods = Vec::new();
    for text in &args.rate {
        let Some(rate) = Rate::parse(text) else {
            let what = "a number, `/`, and second, minute, hour or day, such as `600/minute`";
            return Err(wrong(format!("--rate {:.64}: write {what}", output::tame(text))));
        };
        if periods.contains(&rate.period) {
            return Err(wrong(format!("--rate {text}: there is a rate for each {} already", rate.period.name())));
        }
        periods.push(rate.period);
    }
    Ok(())
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "none yet".into() } else { names.join(", ") }
}

fn check_pattern(sort: Sort, option: &str, text: &str, compiled: &Compiled) -> Result<()> {
    let wrong = |what: String| Error::new(Kind::InvalidParams, what);
    let pattern = Pattern::parse_as(sort, text).map_err(|error| wrong(error.context.into_owned()))?;
    let unknown = pattern.server().filter(|name| !compiled.written.servers.contains_key(*name));
    let Some(name) = unknown else { return Ok(()) };
    let known = listed(compiled.written.servers.keys());
    Err(wrong(format!("{option} {text}: no server is called {name}; configured: {known}")))
}

fn list(compiled: &Compiled, json: bool) -> std::result::Result<(), Failure> {
    let now = Clock::wall();
    if json {
        let one = |key: &VirtualKey| {
            json!({"id": key.id.as_str(), "name": key.name, "state": word(key, now),
                "allow": patterns(key, Sort::Tools), "prompts": patterns(key, Sort::Prompts),
                "resources": patterns(key, Sort::Resources), "team": key.team.as_ref().map(|team| &team.name),
                "rates": rates(key), "concurrency_max": key.allowance.as_ref().and_then(|allowed| allowed.at_once),
                "expires": key.expires.map(output::timestamp)})
        };
        return output::print_json(&compiled.keys.iter().map(one).collect());
    }
    let head = ["ID", "NAME", "STATE", "EXPIRES", "TEAM", "RATES", "ALLOW", "PROMPTS", "RESOURCES"]
        .map(str::to_owned)
        .to_vec();
    let row = |key: &VirtualKey| {
        let expires = key.expires.map_or("never".into(), output::timestamp);
        let name = output::tame(&key.name);
        let [allow, prompts, resources] = Sort::ALL.map(|sort| output::tame(&patterns(key, sort).join(" ")));
        let team = key.team.as_ref().map_or_else(String::new, |team| team.name.to_string());
        let (state, rates) = (word(key, now).into(), rates(key).join(" "));
        vec![key.id.to_string(), name, state, expires, team, rates, allow, prompts, resources]
    };
    let rows: Vec<_> = std::iter::once(head).chain(compiled.keys.iter().map(row)).collect();
    output::print(&output::table(&rows))
}

fn patterns(key: &VirtualKey, sort: Sort) -> Vec<String> {
    key.rights.of(sort).iter().map(ToString::to_string).collect()
}

fn rates(key: &VirtualKey) -> Vec<String> {
    key.allowance.iter().flat_map(|allowed| allowed.rates.iter().map(ToString::to_string)).collect()
}

fn word(key: &VirtualKey, now: WallTime) -> &'static str {
    match key {
        key if key.revoked => "revoked",
        key if key.expires.is_some_and(|at| at <= now) => "expired",
        _ => "valid",
    }
}

/// Revokes a key, whatever else is wrong with the configuration file.
fn revoke(id: &str, config: &Path) -> std::result::Result<(), Failure> {
    let (state, in_config) = match Compiled::load(config, Purpose::Look) {
        Ok(compiled) => (compiled.settings.state.clone(), compiled.written.keys.iter().any(|key| key.id == id)),
        Err(report) => (Compiled::state_dir(config).ok_or(report)?, false),
    };
    let found = state.change_keys(|keys| {
        let key = keys.iter_mut().find(|key| key.id == id).ok_or_else(|| unknown(id, in_config, config))?;
        key.revoked = true;
        Ok(key.name.clone())
    })?;
    let told = tell_the_gate(&state);
    output::complain(&format!("key {id} ({}) is revoked{told}\n", output::tame(&found)));
    Ok(())
}

fn unknown(id: &str, in_config: bool, config: &Path) -> Error {
    let what = match in_config {
        true => format!("key {id} is in {}: set `revoked = true` there, then reload", config.display()),
        false => format!("no key has the id {:.40}; see `tollgate key list`", output::tame(id)),
    };
    Error::new(Kind::NotFound, what)
}

/// Has a running gate read its keys again; the end of a sentence about it.
fn tell_the_gate(state: &StateDir) -> String {
    let Some(pid) = state.running() else { return "; no gate runs on this state directory now".into() };
    match signal::hang_up(pid) {
        Ok(()) => format!("; the running gate (pid {pid}) reads its keys again"),
        Err(error) => format!("; the running gate (pid {pid}) could not be told ({error}): reload it"),
    }
}

/// When a key ends; nothing for `never`.
fn expiry(text: &str, now: WallTime) -> Result<Option<WallTime>> {
    if text == "never" {
        return Ok(None);
    }
    let at =
        duration(text).map(|span| WallTime(now.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))));
    let at = at.or_else(|| crate::config::time(text)).filter(|at| *at > now && at.0 < u64::from(u32::MAX) * 5_000);
    let wrong = || {
        let what =
            format!("--expires {:.40}: write `90d`, `12h`, `4w`, a coming day such as `2027-02-20`, or `never`", text);
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

    #[test]
    fn a_key_is_made_listed_and_revoked_also_when_the_file_is_wrong() {
        let dir = tempfile::tempdir().expect("dir");
        let config = dir.path().join("t.toml");
        let good = "state.directory = \"s\"\n[servers.a]\nurl = \"https://h\"\nheaders = { x = \"${env:NO_SUCH}\" }\n";
        std::fs::write(&config, good).expect("write");
        let args = |allow: &str| NewArgs {
            name: "n".into(),
            allow: vec![allow.into()],
            prompt: vec!["a/*".into()],
            resource: vec!["a/file:///x/*".into()],
            team: None,
            rate: vec!["5/minute".into()],
            concurrency: Some(2),
            expires: "90d".into(),
            json: true,
        };
        let compiled = || Compiled::load(&config, Purpose::Look).expect("a look needs no secrets");
        new(&args("a/*"), &compiled()).expect("made");
        assert!(new(&args("b/*"), &compiled()).is_err(), "no such server");
        let stray = NewArgs { resource: vec!["b/x:*".into()], ..args("a/*") };
        assert!(new(&stray, &compiled()).is_err(), "no such server");
        let teamless = NewArgs { team: Some("t".into()), ..args("a/*") };
        assert!(new(&teamless, &compiled()).is_err(), "no such team");
        for bad in [&["5/week"][..], &["5/minute", "6/minute"]] {
            let wrong = NewArgs { rate: bad.iter().map(|&text| text.into()).collect(), ..args("a/*") };
            assert!(new(&wrong, &compiled()).is_err(), "{bad:?}");
        }
        let keys = compiled().keys;
        assert_eq!((keys.len(), word(&keys[0], Clock::wall())), (1, "valid"));
        assert_eq!((rates(&keys[0]), keys[0].allowance.as_ref().unwrap().at_once), (vec!["5/minute".into()], Some(2)));
        assert_eq!(Sort::ALL.map(|sort| patterns(&keys[0], sort).join(" ")), ["a/*", "a/*", "a/file:///x/*"]);
        std::fs::write(&config, format!("x = 1\n{good}")).expect("write");
        revoke(keys[0].id.as_str(), &config).expect("revoked");
        assert!(revoke("nobody", &config).is_err());
        std::fs::write(&config, good).expect("write");
        assert_eq!(word(&compiled().keys[0], Clock::wall()), "revoked");
    }

    #[test]
    fn keys_end_when_said() {
        let now = WallTime(1_790_000_000_000);
        let at = |text| expiry(text, now).map(|at| at.map(output::timestamp)).map_err(|error| error.kind);
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
