//! What a POST is. The body decides the era, the headers are checked against it, in the order of mcp.md 1.1.

use super::handshake::Initialize;
use super::headers::{self, HeaderValue};
use super::meta::{self, Meta, Params};
use super::refusal::Refusal;
use super::revision::{Era, Revision};
use crate::base::error::{Error, Kind};
use crate::wire::rpc::{self, Envelope, Message, MessageKind};
use std::borrow::Cow;

/// The headers that say something about an MCP message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// `MCP-Protocol-Version`.
    pub protocol_version: HeaderValue<'a>,
    /// `Mcp-Method`.
    pub method: HeaderValue<'a>,
    /// `Mcp-Name`.
    pub name: HeaderValue<'a>,
    /// `Mcp-Session-Id`.
    pub session: HeaderValue<'a>,
}

/// What a POST is.
#[derive(Debug)]
pub enum Inbound<'a> {
    /// A request of the modern era, its headers in agreement.
    Modern(Box<ModernRequest<'a>>),
    /// A modern notification: answered 202, nothing to do.
    Accepted,
    /// Opens a legacy session.
    Initialize(Initialize<'a>),
    /// Belongs to a legacy session: open `session` with `session::open` (404 where that fails), then `legacy::admit`.
    Session {
        /// The session id as presented.
        session: &'a str,
        /// The message or batch.
        message: Message<'a>,
    },
}

/// A modern request.
#[derive(Debug)]
pub struct ModernRequest<'a> {
    /// The raw id.
    pub id: &'a [u8],
    /// What is asked.
    pub method: ModernMethod,
    /// The members of `params`.
    pub params: Params<'a>,
    /// The members of `_meta`; version and capabilities are there.
    pub meta: Meta<'a>,
    /// The revision named.
    pub revision: Revision,
}

/// The modern methods we serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModernMethod {
    /// `server/discover`.
    Discover,
    /// `tools/list`.
    ToolsList,
    /// `tools/call`.
    ToolsCall,
    /// `subscriptions/listen`.
    Listen,
}

impl ModernMethod {
    /// The method of that name; the ones the revision removed (`initialize`, `ping`, `logging/setLevel`,
    /// `resources/subscribe`) are as unknown as any other.
    fn parse(name: &str) -> Option<Self> {
        match name {
            "server/discover" => Some(Self::Discover),
            "tools/list" => Some(Self::ToolsList),
            "tools/call" => Some(Self::ToolsCall),
            "subscriptions/listen" => Some(Self::Listen),
            _ => None,
        }
    }
}

/// Says what a POST is (mcp.md 1.1, steps 4 to 7).
///
/// # Errors
/// The refusal with its status and code, echoing the id of a request.
pub fn classify<'a>(headers: &Headers<'a>, message: Message<'a>) -> Result<Inbound<'a>, Refusal> {
    match message {
        Message::Batch(batch) => classify_batch(headers, batch),
        Message::Single(envelope) => match version_key(&envelope) {
            Some(_) => classify_modern(headers, &envelope),
            None if names_modern(headers) => Err(half_modern(&envelope)).or_else(accept_notification(&envelope)),
            None => classify_legacy(headers, envelope),
        },
    }
}

/// The raw value of the `_meta` key that makes a message modern.
fn version_key<'a>(envelope: &Envelope<'a>) -> Option<&'a [u8]> {
    let meta = rpc::field(envelope.params?, "_meta")?;
    rpc::field(meta, meta::PROTOCOL_VERSION)
}

fn names_modern(headers: &Headers<'_>) -> bool {
    let named = headers.protocol_version.one().and_then(Revision::parse);
    named.is_some_and(|revision| revision.era() == Era::Modern)
}

/// Step 4: batches exist only in 2025-03-26 sessions.
fn classify_batch<'a>(headers: &Headers<'a>, batch: Vec<Envelope<'a>>) -> Result<Inbound<'a>, Refusal> {
    if names_modern(headers) || batch.iter().any(|envelope| version_key(envelope).is_some()) {
        return Err(Refusal::new(invalid("this revision has no batches; send one message a request"), None));
    }
    if batch.iter().any(|envelope| envelope.method_name() == "initialize") {
        return Err(Refusal::new(invalid("initialize must not be in a batch"), None));
    }
    into_session(headers, None, Message::Batch(batch))
}

/// Step 5.
fn classify_modern<'a>(headers: &Headers<'a>, envelope: &Envelope<'a>) -> Result<Inbound<'a>, Refusal> {
    let Some(id) = envelope.id.filter(|_| envelope.kind == MessageKind::Request) else {
        return Ok(Inbound::Accepted);
    };
    modern_request(headers, envelope, id).map(|request| Inbound::Modern(Box::new(request)))
}

