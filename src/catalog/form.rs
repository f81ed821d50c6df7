//! A definition as it is listed: the server's bytes, mended only where they would make clients refuse the whole list,
//! and the place of its name.

use super::Leg;
use super::canonical::Node;
use crate::invariant;
use crate::wire::rpc::{self, Edit};
use bytes::Bytes;
use std::ops::Range;

/// What a tool's clients get to see, by their era.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forms {
    listed: Form,
    /// Where legacy clients would refuse `listed`.
    legacy: Option<Form>,
    mended: bool,
}

/// A definition, and the place of the one member that the gate gives another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    json: Bytes,
    /// Where the member's value stands, quotes included.
    value_at: Range<usize>,
}

impl Forms {
    /// The forms of a definition that has been read into `node` and has a name and an input schema.
    ///
    /// MCP wants every input schema to be of type "object"; some servers leave the type out, and then the official
    /// clients refuse every tool of every server in the list. Such a schema gets its type. Until 2025-11-25 the same
    /// held for output schemas; a tool with another one is listed to legacy clients without it, as they could not
    /// take a result of that form either.
    pub(super) fn new(node: &Node, definition: &Bytes) -> Self {
        let mended = node.member("inputSchema").is_some_and(|schema| schema.member("type").is_none());
        let listed = if mended { with_input_type(definition) } else { definition.clone() };
        let refused = node.member("outputSchema").is_some_and(|schema| !is_object_schema(schema));
        let legacy = refused.then(|| Form::of(edited(&listed, Edit::Remove("outputSchema")), "name"));
        Self { listed: Form::of(listed, "name"), legacy, mended }
    }

    /// Whether the definition was mended for all clients.
    pub(super) fn are_mended(&self) -> bool {
        self.mended
    }

    /// Whether legacy clients get another form.
    pub(super) fn differ(&self) -> bool {
        self.legacy.is_some()
    }

    /// Appends the form for clients of an era under another name, everything else byte for byte. The name is written
    /// unescaped.
    pub(super) fn write(&self, name: &str, leg: Leg, out: &mut Vec<u8>) {
        self.legacy.as_ref().filter(|_| leg == Leg::Legacy).unwrap_or(&self.listed).write(name, out);
    }

    /// The same with another description, where one is given.
    pub(super) fn write_described(&self, (name, description): (&str, Option<&str>), leg: Leg, out: &mut Vec<u8>) {
        let Some(description) = description else { return self.write(name, leg, out) };
        let form = self.legacy.as_ref().filter(|_| leg == Leg::Legacy).unwrap_or(&self.listed);
        let described = edited(&form.json, Edit::Set("description", &rpc::quoted(description)));
        Form::of(described, "name").write(name, out);
    }

    /// About how many bytes [`Self::write`] appends beside the name.
    pub(super) fn len(&self) -> usize {
        self.listed.len()
    }
}

impl Form {
    /// The form of a definition that has the member.
    pub(super) fn of(json: Bytes, member: &str) -> Self {
        let value = invariant!(rpc::field(&json, member), "a definition without its name or URI is refused before");
        let start = value.as_ptr() as usize - json.as_ptr() as usize;
        Self { value_at: start..start + value.len(), json }
    }

    /// Appends the definition with another value, everything else byte for byte. The value is written unescaped.
    pub(super) fn write(&self, value: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.json[..self.value_at.start]);
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
        out.extend_from_slice(&self.json[self.value_at.end..]);
    }

    /// The same with a value that may need escapes.
    pub(super) fn write_quoted(&self, value: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.json[..self.value_at.start]);
        rpc::quote(out, value);
        out.extend_from_slice(&self.json[self.value_at.end..]);
    }

    /// Appends the definition as it came.
    pub(super) fn write_own(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.json);
    }

    /// How long the definition is, in bytes.
    pub(super) fn len(&self) -> usize {
        self.json.len()
    }
}

