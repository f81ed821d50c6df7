//! Mirrored headers: `Mcp-Name` and `Mcp-Param-*`, their base64 form, and whether they say what the body says
//! (2026-07-28 basic/transports/streamable-http).

use crate::base::error::{Error, Kind, Result};
use crate::wire::rpc;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

/// What stands in front of the annotated name in the header of a mirrored argument.
pub const PARAM_PREFIX: &str = "Mcp-Param-";
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

/// The type an `x-mcp-header` annotation stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// `string`.
    String,
    /// `integer`: compared by value.
    Integer,
    /// `boolean`.
    Boolean,
}

/// One annotated argument of a tool.
#[derive(Clone, Copy, Debug)]
pub struct ParamRule<'a> {
    /// The annotated name, without `Mcp-Param-`.
    pub header: &'a str,
    /// The keys from the root of the arguments to it.
    pub path: &'a [String],
    /// Its type.
    pub kind: ParamKind,
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
    rules: &[ParamRule<'_>],
    arguments: Option<&[u8]>,
    lookup: impl Fn(&str) -> HeaderValue<'h>,
) -> Result<()> {
    for rule in rules {
        let name = format!("{PARAM_PREFIX}{}", rule.header);
        let said = argument(arguments, rule.path);
        let agrees = match (lookup(&name), said) {
            (HeaderValue::Absent, None) => true,
            (HeaderValue::One(value), Some(raw)) => same(rule.kind, &decode(value).map_err(|e| e.at(&name))?, raw),
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
pub fn derive_params(rules: &[ParamRule<'_>], arguments: Option<&[u8]>) -> Vec<(String, String)> {
    let derive = |rule: &ParamRule<'_>| {
        let value = header_text(rule.kind, argument(arguments, rule.path)?)?;
        Some((format!("{PARAM_PREFIX}{}", rule.header), encode(&value).into_owned()))
    };
    rules.iter().filter_map(derive).collect()
}

/// The argument at a path, unless it is absent or `null`.
fn argument<'a>(arguments: Option<&'a [u8]>, path: &[String]) -> Option<&'a [u8]> {
    let found = path.iter().try_fold(arguments?, |raw, key| rpc::field(raw, key));
    found.filter(|raw| !rpc::is_null(raw))
}

fn same(kind: ParamKind, header: &str, raw: &[u8]) -> bool {
    match kind {
        ParamKind::String => rpc::string(raw).as_deref() == Some(header),
        ParamKind::Boolean => rpc::boolean(raw).is_some() && header.as_bytes() == raw,
        ParamKind::Integer => {
            let body = std::str::from_utf8(raw).ok().and_then(whole);
            body.is_some() && body == whole(header)
        }
    }
}

fn header_text(kind: ParamKind, raw: &[u8]) -> Option<Cow<'_, str>> {
    match kind {
        ParamKind::String => rpc::string(raw),
        ParamKind::Boolean => rpc::boolean(raw).map(|value| if value { "true" } else { "false" }.into()),
        ParamKind::Integer => whole(std::str::from_utf8(raw).ok()?).map(|value| value.to_string().into()),
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
