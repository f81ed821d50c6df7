//! The one strict pass over a JSON text.
//!
//! Stricter than most parsers on purpose, so that no two readers of one body can see two things: RFC 8259 to the
//! letter, UTF-8 without a byte order mark, no key twice in an object at any depth (compared without escapes), no half
//! surrogate, nesting up to `JSON_DEPTH_MAX`, objects up to `JSON_KEYS_MAX` keys.

use super::keys::{Keys, Name};
use super::text;
use crate::base::error::{Error, Kind, Result};
use crate::base::limits::{JSON_DEPTH_MAX, JSON_KEYS_MAX};

/// The pass has stumbled; [`Scanner::error`] says over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stumbled;

/// Where a step has ended. Places are passed by value, so that they stay in registers.
type Scan = std::result::Result<usize, Stumbled>;

/// Checks that `text` is one JSON value and nothing else, and gives its span without the white space around it.
///
/// # Errors
/// `Kind::Parse` with the byte and the reason.
pub fn validate(text: &[u8]) -> Result<&[u8]> {
    let mut scanner = Scanner::new(text);
    let start = scanner.start();
    let end = scanner.value(start).and_then(|end| scanner.end(end).map(|_| end));
    end.map(|end| &text[start..end]).map_err(|stumbled| scanner.error(stumbled))
}

const NOT_UTF_8: &str = "bytes that are not UTF-8";

fn refused(why: &str, at: usize) -> Error {
    Error::new(Kind::Parse, format!("not JSON we accept: {why} at byte {at}"))
}

/// The state of a pass beside its place.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    depth: usize,
    keys: Keys<'a>,
    stumble: (&'static str, usize),
}

