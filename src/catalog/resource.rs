//! One resource, or one template of resources, of one server: its definition as it came, and where it is listed.

use super::form::Form;
use super::shape::{self, COMMON, Rule};
use super::template::UriTemplate;
use crate::base::ids::ServerId;
use crate::base::limits::URI_MAX;
use bytes::Bytes;

/// A resource. Never changes; lives as long as its catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The server that listed it.
    pub server: ServerId,
    /// The upstream's own URI, the one to read it by.
    pub uri: Box<str>,
    /// The URI at the door that serves all servers: the same, unless an earlier server has it.
    pub listed: Box<str>,
    pub(super) form: Form,
}

/// A template of resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The server that listed it.
    pub server: ServerId,
    /// The upstream's own template.
    pub text: Box<str>,
    /// The template at the door that serves all servers: the same, unless an earlier server has it.
    pub listed: Box<str>,
    /// What matches URIs; nothing where it is of a form that we do not match.
    pub(super) matcher: Option<UriTemplate>,
    pub(super) form: Form,
}

const RULES: [Rule; 3] = [
    ("mimeType", shape::is_text, "a string"),
    ("size", shape::is_number, "a number"),
    ("annotations", shape::is_annotations, "what MCP calls annotations"),
];

impl Resource {
    /// Reads a definition; the error says what is wrong with it.
    pub(super) fn parse(server: ServerId, definition: &Bytes) -> Result<Self, String> {
        let (uri, form) = addressed(definition, "uri")?;
        Ok(Self { server, listed: uri.clone(), uri, form })
    }
}

impl Template {
    /// Reads a definition; the error says what is wrong with it.
    pub(super) fn parse(server: ServerId, definition: &Bytes) -> Result<Self, String> {
        let (text, form) = addressed(definition, "uriTemplate")?;
        let matcher = UriTemplate::parse(&text);
        Ok(Self { server, listed: text.clone(), text, matcher, form })
    }
}

/// What both have in common: an address in a member, and a name beside it.
fn addressed(definition: &Bytes, member: &'static str) -> Result<(Box<str>, Form), String> {
    let (node, definition) = shape::read(definition)?;
    let uri = shape::uri(&node, member, URI_MAX)?;
    let named = || {
        if member == "uri" && !shape::has_scheme(uri) || uri.is_empty() {
            return Err("it is no absolute URI".to_owned());
        }
        shape::text(&node, "name")?;
        shape::check(&node, &COMMON)?;
        shape::check(&node, &RULES)
    };
    named().map_err(|text| format!("{uri:?}: {text}"))?;
    Ok((uri.into(), Form::of(definition, member)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(definition: &str) -> Result<Resource, String> {
        Resource::parse(ServerId(0), &Bytes::copy_from_slice(definition.as_bytes()))
    }

    #[test]
    fn only_the_uri_is_replaced() {
        let json = r#"{"name":"n","uri":"a:\u0062","size":1.0e2,"annotations":{"priority":0.5}}"#;
        let resource = parse(json).unwrap();
        assert_eq!(&*resource.uri, "a:b");
        let mut out = Vec::new();
        resource.form.write_quoted("x:\"", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), json.replace(r#""a:\u0062""#, r#""x:\"""#));
    }

    #[test]
    fn a_resource_that_breaks_a_list_is_refused() {
        let long = format!(r#"{{"name":"n","uri":"a:{}"}}"#, "x".repeat(URI_MAX));
        for bad in [
            "{}",
            r#"{"uri":"a:b"}"#,
            r#"{"name":"n"}"#,
            r#"{"name":"n","uri":"/etc/passwd"}"#,
            r#"{"name":"n","uri":"a:b\n"}"#,
            r#"{"name":"n","uri":7}"#,
            r#"{"name":"n","uri":"a:b","size":"1"}"#,
            r#"{"name":"n","uri":"a:b","mimeType":null}"#,
            r#"{"name":"n","uri":"a:b","annotations":{"priority":3}}"#,
            r#"{"name":"n","uri":"a:b","uri":"a:c"}"#,
            &long,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_template_that_we_do_not_match_is_listed_all_the_same() {
        let parse = |text: &str| {
            let json = serde_json::json!({"name": "n", "uriTemplate": text}).to_string();
            Template::parse(ServerId(0), &json.into())
        };
        assert!(parse("a://{x}").unwrap().matcher.is_some());
        assert!(parse("a://{x").unwrap().matcher.is_none());
        assert!(parse("").is_err());
    }

    #[test]
    fn any_bytes_are_a_resource_or_an_error() {
        bolero::check!().for_each(|bytes| {
            let bytes = Bytes::copy_from_slice(bytes);
            let _ = (Resource::parse(ServerId(0), &bytes), Template::parse(ServerId(0), &bytes));
        });
    }
}
