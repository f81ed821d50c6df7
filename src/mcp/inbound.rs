//! What a POST is. The body decides the era, the headers are checked against it, in the order of docs/protocol.md 1.

use super::call::CallMethod;
use super::handshake::Initialize;
use super::headers::{self, HeaderValue};
use super::meta::{self, Meta, Params};
use super::refusal::Refusal;
use super::revision::{Era, Revision};
use super::task::TaskMethod;
use crate::base::error::{Error, Kind};
use crate::catalog::ListKind;
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
#[allow(clippy::large_enum_variant, reason = "made once a request, and taken apart at once")]
#[derive(Debug)]
pub enum Inbound<'a> {
    /// A request of the modern era, its headers in agreement.
    Modern(ModernRequest<'a>),
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
    /// One of the lists.
    List(ListKind),
    /// What a server answers.
    Call(CallMethod),
    /// `subscriptions/listen`.
    Listen,
}

impl ModernMethod {
    /// The method of that name; the ones the revision removed (`initialize`, `ping`, `logging/setLevel`,
    /// `resources/subscribe`) are as unknown as any other.
    fn parse(name: &str) -> Option<Self> {
        match name {
            "server/discover" => Some(Self::Discover),
            "tools/call" => Some(Self::Call(CallMethod::Tool)),
            "subscriptions/listen" => Some(Self::Listen),
            _ => Self::parse_other(name),
        }
    }
}

impl ModernMethod {
    fn parse_other(name: &str) -> Option<Self> {
        let list = ListKind::of_method(name).map(Self::List);
        let task = || TaskMethod::parse(name).map(CallMethod::Task);
        list.or_else(|| CallMethod::parse(name).or_else(task).map(Self::Call))
    }
}

/// Says what a POST is (docs/protocol.md 1, steps 4 to 7).
///
/// # Errors
/// The refusal with its status and code, echoing the id of a request.
pub fn classify<'a>(headers: &Headers<'a>, message: Message<'a>) -> Result<Inbound<'a>, Refusal> {
    match message {
        Message::Batch(batch) => classify_batch(headers, batch),
        Message::Single(envelope) => match is_modern(&envelope) {
            true => classify_modern(headers, &envelope, Params::of(&envelope)),
            false if names_modern(headers) => Err(half_modern(&envelope)).or_else(accept_notification(&envelope)),
            false => classify_legacy(headers, envelope),
        },
    }
}

/// Whether `_meta` has the key that makes a message modern, whatever its value.
fn is_modern(envelope: &Envelope<'_>) -> bool {
    envelope.meta.iter().any(|(name, _)| *name.text() == *meta::PROTOCOL_VERSION.as_bytes())
}

fn names_modern(headers: &Headers<'_>) -> bool {
    let named = headers.protocol_version.one().and_then(Revision::parse);
    named.is_some_and(|revision| revision.era() == Era::Modern)
}

/// Step 4: batches exist only in 2025-03-26 sessions.
fn classify_batch<'a>(headers: &Headers<'a>, batch: Vec<Envelope<'a>>) -> Result<Inbound<'a>, Refusal> {
    if names_modern(headers) || batch.iter().any(is_modern) {
        return Err(Refusal::new(invalid("this revision has no batches; send one message a request"), None));
    }
    if batch.iter().any(|envelope| envelope.method_name() == "initialize") {
        return Err(Refusal::new(invalid("initialize must not be in a batch"), None));
    }
    into_session(headers, None, Message::Batch(batch))
}

/// Step 5.
fn classify_modern<'a>(
    headers: &Headers<'a>,
    envelope: &Envelope<'a>,
    params: Params<'a>,
) -> Result<Inbound<'a>, Refusal> {
    let Some(id) = envelope.id.filter(|_| envelope.kind == MessageKind::Request) else {
        return Ok(Inbound::Accepted);
    };
    modern_request(headers, envelope, params, id).map(Inbound::Modern)
}