impl<'a> Scanner<'a> {
    /// A pass that has not begun.
    #[inline]
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, depth: 0, keys: Keys::default(), stumble: ("", 0) }
    }

    /// The place of the first byte that is not white space.
    pub(super) fn start(&self) -> usize {
        self.blank(0)
    }

    /// The byte at a place.
    #[inline]
    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    /// Refuses anything but white space from a place on.
    pub(super) fn end(&mut self, at: usize) -> Scan {
        let at = self.blank(at);
        if at == self.text.len() { Ok(at) } else { self.stumble(at, "more than one value") }
    }

    /// What the pass stumbled over, and where. Bytes that are no text at all are named before anything else: the pass
    /// itself looks at them only where it comes to them.
    #[cold]
    pub(super) fn error(&self, _: Stumbled) -> Error {
        if self.text.starts_with(b"\xEF\xBB\xBF") {
            return refused("a byte order mark", 0);
        }
        match std::str::from_utf8(self.text) {
            Ok(_) => refused(self.stumble.0, self.stumble.1),
            Err(error) => refused(NOT_UTF_8, error.valid_up_to()),
        }
    }

    #[cold]
    fn stumble(&mut self, at: usize, why: &'static str) -> Scan {
        self.stumble = (why, at);
        Err(Stumbled)
    }

    /// Reads one value of any kind.
    #[inline]
    pub(super) fn value(&mut self, at: usize) -> Scan {
        if self.byte(at) == Some(b'"') { self.string(at) } else { self.other(at) }
    }

    /// Reads one value that is no string.
    fn other(&mut self, at: usize) -> Scan {
        match self.byte(at) {
            Some(b'{') => self.object_by(at, |scanner, _, start| scanner.value(start)),
            Some(b'[') => self.array(at, Self::value),
            Some(b't') => self.word(at, b"true"),
            Some(b'f') => self.word(at, b"false"),
            Some(b'n') => self.word(at, b"null"),
            Some(b'-' | b'0'..=b'9') => self.number(at),
            Some(_) => self.stumble(at, "an unexpected character"),
            None => self.stumble(at, "an unexpected end"),
        }
    }

    /// A piece of the text.
    pub(super) fn span(&self, start: usize, end: usize) -> &'a [u8] {
        &self.text[start..end]
    }

    /// Reads an object; `member` gets each key, and reads the value that begins there.
    #[inline]
    pub(super) fn object_by(&mut self, at: usize, mut member: impl FnMut(&mut Self, Name<'a>, usize) -> Scan) -> Scan {
        let mut at = self.enter(at)?;
        let base = self.keys.open();
        while self.byte(at) != Some(b'}') {
            let name = self.key(at, base)?;
            let start = self.colon(at + name.inside.len() + 2)?;
            let end = member(self, name, start)?;
            at = self.next(end, b'}')?;
        }
        self.depth -= 1;
        if self.keys.close(base) { Ok(at + 1) } else { self.stumble(at, "an object with one key twice, which ends") }
    }

    /// Reads an array; `item` reads one element.
    pub(super) fn array(&mut self, at: usize, mut item: impl FnMut(&mut Self, usize) -> Scan) -> Scan {
        let mut at = self.enter(at)?;
        while self.byte(at) != Some(b']') {
            let end = item(self, at)?;
            at = self.next(end, b']')?;
        }
        self.depth -= 1;
        Ok(at + 1)
    }

    /// Steps over the opening bracket and the blanks behind it.
    #[inline]
    fn enter(&mut self, at: usize) -> Scan {
        if self.depth == JSON_DEPTH_MAX {
            return self.stumble(at, "nesting that is too deep");
        }
        self.depth += 1;
        Ok(self.blank(at + 1))
    }

    /// After an element: the place of the closing bracket, or of the element behind the comma.
    #[inline]
    fn next(&mut self, at: usize, close: u8) -> Scan {
        let at = self.blank(at);
        match self.byte(at) {
            Some(byte) if byte == close => Ok(at),
            Some(b',') => {
                let after = self.blank(at + 1);
                if self.byte(after) == Some(close) {
                    self.stumble(after, "a comma before a bracket")
                } else {
                    Ok(after)
                }
            }
            _ => self.stumble(at, "a missing comma or bracket"),
        }
    }

    /// Reads a key and keeps it for the comparison.
    #[inline]
    fn key(&mut self, at: usize, base: usize) -> std::result::Result<Name<'a>, Stumbled> {
        if self.byte(at) != Some(b'"') {
            self.stumble(at, "a key that is not a string")?;
        }
        if self.keys.count(base) == JSON_KEYS_MAX {
            self.stumble(at, "an object with too many keys")?;
        }
        let run = text::ascii_run_end(self.text, at + 1);
        let name = match self.byte(run) {
            Some(b'"') => Name { inside: self.span(at + 1, run), escaped: false },
            _ => {
                let end = self.string_from(run)?;
                Name::new(self.span(at + 1, end - 1))
            }
        };
        self.keys.push(name);
        Ok(name)
    }

    /// From behind a key to its value.
    #[inline]
    fn colon(&mut self, at: usize) -> Scan {
        let at = self.blank(at);
        if self.byte(at) == Some(b':') { Ok(self.blank(at + 1)) } else { self.stumble(at, "a missing colon") }
    }

    #[inline]
    fn string(&mut self, at: usize) -> Scan {
        let run = text::ascii_run_end(self.text, at + 1);
        if self.byte(run) == Some(b'"') { Ok(run + 1) } else { self.string_from(run) }
    }

    /// Reads the rest of a string from the end of a run of plain ASCII.
    #[inline(never)]
    fn string_from(&mut self, mut at: usize) -> Scan {
        loop {
            let after = match self.byte(at) {
                Some(b'"') => return Ok(at + 1),
                Some(b'\\') => match text::escape(self.text, at) {
                    Some((_, after)) => after,
                    None => return self.stumble(at, "a wrong escape"),
                },
                Some(0x80..) => self.beyond_ascii(at)?,
                Some(_) => return self.stumble(at, "a control character in a string"),
                None => return self.stumble(at, "a string without end"),
            };
            at = text::ascii_run_end(self.text, after);
        }
    }

    /// Reads a run with characters beyond ASCII from the first of them on. No such character has a byte that ends a
    /// run, so none reaches over its end.
    fn beyond_ascii(&mut self, at: usize) -> Scan {
        let end = text::plain_run_end(self.text, at);
        match std::str::from_utf8(self.span(at, end)) {
            Ok(_) => Ok(end),
            Err(error) => self.stumble(at + error.valid_up_to(), NOT_UTF_8),
        }
    }

    fn word(&mut self, at: usize, word: &[u8]) -> Scan {
        if self.text[at..].starts_with(word) {
            Ok(at + word.len())
        } else {
            self.stumble(at, "an unexpected character")
        }
    }

    /// RFC 8259 section 6: minus, integer without leading zero, fraction, exponent.
    fn number(&mut self, at: usize) -> Scan {
        let mut at = at + usize::from(self.byte(at) == Some(b'-'));
        at = if self.byte(at) == Some(b'0') { at + 1 } else { self.digits(at)? };
        if self.byte(at) == Some(b'.') {
            at = self.digits(at + 1)?;
        }
        if matches!(self.byte(at), Some(b'e' | b'E')) {
            let signed = matches!(self.byte(at + 1), Some(b'+' | b'-'));
            at = self.digits(at + 1 + usize::from(signed))?;
        }
        Ok(at)
    }

    fn digits(&mut self, at: usize) -> Scan {
        let mut end = at;
        while matches!(self.byte(end), Some(b'0'..=b'9')) {
            end += 1;
        }
        if end > at { Ok(end) } else { self.stumble(at, "a number without digits") }
    }

    #[inline]
    fn blank(&self, mut at: usize) -> usize {
        // One comparison tells nearly every byte that is no blank.
        while let Some(byte) = self.byte(at).filter(|byte| *byte <= b' ') {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                break;
            }
            at += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

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

    /// The rules once more, plainly: serde_json reads, and this counts levels and keys. It holds how many levels are
    /// open around the value.
    #[derive(Clone, Copy)]
    struct Rules(usize);

    impl<'de> DeserializeSeed<'de> for Rules {
        type Value = ();
        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
            deserializer.deserialize_any(self)
        }
    }

    impl Rules {
        fn deeper<E: de::Error>(self) -> std::result::Result<Self, E> {
            if self.0 < JSON_DEPTH_MAX { Ok(Self(self.0 + 1)) } else { Err(E::custom("depth")) }
        }
    }

    impl<'de> Visitor<'de> for Rules {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("any value")
        }
        fn visit_unit<E>(self) -> std::result::Result<(), E> {
            Ok(())
        }
        fn visit_bool<E>(self, _: bool) -> std::result::Result<(), E> {
            Ok(())
        }
        fn visit_i64<E>(self, _: i64) -> std::result::Result<(), E> {
            Ok(())
        }
        fn visit_u64<E>(self, _: u64) -> std::result::Result<(), E> {
            Ok(())
        }
        fn visit_f64<E>(self, _: f64) -> std::result::Result<(), E> {
            Ok(())
        }
        fn visit_str<E>(self, _: &str) -> std::result::Result<(), E> {
            Ok(())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<(), A::Error> {
            let inner = self.deeper()?;
            while items.next_element_seed(inner)?.is_some() {}
            Ok(())
        }
        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> std::result::Result<(), A::Error> {
            let inner = self.deeper()?;
            let mut keys = std::collections::HashSet::new();
            while let Some(key) = members.next_key::<String>()? {
                members.next_value_seed(inner)?;
                if !keys.insert(key) || keys.len() > JSON_KEYS_MAX {
                    return Err(de::Error::custom("keys"));
                }
            }
            Ok(())
        }
    }

    fn rules_accept(text: &[u8]) -> bool {
        let mut reader = serde_json::Deserializer::from_slice(text);
        std::str::from_utf8(text).is_ok() && Rules(0).deserialize(&mut reader).is_ok() && reader.end().is_ok()
    }

    /// Pieces of objects, arrays and strings of every kind, some of them wrong.
    const PIECES: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" ",
        b"\"",
        b"\\n",
        b"\\u0061",
        b"\\ud83d",
        b"\\ude00",
        b"\\",
        b"\n",
        b"a",
        b"longer-than-a-word",
        b"\xc3\xa9",
        b"\xf0\x9f\x98\x80",
        b"\xc3",
        b"\xa9",
        b"\xed\xa0\x80",
        b"1",
        b"-0.5",
        b"\"a\":",
        b"\"\\u0061\":",
        b"\"b\":1,",
        b"null",
        b"\"\xc3\xa9\":0",
        b"\"\xc3\":0",
        b"{\"a\":1}",
    ];

    #[test]
    fn the_pass_judges_exactly_as_the_plain_rules_do() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|picks| {
            let joined =
                picks.iter().map(|pick| PIECES[usize::from(*pick) % PIECES.len()]).collect::<Vec<_>>().concat();
            // As they come; as the inside of a string, where most are fine; and as the inside of an object.
            for (open, close) in [("", ""), ("\"", "\""), ("{\"a\":\"", "\"}"), ("{\"k\":[0", "]}"), ("{\"", "\":0}")] {
                let text = [open.as_bytes(), &joined, close.as_bytes()].concat();
                assert_eq!(accepts(&text), rules_accept(&text), "{}", text.escape_ascii());
            }
        });
    }

    #[test]
    fn an_accepted_text_with_one_byte_changed_is_judged_as_the_plain_rules_do() {
        let text = concat!(
            r#"{"jsonrpc":"2.0","id":1,"params":{"name":"größe","a\u0062":[1,{"x":"\n😀"},true],"#,
            r#""_meta":{"io.m/v":"2","ab":{}}}}"#
        );
        bolero::check!().with_type::<(u16, u8)>().for_each(|&(place, byte)| {
            let mut text = text.as_bytes().to_vec();
            let place = usize::from(place) % text.len();
            text[place] = byte;
            assert_eq!(accepts(&text), rules_accept(&text), "{}", text.escape_ascii());
        });
    }

    #[test]
    fn bytes_that_are_no_text_are_named_before_anything_else() {
        for (text, why) in [
            (&b"{oops \xff"[..], "bytes that are not UTF-8 at byte 6"),
            (b"\"aaaaaaaaaaaaaaaaaaaaaaa\xc3\"", "bytes that are not UTF-8 at byte 24"),
            (b"\xef\xbb\xbf{\xff", "a byte order mark at byte 0"),
        ] {
            let error = validate(text).unwrap_err().to_string();
            assert!(error.ends_with(why), "{error}");
        }
    }
}
