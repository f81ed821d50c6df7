//! A server's answer to a `tools/call` in the client's era (docs/protocol.md 3). What need not change is copied.

use super::caps::ClientCaps;
use super::meta::SERVER_INFO;
use super::model::Model;
use super::result::{Gist, ResultKind, Server};
use super::revision::{Era, Revision};
use crate::base::buf;
use crate::base::error::{Error, Kind};
use crate::wire::rpc::{self, Edit};
use smallvec::SmallVec;
use std::borrow::Cow;

/// A server's answer: raw `result` or raw `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The raw `result` and its gist.
    Result(&'a [u8], Gist),
    /// The raw `error`, an object.
    Error(&'a [u8]),
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
    /// Where it is what `resources/read` answers, which modern clients are told how long to keep: for whom at most.
    pub reads: Option<CacheScope>,
}

/// Who may keep an answer (2026-07-28 server/utilities/caching).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheScope {
    /// The client that asked, for itself.
    Private,
    /// Anybody, for everybody.
    Public,
}

/// An answer ready for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridged {
    /// The whole message.
    pub body: Vec<u8>,
    /// The HTTP status where none has been sent yet.
    pub status: u16,
    /// Seconds after which the client may come back, where it should.
    pub retry_after: Option<u32>,
    /// What it amounts to, for the record.
    pub outcome: Outcome,
}

impl Bridged {
    fn new(body: Vec<u8>, status: u16, outcome: Outcome) -> Self {
        Self { body, status, retry_after: None, outcome }
    }
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
        Answer::Result(raw, gist) => bridge_result(bridge, id, raw, gist),
        Answer::Error(raw) => bridge_error(bridge, id, raw),
    }
}

fn bridge_result(bridge: &Bridge<'_>, id: &[u8], raw: &[u8], gist: Gist) -> Bridged {
    if !rpc::is_object(raw) {
        return unusable(id, "server answered a result that is not an object");
    }
    match gist.kind {
        // A legacy server's word has no such meaning.
        _ if bridge.upstream == Era::Legacy => (),
        ResultKind::Untold | ResultKind::Complete => (),
        // Sealed for this client before it came here. A legacy client was asked instead.
        ResultKind::InputRequired if bridge.client == Era::Modern => return as_it_is(id, raw),
        ResultKind::InputRequired => return unusable(id, "server asks for input that its client cannot be asked for"),
        ResultKind::Task if takes_tasks(bridge) => return as_it_is(id, raw),
        ResultKind::Task => return unusable(id, "server answered with a task that was not asked for"),
        ResultKind::Unknown => return unusable(id, "server answered a result of a type that is not known"),
    }
    let kept = bridge.reads.filter(|_| bridge.client == Era::Modern).map(|most| kept(bridge, raw, most));
    let raw = kept.as_deref().unwrap_or(raw);
    let mut body = buf::take();
    rpc::result_of(&mut body, id, |body| match bridge.client {
        Era::Modern => to_modern(bridge, raw, gist, body),
        Era::Legacy => to_legacy(bridge, raw, body),
    });
    let outcome = if gist.is_error { Outcome::ToolError } else { Outcome::Done };
    Bridged::new(body, 200, outcome)
}

fn takes_tasks(bridge: &Bridge<'_>) -> bool {
    let declared = |raw| ClientCaps::read(raw, Revision::NEWEST_MODERN).has(ClientCaps::TASKS);
    bridge.client == Era::Modern && bridge.client_caps.is_some_and(declared)
}

