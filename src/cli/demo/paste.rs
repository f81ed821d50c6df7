//! The entries a reader of `demo` pastes into a client, and the `curl` line that works at once.

/// Ready-to-paste entries for Claude Code, Codex and Cursor, and a curl line.
pub(crate) fn entries(url: &str, key: &str) -> String {
    format!(
        r#"Claude Code:
  claude mcp add --transport http tollgate {url} --header "Authorization: Bearer {key}"

Codex (~/.codex/config.toml), with TOLLGATE_KEY={key} in its environment:
  [mcp_servers.tollgate]
  url = "{url}"
  bearer_token_env_var = "TOLLGATE_KEY"

Cursor (.cursor/mcp.json):
  {{"mcpServers":{{"tollgate":{{"url":"{url}","headers":{{"Authorization":"Bearer {key}"}}}}}}}}

curl:
  {curl}
"#,
        curl = curl(url, key)
    )
}

/// A command that lists the tools as a client of the 2026-07-28 revision.
fn curl(url: &str, key: &str) -> String {
    let meta =
        r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{meta}}}}}"#);
    format!(
        "curl -s {url} -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \
         -H 'Accept: application/json, text/event-stream' -H 'MCP-Protocol-Version: 2026-07-28' \
         -H 'Mcp-Method: tools/list' -d '{body}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_names_the_url_and_the_key() {
        let text = entries("http://127.0.0.1:1/mcp", "tg_a_b");
        assert_eq!(text.matches("http://127.0.0.1:1/mcp").count(), 4);
        assert_eq!(text.matches("tg_a_b").count(), 4);
    }
}
