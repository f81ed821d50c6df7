//! Mirrored headers: `Mcp-Name` and `Mcp-Param-*`, their base64 form, and whether they say what the body says
//! (2026-07-28 basic/transports/streamable-http).

use crate::base::error::{Error, Kind, Result};
use crate::catalog::{HeaderKind, HeaderParam};
use crate::wire::http::Found;
use crate::wire::rpc;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

const SENTINEL_START: &str = "=?base64?";
const SENTINEL_END: &str = "?=";

/// A header as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderValue<'a> {
    /// Not there.
    #[default]
    Absent,
    /// There once, with this value (white space around it trimmed).
    One(&'a str),
    /// There more than once.
    Repeated,
}

impl<'a> HeaderValue<'a> {
    /// From the values of every field of that name.
    pub fn collect(mut values: impl Iterator<Item = &'a str>) -> Self {
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::One(value.trim_matches([' ', '\t'])),
            (Some(_), Some(_)) => Self::Repeated,
        }
    }

    /// The value where the header is there exactly once.
    pub fn one(self) -> Option<&'a str> {
        match self {
            Self::One(value) => Some(value),
            _ => None,
        }
    }
}

impl<'a> From<Found<'a>> for HeaderValue<'a> {
    /// The parser has trimmed the value.
    fn from(found: Found<'a>) -> Self {
        match found {
            Found::Absent => Self::Absent,
            Found::One(value) => Self::One(value),
            Found::Repeated => Self::Repeated,
        }
    }
}

/// A value as a header carries it: as it is where it is plain, else `=?base64?…?=`.
pub fn encode(value: &str) -> Cow<'_, str> {
    let plain = value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let padded = value.starts_with([' ', '\t']) || value.ends_with([' ', '\t']);
    if plain && !padded && sentinel_inside(value).is_none() {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("{SENTINEL_START}{}{SENTINEL_END}", STANDARD.encode(value)))
}

/// What a header value says. A value that is not wholly wrapped is literal.
///
/// # Errors
/// `Kind::HeaderMismatch` where the inside of the wrapper is not base64 (alphabet, padding) of UTF-8.
pub fn decode(value: &str) -> Result<Cow<'_, str>> {
    let Some(inside) = sentinel_inside(value) else { return Ok(Cow::Borrowed(value)) };
    let bytes = STANDARD.decode(inside).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Cow::Owned).ok_or_else(|| mismatch("a header value is not base64 of UTF-8"))
}

fn sentinel_inside(value: &str) -> Option<&str> {
    value.strip_prefix(SENTINEL_START)?.strip_suffix(SENTINEL_END)
}

/// Whether `Mcp-Name` says what the body says.
///
/// # Errors
/// `Kind::HeaderMismatch` where it is missing, repeated, malformed or different.
pub fn check_name(header: HeaderValue<'_>, body: Option<&str>) -> Result<()> {
    let Some(value) = header.one() else {
        return Err(mismatch("header Mcp-Name is missing or repeated"));
    };
    if Some(&*decode(value)?) == body { Ok(()) } else { Err(mismatch("header Mcp-Name differs from the body")) }
}

/// Whether every `Mcp-Param-*` header of a tool says what the raw `arguments` say; `lookup` gives a header by its full
/// name. An argument that is absent or `null` has no header.
///
/// # Errors
/// `Kind::HeaderMismatch` with the header's name.
pub fn check_params<'h>(
    params: &[HeaderParam],
    arguments: Option<&[u8]>,
    lookup: impl Fn(&str) -> HeaderValue<'h>,
) -> Result<()> {
    for param in params {
        let name = &*param.header;
        let said = argument(arguments, &param.path);
        let agrees = match (lookup(name), said) {
            (HeaderValue::Absent, None) => true,
            (HeaderValue::One(value), Some(raw)) => same(param.kind, &decode(value).map_err(|e| e.at(name))?, raw),
            _ => false,
        };
        if !agrees {
            return Err(mismatch(format!("header {name} does not say what the argument says")));
        }
    }
    Ok(())
}

/// The headers that mirror the raw `arguments` of a call to a server: full name and encoded value. An argument that is
/// absent, `null` or not of its annotated type has none; the server then says what is wrong with it.
pub fn derive_params<'p>(params: &'p [HeaderParam], arguments: Option<&[u8]>) -> Vec<(&'p str, String)> {
    let derive = |param: &'p HeaderParam| {
        let value = header_text(param.kind, argument(arguments, &param.path)?)?;
        Some((&*param.header, encode(&value).into_owned()))
    };
    params.iter().filter_map(derive).collect()
}

