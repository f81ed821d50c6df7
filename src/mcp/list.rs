//! A `tools/list` answer around the bytes a view has rendered.

use super::meta::{Params, wrong};
use super::model::Model;
use super::revision::Era;
use crate::base::error::Result;
use std::io::Write;

/// What stands before and behind the array of tools in an answer, so that the array itself is never copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Around {
    /// Goes before the array.
    pub head: Vec<u8>,
    /// Goes behind it.
    pub tail: Vec<u8>,
}

/// The message around an array of tools; `ttl_ms` says how long a modern client may keep it.
pub fn around(model: &Model, era: Era, id: &[u8], ttl_ms: u64) -> Around {
    let mut head = Vec::with_capacity(96 + id.len());
    head.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    head.extend_from_slice(id);
    head.extend_from_slice(br#","result":{"#);
    if era == Era::Legacy {
        head.extend_from_slice(br#""tools":"#);
        return Around { head, tail: b"}}".to_vec() };
    }
    head.extend_from_slice(br#""resultType":"complete","tools":"#);
    let mut tail = Vec::with_capacity(160);
    // Writing into a Vec cannot fail.
    let _ = write!(tail, r#","ttlMs":{ttl_ms},"cacheScope":"private","_meta":"#);
    tail.extend_from_slice(model.result_meta());
    tail.extend_from_slice(b"}}");
    Around { head, tail }
}

/// Refuses a cursor: the list is one page, so nobody was given any (in band, 2026-07-28 server/utilities/pagination).
///
/// # Errors
/// `Kind::InvalidParams` if there is a cursor.
pub fn check_cursor(params: &Params<'_>) -> Result<()> {
    if params.cursor.is_some() { Err(wrong("unknown cursor: the list is one page")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;
    use serde_json::{Value, json};

    fn answer(era: Era) -> Value {
        let Around { head, tail } = around(&Model::new("1", None), era, b"\"x\"", 250);
        let tools = br#"[{"name":"a"}]"#;
        serde_json::from_slice(&[&head[..], tools, &tail].concat()).unwrap()
    }

    #[test]
    fn each_era_gets_its_own_members_around_the_same_tools() {
        let tools = json!([{"name": "a"}]);
        assert_eq!(answer(Era::Legacy), json!({"jsonrpc": "2.0", "id": "x", "result": {"tools": tools}}));
        let result = answer(Era::Modern)["result"].clone();
        let info = json!({"name": "tollgate", "title": "Tollgate", "version": "1"});
        let meta = json!({"io.modelcontextprotocol/serverInfo": info});
        let expected =
            json!({"resultType": "complete", "tools": tools, "ttlMs": 250, "cacheScope": "private", "_meta": meta});
        assert_eq!(result, expected);
    }

    /// server/utilities/pagination: a cursor we did not give is -32602, the empty one too.
    #[test]
    fn any_cursor_is_unknown() {
        check_cursor(&Params::read(Some(b"{}"))).unwrap();
        for params in [&br#"{"cursor":""}"#[..], br#"{"cursor":"x"}"#, br#"{"cursor":null}"#] {
            assert_eq!(check_cursor(&Params::read(Some(params))).unwrap_err().kind, Kind::InvalidParams);
        }
    }
}
