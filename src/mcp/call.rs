//! A `tools/call` as the client asked it, and as it is sent on to a server.

use super::inbound::ModernRequest;
use super::legacy::LegacyRequest;
use super::meta::{CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, LogLevel, Meta, PROTOCOL_VERSION, Params, wrong};
use super::revision::{Era, Revision};
use super::trace::TraceContext;
use crate::base::error::Result;
use crate::wire::rpc;
use std::borrow::Cow;
use std::io::Write;

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

/// A call on its way to a server.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingCall<'a> {
    /// Our own id, up to 2^53; the client's never leaves. It is also the progress token.
    pub id: u64,
    /// The server's name of the tool.
    pub name: &'a str,
    /// The raw arguments, sent untouched.
    pub arguments: Option<&'a [u8]>,
    /// Whether progress is wanted.
    pub progress: bool,
    /// Our span, the parent of the server's.
    pub trace: Option<TraceContext>,
    /// The trace's vendor state, passed on.
    pub tracestate: Option<&'a str>,
    /// The least log level wanted; modern servers only.
    pub log_level: Option<LogLevel>,
}

/// The message for a server of an era; `info` is the gate's own raw `Implementation`. A line protocol needs
/// `rpc::one_line` on it, as arguments keep the client's line ends.
pub fn request(era: Era, call: &OutgoingCall<'_>, info: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(384 + call.arguments.map_or(0, <[u8]>::len));
    // Writing into a Vec cannot fail, here and below.
    let _ = write!(out, r#"{{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{{"name":"#, call.id);
    rpc::quote(&mut out, call.name);
    if let Some(arguments) = call.arguments {
        out.extend_from_slice(br#","arguments":"#);
        out.extend_from_slice(arguments);
    }
    put_meta(&mut out, era, call, info);
    out.extend_from_slice(b"}}");
    out
}

/// Appends `,"_meta":{…}`; nothing where it would be empty.
fn put_meta(out: &mut Vec<u8>, era: Era, call: &OutgoingCall<'_>, info: &[u8]) {
    let mut members = Members { out, first: true };
    if era == Era::Modern {
        put_envelope(&mut members, info);
        if let Some(level) = call.log_level {
            members.text(LOG_LEVEL, level.as_str());
        }
    }
    if call.progress {
        members.raw("progressToken", call.id.to_string().as_bytes());
    }
    if let Some(trace) = call.trace {
        members.text("traceparent", &trace.to_string());
    }
    if let Some(state) = call.tracestate {
        members.text("tracestate", state);
    }
    members.close();
}

/// What every modern request of ours says of itself. No capability is declared, as no server request is carried.
fn put_envelope(members: &mut Members<'_>, info: &[u8]) {
    members.text(PROTOCOL_VERSION, Revision::NEWEST_MODERN.as_str());
    members.raw(CLIENT_INFO, info);
    members.raw(CLIENT_CAPABILITIES, b"{}");
}

/// The raw `_meta` of a modern request of ours that needs nothing more.
pub(super) fn envelope_meta(info: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut members = Members { out: &mut out, first: true };
    put_envelope(&mut members, info);
    members.close();
    out.split_off(br#","_meta":"#.len())
}

/// Writes `,"_meta":{…}` member by member.
struct Members<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Members<'_> {
    fn raw(&mut self, key: &str, value: &[u8]) {
        self.out.extend_from_slice(if self.first { br#","_meta":{"# } else { b"," });
        self.first = false;
        rpc::quote(self.out, key);
        self.out.push(b':');
        self.out.extend_from_slice(value);
    }

    fn text(&mut self, key: &str, value: &str) {
        self.raw(key, &rpc::quoted(value));
    }

    fn close(self) {
        if !self.first {
            self.out.push(b'}');
        }
    }
}