/// The argument at a path, unless it is absent or `null`.
fn argument<'a>(arguments: Option<&'a [u8]>, path: &[String]) -> Option<&'a [u8]> {
    let found = path.iter().try_fold(arguments?, |raw, key| rpc::field(raw, key));
    found.filter(|raw| !rpc::is_null(raw))
}

fn same(kind: HeaderKind, header: &str, raw: &[u8]) -> bool {
    match kind {
        HeaderKind::String => rpc::string(raw).as_deref() == Some(header),
        HeaderKind::Boolean => rpc::boolean(raw).is_some() && header.as_bytes() == raw,
        HeaderKind::Integer => {
            let body = std::str::from_utf8(raw).ok().and_then(whole);
            body.is_some() && body == whole(header)
        }
    }
}

fn header_text(kind: HeaderKind, raw: &[u8]) -> Option<Cow<'_, str>> {
    match kind {
        HeaderKind::String => rpc::string(raw),
        HeaderKind::Boolean => rpc::boolean(raw).map(|value| if value { "true" } else { "false" }.into()),
        HeaderKind::Integer => whole(std::str::from_utf8(raw).ok()?).map(|value| value.to_string().into()),
    }
}

/// The value of an integer within ±(2^53-1), however it is written as a JSON number (`42`, `42.0`, `4.2e1`).
fn whole(text: &str) -> Option<i64> {
    const MAX: i64 = (1 << 53) - 1;
    rpc::validate(text.as_bytes()).ok().filter(|span| span.len() == text.len())?;
    if let Ok(value) = text.parse::<i64>() {
        return (-MAX..=MAX).contains(&value).then_some(value);
    }
    let value = text.parse::<f64>().ok()?;
    #[allow(clippy::cast_possible_truncation, reason = "within ±2^53 and without fraction, so exact")]
    let exact = (value.fract() == 0.0 && value.abs() <= MAX as f64).then_some(value as i64);
    exact
}