fn modern_request<'a>(
    headers: &Headers<'a>,
    envelope: &Envelope<'a>,
    id: &'a [u8],
) -> Result<ModernRequest<'a>, Refusal> {
    let refuse = |error| Refusal::new(error, Some(id));
    let params = Params::read(envelope.params);
    let meta = Meta::read(params.meta).map_err(refuse)?;
    let (Some(version), Some(_)) = (meta.version.as_deref(), meta.capabilities) else {
        return Err(refuse(meta::wrong("_meta must name protocolVersion and clientCapabilities")));
    };
    let header = headers.protocol_version;
    if header != HeaderValue::Absent && header.one() != Some(version) {
        return Err(refuse(mismatch("MCP-Protocol-Version differs from the body or is repeated")));
    }
    let Some(revision) = Revision::parse(version).filter(|revision| revision.era() == Era::Modern) else {
        return Err(Refusal::unsupported(version, Some(id)));
    };
    let name = envelope.method_name();
    agree(headers, name, &params).map_err(refuse)?;
    let Some(method) = ModernMethod::parse(name) else {
        return Err(refuse(Error::new(Kind::MethodNotFound, "method not found")));
    };
    Ok(ModernRequest { id, method, params, meta, revision })
}

/// The required headers are there and say what the body says.
fn agree(headers: &Headers<'_>, method: &str, params: &Params<'_>) -> Result<(), Error> {
    if headers.protocol_version == HeaderValue::Absent {
        return Err(mismatch("header MCP-Protocol-Version is missing"));
    }
    if headers.method.one() != Some(method) {
        return Err(mismatch("header Mcp-Method is missing, repeated or differs from the body"));
    }
    match named_by(method, params) {
        Some(raw) => headers::check_name(headers.name, raw.and_then(rpc::string).as_deref()),
        None => Ok(()),
    }
}

/// The member that `Mcp-Name` mirrors, for the methods that have one (the outer option).
fn named_by<'a>(method: &str, params: &Params<'a>) -> Option<Option<&'a [u8]>> {
    match method {
        "tools/call" | "prompts/get" => Some(params.name),
        "resources/read" => Some(params.uri),
        _ => None,
    }
}

/// Step 6: the header says modern, the body does not. Never served as legacy.
fn half_modern(envelope: &Envelope<'_>) -> Refusal {
    let error = match (envelope.kind, envelope.method_name()) {
        (MessageKind::Response, _) => invalid("clients of this revision send no responses"),
        (_, "initialize") => mismatch("initialize does not exist in the revision that MCP-Protocol-Version names"),
        _ => meta::wrong("_meta must name io.modelcontextprotocol/protocolVersion and clientCapabilities"),
    };
    Refusal::new(error, envelope.id)
}

/// A modern notification need not carry `_meta`.
fn accept_notification<'a>(envelope: &Envelope<'_>) -> impl FnOnce(Refusal) -> Result<Inbound<'a>, Refusal> {
    let accept = envelope.kind == MessageKind::Notification && envelope.method_name() != "initialize";
    move |refusal| if accept { Ok(Inbound::Accepted) } else { Err(refusal) }
}

/// Step 7.
fn classify_legacy<'a>(headers: &Headers<'a>, envelope: Envelope<'a>) -> Result<Inbound<'a>, Refusal> {
    match envelope.id {
        Some(id) if envelope.kind == MessageKind::Request && envelope.method_name() == "initialize" => {
            let initialize = Initialize::read(id, envelope.params);
            initialize.map(Inbound::Initialize).map_err(|error| Refusal::in_band(error, Some(id)))
        }
        id => into_session(headers, id, Message::Single(envelope)),
    }
}

fn into_session<'a>(headers: &Headers<'a>, id: Option<&[u8]>, message: Message<'a>) -> Result<Inbound<'a>, Refusal> {
    match session_id(headers) {
        Ok(session) => Ok(Inbound::Session { session, message }),
        Err(error) => Err(Refusal::new(error, id)),
    }
}

/// The session id that a POST, GET or DELETE of the legacy era must present, the version header checked: absent is
/// fine, unknown is not (mcp.md 1.1 steps 7 and 8).
///
/// # Errors
/// `Kind::InvalidRequest` (400) where the id is missing or repeated, or the version unknown;
/// `Kind::MethodNotAllowed` never: a GET under a modern version header is the caller's to refuse with 405.
pub fn session_id<'a>(headers: &Headers<'a>) -> Result<&'a str, Error> {
    let version = headers.protocol_version;
    if version != HeaderValue::Absent && version.one().and_then(Revision::parse).is_none() {
        return Err(invalid("MCP-Protocol-Version is unknown or repeated"));
    }
    headers.session.one().ok_or_else(|| invalid("header Mcp-Session-Id is missing or repeated; send initialize first"))
}

/// The refusal of a session id that `session::open` did not accept: 404, upon which a client initializes anew.
pub fn unknown_session(error: Error, message: &Message<'_>) -> Refusal {
    match message {
        Message::Single(envelope) => Refusal::new(error, envelope.id),
        Message::Batch(_) => Refusal::new(error, None),
    }
}

pub(super) fn invalid(why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::InvalidRequest, why)
}

fn mismatch(why: &'static str) -> Error {
    Error::new(Kind::HeaderMismatch, why)
}
