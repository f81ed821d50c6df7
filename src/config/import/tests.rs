//! The shapes of each client, and what becomes of them.

use super::*;
use crate::config::{Compiled, Lookup, Purpose};

fn read(text: &str) -> Import {
    import(Path::new("f"), text, &mut BTreeSet::new()).expect("import")
}

fn fits(import: &Import) -> Vec<(&str, Fit)> {
    import.entries.iter().map(|entry| (entry.name.as_str(), entry.fit)).collect()
}

fn server<'a>(import: &'a Import, name: &str) -> &'a Server {
    let entry = import.entries.iter().find(|entry| entry.name == name).expect(name);
    entry.server.as_ref().expect("server")
}

/// What is printed must be what the gate reads.
fn compiles(import: &Import) {
    let toml = import.to_toml();
    let dir = tempfile::tempdir().expect("dir");
    let text = format!("state.directory = \"s\"\n{toml}");
    let compiled = Compiled::from_text(Path::new("t"), &text, &Lookup::fixed(&[], None, dir.path()), Purpose::Look);
    let compiled = compiled.unwrap_or_else(|report| panic!("{toml}\n{}", report.render(false)));
    let named = import.entries.iter().filter_map(|entry| Some((entry.name.clone(), entry.server.clone()?)));
    assert_eq!(compiled.written.servers, named.collect());
}

#[test]
fn claude() {
    let import = read(
        r#"{"mcpServers":{
          "gw":{"type":"http","url":"https://a/mcp",
                "headers":{"Authorization":"Bearer ${GW_KEY}","X-Team":"${TEAM:-core}"}},
          "My Files":{"command":"npx","args":["-y","@modelcontextprotocol/server-filesystem","/srv"],
                      "env":{"API_KEY":"canary","DEBUG":"1"}},
          "old":{"type":"sse","url":"https://a/sse"}},
        "projects":{"/p":{"mcpServers":{"extra":{"type":"http","url":"https://b"}}}}}"#,
    );
    let expected = [("my-files", Fit::NeedsYou), ("extra", Fit::Exact), ("gw", Fit::Exact), ("old", Fit::Unsupported)];
    let mut found = fits(&import);
    found.sort_by_key(|(name, _)| expected.iter().position(|(known, _)| known == name));
    assert_eq!(found, expected);
    let gw = server(&import, "gw");
    assert_eq!(gw.headers["Authorization"], "Bearer ${env:GW_KEY}");
    assert_eq!(gw.headers["X-Team"], "${env:TEAM:-core}");
    let files = server(&import, "my-files");
    assert!(!files.enabled, "an imported command is never started");
    assert_eq!(files.args, ["-y", "@modelcontextprotocol/server-filesystem", "/srv"]);
    assert_eq!(files.env["API_KEY"], "${credential:my-files-api-key}");
    assert_eq!(files.env["DEBUG"], "1");
    assert!(!import.to_toml().contains("canary"), "{}", import.to_toml());
    compiles(&import);
}

#[test]
fn cursor() {
    let import = read(
        r#"// Cursor's file
        {"mcpServers":{"a":{"url":"https://a/mcp","headers":{"Authorization":"Bearer ${env:KEY}"}},
          "b":{"command":"${workspaceFolder}/run",
               "args":["--token","canary","--api-key=canary","X-Api-Key: canary","-v"]},}}"#,
    );
    assert_eq!(fits(&import), [("a", Fit::Exact), ("b", Fit::NeedsYou)]);
    let b = server(&import, "b");
    assert_eq!(b.command.as_deref(), Some("$${workspaceFolder}/run"));
    assert_eq!(b.args[1], "${credential:b-token}");
    assert_eq!(b.args[2], "--api-key=${credential:b-api-key}");
    assert_eq!(b.args[3], "X-Api-Key: ${credential:b-x-api-key}");
    assert!(!import.to_toml().contains("canary"));
    compiles(&import);
}

#[test]
fn vs_code() {
    let import = read(
        r#"{"inputs":[{"type":"promptString","id":"gw-key","password":true}],
        "servers":{"gw":{"type":"http","url":"https://a/mcp","headers":{"Authorization":"Bearer ${input:gw-key}"}},
                   "env":{"type":"stdio","command":"x","envFile":"${workspaceFolder}/.env","dev":{"watch":"src"}}}}"#,
    );
    assert_eq!(fits(&import), [("env", Fit::NeedsYou), ("gw", Fit::NeedsYou)]);
    assert_eq!(server(&import, "gw").headers["Authorization"], "Bearer ${credential:gw-key}");
    let notes = import.entries[0].notes.join("\n");
    assert!(notes.contains("`envFile`") && notes.contains("left out: `dev`"), "{notes}");
    compiles(&import);
    let user = read(r#"{"editor.fontSize":12,"mcp":{"servers":{"a":{"url":"https://a"}}}}"#);
    assert_eq!(fits(&user), [("a", Fit::Exact)]);
}

