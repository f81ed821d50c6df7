//! Whether an MCP endpoint lists a tool yet.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Patience with one answer.
const PATIENCE: Duration = Duration::from_secs(5);
const REVISION: &str = "2026-07-28";

/// Whether a modern `tools/list` at an address is answered with a tool of this name.
pub fn lists(address: SocketAddr, path: &str, key: Option<&str>, tool: &str) -> bool {
    let name = format!("\"name\":\"{tool}\"");
    ask(address, &request(address, path, key))
        .is_ok_and(|answer| memchr::memmem::find(&answer, name.as_bytes()).is_some())
}

fn request(address: SocketAddr, path: &str, key: Option<&str>) -> String {
    let prefix = "io.modelcontextprotocol";
    let meta = format!(r#"{{"{prefix}/protocolVersion":"{REVISION}","{prefix}/clientCapabilities":{{}}}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{meta}}}}}"#);
    let key = key.map_or_else(String::new, |key| format!("Authorization: Bearer {key}\r\n"));
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\n{key}Content-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {REVISION}\r\nMcp-Method: tools/list\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn ask(address: SocketAddr, request: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Eras, Offer, Service, generate, start};

    #[test]
    fn a_tool_is_found_where_it_is() {
        let offer =
            Offer { definitions: generate(1), page: 0, delay: Duration::ZERO, answer_bytes: 1, eras: Eras::Both };
        let address = start(Service::new(offer), "127.0.0.1:0".parse().unwrap(), &[]).unwrap().address;
        assert!(lists(address, "/mcp", None, "echo") && lists(address, "/mcp", Some("k"), "search_issue_0"));
        assert!(!lists(address, "/mcp", None, "other"));
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(!lists(nobody, "/mcp", None, "echo"));
    }
}
