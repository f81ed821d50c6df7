//! `tollgate tools`: what the last good lists hold, and what a key sees of them.

use crate::base::clock::Clock;
use crate::base::error::{Error, Kind};
use crate::base::ids::{KeyId, ToolId};
use crate::catalog::{Catalog, Door, Grant, ListKind, View};
use crate::cli::known::{self, Known};
use crate::cli::{Failure, output};
use crate::config::{Snapshot, state};
use crate::policy::Credential;
use clap::Args;
use serde_json::{Value, json};
use std::path::Path;

/// Characters of a description that are shown in the table.
const DESCRIPTION_MAX: usize = 60;

/// Arguments of `tools`.
#[derive(Debug, Args)]
pub struct ToolsArgs {
    /// Only what this key sees: its public half, or `anonymous`
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Only what the key sees at the door of this group
    #[arg(long, value_name = "NAME", requires = "key")]
    group: Option<String>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ToolsArgs, config: &Path) -> Result<(), Failure> {
    let Known { lists, snapshot, .. } = &Known::load(config)?;
    let grant = args.key.as_ref().map(|id| grant_of(id, snapshot)).transpose()?;
    let grant = match (&args.group, grant) {
        (Some(group), Some(grant)) => {
            let missing = || Error::new(Kind::NotFound, format!("the key has no group {:.64}", output::tame(group)));
            Some(snapshot.grant(grant.behind(group).ok_or_else(missing)?))
        }
        (_, grant) => grant,
    };
    let shown: Vec<ToolId> = match grant {
        Some(grant) => grant.tools(&snapshot.catalog, Door::All).collect(),
        None => snapshot.catalog.behind(Door::All).collect(),
    };
    for warning in snapshot.catalog.warnings() {
        output::complain(&format!("tollgate: warning: {}\n", output::tame(&warning.to_string())));
    }
    if args.json {
        return output::print_json(&shown.iter().map(|id| as_json(*id, grant, snapshot)).collect());
    }
    if lists.is_empty() {
        output::complain("tollgate: no server has been listed yet; lists are kept when the gate has run\n");
    }
    let rows: Vec<_> = shown.iter().map(|id| as_row(*id, grant, snapshot)).collect();
    output::print(&output::table(&rows))?;
    tell_of_others(&snapshot.catalog, grant);
    Ok(())
}

/// How much there is beside tools, where there is anything.
fn tell_of_others(catalog: &Catalog, grant: Option<&Grant>) {
    let counts = [ListKind::Prompts, ListKind::Resources, ListKind::Templates, ListKind::Skills].map(|kind| {
        let view = grant.map(|grant| View::render(catalog, grant, Door::All, kind).len);
        (kind, view.unwrap_or_else(|| catalog.len(kind)))
    });
    if counts.iter().any(|(_, count)| *count > 0) {
        let words = counts.map(|(kind, count)| format!("{count} {}", kind.plural()));
        output::complain(&format!("beside them {}\n", words.join(", ")));
    }
}

fn grant_of<'a>(id: &str, snapshot: &'a Snapshot) -> Result<&'a Grant, Failure> {
    let unknown = || known::no_key(id);
    let key = KeyId::parse(id).ok_or_else(unknown)?;
    if key == KeyId::ANONYMOUS {
        let missing =
            |_| Error::new(Kind::NotFound, "requests without a key are refused: there is no [anonymous] table");
        let principal = snapshot.keys.authenticate(&Credential::None, Clock::wall()).map_err(missing)?;
        return Ok(snapshot.grant(principal.grant));
    }
    let entry = snapshot.keys.entries().iter().find(|entry| entry.key.id == key);
    Ok(snapshot.grant(entry.ok_or_else(unknown)?.grant))
}

fn as_row(id: ToolId, grant: Option<&Grant>, snapshot: &Snapshot) -> Vec<String> {
    let tool = snapshot.catalog.tool(id);
    let server = snapshot.catalog.server_name(tool.server);
    let withheld = snapshot
        .catalog
        .withheld(id)
        .map(|withheld| if withheld.is_quarantined { "(quarantined) " } else { "(held) " });
    let description = output::tame(&described(id, grant, snapshot));
    let description = format!("{}{description}", withheld.unwrap_or_default());
    let description: String = description.chars().take(DESCRIPTION_MAX).collect();
    vec![listed(id, grant, snapshot).to_owned(), format!("{server}/{}", output::tame(tool.name())), description]
}

fn as_json(id: ToolId, grant: Option<&Grant>, snapshot: &Snapshot) -> Value {
    let tool = snapshot.catalog.tool(id);
    json!({
        "name": listed(id, grant, snapshot),
        "server": snapshot.catalog.server_name(tool.server),
        "tool": tool.name(),
        "hash": state::hex(&tool.hash),
        "description": described(id, grant, snapshot),
        "withheld": snapshot.catalog.withheld(id).map(|withheld| &*withheld.why),
    })
}

/// Its name to whoever has this grant.
fn listed<'a>(id: ToolId, grant: Option<&'a Grant>, snapshot: &'a Snapshot) -> &'a str {
    let own = || snapshot.catalog.tool(id).exposed();
    grant.map_or_else(own, |grant| snapshot.catalog.listed_name(Door::All, id, grant))
}

/// What is said of it to whoever has this grant.
fn described(id: ToolId, grant: Option<&Grant>, snapshot: &Snapshot) -> String {
    let said = grant.and_then(|grant| grant.description(Door::All, id));
    said.map_or_else(|| description(snapshot.catalog.tool(id).definition()), str::to_owned)
}

/// The tool's description, or its title where it has none.
fn description(definition: &[u8]) -> String {
    let definition: Value = serde_json::from_slice(definition).unwrap_or_default();
    let text = |field| definition.get(field).and_then(Value::as_str);
    text("description").or_else(|| text("title")).unwrap_or("").to_owned()
}
