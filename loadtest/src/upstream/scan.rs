//! The least that must be found in a message: id, method, tool name. Skips what it passes, validates nothing.
//!
//! Keys are compared as written, so a key with an escape in it is not found; values are raw JSON.

use memchr::memchr2;

/// What a message asks; raw JSON throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    /// The id; nothing on a notification.
    pub(super) id: Option<&'a [u8]>,
    /// The method without its quotes; empty on a response.
    pub(super) method: &'a [u8],
    /// From the opening brace of `params` on; may run past its end, where nothing needed to know it.
    pub(super) params: &'a [u8],
}

/// Finds a message's members; nothing if it is no object.
pub(super) fn message(body: &[u8]) -> Option<Asked<'_>> {
    let (mut id, mut method, mut params) = (None, None, None);
    let mut members = Members::of(body)?;
    while let Some((key, at)) = members.key() {
        // Once the rest is known, the end of `params` matters to nobody: it is most of a message.
        if key == b"params" && method.is_some() && id.is_some() {
            params = Some(&body[at..]);
            break;
        }
        let value = members.value(at)?;
        match key {
            b"id" => id = Some(value),
            b"method" => method = Some(unquoted(value)),
            b"params" => params = Some(value),
            _ => {}
        }
    }
    let id = id.filter(|&id| id != b"null");
    Some(Asked { id, method: method.unwrap_or_default(), params: params.unwrap_or_default() })
}

/// The raw value of a member of an object.
pub(super) fn member<'a>(object: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut members = Members::of(object)?;
    while let Some((key, at)) = members.key() {
        let value = members.value(at)?;
        if key == name {
            return Some(value);
        }
    }
    None
}

/// The value of a member that is a whole number.
pub(super) fn number(object: &[u8], name: &[u8]) -> Option<u64> {
    std::str::from_utf8(member(object, name)?).ok()?.parse().ok()
}

/// A raw string without its quotes; escapes stay.
pub(super) fn unquoted(raw: &[u8]) -> &[u8] {
    raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(raw)
}

/// Walks over the members of one object.
struct Members<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Members<'a> {
    fn of(text: &'a [u8]) -> Option<Self> {
        let start = blank(text, 0);
        (text.get(start) == Some(&b'{')).then_some(Self { text, at: start + 1 })
    }

    /// The next key, and where its value begins.
    fn key(&mut self) -> Option<(&'a [u8], usize)> {
        let mut at = blank(self.text, self.at);
        if self.text.get(at) == Some(&b',') {
            at = blank(self.text, at + 1);
        }
        if self.text.get(at) != Some(&b'"') {
            return None;
        }
        let end = string_end(self.text, at)?;
        let colon = blank(self.text, end);
        Some((&self.text[at + 1..end - 1], blank(self.text, colon + 1)))
    }

    /// The value that begins at `at`; the walk goes on behind it.
    fn value(&mut self, at: usize) -> Option<&'a [u8]> {
        let end = value_end(self.text, at)?;
        self.at = end;
        Some(&self.text[at..end])
    }
}

/// The first place from `at` on that is no white space.
fn blank(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Behind the closing quote of the string that opens at `at`.
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut from = at + 1;
    loop {
        let found = from + memchr2(b'"', b'\\', text.get(from..)?)?;
        if text[found] == b'"' {
            return Some(found + 1);
        }
        from = found + 2;
    }
}

/// Behind the value that begins at `at`.
fn value_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string_end(text, at),
        b'{' | b'[' => nested_end(text, at),
        _ => {
            let rest = &text[at..];
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            Some(at + rest.iter().position(ends).unwrap_or(rest.len()))
        }
    }
}

fn nested_end(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match text.get(at)? {
            b'"' => {
                at = string_end(text, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return Some(at + 1),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(id: &str) -> Option<String> {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        message(body.as_bytes()).unwrap().id.map(|id| String::from_utf8(id.to_vec()).unwrap())
    }

    #[test]
    fn ids_of_every_form_come_back_as_they_were() {
        for id in ["1", "-7", "0", "12345678901234567890", "1.5e3", r#""a""#, r#""a\"b\\""#, r#""\u00e9""#, "\"\""] {
            assert_eq!(id_of(id).as_deref(), Some(id));
        }
        assert_eq!(id_of("null"), None);
        assert_eq!(message(br#"{"jsonrpc":"2.0","method":"n"}"#).unwrap().id, None);
    }

    #[test]
    fn members_are_found_in_any_order_and_not_inside_others() {
        let orders: [&[u8]; 3] = [
            br#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"x","arguments":{"id":9,"name":"no"}}}"#,
            br#"{"params":{"arguments":{"id":9,"a":[{"name":"}\"]"}]},"name":"x"},"method":"m","id":1}"#,
            b" {\n \"method\" : \"m\" ,\t\"params\" : { \"name\" : \"x\" } , \"id\" : 1 }\n",
        ];
        for body in orders {
            let asked = message(body).unwrap();
            assert_eq!((asked.id, asked.method), (Some(&b"1"[..]), &b"m"[..]));
            assert_eq!(member(asked.params, b"name"), Some(&br#""x""#[..]), "{}", String::from_utf8_lossy(body));
            assert_eq!(member(asked.params, b"nothing"), None);
        }
    }

    #[test]
    fn what_is_no_message_is_told_apart_without_panic() {
        for bad in ["", "[]", "1", "{\"a", "{\"id\":", "{\"id\":{", "\\", "{\"\\"] {
            if let Some(asked) = message(bad.as_bytes()) {
                assert!(asked.method.is_empty(), "{bad}");
            }
        }
        assert_eq!(number(br#"{"a":12,"b":"x","c":-1}"#, b"a"), Some(12));
        assert_eq!(number(br#"{"a":12,"b":"x","c":-1}"#, b"c"), None);
    }
}
