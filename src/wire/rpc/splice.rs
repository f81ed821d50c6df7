//! Messages built around raw spans, and objects with members set or removed while the rest is copied verbatim.

use super::text;
use super::walk::object_fields;
use crate::base::error::{Error, Retry};

/// A change to one member of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Gives the member this raw JSON value: replaced in its place, or appended where it is not there.
    Set(&'a str, &'a [u8]),
    /// Takes the member out if it is there.
    Remove(&'a str),
}

impl Edit<'_> {
    fn key(&self) -> &str {
        match self {
            Self::Set(key, _) | Self::Remove(key) => key,
        }
    }
}

/// Appends `{"jsonrpc":"2.0","id":…,"result":…}`; id and result are raw JSON.
pub fn result(out: &mut Vec<u8>, id: &[u8], result: &[u8]) {
    out.reserve(id.len() + result.len() + 40);
    result_of(out, id, |out| out.extend_from_slice(result));
}

/// Appends the same around a result that `write` appends.
pub fn result_of(out: &mut Vec<u8>, id: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id);
    out.extend_from_slice(br#","result":"#);
    write(out);
    out.push(b'}');
}

/// Appends an error message. Without an id the member is left out: MCP allows that and does not allow `null`.
pub fn error(out: &mut Vec<u8>, id: Option<&[u8]>, code: i32, message: &str, data: Option<&[u8]>) {
    let mut object = Vec::with_capacity(message.len() + 64);
    object.extend_from_slice(br#"{"code":"#);
    number(&mut object, code.into());
    object.extend_from_slice(br#","message":"#);
    text::quote(&mut object, message);
    if let Some(data) = data {
        object.extend_from_slice(br#","data":"#);
        object.extend_from_slice(data);
    }
    object.push(b'}');
    error_object(out, id, &object);
}

/// Appends an error message around a raw error object.
pub fn error_object(out: &mut Vec<u8>, id: Option<&[u8]>, error: &[u8]) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0""#);
    if let Some(id) = id {
        out.extend_from_slice(br#","id":"#);
        out.extend_from_slice(id);
    }
    out.extend_from_slice(br#","error":"#);
    out.extend_from_slice(error);
    out.push(b'}');
}

/// The error message for one of our own errors, its code from the one table in `base::error`.
pub fn error_body(id: Option<&[u8]>, fault: &Error) -> Vec<u8> {
    let mut out = Vec::with_capacity(96 + fault.context.len());
    let data = data(fault);
    error(&mut out, id, fault.kind.rpc_code(), &fault.context, data.as_deref());
    out
}

/// The raw `error.data` of an error: its own, or of one that passes with time, when.
fn data(fault: &Error) -> Option<Vec<u8>> {
    if let Some(data) = &fault.data {
        return Some(data.as_bytes().to_vec());
    }
    let Retry::After(seconds) = fault.retry else { return None };
    Some(format!(r#"{{"retryAfterSeconds":{seconds}}}"#).into_bytes())
}

/// Appends a request; id and params are raw JSON.
pub fn request(out: &mut Vec<u8>, id: &[u8], method: &str, params: Option<&[u8]>) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id);
    call(out, method, params);
}

/// Appends a notification; params are raw JSON.
pub fn notification(out: &mut Vec<u8>, method: &str, params: Option<&[u8]>) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0""#);
    call(out, method, params);
}

fn call(out: &mut Vec<u8>, method: &str, params: Option<&[u8]>) {
    out.extend_from_slice(br#","method":"#);
    text::quote(out, method);
    if let Some(params) = params {
        out.extend_from_slice(br#","params":"#);
        out.extend_from_slice(params);
    }
    out.push(b'}');
}

/// Appends `object` with some members set or removed. Members that are not named are copied byte for byte, in order;
/// members that are appended come last, in the order of `edits`. `object` must have been validated.
pub fn edit(out: &mut Vec<u8>, object: &[u8], edits: &[Edit<'_>]) {
    let start = out.len();
    out.reserve(object.len() + 64);
    out.push(b'{');
    let mut done = smallvec::SmallVec::<[bool; 8]>::from_elem(false, edits.len());
    for field in object_fields(object) {
        match edits.iter().position(|edit| *edit.key().as_bytes() == *field.key) {
            None => member(out, start, |out| out.extend_from_slice(field.member)),
            Some(place) => {
                done[place] = true;
                set(out, start, &edits[place]);
            }
        }
    }
    for (edit, _) in edits.iter().zip(done).filter(|(_, done)| !done) {
        set(out, start, edit);
    }
    out.push(b'}');
}

/// Appends `object` with members behind its own, which are copied byte for byte unread: none of them may have one of
/// these keys, which need no escape. `object` must have been validated.
pub fn append(out: &mut Vec<u8>, object: &[u8], members: &[(&str, &[u8])]) {
    let start = out.len();
    out.reserve(object.len() + members.iter().map(|(key, value)| key.len() + value.len() + 4).sum::<usize>());
    out.extend_from_slice(object.strip_suffix(b"}").unwrap_or(object).trim_ascii_end());
    for (key, value) in members {
        if out.len() > start + 1 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value);
    }
    out.push(b'}');
}

fn set(out: &mut Vec<u8>, start: usize, edit: &Edit<'_>) {
    let Edit::Set(key, value) = edit else { return };
    member(out, start, |out| {
        text::quote(out, key);
        out.push(b':');
        out.extend_from_slice(value);
    });
}

/// Appends one member, behind a comma unless it is the first since `start`.
fn member(out: &mut Vec<u8>, start: usize, write: impl FnOnce(&mut Vec<u8>)) {
    if out.len() > start + 1 {
        out.push(b',');
    }
    write(out);
}

/// Appends `text` as a JSON string, quotes included.
pub fn quote(out: &mut Vec<u8>, text: &str) {
    text::quote(out, text);
}

/// `text` as a JSON string, quotes included.
pub fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    text::quote(&mut out, text);
    out
}

/// Appends a decimal number.
pub fn number(out: &mut Vec<u8>, value: i64) {
    // The digits of the longest, 2^63, from the last to the first.
    let mut digits = [0; 19];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Puts a validated JSON text on one line: line ends, which can only stand between its tokens, become spaces. A line
/// protocol must not carry a client's bytes without this.
pub fn one_line(text: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'\n', b'\r', &text[at..]) {
        text[at + found] = b' ';
        at += found + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;
    use serde_json::{Value, json};

    fn built(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn messages_carry_raw_spans_untouched() {
        assert_eq!(built(|out| result(out, br#""\u0061""#, b"{ }")), r#"{"jsonrpc":"2.0","id":"\u0061","result":{ }}"#);
        assert_eq!(
            built(|out| error(out, Some(b"7"), -32602, "unknown \"tool\"", Some(b"[1]"))),
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"unknown \"tool\"","data":[1]}}"#
        );
        assert_eq!(
            built(|out| request(out, b"1", "tools/list", None)),
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#
        );
        assert_eq!(built(|out| notification(out, "n", Some(b"{}"))), r#"{"jsonrpc":"2.0","method":"n","params":{}}"#);
    }

    #[test]
    fn an_error_without_id_leaves_the_member_out() {
        let body = error_body(None, &Error::new(Kind::Parse, "not JSON"));
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap(),
            json!({"jsonrpc": "2.0", "error": {"code": -32700, "message": "not JSON"}})
        );
    }

    #[test]
    fn an_edit_copies_the_rest_verbatim() {
        let object = br#"{ "name" : "a", "x": [1,  2] ,"\u006eot":1e0, "gone":{} }"#;
        let edits =
            [Edit::Set("name", br#""srv__a""#), Edit::Remove("gone"), Edit::Set("new", b"0"), Edit::Remove("absent")];
        assert_eq!(built(|out| edit(out, object, &edits)), r#"{"name":"srv__a","x": [1,  2],"\u006eot":1e0,"new":0}"#);
        assert_eq!(built(|out| edit(out, b"{}", &[])), "{}");
        assert_eq!(built(|out| edit(out, b"{}", &[Edit::Set("a\"", b"1")])), r#"{"a\"":1}"#);
        assert_eq!(built(|out| edit(out, br#"{"a":1}"#, &[Edit::Remove("a")])), "{}");
    }

    #[test]
    fn members_are_appended_unread() {
        let members: &[(&str, &[u8])] = &[("x", b"1"), ("y", b"{}")];
        for (object, expected) in [
            ("{}", r#"data: {"x":1,"y":{}}"#),
            ("{ \n}", r#"data: {"x":1,"y":{}}"#),
            (r#"{ "a" : [1, 2] , "b":{} }"#, r#"data: { "a" : [1, 2] , "b":{},"x":1,"y":{}}"#),
        ] {
            let out = built(|out| {
                out.extend_from_slice(b"data: ");
                append(out, object.as_bytes(), members);
            });
            assert_eq!(out, expected);
            let edits = members.iter().map(|(key, value)| Edit::Set(key, value)).collect::<Vec<_>>();
            let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(value(&out[6..]), value(&built(|out| edit(out, object.as_bytes(), &edits))));
        }
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        let same = |value: i64| assert_eq!(built(|out| number(out, value)), value.to_string());
        [0, 7, -1, 10, i64::MAX, i64::MIN].into_iter().for_each(same);
        bolero::check!().with_type::<i64>().for_each(|&value| same(value));
    }

    #[test]
    fn an_edit_appends_behind_what_is_there() {
        let out = built(|out| {
            out.extend_from_slice(b"data: ");
            edit(out, br#"{"a":1,"b":2}"#, &[Edit::Remove("a")]);
        });
        assert_eq!(out, r#"data: {"b":2}"#);
    }

    #[test]
    fn one_line_changes_no_value() {
        let text = "{\r\n \"a\\n\": [\n1,\r2]\n}".to_owned();
        let mut line = text.clone().into_bytes();
        one_line(&mut line);
        assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
        assert_eq!(serde_json::from_slice::<Value>(&line).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
    }
}
