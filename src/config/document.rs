//! One TOML file as text and as a tree with places, so that every finding can point at its line.

use crate::base::limits;
use serde::de::DeserializeOwned;
use std::cell::OnceCell;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One step from a table or array to what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A key of a table.
    Key(&'a str),
    /// An element of an array, counted from 0.
    Index(usize),
}

impl<'a> From<&'a str> for Step<'a> {
    fn from(key: &'a str) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Step<'_> {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// A fault of form: wrong syntax, an unknown key, a wrong type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, in the parser's words; never the offending value.
    pub message: String,
    /// Where, in bytes of the text.
    pub span: Range<usize>,
}

/// A value with its place.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where it stands, in bytes of the text.
    pub(crate) span: Range<usize>,
    /// What it is.
    pub(crate) value: Value,
}

/// What stands at a place.
#[derive(Debug)]
pub(crate) enum Value {
    /// Entries in the order they are written.
    Table(Vec<Entry>),
    /// Elements.
    Array(Vec<Node>),
    /// Text, or a date.
    Text(String),
    /// A whole number, where it fits.
    Integer(Option<i64>),
    /// A number with a point, or a boolean.
    Other,
}

/// One entry of a table.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its key.
    pub(crate) key: String,
    /// Where the key stands.
    pub(crate) key_span: Range<usize>,
    /// What it holds.
    pub(crate) node: Node,
}

/// A file's text, with the tree read from it once somebody asks for a place: the tree takes many times the text's room.
#[derive(Debug)]
pub struct Document {
    /// The path it was read from, as shown to people.
    pub name: String,
    /// Its text.
    pub text: String,
    tree: OnceCell<Node>,
}

