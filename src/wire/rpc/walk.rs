//! Fields, items and values of a JSON text that `validate` or `parse` has accepted.
//!
//! On a text that was never accepted the answers are undefined but safe: iterators end early, values are absent.

use super::text::{has_escape, quote_or_backslash, unescape};
use std::borrow::Cow;
use std::cmp::Ordering;

/// One member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The key's text, escapes read.
    pub key: Cow<'a, [u8]>,
    /// The value's span.
    pub value: &'a [u8],
    /// The whole member's span, from the key's quote to the value's end.
    pub member: &'a [u8],
}

/// The members of an object, in order.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    text: &'a [u8],
    at: usize,
}

/// The elements of an array, in order.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    text: &'a [u8],
    at: usize,
}

/// The members of an object; none if `raw` is no object.
pub fn object_fields(raw: &[u8]) -> Fields<'_> {
    let at = if is_object(raw) { 1 } else { raw.len() };
    Fields { text: raw, at }
}

/// The elements of an array; none if `raw` is no array.
pub fn array_items(raw: &[u8]) -> Items<'_> {
    let at = if is_array(raw) { 1 } else { raw.len() };
    Items { text: raw, at }
}

/// The value of one member of an object; nothing if it is not there or `raw` is no object.
pub fn field(raw: &[u8], key: impl AsRef<[u8]>) -> Option<&[u8]> {
    let key = key.as_ref();
    let mut fields = object_fields(raw);
    while let Some([quoted, value, _]) = fields.step() {
        if is_text(quoted, key) {
            return Some(value);
        }
    }
    None
}

/// Whether a raw string is this text. Every escape is longer than what it says, so the length tells nearly all apart.
fn is_text(quoted: &[u8], text: &[u8]) -> bool {
    let inside = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    match inside.len().cmp(&text.len()) {
        Ordering::Less => false,
        Ordering::Equal => inside == text && !has_escape(inside),
        Ordering::Greater => has_escape(inside) && key_text(quoted).is_some_and(|read| *read == *text),
    }
}

/// The text of a key that stands in its quotes. Keys are compared byte by byte, so the UTF-8 in them is not looked at
/// again.
fn key_text(quoted: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inside = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    match has_escape(inside) {
        false => Some(Cow::Borrowed(inside)),
        true => unescape(inside).map(|read| Cow::Owned(read.into_owned().into_bytes())),
    }
}

/// The text of a string, escapes read; nothing if `raw` is no string.
pub fn string(raw: &[u8]) -> Option<Cow<'_, str>> {
    unescape(raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?)
}

/// The value of an integer that fits 64 bits; nothing for anything else, `1.0` and `1e3` included.
pub fn integer(raw: &[u8]) -> Option<i64> {
    match raw.strip_prefix(b"-") {
        None => natural(raw).and_then(|value| value.try_into().ok()),
        Some(digits) => natural(digits).and_then(|value| 0_i64.checked_sub_unsigned(value)),
    }
}

/// The value of a text of digits alone, if it fits.
pub(super) fn natural(digits: &[u8]) -> Option<u64> {
    let value = digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { value.checked_mul(10)?.checked_add(digit.into()) }
    });
    value.filter(|_| !digits.is_empty())
}

