//! Tool arguments that travel in headers too: the `x-mcp-header` annotation of an input schema (2026-07-28,
//! basic/transports/streamable-http). A tool that breaks one of its rules must not be listed.

use super::canonical::Node;
use std::ops::Deref;
use std::sync::Arc;

/// What stands in front of the annotated name in the header of a mirrored argument.
const PARAM_PREFIX: &str = "Mcp-Param-";
const ANNOTATION: &str = "x-mcp-header";
/// Longest annotation taken, in bytes: it becomes part of a header name.
const HEADER_NAME_MAX: usize = 64;
/// Headers that carry credentials between us and our peers: no argument may pass for one in a log or a proxy rule.
const RESERVED: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
/// Keywords whose value is data, not a schema, so that nothing in it is an annotation.
const DATA_KEYWORDS: [&str; 4] = ["const", "default", "enum", "examples"];
/// Keywords whose members are named by the author, each a schema.
const NAMED_SCHEMAS: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// What an annotated argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderKind {
    /// Sent as it is, or in the base64 sentinel.
    String,
    /// Sent in decimal, within ±(2^53-1); compared as a number.
    Integer,
    /// Sent as `true` or `false`.
    Boolean,
}

/// One argument that a modern client mirrors into a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderParam {
    /// The header's whole name: `Mcp-Param-` and what the server wrote.
    pub header: Box<str>,
    /// The members to walk from `arguments` to the value.
    pub path: Vec<String>,
    /// The schema's type of the value.
    pub kind: HeaderKind,
}

/// The mirrored arguments of one tool, shared by its calls. Most tools have none, and a clone of nothing touches
/// nothing that shards share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderParams(Option<Arc<[HeaderParam]>>);

impl HeaderParams {
    /// Those of a tool that has none.
    pub(super) const NONE: Self = Self(None);

    /// The annotated arguments of an input schema in the order of RFC 8785, or which rule it breaks.
    pub(super) fn read(schema: &Node) -> Result<Self, String> {
        let mut found = Found(Vec::new());
        found.walk(schema, &mut Vec::new(), true)?;
        Ok(found.0.into())
    }
}

impl From<Vec<HeaderParam>> for HeaderParams {
    fn from(params: Vec<HeaderParam>) -> Self {
        Self((!params.is_empty()).then(|| params.into()))
    }
}

impl Deref for HeaderParams {
    type Target = [HeaderParam];

    fn deref(&self) -> &[HeaderParam] {
        self.0.as_deref().unwrap_or_default()
    }
}

struct Found(Vec<HeaderParam>);

impl Found {
    /// `reachable` says that only `properties` lie between the root and this schema.
    fn walk(&mut self, schema: &Node, path: &mut Vec<String>, reachable: bool) -> Result<(), String> {
        if let Node::Array(items) = schema {
            return items.iter().try_for_each(|item| self.walk(item, path, false));
        }
        for (keyword, value) in schema.members().unwrap_or_default() {
            match keyword.as_ref() {
                ANNOTATION if reachable && !path.is_empty() => self.take(schema, value, path)?,
                ANNOTATION => return Err(format!("{ANNOTATION} stands where only properties may lead")),
                word if DATA_KEYWORDS.contains(&word) => {}
                word if NAMED_SCHEMAS.contains(&word) => {
                    self.walk_named(value, path, reachable && word == "properties")?;
                }
                _ => self.walk(value, path, false)?,
            }
        }
        Ok(())
    }

    fn walk_named(&mut self, schemas: &Node, path: &mut Vec<String>, reachable: bool) -> Result<(), String> {
        for (name, schema) in schemas.members().unwrap_or_default() {
            path.push(name.to_string());
            self.walk(schema, path, reachable)?;
            path.pop();
        }
        Ok(())
    }

    fn take(&mut self, schema: &Node, header: &Node, path: &[String]) -> Result<(), String> {
        let header = header.text().filter(|header| is_token(header));
        let header =
            header.ok_or_else(|| format!("{ANNOTATION} is no header name of 1 to {HEADER_NAME_MAX} letters"))?;
        if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(header)) {
            return Err(format!("{ANNOTATION} {header:?} would pass for a credential"));
        }
        let name = format!("{PARAM_PREFIX}{header}");
        if self.0.iter().any(|param| param.header.eq_ignore_ascii_case(&name)) {
            return Err(format!("{ANNOTATION} {header:?} stands twice"));
        }
        let kind = schema.member("type").and_then(Node::text).and_then(kind);
        let kind = kind.ok_or_else(|| format!("{ANNOTATION} {header:?} is on no string, integer or boolean"))?;
        self.0.push(HeaderParam { header: name.into(), path: path.to_vec(), kind });
        Ok(())
    }
}

fn kind(word: &str) -> Option<HeaderKind> {
    match word {
        "string" => Some(HeaderKind::String),
        "integer" => Some(HeaderKind::Integer),
        "boolean" => Some(HeaderKind::Boolean),
        _ => None,
    }
}

/// A token of RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=HEADER_NAME_MAX).contains(&text.len()) && text.bytes().all(is_tchar)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(schema: &str) -> Result<HeaderParams, String> {
        HeaderParams::read(&Node::parse(schema.as_bytes()).unwrap())
    }

    #[test]
    fn arguments_are_found_through_properties() {
        let found = params(
            r#"{"type":"object","properties":{
                "region":{"type":"string","x-mcp-header":"Region","default":{"x-mcp-header":1}},
                "where":{"type":"object","properties":{"row":{"type":"integer","x-mcp-header":"Row"}}},
                "x-mcp-header":{"type":"number"},
                "dry":{"type":"boolean","x-mcp-header":"Dry-Run"}}}"#,
        )
        .unwrap();
        let param = |header: &str, path: &[&str], kind| HeaderParam {
            header: header.into(),
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            kind,
        };
        let expected = [
            param("Mcp-Param-Dry-Run", &["dry"], HeaderKind::Boolean),
            param("Mcp-Param-Region", &["region"], HeaderKind::String),
            param("Mcp-Param-Row", &["where", "row"], HeaderKind::Integer),
        ];
        assert_eq!(*found, expected);
    }

    #[test]
    fn every_broken_rule_is_found() {
        let bad = [
            r#"{"x-mcp-header":"Root","type":"string"}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"Region\r\n"}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"Région"}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":7}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"Authorization"}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"R"},"b":{"type":"string","x-mcp-header":"r"}}}"#,
            r#"{"properties":{"a":{"type":"number","x-mcp-header":"R"}}}"#,
            r#"{"properties":{"a":{"type":["string","null"],"x-mcp-header":"R"}}}"#,
            r#"{"properties":{"a":{"x-mcp-header":"R"}}}"#,
            r#"{"properties":{"a":{"type":"object","x-mcp-header":"R"}}}"#,
            r#"{"properties":{"a":{"type":"array","items":{"type":"string","x-mcp-header":"R"}}}}"#,
            r#"{"properties":{"a":{"anyOf":[{"type":"string","x-mcp-header":"R"}]}}}"#,
            r##"{"properties":{"a":{"$ref":"#/$defs/r"}},"$defs":{"r":{"type":"string","x-mcp-header":"R"}}}"##,
            r#"{"if":{"properties":{"a":{"type":"string","x-mcp-header":"R"}}}}"#,
            r#"{"additionalProperties":{"type":"string","x-mcp-header":"R"}}"#,
        ];
        for schema in bad {
            assert!(params(schema).is_err(), "{schema}");
        }
    }
}
