//! Serves one of the demo's servers: `notes` on stdin and stdout, `calendar` as an HTTP route on loopback.

use super::protocol::answer;
use super::tools::{DemoServer, Notes};
use crate::base::error::Result;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use std::io::{BufRead, Write};

/// Speaks newline-delimited JSON on stdin and stdout until stdin ends.
///
/// # Errors
/// Where stdin or stdout fails.
pub(crate) fn run_stdio(server: DemoServer) -> Result<()> {
    let mut notes = Notes::default();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let reply = match serde_json::from_str::<Value>(&line?) {
            Ok(message) => answer(server, &mut notes, &message),
            Err(error) => Some(malformed(&error)),
        };
        if let Some(reply) = reply {
            writeln!(out, "{reply}")?;
            out.flush()?;
        }
    }
    Ok(())
}

/// The HTTP route of the modern server: one POST a message, a JSON answer.
pub(crate) fn router(server: DemoServer) -> Router {
    Router::new().route("/mcp", post(move |body: String| async move { reply(server, &body) }))
}

fn reply(server: DemoServer, body: &str) -> (StatusCode, axum::Json<Value>) {
    let message: Value = match serde_json::from_str(body) {
        Ok(message) => message,
        Err(error) => return (StatusCode::BAD_REQUEST, axum::Json(malformed(&error))),
    };
    match answer(server, &mut Notes::default(), &message) {
        Some(reply) if reply["error"]["code"] == json!(-32601) => (StatusCode::NOT_FOUND, axum::Json(reply)),
        Some(reply) => (StatusCode::OK, axum::Json(reply)),
        None => (StatusCode::ACCEPTED, axum::Json(Value::Null)),
    }
}

fn malformed(error: &serde_json::Error) -> Value {
    json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": format!("not JSON: {error}")}})
}
