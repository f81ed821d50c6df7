//! The difference of two definitions of one tool, part by part. What is not known to be harmless is not.

use super::super::canonical::Node;
use super::typo::is_typo;
use crate::base::limits::DIFFERENCES_MAX;
use std::fmt;

/// What a part of a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// A description or title was spelt anew.
    Typo,
    /// A field that need not be given was added to what the tool takes.
    OptionalField,
    /// A field was added to what the tool answers.
    OutputField,
    /// The same names and values stand in another order.
    Order,
    /// A description or title says something else.
    Text,
    /// A field must be given now.
    RequiredField,
    /// A field has gone, or need not be given any more.
    FieldGone,
    /// A value may be more, or other, than before.
    Widened,
    /// A value may be less than before.
    Narrowed,
    /// A hint about what the tool does.
    Hint,
    /// Another part of a schema.
    Schema,
    /// Anything else.
    Other,
}

impl ChangeKind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Typo,
        Self::OptionalField,
        Self::OutputField,
        Self::Order,
        Self::Text,
        Self::RequiredField,
        Self::FieldGone,
        Self::Widened,
        Self::Narrowed,
        Self::Hint,
        Self::Schema,
        Self::Other,
    ];

    /// Its name in records and answers.
    pub fn name(self) -> &'static str {
        [
            "typo",
            "optional_field",
            "output_field",
            "order",
            "text",
            "required_field",
            "field_gone",
            "widened",
            "narrowed",
            "hint",
            "schema",
            "other",
        ][self as usize]
    }
}

/// One part of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub kind: ChangeKind,
    /// Where, as a JSON Pointer (RFC 6901).
    pub at: Box<str>,
}

/// All that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change(pub Vec<Difference>);

impl Change {
    /// Whether every part of it is of a kind that is taken.
    pub(super) fn is_of(&self, takes: impl Fn(ChangeKind) -> bool) -> bool {
        self.0.len() < DIFFERENCES_MAX && self.0.iter().all(|part| takes(part.kind))
    }

    fn add(&mut self, kind: ChangeKind, at: &str) {
        if self.0.len() < DIFFERENCES_MAX {
            self.0.push(Difference { kind, at: at.into() });
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{} at {}", part.kind.name(), part.at)?;
        }
        Ok(())
    }
}

/// What changed from one definition to another.
pub(super) fn classify(old: &Node, new: &Node) -> Change {
    let mut change = Change::default();
    for (key, before, after) in pairs(old, new) {
        let at = format!("/{}", escape(key));
        match key {
            "description" | "title" => text(&at, before, after, &mut change),
            "inputSchema" => Side { field: ChangeKind::OptionalField }.schema(&at, before, after, &mut change),
            "outputSchema" => Side { field: ChangeKind::OutputField }.schema(&at, before, after, &mut change),
            "annotations" => annotations(&at, before, after, &mut change),
            _ => change.add(ChangeKind::Other, &at),
        }
    }
    change
}

/// The members in which two objects differ.
fn pairs<'a>(old: &'a Node, new: &'a Node) -> Vec<(&'a str, Option<&'a Node>, Option<&'a Node>)> {
    let (before, after) = (old.members().unwrap_or_default(), new.members().unwrap_or_default());
    let mut keys: Vec<&str> = before.iter().chain(after).map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    keys.dedup();
    let both = keys.into_iter().map(|key| (key, old.member(key), new.member(key)));
    both.filter(|(_, before, after)| before != after).collect()
}

fn text(at: &str, before: Option<&Node>, after: Option<&Node>, change: &mut Change) {
    let words = |node: Option<&Node>| node.and_then(Node::text).map(str::to_owned);
    let is_small = matches!((words(before), words(after)), (Some(old), Some(new)) if is_typo(&old, &new));
    change.add(if is_small { ChangeKind::Typo } else { ChangeKind::Text }, at);
}

fn annotations(at: &str, before: Option<&Node>, after: Option<&Node>, change: &mut Change) {
    let nothing = Node::Object(Vec::new());
    for (key, before, after) in pairs(before.unwrap_or(&nothing), after.unwrap_or(&nothing)) {
        let at = format!("{at}/{}", escape(key));
        match key {
            "title" => text(&at, before, after, change),
            _ => change.add(ChangeKind::Hint, &at),
        }
    }
}

/// What a tool takes, or what it answers.
#[derive(Clone, Copy)]
struct Side {
    /// What one more field is.
    field: ChangeKind,
}

