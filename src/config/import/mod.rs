//! Other programs' server lists turned into ours. Nothing is started, and no secret is copied.
//!
//! Every shape is first read as one JSON value (`read`), its entries found by the table they stand in, and each
//! entry converted on its own (`convert`), with a word on how well it fits.

mod convert;
mod read;
mod secrets;

use crate::base::error::{Error, Kind, Result};
use crate::config::compile::servers::nearest_name;
use crate::config::file::{Config, Server};
use crate::config::words;
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::path::Path;

/// How well an entry fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// It means here what it meant there.
    Exact,
    /// It works, and something about it differs.
    Approximate,
    /// It works once somebody has done what the notes say.
    NeedsYou,
    /// It cannot be done; nothing is written for it.
    Unsupported,
}

/// One entry of another program's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name there.
    pub source_name: String,
    /// Its name here.
    pub name: String,
    /// How well it fits: the worst of its notes.
    pub fit: Fit,
    /// What differs, and what is to be done. Never a secret.
    pub notes: Vec<String>,
    /// What it becomes; nothing where it is not supported.
    pub server: Option<Server>,
}

/// All entries of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The file, as named.
    pub file: String,
    /// Its entries, in the order of their names there.
    pub entries: Vec<Entry>,
}

impl Fit {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Approximate => "approximate",
            Self::NeedsYou => "needs you",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Reads one file's text. `taken` are the names already used here; the new ones are added.
///
/// # Errors
/// `Kind::Config` where it is no JSON or TOML, or holds no server list.
pub fn import(file: &Path, text: &str, taken: &mut BTreeSet<String>) -> Result<Import> {
    let shown = words::visible(&file.display().to_string());
    let wrong = |what: String| Error::new(Kind::Config, what).at(&shown);
    let value = read::value(text).map_err(wrong)?;
    let list = read::servers(&value).ok_or_else(|| {
        wrong("holds no server list: none of mcpServers, servers, mcp_servers, context_servers, mcp is there".into())
    })?;
    let entries = list.iter().map(|(name, entry)| one(name, entry, taken)).collect();
    Ok(Import { file: shown, entries })
}

fn one(source_name: &str, value: &serde_json::Value, taken: &mut BTreeSet<String>) -> Entry {
    let name = nearest_name(source_name);
    let mut draft = convert::convert(&name, value);
    if name != source_name {
        draft.note(Fit::Approximate, format!("called `{name}` here: names are a-z, 0-9 and -"));
    }
    if draft.server.is_some() && !taken.insert(name.clone()) {
        draft.note(Fit::Unsupported, format!("a server `{name}` is already there; rename one of them"));
    }
    let server = draft.server.filter(|_| draft.fit != Fit::Unsupported);
    Entry { source_name: source_name.into(), name, fit: draft.fit, notes: draft.notes, server }
}

impl Import {
    /// The TOML that would be added, each entry under what is to be known about it.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        for entry in &self.entries {
            let _ = writeln!(out, "# {}: {:?}: {}", self.file, entry.source_name, entry.fit);
            for note in &entry.notes {
                let _ = writeln!(out, "# - {note}");
            }
            if let Some(server) = &entry.server {
                out.push_str(&table(&entry.name, server));
            }
            out.push('\n');
        }
        out
    }
}

/// One server's table with what differs from the defaults.
fn table(name: &str, server: &Server) -> String {
    let mut config = Config::default();
    config.servers.insert(name.into(), server.clone());
    let whole = toml::Table::try_from(&config).unwrap_or_default();
    let defaults = toml::Table::try_from(Server::default()).unwrap_or_default();
    let mut servers = whole.get("servers").cloned().unwrap_or(toml::Value::Table(toml::Table::new()));
    if let Some(own) = servers.get_mut(name).and_then(toml::Value::as_table_mut) {
        own.retain(|field, value| defaults.get(field) != Some(value));
    }
    let only = toml::Table::from_iter([("servers".to_owned(), servers)]);
    toml::to_string(&only).unwrap_or_default()
}

#[cfg(test)]
mod tests;
