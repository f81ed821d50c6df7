//! Who may keep what, and how long: what the gate itself answers is for one key, what servers call public is for all
//! only where the configuration says so.

use crate::gate::{ANYONE, Home, eventually};
use crate::mcp::Client;
use crate::peers::Server;
use serde_json::{Value, json};
use std::time::Duration;

const LISTED: Duration = Duration::from_secs(20);
const READ: &str = "test://static-text";

#[test]
fn only_what_the_configuration_lets_be_shared_is_called_public() {
    let (modern, legacy) = (Server::everything("modern"), Server::everything("legacy"));
    let table = |name: &str, server: &Server, more: &str| format!("[servers.{name}]\nurl = \"{}\"\n{more}", server.url);
    let shared = "share_public = true\n";
    let tables = [table("kept", &modern, ""), table("shared", &modern, shared), table("old", &legacy, shared)];
    let home = Home::new(&format!("{ANYONE}{}", tables.concat()));
    let gate = home.start();
    let client = Client::new(home.listen);
    for server in ["kept", "shared", "old"] {
        let door = client.at(&format!("/mcp/{server}"));
        eventually("it is listed", LISTED, || door.tools().len() > 5);
    }
    let told = |client: &Client, method: &str, params: Value| {
        let result = client.modern(method, params).answer()["result"].take();
        assert!(result["ttlMs"].is_u64(), "{method}: {result}");
        (result["ttlMs"].as_u64().unwrap(), result["cacheScope"].clone())
    };
    let read = |server: &str| told(&client.at(&format!("/mcp/{server}")), "resources/read", json!({"uri": READ}));
    assert_eq!(read("kept"), (1000, json!("private")), "as long as its server says, for this client");
    assert_eq!(read("shared"), (1000, json!("public")));
    assert_eq!(read("old"), (0, json!("private")), "a legacy server says nothing of it");
    for server in ["/mcp", "/mcp/shared"] {
        for method in ["server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
            let (ttl, scope) = told(&client.at(server), method, json!({}));
            assert_eq!(scope, "private", "{method}: what one key sees is no other's");
            assert!((1..=60_000).contains(&ttl), "{method}: {ttl}");
        }
    }
    gate.stop();
}
