//! One tool of one server: its definition as it came, and what the gate reads out of it once.

use super::canonical::Node;
use super::form::{Forms, is_object_schema};
use super::header_params::HeaderParams;
use super::names;
use super::shape::{self, COMMON, Rule};
use crate::base::ids::ServerId;
use crate::base::limits::UPSTREAM_TOOL_NAME_MAX;
use crate::invariant;
use bytes::Bytes;

/// A definition, its names and its hash. Never changes; lives as long as its catalogue. What a call needs of it stands
/// in one line of cache, and its names in another: calls of many tools find neither in the nearest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub struct Tool {
    /// The server that listed it.
    pub server: ServerId,
    /// SHA-256 over the definition's canonical form (RFC 8785): equal for equal definitions however they are written.
    pub hash: [u8; 32],
    /// Its exposed name, its unprefixed one, and the upstream's own.
    names: Box<str>,
    exposed_len: u8,
    unprefixed_len: u8,
    /// Whether it has header parameters at all.
    mirrors: bool,
    destructive: bool,
    rest: Box<Rest>,
}

const _: () = assert!(size_of::<Tool>() == 64, "a tool fills one line of cache");

/// What few calls need.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rest {
    definition: Bytes,
    header_params: HeaderParams,
    forms: Forms,
}

impl Tool {
    /// Reads a definition; the error says what is wrong with it. A tool whose definition would make a client refuse
    /// the whole list is refused here.
    pub(super) fn parse(server: ServerId, server_name: &str, definition: &Bytes) -> Result<Self, String> {
        let (node, definition) = shape::read(definition)?;
        let name = shape::name(&node, UPSTREAM_TOOL_NAME_MAX)?;
        let header_params = read_schema(&node).map_err(|text| format!("{name:?}: {text}"))?;
        let (exposed, unprefixed) = (names::expose(server_name, name), names::unprefixed(name));
        let len = |name: &str| invariant!(u8::try_from(name.len()), "the names we make are at most 64 bytes long");
        Ok(Self {
            server,
            hash: node.hash(),
            names: [&*exposed, &*unprefixed, name].concat().into(),
            exposed_len: len(&exposed),
            unprefixed_len: len(&unprefixed),
            mirrors: !header_params.is_empty(),
            destructive: node.member("annotations").and_then(|hints| hints.member("destructiveHint"))
                == Some(&Node::Bool(true)),
            rest: Box::new(Rest { header_params, forms: Forms::new(&node, &definition), definition }),
        })
    }

    /// The upstream's own name, the one to call it by.
    pub fn name(&self) -> &str {
        &self.names[self.own_start()..]
    }

    /// The name at the door that serves all servers ([`names::expose`]).
    pub fn exposed(&self) -> &str {
        &self.names[..usize::from(self.exposed_len)]
    }

    /// The name at its own server's door ([`names::unprefixed`]).
    pub fn unprefixed(&self) -> &str {
        &self.names[usize::from(self.exposed_len)..self.own_start()]
    }

    fn own_start(&self) -> usize {
        usize::from(self.exposed_len) + usize::from(self.unprefixed_len)
    }

    /// The JSON object exactly as the server wrote it.
    pub fn definition(&self) -> &Bytes {
        &self.rest.definition
    }

    /// Arguments that modern clients mirror into `Mcp-Param-*` headers.
    pub fn header_params(&self) -> &HeaderParams {
        if self.mirrors { &self.rest.header_params } else { &HeaderParams::NONE }
    }

    /// Whether its server says, in so many words, that it may destroy something (`annotations.destructiveHint`). MCP
    /// takes a hint that is absent for `true`; that would be most tools, so it counts for nothing here.
    pub fn is_destructive(&self) -> bool {
        self.destructive
    }

    pub(super) fn forms(&self) -> &Forms {
        &self.rest.forms
    }
}

fn read_schema(definition: &Node) -> Result<HeaderParams, String> {
    shape::check(definition, &COMMON)?;
    shape::check(definition, &SCHEMAS)?;
    HeaderParams::read(definition.member("inputSchema").ok_or("it has no inputSchema")?)
}

const SCHEMAS: [Rule; 2] =
    [("inputSchema", is_input_schema, "a schema of type \"object\""), ("outputSchema", shape::is_object, "an object")];

