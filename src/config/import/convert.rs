//! One entry of another program's list as one of our servers.

use super::{Fit, secrets};
use crate::config::compile::servers::nearest_name;
use crate::config::file::Server;
use crate::upstream::spec::Target;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Fields that say nothing we need.
const SILENT: [&str; 12] = [
    "type",
    "transport",
    "name",
    "description",
    "title",
    "icon",
    "version",
    "gallery",
    "source",
    "id",
    "registryBaseUrl",
    "enabled",
];

/// An entry while it is converted.
#[derive(Debug)]
pub(super) struct Draft {
    name: String,
    pub(super) fit: Fit,
    pub(super) notes: Vec<String>,
    pub(super) server: Option<Server>,
}

impl Draft {
    /// Adds a note; the entry fits no better than its worst note.
    pub(super) fn note(&mut self, fit: Fit, text: String) {
        self.fit = self.fit.max(fit);
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if !text.is_empty() && !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// The name of a credential of this server.
    pub(super) fn credential(&self, what: &str) -> String {
        let what = nearest_name(what);
        let prefix = format!("{}-", self.name);
        if what.starts_with(&prefix) || what == self.name { what } else { format!("{prefix}{what}") }
    }
}

/// Converts one entry that will be called `name`.
pub(super) fn convert(name: &str, value: &Value) -> Draft {
    let mut draft = Draft { name: name.into(), fit: Fit::Exact, notes: Vec::new(), server: None };
    let Some(entry) = value.as_object() else {
        draft.note(Fit::Unsupported, "the entry is not a table".into());
        return draft;
    };
    let mut fields = Fields { entry, seen: SILENT.to_vec() };
    let server = match (fields.url(), fields.command()) {
        (Some(url), None) => remote(&url, &mut fields, &mut draft),
        (None, Some(command)) => local(&command, &mut fields, &mut draft),
        (Some(_), Some(_)) => return refuse(draft, "the entry has both a url and a command"),
        (None, None) => return refuse(draft, "the entry has neither a url nor a command"),
    };
    draft.server = Some(common(server, &mut fields, &mut draft));
    leftovers(&fields, &mut draft);
    draft
}

fn refuse(mut draft: Draft, why: &str) -> Draft {
    draft.note(Fit::Unsupported, why.into());
    draft
}

fn remote(url: &str, fields: &mut Fields<'_>, draft: &mut Draft) -> Server {
    let kind = fields.text("type").or_else(|| fields.text("transport")).unwrap_or_default().to_ascii_lowercase();
    if kind == "sse" || (kind.is_empty() && url.trim_end_matches('/').ends_with("/sse")) {
        let what = "HTTP+SSE of 2024-11-05 is not spoken here: give the server's Streamable HTTP url, often `/mcp`";
        draft.note(Fit::Unsupported, what.into());
    }
    let url = secrets::url(url, draft);
    if let Err(error) = Target::parse(&url.replace("${", "").replace('}', "")) {
        draft.note(Fit::Unsupported, error.context.into_owned());
    }
    Server { url: Some(url), headers: headers(fields, draft), ..Server::default() }
}

/// Headers: literal ones, Codex' `http_headers`, those taken from variables, and a bearer token from one.
fn headers(fields: &mut Fields<'_>, draft: &mut Draft) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for table in ["headers", "http_headers"] {
        for (name, value) in fields.strings(table) {
            let value = secrets::named(&name, &value, &format!("header `{name}`"), draft);
            out.insert(name, value);
        }
    }
    for (name, variable) in fields.strings("env_http_headers") {
        out.insert(name, format!("${{env:{variable}}}"));
    }
    if let Some(variable) = fields.text("bearer_token_env_var") {
        out.insert("Authorization".into(), format!("Bearer ${{env:{variable}}}"));
    }
    if fields.text("bearer_token").is_some() {
        let credential = draft.credential("token");
        let note = format!("`bearer_token` is a secret, not copied: put it into the credential `{credential}`");
        draft.note(Fit::NeedsYou, note);
        out.insert("Authorization".into(), format!("Bearer ${{credential:{credential}}}"));
    }
    out
}

fn local(command: &[String], fields: &mut Fields<'_>, draft: &mut Draft) -> Server {
    let (program, leading) =
        command.split_first().map_or((String::new(), Vec::new()), |(p, l)| (p.clone(), l.to_vec()));
    let written = [leading, fields.args()].concat();
    if written.iter().any(|arg| arg == "mcp-remote" || arg.starts_with("mcp-remote@")) {
        let url =
            written.iter().find(|arg| arg.contains("://")).map_or("…", |url| url.split('?').next().unwrap_or("…"));
        draft.note(Fit::NeedsYou, format!("mcp-remote only reaches another server: `url = \"{url}\"` does without it"));
    }
    let args = secrets::args(&written, draft);
    let mut env = BTreeMap::new();
    for table in ["env", "environment"] {
        for (name, value) in fields.strings(table) {
            let value = secrets::named(&name, &value, &format!("variable `{name}`"), draft);
            env.insert(name, value);
        }
    }
    for name in fields.list("env_vars") {
        let value = format!("${{env:{name}}}");
        env.insert(name, value);
    }
    draft.note(Fit::NeedsYou, "a command is imported disabled: set `enabled = true` to let the gate start it".into());
    let command = Some(secrets::references(&program, "the command", draft));
    let cwd = fields.text("cwd").map(|cwd| secrets::references(&cwd, "`cwd`", draft));
    Server { command, args, env, cwd, enabled: false, ..Server::default() }
}

