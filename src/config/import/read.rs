//! Any of the shapes as one JSON value, and the server list in it.

use crate::config::words;
use serde_json::{Map, Value};

/// Where programs keep their lists, most telling first: Claude, Cursor, Gemini CLI and many more; VS Code; Codex; Zed;
/// VS Code's user settings; opencode.
const PLACES: [&[&str]; 6] =
    [&["mcpServers"], &["mcp_servers"], &["context_servers"], &["mcp", "servers"], &["servers"], &["mcp"]];

/// A file's text as JSON: it is JSON, JSON with comments and trailing commas, or TOML.
pub(super) fn value(text: &str) -> Result<Value, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with(['{', '/']) {
        let options = jsonc_parser::ParseOptions::default();
        let parsed = jsonc_parser::parse_to_serde_value::<Value>(text, &options);
        return parsed.map_err(|error| format!("is not JSON: {}", words::visible(&error.to_string())));
    }
    toml::from_str(text).map_err(|error| {
        let line =
            error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
        format!("is neither JSON nor TOML: line {line}: {}", words::visible(error.message()))
    })
}

/// The server list: an object of objects at one of the known places. Claude's own file holds one for each project too.
pub(super) fn servers(value: &Value) -> Option<Map<String, Value>> {
    let mut found: Option<Map<String, Value>> = PLACES.iter().find_map(|place| list_at(value, place));
    for project in value.get("projects").and_then(Value::as_object).into_iter().flat_map(Map::values) {
        for (name, entry) in list_at(project, &["mcpServers"]).into_iter().flatten() {
            found.get_or_insert_default().entry(name).or_insert(entry);
        }
    }
    found
}

fn list_at(value: &Value, place: &[&str]) -> Option<Map<String, Value>> {
    let list = place.iter().try_fold(value, |value, key| value.get(key))?.as_object()?;
    list.values().all(Value::is_object).then(|| list.clone())
}