impl Document {
    /// Takes a document's text; faults of form come from [`Document::read`], all at once.
    pub fn parse(name: &str, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), tree: OnceCell::new() }
    }

    /// The value of type `T` with everything wrong left out, and all that was wrong.
    ///
    /// The deserializer stops at its first fault; the entry at fault is then taken out and the rest read again.
    pub fn read<T: DeserializeOwned + Default>(&self) -> (T, Vec<Fault>) {
        let (tree, errors) = DeTable::parse_recoverable(&self.text);
        let mut faults: Vec<Fault> = errors.iter().map(|error| fault(error, self.text.len())).collect();
        faults.truncate(limits::CONFIG_FINDINGS_MAX);
        let mut tree = tree.into_inner();
        dates_to_text(&mut tree);
        while faults.len() < limits::CONFIG_FINDINGS_MAX {
            let whole = Spanned::new(0..self.text.len(), tree.clone());
            let error = match T::deserialize(toml::Deserializer::from(whole)) {
                Ok(value) => return (value, faults),
                Err(error) => error,
            };
            let fault = fault(&error, self.text.len());
            let removed = remove_at(&mut tree, &fault.span);
            faults.push(fault);
            if !removed {
                break;
            }
        }
        (T::default(), faults)
    }

    /// The place of a value, or of its key for a table; the nearest enclosing place where the value is not written.
    pub fn place(&self, path: &[Step<'_>]) -> Range<usize> {
        let (mut place, mut node) = (0..0, self.tree());
        for step in path {
            let next = match (step, &node.value) {
                (Step::Key(name), Value::Table(entries)) => find(entries, name),
                (Step::Index(index), Value::Array(nodes)) => nodes.get(*index).map(|node| (node.span.clone(), node)),
                _ => None,
            };
            let Some((key_span, below)) = next else { break };
            let is_table = matches!(below.value, Value::Table(_));
            place = if is_table { key_span } else { below.span.clone() };
            node = below;
        }
        place
    }

    /// The 1-based line of the value of a path.
    pub fn line(&self, path: &[Step<'_>]) -> usize {
        let before = &self.text.as_bytes()[..self.place(path).start];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// The place of a key itself.
    pub fn key_place(&self, path: &[Step<'_>], key: &str) -> Range<usize> {
        let found = self.table(path).and_then(|entries| find(entries, key));
        found.map_or_else(|| self.place(path), |(span, _)| span)
    }

    /// The keys of a table in the order they are written.
    pub fn keys(&self, path: &[Step<'_>]) -> Vec<&str> {
        let mut entries: Vec<&Entry> = self.table(path).unwrap_or_default().iter().collect();
        entries.sort_by_key(|entry| entry.key_span.start);
        entries.iter().map(|entry| &*entry.key).collect()
    }

    /// Whether something is written at a path that ends in a key.
    pub fn has(&self, path: &[Step<'_>]) -> bool {
        match path.split_last() {
            Some((Step::Key(last), parents)) => self.table(parents).is_some_and(|table| find(table, last).is_some()),
            _ => false,
        }
    }

    /// The tree of the document.
    pub(crate) fn tree(&self) -> &Node {
        self.tree.get_or_init(|| {
            let (tree, _) = DeTable::parse_recoverable(&self.text);
            Node { span: tree.span(), value: Value::table(tree.get_ref()) }
        })
    }

    fn table(&self, path: &[Step<'_>]) -> Option<&[Entry]> {
        let mut node = self.tree();
        for step in path {
            node = match (step, &node.value) {
                (Step::Key(name), Value::Table(entries)) => find(entries, name)?.1,
                (Step::Index(index), Value::Array(nodes)) => nodes.get(*index)?,
                _ => return None,
            };
        }
        match &node.value {
            Value::Table(entries) => Some(entries),
            _ => None,
        }
    }
}

impl Value {
    fn table(table: &DeTable<'_>) -> Self {
        let entry = |(key, value): (&Spanned<toml::de::DeString<'_>>, &Spanned<DeValue<'_>>)| Entry {
            key: key.get_ref().to_string(),
            key_span: key.span(),
            node: Node::new(value),
        };
        Self::Table(table.iter().map(entry).collect())
    }
}

impl Node {
    fn new(value: &Spanned<DeValue<'_>>) -> Self {
        let held = match value.get_ref() {
            DeValue::Table(table) => Value::table(table),
            DeValue::Array(array) => Value::Array(array.iter().map(Self::new).collect()),
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Datetime(date) => Value::Text(date.to_string()),
            DeValue::Integer(number) => Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()),
            DeValue::Float(_) | DeValue::Boolean(_) => Value::Other,
        };
        Self { span: value.span(), value: held }
    }
}

fn find<'a>(entries: &'a [Entry], name: &str) -> Option<(Range<usize>, &'a Node)> {
    entries.iter().find(|entry| entry.key == name).map(|entry| (entry.key_span.clone(), &entry.node))
}

fn fault(error: &toml::de::Error, end: usize) -> Fault {
    let span = error.span().unwrap_or(0..0);
    Fault { message: error.message().to_owned(), span: span.start.min(end)..span.end.min(end) }
}

/// Dates count as text: everything we read from them is text, with or without quotes.
fn dates_to_text(table: &mut DeTable<'_>) {
    for value in table.iter_mut().map(|(_, value)| value) {
        date_to_text(value.get_mut());
    }
}

fn date_to_text(value: &mut DeValue<'_>) {
    match value {
        DeValue::Datetime(date) => *value = DeValue::String(date.to_string().into()),
        DeValue::Table(table) => dates_to_text(table),
        DeValue::Array(array) => array.iter_mut().for_each(|value| date_to_text(value.get_mut())),
        _ => {}
    }
}

/// Takes the innermost entry out whose key or value holds the place; false where there is none.
fn remove_at(table: &mut DeTable<'_>, at: &Range<usize>) -> bool {
    let deeper = table.iter_mut().any(|(_, value)| remove_below(value.get_mut(), at));
    if deeper {
        return true;
    }
    let holds = |span: Range<usize>| span.start <= at.start && at.end <= span.end;
    let found = table.iter().find(|(key, value)| holds(key.span()) || holds(value.span()));
    let Some(key) = found.map(|(key, _)| key.clone()) else { return false };
    table.remove(&key).is_some()
}

fn remove_below(value: &mut DeValue<'_>, at: &Range<usize>) -> bool {
    match value {
        DeValue::Table(table) => remove_at(table, at),
        DeValue::Array(array) => array.iter_mut().any(|value| remove_below(value.get_mut(), at)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Config;

    const TEXT: &str =
        "[listen]\naddress = \"a\"\nport = 1\n[servers.b]\nurl = 5\n[servers.a]\nenabled = 1\nera = \"x\"\n";

    #[test]
    fn every_fault_is_found_and_the_rest_is_read() {
        let document = Document::parse("t", TEXT);
        let (config, faults) = document.read::<Config>();
        assert_eq!(config.listen.address, "a");
        let at: Vec<&str> = faults.iter().map(|fault| &TEXT[fault.span.clone()]).collect();
        assert_eq!(at.len(), 4, "{faults:?}");
        for part in ["port", "5", "1", "\"x\""] {
            assert!(at.contains(&part), "{part} not in {at:?}");
        }
    }

    #[test]
    fn places_lead_to_the_text() {
        let text = "[listen]\naddress = \"a\"\n[[keys]]\nid = \"x\"\n[[keys]]\nid = \"y\"\nallow = [\"p\", \"q\"]\n";
        let document = Document::parse("t", text);
        let at = |path: &[Step<'_>]| &text[document.place(path)];
        assert_eq!(at(&["listen".into(), "address".into()]), "\"a\"");
        assert_eq!(at(&["keys".into(), 1.into(), "id".into()]), "\"y\"");
        assert_eq!(at(&["keys".into(), 1.into(), "allow".into(), 1.into()]), "\"q\"");
        assert_eq!(at(&["listen".into(), "tls".into()]), "listen");
        assert_eq!(at(&["nothing".into()]), "");
    }

    #[test]
    fn keys_come_in_the_order_written() {
        assert_eq!(Document::parse("t", TEXT).keys(&["servers".into()]), ["b", "a"]);
    }

    #[test]
    fn unquoted_dates_are_text() {
        let document = Document::parse("t", "[[keys]]\nid = \"a\"\nexpires = 2027-01-01T00:00:00Z\n");
        let (config, faults) = document.read::<Config>();
        assert_eq!(faults, []);
        assert_eq!(config.keys[0].expires.as_deref(), Some("2027-01-01T00:00:00Z"));
    }
}