/// What was read, and how long it may be kept: by this client alone, unless its server calls it public and `most` lets
/// that be said. A legacy server says nothing of how long it stays fresh.
fn kept(bridge: &Bridge<'_>, raw: &[u8], most: CacheScope) -> Vec<u8> {
    let ttl = rpc::field(raw, "ttlMs").filter(|ttl| rpc::integer(ttl).is_some_and(|ttl| ttl >= 0)).unwrap_or(b"0");
    let is_public = bridge.upstream == Era::Modern
        && most == CacheScope::Public
        && rpc::field(raw, "cacheScope").and_then(rpc::string).is_some_and(|scope| scope == "public");
    let scope: &[u8] = if is_public { br#""public""# } else { br#""private""# };
    edited(raw, &[Edit::Set("ttlMs", ttl), Edit::Set("cacheScope", scope)])
}

fn as_it_is(id: &[u8], raw: &[u8]) -> Bridged {
    let mut body = buf::take();
    rpc::result(&mut body, id, raw);
    Bridged::new(body, 200, Outcome::Done)
}

/// Adds `resultType` where it is missing or a legacy server's own, and `serverInfo` where no server has said it.
fn to_modern(bridge: &Bridge<'_>, raw: &[u8], gist: Gist, out: &mut Vec<u8>) {
    let kind: (&str, &[u8]) = ("resultType", br#""complete""#);
    let meta = ("_meta", bridge.model.result_meta());
    match (gist.kind, gist.server) {
        (ResultKind::Complete, Server::Named) if bridge.upstream == Era::Modern => out.extend_from_slice(raw),
        (ResultKind::Complete, Server::NoMeta) if bridge.upstream == Era::Modern => rpc::append(out, raw, &[meta]),
        (ResultKind::Untold, Server::NoMeta) => rpc::append(out, raw, &[kind, meta]),
        _ => {
            let meta = named_meta(bridge, raw, gist);
            rpc::edit(out, raw, &[Edit::Set(kind.0, kind.1), Edit::Set("_meta", &meta)]);
        }
    }
}

/// The `_meta` of a result, with the gate as the server where it names none.
fn named_meta<'a>(bridge: &Bridge<'a>, raw: &'a [u8], gist: Gist) -> Cow<'a, [u8]> {
    match rpc::field(raw, "_meta").filter(|meta| rpc::is_object(meta)) {
        Some(meta) if gist.server == Server::Named => Cow::Borrowed(meta),
        Some(meta) => Cow::Owned(edited(meta, &[Edit::Set(SERVER_INFO, bridge.model.info())])),
        None => Cow::Borrowed(bridge.model.result_meta()),
    }
}

/// Takes out what strict legacy parsers trip over, and wraps structured content they cannot hold.
fn to_legacy(bridge: &Bridge<'_>, raw: &[u8], out: &mut Vec<u8>) {
    if bridge.upstream == Era::Legacy {
        return out.extend_from_slice(raw);
    }
    let meta = rpc::field(raw, "_meta").map(|meta| edited(meta, &[Edit::Remove(SERVER_INFO)]));
    let structured = rpc::field(raw, "structuredContent").filter(|raw| !rpc::is_object(raw));
    let wrapped = structured.map(|raw| [br#"{"result":"#, raw, b"}"].concat());
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
    rpc::edit(out, raw, &edits);
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
        // Codes the modern revision forbids (docs/protocol.md 2).
        (Era::Modern, _, -32002) => (message_with(id, -32602, &fault.message, fault.data), 200),
        (Era::Modern, _, -32042) => (internal(id, "server asks to visit a URL, which is not carried yet", &fault), 200),
        // A resource that is not there: the one error of the two that carries its URI.
        (Era::Legacy, Era::Modern, -32602) if names_uri(&fault) => {
            (message_with(id, -32002, &fault.message, fault.data), 200)
        }
        (Era::Modern, _, -32601) => (verbatim(id, raw), 404),
        _ => (verbatim(id, raw), 200),
    };
    Bridged::new(body, status, Outcome::RpcError(code))
}

fn names_uri(fault: &Fault<'_>) -> bool {
    fault.data.and_then(|data| rpc::field(data, "uri")).is_some_and(rpc::is_string)
}

/// Passed on only if the client too does not have what is missing; if it has, the gate is what lacks it.
fn missing_capability(bridge: &Bridge<'_>, id: &[u8], raw: &[u8], fault: &Fault<'_>) -> (Vec<u8>, u16) {
    let required = fault.data.and_then(|data| rpc::field(data, "requiredCapabilities")).unwrap_or_default();
    let declared = bridge.client_caps.unwrap_or_default();
    let all_declared = rpc::object_fields(required).all(|field| rpc::field(declared, &*field.key).is_some());
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
    Bridged::new(body, 200, Outcome::Unusable)
}

fn edited(object: &[u8], edits: &[Edit<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.len() + 128);
    rpc::edit(&mut out, object, edits);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use Era::{Legacy, Modern};
    use serde_json::{Value, json};

    fn run(client: Era, upstream: Era, answer: Answer<'_>, caps: Option<&[u8]>) -> (Bridged, Value) {
        let model = Model::new("1", None);
        let bridge = Bridge { client, upstream, model: &model, client_caps: caps, reads: None };
        let bridged = call_answer(&bridge, br#""c1""#, answer);
        let value: Value = serde_json::from_slice(&bridged.body).unwrap();
        assert_eq!((&value["jsonrpc"], &value["id"]), (&json!("2.0"), &json!("c1")));
        (bridged, value)
    }

    fn result(client: Era, upstream: Era, raw: &str) -> (Bridged, Value) {
        run(client, upstream, Answer::Result(raw.as_bytes(), Gist::read(raw.as_bytes())), None)
    }

    fn error(client: Era, upstream: Era, raw: &str) -> (Bridged, Value) {
        run(client, upstream, Answer::Error(raw.as_bytes()), None)
    }

    fn ours() -> Value {
        json!({"name": "tollgate", "title": "Tollgate", "version": "1"})
    }

    const CONTENT: &str =
        r#""content":[ {"type":"text","text":"\u0061"} ,{"type":"image","data":"AA==","mimeType":"image/png"}]"#;

    /// 2026-07-28 server/utilities/caching: what is public may be shared only where the configuration lets it.
    #[test]
    fn what_is_read_is_private_unless_its_server_and_the_configuration_say_otherwise() {
        let model = Model::new("1", None);
        let told = |client: Era, upstream: Era, most: CacheScope, raw: &str| {
            let bridge = Bridge { client, upstream, model: &model, client_caps: None, reads: Some(most) };
            let answer = Answer::Result(raw.as_bytes(), Gist::read(raw.as_bytes()));
            let value: Value = serde_json::from_slice(&call_answer(&bridge, b"1", answer).body).unwrap();
            [value["result"]["ttlMs"].clone(), value["result"]["cacheScope"].clone()]
        };
        let public = r#"{"contents":[],"resultType":"complete","ttlMs":7,"cacheScope":"public"}"#;
        let said = |ttl: i64, scope: &str| [json!(ttl), json!(scope)];
        assert_eq!(told(Modern, Modern, CacheScope::Private, public), said(7, "private"));
        assert_eq!(told(Modern, Modern, CacheScope::Public, public), said(7, "public"));
        assert_eq!(told(Modern, Legacy, CacheScope::Public, public), said(7, "private"), "no legacy word");
        assert_eq!(told(Legacy, Modern, CacheScope::Public, public), [Value::Null, Value::Null]);
        for odd in [
            r#"{"contents":[],"ttlMs":-7,"cacheScope":"private"}"#,
            r#"{"contents":[],"ttlMs":"7","cacheScope":7}"#,
            r#"{"contents":[],"ttlMs":1.5,"cacheScope":"Public"}"#,
            r#"{"contents":[]}"#,
        ] {
            assert_eq!(told(Modern, Modern, CacheScope::Public, odd), said(0, "private"), "{odd}");
        }
    }

    #[test]
    fn same_era_is_byte_for_byte() {
        let legacy = format!(r#"{{ {CONTENT}, "structuredContent":{{"a":1.0}},"vendor":[1e0] }}"#);
        let modern = format!(
            r#"{{"resultType":"complete", {CONTENT},"structuredContent":[1],"_meta":{{"{SERVER_INFO}":{{}}}} }}"#
        );
        for (era, raw) in [(Legacy, legacy), (Modern, modern)] {
            let (bridged, _) = result(era, era, &raw);
            let expected = format!(r#"{{"jsonrpc":"2.0","id":"c1","result":{raw}}}"#);
            assert_eq!(String::from_utf8(bridged.body).unwrap(), expected);
            assert_eq!((bridged.status, bridged.outcome), (200, Outcome::Done));
        }
    }

    /// docs/protocol.md 3, modern client, legacy upstream: resultType and serverInfo are added, the rest stays.
    #[test]
    fn a_legacy_result_becomes_a_modern_one() {
        let raw = format!(r#"{{{CONTENT},"isError":true,"_meta":{{"x":1}},"resultType":"mine"}}"#);
        let (bridged, value) = result(Modern, Legacy, &raw);
        assert_eq!(bridged.outcome, Outcome::ToolError);
        assert_eq!(value["result"]["resultType"], "complete");
        assert_eq!(value["result"]["_meta"], json!({"x": 1, "io.modelcontextprotocol/serverInfo": ours()}));
        assert!(String::from_utf8(bridged.body).unwrap().contains(CONTENT));
        let (_, value) = result(Modern, Legacy, r#"{"content":[]}"#);
        let meta = json!({"io.modelcontextprotocol/serverInfo": ours()});
        assert_eq!(value["result"], json!({"content": [], "resultType": "complete", "_meta": meta}));
    }

    /// An older modern server may leave resultType out; that means complete (docs/protocol.md 2).
    #[test]
    fn a_modern_result_without_type_or_server_gets_them() {
        let (_, value) = result(Modern, Modern, r#"{"content":[]}"#);
        assert_eq!(value["result"]["resultType"], "complete");
        let named = r#"{"content":[],"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"2"}}}"#;
        let (_, value) = result(Modern, Modern, named);
        assert_eq!(value["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "s");
    }

    /// docs/protocol.md 3, legacy client, modern upstream: the modern members go, other content is wrapped.
    #[test]
    fn a_modern_result_becomes_a_legacy_one() {
        let raw = format!(
            r#"{{"resultType":"complete",{CONTENT},"ttlMs":5,"cacheScope":"public","structuredContent":[1, 2],
                "_meta":{{"{SERVER_INFO}":{{}}}}}}"#
        );
        let (bridged, value) = result(Legacy, Modern, &raw);
        let keys: Vec<_> = value["result"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["content", "structuredContent"]);
        assert_eq!(value["result"]["structuredContent"], json!({"result": [1, 2]}));
        assert!(String::from_utf8(bridged.body).unwrap().contains(CONTENT));
        let kept =
            r#"{"content":[],"structuredContent":{"a":1},"_meta":{"io.modelcontextprotocol/serverInfo":{},"x":1}}"#;
        let (_, value) = result(Legacy, Modern, kept);
        assert_eq!(value["result"], json!({"content": [], "structuredContent": {"a": 1}, "_meta": {"x": 1}}));
    }

    #[test]
    fn results_that_cannot_be_carried_are_clear_errors() {
        for client in [Modern, Legacy] {
            for (raw, word) in [
                (r#"{"resultType":"task","taskId":"t"}"#, "task"),
                (r#"{"resultType":"new"}"#, "type"),
                (r#"{"resultType":7}"#, "type"),
                ("[]", "object"),
                ("null", "object"),
            ] {
                let (bridged, value) = result(client, Modern, raw);
                assert_eq!((bridged.status, bridged.outcome), (200, Outcome::Unusable));
                assert!(value["error"]["message"].as_str().unwrap().contains(word), "{raw}: {value}");
            }
        }
    }

    /// A modern client takes it in the answer, whose state was sealed before; a legacy one was asked.
    #[test]
    fn what_asks_for_input_passes_to_modern_clients_alone() {
        let raw = r#"{"resultType":"input_required","requestState":"s"}"#;
        let (bridged, value) = result(Modern, Modern, raw);
        assert_eq!((bridged.outcome, &value["result"]["requestState"]), (Outcome::Done, &json!("s")));
        let (bridged, value) = result(Legacy, Modern, raw);
        assert_eq!((bridged.outcome, &value["error"]["code"]), (Outcome::Unusable, &json!(-31103)));
    }

    #[test]
    fn errors_pass_as_they_are() {
        let raw = r#"{"code":-32602,"message":"unknown tool","data":{"x":[1.0]}}"#;
        for (client, upstream) in [(Modern, Modern), (Modern, Legacy), (Legacy, Modern), (Legacy, Legacy)] {
            let (bridged, _) = error(client, upstream, raw);
            let expected = format!(r#"{{"jsonrpc":"2.0","id":"c1","error":{raw}}}"#);
            assert_eq!(String::from_utf8(bridged.body).unwrap(), expected);
            assert_eq!((bridged.status, bridged.outcome), (200, Outcome::RpcError(-32602)));
        }
        let (bridged, _) = error(Modern, Legacy, r#"{"code":-32601,"message":"m"}"#);
        assert_eq!(bridged.status, 404, "docs/protocol.md 2: a method that is not there is 404 in the modern era");
        let (bridged, _) = error(Legacy, Legacy, r#"{"code":-32601,"message":"m"}"#);
        assert_eq!(bridged.status, 200, "404 would end a legacy session");
    }

    /// docs/protocol.md 2: -32002 and -32042 must not be sent to modern clients; legacy ones know them.
    #[test]
    fn codes_of_the_other_era_are_mapped() {
        let data = r#"{"code":-32002,"message":"gone","data":{"uri":"a://b"}}"#;
        let (_, value) = error(Modern, Legacy, data);
        assert_eq!(value["error"], json!({"code": -32602, "message": "gone", "data": {"uri": "a://b"}}));
        assert_eq!(error(Legacy, Legacy, data).1["error"]["code"], -32002);
        let url = r#"{"code":-32042,"message":"visit","data":{"elicitations":[]}}"#;
        assert_eq!(error(Modern, Legacy, url).1["error"]["code"], -32603);
        assert_eq!(error(Legacy, Legacy, url).1["error"]["code"], -32042);
        for code in [-32020, -32022] {
            let raw = format!(r#"{{"code":{code},"message":"m"}}"#);
            for client in [Modern, Legacy] {
                let (bridged, value) = error(client, Modern, &raw);
                assert_eq!(value["error"]["code"], -32603, "it is about the gate's own request");
                assert_eq!(bridged.outcome, Outcome::RpcError(code));
            }
            assert_eq!(error(Legacy, Legacy, &raw).1["error"]["code"], code, "no meaning in the legacy era");
        }
    }

    #[test]
    fn a_missing_capability_is_passed_on_only_if_the_client_lacks_it_too() {
        let raw = br#"{"code":-32021,"message":"need sampling","data":{"requiredCapabilities":{"sampling":{}}}}"#;
        let (bridged, value) = run(Modern, Modern, Answer::Error(raw), Some(b"{}"));
        assert_eq!(
            (bridged.status, &value["error"]["data"]),
            (400, &json!({"requiredCapabilities": {"sampling": {}}}))
        );
        let (bridged, value) = run(Modern, Modern, Answer::Error(raw), Some(br#"{"sampling":{}}"#));
        assert_eq!((bridged.status, &value["error"]["code"]), (200, &json!(-32603)));
        let (_, value) = run(Modern, Modern, Answer::Error(br#"{"code":-32021,"message":"m"}"#), None);
        assert_eq!(value["error"]["code"], -32603, "without data a client would be told nothing");
        let (bridged, value) = run(Legacy, Modern, Answer::Error(raw), None);
        assert_eq!((bridged.status, &value["result"]["isError"]), (200, &json!(true)));
        assert!(value["result"]["content"][0]["text"].as_str().unwrap().contains("need sampling"));
    }

    #[test]
    fn an_error_that_is_none_is_a_bad_answer() {
        for raw in ["{}", r#"{"code":"x","message":"m"}"#, r#"{"code":1.5,"message":"m"}"#, r#"{"code":1}"#] {
            let (bridged, value) = error(Modern, Legacy, raw);
            assert_eq!((bridged.outcome, &value["error"]["code"]), (Outcome::Unusable, &json!(-31103)));
        }
    }
}