/// The value of a boolean; nothing for anything else.
pub fn boolean(raw: &[u8]) -> Option<bool> {
    match raw {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// Whether the value is `null`.
pub fn is_null(raw: &[u8]) -> bool {
    raw == b"null"
}

/// Whether the value is an object.
pub fn is_object(raw: &[u8]) -> bool {
    raw.first() == Some(&b'{')
}

/// Whether the value is an array.
pub fn is_array(raw: &[u8]) -> bool {
    raw.first() == Some(&b'[')
}

/// Whether the value is a string.
pub fn is_string(raw: &[u8]) -> bool {
    raw.first() == Some(&b'"')
}

impl<'a> Fields<'a> {
    /// The next member: its key with quotes, its value, the whole.
    #[inline]
    fn step(&mut self) -> Option<[&'a [u8]; 3]> {
        let start = next_element(self.text, self.at)?;
        let key_end = value_end(self.text, start);
        let colon = blank_end(self.text, key_end);
        let value_start = blank_end(self.text, colon + 1);
        self.at = value_end(self.text, value_start);
        let key = self.text.get(start..key_end)?;
        Some([key, self.text.get(value_start..self.at)?, self.text.get(start..self.at)?])
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let [key, value, member] = self.step()?;
        Some(Field { key: key_text(key)?, value, member })
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = next_element(self.text, self.at)?;
        self.at = value_end(self.text, start);
        self.text.get(start..self.at)
    }
}

/// Where the next element begins: behind blanks and one comma; nothing at the closing bracket or the end.
fn next_element(text: &[u8], at: usize) -> Option<usize> {
    let mut at = blank_end(text, at);
    if text.get(at) == Some(&b',') {
        at = blank_end(text, at + 1);
    }
    text.get(at).filter(|byte| !matches!(byte, b'}' | b']')).map(|_| at)
}

fn blank_end(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Where the value that begins at `at` ends.
fn value_end(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(b'"') => string_end(text, at),
        Some(b'{' | b'[') => container_end(text, at),
        _ => {
            let rest = text.get(at..).unwrap_or_default();
            let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
            at + rest.iter().position(is_end).unwrap_or(rest.len())
        }
    }
}

fn string_end(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    // A text that was accepted has no control character in its strings: only these two can end or bend one.
    loop {
        at = quote_or_backslash(text, at);
        match text.get(at) {
            Some(b'"') => return at + 1,
            Some(_) => at += 2,
            None => return text.len(),
        }
    }
}

fn container_end(text: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at = string_end(text, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => (),
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::super::validate;
    use super::*;
    use serde_json::Value;

    #[test]
    fn fields_and_items_give_raw_spans() {
        let raw = br#"{ "a" : [1, {"x":"]}"}] , "b\n":"q\"\\", "c":-1.5e3 ,"d":{}}"#;
        let seen: Vec<_> = object_fields(raw).map(|f| (f.key.into_owned(), f.value)).collect();
        let expected: [(&str, &[u8]); 4] =
            [("a", br#"[1, {"x":"]}"}]"#), ("b\n", br#""q\"\\""#), ("c", b"-1.5e3"), ("d", b"{}")];
        assert_eq!(seen.len(), 4);
        for ((key, value), (want_key, want)) in seen.iter().zip(expected) {
            assert_eq!((&key[..], *value), (want_key.as_bytes(), want));
        }
        let items: Vec<_> = array_items(field(raw, "a").unwrap()).collect();
        assert_eq!(items, [&b"1"[..], br#"{"x":"]}"}"#]);
        assert_eq!((field(raw, "b\n"), field(raw, "b\\n")), (Some(&br#""q\"\\""#[..]), None));
        assert_eq!(object_fields(b"[1]").count() + array_items(b"{}").count() + array_items(b"[ ]").count(), 0);
    }

    #[test]
    fn values_read_as_what_they_are() {
        assert_eq!(integer(b"-42"), Some(-42));
        assert_eq!((integer(b"-9223372036854775808"), integer(b"0")), (Some(i64::MIN), Some(0)));
        for no in [
            &b"1.0"[..],
            b"",
            b"-",
            b"--1",
            b"9223372036854775808",
            b"-9223372036854775809",
            b"1e3",
            b"\"1\"",
            b"null",
            b"+1",
            b"99999999999999999999",
        ] {
            assert_eq!(integer(no), None);
        }
        assert_eq!((boolean(b"true"), boolean(b"false"), boolean(b"1")), (Some(true), Some(false), None));
        assert_eq!(string(br#""a\tb""#).as_deref(), Some("a\tb"));
        assert_eq!((string(b"1"), string(b"\""), string(b"")), (None, None, None));
    }

    #[test]
    fn numbers_read_as_the_standard_library_reads_them() {
        bolero::check!().with_type::<(i64, u8)>().for_each(|&(number, shift)| {
            let text = (number >> (shift % 64)).to_string();
            assert_eq!(integer(text.as_bytes()), text.parse().ok());
            assert_eq!(natural(text.as_bytes()), text.parse().ok());
        });
    }

    #[test]
    fn a_key_is_found_by_its_text_alone() {
        let raw = br#"{"a\\b":1,"\u0061b":2,"longer":3,"":4}"#;
        for (key, value) in [(r"a\b", Some(b"1")), ("ab", Some(b"2")), ("longer", Some(b"3")), ("", Some(b"4"))] {
            assert_eq!(field(raw, key), value.map(|value| &value[..]), "{key}");
        }
        assert_eq!((field(raw, r"a\\b"), field(raw, r"\u0061b"), field(raw, "longes")), (None, None, None));
    }

    fn rebuild(raw: &[u8]) -> Value {
        if is_object(raw) {
            return object_fields(raw)
                .map(|field| (String::from_utf8(field.key.into_owned()).unwrap(), rebuild(field.value)))
                .collect();
        }
        if is_array(raw) {
            return array_items(raw).map(rebuild).collect();
        }
        serde_json::from_slice(raw).unwrap()
    }

    #[test]
    fn walking_sees_what_serde_json_sees() {
        for text in [
            r#"{"a":{"b":[1,2,{"c":null}],"d":"\"}]"},"e":[[],[[]]],"f":"\\","":0}"#,
            " [ { } , [ ] , \"a,b\" , 1 , true ] ",
        ] {
            let span = validate(text.as_bytes()).unwrap();
            assert_eq!(rebuild(span), serde_json::from_str::<Value>(text).unwrap());
        }
    }

    #[test]
    fn a_text_that_was_never_accepted_does_no_harm() {
        bolero::check!().for_each(|text: &[u8]| {
            assert!(object_fields(text).count() <= text.len());
            assert!(array_items(text).count() <= text.len());
            let _ = (string(text), integer(text), field(text, "a"));
            if let Ok(span) = validate(text) {
                assert_eq!(rebuild(span), serde_json::from_slice::<Value>(text).unwrap());
            }
        });
    }
}
