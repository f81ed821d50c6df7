//! The JSON Schema of the configuration, from its as-written types.

use crate::config::file::Config;
use serde_json::Value;

/// The schema as JSON (2020-12).
pub fn value() -> Value {
    schemars::schema_for!(Config).to_value()
}

/// The schema as it is committed in `config/tollgate.schema.json`.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&value()).unwrap_or_default();
    text.push('\n');
    text
}

/// What a schema refers to, also where it stands alone in an `allOf` or beside null in an `anyOf`.
pub(crate) fn target<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let inner = schema.get("anyOf").or_else(|| schema.get("allOf")).and_then(|list| list.get(0)).unwrap_or(schema);
    let name = inner.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
    name.and_then(|name| root.get("$defs")?.get(name)).unwrap_or(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schema_is_the_one_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/tollgate.schema.json");
        if std::env::var_os("TOLLGATE_WRITE_GOLDEN").is_some() {
            std::fs::write(path, text()).expect("schema");
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == text(), "config/tollgate.schema.json is old; run `tollgate schema > {path}`");
    }

    fn every_property_has_words(name: &str, schema: &Value) {
        for (field, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let words = schema.get("description").and_then(Value::as_str).unwrap_or("");
            assert!(words.len() > 10, "{name}.{field} has no description");
        }
    }

    #[test]
    fn every_field_is_described() {
        let schema = value();
        every_property_has_words("", &schema);
        for (name, schema) in schema["$defs"].as_object().expect("definitions") {
            every_property_has_words(name, schema);
        }
    }
}
