//! Every string of a definition, with its place.

use super::super::canonical::Node;

/// What a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The name of a tool or of a parameter.
    Name,
    /// Text that a model reads.
    Text,
    /// What is no prose: addresses, patterns, images.
    Data,
}

/// Calls `visit` with the JSON Pointer of every string, also of every member's name.
pub(super) fn strings(definition: &Node, visit: &mut dyn FnMut(&str, Role, &str)) {
    let mut place = String::new();
    below(definition, Role::Text, &mut place, visit);
}

fn below(node: &Node, role: Role, place: &mut String, visit: &mut dyn FnMut(&str, Role, &str)) {
    match node {
        Node::String(text) => visit(place, role, text),
        Node::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                step(&at.to_string(), place, |place| below(item, role, place, visit));
            }
        }
        Node::Object(members) => {
            let names_fields = place.ends_with("/properties") || place.ends_with("/patternProperties");
            for (key, value) in members {
                step(key, place, |place| {
                    visit(place, if names_fields { Role::Name } else { Role::Data }, key);
                    below(value, role_of(key, role, place, names_fields), place, visit);
                });
            }
        }
        Node::Null | Node::Bool(_) | Node::Number(_) => {}
    }
}

/// What the strings below a member are.
fn role_of(key: &str, outer: Role, place: &str, is_field: bool) -> Role {
    let is_top = place.rfind('/') == Some(0);
    match key {
        _ if is_field => Role::Text,
        "name" if is_top => Role::Name,
        "$schema" | "$id" | "$ref" | "$dynamicRef" | "pattern" | "format" | "type" | "src" | "mimeType"
        | "x-mcp-header" => Role::Data,
        _ => outer,
    }
}

fn step(key: &str, place: &mut String, then: impl FnOnce(&mut String)) {
    let len = place.len();
    place.push('/');
    place.push_str(&key.replace('~', "~0").replace('/', "~1"));
    then(place);
    place.truncate(len);
}