fn mismatch(why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::HeaderMismatch, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: &[&str] = &["region"];

    fn param(header: &str, path: &[&str], kind: HeaderKind) -> HeaderParam {
        HeaderParam { header: header.into(), path: path.iter().map(|key| (*key).to_owned()).collect(), kind }
    }

    fn check(kind: HeaderKind, arguments: &str, header: HeaderValue<'_>) -> Result<()> {
        check_params(&[param("Mcp-Param-Region", REGION, kind)], Some(arguments.as_bytes()), |name| {
            assert_eq!(name, "Mcp-Param-Region");
            header
        })
    }

    fn agrees(kind: HeaderKind, arguments: &str, header: &str) -> bool {
        let checked = check(kind, arguments, HeaderValue::One(header));
        checked.as_ref().err().into_iter().for_each(|error| assert_eq!(error.kind, Kind::HeaderMismatch));
        checked.is_ok()
    }

    /// Streamable HTTP, value encoding: plain ASCII stands as it is, everything else is wrapped.
    #[test]
    fn values_are_wrapped_only_where_they_must_be() {
        for plain in ["", "us-west1", "a b\tc", "=?base64?x", "?=", "=?BASE64?eA==?="] {
            assert_eq!(encode(plain), plain);
        }
        assert_eq!(encode("Zürich"), "=?base64?WsO8cmljaA==?=");
        assert_eq!(encode(" x"), "=?base64?IHg=?=");
        assert_eq!(encode("x\r\nX-Evil: 1"), "=?base64?eA0KWC1FdmlsOiAx?=");
        assert_eq!(encode("=?base64?eA==?="), "=?base64?PT9iYXNlNjQ/ZUE9PT89?=");
    }

    #[test]
    fn a_wrapped_value_is_read_and_a_broken_one_refused() {
        assert_eq!(decode("=?base64?WsO8cmljaA==?=").unwrap(), "Zürich");
        assert_eq!(decode("=?base64??=").unwrap(), "");
        for literal in ["=?base64?eA==", "=?Base64?eA==?=", "x=?base64?eA==?=", "plain", ""] {
            assert_eq!(decode(literal).unwrap(), literal);
        }
        for bad in [
            "=?base64?eA?=",
            "=?base64?e A==?=",
            "=?base64?eA==\n?=",
            "=?base64?_-8=?=",
            "=?base64?/w==?=",
            "=?base64?eB==?=",
        ] {
            assert_eq!(decode(bad).unwrap_err().kind, Kind::HeaderMismatch, "{bad}");
        }
    }

    #[test]
    fn any_text_survives_its_header() {
        bolero::check!().with_type::<String>().for_each(|text| {
            let header = encode(text);
            assert!(header.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')));
            assert_eq!(decode(&header).unwrap(), text.as_str());
        });
    }

    #[test]
    fn a_header_is_absent_there_once_or_repeated() {
        assert_eq!(HeaderValue::collect([].into_iter()), HeaderValue::Absent);
        assert_eq!(HeaderValue::collect([" a\t"].into_iter()), HeaderValue::One("a"));
        assert_eq!(HeaderValue::collect(["a", "a"].into_iter()), HeaderValue::Repeated);
    }

    #[test]
    fn the_name_must_be_there_once_and_agree() {
        check_name(HeaderValue::One("get"), Some("get")).unwrap();
        check_name(HeaderValue::One("=?base64?Z2V0?="), Some("get")).unwrap();
        for header in
            [HeaderValue::Absent, HeaderValue::Repeated, HeaderValue::One("Get"), HeaderValue::One("=?base64?Z2V?=")]
        {
            assert_eq!(check_name(header, Some("get")).unwrap_err().kind, Kind::HeaderMismatch, "{header:?}");
        }
        assert!(check_name(HeaderValue::One(""), None).is_err());
    }

    /// Streamable HTTP, custom headers: strings and booleans exactly, integers by value.
    #[test]
    fn a_mirrored_argument_agrees_by_its_type() {
        use HeaderKind::{Boolean, Integer, String};
        assert!(agrees(String, r#"{"region":"us\u002dwest1"}"#, "us-west1"));
        assert!(agrees(String, r#"{"region":"é"}"#, "=?base64?w6k=?="));
        assert!(agrees(String, r#"{"region":""}"#, ""));
        assert!(!agrees(String, r#"{"region":"a"}"#, "A"));
        assert!(!agrees(String, r#"{"region":1}"#, "1"));
        assert!(agrees(Boolean, r#"{"region":true}"#, "true"));
        assert!(!agrees(Boolean, r#"{"region":true}"#, "True"));
        assert!(!agrees(Boolean, r#"{"region":"true"}"#, "true"));
        for (body, header) in [("42", "42"), ("42.0", "42"), ("42", "42.0"), ("4.2e1", "42"), ("-0", "0")] {
            assert!(agrees(Integer, &format!(r#"{{"region":{body}}}"#), header), "{body} {header}");
        }
        for (body, header) in [
            ("42", "43"),
            ("42.5", "42"),
            ("42", "042"),
            ("42", "+42"),
            ("42", ""),
            ("9007199254740992", "9007199254740992"),
            ("42", " 42"),
        ] {
            assert!(!agrees(Integer, &format!(r#"{{"region":{body}}}"#), header), "{body} {header}");
        }
    }

    #[test]
    fn an_absent_or_null_argument_has_no_header_and_a_repeated_header_is_refused() {
        for nothing in ["{}", r#"{"region":null}"#, r#"{"Region":"x"}"#] {
            check(HeaderKind::String, nothing, HeaderValue::Absent).unwrap();
            assert!(check(HeaderKind::String, nothing, HeaderValue::One("")).is_err(), "{nothing}");
        }
        let there = r#"{"region":"x"}"#;
        assert!(check(HeaderKind::String, there, HeaderValue::Absent).is_err());
        let error = check(HeaderKind::String, there, HeaderValue::Repeated).unwrap_err();
        assert!(error.context.contains("Mcp-Param-Region"), "{error}");
        check_params(&[], None, |_| HeaderValue::One("unknown headers pass")).unwrap();
    }

    #[test]
    fn headers_are_derived_for_what_is_there() {
        let rules = [
            param("Mcp-Param-Region", &["region"], HeaderKind::String),
            param("Mcp-Param-Row", &["where", "row"], HeaderKind::Integer),
            param("Mcp-Param-Dry", &["dry"], HeaderKind::Boolean),
            param("Mcp-Param-Gone", &["gone"], HeaderKind::String),
        ];
        let derived = derive_params(&rules, Some(br#"{"region":" x","where":{"row":7.0},"dry":false,"gone":null}"#));
        let expected = [("Mcp-Param-Region", "=?base64?IHg=?="), ("Mcp-Param-Row", "7"), ("Mcp-Param-Dry", "false")];
        assert_eq!(derived, expected.map(|(name, value)| (name, value.to_owned())));
        assert!(derive_params(&rules, None).is_empty());
        assert!(derive_params(&rules, Some(br#"{"region":1,"where":[],"dry":"true"}"#)).is_empty());
    }
}
