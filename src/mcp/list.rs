//! A `tools/list` answer around the bytes a view has rendered, and the changes a definition needs between eras.

use super::meta::{Params, wrong};
use super::model::Model;
use super::revision::Era;
use crate::base::error::Result;
use crate::wire::rpc::{self, Edit};
use std::borrow::Cow;
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

/// An array of tools as a client of an era can read it; borrowed where nothing changes.
///
/// Legacy clients take only objects as structured content, so an `outputSchema` of another type is wrapped as
/// `{"result":…}`, as `bridge` wraps the content, and one of no single type is left out. `execution` (tasks of
/// 2025-11-25) is left out for modern clients, as no task is carried.
pub fn for_era(era: Era, tools: &[u8]) -> Cow<'_, [u8]> {
    let change = match era {
        Era::Legacy => legacy_tool,
        Era::Modern => modern_tool,
    };
    if !rpc::array_items(tools).any(|tool| change(tool).is_some()) {
        return Cow::Borrowed(tools);
    }
    let mut out = Vec::with_capacity(tools.len());
    out.push(b'[');
    for tool in rpc::array_items(tools) {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(change(tool).as_deref().unwrap_or(tool));
    }
    out.push(b']');
    Cow::Owned(out)
}

fn modern_tool(tool: &[u8]) -> Option<Vec<u8>> {
    rpc::field(tool, "execution")?;
    Some(edited(tool, &[Edit::Remove("execution")]))
}

fn legacy_tool(tool: &[u8]) -> Option<Vec<u8>> {
    let schema = rpc::field(tool, "outputSchema")?;
    match rpc::field(schema, "type").and_then(rpc::string).as_deref() {
        Some("object") => None,
        Some(_) => Some(edited(tool, &[Edit::Set("outputSchema", &wrapped_schema(schema))])),
        None => Some(edited(tool, &[Edit::Remove("outputSchema")])),
    }
}

/// The schema of `{"result":…}` around a schema. Definitions move to the new root, where `#/$defs/…` still finds them.
fn wrapped_schema(schema: &[u8]) -> Vec<u8> {
    const MOVED: [&str; 3] = ["$schema", "$defs", "definitions"];
    let inner = edited(schema, &MOVED.map(Edit::Remove));
    let mut out = br#"{"type":"object","required":["result"]"#.to_vec();
    for key in MOVED {
        if let Some(value) = rpc::field(schema, key) {
            out.extend_from_slice(&[b",\"", key.as_bytes(), b"\":", value].concat());
        }
    }
    out.extend_from_slice(br#","properties":{"result":"#);
    out.extend_from_slice(&inner);
    out.extend_from_slice(b"}}");
    out
}

pub(super) fn edited(object: &[u8], edits: &[Edit<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.len() + 64);
    rpc::edit(&mut out, object, edits);
    out
}
