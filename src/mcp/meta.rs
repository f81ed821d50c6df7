//! What `params` and its `_meta` say: progress token, client, capabilities, log level, trace.

use super::trace::TraceContext;
use crate::base::error::{Error, Kind, Result};
use crate::base::limits::{CLIENT_INFO_MAX, RPC_ID_MAX};
use crate::wire::rpc::{self, Envelope};
use std::borrow::Cow;

/// `_meta` key of the protocol version; its presence makes a request modern.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` key of the client's name and version.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// `_meta` key of the client's capabilities.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// `_meta` key of the least log level the client wants during this request.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// `_meta` key of the server's name and version on a result.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// `_meta` key of the listen request a notification belongs to.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// The keys of `_meta` as bytes, to match on.
mod key {
    pub(super) const PROTOCOL_VERSION: &[u8] = super::PROTOCOL_VERSION.as_bytes();
    pub(super) const CLIENT_INFO: &[u8] = super::CLIENT_INFO.as_bytes();
    pub(super) const CLIENT_CAPABILITIES: &[u8] = super::CLIENT_CAPABILITIES.as_bytes();
    pub(super) const LOG_LEVEL: &[u8] = super::LOG_LEVEL.as_bytes();
}

/// The members of `params` that any method we serve reads; raw spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    /// `_meta`.
    pub meta: Option<&'a [u8]>,
    /// `name` (`tools/call`, `prompts/get`).
    pub name: Option<&'a [u8]>,
    /// `uri` (`resources/read`).
    pub uri: Option<&'a [u8]>,
    /// `arguments` (`tools/call`).
    pub arguments: Option<&'a [u8]>,
    /// `cursor` (lists).
    pub cursor: Option<&'a [u8]>,
    /// `notifications` (`subscriptions/listen`).
    pub notifications: Option<&'a [u8]>,
    /// `level` (`logging/setLevel`).
    pub level: Option<&'a [u8]>,
    /// `requestId` (`notifications/cancelled`).
    pub request_id: Option<&'a [u8]>,
    /// `inputResponses` (requests that come again).
    pub input_responses: Option<&'a [u8]>,
    /// `requestState` (requests that come again).
    pub request_state: Option<&'a [u8]>,
    /// `taskId` (`tasks/*`).
    pub task_id: Option<&'a [u8]>,
    /// `argument` (`completion/complete`).
    pub argument: Option<&'a [u8]>,
    /// `ref` (`completion/complete`).
    pub reference: Option<&'a [u8]>,
    /// `context` (`completion/complete`).
    pub context: Option<&'a [u8]>,
}

impl<'a> Params<'a> {
    /// The `params` of a message.
    pub fn of(message: &Envelope<'a>) -> Self {
        let mut params = Self::default();
        message.members.iter().for_each(|(name, value)| params.note(&name.text(), value));
        params
    }

    /// Raw `params` that came in no message.
    #[cfg(test)]
    pub(crate) fn read(raw: Option<&'a [u8]>) -> Self {
        let mut params = Self::default();
        rpc::object_fields(raw.unwrap_or_default()).for_each(|field| params.note(&field.key, field.value));
        params
    }

    fn note(&mut self, key: &[u8], value: &'a [u8]) {
        let slot = match key {
            b"_meta" => &mut self.meta,
            b"name" => &mut self.name,
            b"uri" => &mut self.uri,
            b"arguments" => &mut self.arguments,
            b"cursor" => &mut self.cursor,
            b"notifications" => &mut self.notifications,
            b"level" => &mut self.level,
            b"requestId" => &mut self.request_id,
            b"inputResponses" => &mut self.input_responses,
            b"requestState" => &mut self.request_state,
            b"taskId" => &mut self.task_id,
            b"argument" => &mut self.argument,
            b"ref" => &mut self.reference,
            b"context" => &mut self.context,
            _ => return,
        };
        *slot = Some(value);
    }
}

