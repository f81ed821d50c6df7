//! Listen streams (2026-07-28 patterns/subscriptions) and the word that the list of tools has changed.

use super::meta::{Params, SUBSCRIPTION_ID, wrong};
use crate::base::error::Result;
use crate::wire::rpc;

/// The word to a legacy session's GET stream that its list has changed.
pub const LEGACY_TOOLS_CHANGED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

/// What a listen request asked for, as far as it is honoured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// `toolsListChanged` was asked for. The others have no source yet and are not honoured.
    pub tools: bool,
}

impl Listen {
    /// Reads `params.notifications`.
    ///
    /// # Errors
    /// `Kind::InvalidParams` where the filter is missing, no object, or a member has the wrong type.
    pub fn read(params: &Params<'_>) -> Result<Self> {
        let filter = params.notifications.filter(|raw| rpc::is_object(raw));
        let filter = filter.ok_or_else(|| wrong("notifications must be an object"))?;
        let mut listen = Self::default();
        for field in rpc::object_fields(filter) {
            match &*field.key {
                b"toolsListChanged" => listen.tools = flag(field.value)?,
                b"promptsListChanged" | b"resourcesListChanged" => drop(flag(field.value)?),
                b"resourceSubscriptions" if !rpc::is_array(field.value) => {
                    return Err(wrong("resourceSubscriptions must be an array"));
                }
                _ => (),
            }
        }
        Ok(listen)
    }

    /// The first message of the stream: what is honoured. `id` is the raw id of the listen request.
    pub fn acknowledged(self, id: &[u8]) -> Vec<u8> {
        let honoured: &[u8] = if self.tools { br#"{"toolsListChanged":true}"# } else { b"{}" };
        let params = [b"{\"_meta\":", &*meta(id), b",\"notifications\":", honoured, b"}"].concat();
        notification("notifications/subscriptions/acknowledged", &params)
    }
}

/// The word on a stream that the list of tools has changed.
pub fn tools_changed(id: &[u8]) -> Vec<u8> {
    notification("notifications/tools/list_changed", &[b"{\"_meta\":", &*meta(id), b"}"].concat())
}

/// The last message of a stream that the gate ends: the request's result, before the stream is closed.
pub fn ended(id: &[u8]) -> Vec<u8> {
    let result = [br#"{"resultType":"complete","_meta":"#, &*meta(id), b"}"].concat();
    let mut out = Vec::new();
    rpc::result(&mut out, id, &result);
    out
}

fn flag(raw: &[u8]) -> Result<bool> {
    rpc::boolean(raw).ok_or_else(|| wrong("a notification filter must be true or false"))
}

fn meta(id: &[u8]) -> Vec<u8> {
    [b"{\"", SUBSCRIPTION_ID.as_bytes(), b"\":", id, b"}"].concat()
}

fn notification(method: &str, params: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    rpc::notification(&mut out, method, Some(params));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;
    use serde_json::{Value, json};

    fn read(params: &str) -> Result<Listen> {
        Listen::read(&Params::read(Some(params.as_bytes())))
    }

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn only_what_has_a_source_is_honoured() {
        let all = r#"{"notifications":{"toolsListChanged":true,"promptsListChanged":true,
            "resourceSubscriptions":["a://b"],"taskIds":["t"]}}"#;
        assert_eq!(read(all), Ok(Listen { tools: true }));
        assert_eq!(read(r#"{"notifications":{"toolsListChanged":false}}"#), Ok(Listen { tools: false }));
        assert_eq!(read(r#"{"notifications":{}}"#), Ok(Listen { tools: false }));
        for bad in [
            "{}",
            r#"{"notifications":[]}"#,
            r#"{"notifications":{"toolsListChanged":1}}"#,
            r#"{"notifications":{"promptsListChanged":null}}"#,
            r#"{"notifications":{"resourceSubscriptions":"a"}}"#,
        ] {
            assert_eq!(read(bad).unwrap_err().kind, Kind::InvalidParams, "{bad}");
        }
    }

    /// 2026-07-28 patterns/subscriptions: every message carries the id of the listen request, in its own type.
    #[test]
    fn every_message_of_a_stream_names_its_subscription() {
        for (raw, id) in [(&b"7"[..], json!(7)), (b"\"7\"", json!("7"))] {
            let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
            let ack = value(&Listen { tools: true }.acknowledged(raw));
            assert_eq!(ack["method"], "notifications/subscriptions/acknowledged");
            assert_eq!(ack["params"], json!({"_meta": meta, "notifications": {"toolsListChanged": true}}));
            assert_eq!(value(&Listen::default().acknowledged(raw))["params"]["notifications"], json!({}));
            let changed = value(&tools_changed(raw));
            assert_eq!(
                (&changed["method"], &changed["params"]["_meta"]),
                (&json!("notifications/tools/list_changed"), &meta)
            );
            let end = json!({"jsonrpc": "2.0", "id": id, "result": {"resultType": "complete", "_meta": meta}});
            assert_eq!(value(&ended(raw)), end);
        }
        assert_eq!(value(LEGACY_TOOLS_CHANGED)["method"], "notifications/tools/list_changed");
    }
}
