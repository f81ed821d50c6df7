//! One prompt of one server: its definition as it came, and its names.

use super::form::Form;
use super::names;
use super::shape::{self, COMMON, Rule};
use crate::base::ids::ServerId;
use crate::base::limits::UPSTREAM_TOOL_NAME_MAX;
use bytes::Bytes;

/// A prompt and its names. Never changes; lives as long as its catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The server that listed it.
    pub server: ServerId,
    /// The upstream's own name, the one to get it by.
    pub name: Box<str>,
    /// The name at the door that serves all servers ([`names::expose`]).
    pub exposed: Box<str>,
    /// The name at its own server's door ([`names::unprefixed`]).
    pub unprefixed: Box<str>,
    pub(super) form: Form,
}

impl Prompt {
    /// Reads a definition; the error says what is wrong with it.
    pub(super) fn parse(server: ServerId, server_name: &str, definition: &Bytes) -> Result<Self, String> {
        let (node, definition) = shape::read(definition)?;
        let name = shape::name(&node, UPSTREAM_TOOL_NAME_MAX)?;
        let arguments: [Rule; 1] = [("arguments", shape::is_arguments, "an array of named arguments")];
        let checked = shape::check(&node, &COMMON).and_then(|()| shape::check(&node, &arguments));
        checked.map_err(|text| format!("{name:?}: {text}"))?;
        Ok(Self {
            server,
            exposed: names::expose(server_name, name),
            unprefixed: names::unprefixed(name),
            name: name.into(),
            form: Form::of(definition, "name"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(definition: &str) -> Result<Prompt, String> {
        Prompt::parse(ServerId(0), "s", &Bytes::copy_from_slice(definition.as_bytes()))
    }

    #[test]
    fn a_prompt_is_named_as_a_tool_is() {
        let prompt = parse(r#" {"title":"T","name":"a.b","arguments":[{"name":"x","required":true}]} "#).unwrap();
        assert_eq!((&*prompt.name, &*prompt.unprefixed), ("a.b", "a.b"));
        assert_eq!(prompt.exposed, names::expose("s", "a.b"));
        let mut out = Vec::new();
        prompt.form.write("n", &mut out);
        assert_eq!(out, br#"{"title":"T","name":"n","arguments":[{"name":"x","required":true}]}"#);
    }

    #[test]
    fn a_prompt_that_breaks_a_list_is_refused() {
        for bad in [
            "{}",
            "[]",
            r#"{"name":""}"#,
            r#"{"name":"a","arguments":{}}"#,
            r#"{"name":"a","arguments":[{"description":"d"}]}"#,
            r#"{"name":"a","arguments":[{"name":"x","required":"yes"}]}"#,
            r#"{"name":"a","description":null}"#,
            r#"{"name":"a","name":"b"}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn any_bytes_are_a_prompt_or_an_error() {
        bolero::check!().for_each(|bytes| {
            let _ = Prompt::parse(ServerId(0), "s", &Bytes::copy_from_slice(bytes));
        });
    }
}
