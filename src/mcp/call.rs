//! A `tools/call` as the client asked it.

use super::inbound::ModernRequest;
use super::legacy::LegacyRequest;
use super::meta::{Meta, Params, wrong};
use super::trace::TraceContext;
use crate::base::error::Result;
use crate::wire::rpc;
use std::borrow::Cow;

/// A `tools/call` as asked; spans borrow from the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallParams<'a> {
    /// The name asked for.
    pub name: Cow<'a, str>,
    /// The raw arguments, an object; absent where the client sent none or `null`.
    pub arguments: Option<&'a [u8]>,
    /// Token, level and trace.
    pub meta: Meta<'a>,
}

impl<'a> CallParams<'a> {
    /// Of a modern request, whose `_meta` has been read.
    ///
    /// # Errors
    /// `Kind::InvalidParams` (in band) where `name` is no string or `arguments` no object.
    pub fn modern(request: &ModernRequest<'a>) -> Result<Self> {
        Self::read(&request.params, request.meta.clone())
    }

    /// Of a legacy request.
    ///
    /// # Errors
    /// As [`CallParams::modern`], and where `_meta` has a member of the wrong type.
    pub fn legacy(request: &LegacyRequest<'a>) -> Result<Self> {
        Self::read(&request.params, Meta::read(request.params.meta)?)
    }

    fn read(params: &Params<'a>, meta: Meta<'a>) -> Result<Self> {
        let name = params.name.and_then(rpc::string).ok_or_else(|| wrong("name must be a string"))?;
        let arguments = params.arguments.filter(|raw| !rpc::is_null(raw));
        if arguments.is_some_and(|raw| !rpc::is_object(raw)) {
            return Err(wrong("arguments must be an object"));
        }
        Ok(Self { name, arguments, meta })
    }

    /// The trace the client is in, where it says so in a form that is valid.
    pub fn trace(&self) -> Option<TraceContext> {
        self.meta.traceparent.as_deref().and_then(TraceContext::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;
    use crate::mcp::legacy::LegacyMethod;

    fn read(params: &str) -> Result<CallParams<'_>> {
        let params = Params::read(Some(params.as_bytes()));
        CallParams::legacy(&LegacyRequest { id: b"1", method: LegacyMethod::ToolsCall, params })
    }

    #[test]
    fn arguments_keep_their_bytes() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let text = format!(
            r#"{{"name":"get","arguments":{{ "a": 1.0,  "b":[] }},
                "_meta":{{"progressToken":7,"traceparent":"{trace}"}}}}"#
        );
        let call = read(&text).unwrap();
        assert_eq!((&*call.name, call.arguments), ("get", Some(&br#"{ "a": 1.0,  "b":[] }"#[..])));
        assert_eq!((call.meta.progress_token, call.trace().unwrap().to_string()), (Some(&b"7"[..]), trace.to_owned()));
        assert_eq!(read(r#"{"name":"get","arguments":null}"#).unwrap().arguments, None);
        assert_eq!(read(r#"{"name":"get","_meta":{"traceparent":"x"}}"#).unwrap().trace(), None);
    }

    #[test]
    fn wrong_types_are_invalid_params() {
        for bad in [
            "{}",
            r#"{"name":1}"#,
            r#"{"name":null}"#,
            r#"{"name":"x","arguments":[]}"#,
            r#"{"name":"x","arguments":"{}"}"#,
            r#"{"name":"x","_meta":7}"#,
            r#"{"name":"x","_meta":{"progressToken":true}}"#,
        ] {
            assert_eq!(read(bad).unwrap_err().kind, Kind::InvalidParams, "{bad}");
        }
    }
}
