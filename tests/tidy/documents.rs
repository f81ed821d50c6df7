//! What must be written down: every metric, every configuration field, every direct dependency.

use crate::source::{Finding, root, tracked};
use std::fs;
use syn::visit::{self, Visit};

const METRIC_NAMES: &str = "src/telemetry/names.rs";
const METRIC_PAGE: &str = "docs/metrics.md";
const CONFIG_TYPES: &str = "src/config/file.rs";
const CONFIG_EXAMPLE: &str = "config/tollgate.toml";
const DEPENDENCY_PAGE: &str = "docs/decisions/0002-dependencies.md";

fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

fn is_metric(name: &str) -> bool {
    name.strip_prefix("tollgate_").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    })
}

/// Every metric of `names.rs` stands in the page about metrics.
pub(crate) fn check_metrics() -> Vec<Finding> {
    let Some(text) = read(METRIC_NAMES) else {
        return vec![Finding::new(METRIC_NAMES, 1, "missing: metric names stand in one file")];
    };
    let Some(page) = read(METRIC_PAGE) else {
        return vec![Finding::new(METRIC_PAGE, 1, "missing: every metric is described there")];
    };
    let source = crate::source::parse(METRIC_NAMES, text);
    let literals = source.tokens.iter().map(|token| (token.text.trim_matches('"'), token.line));
    let names: Vec<_> = literals.filter(|(name, line)| is_metric(name) && !source.is_test_line(*line)).collect();
    if names.is_empty() {
        return vec![Finding::new(METRIC_NAMES, 1, "no metric name found")];
    }
    let undocumented = names.into_iter().filter(|(name, _)| !page.contains(&format!("`{name}`")));
    undocumented
        .map(|(name, line)| Finding::new(METRIC_NAMES, line, format!("`{name}` is not in {METRIC_PAGE}")))
        .collect()
}

/// Named fields of every struct of the configuration's file types.
#[derive(Default)]
struct Fields(Vec<Field>);

struct Field {
    name: String,
    line: usize,
    is_described: bool,
}

impl<'a> Visit<'a> for Fields {
    fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
        if item.attrs.iter().any(is_deserialized) {
            visit::visit_item_struct(self, item);
        }
    }

    fn visit_field(&mut self, field: &'a syn::Field) {
        let Some(ident) = &field.ident else { return };
        if field.attrs.iter().any(|attribute| serde_words(attribute).iter().any(|word| word == "skip")) {
            return;
        }
        let renamed = field.attrs.iter().find_map(serde_rename);
        self.0.push(Field {
            name: renamed.unwrap_or_else(|| ident.to_string()),
            line: ident.span().start().line,
            is_described: field.attrs.iter().any(|attribute| attribute.path().is_ident("doc")),
        });
    }
}

fn is_deserialized(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    attribute.path().is_ident("derive") && list.tokens.to_string().contains("Deserialize")
}

fn serde_words(attribute: &syn::Attribute) -> Vec<String> {
    let syn::Meta::List(list) = &attribute.meta else { return Vec::new() };
    if !attribute.path().is_ident("serde") {
        return Vec::new();
    }
    list.tokens.clone().into_iter().map(|token| token.to_string()).collect()
}

fn serde_rename(attribute: &syn::Attribute) -> Option<String> {
    let words = serde_words(attribute);
    let at = words.iter().position(|word| word == "rename")?;
    words.get(at + 2).map(|literal| literal.trim_matches('"').to_owned())
}

/// Whether the example file has a line for this field: set, shown in a comment, or as a table.
fn is_shown(example: &str, name: &str) -> bool {
    example.lines().any(|line| {
        let line = line.trim_start_matches(['#', ' ']);
        let is_key = line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with(['=', '.']));
        let is_table = line.starts_with('[') && line.split(['[', ']', '.']).any(|part| part == name);
        let is_inline = line.contains('{') && line.split(['{', ',', ' ']).any(|part| part == name);
        is_key || is_table || is_inline
    })
}

/// Every configuration field is described and shown in the example file.
pub(crate) fn check_config_fields() -> Vec<Finding> {
    let types: Vec<String> =
        tracked().into_iter().filter(|name| name == CONFIG_TYPES || name.starts_with("src/config/file/")).collect();
    let Some(example) = read(CONFIG_EXAMPLE) else {
        return vec![Finding::new(CONFIG_EXAMPLE, 1, "missing: every field is shown there")];
    };
    let mut findings = Vec::new();
    let mut seen = 0;
    for path in types {
        let mut fields = Fields::default();
        fields.visit_file(&syn::parse_file(&read(&path).unwrap_or_default()).expect("the config types parse"));
        seen += fields.0.len();
        for field in fields.0 {
            let name = &field.name;
            if !field.is_described {
                findings.push(Finding::new(&path, field.line, format!("config field `{name}` has no description")));
            }
            if !is_shown(&example, name) {
                let what = format!("config field `{name}` has no line in {CONFIG_EXAMPLE}");
                findings.push(Finding::new(&path, field.line, what));
            }
        }
    }
    if seen == 0 {
        findings.push(Finding::new(CONFIG_TYPES, 1, "no config field found"));
    }
    findings
}

/// Every property of the committed schema has a description.
pub(crate) fn check_schema() -> Vec<Finding> {
    let schemas: Vec<String> = tracked()
        .into_iter()
        .filter(|name| name.ends_with("schema.json") && (name.starts_with("config/") || name.starts_with("docs/")))
        .collect();
    if schemas.is_empty() {
        return vec![Finding::new("config", 1, "no committed JSON Schema of the configuration")];
    }
    let mut findings = Vec::new();
    for path in schemas {
        let schema: serde_json::Value =
            serde_json::from_str(&read(&path).unwrap_or_default()).unwrap_or_else(|error| panic!("{path}: {error}"));
        walk_schema(&path, &schema, "", &mut findings);
    }
    findings
}

fn walk_schema(path: &str, value: &serde_json::Value, place: &str, findings: &mut Vec<Finding>) {
    match value {
        serde_json::Value::Object(object) => {
            if let Some(serde_json::Value::Object(properties)) = object.get("properties") {
                for (name, property) in properties {
                    if property.get("description").is_none() {
                        let what = format!("schema property `{place}/{name}` has no description");
                        findings.push(Finding::new(path, 1, what));
                    }
                }
            }
            for (key, inner) in object {
                walk_schema(path, inner, &format!("{place}/{key}"), findings);
            }
        }
        serde_json::Value::Array(items) => {
            items.iter().for_each(|inner| walk_schema(path, inner, place, findings));
        }
        _ => {}
    }
}

/// Every direct dependency has one line that says what it is for.
pub(crate) fn check_dependencies() -> Vec<Finding> {
    let manifest = read("Cargo.toml").expect("Cargo.toml is readable");
    let page = read(DEPENDENCY_PAGE).unwrap_or_default();
    let mut findings = Vec::new();
    let mut in_dependencies = false;
    for (at, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies]");
        } else if in_dependencies && let Some((name, _)) = line.split_once('=') {
            let name = name.trim();
            if !name.starts_with('#') && !page.contains(&format!("`{name}`")) {
                findings.push(Finding::new("Cargo.toml", at + 1, format!("`{name}` has no line in {DEPENDENCY_PAGE}")));
            }
        }
    }
    findings
}