fn modern_request<'a>(
    headers: &Headers<'a>,
    envelope: &Envelope<'a>,
    params: Params<'a>,
    id: &'a [u8],
) -> Result<ModernRequest<'a>, Refusal> {
    let refuse = |error| Refusal::new(error, Some(id));
    let meta = Meta::of(envelope).map_err(refuse)?;
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
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some(params.task_id),
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
/// fine, unknown is not (docs/protocol.md 1, steps 7 and 8).
///
/// # Errors
/// `Kind::InvalidRequest` (400) where the id is missing or repeated, or the version unknown;
/// `Kind::MethodNotAllowed` (405) where the version is a modern one: it has no GET, no DELETE and no sessions. A POST
/// under it is refused before it comes here.
pub fn session_id<'a>(headers: &Headers<'a>) -> Result<&'a str, Error> {
    match headers.protocol_version {
        HeaderValue::Absent => (),
        version => match version.one().and_then(Revision::parse).map(Revision::era) {
            Some(Era::Legacy) => (),
            Some(Era::Modern) => return Err(Error::new(Kind::MethodNotAllowed, "this revision knows POST alone")),
            None => return Err(invalid("MCP-Protocol-Version is unknown or repeated")),
        },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::caps::ClientCaps;
    use serde_json::{Value, json};

    const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    const CAPS: &str = "io.modelcontextprotocol/clientCapabilities";

    fn modern_headers<'a>(method: &'a str, name: HeaderValue<'a>) -> Headers<'a> {
        Headers {
            protocol_version: HeaderValue::One("2026-07-28"),
            method: HeaderValue::One(method),
            name,
            session: HeaderValue::Absent,
        }
    }

    fn modern_body(method: &str, params: &Value) -> String {
        let mut params = params.clone();
        params["_meta"] = json!({VERSION: "2026-07-28", CAPS: {}});
        json!({"jsonrpc": "2.0", "id": "r1", "method": method, "params": params}).to_string()
    }

    fn classified<'a>(headers: &Headers<'a>, body: &'a str) -> Result<Inbound<'a>, Refusal> {
        classify(headers, rpc::parse(body.as_bytes()).unwrap())
    }

    /// Status, code and whether the id came back.
    fn refused(headers: &Headers<'_>, body: &str) -> (u16, i32, bool) {
        let refusal = classified(headers, body).expect_err(body);
        let answer: Value = serde_json::from_slice(&refusal.body()).unwrap();
        assert_eq!(answer["error"]["code"], refusal.error.kind.rpc_code());
        (refusal.status, refusal.error.kind.rpc_code(), answer.get("id").is_some())
    }

    #[test]
    fn a_session_is_asked_for_by_legacy_requests_only() {
        let under = |version| {
            let headers = Headers { protocol_version: version, session: HeaderValue::One("s"), ..Headers::default() };
            session_id(&headers).map_err(|error| error.kind.http_status())
        };
        assert_eq!(under(HeaderValue::Absent), Ok("s"));
        assert_eq!(under(HeaderValue::One("2025-06-18")), Ok("s"));
        assert_eq!(under(HeaderValue::One("2099-01-01")), Err(400));
        assert_eq!(under(HeaderValue::Repeated), Err(400));
        assert_eq!(under(HeaderValue::One("2026-07-28")), Err(405));
    }

    #[test]
    fn a_modern_request_in_agreement_is_taken() {
        for (method, name, expected) in [
            ("server/discover", HeaderValue::Absent, ModernMethod::Discover),
            ("tools/list", HeaderValue::Absent, ModernMethod::List(ListKind::Tools)),
            ("resources/templates/list", HeaderValue::Absent, ModernMethod::List(ListKind::Templates)),
            ("tools/call", HeaderValue::One("get"), ModernMethod::Call(CallMethod::Tool)),
            ("subscriptions/listen", HeaderValue::Absent, ModernMethod::Listen),
        ] {
            let body = modern_body(method, &json!({"name": "get"}));
            let Inbound::Modern(request) = classified(&modern_headers(method, name), &body).unwrap() else {
                panic!("{method}")
            };
            assert_eq!((request.method, request.id), (expected, &br#""r1""#[..]));
            assert_eq!(request.revision, Revision::V2026_07_28);
        }
    }

    /// Step 5, first check: malformed or missing `_meta` keys are -32602 with 400, before any header counts.
    #[test]
    fn step_5_missing_meta_keys_come_first() {
        for meta in [
            json!({VERSION: "2026-07-28"}),
            json!({VERSION: 1, CAPS: {}}),
            json!({VERSION: "2026-07-28", CAPS: []}),
            json!({VERSION: "2026-07-28", CAPS: {}, "progressToken": 1.5}),
            json!({VERSION: "2099-01-01"}),
        ] {
            let body = json!({"jsonrpc": "2.0", "id": 1, "method": "nope", "params": {"_meta": meta}}).to_string();
            assert_eq!(refused(&Headers::default(), &body), (400, -32602, true), "{body}");
        }
    }

    /// Step 5, second and third check: a header that differs outranks a version that is not served.
    #[test]
    fn step_5_a_differing_version_header_outranks_an_unknown_version() {
        let meta = json!({VERSION: "2099-01-01", CAPS: {}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}).to_string();
        let mut headers = modern_headers("tools/list", HeaderValue::Absent);
        assert_eq!(refused(&headers, &body), (400, -32020, true));
        headers.protocol_version = HeaderValue::Repeated;
        assert_eq!(refused(&headers, &body), (400, -32020, true));
        for agreeing in [HeaderValue::One("2099-01-01"), HeaderValue::Absent] {
            headers.protocol_version = agreeing;
            assert_eq!(refused(&headers, &body), (400, -32022, true));
        }
        let answer: Value = serde_json::from_slice(&classified(&headers, &body).unwrap_err().body()).unwrap();
        assert_eq!(answer["error"]["data"], json!({"supported": ["2026-07-28"], "requested": "2099-01-01"}));
        let legacy = body.replace("2099-01-01", "2025-11-25");
        assert_eq!(refused(&Headers::default(), &legacy), (400, -32022, true), "legacy ones are not served this way");
    }

    /// Step 5, fourth check: each required header must be there once and agree.
    #[test]
    fn step_5_mirrored_headers_must_agree() {
        let body = modern_body("tools/call", &json!({"name": "get"}));
        let good = modern_headers("tools/call", HeaderValue::One("get"));
        let bad = [
            Headers { protocol_version: HeaderValue::Absent, ..good },
            Headers { method: HeaderValue::Absent, ..good },
            Headers { method: HeaderValue::One("tools/list"), ..good },
            Headers { method: HeaderValue::One("Tools/call"), ..good },
            Headers { method: HeaderValue::Repeated, ..good },
            Headers { name: HeaderValue::Absent, ..good },
            Headers { name: HeaderValue::Repeated, ..good },
            Headers { name: HeaderValue::One("put"), ..good },
            Headers { name: HeaderValue::One("=?base64?cHV0?="), ..good },
            Headers { name: HeaderValue::One("=?base64?!?="), ..good },
        ];
        for headers in bad {
            assert_eq!(refused(&headers, &body), (400, -32020, true), "{headers:?}");
        }
        let wrapped = Headers { name: HeaderValue::One("=?base64?Z2V0?="), ..good };
        assert!(classified(&wrapped, &body).is_ok());
        let read = modern_body("resources/read", &json!({"uri": "a://b"}));
        assert_eq!(refused(&modern_headers("resources/read", HeaderValue::One("a://c")), &read).1, -32020);
        assert!(classified(&modern_headers("resources/read", HeaderValue::One("a://b")), &read).is_ok());
        let task = modern_body("tasks/get", &json!({"taskId": "t"}));
        assert_eq!(refused(&modern_headers("tasks/get", HeaderValue::One("u")), &task).1, -32020);
    }

    /// Step 5, last check: methods not served, those the revision removed among them, are 404.
    #[test]
    fn step_5_methods_that_are_not_served_are_404() {
        for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "tasks/list", "", "tools/List"]
        {
            let body = modern_body(method, &json!({}));
            assert_eq!(refused(&modern_headers(method, HeaderValue::Absent), &body), (404, -32601, true), "{method}");
        }
    }

    /// Step 6: a modern header without modern `_meta` is never served as legacy.
    #[test]
    fn step_6_a_modern_header_alone_is_refused() {
        let headers = Headers {
            protocol_version: HeaderValue::One("2026-07-28"),
            session: HeaderValue::One("s"),
            ..Headers::default()
        };
        let body = |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).to_string();
        assert_eq!(refused(&headers, &body("initialize")), (400, -32020, true));
        assert_eq!(refused(&headers, &body("tools/list")), (400, -32602, true));
        assert_eq!(refused(&headers, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), (400, -32600, true));
        let notification = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
        assert!(matches!(classified(&headers, notification), Ok(Inbound::Accepted)));
    }

    /// Step 4: batches.
    #[test]
    fn step_4_batches_are_for_legacy_sessions_only() {
        let plain = r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#;
        let with_meta = format!("[{}]", modern_body("tools/list", &json!({})));
        let session = Headers { session: HeaderValue::One("s"), ..Headers::default() };
        assert_eq!(refused(&session, &with_meta), (400, -32600, false));
        assert_eq!(refused(&modern_headers("tools/list", HeaderValue::Absent), plain), (400, -32600, false));
        assert_eq!(refused(&Headers::default(), plain), (400, -32600, false), "no session");
        let initialize = r#"[{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}]"#;
        assert_eq!(refused(&session, initialize), (400, -32600, false));
        let taken = classified(&session, plain);
        assert!(matches!(taken, Ok(Inbound::Session { session: "s", message: Message::Batch(_) })));
    }

    /// Step 7: `initialize` opens, everything else needs a session.
    #[test]
    fn step_7_legacy_messages() {
        let client = json!({"name": "c", "version": "1"});
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {"sampling": {}}, "clientInfo": client});
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string();
        let Inbound::Initialize(initialize) = classified(&Headers::default(), &body).unwrap() else { panic!() };
        assert_eq!((initialize.revision, initialize.id), (Revision::V2025_06_18, &b"0"[..]));
        assert!(initialize.caps.has(ClientCaps::SAMPLING));

        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        assert_eq!(refused(&Headers::default(), list), (400, -32600, true));
        let mut headers = Headers { session: HeaderValue::One("s"), ..Headers::default() };
        assert!(matches!(classified(&headers, list), Ok(Inbound::Session { session: "s", .. })));
        headers.protocol_version = HeaderValue::One("2025-03-26");
        headers.method = HeaderValue::One("some clients send it in the legacy era too");
        assert!(matches!(classified(&headers, list), Ok(Inbound::Session { .. })));
        headers.protocol_version = HeaderValue::One("2020-01-01");
        assert_eq!(refused(&headers, list), (400, -32600, true));
        headers.protocol_version = HeaderValue::Absent;
        headers.session = HeaderValue::Repeated;
        assert_eq!(refused(&headers, list), (400, -32600, true));
    }

    #[test]
    fn an_unknown_session_is_404_under_the_request_id() {
        let body = br#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;
        let error = Error::new(Kind::SessionNotFound, "session not found");
        let refusal = unknown_session(error, &rpc::parse(body).unwrap());
        assert_eq!((refusal.status, refusal.id.as_deref()), (404, Some(&b"7"[..])));
    }

    #[test]
    fn a_modern_notification_is_accepted() {
        let body = json!({"jsonrpc": "2.0", "method": "notifications/x", "params": {"_meta": {VERSION: "2026-07-28"}}});
        assert!(matches!(classified(&Headers::default(), &body.to_string()), Ok(Inbound::Accepted)));
    }

    #[test]
    fn any_body_under_any_headers_is_classified_without_panic() {
        const METHODS: [&str; 5] = ["tools/call", "initialize", "tools/list", "x", "server/discover"];
        let texts = ["2026-07-28", "2025-11-25", "tools/call", "get", "", "=?base64?"];
        bolero::check!().with_type::<(u8, [u8; 4], bool, bool)>().for_each(|&(method, picks, version, request)| {
            let pick = |pick: u8| match usize::from(pick) % 8 {
                6 => HeaderValue::Absent,
                7 => HeaderValue::Repeated,
                n => HeaderValue::One(texts[n]),
            };
            let [a, b, c, d] = picks.map(pick);
            let headers = Headers { protocol_version: a, method: b, name: c, session: d };
            let params = json!({"name": "get", "_meta": {CAPS: {}}});
            let mut body = json!({"jsonrpc": "2.0", "method": METHODS[usize::from(method) % 5], "params": params});
            if version {
                body["params"]["_meta"][VERSION] = json!("2026-07-28");
            }
            if request {
                body["id"] = json!(1);
            }
            match classified(&headers, &body.to_string()) {
                Ok(Inbound::Modern(_)) => assert!(version && request),
                Ok(Inbound::Session { .. } | Inbound::Initialize(_)) => assert!(!version),
                Ok(Inbound::Accepted) => assert!(!request),
                Err(refusal) => assert_eq!(refusal.id.is_some(), request),
            }
        });
    }
}
