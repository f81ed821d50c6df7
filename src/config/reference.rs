//! The reference page `docs/configuration.md`, from the schema and therefore from the as-written types.

use crate::config::schema;
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// What stands above the tables.
const HEAD: &str = "\
# Configuration

Every field with its type, its default and its meaning. This page is made from the types that read the file
(`src/config/file.rs`); a test holds it to them. `config/tollgate.toml` shows the same as a file, `config/minimal.toml`
the least that works, and `config/tollgate.schema.json` is the JSON Schema (editors that know the first line of those
files complete and check while you type).

- The file is `/etc/tollgate/tollgate.toml`, else `./tollgate.toml`, else what `--config` names.
- Unknown keys are errors. `tollgate check` shows everything that is wrong at once and prints the configuration as the
  gate understands it, secrets covered. Exit code 78 means that the configuration is wrong.
- `SIGHUP` (`systemctl reload tollgate`) reads it again. A wrong file changes nothing. `listen.address`, `admin`,
  `runtime`, `state`, `journal`, and turning TLS on or off, wait for a restart; everything else applies at once.
- No environment variable overrides a field.

## References

Values of servers and paths may hold references. They are read when the gate starts or reloads, and never written or
printed.

| reference | stands for |
|---|---|
| `${env:NAME}` | a variable of the gate's environment; an error where it is not set |
| `${env:NAME:-default}` | the same, or the default where it is not set or empty |
| `${file:path}` | a file's content without its last newline, at most 64 KiB |
| `${credential:name}` | a file of systemd's credentials directory (`LoadCredential=name:/path` in the unit) |
| `$${` | a literal `${` |

Relative paths count from the directory of the configuration file.
";

/// The page.
pub fn page() -> String {
    let schema = schema::value();
    let mut out = HEAD.to_owned();
    section(&mut out, "Top level", "", &schema, &schema);
    for (name, field) in properties(&schema) {
        let table = target(field, &schema);
        let (title, below) =
            match (table.get("items"), table.get("additionalProperties").filter(|each| each.is_object())) {
                (Some(items), _) => (format!("[[{name}]]"), target(items, &schema)),
                (None, Some(each)) => (format!("[{name}.NAME]"), target(each, &schema)),
                (None, None) => (format!("[{name}]"), table),
            };
        section(&mut out, &format!("`{title}`"), name, below, &schema);
    }
    out
}

fn section(out: &mut String, title: &str, path: &str, table: &Value, root: &Value) {
    let _ =
        write!(out, "\n## {title}\n\n{}\n\n| field | type | default | meaning |\n|---|---|---|---|\n", words(table));
    rows(out, "", table, root, path.is_empty());
}

/// One row a field. Tables inside a table (`tls`) follow with their fields; the top level names its tables only.
fn rows(out: &mut String, prefix: &str, table: &Value, root: &Value, is_top: bool) {
    for (name, field) in properties(table) {
        let below = target(field, root);
        let (kind, default) = (kind(field, below), default(field));
        let _ = writeln!(out, "| `{prefix}{name}` | {kind} | {default} | {} |", words(field));
        if below.get("properties").is_some() && !is_top {
            rows(out, &format!("{prefix}{name}."), below, root, false);
        }
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn target<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    schema::target(schema, root)
}

/// The description on one line, fit for a table's cell.
fn words(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or("");
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn kind(field: &Value, below: &Value) -> String {
    let choices = below.get("oneOf").and_then(Value::as_array);
    if let Some(choices) = choices {
        let one = |choice: &Value| format!("`\"{}\"`", choice.get("const").and_then(Value::as_str).unwrap_or(""));
        return choices.iter().map(one).collect::<Vec<_>>().join(", ");
    }
    let name = match field.get("type").or_else(|| below.get("type")) {
        Some(Value::Array(several)) => several.first().and_then(Value::as_str).unwrap_or(""),
        Some(single) => single.as_str().unwrap_or(""),
        None => "",
    };
    match name {
        "string" => "text".into(),
        "boolean" => "true or false".into(),
        "array" if below.get("items").is_some_and(|items| items.get("$ref").is_some()) => "tables".into(),
        "array" => "list of text".into(),
        "object" if below.get("additionalProperties").is_some_and(|each| each.get("$ref").is_some()) => "tables".into(),
        "object" if below.get("additionalProperties").is_some_and(Value::is_object) => "table of text".into(),
        "object" => "table".into(),
        _ => number(field),
    }
}

fn number(field: &Value) -> String {
    let bound = |name| field.get(name).and_then(Value::as_u64);
    match (bound("minimum"), bound("maximum")) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        _ => "number".into(),
    }
}

fn default(field: &Value) -> String {
    match field.get("default") {
        None | Some(Value::Null | Value::Object(_)) => String::new(),
        Some(value) => format!("`{value}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_the_one_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        if std::env::var_os("TOLLGATE_WRITE_GOLDEN").is_some() {
            std::fs::write(path, page()).expect("page");
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == page(), "{path} is old; run this test with TOLLGATE_WRITE_GOLDEN=1");
    }

    #[test]
    fn every_row_says_its_type_and_meaning() {
        let page = page();
        let rows: Vec<&str> =
            page.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `$")).collect();
        assert!(rows.len() > 45, "only {} rows", rows.len());
        for row in rows {
            let cells: Vec<&str> = row.split(" | ").collect();
            assert_eq!(cells.len(), 4, "{row}");
            assert!(!cells[1].is_empty() && cells[3].len() > 10, "{row}");
        }
    }
}