/// Whether a schema's type is "object" and nothing else.
pub(super) fn is_object_schema(schema: &Node) -> bool {
    schema.member("type").and_then(Node::text) == Some("object")
}

fn with_input_type(definition: &Bytes) -> Bytes {
    let schema = invariant!(rpc::field(definition, "inputSchema"), "a definition without a schema is refused before");
    let schema = edited(schema, Edit::Set("type", br#""object""#));
    edited(definition, Edit::Set("inputSchema", &schema))
}

fn edited(object: &[u8], edit: Edit<'_>) -> Bytes {
    let mut out = Vec::with_capacity(object.len() + 32);
    rpc::edit(&mut out, object, &[edit]);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(definition: &str) -> (Forms, [String; 2]) {
        let forms = Forms::new(&Node::parse(definition.as_bytes()).unwrap(), &definition.to_owned().into());
        let write = |leg| {
            let mut out = Vec::new();
            forms.write("shown", leg, &mut out);
            String::from_utf8(out).unwrap()
        };
        let written = [write(Leg::Modern), write(Leg::Legacy)];
        (forms, written)
    }

    #[test]
    fn only_the_name_is_replaced() {
        let json = r#"{"_meta":{"name":"q"}, "n\u0061me" :  "q\"x" ,"inputSchema":{"type":"object", "n":1.0e2}}"#;
        let (forms, written) = forms(json);
        assert!(!forms.differ() && !forms.are_mended());
        let expected = json.replace(r#""q\"x""#, r#""shown""#);
        assert_eq!(written, [expected.clone(), expected]);
    }

    #[test]
    fn another_description_leaves_the_rest_byte_for_byte() {
        let describe = |definition: &str, leg| {
            let (forms, _) = forms(definition);
            let mut out = Vec::new();
            forms.write_described(("shown", Some("new \"words\"\n")), leg, &mut out);
            String::from_utf8(out).unwrap()
        };
        let rest = r#""inputSchema":{"type":"object", "description":"in", "n":1.0e2},"outputSchema":{}"#;
        let json = format!(r#"{{"descr\u0069ption" : "old","name":"a",{rest}}}"#);
        let expected = format!(r#"{{"description":"new \"words\"\n","name":"shown",{rest}}}"#);
        assert_eq!(describe(&json, Leg::Modern), expected);
        assert_eq!(describe(&json, Leg::Legacy), expected.replace(r#","outputSchema":{}"#, ""));
        let added = describe(&format!(r#"{{"name":"a",{rest}}}"#), Leg::Modern);
        assert_eq!(added, format!(r#"{{"name":"shown",{rest},"description":"new \"words\"\n"}}"#));
    }

    #[test]
    fn an_input_schema_without_a_type_gets_one() {
        let json = r#"{"inputSchema":{"$schema":"s","x":1.0},"name":"a","title":"t"}"#;
        let (forms, written) = forms(json);
        assert!(forms.are_mended() && !forms.differ());
        assert_eq!(written[0], r#"{"inputSchema":{"$schema":"s","x":1.0,"type":"object"},"name":"shown","title":"t"}"#);
        assert!((written[0].len()..written[0].len() + 8).contains(&(forms.len() + "shown".len())));
    }

    #[test]
    fn legacy_clients_get_no_output_schema_that_they_would_refuse() {
        let with = |output: &str| {
            let json = format!(r#"{{"outputSchema":{output},"name":"shown","inputSchema":{{"type":"object"}}}}"#);
            let (forms, [modern, legacy]) = forms(&json);
            assert_eq!(modern, json);
            assert_eq!(forms.differ(), legacy != json);
            legacy
        };
        assert!(with(r#"{"type":"object"}"#).contains("outputSchema"));
        for output in [r#"{"type":"array"}"#, r#"{"type":["object","null"]}"#, "{}"] {
            assert_eq!(with(output), r#"{"name":"shown","inputSchema":{"type":"object"}}"#);
        }
    }
}
