//! Whether an answer is a good one: a cheap look for each, a whole parse for the first of a connection and for whatever
//! looks wrong.

use super::request::{Id, Method};
use crate::order::Era;
use crate::trouble::Trouble;
use memchr::memmem;
use serde_json::Value;

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The request's id.
    pub id: Id,
    /// The era.
    pub era: Era,
}

/// An answer that is no good, and words on what is wrong with it.
type Judged = Result<(), (Trouble, String)>;

/// Bytes at each end of a body in which its id most likely stands.
const EDGE: usize = 160;

/// Judges an answer by a look at it: the status, the id's digits, which of `result` and `error` comes first, and
/// whether a tool's result says `isError`.
///
/// # Errors
/// What is wrong with it. Whatever looks wrong is parsed before it is said to be.
pub fn judge(asked: &Asked, status: u16, body: &[u8]) -> Judged {
    let looks_good = status == 200
        && has_result_first(body)
        && has_id(body, &asked.id)
        && (asked.method != Method::Call || memmem::find(body, b"\"isError\":true").is_none());
    if looks_good { Ok(()) } else { judge_strictly(asked, status, body) }
}

fn has_result_first(body: &[u8]) -> bool {
    match memmem::find(body, b"\"result\"") {
        Some(at) => memmem::find(&body[..at], b"\"error\"").is_none(),
        None => false,
    }
}

fn has_id(body: &[u8], id: &Id) -> bool {
    let (start, end) = (&body[..body.len().min(EDGE)], &body[body.len().saturating_sub(EDGE)..]);
    memmem::find(start, &id.0).is_some()
        || memmem::find(end, &id.0).is_some()
        || (body.len() > 2 * EDGE && memmem::find(body, &id.0).is_some())
}

/// Judges an answer by a whole parse.
///
/// # Errors
/// What is wrong with it.
pub fn judge_strictly(asked: &Asked, status: u16, body: &[u8]) -> Judged {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return Err(not_json(status, body));
    };
    let malformed = |words: &str| Err((Trouble::Malformed, format!("{words}: {}", excerpt(body))));
    if let Some(error) = answer.get("error") {
        let code = error.get("code").and_then(Value::as_i64);
        return match code {
            Some(code) => Err((Trouble::JsonRpc(code), excerpt(body))),
            None if status != 200 => Err((Trouble::Http(status), excerpt(body))),
            None => malformed("a JSON-RPC error without a code"),
        };
    }
    if status != 200 {
        return Err((Trouble::Http(status), excerpt(body)));
    }
    if answer["jsonrpc"] != "2.0" {
        return malformed("not JSON-RPC 2.0");
    }
    if answer["id"].as_u64() != std::str::from_utf8(&asked.id.0).ok().and_then(|digits| digits.parse().ok()) {
        return malformed("the answer to another request");
    }
    match answer.get("result") {
        Some(result) => judge_result(asked, result, body),
        None => malformed("neither result nor error"),
    }
}

fn judge_result(asked: &Asked, result: &Value, body: &[u8]) -> Judged {
    let malformed = |words: &str| Err((Trouble::Malformed, format!("{words}: {}", excerpt(body))));
    if asked.method == Method::Call && result["isError"] == true {
        return Err((Trouble::IsError, excerpt(body)));
    }
    if asked.era == Era::Modern && asked.method != Method::Other && result["resultType"] != "complete" {
        return malformed("resultType is not \"complete\"");
    }
    match asked.method {
        Method::List if !result["tools"].is_array() => malformed("a list without tools"),
        Method::Call if !result["content"].is_array() => malformed("a tool's result without content"),
        _ => Ok(()),
    }
}

fn not_json(status: u16, body: &[u8]) -> (Trouble, String) {
    if status == 200 {
        return (Trouble::Malformed, format!("not JSON: {}", excerpt(body)));
    }
    (Trouble::Http(status), excerpt(body))
}

/// The start of a body, for people.
fn excerpt(body: &[u8]) -> String {
    if body.is_empty() {
        return "an empty body".into();
    }
    // A terminal must not be steered by what a server says.
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(method: Method, status: u16, body: &str) -> Option<Trouble> {
        let asked = Asked { method, id: Id::nth(5), era: Era::Modern };
        let quick = judge(&asked, status, body.as_bytes()).err().map(|(trouble, _)| trouble);
        let strict = judge_strictly(&asked, status, body.as_bytes()).err().map(|(trouble, _)| trouble);
        assert_eq!(quick, strict, "{body}");
        strict
    }

    #[test]
    fn the_look_and_the_parse_agree() {
        let good = r#"{"jsonrpc":"2.0","id":1000000005,"result":{"content":[],"resultType":"complete"}}"#;
        let cases = [
            (200, good.to_owned(), None),
            (200, good.replace("[]", r#"[{"text":"\"error\":1 \"isError\":true"}]"#), None),
            (200, good.replace(r#""content":[]"#, r#""content":[],"structuredContent":{"error":1}"#), None),
            (200, good.replace(r#""content":[]"#, r#""content":[],"structuredContent":{"isError":true}"#), None),
            (200, good.replace(r#""content":[]"#, r#""content":[],"isError":true"#), Some(Trouble::IsError)),
            (200, good.replace("0005", "0006"), Some(Trouble::Malformed)),
            (500, good.to_owned(), Some(Trouble::Http(500))),
            (503, "busy".to_owned(), Some(Trouble::Http(503))),
            (200, String::new(), Some(Trouble::Malformed)),
            (
                400,
                r#"{"jsonrpc":"2.0","id":1000000005,"error":{"code":-32602,"message":"result"}}"#.to_owned(),
                Some(Trouble::JsonRpc(-32602)),
            ),
            (200, r#"{"jsonrpc":"2.0","id":1000000005}"#.to_owned(), Some(Trouble::Malformed)),
        ];
        for (status, body, trouble) in cases {
            assert_eq!(both(Method::Call, status, &body), trouble, "{body}");
        }
    }

    #[test]
    fn a_list_is_parsed_for_its_tools_only_when_parsed_at_all() {
        let body = br#"{"jsonrpc":"2.0","id":1000000005,"result":{"resultType":"complete"}}"#;
        let asked = Asked { method: Method::List, id: Id::nth(5), era: Era::Modern };
        assert!(judge(&asked, 200, body).is_ok());
        assert!(judge_strictly(&asked, 200, body).is_err());
    }

    #[test]
    fn the_id_is_found_at_either_end_and_in_between() {
        let pad = "x".repeat(1000);
        for body in [format!("1000000005{pad}"), format!("{pad}1000000005"), format!("{pad}1000000005{pad}")] {
            assert!(has_id(body.as_bytes(), &Id::nth(5)));
        }
        assert!(!has_id(pad.as_bytes(), &Id::nth(5)));
    }
}
