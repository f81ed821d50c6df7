//! A server's answer to a `tools/call` in the client's era (mcp.md 6.1). What need not change is copied byte for byte.

use super::meta::SERVER_INFO;
use super::model::Model;
use super::revision::Era;
use crate::base::error::{Error, Kind};
use crate::wire::rpc::{self, Edit, Envelope};
use smallvec::SmallVec;
use std::borrow::Cow;

/// A server's answer: raw `result` or raw `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The raw `result`.
    Result(&'a [u8]),
    /// The raw `error`, an object.
    Error(&'a [u8]),
}

impl<'a> Answer<'a> {
    /// The answer a response carries; nothing if the message is no response.
    pub fn of(response: &Envelope<'a>) -> Option<Self> {
        response.result.map(Self::Result).or(response.error.map(Self::Error))
    }
}

/// Who asked and who answered.
#[derive(Clone, Copy, Debug)]
pub struct Bridge<'a> {
    /// The client's era.
    pub client: Era,
    /// The era spoken to the server.
    pub upstream: Era,
    /// The gate as the client sees it.
    pub model: &'a Model,
    /// The client's raw capabilities, where it declared any on this request.
    pub client_caps: Option<&'a [u8]>,
}

/// An answer ready for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridged {
    /// The whole message.
    pub body: Vec<u8>,
    /// The HTTP status where none has been sent yet.
    pub status: u16,
    /// What it amounts to, for the record.
    pub outcome: Outcome,
}

/// What an answer amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The tool did it.
    Done,
    /// The tool says it failed (`isError`).
    ToolError,
    /// The server answered with this JSON-RPC error code.
    RpcError(i64),
    /// The server answered what cannot be passed on.
    Unusable,
}

/// Puts a server's answer into the client's era, under the client's raw id.
pub fn call_answer(bridge: &Bridge<'_>, id: &[u8], answer: Answer<'_>) -> Bridged {
    match answer {
        Answer::Result(raw) => bridge_result(bridge, id, raw),
        Answer::Error(raw) => bridge_error(bridge, id, raw),
    }
}

/// The members of a tool result that decide anything.
#[derive(Default)]
struct Seen<'a> {
    result_type: Option<&'a [u8]>,
    structured: Option<&'a [u8]>,
    meta: Option<&'a [u8]>,
    is_error: bool,
}

impl<'a> Seen<'a> {
    fn read(result: &'a [u8]) -> Self {
        let mut seen = Self::default();
        for field in rpc::object_fields(result) {
            match &*field.key {
                "resultType" => seen.result_type = Some(field.value),
                "structuredContent" => seen.structured = Some(field.value),
                "_meta" => seen.meta = Some(field.value),
                "isError" => seen.is_error = field.value == b"true",
                _ => (),
            }
        }
        seen
    }

    /// What a modern server says it has sent; absent means complete. A legacy server's word has no such meaning.
    fn kind(&self, upstream: Era) -> Option<Cow<'a, str>> {
        match self.result_type {
            Some(raw) if upstream == Era::Modern => rpc::string(raw),
            _ => Some("complete".into()),
        }
    }
}

fn bridge_result(bridge: &Bridge<'_>, id: &[u8], raw: &[u8]) -> Bridged {
    if !rpc::is_object(raw) {
        return unusable(id, "server answered a result that is not an object");
    }
    let seen = Seen::read(raw);
    match seen.kind(bridge.upstream).as_deref() {
        Some("complete") => (),
        Some("input_required") => {
            return unusable(id, "server asks for input during the call, which is not carried yet");
        }
        Some("task") => return unusable(id, "server answered with a task that was not asked for"),
        _ => return unusable(id, "server answered a result of a type that is not known"),
    }
    let result = match bridge.client {
        Era::Modern => to_modern(bridge, raw, &seen),
        Era::Legacy => to_legacy(bridge, raw, &seen),
    };
    let mut body = Vec::new();
    rpc::result(&mut body, id, &result);
    let outcome = if seen.is_error { Outcome::ToolError } else { Outcome::Done };
    Bridged { body, status: 200, outcome }
}

