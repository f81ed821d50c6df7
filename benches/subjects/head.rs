//! The two heads of a call: what a client sends, and what an MCP server answers.

use tollgate::wire::http::{Method, RequestHead, ResponseHead};

const REQUEST: &str = "POST /mcp HTTP/1.1\r\n\
    Host: gate.example:8080\r\n\
    User-Agent: node\r\n\
    Accept: application/json, text/event-stream\r\n\
    Accept-Language: *\r\n\
    Content-Type: application/json\r\n\
    Authorization: Bearer tg_aaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\
    MCP-Protocol-Version: 2026-07-28\r\n\
    Mcp-Method: tools/call\r\n\
    Mcp-Name: github__push_files\r\n\
    traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
    Content-Length: 300\r\n\
    \r\n";

const RESPONSE: &str = "HTTP/1.1 200 OK\r\n\
    Content-Type: application/json\r\n\
    Cache-Control: no-cache\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Connection: keep-alive\r\n\
    Keep-Alive: timeout=5\r\n\
    Content-Length: 412\r\n\
    \r\n";

/// Reads the request's head.
pub(crate) fn request() -> usize {
    let head = RequestHead::parse(REQUEST.as_bytes()).expect("the head is well formed");
    head.path().len()
}

/// Reads the answer's head in the same way.
pub(crate) fn response() -> u16 {
    let head = ResponseHead::parse(RESPONSE.as_bytes(), Method::Post).expect("the head is well formed");
    head.status()
}
