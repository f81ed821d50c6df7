//! The messages we send to servers, each with an id we minted.

use crate::upstream::answer::{LegEra, UpstreamCall};
use crate::wire::rpc;
use bytes::Bytes;

/// The one modern revision we speak.
pub(super) const MODERN_VERSION: &str = "2026-07-28";
/// The legacy revision we offer in `initialize`; some servers echo whatever is asked, so nothing newer is ever offered.
pub(super) const LEGACY_OFFER: &str = "2025-11-25";
/// The legacy revisions we accept as an answer to that.
pub(super) const LEGACY_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Who we are: sent as `clientInfo` where no client of ours is named.
pub(super) const OUR_INFO: &str =
    concat!(r#"{"name":"tollgate","title":"Tollgate","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// A request of ours.
pub(super) struct Ask {
    /// Its method.
    pub(super) method: &'static str,
    /// What `Mcp-Name` says about it, where the modern era wants that.
    pub(super) name: Option<Box<str>>,
    /// The message.
    pub(super) body: Bytes,
}

/// `server/discover`.
pub(super) fn discover(id: u64) -> Ask {
    ask(id, "server/discover", None, &object(|out| meta(out, LegEra::Modern, id, None)))
}

/// `initialize`, offering the newest legacy revision and no capability: what a server may ask of a client comes later.
pub(super) fn initialize(id: u64) -> Ask {
    let params = format!(r#"{{"protocolVersion":"{LEGACY_OFFER}","capabilities":{{}},"clientInfo":{OUR_INFO}}}"#);
    ask(id, "initialize", None, params.as_bytes())
}

/// `tools/list`, from `cursor` on.
pub(super) fn list(id: u64, era: LegEra, cursor: Option<&str>) -> Ask {
    let params = object(|out| {
        if let Some(cursor) = cursor {
            key(out, "cursor");
            rpc::quote(out, cursor);
        }
        meta(out, era, id, None);
    });
    ask(id, "tools/list", None, &params)
}

/// `subscriptions/listen` for changes of the tool list.
pub(super) fn listen(id: u64) -> Ask {
    let params = object(|out| {
        key(out, "notifications");
        out.extend_from_slice(br#"{"toolsListChanged":true}"#);
        meta(out, LegEra::Modern, id, None);
    });
    ask(id, "subscriptions/listen", None, &params)
}

/// `tools/call`: the arguments stand in it as they came.
pub(super) fn call(id: u64, era: LegEra, call: &UpstreamCall) -> Ask {
    let params = object(|out| {
        key(out, "name");
        rpc::quote(out, &call.tool);
        if let Some(arguments) = &call.arguments {
            key(out, "arguments");
            out.extend_from_slice(arguments);
        }
        meta(out, era, id, Some(call));
    });
    ask(id, "tools/call", Some(call.tool.clone()), &params)
}

/// `notifications/initialized`.
pub(super) fn initialized() -> Bytes {
    notify("notifications/initialized", None)
}

/// `notifications/cancelled` for a request of ours.
pub(super) fn cancelled(id: u64) -> Bytes {
    let params = format!(r#"{{"requestId":{id},"reason":"the caller no longer waits"}}"#);
    notify("notifications/cancelled", Some(params.as_bytes()))
}

/// The answer to a server's own request: `ping` is answered, everything else is refused.
pub(super) fn reply(raw_id: &[u8], method: &str) -> Bytes {
    let mut out = Vec::with_capacity(96);
    if method == "ping" {
        rpc::result(&mut out, raw_id, b"{}");
    } else {
        rpc::error(&mut out, Some(raw_id), -32601, "this client does not serve requests of the server", None);
    }
    out.into()
}

fn ask(id: u64, method: &'static str, name: Option<Box<str>>, params: &[u8]) -> Ask {
    let mut out = Vec::with_capacity(params.len() + 96);
    rpc::request(&mut out, id.to_string().as_bytes(), method, Some(params));
    Ask { method, name, body: out.into() }
}

fn notify(method: &str, params: Option<&[u8]>) -> Bytes {
    let mut out = Vec::with_capacity(128);
    rpc::notification(&mut out, method, params);
    out.into()
}

fn object(members: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.push(b'{');
    members(&mut out);
    out.push(b'}');
    out
}

fn key(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    rpc::quote(out, name);
    out.push(b':');
}

/// `_meta`, left out where it would be empty.
fn meta(out: &mut Vec<u8>, era: LegEra, id: u64, call: Option<&UpstreamCall>) {
    let inside = object(|out| {
        if era == LegEra::Modern {
            identity(out, call);
        }
        if let Some(call) = call {
            call_meta(out, era, id, call);
        }
    });
    if inside.len() > 2 {
        key(out, "_meta");
        out.extend_from_slice(&inside);
    }
}

/// What every modern request carries.
fn identity(out: &mut Vec<u8>, call: Option<&UpstreamCall>) {
    let meta = call.map(|call| &call.meta);
    let info = meta.and_then(|meta| meta.client_info.as_deref()).unwrap_or(OUR_INFO.as_bytes());
    let capabilities = meta.and_then(|meta| meta.client_capabilities.as_deref()).unwrap_or(b"{}");
    key(out, "io.modelcontextprotocol/protocolVersion");
    rpc::quote(out, MODERN_VERSION);
    key(out, "io.modelcontextprotocol/clientCapabilities");
    out.extend_from_slice(capabilities);
    key(out, "io.modelcontextprotocol/clientInfo");
    out.extend_from_slice(info);
}

fn call_meta(out: &mut Vec<u8>, era: LegEra, id: u64, call: &UpstreamCall) {
    if call.meta.progress {
        key(out, "progressToken");
        out.extend_from_slice(id.to_string().as_bytes());
    }
    let log_level = call.meta.log_level.as_deref().filter(|_| era == LegEra::Modern);
    let texts = [
        ("io.modelcontextprotocol/logLevel", log_level),
        ("traceparent", call.meta.traceparent.as_deref()),
        ("tracestate", call.meta.tracestate.as_deref()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            key(out, name);
            rpc::quote(out, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::answer::CallMeta;
    use serde_json::{Value, json};

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).expect("valid JSON")
    }

    #[test]
    fn a_call_carries_what_its_era_wants_and_the_arguments_untouched() {
        let call_of = |meta| UpstreamCall {
            tool: "a\"b".into(),
            arguments: Some(Bytes::from_static(b"{ \"n\" : 1.50 }")),
            meta,
            ..UpstreamCall::default()
        };
        let plain = call(4, LegEra::Legacy, &call_of(CallMeta::default()));
        let text =
            r#"{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"a\"b","arguments":{ "n" : 1.50 }}}"#;
        assert_eq!(std::str::from_utf8(&plain.body), Ok(text));
        let meta = CallMeta {
            progress: true,
            log_level: Some("info".into()),
            traceparent: Some("00-a-b-01".into()),
            client_capabilities: Some(Bytes::from_static(b"{\"sampling\":{}}")),
            ..CallMeta::default()
        };
        let legacy = call(5, LegEra::Legacy, &call_of(meta.clone()));
        let legacy_meta = json!({"progressToken": 5, "traceparent": "00-a-b-01"});
        assert_eq!(value(&legacy.body)["params"]["_meta"], legacy_meta);
        let modern = value(&call(6, LegEra::Modern, &call_of(meta)).body)["params"]["_meta"].clone();
        assert_eq!(modern["io.modelcontextprotocol/protocolVersion"], MODERN_VERSION);
        assert_eq!(modern["io.modelcontextprotocol/clientCapabilities"], json!({"sampling": {}}));
        assert_eq!(modern["io.modelcontextprotocol/clientInfo"]["name"], "tollgate");
        assert_eq!(modern["io.modelcontextprotocol/logLevel"], "info");
        assert_eq!(modern["progressToken"], 6);
    }

    #[test]
    fn the_other_messages_are_valid() {
        assert_eq!(value(&list(1, LegEra::Legacy, Some("")).body)["params"], json!({"cursor": ""}));
        assert_eq!(value(&list(1, LegEra::Legacy, None).body)["params"], json!({}));
        assert_eq!(value(&initialize(2).body)["params"]["protocolVersion"], "2025-11-25");
        assert_eq!(value(&listen(3).body)["params"]["notifications"], json!({"toolsListChanged": true}));
        assert!(value(&discover(4).body)["params"]["_meta"].is_object());
        assert_eq!(value(&cancelled(9))["params"]["requestId"], 9);
        assert_eq!(value(&initialized())["method"], "notifications/initialized");
        assert_eq!(value(&reply(b"\"x\"", "ping")), json!({"jsonrpc": "2.0", "id": "x", "result": {}}));
        assert_eq!(value(&reply(b"1", "sampling/createMessage"))["error"]["code"], -32601);
    }
}