/// Adds `resultType` where it is missing or a legacy server's own, and `serverInfo` where no server has said it.
fn to_modern<'a>(bridge: &Bridge<'_>, raw: &'a [u8], seen: &Seen<'a>) -> Cow<'a, [u8]> {
    let complete = bridge.upstream == Era::Modern && seen.result_type.is_some();
    let named = seen.meta.is_some_and(|meta| rpc::field(meta, SERVER_INFO).is_some());
    if complete && named {
        return Cow::Borrowed(raw);
    }
    let meta = match seen.meta.filter(|meta| rpc::is_object(meta)) {
        Some(meta) if named => Cow::Borrowed(meta),
        Some(meta) => Cow::Owned(edited(meta, &[Edit::Set(SERVER_INFO, bridge.model.info())])),
        None => Cow::Borrowed(bridge.model.result_meta()),
    };
    Cow::Owned(edited(raw, &[Edit::Set("resultType", br#""complete""#), Edit::Set("_meta", &meta)]))
}

/// Takes out what strict legacy parsers trip over, and wraps structured content they cannot hold.
fn to_legacy<'a>(bridge: &Bridge<'_>, raw: &'a [u8], seen: &Seen<'a>) -> Cow<'a, [u8]> {
    if bridge.upstream == Era::Legacy {
        return Cow::Borrowed(raw);
    }
    let meta = seen.meta.map(|meta| edited(meta, &[Edit::Remove(SERVER_INFO)]));
    let wrapped = seen.structured.filter(|raw| !rpc::is_object(raw)).map(|raw| [br#"{"result":"#, raw, b"}"].concat());
    let mut edits: SmallVec<[Edit<'_>; 5]> =
        ["resultType", "ttlMs", "cacheScope"].map(Edit::Remove).into_iter().collect();
    match meta.as_deref() {
        None => (),
        Some(b"{}") => edits.push(Edit::Remove("_meta")),
        Some(meta) => edits.push(Edit::Set("_meta", meta)),
    }
    if let Some(wrapped) = &wrapped {
        edits.push(Edit::Set("structuredContent", wrapped));
    }
    Cow::Owned(edited(raw, &edits))
}

/// The members of a JSON-RPC error.
struct Fault<'a> {
    message: Cow<'a, str>,
    data: Option<&'a [u8]>,
}

fn bridge_error(bridge: &Bridge<'_>, id: &[u8], raw: &[u8]) -> Bridged {
    let code = rpc::field(raw, "code").and_then(rpc::integer);
    let message = rpc::field(raw, "message").and_then(rpc::string);
    let (Some(code), Some(message)) = (code, message) else {
        return unusable(id, "server answered an error without code and message");
    };
    let fault = Fault { message, data: rpc::field(raw, "data") };
    let (body, status) = match (bridge.client, bridge.upstream, code) {
        // About our own request to the server, so never for the client's eyes as they are.
        (_, Era::Modern, -32020 | -32022) => (internal(id, "server and gate disagree on the protocol", &fault), 200),
        (Era::Modern, Era::Modern, -32021) => missing_capability(bridge, id, raw, &fault),
        (Era::Legacy, Era::Modern, -32021) => (capability_text(id, &fault), 200),
        // Codes the modern revision forbids (mcp.md 2.2).
        (Era::Modern, _, -32002) => (message_with(id, -32602, &fault.message, fault.data), 200),
        (Era::Modern, _, -32042) => (internal(id, "server asks to visit a URL, which is not carried yet", &fault), 200),
        (Era::Modern, _, -32601) => (verbatim(id, raw), 404),
        _ => (verbatim(id, raw), 200),
    };
    Bridged { body, status, outcome: Outcome::RpcError(code) }
}

/// Passed on only if the client too does not have what is missing; if it has, the gate is what lacks it.
fn missing_capability(bridge: &Bridge<'_>, id: &[u8], raw: &[u8], fault: &Fault<'_>) -> (Vec<u8>, u16) {
    let required = fault.data.and_then(|data| rpc::field(data, "requiredCapabilities")).unwrap_or_default();
    let declared = bridge.client_caps.unwrap_or_default();
    let all_declared = rpc::object_fields(required).all(|field| rpc::field(declared, &field.key).is_some());
    if rpc::is_object(required) && !all_declared {
        return (verbatim(id, raw), 400);
    }
    (internal(id, "server needs a client capability that is not carried yet", fault), 200)
}

/// A legacy client knows no such code, so its model reads the words as a failed tool.
fn capability_text(id: &[u8], fault: &Fault<'_>) -> Vec<u8> {
    let text = format!("this tool needs a client capability that is not there: {}", fault.message);
    let mut result = br#"{"content":[{"type":"text","text":"#.to_vec();
    rpc::quote(&mut result, &text);
    result.extend_from_slice(br#"}],"isError":true}"#);
    let mut out = Vec::new();
    rpc::result(&mut out, id, &result);
    out
}

fn internal(id: &[u8], why: &str, fault: &Fault<'_>) -> Vec<u8> {
    message_with(id, Kind::Internal.rpc_code(), &format!("{why}: {}", fault.message), None)
}

fn message_with(id: &[u8], code: i32, message: &str, data: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    rpc::error(&mut out, Some(id), code, message, data);
    out
}

fn verbatim(id: &[u8], error: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    rpc::error_object(&mut out, Some(id), error);
    out
}

fn unusable(id: &[u8], why: &'static str) -> Bridged {
    let body = rpc::error_body(Some(id), &Error::new(Kind::BadAnswer, why));
    Bridged { body, status: 200, outcome: Outcome::Unusable }
}

fn edited(object: &[u8], edits: &[Edit<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.len() + 128);
    rpc::edit(&mut out, object, edits);
    out
}
