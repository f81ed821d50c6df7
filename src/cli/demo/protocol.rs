//! What the demo's servers answer to one JSON-RPC message: `notes` speaks the legacy era over stdio, `calendar` the
//! modern one over HTTP, so that the demo shows both legs.

use super::tools::{DemoServer, Notes};
use serde_json::{Value, json};

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// The answer to one message; nothing for a notification.
pub(crate) fn answer(server: DemoServer, notes: &mut Notes, message: &Value) -> Option<Value> {
    let id = message.get("id")?.clone();
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
    let params = message.get("params").cloned().unwrap_or_else(|| json!({}));
    let outcome = match (server, method) {
        (DemoServer::Notes, "initialize") => Ok(json!({
            "protocolVersion": LEGACY,
            "capabilities": {"tools": {}},
            "serverInfo": info(server),
        })),
        (DemoServer::Notes, "ping") => Ok(json!({})),
        (DemoServer::Calendar, "server/discover") => Ok(json!({
            "supportedVersions": [MODERN],
            "capabilities": {"tools": {}},
        })),
        (_, "tools/list") => Ok(json!({"tools": server.definitions()})),
        (_, "tools/call") => call(server, notes, &params),
        _ => Err(json!({"code": -32601, "message": format!("no such method: {method}")})),
    };
    Some(match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": for_era(server, method, result)}),
        Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
    })
}

fn call(server: DemoServer, notes: &mut Notes, params: &Value) -> Result<Value, Value> {
    let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
    let arguments = params.get("arguments").cloned().unwrap_or_else(|| json!({}));
    let unknown = || json!({"code": -32602, "message": format!("no such tool: {name}")});
    server.call(notes, name, &arguments).ok_or_else(unknown)
}

fn for_era(server: DemoServer, method: &str, mut result: Value) -> Value {
    if server == DemoServer::Calendar {
        result["resultType"] = json!("complete");
        result["_meta"] = json!({"io.modelcontextprotocol/serverInfo": info(server)});
        if method != "tools/call" {
            result["ttlMs"] = json!(60_000);
            result["cacheScope"] = json!("public");
        }
    }
    result
}

fn info(server: DemoServer) -> Value {
    json!({"name": format!("tollgate-demo-{}", server.name()), "version": env!("CARGO_PKG_VERSION")})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_gets_no_answer() {
        let message = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(answer(DemoServer::Notes, &mut Notes::default(), &message), None);
    }

    #[test]
    fn each_server_speaks_its_era_only() {
        let ask = |server, method: &str| {
            let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}});
            answer(server, &mut Notes::default(), &message).expect("an answer")
        };
        assert_eq!(ask(DemoServer::Notes, "initialize")["result"]["protocolVersion"], json!(LEGACY));
        assert_eq!(ask(DemoServer::Notes, "server/discover")["error"]["code"], json!(-32601));
        assert_eq!(ask(DemoServer::Calendar, "tools/list")["result"]["resultType"], json!("complete"));
        assert_eq!(ask(DemoServer::Calendar, "initialize")["error"]["code"], json!(-32601));
    }
}
