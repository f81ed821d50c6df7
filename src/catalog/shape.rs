//! What the official clients check before they accept a list: one entry that breaks a rule would cost them all others.

use super::canonical::Node;
use crate::base::limits::DEFINITION_MAX;
use bytes::Bytes;

/// A member, what must hold of it where it is there, and the rule in words.
pub(super) type Rule = (&'static str, fn(&Node) -> bool, &'static str);

/// The members that entries of all lists have in common.
pub(super) const COMMON: [Rule; 5] = [
    ("description", is_text, "a string"),
    ("title", is_text, "a string"),
    ("_meta", is_object, "an object"),
    ("icons", is_array, "an array"),
    ("annotations", is_object, "an object"),
];

/// A definition that is not too long, as a tree and without the space around it.
pub(super) fn read(definition: &Bytes) -> Result<(Node, Bytes), String> {
    if definition.len() > DEFINITION_MAX {
        return Err(format!("its definition is longer than {DEFINITION_MAX} bytes"));
    }
    let definition = definition.slice_ref(definition.trim_ascii());
    Ok((Node::parse(&definition)?, definition))
}

/// Holds a definition against rules.
pub(super) fn check(definition: &Node, rules: &[Rule]) -> Result<(), String> {
    for (key, holds, what) in rules {
        if definition.member(key).is_some_and(|member| !holds(member)) {
            return Err(format!("its {key} is not {what}"));
        }
    }
    Ok(())
}

/// A member that must be there and be text.
pub(super) fn text<'a>(definition: &'a Node, key: &str) -> Result<&'a str, String> {
    definition.member(key).and_then(Node::text).ok_or_else(|| format!("it has no {key}"))
}

/// A name by which clients ask for an entry: bounded, and free of control characters.
pub(super) fn name(definition: &Node, most: usize) -> Result<&str, String> {
    let name = text(definition, "name")?;
    if name.is_empty() || name.len() > most {
        return Err(format!("its name is empty or longer than {most} bytes"));
    }
    if name.chars().any(char::is_control) {
        return Err("its name holds control characters".into());
    }
    Ok(name)
}

/// A URI or template by which clients ask for an entry: bounded, and free of control characters.
pub(super) fn uri<'a>(definition: &'a Node, key: &str, most: usize) -> Result<&'a str, String> {
    let uri = text(definition, key)?;
    if uri.len() > most {
        return Err(format!("its {key} is longer than {most} bytes"));
    }
    if uri.chars().any(char::is_control) {
        return Err(format!("its {key} holds control characters"));
    }
    Ok(uri)
}

/// Whether text starts with a URI's scheme and something follows (RFC 3986 section 3.1): some clients take each URI of
/// a list apart.
pub(super) fn has_scheme(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let rest_is_there = !rest.is_empty();
    let sane = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
    rest_is_there && scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.chars().all(sane)
}

/// Annotations of resources: whom they are for, and how much they weigh.
pub(super) fn is_annotations(node: &Node) -> bool {
    let audience = |node: &Node| match node {
        Node::Array(items) => items.iter().all(|item| matches!(item.text(), Some("user" | "assistant"))),
        _ => false,
    };
    let priority = |node: &Node| matches!(node, Node::Number(weight) if (0.0..=1.0).contains(weight));
    node.members().is_some()
        && node.member("audience").is_none_or(audience)
        && node.member("priority").is_none_or(priority)
        && node.member("lastModified").is_none_or(is_text)
}

/// The arguments of a prompt: each an object with a name.
pub(super) fn is_arguments(node: &Node) -> bool {
    let Node::Array(items) = node else { return false };
    items.iter().all(|item| {
        item.member("name").is_some_and(is_text)
            && item.member("description").is_none_or(is_text)
            && item.member("title").is_none_or(is_text)
            && item.member("required").is_none_or(|required| matches!(required, Node::Bool(_)))
    })
}

pub(super) fn is_text(node: &Node) -> bool {
    node.text().is_some()
}

pub(super) fn is_object(node: &Node) -> bool {
    node.members().is_some()
}

pub(super) fn is_array(node: &Node) -> bool {
    matches!(node, Node::Array(_))
}

pub(super) fn is_number(node: &Node) -> bool {
    matches!(node, Node::Number(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_those_of_rfc_3986() {
        for good in ["file:///x", "ui://a", "git+ssh://h", "urn:x", "a:b"] {
            assert!(has_scheme(good), "{good}");
        }
        for bad in ["", "file", "file:", "/etc/passwd", "1a:b", "ä:b", "a_b:c", ":x"] {
            assert!(!has_scheme(bad), "{bad}");
        }
    }

    #[test]
    fn annotations_that_clients_refuse_are_found() {
        let holds = |json: &str| is_annotations(&Node::parse(json.as_bytes()).unwrap());
        assert!(holds(r#"{"audience":["user"],"priority":1,"lastModified":"2026-01-01T00:00:00Z","x":1}"#));
        for bad in [r#"{"audience":"user"}"#, r#"{"audience":["me"]}"#, r#"{"priority":2}"#, "[]"] {
            assert!(!holds(bad), "{bad}");
        }
    }
}
