//! The messages we send to servers, each with an id we minted and what headers say about it.

use crate::base::buf::{self, Piece};
use crate::catalog::ListKind;
use crate::mcp::caps::ClientCaps;
use crate::mcp::meta::{CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, PROTOCOL_VERSION};
use crate::mcp::revision::{Era, Revision};
use crate::mcp::vendor;
use crate::upstream::answer::{CallMeta, UpstreamCall};
use crate::upstream::operation::{Input, Operation};
use crate::upstream::probe::Changes;
use crate::upstream::said::Reply;
use crate::upstream::watched::{Subjects, Wish, resources, tasks};
use crate::wire::rpc;
use std::sync::LazyLock;

/// Who we are, to servers.
const INFO: &str = concat!(r#"{"name":"tollgate","title":"Tollgate","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// What every modern request says in `_meta` on behalf of somebody who can be asked nothing: members without braces.
static MODERN_META: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let mut out = vec![b'{'];
    modern_meta(&mut out, b"{}");
    out[1..].into()
});

fn modern_meta(out: &mut Vec<u8>, capabilities: &[u8]) {
    text(out, PROTOCOL_VERSION, Revision::NEWEST_MODERN.as_str());
    raw(out, CLIENT_CAPABILITIES, capabilities);
    raw(out, CLIENT_INFO, INFO.as_bytes());
}

/// A request of ours.
pub(super) struct Ask<'a> {
    /// Our id.
    pub(super) id: u64,
    /// Its method.
    pub(super) method: &'static str,
    /// What `Mcp-Name` says about it, where the modern era wants that.
    pub(super) name: Option<&'a str>,
    /// The message.
    pub(super) body: Piece,
}

/// `server/discover`.
pub(super) fn discover(id: u64) -> Ask<'static> {
    ask(id, "server/discover", |out| meta(out, Era::Modern, id, None))
}

/// `initialize`. Offers the newest legacy revision, as some servers echo whatever is asked, and these capabilities.
pub(super) fn initialize(id: u64, caps: ClientCaps) -> Ask<'static> {
    initialize_at(id, Revision::NEWEST_LEGACY, caps)
}

/// `initialize` that offers an older revision.
pub(super) fn initialize_at(id: u64, revision: Revision, caps: ClientCaps) -> Ask<'static> {
    ask(id, "initialize", |out| {
        text(out, "protocolVersion", revision.as_str());
        raw(out, "capabilities", &caps.declared(revision));
        raw(out, "clientInfo", INFO.as_bytes());
    })
}

/// `ping` of the legacy revisions.
pub(super) fn ping(id: u64) -> Ask<'static> {
    ask(id, "ping", |_| ())
}

/// The request of a list, from a raw cursor on.
pub(super) fn list(id: u64, era: Era, kind: ListKind, cursor: Option<&[u8]>) -> Ask<'static> {
    ask(id, kind.method(), |out| {
        if let Some(cursor) = cursor {
            raw(out, "cursor", cursor);
        }
        meta(out, era, id, None);
    })
}

/// `subscriptions/listen` for changes of the lists of which the server says when they change, and of these subjects.
/// Only who follows tasks is told of them.
pub(super) fn listen(id: u64, changes: Changes, subjects: &Subjects) -> Ask<'static> {
    let wanted = [
        (changes.tools, "\"toolsListChanged\":true"),
        (changes.prompts, "\"promptsListChanged\":true"),
        (changes.resources, "\"resourcesListChanged\":true"),
    ];
    let mut wanted: Vec<String> = wanted.into_iter().filter(|(is, _)| *is).map(|(_, text)| text.to_owned()).collect();
    let resources = array(resources(&**subjects));
    let tasks = array(tasks(&**subjects));
    wanted.extend(resources.map(|array| format!("\"resourceSubscriptions\":{array}")));
    wanted.extend(tasks.iter().map(|array| format!("\"taskIds\":{array}")));
    let caps = ClientCaps(if tasks.is_some() { ClientCaps::TASKS } else { 0 });
    ask(id, "subscriptions/listen", |out| {
        raw(out, "notifications", format!("{{{}}}", wanted.join(",")).as_bytes());
        key(out, "_meta");
        out.push(b'{');
        modern_meta(out, &caps.declared(Revision::NEWEST_MODERN));
        out.push(b'}');
    })
}

/// The raw array of these texts; nothing where there are none.
fn array<'a>(texts: impl Iterator<Item = &'a str>) -> Option<String> {
    let quoted: Vec<_> = texts.map(|text| String::from_utf8_lossy(&rpc::quoted(text)).into_owned()).collect();
    (!quoted.is_empty()).then(|| format!("[{}]", quoted.join(",")))
}

/// `resources/subscribe` and its contrary, in a legacy session.
pub(super) fn subscribe(id: u64, change: Wish, uri: &str) -> Ask<'static> {
    let method = match change {
        Wish::Begin => "resources/subscribe",
        Wish::End => "resources/unsubscribe",
    };
    ask(id, method, |out| text(out, "uri", uri))
}

