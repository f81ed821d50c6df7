//! Numbers within their bounds. The bounds stand in the schema of the as-written types and nowhere else.

use crate::config::document::{Node, Value};
use crate::config::notes::Notes;
use crate::config::schema;
use serde_json::Value as Json;

/// Notes every number outside the range that its field's schema gives.
pub(crate) fn check(notes: &mut Notes<'_>) {
    let schema = schema::value();
    let document = notes.document;
    check_node(document.tree(), &schema, &schema, notes);
}

fn check_node(node: &Node, schema: &Json, root: &Json, notes: &mut Notes<'_>) {
    let schema = schema::target(schema, root);
    match &node.value {
        Value::Table(entries) => {
            for entry in entries {
                let named = schema.get("properties").and_then(|all| all.get(&entry.key));
                if let Some(below) = named.or_else(|| schema.get("additionalProperties")) {
                    check_node(&entry.node, below, root, notes);
                }
            }
        }
        Value::Array(nodes) => {
            if let Some(items) = schema.get("items") {
                nodes.iter().for_each(|node| check_node(node, items, root, notes));
            }
        }
        Value::Integer(number) => check_number(node, *number, schema, notes),
        Value::Text(_) | Value::Other => {}
    }
}

fn check_number(node: &Node, number: Option<i64>, schema: &Json, notes: &mut Notes<'_>) {
    let bound = |name: &str| schema.get(name).and_then(Json::as_i64);
    let (min, max) = (bound("minimum").unwrap_or(0), bound("maximum").unwrap_or(i64::MAX));
    if number.is_none_or(|number| number < min || number > max) && schema.get("type").is_some() {
        let help = if max == i64::MAX { format!("{min} or more") } else { format!("{min} to {max}") };
        notes.error_at(node.span.clone(), "the number is out of its range", format!("allowed: {help}"));
    }
}
