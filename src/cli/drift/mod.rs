//! `tollgate drift`: tools whose definitions changed or are suspicious, what changed, and what is to come of them.

mod sides;

use crate::base::clock::Clock;
use crate::base::error::{Error, Kind};
use crate::base::hex::hex;
use crate::catalog::drift::{Cause, Judged, Origin, Standing};
use crate::catalog::names;
use crate::cli::bounds::tell_the_gate;
use crate::cli::known::Known;
use crate::cli::{Failure, output};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::Path;

/// Hex digits of a definition's hash that are shown.
const HASH_SHOWN: usize = 12;
/// Fewest of them that name a definition.
const HASH_MIN: usize = 8;

/// Arguments of `drift`.
#[derive(Debug, Args)]
pub struct DriftArgs {
    #[command(subcommand)]
    command: DriftCommand,
}

#[derive(Debug, Subcommand)]
enum DriftCommand {
    /// List the tools that changed or are suspicious, with what came of them
    List {
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the pinned definition of a tool beside the one its server lists now, and what is suspicious about it
    Diff {
        /// `server/tool`, or the name it is listed by
        tool: String,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Pin the definition that a server lists now, so that its tool is served
    Approve {
        /// `server/tool`, or the name it is listed by
        #[arg(required_unless_present = "server", requires = "hash")]
        tool: Option<String>,
        /// The definition's hash as `list` and `diff` show it: what is approved is what was looked at
        hash: Option<String>,
        /// All held tools of a server, but for those that are suspicious
        #[arg(long, value_name = "NAME", conflicts_with = "tool")]
        server: Option<String>,
    },
    /// Keep the definition that a server lists now from clients for good; another is judged anew
    Reject {
        /// `server/tool`, or the name it is listed by
        tool: String,
        /// The definition's hash as `list` and `diff` show it
        hash: String,
    },
}

pub(crate) fn run(args: &DriftArgs, config: &Path) -> Result<(), Failure> {
    let known = Known::load(config)?;
    match &args.command {
        DriftCommand::List { json } => list(&known, *json),
        DriftCommand::Diff { tool, json } => diff(&known, tool, *json),
        DriftCommand::Approve { tool: Some(tool), hash, .. } => {
            let (server, judged) = find(&known, tool, hash.as_deref().unwrap_or_default())?;
            settle(&known, server, &[judged], true)
        }
        DriftCommand::Approve { server, .. } => approve_all(&known, server.as_deref().unwrap_or_default()),
        DriftCommand::Reject { tool, hash } => {
            let (server, judged) = find(&known, tool, hash)?;
            settle(&known, server, &[judged], false)
        }
    }
}

/// Every tool with something to say of, with its server.
fn telling(known: &Known) -> impl Iterator<Item = (&str, &Judged)> {
    let all = known.judged.iter().flat_map(|(server, judged)| judged.0.iter().map(|tool| (&**server, tool)));
    all.filter(|(_, tool)| tool.standing >= Standing::Harmless || !tool.findings.is_empty())
}

fn list(known: &Known, json: bool) -> Result<(), Failure> {
    for (server, why) in known
        .compiled
        .servers
        .iter()
        .filter_map(|server| Some((&server.name, known.watch.pins(&server.name)?.fault()?)))
    {
        output::complain(&format!("tollgate: warning: the pins of server {server} cannot be read: {why}\n"));
    }
    if json {
        return output::print_json(&telling(known).map(|(server, tool)| as_json(server, tool)).collect());
    }
    let head = ["TOOL", "STANDING", "HASH", "WHY"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(telling(known).map(|(server, tool)| as_row(server, tool))).collect();
    if rows.len() == 1 {
        output::complain("every listed tool is as it was pinned\n");
        return Ok(());
    }
    output::print(&output::table(&rows))
}

fn as_row(server: &str, tool: &Judged) -> Vec<String> {
    let standing = match tool.standing.is_withheld() && !tool.is_withheld {
        true => format!("{} (served)", tool.standing.name()),
        false => tool.standing.name().to_owned(),
    };
    let mut why = vec![tool.to_string()];
    if !tool.standing.is_withheld() && !tool.findings.is_empty() {
        why.retain(|_| tool.standing == Standing::Harmless);
        why.extend(tool.findings.iter().map(ToString::to_string));
    }
    let why = why.join("; ");
    let name = format!("{server}/{}", output::tame(&tool.name));
    vec![name, standing, hex(&tool.hash)[..HASH_SHOWN].to_owned(), output::tame(&why)]
}

fn as_json(server: &str, tool: &Judged) -> Value {
    let findings = tool.findings.iter().map(|finding| {
        let (rule, blocks) = (finding.rule.name(), finding.rule.blocks());
        json!({"rule": rule, "blocks": blocks, "at": finding.at, "excerpt": finding.excerpt})
    });
    let change = tool.change.0.iter().map(|part| json!({"kind": part.kind.name(), "at": part.at}));
    json!({
        "server": server,
        "tool": tool.name,
        "standing": tool.standing.name(),
        "withheld": tool.is_withheld,
        "hash": hex(&tool.hash),
        "why": tool.to_string(),
        "change": change.collect::<Vec<_>>(),
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn diff(known: &Known, name: &str, json: bool) -> Result<(), Failure> {
    let (server, tool) = find(known, name, "")?;
    let pin = known.watch.pins(server).and_then(|pins| pins.pin(&tool.name));
    if json {
        let parse = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap_or_default();
        let mut out = as_json(server, tool);
        out["old"] = pin.map(|pin| parse(&pin.definition)).unwrap_or_default();
        out["new"] = parse(&tool.definition);
        return output::print_json(&out);
    }
    let (name, hash) = (format!("{server}/{}", output::tame(&tool.name)), hex(&tool.hash));
    let mut out = format!("{name} is {}: {}\n", tool.standing.name(), output::tame(&tool.to_string()));
    for finding in &tool.findings {
        let does = if finding.rule.blocks() { "blocks" } else { "flags" };
        out.push_str(&output::tame(&format!("{does}: {finding}")));
        out.push('\n');
    }
    let since = pin.map_or_else(
        || "nothing is pinned".into(),
        |pin| {
            let how = if pin.by == Origin::Approved { "approved" } else { "first seen" };
            format!("{how} {}", output::timestamp(pin.at))
        },
    );
    let old = pin.map_or(&b""[..], |pin| &pin.definition);
    out.push_str(&sides::beside((&since, old), ("listed now", &tool.definition)));
    if tool.standing.is_withheld() {
        let hash = &hash[..HASH_SHOWN];
        let called = format!("'{server}/{}' {hash}", tool.name.replace('\'', "'\\''"));
        out.push_str(&format!("\ntollgate drift approve {0}\ntollgate drift reject {0}\n", output::tame(&called)));
    }
    output::print(&out)
}

/// The tool of a name, and of a hash that begins so.
fn find<'a>(known: &'a Known, name: &str, hash: &str) -> Result<(&'a str, &'a Judged), Failure> {
    let is_it = |server: &str, tool: &str| {
        name.split_once('/').is_some_and(|(before, after)| before == server && after == tool)
            || *names::expose(server, tool) == *name
    };
    let all = known.judged.iter().flat_map(|(server, judged)| judged.0.iter().map(|tool| (&**server, tool)));
    let found = all.into_iter().find(|(server, tool)| is_it(server, &tool.name));
    let shown = output::tame(name);
    let missing = || Error::new(Kind::NotFound, format!("no server lists {shown:.80}; see `tollgate drift list`"));
    let (server, tool) = found.ok_or_else(missing)?;
    if !hash.is_empty() && (hash.len() < HASH_MIN || !hex(&tool.hash).starts_with(&hash.to_ascii_lowercase())) {
        let is = &hex(&tool.hash)[..HASH_SHOWN];
        let help = "look at it again with `tollgate drift diff`";
        return Err(
            Error::new(Kind::InvalidParams, format!("{shown:.80} is {is} now and not {hash:.64}; {help}")).into()
        );
    }
    Ok((server, tool))
}

fn approve_all(known: &Known, server: &str) -> Result<(), Failure> {
    let of_it = known.judged.iter().find(|(name, _)| **name == *server);
    let (name, judged) = of_it
        .ok_or_else(|| Error::new(Kind::NotFound, format!("no server {:.40} has been listed", output::tame(server))))?;
    // What somebody refused, what cannot be read and what is suspicious are each decided by name.
    let is_plain = |tool: &&Judged| {
        tool.standing == Standing::Held
            && matches!(tool.cause, Cause::Changed | Cause::FirstSight)
            && !tool.findings.iter().any(|finding| finding.rule.blocks())
    };
    let held: Vec<&Judged> = judged.0.iter().filter(is_plain).collect();
    settle(known, name, &held, true)
}

/// Writes what was decided, and has the gate read it.
fn settle(known: &Known, server: &str, tools: &[&Judged], is_approved: bool) -> Result<(), Failure> {
    let state = &known.compiled.settings.state;
    state.change_pins(server, |pins| {
        for tool in tools {
            match is_approved {
                true => pins.set(&tool.name, tool.pin(Origin::Approved, Clock::wall())),
                false => pins.refuse(&tool.name, tool.hash),
            }
        }
        Ok(())
    })?;
    let word = if is_approved { "approved" } else { "rejected" };
    let names: Vec<String> = tools.iter().map(|tool| format!("{server}/{}", output::tame(&tool.name))).collect();
    let what = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    output::complain(&format!("{word}: {what}{}\n", tell_the_gate(state)));
    Ok(())
}

#[cfg(test)]
mod tests;