fn is_input_schema(node: &Node) -> bool {
    node.members().is_some() && (node.member("type").is_none() || is_object_schema(node))
}

#[cfg(test)]
mod tests {
    use super::super::Leg;
    use super::*;

    fn parse(definition: &str) -> Result<Tool, String> {
        Tool::parse(ServerId(0), "s", &Bytes::copy_from_slice(definition.as_bytes()))
    }

    #[test]
    fn the_hash_sees_meaning_and_not_spelling() {
        let one = parse(r#"{"name":"a","inputSchema":{"type":"object","max":1e2}}"#).unwrap();
        let two = parse(r#"{"inputSchema":{"max":100, "type":"\u006fbject"},"name":"a"}"#).unwrap();
        let other = parse(r#"{"name":"a","inputSchema":{"type":"object","max":101}}"#).unwrap();
        assert_eq!(one.hash, two.hash);
        assert_ne!(one.hash, other.hash);
    }

    #[test]
    fn names_and_header_params_are_read_back_apart() {
        let plain = parse(r#"{"name":"a b","inputSchema":{"type":"object"}}"#).unwrap();
        assert_eq!((plain.name(), plain.exposed()), ("a b", &*names::expose("s", "a b")));
        assert_eq!((plain.unprefixed(), plain.header_params().len()), (&*names::unprefixed("a b"), 0));
        let schema = r#"{"type":"object","properties":{"x":{"type":"string","x-mcp-header":"R"}}}"#;
        let mirrored = parse(&format!(r#"{{"name":"é","inputSchema":{schema}}}"#)).unwrap();
        assert_eq!((mirrored.name(), mirrored.header_params().len()), ("é", 1));
    }

    #[test]
    fn only_a_hint_that_is_there_makes_a_tool_destructive() {
        for (annotations, destructive) in [
            ("", false),
            (r#","annotations":{}"#, false),
            (r#","annotations":{"destructiveHint":false}"#, false),
            (r#","annotations":{"destructiveHint":"true"}"#, false),
            (r#","annotations":{"readOnlyHint":true}"#, false),
            (r#","annotations":{"destructiveHint":true}"#, true),
        ] {
            let tool = parse(&format!(r#"{{"name":"a","inputSchema":{{"type":"object"}}{annotations}}}"#)).unwrap();
            assert_eq!(tool.is_destructive(), destructive, "{annotations}");
        }
    }

    #[test]
    fn a_definition_that_breaks_a_list_is_refused() {
        let long = format!(r#"{{"name":"{}","inputSchema":{{"type":"object"}}}}"#, "x".repeat(257));
        let bad = [
            "",
            "[]",
            "{}",
            r#"{"name":"a"}"#,
            r#"{"name":7,"inputSchema":{"type":"object"}}"#,
            r#"{"name":"","inputSchema":{"type":"object"}}"#,
            r#"{"name":"a\u0000","inputSchema":{"type":"object"}}"#,
            r#"{"name":"a","inputSchema":{"type":"array"}}"#,
            r#"{"name":"a","inputSchema":true}"#,
            r#"{"name":"a","name":"b","inputSchema":{"type":"object"}}"#,
            r#"{"name":"a","inputSchema":{"type":"object","type":"object"}}"#,
            r#"{"name":"a","inputSchema":{"type":"object"},"description":null}"#,
            r#"{"name":"a","inputSchema":{"type":"object"},"icons":{}}"#,
            r#"{"name":"a","inputSchema":{"type":"object","properties":{"x":{"x-mcp-header":"R"}}}}"#,
            &long,
        ];
        for definition in bad {
            assert!(parse(definition).is_err(), "{definition}");
        }
    }

    #[test]
    fn any_bytes_are_a_tool_or_an_error() {
        bolero::check!().for_each(|bytes| {
            let Ok(tool) = Tool::parse(ServerId(0), "s", &Bytes::copy_from_slice(bytes)) else { return };
            let mut out = Vec::new();
            tool.forms().write(tool.exposed(), Leg::Modern, &mut out);
            let again = Tool::parse(ServerId(0), "s", &out.into()).unwrap();
            assert_eq!(again.name(), tool.exposed());
        });
    }
}