/// A client's request: its raw members stand in it as they came.
pub(super) fn call<'a>(id: u64, era: Era, call: &UpstreamCall<'a>) -> Ask<'a> {
    let ask = ask(id, call.operation.method(), |out| {
        operation(out, &call.operation);
        // A legacy server knows no such members: it was answered when it asked.
        if era == Era::Modern {
            input(out, &call.input);
        }
        meta(out, era, id, Some(call));
    });
    Ask { name: call.operation.mirrored_name(), ..ask }
}

fn operation(out: &mut Vec<u8>, operation: &Operation<'_>) {
    match *operation {
        Operation::Tool { name, arguments, .. } | Operation::Prompt { name, arguments } => {
            text(out, "name", name);
            optional(out, "arguments", arguments);
        }
        Operation::Resource { uri } => text(out, "uri", uri),
        Operation::Complete { reference, argument, context } => {
            raw(out, "ref", reference);
            raw(out, "argument", argument);
            optional(out, "context", context);
        }
        Operation::Task { id, .. } => text(out, "taskId", id),
        Operation::Skill { uri, cursor, .. } => {
            text(out, "uri", uri);
            optional(out, "cursor", cursor);
        }
    }
}

fn input(out: &mut Vec<u8>, input: &Input<'_>) {
    optional(out, "inputResponses", input.responses);
    optional(out, "requestState", input.state);
}

/// `notifications/initialized`.
pub(super) fn initialized() -> Piece {
    notify("notifications/initialized", None)
}