impl Side {
    fn schema(self, at: &str, before: Option<&Node>, after: Option<&Node>, change: &mut Change) {
        let (Some(before), Some(after)) = (before, after) else { return change.add(ChangeKind::Schema, at) };
        if before.members().is_none() || after.members().is_none() {
            return change.add(ChangeKind::Schema, at);
        }
        let added = added_fields(before, after);
        for (key, old, new) in pairs(before, after) {
            let at = format!("{at}/{}", escape(key));
            match (key, old, new) {
                ("description" | "title", ..) => text(&at, old, new, change),
                ("properties", Some(old), Some(new)) => self.fields(&at, old, new, after, change),
                ("properties", None, Some(new)) => self.fields(&at, &Node::Object(Vec::new()), new, after, change),
                ("$defs" | "definitions", Some(old), Some(new)) => self.definitions(&at, old, new, change),
                ("items" | "additionalProperties", ..) => self.schema(&at, old, new, change),
                ("required", ..) => required(&at, (old, new), &added, change),
                ("type" | "enum", Some(old), Some(new)) => values(&at, old, new, change),
                ("anyOf" | "oneOf" | "allOf" | "prefixItems", Some(Node::Array(old)), Some(Node::Array(new)))
                    if old.len() == new.len() =>
                {
                    for (place, (old, new)) in old.iter().zip(new).enumerate().filter(|(_, (old, new))| old != new) {
                        self.schema(&format!("{at}/{place}"), Some(old), Some(new), change);
                    }
                }
                ("maximum" | "maxLength" | "maxItems" | "minimum" | "minLength" | "minItems", ..) => {
                    bound(key, &at, old, new, change);
                }
                ("enum" | "const" | "pattern" | "format", _, None) => change.add(ChangeKind::Widened, &at),
                _ => change.add(ChangeKind::Schema, &at),
            }
        }
    }

    fn fields(self, at: &str, before: &Node, after: &Node, schema: &Node, change: &mut Change) {
        for (name, old, new) in pairs(before, after) {
            let at = format!("{at}/{}", escape(name));
            match (old, new) {
                (None, Some(new)) => {
                    let kind = if is_required(schema, name) {
                        ChangeKind::RequiredField
                    } else if new.member("x-mcp-header").is_some() || new.members().is_none() {
                        ChangeKind::Schema
                    } else {
                        self.field
                    };
                    change.add(kind, &at);
                }
                (_, None) => change.add(ChangeKind::FieldGone, &at),
                (old, new) => self.schema(&at, old, new, change),
            }
        }
    }

    fn definitions(self, at: &str, before: &Node, after: &Node, change: &mut Change) {
        for (name, old, new) in pairs(before, after) {
            self.schema(&format!("{at}/{}", escape(name)), old, new, change);
        }
    }
}

/// Names of fields that came.
fn added_fields<'a>(before: &Node, after: &'a Node) -> Vec<&'a str> {
    let had = |name: &str| before.member("properties").is_some_and(|fields| fields.member(name).is_some());
    let now = after.member("properties").and_then(Node::members).unwrap_or_default();
    now.iter().map(|(name, _)| &**name).filter(|name| !had(name)).collect()
}

fn is_required(schema: &Node, name: &str) -> bool {
    items(schema.member("required")).iter().any(|item| item.text() == Some(name))
}

fn items(node: Option<&Node>) -> &[Node] {
    match node {
        Some(Node::Array(items)) => items,
        _ => &[],
    }
}

/// Fields that must be given. One that is new was told of with its field.
fn required(at: &str, (old, new): (Option<&Node>, Option<&Node>), added: &[&str], change: &mut Change) {
    if new.is_some_and(|new| !matches!(new, Node::Array(_))) {
        return change.add(ChangeKind::Schema, at);
    }
    let (old, new) = (items(old), items(new));
    let came = new.iter().filter(|item| !old.contains(item)).collect::<Vec<_>>();
    if came.iter().any(|item| !item.text().is_some_and(|name| added.contains(&name))) {
        change.add(ChangeKind::RequiredField, at);
    }
    if old.iter().any(|item| !new.contains(item)) {
        change.add(ChangeKind::FieldGone, at);
    } else if came.is_empty() {
        change.add(ChangeKind::Order, at);
    }
}

/// A set of values or types: more of them, fewer, or others.
fn values(at: &str, old: &Node, new: &Node, change: &mut Change) {
    let all = |node: &Node| match node {
        Node::Array(items) => items.clone(),
        other => vec![other.clone()],
    };
    let (old, new) = (all(old), all(new));
    let grew = new.iter().any(|item| !old.contains(item));
    let shrank = old.iter().any(|item| !new.contains(item));
    let kind = match (grew, shrank) {
        (false, false) => ChangeKind::Order,
        (true, _) => ChangeKind::Widened,
        (false, true) => ChangeKind::Narrowed,
    };
    change.add(kind, at);
}

