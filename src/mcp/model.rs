//! What the gate says of itself: its name, its capabilities, how long its answers stay fresh.

use super::meta::SERVER_INFO;
use super::revision::Revision;
use crate::base::limits::{DISCOVER_TTL_MS, INSTRUCTIONS_MAX};
use crate::wire::rpc;

/// What is advertised in both eras: tools whose list may change, and log notifications for those who ask. Raw JSON.
const CAPABILITIES: &str = r#"{"logging":{},"tools":{"listChanged":true}}"#;

/// The gate as one door shows it; rendered once.
#[derive(Clone, Debug)]
pub struct Model {
    info: Box<[u8]>,
    result_meta: Box<[u8]>,
    discover: Box<[u8]>,
    instructions: Option<Box<[u8]>>,
}

impl Model {
    /// The gate in this version, with instructions for the model's eyes cut at `INSTRUCTIONS_MAX` bytes.
    pub fn new(version: &str, instructions: Option<&str>) -> Self {
        let mut info = br#"{"name":"tollgate","title":"Tollgate","version":"#.to_vec();
        rpc::quote(&mut info, version);
        info.push(b'}');
        let result_meta = [br#"{""#, SERVER_INFO.as_bytes(), br#"":"#, &info, b"}"].concat();
        let cut = |text: &str| rpc::quoted(&text[..text.floor_char_boundary(INSTRUCTIONS_MAX)]).into_boxed_slice();
        let instructions = instructions.filter(|text| !text.is_empty()).map(cut);
        let discover = discover(instructions.as_deref(), &result_meta);
        Self { info: info.into(), result_meta: result_meta.into(), discover: discover.into(), instructions }
    }

    /// The raw `Implementation` object: `serverInfo` to clients, `clientInfo` to servers.
    pub fn info(&self) -> &[u8] {
        &self.info
    }

    /// The raw `_meta` of a modern result that has no other.
    pub fn result_meta(&self) -> &[u8] {
        &self.result_meta
    }

    /// The answer to `server/discover`.
    pub fn discover(&self, id: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        rpc::result(&mut out, id, &self.discover);
        out
    }

    /// The answer to `initialize`.
    pub fn initialize(&self, id: &[u8], revision: Revision) -> Vec<u8> {
        let mut result = Vec::with_capacity(256);
        result.extend_from_slice(br#"{"protocolVersion":""#);
        result.extend_from_slice(revision.as_str().as_bytes());
        result.extend_from_slice(br#"","capabilities":"#);
        result.extend_from_slice(CAPABILITIES.as_bytes());
        result.extend_from_slice(br#","serverInfo":"#);
        result.extend_from_slice(&self.info);
        put_instructions(&mut result, self.instructions.as_deref());
        result.push(b'}');
        let mut out = Vec::new();
        rpc::result(&mut out, id, &result);
        out
    }
}

/// The `DiscoverResult` (2026-07-28 server/discover). Private, as what a key sees is its own.
fn discover(instructions: Option<&[u8]>, result_meta: &[u8]) -> Vec<u8> {
    let supported = Revision::SUPPORTED_MODERN;
    let mut out = format!(
        r#"{{"resultType":"complete","ttlMs":{DISCOVER_TTL_MS},"cacheScope":"private","supportedVersions":{supported},"#
    )
    .into_bytes();
    out.extend_from_slice(br#""capabilities":"#);
    out.extend_from_slice(CAPABILITIES.as_bytes());
    put_instructions(&mut out, instructions);
    out.extend_from_slice(br#","_meta":"#);
    out.extend_from_slice(result_meta);
    out.push(b'}');
    out
}

fn put_instructions(out: &mut Vec<u8>, instructions: Option<&[u8]>) {
    if let Some(text) = instructions {
        out.extend_from_slice(br#","instructions":"#);
        out.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    /// 2026-07-28 server/discover: all required members, modern revisions only, private.
    #[test]
    fn discover_says_what_the_schema_requires() {
        let model = Model::new("1.2.3", Some("be \"kind\""));
        let answer = value(&model.discover(b"\"d\""));
        assert_eq!(answer["id"], "d");
        let info = json!({"name": "tollgate", "title": "Tollgate", "version": "1.2.3"});
        let expected = json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"],
            "ttlMs": DISCOVER_TTL_MS, "cacheScope": "private",
            "capabilities": {"logging": {}, "tools": {"listChanged": true}}, "instructions": "be \"kind\"",
            "_meta": {"io.modelcontextprotocol/serverInfo": info},
        });
        assert_eq!(answer["result"], expected);
        assert_eq!(value(model.info()), info);
    }

    #[test]
    fn initialize_is_answered_in_the_negotiated_revision() {
        let result = value(&Model::new("1", None).initialize(b"0", Revision::V2025_03_26))["result"].clone();
        assert_eq!(result["protocolVersion"], "2025-03-26");
        assert_eq!(result["serverInfo"]["name"], "tollgate");
        assert!(result.get("instructions").is_none() && result.get("resultType").is_none());
    }

    #[test]
    fn instructions_are_bounded_and_empty_ones_left_out() {
        let long = Model::new("1", Some(&"é".repeat(INSTRUCTIONS_MAX)));
        let text = value(&long.discover(b"1"))["result"]["instructions"].clone();
        assert_eq!(text.as_str().unwrap().len(), INSTRUCTIONS_MAX);
        assert!(value(&Model::new("1", Some("")).discover(b"1"))["result"].get("instructions").is_none());
    }
}
