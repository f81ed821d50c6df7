//! The one strict pass over a JSON text.
//!
//! Stricter than most parsers on purpose, so that no two readers of one body can see two things: RFC 8259 to the
//! letter, UTF-8 without a byte order mark, no key twice in an object at any depth (compared without escapes), no half
//! surrogate, nesting up to `JSON_DEPTH_MAX`, objects up to `JSON_KEYS_MAX` keys.

use super::keys::Keys;
use super::text;
use crate::base::error::{Error, Kind, Result};
use crate::base::limits::{JSON_DEPTH_MAX, JSON_KEYS_MAX};
use std::borrow::Cow;

/// What the pass stumbled over, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stumble {
    at: usize,
    why: &'static str,
}

impl From<Stumble> for Error {
    fn from(stumble: Stumble) -> Self {
        Self::new(Kind::Parse, format!("not JSON we accept: {} at byte {}", stumble.why, stumble.at))
    }
}

type Scan<T> = std::result::Result<T, Stumble>;

/// Checks that `text` is one JSON value and nothing else, and gives its span without the white space around it.
///
/// # Errors
/// `Kind::Parse` with the byte and the reason.
pub fn validate(text: &[u8]) -> Result<&[u8]> {
    let mut scanner = Scanner::new(text)?;
    let span = scanner.value()?;
    scanner.end()?;
    Ok(span)
}

