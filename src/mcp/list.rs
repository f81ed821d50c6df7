//! The answer to a list's request around the bytes a view has rendered, and the cursor of its next page.

use super::meta::{Params, wrong};
use super::model::Model;
use super::revision::Era;
use super::seal::{Purpose, Sealing};
use crate::base::clock::WallTime;
use crate::base::error::Result;
use crate::base::ids::KeyId;
use crate::base::limits::{CURSOR_MAX, CURSOR_TTL_S};
use crate::catalog::{ListKind, View};
use crate::wire::rpc;
use std::io::Write;

/// What stands before and behind the array of entries in an answer, so that the array itself is never copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Around {
    /// Goes before the array.
    pub head: Vec<u8>,
    /// Goes behind it.
    pub tail: Vec<u8>,
}

/// The message around a page of a list; `ttl_ms` says how long a modern client may keep it, `next` is the cursor of the
/// page after it.
pub fn around(model: &Model, era: Era, kind: ListKind, id: &[u8], (ttl_ms, next): (u64, Option<&str>)) -> Around {
    let mut head = Vec::with_capacity(112 + id.len());
    head.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    head.extend_from_slice(id);
    head.extend_from_slice(br#","result":{"#);
    if era == Era::Modern {
        head.extend_from_slice(br#""resultType":"complete","#);
    }
    head.push(b'"');
    head.extend_from_slice(kind.member().as_bytes());
    head.extend_from_slice(b"\":");
    let mut tail = Vec::with_capacity(160);
    if let Some(cursor) = next {
        tail.extend_from_slice(br#","nextCursor":"#);
        rpc::quote(&mut tail, cursor);
    }
    if era == Era::Modern {
        // Writing into a Vec cannot fail.
        let _ = write!(tail, r#","ttlMs":{ttl_ms},"cacheScope":"private","_meta":"#);
        tail.extend_from_slice(model.result_meta());
    }
    tail.extend_from_slice(b"}}");
    Around { head, tail }
}

/// What a cursor is bound to: a list of one key as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// Whose list it is.
    pub key: &'a KeyId,
    /// Which of its lists.
    pub kind: ListKind,
    /// What it holds.
    pub view: &'a View,
}

impl Listed<'_> {
    /// The cursor of a page, good for `CURSOR_TTL_S` seconds.
    pub fn cursor(&self, sealing: &Sealing, page: u32, now: WallTime) -> String {
        let until = now.0.saturating_add(CURSOR_TTL_S * 1000);
        let plain = [&until.to_le_bytes()[..], &page.to_le_bytes(), &self.bound_to()].concat();
        sealing.seal(Purpose::Cursor, plain)
    }

    /// The page that a request asks for: the first, unless it has a cursor.
    ///
    /// # Errors
    /// `Kind::InvalidParams`, one answer for all (2026-07-28 server/utilities/pagination): not ours, altered, another
    /// key's or list's, too old, or of a list that has changed since.
    pub fn page(&self, sealing: &Sealing, params: &Params<'_>, now: WallTime) -> Result<u32> {
        let Some(raw) = params.cursor else { return Ok(0) };
        let text = rpc::string(raw);
        let page = text.and_then(|text| self.opened(sealing, &text, now));
        page.ok_or_else(|| wrong("unknown cursor, or the list has changed: list again from the start"))
    }

    fn opened(&self, sealing: &Sealing, text: &str, now: WallTime) -> Option<u32> {
        let plain = sealing.open(Purpose::Cursor, text, CURSOR_MAX)?;
        let (until, rest) = plain.split_first_chunk()?;
        let (page, bound_to) = rest.split_first_chunk()?;
        let page = u32::from_le_bytes(*page);
        let is_there = usize::try_from(page).is_ok_and(|page| page < self.view.pages.len());
        (u64::from_le_bytes(*until) > now.0 && bound_to == self.bound_to() && is_there).then_some(page)
    }

    fn bound_to(&self) -> Vec<u8> {
        [&[self.kind as u8][..], &self.view.digest, self.key.as_str().as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;
    use crate::base::limits::LIST_PAGE_MAX;
    use crate::catalog::{Door, Grant, Pattern, plain};
    use serde_json::{Value, json};

    fn answer(era: Era, next: Option<&str>) -> Value {
        let Around { head, tail } = around(&Model::new("1", None), era, ListKind::Tools, b"\"x\"", (250, next));
        let tools = br#"[{"name":"a"}]"#;
        serde_json::from_slice(&[&head[..], tools, &tail].concat()).unwrap()
    }

    #[test]
    fn each_era_gets_its_own_members_around_the_same_tools() {
        let tools = json!([{"name": "a"}]);
        assert_eq!(answer(Era::Legacy, None), json!({"jsonrpc": "2.0", "id": "x", "result": {"tools": tools}}));
        let result = answer(Era::Modern, None)["result"].clone();
        let info = json!({"name": "tollgate", "title": "Tollgate", "version": "1"});
        let meta = json!({"io.modelcontextprotocol/serverInfo": info});
        let expected =
            json!({"resultType": "complete", "tools": tools, "ttlMs": 250, "cacheScope": "private", "_meta": meta});
        assert_eq!(result, expected);
        assert_eq!(answer(Era::Legacy, Some("c"))["result"], json!({"tools": tools, "nextCursor": "c"}));
        assert_eq!(answer(Era::Modern, Some("c"))["result"]["nextCursor"], "c");
    }

    fn view(count: usize, pattern: &str) -> View {
        let names: Vec<String> = (0..count).map(|at| format!("t{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let catalog = plain(&[("a", &names)]);
        let grant = Grant::compile(&[Pattern::parse(pattern).unwrap()], &catalog);
        View::render(&catalog, &grant, Door::All, ListKind::Tools)
    }

    /// server/utilities/pagination: a cursor we did not give is -32602, the empty one too.
    #[test]
    fn a_cursor_opens_for_its_list_alone() {
        let (sealing, now, late) = (Sealing::new(&[1; 32]), WallTime(5_000), WallTime(5_000 + CURSOR_TTL_S * 1000));
        let (key, other) = (KeyId::parse("k1").unwrap(), KeyId::parse("k2").unwrap());
        let (view, less) = (view(LIST_PAGE_MAX + 1, "*/*"), view(LIST_PAGE_MAX + 1, "a/t1*"));
        let listed = Listed { key: &key, kind: ListKind::Tools, view: &view };
        let at = |listed: Listed<'_>, raw: &str, now| {
            let params = format!("{{\"cursor\":{raw}}}");
            listed.page(&sealing, &Params::read(Some(params.as_bytes())), now).map_err(|error| error.kind)
        };
        let cursor = listed.cursor(&sealing, 1, now);
        assert!(cursor.len() <= CURSOR_MAX);
        let quoted = format!("\"{cursor}\"");
        assert_eq!(listed.page(&sealing, &Params::default(), now), Ok(0));
        assert_eq!(at(listed, &quoted, now), Ok(1));
        let refused = Err(Kind::InvalidParams);
        assert_eq!(at(listed, &quoted, late), refused);
        assert_eq!(at(Listed { key: &other, ..listed }, &quoted, now), refused);
        assert_eq!(at(Listed { kind: ListKind::Prompts, ..listed }, &quoted, now), refused);
        assert_eq!(at(Listed { view: &less, ..listed }, &quoted, now), refused);
        assert_eq!(at(listed, &format!("\"{}\"", listed.cursor(&sealing, 2, now)), now), refused);
        assert_eq!(
            at(listed, &format!("\"{}\"", Sealing::new(&[2; 32]).seal(Purpose::Cursor, vec![0; 60])), now),
            refused
        );
        for bad in ["\"\"", "\"x\"", "null", "7", &quoted.replace(&cursor[..2], "__")] {
            assert_eq!(at(listed, bad, now), refused, "{bad}");
        }
    }
}