/// The members of `_meta` we read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta<'a> {
    /// The protocol version the request is made under; makes it modern.
    pub version: Option<Cow<'a, str>>,
    /// The raw capabilities object.
    pub capabilities: Option<&'a [u8]>,
    /// Who the client says it is. For display and records only.
    pub client: Option<ClientInfo<'a>>,
    /// The least level of log notifications wanted during this request; absent means none.
    pub log_level: Option<LogLevel>,
    /// The raw token, a string or an integer.
    pub progress_token: Option<&'a [u8]>,
    /// W3C `traceparent`, unchecked.
    pub traceparent: Option<Cow<'a, str>>,
    /// W3C `tracestate`, unchecked.
    pub tracestate: Option<Cow<'a, str>>,
}

impl<'a> Meta<'a> {
    /// The trace the client is in, where it says so in a form that is valid.
    pub fn trace(&self) -> Option<TraceContext> {
        self.traceparent.as_deref().and_then(TraceContext::parse)
    }

    /// Reads a raw `_meta`.
    ///
    /// # Errors
    /// `Kind::InvalidParams` if it is no object or one of the members has the wrong type.
    pub fn read(raw: Option<&'a [u8]>) -> Result<Self> {
        let mut meta = Self::default();
        if raw.is_some_and(|raw| !rpc::is_object(raw)) {
            return Err(wrong("_meta must be an object"));
        }
        for field in rpc::object_fields(raw.unwrap_or_default()) {
            meta.note(&field.key, field.value)?;
        }
        Ok(meta)
    }

    /// The `_meta` of a message, an object whose members the message has noted.
    ///
    /// # Errors
    /// `Kind::InvalidParams` if one of the members has the wrong type.
    pub fn of(message: &Envelope<'a>) -> Result<Self> {
        let mut meta = Self::default();
        message.meta.iter().try_for_each(|(name, value)| meta.note(&name.text(), value))?;
        Ok(meta)
    }

    fn note(&mut self, name: &[u8], value: &'a [u8]) -> Result<()> {
        match name {
            key::PROTOCOL_VERSION => self.version = Some(text(value, "protocolVersion must be a string")?),
            key::CLIENT_CAPABILITIES => {
                self.capabilities = Some(object(value, "clientCapabilities must be an object")?)
            }
            key::CLIENT_INFO => self.client = Some(ClientInfo::read(value)?),
            key::LOG_LEVEL => self.log_level = Some(LogLevel::read(value)?),
            b"progressToken" => self.progress_token = Some(token(value)?),
            // A trace context of the wrong type is ignored like a malformed one.
            b"traceparent" => self.traceparent = rpc::string(value),
            b"tracestate" => self.tracestate = rpc::string(value),
            _ => (),
        }
        Ok(())
    }
}

/// A client's or server's name and version as it gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its version.
    pub version: Cow<'a, str>,
}

impl<'a> ClientInfo<'a> {
    /// Reads a raw `Implementation`.
    ///
    /// # Errors
    /// `Kind::InvalidParams` if it is no object with a `name` and a `version`, both strings.
    pub fn read(raw: &'a [u8]) -> Result<Self> {
        let (mut name, mut version) = (None, None);
        for field in rpc::object_fields(raw) {
            match &*field.key {
                b"name" => name = rpc::string(field.value),
                b"version" => version = rpc::string(field.value),
                _ => (),
            }
        }
        let (Some(name), Some(version)) = (name, version) else {
            return Err(wrong("clientInfo must have a name and a version"));
        };
        Ok(Self { name, version })
    }
}

/// The first `CLIENT_INFO_MAX` bytes of a text, cut at a character.
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(CLIENT_INFO_MAX)]
}

/// How grave a log notification is, least first (RFC 5424).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LogLevel {
    /// `debug`.
    Debug,
    /// `info`.
    Info,
    /// `notice`.
    Notice,
    /// `warning`.
    Warning,
    /// `error`.
    Error,
    /// `critical`.
    Critical,
    /// `alert`.
    Alert,
    /// `emergency`.
    Emergency,
}

