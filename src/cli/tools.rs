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
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ToolsArgs, config: &Path) -> Result<(), Failure> {
    let Known { lists, snapshot, .. } = &Known::load(config)?;
    let grant = args.key.as_ref().map(|id| grant_of(id, snapshot)).transpose()?;
    let shown: Vec<ToolId> = match grant {
        Some(grant) => grant.tools(&snapshot.catalog, Door::All).collect(),
        None => snapshot.catalog.behind(Door::All).collect(),
    };
    for warning in snapshot.catalog.warnings() {
        output::complain(&format!("tollgate: warning: {}\n", output::tame(&warning.to_string())));
    }
    if args.json {
        return output::print_json(&shown.iter().map(|id| as_json(*id, snapshot)).collect());
    }
    if lists.is_empty() {
        output::complain("tollgate: no server has been listed yet; lists are kept when the gate has run\n");
    }
    let rows: Vec<_> = shown.iter().map(|id| as_row(*id, snapshot)).collect();
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

fn as_row(id: ToolId, snapshot: &Snapshot) -> Vec<String> {
    let tool = snapshot.catalog.tool(id);
    let server = snapshot.catalog.server_name(tool.server);
    let withheld = snapshot
        .catalog
        .withheld(id)
        .map(|withheld| if withheld.is_quarantined { "(quarantined) " } else { "(held) " });
    let description = format!("{}{}", withheld.unwrap_or_default(), output::tame(&description(tool.definition())));
    let description: String = description.chars().take(DESCRIPTION_MAX).collect();
    vec![tool.exposed().to_owned(), format!("{server}/{}", output::tame(tool.name())), description]
}

fn as_json(id: ToolId, snapshot: &Snapshot) -> Value {
    let tool = snapshot.catalog.tool(id);
    json!({
        "name": tool.exposed(),
        "server": snapshot.catalog.server_name(tool.server),
        "tool": tool.name(),
        "hash": state::hex(&tool.hash),
        "description": description(tool.definition()),
        "withheld": snapshot.catalog.withheld(id).map(|withheld| &*withheld.why),
    })
}

/// The tool's description, or its title where it has none.
fn description(definition: &[u8]) -> String {
    let definition: Value = serde_json::from_slice(definition).unwrap_or_default();
    let text = |field| definition.get(field).and_then(Value::as_str);
    text("description").or_else(|| text("title")).unwrap_or("").to_owned()
}