/// `notifications/cancelled` for a request of ours.
pub(super) fn cancelled(id: u64) -> Piece {
    let params = format!(r#"{{"requestId":{id},"reason":"the caller no longer waits"}}"#);
    notify("notifications/cancelled", Some(params.as_bytes()))
}

/// The answer to a server's own request: `ping` is answered, everything else is refused.
pub(super) fn reply(raw_id: &[u8], method: &str) -> Piece {
    let mut out = buf::take();
    if method == "ping" {
        rpc::result(&mut out, raw_id, b"{}");
    } else {
        rpc::error(&mut out, Some(raw_id), -32601, "this client does not serve requests of the server", None);
    }
    out.into()
}

/// What the client answered to a server's own request; nothing where nobody answered.
pub(super) fn answer(raw_id: &[u8], reply: Option<&Reply>) -> Piece {
    let mut out = buf::take();
    match reply {
        Some(Reply::Result(result)) => rpc::result(&mut out, raw_id, result),
        Some(Reply::Error(error)) => rpc::error_object(&mut out, Some(raw_id), error),
        None => rpc::error(&mut out, Some(raw_id), -32603, "the client did not answer", None),
    }
    out.into()
}

/// A request whose `params` have these members, written in one go.
fn ask(id: u64, method: &'static str, params: impl FnOnce(&mut Vec<u8>)) -> Ask<'static> {
    let mut body = buf::take();
    body.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    number(&mut body, id);
    text(&mut body, "method", method);
    key(&mut body, "params");
    body.push(b'{');
    params(&mut body);
    body.extend_from_slice(b"}}");
    Ask { id, method, name: None, body: body.into() }
}

fn notify(method: &str, params: Option<&[u8]>) -> Piece {
    let mut out = buf::take();
    rpc::notification(&mut out, method, params);
    out.into()
}

/// Appends one of our ids: they count up, and never so far.
fn number(out: &mut Vec<u8>, id: u64) {
    rpc::number(out, i64::try_from(id).unwrap_or(i64::MAX));
}

fn key(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    // The names are ours and need no escape.
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn raw(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    key(out, name);
    out.extend_from_slice(value);
}

fn optional(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    if let Some(value) = value {
        raw(out, name, value);
    }
}

fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    rpc::quote(out, value);
}

/// `_meta`, left out where it would be empty.
fn meta(out: &mut Vec<u8>, era: Era, id: u64, call: Option<&UpstreamCall<'_>>) {
    let before = out.len();
    key(out, "_meta");
    out.push(b'{');
    let empty = out.len();
    if era == Era::Modern {
        let extensions = call.map_or(&b""[..], |call| call.vendor.extensions);
        let declared = call.map(|call| call.caps).filter(|caps| *caps != ClientCaps::default());
        match declared {
            None if extensions.is_empty() => out.extend_from_slice(&MODERN_META),
            caps => {
                let declared = caps.unwrap_or_default().declared(Revision::NEWEST_MODERN);
                match extensions.is_empty() {
                    true => modern_meta(out, &declared),
                    false => modern_meta(out, &vendor::with_extensions(&declared, extensions)),
                }
            }
        }
    }
    if let Some(call) = call {
        call_meta(out, era, id, &call.meta);
        if era == Era::Modern && !call.vendor.meta.is_empty() {
            out.push(b',');
            out.extend_from_slice(call.vendor.meta);
        }
    }
    match out.len() == empty {
        true => out.truncate(before),
        false => out.push(b'}'),
    }
}

fn call_meta(out: &mut Vec<u8>, era: Era, id: u64, call: &CallMeta<'_>) {
    if call.progress {
        key(out, "progressToken");
        number(out, id);
    }
    if let Some(level) = call.log_level.filter(|_| era == Era::Modern) {
        text(out, LOG_LEVEL, level.as_str());
    }
    if let Some(trace) = call.trace {
        key(out, "traceparent");
        out.push(b'"');
        out.extend_from_slice(&trace.text());
        out.push(b'"');
    }
    if let Some(state) = call.tracestate {
        text(out, "tracestate", state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::meta::LogLevel;
    use crate::mcp::trace::TraceContext;
    use crate::upstream::watched::Subject;
    use serde_json::{Value, json};

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).expect("valid JSON")
    }

    fn call_of(meta: CallMeta<'_>) -> UpstreamCall<'_> {
        let operation = Operation::Tool { name: "a\"b", arguments: Some(b"{ \"n\" : 1.50 }"), header_params: &[] };
        UpstreamCall { operation, meta, ..UpstreamCall::default() }
    }

    #[test]
    fn a_call_carries_what_its_era_wants_and_the_arguments_untouched() {
        let plain = call(4, Era::Legacy, &call_of(CallMeta::default()));
        let text =
            r#"{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"a\"b","arguments":{ "n" : 1.50 }}}"#;
        assert_eq!(std::str::from_utf8(&plain.body), Ok(text));
        let (trace, tracestate) = (TraceContext::parse(TRACE), Some("k=v"));
        let meta = CallMeta { progress: true, log_level: Some(LogLevel::Info), trace, tracestate };
        let legacy = value(&call(5, Era::Legacy, &call_of(meta)).body);
        let expected = json!({"progressToken": 5, "traceparent": TRACE, "tracestate": "k=v"});
        assert_eq!(legacy["params"]["_meta"], expected);
        let modern = value(&call(6, Era::Modern, &call_of(meta)).body)["params"]["_meta"].clone();
        assert_eq!(modern[PROTOCOL_VERSION], "2026-07-28");
        assert_eq!(modern[CLIENT_CAPABILITIES], json!({}));
        assert_eq!(modern[CLIENT_INFO]["name"], "tollgate");
        assert_eq!((&modern[LOG_LEVEL], &modern["progressToken"]), (&json!("info"), &json!(6)));
    }

    #[test]
    fn the_other_messages_are_valid() {
        assert_eq!(value(&list(1, Era::Legacy, ListKind::Tools, Some(b"\"\"")).body)["params"], json!({"cursor": ""}));
        assert_eq!(value(&list(1, Era::Legacy, ListKind::Tools, None).body)["params"], json!({}));
        assert!(value(&list(1, Era::Modern, ListKind::Tools, Some(b"\"x\"")).body)["params"]["_meta"].is_object());
        assert_eq!(value(&initialize(2, ClientCaps::default()).body)["params"]["protocolVersion"], "2025-11-25");
        let changes = Changes { tools: true, prompts: false, resources: true };
        let wanted = json!({"toolsListChanged": true, "resourcesListChanged": true});
        assert_eq!(value(&listen(3, changes, &Subjects::default()).body)["params"]["notifications"], wanted);
        let mut subjects = vec![Subject::resource("a:\"1"), Subject::resource("a:2")];
        let params =
            value(&listen(3, changes, &Subjects::new(subjects.clone().into_iter().collect())).body)["params"].take();
        assert_eq!(params["notifications"]["resourceSubscriptions"], json!(["a:\"1", "a:2"]));
        assert_eq!(
            (&params["notifications"]["taskIds"], &params["_meta"][CLIENT_CAPABILITIES]),
            (&json!(null), &json!({}))
        );
        subjects.push(Subject::task("t"));
        let params = value(&listen(3, changes, &Subjects::new(subjects.into_iter().collect())).body)["params"].take();
        let tasks = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
        assert_eq!(
            (&params["notifications"]["taskIds"], &params["_meta"][CLIENT_CAPABILITIES]),
            (&json!(["t"]), &tasks)
        );
        assert_eq!(value(&list(1, Era::Legacy, ListKind::Templates, None).body)["method"], "resources/templates/list");
        assert_eq!(value(&discover(4).body)["method"], "server/discover");
        assert_eq!(value(&cancelled(9))["params"]["requestId"], 9);
        assert_eq!(value(&initialized())["method"], "notifications/initialized");
        assert_eq!(value(&reply(b"\"x\"", "ping")), json!({"jsonrpc": "2.0", "id": "x", "result": {}}));
        assert_eq!(value(&reply(b"1", "sampling/createMessage"))["error"]["code"], -32601);
    }
}
