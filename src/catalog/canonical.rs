//! A definition as a tree without duplicate keys, and its canonical bytes (RFC 8785), over which its hash is taken.
//!
//! Only for building a catalogue: a call never parses a definition.

use crate::base::limits::JSON_DEPTH_MAX;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};
use std::cmp::Ordering;
use std::fmt;

/// A JSON value whose object keys are distinct and sorted as RFC 8785 section 3.2.3 sorts them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(f64),
    String(Box<str>),
    Array(Vec<Self>),
    Object(Vec<(Box<str>, Self)>),
}

impl Node {
    /// Reads one JSON value; the error says what is wrong and at which column.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let node = Depth(JSON_DEPTH_MAX).deserialize(&mut reader).map_err(|error| error.to_string())?;
        reader.end().map_err(|error| error.to_string())?;
        Ok(node)
    }

    /// The member of an object; nothing for other values.
    pub(super) fn member(&self, key: &str) -> Option<&Self> {
        let members = self.members()?;
        let at = members.binary_search_by(|(name, _)| by_utf16(name, key)).ok()?;
        Some(&members[at].1)
    }

    /// All members, where this is an object.
    pub(super) fn members(&self) -> Option<&[(Box<str>, Self)]> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// The text, where this is a string.
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// SHA-256 over the canonical bytes.
    pub(super) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.canonical()).into()
    }

    /// The canonical bytes of RFC 8785.
    pub(super) fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Number(value) => out.extend_from_slice(number(*value).as_bytes()),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => write_list(out, b"[]", items, Self::write),
            Self::Object(members) => write_list(out, b"{}", members, |(key, value), out| {
                write_string(key, out);
                out.push(b':');
                value.write(out);
            }),
        }
    }
}

fn write_list<T>(out: &mut Vec<u8>, brackets: &[u8; 2], items: &[T], write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(brackets[0]);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(brackets[1]);
}

/// The escapes of `serde_json` are those of RFC 8785 section 3.2.2.2; writing a `str` into a `Vec` cannot fail.
fn write_string(text: &str, out: &mut Vec<u8>) {
    crate::invariant!(serde_json::to_writer(out, text), "a string written into memory");
}

fn by_utf16(one: &str, two: &str) -> Ordering {
    one.encode_utf16().cmp(two.encode_utf16())
}

/// A number as ECMAScript's `Number::toString` writes it (RFC 8785 section 3.2.2.3).
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let written = shortest(value.abs());
    let (mantissa, exponent) = crate::invariant!(written.split_once('e'), "the e format always writes an exponent");
    let exponent: i32 = crate::invariant!(exponent.parse(), "a double has a small exponent");
    format!("{sign}{}", place_point(&mantissa.replace('.', ""), exponent + 1))
}

/// The fewest digits that read back as the value, in the form `d.ddde±n`. Where two such numbers are equally near,
/// ECMAScript takes the one with the even last digit and Rust the greater: rounding to as many digits settles it.
fn shortest(value: f64) -> String {
    let written = format!("{value:e}");
    let digits = written.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    let rounded = format!("{value:.*e}", digits - 1);
    if rounded.parse() == Ok(value) { rounded } else { written }
}

/// Writes digits whose decimal point stands after `point` of them.
fn place_point(digits: &str, point: i32) -> String {
    let whole = usize::try_from(point).unwrap_or(0);
    match point {
        1..=21 if whole >= digits.len() => format!("{digits}{}", "0".repeat(whole - digits.len())),
        1..=21 => format!("{}.{}", &digits[..whole], &digits[whole..]),
        -5..=0 => format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{first}{dot}{rest}e{:+}", point - 1)
        }
    }
}

/// Reads a value that may nest this much deeper.
#[derive(Clone, Copy)]
struct Depth(usize);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Node;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        from.deserialize_any(self)
    }
}

impl Depth {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let left = self.0.checked_sub(1);
        left.map(Self).ok_or_else(|| E::custom(format_args!("nested deeper than {JSON_DEPTH_MAX}")))
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    #[allow(clippy::cast_precision_loss, reason = "RFC 8785 takes every number as an IEEE 754 double")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value as f64))
    }

    #[allow(clippy::cast_precision_loss, reason = "RFC 8785 takes every number as an IEEE 754 double")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::String(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Node::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let inner = self.deeper()?;
        let mut object = Vec::new();
        while let Some(key) = members.next_key::<Box<str>>()? {
            object.push((key, members.next_value_seed(inner)?));
        }
        object.sort_by(|(one, _), (two, _)| by_utf16(one, two));
        if let Some(pair) = object.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(A::Error::custom(format_args!("duplicate key {:?}", pair[0].0)));
        }
        Ok(Node::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> String {
        String::from_utf8(Node::parse(json.as_bytes()).unwrap().canonical()).unwrap()
    }

    #[test]
    fn the_example_of_rfc_8785() {
        let json = r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
            "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
            \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(canonical(json), expected);
    }

    #[test]
    fn keys_sort_by_utf16_units() {
        let json = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        assert_eq!(canonical(json), "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}");
    }

    #[test]
    fn numbers_as_ecmascript_writes_them() {
        let cases = [
            ("-0.0", "0"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("9007199254740993", "9007199254740992"),
            ("295147905179352830000", "295147905179352830000"),
            ("1e21", "1e+21"),
            ("999999999999999900000", "999999999999999900000"),
            ("0.000001", "0.000001"),
            ("1e-7", "1e-7"),
            ("-1424953923781206.25", "-1424953923781206.2"),
            ("100", "100"),
        ];
        for (json, expected) in cases {
            assert_eq!(canonical(json), expected, "{json}");
        }
    }

    #[test]
    fn what_two_readers_would_read_differently_is_refused() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        for bad in [r#"{"a":1,"a":1}"#, r#"{"x":{"a":1,"\u0061":2}}"#, r#""\ud800""#, "1 2", "", "NaN", &deep] {
            assert!(Node::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Node::parse(&deep.as_bytes()[1..129]).is_ok());
        assert!(Node::parse(b"\"\xff\"").is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_number_reads_back_as_itself(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
            let written = number(value);
            proptest::prop_assert_eq!(written.parse(), Ok(value));
            proptest::prop_assert_eq!(canonical(&written), written);
        }
    }
}