#[test]
fn codex() {
    let import = read(
        r#"model = "x"
        [mcp_servers.gw]
        url = "https://a/mcp"
        bearer_token_env_var = "GATEWAY_KEY"
        env_http_headers = { "X-Team" = "TEAM" }
        tool_timeout_sec = 1.5
        [mcp_servers.docs]
        command = "docs-mcp"
        args = ["--port", 4]
        env_vars = ["HOME_TOKEN"]
        enabled_tools = ["search"]
        [mcp_servers.bad]
        url = "ftp://x"
        "#,
    );
    assert_eq!(fits(&import), [("bad", Fit::Unsupported), ("docs", Fit::NeedsYou), ("gw", Fit::Exact)]);
    let gw = server(&import, "gw");
    assert_eq!(gw.headers["Authorization"], "Bearer ${env:GATEWAY_KEY}");
    assert_eq!((gw.headers["X-Team"].as_str(), gw.call_timeout_ms), ("${env:TEAM}", Some(1500)));
    let docs = server(&import, "docs");
    assert_eq!((docs.args[1].as_str(), docs.env["HOME_TOKEN"].as_str()), ("4", "${env:HOME_TOKEN}"));
    compiles(&import);
}

#[test]
fn the_others() {
    let zed = read(
        r#"{"context_servers":{"a":{"source":"custom","command":{"path":"p","args":["x"]}},"b":{"url":"https://b"}}}"#,
    );
    assert_eq!((server(&zed, "a").command.as_deref(), server(&zed, "a").args.len()), (Some("p"), 1));
    let opencode = read(
        r#"{"mcp":{"a":{"type":"local","command":["p","x"],"environment":{"A":"1"}},
            "b":{"type":"remote","url":"https://b","enabled":false}}}"#,
    );
    assert_eq!(server(&opencode, "a").args, ["x"]);
    assert!(!server(&opencode, "b").enabled);
    let gemini =
        read(r#"{"mcpServers":{"a":{"httpUrl":"https://a"},"b":{"serverUrl":"https://b?api_key=canary&x=1"}}}"#);
    assert_eq!(server(&gemini, "a").url.as_deref(), Some("https://a"));
    assert_eq!(server(&gemini, "b").url.as_deref(), Some("https://b?api_key=${credential:b-api-key}&x=1"));
    [zed, opencode, gemini].iter().for_each(compiles);
}

#[test]
fn what_wraps_mcp_remote_is_pointed_out() {
    let import = read(
        r#"{"mcpServers":{"a":{"command":"npx",
            "args":["-y","mcp-remote","https://a/mcp?x=1","--header","Authorization:${AUTH}"],
            "env":{"AUTH":"Bearer canary"}}}}"#,
    );
    let toml = import.to_toml();
    assert!(toml.contains("url = \"https://a/mcp\"") && toml.contains("Bearer ${credential:a-auth}"), "{toml}");
    assert_eq!(server(&import, "a").args[4], "Authorization:${env:AUTH}");
    assert!(!toml.contains("canary"));
}

#[test]
fn names_are_not_used_twice() {
    let mut taken = BTreeSet::from(["a".to_owned()]);
    let import = import(
        Path::new("f"),
        r#"{"mcpServers":{"A":{"url":"https://a"},"b c":{"url":"https://b"},"b-c":{"url":"https://b"}}}"#,
        &mut taken,
    );
    let import = import.expect("import");
    assert_eq!(fits(&import), [("a", Fit::Unsupported), ("b-c", Fit::Approximate), ("b-c", Fit::Unsupported)]);
    compiles(&import);
}

#[test]
fn what_holds_no_list_is_refused() {
    for (text, part) in [
        ("{", "is not JSON"),
        ("{\"a\":1}", "holds no server list"),
        ("{\"servers\":{\"a\":5}}", "holds no server list"),
        ("a = ", "line 1"),
        ("", "holds no server list"),
    ] {
        let error = import(Path::new("f"), text, &mut BTreeSet::new()).expect_err(text);
        assert!(error.context.contains(part), "{text}: {error}");
    }
}

#[test]
fn arbitrary_entries_never_panic_and_what_is_printed_is_toml() {
    bolero::check!().with_type::<(String, Vec<(u8, String)>)>().for_each(|(name, fields)| {
        let known = ["url", "command", "args", "env", "headers", "type", "bearer_token_env_var", "cwd", "timeout", "x"];
        let value = |at: usize, text: &str| match at % 3 {
            0 => serde_json::json!(text),
            1 => serde_json::json!([text, 1]),
            _ => serde_json::json!({text: text, "token": text}),
        };
        let entry: serde_json::Map<_, _> = fields
            .iter()
            .map(|(pick, text)| {
                (known[usize::from(*pick) % known.len()].to_owned(), value(usize::from(*pick) / 16, text))
            })
            .collect();
        let text = serde_json::json!({"mcpServers": {name: entry}}).to_string();
        if let Ok(import) = import(Path::new("f"), &text, &mut BTreeSet::new()) {
            let toml = import.to_toml();
            assert!(toml.parse::<toml::Table>().is_ok(), "{toml}");
        }
    });
}