impl LogLevel {
    /// All of them, least grave first.
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// The level's name on the wire.
    pub fn as_str(self) -> &'static str {
        ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"][self as usize]
    }

    /// Reads a raw level.
    ///
    /// # Errors
    /// `Kind::InvalidParams` if it is not one of the eight.
    pub fn read(raw: &[u8]) -> Result<Self> {
        let name = rpc::string(raw);
        let found = Self::ALL.into_iter().find(|level| name.as_deref() == Some(level.as_str()));
        found.ok_or_else(|| {
            wrong("log level must be one of debug, info, notice, warning, error, critical, alert, emergency")
        })
    }
}

/// The raw form of a progress token or request id.
fn token(raw: &[u8]) -> Result<&[u8]> {
    let fits = raw.len() <= RPC_ID_MAX && (rpc::is_string(raw) || rpc::integer(raw).is_some());
    if fits { Ok(raw) } else { Err(wrong("progressToken must be a string or an integer")) }
}

fn text<'a>(raw: &'a [u8], why: &'static str) -> Result<Cow<'a, str>> {
    rpc::string(raw).ok_or_else(|| wrong(why))
}

fn object<'a>(raw: &'a [u8], why: &'static str) -> Result<&'a [u8]> {
    if rpc::is_object(raw) { Ok(raw) } else { Err(wrong(why)) }
}

/// A parameter that is missing or of the wrong type.
pub(super) fn wrong(why: &'static str) -> Error {
    Error::new(Kind::InvalidParams, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_read() {
        let raw = br#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","vendor/x":1,
            "io.modelcontextprotocol/clientInfo":{"name":"n","version":"1","title":"t"},
            "io.modelcontextprotocol/clientCapabilities":{"roots":{},"elicitation":{"url":{}}},
            "io.modelcontextprotocol/logLevel":"warning","progressToken":"t\u0031",
            "traceparent":"00-a","tracestate":7}"#;
        let meta = Meta::read(Some(raw)).unwrap();
        assert_eq!(meta.version.as_deref(), Some("2026-07-28"));
        assert_eq!(meta.client.unwrap().name, "n");
        assert_eq!(meta.log_level, Some(LogLevel::Warning));
        assert_eq!(meta.progress_token, Some(&br#""t\u0031""#[..]));
        assert_eq!((meta.traceparent.as_deref(), meta.tracestate), (Some("00-a"), None));
        assert_eq!(meta.capabilities, Some(&br#"{"roots":{},"elicitation":{"url":{}}}"#[..]));
    }

    #[test]
    fn wrong_types_are_invalid_params() {
        for bad in [
            &b"1"[..],
            b"null",
            br#"{"progressToken":1.5}"#,
            br#"{"progressToken":null}"#,
            br#"{"progressToken":{}}"#,
            br#"{"io.modelcontextprotocol/protocolVersion":20260728}"#,
            br#"{"io.modelcontextprotocol/clientCapabilities":[]}"#,
            br#"{"io.modelcontextprotocol/clientInfo":{"name":"n"}}"#,
            br#"{"io.modelcontextprotocol/clientInfo":"n"}"#,
            br#"{"io.modelcontextprotocol/logLevel":"loud"}"#,
        ] {
            let error = Meta::read(Some(bad)).unwrap_err();
            assert_eq!(error.kind, Kind::InvalidParams, "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(Meta::read(None).unwrap(), Meta::default());
    }

    #[test]
    fn a_name_is_cut_at_a_character() {
        assert_eq!(cut(&"é".repeat(40)).len(), CLIENT_INFO_MAX);
        assert_eq!(cut(&("x".to_owned() + &"é".repeat(40))).len(), CLIENT_INFO_MAX - 1);
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn levels_are_ordered_and_named() {
        assert!(LogLevel::ALL.is_sorted());
        for level in LogLevel::ALL {
            assert_eq!(LogLevel::read(&rpc::quoted(level.as_str())), Ok(level));
        }
        assert!(LogLevel::read(b"\"Info\"").is_err());
    }
}
