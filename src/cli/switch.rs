//! The kill switch: `tollgate key revoke`, `tollgate tool off|on`, `tollgate server off|on`.
//!
//! A running gate is told over its admin socket, and the command ends once every shard has it. Where none runs, what is
//! off is written for the next start.

use crate::base::error::{Error, Kind};
use crate::base::ids::KeyId;
use crate::cli::client::{ask, segment};
use crate::cli::known::no_key;
use crate::cli::{Failure, output};
use crate::config::edit::Editor;
use crate::config::file::Key;
use crate::config::state::StateDir;
use crate::config::{Compiled, Purpose};
use crate::policy::Switch;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;
use std::path::Path;

/// Arguments of `tool`.
#[derive(Debug, Args)]
pub struct ToolArgs {
    #[command(subcommand)]
    command: ToolCommand,
}

#[derive(Debug, Subcommand)]
enum ToolCommand {
    /// Unlist a tool, refuse calls of it, and cancel those under way; on every shard at once
    Off(ToolName),
    /// Bring a tool back that was switched off
    On(ToolName),
}

#[derive(Debug, Args)]
struct ToolName {
    /// The tool: `server/tool`, by the name its server knows it by
    #[arg(value_name = "SERVER/TOOL")]
    tool: String,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `server`.
#[derive(Debug, Args)]
pub struct ServerArgs {
    #[command(subcommand)]
    command: ServerCommand,
}

#[derive(Debug, Subcommand)]
enum ServerCommand {
    /// Unlist a server, refuse calls of it, and cancel those under way; on every shard at once
    Off(ServerName),
    /// Bring a server back that was switched off
    On(ServerName),
}

#[derive(Debug, Args)]
struct ServerName {
    /// The server, by its name in the configuration
    name: String,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// What the running gate answers.
#[derive(Deserialize)]
pub(crate) struct Switched {
    pub(crate) changed: bool,
    shards: usize,
    took_us: u64,
}

pub(crate) fn run_tool(args: &ToolArgs, config: &Path) -> Result<(), Failure> {
    let (name, off) = match &args.command {
        ToolCommand::Off(name) => (name, true),
        ToolCommand::On(name) => (name, false),
    };
    let (server, tool) =
        name.tool.split_once('/').filter(|(server, tool)| !server.is_empty() && !tool.is_empty()).ok_or_else(|| {
            Error::new(Kind::InvalidParams, format!("{:.80}: write `server/tool`", output::tame(&name.tool)))
        })?;
    set(&Switch::Tool(server.into(), tool.into()), off, name.json, config)
}

pub(crate) fn run_server(args: &ServerArgs, config: &Path) -> Result<(), Failure> {
    let (name, off) = match &args.command {
        ServerCommand::Off(name) => (name, true),
        ServerCommand::On(name) => (name, false),
    };
    set(&Switch::Server(name.name.as_str().into()), off, name.json, config)
}

/// Switches something off, or on again, whatever else is wrong with the configuration file.
fn set(switch: &Switch, off: bool, json: bool, config: &Path) -> Result<(), Failure> {
    let done = order(switch, off, config)?;
    let changed = match &done {
        Some(done) => done.changed,
        None => {
            refuse_unknown(switch, off, config)?;
            state_dir(config)?.change_switches(|switches| switches.set(switch, off))?
        }
    };
    tell(switch, off, (changed, done), json)
}

/// Has the running gate switch something; nothing where none runs.
pub(crate) fn order(switch: &Switch, off: bool, config: &Path) -> Result<Option<Switched>, Failure> {
    let path = match switch {
        Switch::Key(id) => format!("/v1/keys/{id}/revoke"),
        Switch::Tool(server, tool) => format!("/v1/tools/{}/{}/{}", segment(server), segment(tool), word(off)),
        Switch::Server(server) => format!("/v1/servers/{}/{}", segment(server), word(off)),
    };
    Ok(ask::<Switched>(&state_dir(config)?, "POST", &path)?)
}

/// Revokes a key where no gate runs: in the store, or, where it stands in the configuration file, beside it. Says
/// whether that is news.
pub(crate) fn revoke_stored(id: &str, config: &Path) -> Result<bool, Failure> {
    let state = state_dir(config)?;
    let compiled = match Editor::without_file(&state).get::<Key>(id)? {
        Some(entry) => {
            Editor::without_file(&state).revoke(id)?;
            return Ok(!entry.object.revoked);
        }
        None => Compiled::load(config, Purpose::Look)?,
    };
    let key =
        KeyId::parse(id).filter(|_| compiled.written.keys.iter().any(|key| key.id == id)).ok_or_else(|| no_key(id))?;
    Ok(state.change_switches(|switches| switches.set(&Switch::Key(key), true))?)
}

/// Says what came of a switch.
pub(crate) fn tell(
    switch: &Switch,
    off: bool,
    (changed, done): (bool, Option<Switched>),
    json: bool,
) -> Result<(), Failure> {
    let what = match switch {
        Switch::Key(_) => "revoked",
        _ if off => "switched off",
        _ => "switched on",
    };
    if json {
        let took = done.as_ref().map(|done| done.took_us);
        let shards = done.map(|done| done.shards);
        let line = json!({"what": switch.to_string(), "done": what, "changed": changed, "running": shards.is_some(),
            "shards": shards, "took_us": took});
        return output::print_json(&line);
    }
    let already = if changed { "" } else { " already" };
    let end = match done {
        Some(Switched { shards, took_us, .. }) => {
            let ms = took_us / 1_000;
            format!("; all {shards} shards have it, {ms}.{:03} ms after the gate was told", took_us % 1_000)
        }
        None => "; no gate runs on this state directory now".into(),
    };
    output::complain(&format!("{} is{already} {what}{end}\n", output::tame(&switch.to_string())));
    Ok(())
}

fn word(off: bool) -> &'static str {
    if off { "off" } else { "on" }
}

/// A name written wrong would leave on what was to be off. Where a gate runs, it says so itself.
fn refuse_unknown(switch: &Switch, off: bool, config: &Path) -> Result<(), Failure> {
    let (Switch::Tool(server, _) | Switch::Server(server)) = switch else { return Ok(()) };
    if !off || Compiled::load(config, Purpose::Look)?.written.servers.contains_key(&**server) {
        return Ok(());
    }
    let what = format!("no server is called {:.40} in {}", output::tame(server), config.display());
    Err(Error::new(Kind::NotFound, what).into())
}

/// The state directory, also where other parts of the configuration are wrong.
pub(crate) fn state_dir(config: &Path) -> Result<StateDir, Failure> {
    match Compiled::state_dir(config) {
        Some(state) => Ok(state),
        None => Ok(Compiled::load(config, Purpose::Look)?.settings.state.clone()),
    }
}