/// The state of a pass.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    keys: Keys<'a>,
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte that is not white space.
    pub(super) fn new(text: &'a [u8]) -> Scan<Self> {
        if text.starts_with(b"\xEF\xBB\xBF") {
            return Err(Stumble { at: 0, why: "a byte order mark" });
        }
        if let Err(error) = std::str::from_utf8(text) {
            return Err(Stumble { at: error.valid_up_to(), why: "bytes that are not UTF-8" });
        }
        let mut scanner = Self { text, at: 0, depth: 0, keys: Keys::default() };
        scanner.blank();
        Ok(scanner)
    }

    /// The byte to be read next.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Refuses anything but white space up to the end.
    pub(super) fn end(&mut self) -> Scan<()> {
        self.blank();
        if self.at == self.text.len() { Ok(()) } else { self.stumble("more than one value") }
    }

    /// Reads one value of any kind and gives its span.
    pub(super) fn value(&mut self) -> Scan<&'a [u8]> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string().map(drop)?,
            Some(b'{') => self.object(|_, _| ())?,
            Some(b'[') => self.array(|scanner| scanner.value().map(drop))?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return self.stumble("an unexpected character"),
            None => return self.stumble("an unexpected end"),
        }
        Ok(&self.text[start..self.at])
    }

    /// Reads an object; `visit` gets each key (unescaped) with its value's span.
    pub(super) fn object(&mut self, mut visit: impl FnMut(&[u8], &'a [u8])) -> Scan<()> {
        self.enter()?;
        let base = self.keys.open();
        if !self.take(b'}') {
            loop {
                let key = self.key()?;
                if self.keys.count(base) == JSON_KEYS_MAX {
                    return self.stumble("an object with too many keys");
                }
                self.keys.push(key);
                let value = self.value()?;
                visit(self.keys.last(), value);
                if !self.more(b'}')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        if self.keys.close(base) { Ok(()) } else { self.stumble("an object with one key twice, which ends") }
    }

    /// Reads an array; `item` reads one element.
    pub(super) fn array(&mut self, mut item: impl FnMut(&mut Self) -> Scan<()>) -> Scan<()> {
        self.enter()?;
        if !self.take(b']') {
            loop {
                item(self)?;
                if !self.more(b']')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Steps over the opening bracket and the blanks behind it.
    fn enter(&mut self) -> Scan<()> {
        if self.depth == JSON_DEPTH_MAX {
            return self.stumble("nesting that is too deep");
        }
        self.depth += 1;
        self.at += 1;
        self.blank();
        Ok(())
    }

    /// After an element: whether another follows. Steps over the comma or the closing bracket.
    fn more(&mut self, close: u8) -> Scan<bool> {
        self.blank();
        if self.take(close) {
            return Ok(false);
        }
        if !self.take(b',') {
            return self.stumble("a missing comma or bracket");
        }
        self.blank();
        Ok(true)
    }

    fn key(&mut self) -> Scan<Cow<'a, [u8]>> {
        if self.peek() != Some(b'"') {
            return self.stumble("a key that is not a string");
        }
        let (inside, escaped) = self.string()?;
        self.blank();
        if !self.take(b':') {
            return self.stumble("a missing colon");
        }
        self.blank();
        if !escaped {
            return Ok(Cow::Borrowed(inside));
        }
        let read = crate::invariant!(text::unescape(inside), "the pass has accepted every escape of this key");
        Ok(Cow::Owned(read.into_owned().into_bytes()))
    }

    /// Reads a string; gives its inside and whether that has escapes.
    fn string(&mut self) -> Scan<(&'a [u8], bool)> {
        let start = self.at + 1;
        let mut escaped = false;
        self.at = text::plain_run_end(self.text, start);
        while self.peek() != Some(b'"') {
            match self.peek() {
                Some(b'\\') => self.escape()?,
                Some(_) => return self.stumble("a control character in a string"),
                None => return self.stumble("a string without end"),
            }
            escaped = true;
            self.at = text::plain_run_end(self.text, self.at);
        }
        let inside = &self.text[start..self.at];
        self.at += 1;
        Ok((inside, escaped))
    }

    fn escape(&mut self) -> Scan<()> {
        let Some((_, after)) = text::escape(self.text, self.at) else {
            return self.stumble("a wrong escape");
        };
        self.at = after;
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Scan<()> {
        if !self.text[self.at..].starts_with(word) {
            return self.stumble("an unexpected character");
        }
        self.at += word.len();
        Ok(())
    }

    /// RFC 8259 section 6: minus, integer without leading zero, fraction, exponent.
    fn number(&mut self) -> Scan<()> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Scan<()> {
        let count = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return self.stumble("a number without digits");
        }
        self.at += count;
        Ok(())
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn stumble<T>(&self, why: &'static str) -> Scan<T> {
        Err(Stumble { at: self.at, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &[u8]) -> bool {
        validate(text).is_ok()
    }

    /// Texts that RFC 8259 says are JSON and that every parser must take.
    const VALID: &[&str] = &[
        "null",
        " true ",
        "false\n",
        "0",
        "-0",
        "-0.0",
        "10",
        "1.5",
        "1e5",
        "1E+5",
        "1.25e-300",
        "123456789012345678901234567890",
        "1e99999",
        "\"\"",
        "\"a\"",
        r#""\u0000\u001f\u007f""#,
        r#""\ud83d\ude00""#,
        r#""\"\\\/\b\f\n\r\t""#,
        "\"\u{7f}\u{80}\u{2028}\u{10ffff}\"",
        "[]",
        "[ ]",
        "[1]",
        "[1,2]",
        "[[],[[]]]",
        "{}",
        "{ }",
        r#"{"":0}"#,
        r#"{"a":1,"A":2}"#,
        r#"{"a":{"a":{"a":1}}}"#,
        "\t\r\n [ \t1\r ,\n2 ] ",
        r#"{"a":[{"b":1},{"b":1}]}"#,
    ];

    /// Texts that RFC 8259 says are not JSON, by class.
    const INVALID: &[&[u8]] = &[
        // Nothing, or more than one value.
        b"",
        b" ",
        b"1 2",
        b"{}{}",
        b"null,",
        b"[]]",
        b"{}}",
        b"true false",
        // Words.
        b"nul",
        b"True",
        b"nullx",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"undefined",
        b"tru",
        b"a",
        // Numbers.
        b"01",
        b"-01",
        b"-",
        b"+1",
        b".5",
        b"1.",
        b"1.e3",
        b"1e",
        b"1e+",
        b"1E-",
        b"0x10",
        b"1_000",
        b"--1",
        b"0e",
        b"00",
        b"1.2.3",
        b"-a",
        // Strings.
        b"\"",
        b"\"a",
        b"'a'",
        b"\"\\",
        b"\"\\\"",
        b"\"\\x41\"",
        b"\"\\u12\"",
        b"\"\\u12g4\"",
        b"\"\\a\"",
        b"\"\n\"",
        b"\"\t\"",
        b"\"\0\"",
        b"\"\x1f\"",
        b"\"\\\n\"",
        b"\"\\U0041\"",
        // Surrogate halves.
        b"\"\\ud800\"",
        b"\"\\udc00\"",
        b"\"\\ud800x\"",
        b"\"\\ud800\\n\"",
        b"\"\\ud800\\ud800\"",
        b"\"\\ude00\\ud83d\"",
        b"\"\xed\xa0\x80\"",
        // Bytes that are not UTF-8, and byte order marks.
        b"\"\xff\"",
        b"\"\xc0\x80\"",
        b"\"\xe2\x82\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
        b"{\0}\0",
        // Arrays.
        b"[",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[,]",
        b"[1 2]",
        b"[1,,2]",
        b"[1}",
        b"]",
        b"[1:2]",
        // Objects.
        b"{",
        b"{\"a\"",
        b"{\"a\":",
        b"{\"a\":1",
        b"{\"a\":1,",
        b"{\"a\":1,}",
        b"{,}",
        b"{a:1}",
        b"{'a':1}",
        b"{1:1}",
        b"{\"a\" 1}",
        b"{\"a\":1 \"b\":2}",
        b"{\"a\":1,,\"b\":2}",
        b"{\"a\":1]",
        b"}",
        b"{\"a\"::1}",
        b"{\"a\":}",
        b"{null:1}",
        // Blanks and comments RFC 8259 does not know.
        b"\x0c[]",
        b"\x0b1",
        b"[\xc2\xa0]",
        b"[1]//",
        b"/**/1",
        b"#\n1",
        b"\"a\"\xe2\x80\xa8",
    ];

    #[test]
    fn what_rfc_8259_takes_and_refuses() {
        for text in VALID {
            assert!(accepts(text.as_bytes()), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok() || text.contains("99999"), "{text}");
        }
        for text in INVALID {
            assert!(!accepts(text), "{}", String::from_utf8_lossy(text));
            assert!(serde_json::from_slice::<serde_json::Value>(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_key_twice_is_refused_at_every_depth_and_through_escapes() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"method":1,"met\u0068od":2}"#,
            r#"[{"x":{"y":[{"k":1,"l":2,"k":3}]}}]"#,
            r#"{"a":{},"b":[],"\u0061":null}"#,
            r#"{"":1,"":2}"#,
            r#"{"\ud83d\ude00":1,"😀":2}"#,
            r#"{"\/":1,"/":2}"#,
        ] {
            let error = validate(text.as_bytes()).unwrap_err();
            assert!(error.context.contains("one key twice"), "{text}: {error}");
        }
        let many: Vec<_> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
        assert!(accepts(format!("{{{}}}", many.join(",")).as_bytes()));
        assert!(!accepts(format!("{{{},\"k7\":0}}", many.join(",")).as_bytes()));
    }

    #[test]
    fn nesting_and_keys_stop_at_their_bounds() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(accepts(nested(JSON_DEPTH_MAX).as_bytes()));
        assert!(!accepts(nested(JSON_DEPTH_MAX + 1).as_bytes()));
        let objects = |depth: usize| "{\"a\":".repeat(depth) + "0" + &"}".repeat(depth);
        assert!(accepts(objects(JSON_DEPTH_MAX).as_bytes()));
        assert!(!accepts(objects(JSON_DEPTH_MAX + 1).as_bytes()));
        assert!(!accepts("[".repeat(1_000_000).as_bytes()), "no stack is lost on a bomb");
        let wide = |count: usize| {
            let all: Vec<_> = (0..count).map(|n| format!("\"{n}\":0")).collect();
            format!("{{{}}}", all.join(","))
        };
        assert!(accepts(wide(JSON_KEYS_MAX).as_bytes()));
        assert!(!accepts(wide(JSON_KEYS_MAX + 1).as_bytes()));
    }

    #[test]
    fn a_refusal_names_the_byte() {
        let error = validate(b"{\"a\": tru}").unwrap_err();
        assert_eq!(error.kind, Kind::Parse);
        assert_eq!(error.to_string(), "not JSON we accept: an unexpected character at byte 6");
    }

    #[test]
    fn the_span_leaves_the_blanks_out() {
        assert_eq!(validate(b" \n[1, 2]\t").unwrap(), b"[1, 2]");
    }

    /// Whether a parsed value stays within the bounds that serde_json does not have.
    fn within_bounds(value: &serde_json::Value, depth: usize) -> bool {
        let deeper = |inner: &serde_json::Value| within_bounds(inner, depth + 1);
        match value {
            serde_json::Value::Array(items) => depth < JSON_DEPTH_MAX && items.iter().all(deeper),
            serde_json::Value::Object(map) => depth < JSON_DEPTH_MAX && map.values().all(deeper),
            _ => true,
        }
    }

    #[test]
    fn bytes_at_random_are_taken_only_if_serde_json_takes_them() {
        bolero::check!().for_each(|text: &[u8]| {
            let oracle = serde_json::from_slice::<&serde_json::value::RawValue>(text);
            if let Ok(span) = validate(text) {
                assert_eq!(oracle.unwrap().get().as_bytes(), span);
            }
        });
    }

    #[test]
    fn bytes_that_look_like_json_are_judged_as_serde_json_does() {
        const WORDS: &[&str] = &[
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"b\"",
            "\"\\u0061\"",
            "\"\\ud800\"",
            "1",
            "-0.5",
            "01",
            "null",
            "true",
            " ",
            "\"",
            "\\",
        ];
        bolero::check!().with_type::<Vec<u8>>().for_each(|picks| {
            let text: String = picks.iter().map(|pick| WORDS[usize::from(*pick) % WORDS.len()]).collect();
            let oracle = serde_json::from_str::<serde_json::Value>(&text).ok();
            match validate(text.as_bytes()) {
                Ok(_) => assert!(oracle.is_some(), "{text}"),
                // Refused beyond serde_json's rules: a key twice, or the bounds.
                Err(error) if error.context.contains("key twice") => (),
                Err(_) => assert!(oracle.is_none_or(|value| !within_bounds(&value, 0)), "{text}"),
            }
        });
    }
}
