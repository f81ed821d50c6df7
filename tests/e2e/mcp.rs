//! MCP over the raw client: modern requests with their headers, legacy sessions, and the lists they see.

use crate::http::{self, Connection, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The modern revision.
pub(crate) const MODERN: &str = "2026-07-28";
/// The newest legacy revision.
pub(crate) const LEGACY: &str = "2025-11-25";
const ACCEPT: &str = "application/json, text/event-stream";

/// A client that says where it goes and as whom; each request has a connection of its own.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
}

/// The `_meta` of a modern request.
pub(crate) fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "e2e", "version": "1"},
    })
}

/// The parameter that `Mcp-Name` repeats for a method.
fn named(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
        _ => None,
    }
}

/// A modern request's body; `params` gets its `_meta` unless it has one.
pub(crate) fn modern_body(id: u64, method: &str, mut params: Value) -> Value {
    if params.get("_meta").is_none() {
        params["_meta"] = meta();
    }
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, path: "/mcp".to_owned(), key: None }
    }

    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    pub(crate) fn at(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }

    /// The bytes of a POST with these headers beside the usual ones.
    pub(crate) fn post_bytes(&self, more: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut headers = vec![("Content-Type", "application/json"), ("Accept", ACCEPT)];
        let bearer = self.key.as_ref().map(|key| format!("Bearer {key}"));
        headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
        headers.extend_from_slice(more);
        http::request("POST", &self.path, &headers, body)
    }

    pub(crate) fn post(&self, more: &[(&str, &str)], body: &[u8]) -> Response {
        http::once(self.address, &self.post_bytes(more, body))
    }

    /// The bytes of a modern request with its headers.
    pub(crate) fn modern_bytes(&self, id: u64, method: &str, params: Value) -> Vec<u8> {
        let body = modern_body(id, method, params);
        let mut headers = vec![("MCP-Protocol-Version", MODERN), ("Mcp-Method", method)];
        let name = named(method).and_then(|field| body["params"][field].as_str()).map(str::to_owned);
        headers.extend(name.as_deref().map(|name| ("Mcp-Name", name)));
        self.post_bytes(&headers, body.to_string().as_bytes())
    }

    pub(crate) fn modern(&self, method: &str, params: Value) -> Response {
        http::once(self.address, &self.modern_bytes(1, method, params))
    }

    /// A modern `tools/call`.
    pub(crate) fn call(&self, tool: &str, arguments: Value) -> Response {
        self.modern("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// The definitions this client sees, walked over all pages.
    pub(crate) fn tools(&self) -> Vec<Value> {
        let mut tools = Vec::new();
        let mut params = json!({});
        loop {
            let response = self.modern("tools/list", params);
            assert_eq!(response.status, 200, "{}", response.text());
            let mut result = response.answer()["result"].take();
            let page = result["tools"].take();
            tools.extend(page.as_array().unwrap_or_else(|| panic!("no tools in {result}")).clone());
            let Some(cursor) = result.get("nextCursor") else { return tools };
            params = json!({"cursor": cursor});
        }
    }

    pub(crate) fn tool_names(&self) -> Vec<String> {
        self.tools().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Opens a legacy session at this revision.
    pub(crate) fn session(&self, revision: &str) -> Session {
        self.session_with(revision, json!({}))
    }

    /// The same with these capabilities.
    pub(crate) fn session_with(&self, revision: &str, capabilities: Value) -> Session {
        let params = json!({
            "protocolVersion": revision,
            "capabilities": capabilities,
            "clientInfo": {"name": "e2e-legacy", "version": "1"},
        });
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let response = self.post(&[], body.to_string().as_bytes());
        assert_eq!(response.status, 200, "{}", response.text());
        let id = response.header("mcp-session-id").expect("a session id").to_owned();
        let hello = response.answer()["result"].take();
        let session = Session { client: self.clone(), id, revision: revision.to_owned(), hello };
        let ready = session.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        assert_eq!(ready.status, 202, "{}", ready.text());
        session
    }
}

/// A legacy session.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) id: String,
    pub(crate) revision: String,
    pub(crate) hello: Value,
}

impl Session {
    pub(crate) fn headers(&self) -> [(&str, &str); 2] {
        [("Mcp-Session-Id", &self.id), ("MCP-Protocol-Version", &self.revision)]
    }

    pub(crate) fn post(&self, message: &Value) -> Response {
        self.client.post(&self.headers(), message.to_string().as_bytes())
    }

    pub(crate) fn request(&self, method: &str, params: Value) -> Response {
        self.post(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
    }

    pub(crate) fn call(&self, tool: &str, arguments: Value) -> Response {
        self.request("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// A request with another method than POST.
    pub(crate) fn bare(&self, method: &str) -> Connection {
        self.bare_with(method, &[])
    }

    /// The same with more headers.
    pub(crate) fn bare_with(&self, method: &str, more: &[(&str, &str)]) -> Connection {
        let mut headers = vec![("Accept", "text/event-stream")];
        let bearer = self.client.key.as_ref().map(|key| format!("Bearer {key}"));
        headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
        headers.extend(self.headers());
        headers.extend_from_slice(more);
        let mut connection = Connection::open(self.client.address);
        connection.send(&http::request(method, &self.client.path, &headers, b""));
        connection
    }
}

/// What must be the same through the gate as without it: content, structured content, and whether it is an error.
pub(crate) fn essence(result: &Value) -> Value {
    let mut kept = BTreeMap::new();
    for key in ["content", "structuredContent"] {
        if let Some(value) = result.get(key) {
            kept.insert(key, plain(value));
        }
    }
    kept.insert("isError", json!(result.get("isError").and_then(Value::as_bool).unwrap_or(false)));
    json!(kept)
}

/// The same value with whole floating-point numbers as integers: clients differ in how they print 100.0.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => json!(float),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        _ => value.clone(),
    }
}