fn bound(key: &str, at: &str, old: Option<&Node>, new: Option<&Node>, change: &mut Change) {
    let number = |node: Option<&Node>| match node {
        Some(Node::Number(value)) => Some(*value),
        _ => None,
    };
    let is_wider = match (number(old), number(new)) {
        (Some(old), Some(new)) if key.starts_with("max") => new > old,
        (Some(old), Some(new)) => new < old,
        (None, Some(_)) => false,
        _ => true,
    };
    change.add(if is_wider { ChangeKind::Widened } else { ChangeKind::Narrowed }, at);
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = r#"{"name":"t","description":"Lists the repositories of somebody",
        "annotations":{"readOnlyHint":true},
        "inputSchema":{"type":"object","properties":{
        "q":{"type":"string","description":"What to look for","maxLength":9},"kind":{"enum":["a","b"]}},
        "required":["q"]},
        "outputSchema":{"type":"object","properties":{"n":{"type":"number"}}}}"#;

    fn kinds(from: &str, to: &str) -> Vec<&'static str> {
        assert!(BASE.contains(from), "{from}");
        let new = BASE.replacen(from, to, 1);
        let parse = |text: &str| Node::parse(text.as_bytes()).unwrap();
        classify(&parse(BASE), &parse(&new)).0.iter().map(|part| part.kind.name()).collect()
    }

    #[test]
    fn each_change_has_its_kind() {
        for (from, to, expected) in [
            ("repositories of", "repositorys of", &["text"][..]),
            ("repositories of", "repositoriess of", &["typo"]),
            ("What to look for", "What to look  for.", &["typo"]),
            ("What to look for", "Whom to look for", &["text"]),
            (r#""description":"What to look for","#, "", &["text"]),
            (r#""kind":{"#, r#""more":{"type":"string"},"kind":{"#, &["optional_field"]),
            (r#""kind":{"#, r#""more":true,"kind":{"#, &["schema"]),
            (r#""kind":{"#, r#""more":{"type":"string","x-mcp-header":"R"},"kind":{"#, &["schema"]),
            (r#""required":["q"]"#, r#""required":["q","kind"]"#, &["required_field"]),
            (r#""required":["q"]"#, r#""required":[]"#, &["field_gone"]),
            (r#","kind":{"enum":["a","b"]}"#, "", &["field_gone"]),
            (r#"{"type":"string""#, r#"{"type":["string","null"]"#, &["widened"]),
            (r#"["a","b"]"#, r#"["a","b","c"]"#, &["widened"]),
            (r#"["a","b"]"#, r#"["b","a"]"#, &["order"]),
            (r#"["a","b"]"#, r#"["b"]"#, &["narrowed"]),
            (r#"{"enum":["a","b"]}"#, "{}", &["widened"]),
            (r#""maxLength":9"#, r#""maxLength":10"#, &["widened"]),
            (r#""maxLength":9"#, r#""maxLength":8"#, &["narrowed"]),
            (r#","maxLength":9"#, "", &["widened"]),
            (r#""readOnlyHint":true"#, r#""readOnlyHint":false"#, &["hint"]),
            (r#""readOnlyHint":true"#, r#""readOnlyHint":true,"destructiveHint":true"#, &["hint"]),
            (r#"{"n":{"#, r#"{"m":{},"n":{"#, &["output_field"]),
            (r#"{"name":"t","#, r#"{"name":"t","_meta":{},"#, &["other"]),
            (r#""inputSchema":{"#, r#""inputSchema":{"default":{},"#, &["schema"]),
        ] {
            assert_eq!(kinds(from, to), expected, "{from} -> {to}");
        }
        assert_eq!(kinds(r#""required":["q"]"#, r#""required": ["q"]"#), [""; 0]);
    }

    #[test]
    fn a_required_field_that_is_new_is_told_once() {
        let old = r#"{"name":"t","inputSchema":{"type":"object"}}"#;
        let new = r#"{"name":"t","inputSchema":{"type":"object","properties":{"a/b":{}},"required":["a/b"]}}"#;
        let parse = |text: &str| Node::parse(text.as_bytes()).unwrap();
        let change = classify(&parse(old), &parse(new));
        assert_eq!(change.to_string(), "required_field at /inputSchema/properties/a~1b");
        assert!(classify(&parse(old), &parse(old)).0.is_empty());
    }
}
