//! The requests and notifications we send to servers, `tools/call` apart (see `call.rs`). Ids are ours, up to 2^53;
//! `info` is the gate's raw `Implementation`.

use super::call::envelope_meta;
use super::meta::LogLevel;
use super::revision::{Era, Revision};
use crate::wire::rpc;

/// The legacy notification behind `initialize`.
pub const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// The probe, and the first request to a modern server: `server/discover`.
pub fn discover(id: u64, info: &[u8]) -> Vec<u8> {
    request(id, "server/discover", &with_meta(info, b""))
}

/// The legacy handshake. Offers the newest legacy revision and no capability; never a modern one, as some servers echo
/// whatever is asked.
pub fn initialize(id: u64, info: &[u8]) -> Vec<u8> {
    let version = Revision::NEWEST_LEGACY.as_str().as_bytes();
    let params = [br#"{"protocolVersion":""#, version, br#"","capabilities":{},"clientInfo":"#, info, b"}"].concat();
    request(id, "initialize", &params)
}

/// One page of a server's tools; `cursor` is the raw `nextCursor` of the page before.
pub fn tools_list(era: Era, id: u64, info: &[u8], cursor: Option<&[u8]>) -> Vec<u8> {
    let cursor = cursor.map(|cursor| [br#""cursor":"#, cursor].concat()).unwrap_or_default();
    match era {
        Era::Modern => request(id, "tools/list", &with_meta(info, &cursor)),
        Era::Legacy => request(id, "tools/list", &[b"{", &*cursor, b"}"].concat()),
    }
}

/// Opens a listen stream for changes of a modern server's tools.
pub fn listen(id: u64, info: &[u8]) -> Vec<u8> {
    request(id, "subscriptions/listen", &with_meta(info, br#""notifications":{"toolsListChanged":true}"#))
}

/// Asks a legacy server for log notifications from a level on.
pub fn set_level(id: u64, level: LogLevel) -> Vec<u8> {
    request(id, "logging/setLevel", format!(r#"{{"level":"{}"}}"#, level.as_str()).as_bytes())
}

/// Asks a legacy server whether it lives.
pub fn ping(id: u64) -> Vec<u8> {
    request(id, "ping", b"{}")
}

/// Tells a legacy server, or any stdio server, that a request of ours is no longer wanted.
pub fn cancelled(id: u64, reason: &str) -> Vec<u8> {
    let mut params = format!(r#"{{"requestId":{id},"reason":"#).into_bytes();
    rpc::quote(&mut params, reason);
    params.push(b'}');
    let mut out = Vec::with_capacity(params.len() + 80);
    rpc::notification(&mut out, "notifications/cancelled", Some(&params));
    out
}

/// Our answer to a request of a legacy server, whose raw id it echoes: `ping` is answered, all else is not carried.
pub fn answer_server(id: &[u8], method: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match method {
        "ping" => rpc::result(&mut out, id, b"{}"),
        _ => rpc::error(&mut out, Some(id), -32601, "method not found: the gate declared no such capability", None),
    }
    out
}

fn request(id: u64, method: &str, params: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(params.len() + 96);
    rpc::request(&mut out, id.to_string().as_bytes(), method, Some(params));
    out
}

/// Params of a modern request: `_meta`, and more members where there are any.
fn with_meta(info: &[u8], more: &[u8]) -> Vec<u8> {
    let comma: &[u8] = if more.is_empty() { b"" } else { b"," };
    [br#"{"_meta":"#, &*envelope_meta(info), comma, more, b"}"].concat()
}
