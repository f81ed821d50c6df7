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