/// What both kinds may say.
fn common(server: Server, fields: &mut Fields<'_>, draft: &mut Draft) -> Server {
    let off = fields.flag("disabled") == Some(true) || fields.flag("enabled") == Some(false);
    if off {
        draft.note(Fit::Exact, "disabled there, and so here".into());
    }
    let timeout = fields.seconds("tool_timeout_sec");
    if let Some(field) = ["timeout", "startup_timeout_sec", "startup_timeout_ms"].iter().find(|field| fields.has(field))
    {
        draft.note(Fit::Approximate, format!("`{field}` is left out: see `call_timeout_ms` and `probe_timeout_ms`"));
    }
    for field in ["enabled_tools", "includeTools", "disabled_tools", "excludeTools", "tools"] {
        if fields.has(field) {
            let what = format!("`{field}` is left out: what a client may use is said by its key's patterns");
            draft.note(Fit::Approximate, what);
        }
    }
    for field in ["envFile", "env_file", "headersHelper", "oauth", "auth", "authProviderType", "sandbox"] {
        if fields.has(field) {
            draft.note(Fit::NeedsYou, format!("`{field}` has no counterpart here: give what it stands for yourself"));
        }
    }
    Server { enabled: server.enabled && !off, call_timeout_ms: timeout.or(server.call_timeout_ms), ..server }
}

/// Fields nothing was made of.
fn leftovers(fields: &Fields<'_>, draft: &mut Draft) {
    let left: Vec<&str> = fields.entry.keys().map(String::as_str).filter(|key| !fields.seen.contains(key)).collect();
    if !left.is_empty() {
        let left: Vec<String> = left.iter().map(|key| format!("`{}`", crate::config::words::visible(key))).collect();
        draft.note(Fit::Approximate, format!("left out: {}", left.join(", ")));
    }
}

/// The fields of an entry, and which of them were looked at.
struct Fields<'a> {
    entry: &'a Map<String, Value>,
    seen: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn get(&mut self, field: &'static str) -> Option<&'a Value> {
        self.seen.push(field);
        self.entry.get(field)
    }

    fn has(&mut self, field: &'static str) -> bool {
        self.get(field).is_some()
    }

    fn text(&mut self, field: &'static str) -> Option<String> {
        self.get(field).and_then(Value::as_str).map(str::to_owned)
    }

    fn flag(&mut self, field: &'static str) -> Option<bool> {
        self.get(field).and_then(Value::as_bool)
    }

    /// Whole seconds as milliseconds.
    fn seconds(&mut self, field: &'static str) -> Option<u64> {
        let seconds = self.get(field)?.as_f64().filter(|seconds| (0.001..=900.0).contains(seconds))?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in 0.001 to 900")]
        Some((seconds * 1000.0) as u64)
    }

    /// A table of texts; numbers and booleans count as their text.
    fn strings(&mut self, field: &'static str) -> Vec<(String, String)> {
        let table = self.get(field).and_then(Value::as_object).into_iter().flatten();
        table.filter_map(|(name, value)| Some((name.clone(), scalar(value)?))).collect()
    }

    fn list(&mut self, field: &'static str) -> Vec<String> {
        self.get(field).map(texts).unwrap_or_default()
    }

    fn url(&mut self) -> Option<String> {
        ["url", "serverUrl", "httpUrl", "uri"].into_iter().find_map(|field| self.text(field))
    }

    /// The command with what stands in one list with it: a text, a list, or Zed's old table.
    fn command(&mut self) -> Option<Vec<String>> {
        let command = self.get("command").or_else(|| self.entry.get("cmd")).filter(|value| !value.is_null())?;
        match command {
            Value::String(program) => Some(vec![program.clone()]),
            Value::Array(_) => Some(texts(command)).filter(|parts| !parts.is_empty()),
            Value::Object(table) => {
                let program = table.get("path").and_then(Value::as_str)?.to_owned();
                Some([vec![program], table.get("args").map(texts).unwrap_or_default()].concat())
            }
            _ => None,
        }
    }

    fn args(&mut self) -> Vec<String> {
        self.seen.push("cmd");
        self.list("args")
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(scalar).collect()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}
