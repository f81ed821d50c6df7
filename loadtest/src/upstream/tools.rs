//! The tools that do something: `echo`, `sized`, `slow`, `progress`.

use super::definitions::Definition;
use super::scan;
use super::service::Rendered;
use std::borrow::Cow;
use std::time::Duration;

/// Most bytes `sized` answers.
const SIZED_MAX: u64 = 16 << 20;
/// Longest wait of one call, in milliseconds.
const WAIT_MAX_MS: u64 = 600_000;
/// Most progress events of one call.
const EVENTS_MAX: u64 = 100_000;

/// What one of them is asked to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Own<'a> {
    /// Answer this raw JSON string.
    Text(Cow<'a, [u8]>),
    /// Answer the fixed text after this further time.
    Slow(Duration),
    /// Tell progress, then answer the fixed text.
    Progress {
        /// Raw progress token, where one was sent.
        token: Option<&'a [u8]>,
        /// Number of events.
        events: u64,
        /// Time before each.
        every: Duration,
    },
    /// The arguments are wrong.
    Wrong(&'static str),
}

impl<'a> Own<'a> {
    /// What is asked of an own tool; nothing if the name (raw, quoted) is another tool's.
    pub(super) fn asked(name: &[u8], params: &'a [u8]) -> Option<Self> {
        let arguments = || scan::member(params, b"arguments").unwrap_or(b"{}");
        let own = match name {
            b"\"echo\"" => raw_string(arguments(), b"text").map(|text| Self::Text(Cow::Borrowed(text))),
            b"\"sized\"" => sized(arguments()),
            b"\"slow\"" => wait(arguments(), b"ms").map(Self::Slow),
            b"\"progress\"" => progress(arguments(), params),
            _ => return None,
        };
        Some(own.unwrap_or(Self::Wrong("the arguments do not fit the tool's inputSchema")))
    }
}

fn raw_string<'a>(arguments: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    scan::member(arguments, name).filter(|raw| raw.starts_with(b"\""))
}

fn sized<'a>(arguments: &[u8]) -> Option<Own<'a>> {
    let bytes = scan::number(arguments, b"bytes").filter(|&bytes| bytes <= SIZED_MAX)?;
    let mut text = vec![b'"'];
    text.resize(1 + usize::try_from(bytes).ok()?, b'x');
    text.push(b'"');
    Some(Own::Text(Cow::Owned(text)))
}

fn wait(arguments: &[u8], name: &[u8]) -> Option<Duration> {
    scan::number(arguments, name).filter(|&ms| ms <= WAIT_MAX_MS).map(Duration::from_millis)
}

fn progress<'a>(arguments: &'a [u8], params: &'a [u8]) -> Option<Own<'a>> {
    let token = scan::member(params, b"_meta").and_then(|meta| scan::member(meta, b"progressToken"));
    let events = scan::number(arguments, b"events").filter(|&events| events <= EVENTS_MAX)?;
    Some(Own::Progress { token, events, every: wait(arguments, b"every_ms")? })
}

/// A text result around a raw JSON string.
pub(super) fn text(raw: &str) -> Rendered {
    Rendered::new(&format!(r#""content":[{{"type":"text","text":{raw}}}],"isError":false"#), "")
}

/// The same for one era, from bytes.
pub(super) fn text_bytes(raw: &[u8], legacy: bool) -> Vec<u8> {
    let (before, after): (&[u8], &[u8]) = if legacy {
        (br#"{"content":[{"type":"text","text":"#, br#"}],"isError":false}"#)
    } else {
        (br#"{"content":[{"type":"text","text":"#, br#"}],"isError":false,"resultType":"complete"}"#)
    };
    [before, raw, after].concat()
}

/// Name, description, properties and required ones of each of them.
const OWN: [[&str; 4]; 4] = [
    ["echo", "Answers the text it was given.", r#""text":{"type":"string"}"#, r#""text""#],
    [
        "sized",
        "Answers a text of so many bytes; `pad` makes the request as large as you like.",
        r#""bytes":{"type":"integer","minimum":0,"maximum":16777216},"pad":{"type":"string"}"#,
        r#""bytes""#,
    ],
    [
        "slow",
        "Answers after so many milliseconds.",
        r#""ms":{"type":"integer","minimum":0,"maximum":600000}"#,
        r#""ms""#,
    ],
    [
        "progress",
        "Tells its progress in so many events, so many milliseconds apart.",
        concat!(
            r#""events":{"type":"integer","minimum":0,"maximum":100000},"#,
            r#""every_ms":{"type":"integer","minimum":0,"maximum":600000}"#
        ),
        r#""events","every_ms""#,
    ],
];

/// Their definitions.
pub(super) fn definitions() -> Vec<Definition> {
    let definition = |[name, description, properties, required]: [&str; 4]| {
        let schema = format!(r#"{{"type":"object","properties":{{{properties}}},"required":[{required}]}}"#);
        let text = format!(r#"{{"name":"{name}","description":"{description}","inputSchema":{schema}}}"#);
        Definition { name: name.to_owned(), text }
    };
    OWN.map(definition).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_wrong_ones_are_told() {
        let asked = |name: &str, params: &'static str| Own::asked(name.as_bytes(), params.as_bytes());
        let text = |text: &'static [u8]| Some(Own::Text(Cow::Borrowed(text)));
        assert_eq!(asked("\"echo\"", r#"{"arguments":{"text":"a\n"}}"#), text(br#""a\n""#));
        assert_eq!(asked("\"sized\"", r#"{"arguments":{"pad":"y","bytes":3}}"#), text(b"\"xxx\""));
        let slow = asked("\"slow\"", r#"{"arguments":{"ms":20}}"#);
        assert_eq!(slow, Some(Own::Slow(Duration::from_millis(20))));
        let told = asked("\"progress\"", r#"{"_meta":{"progressToken":"t"},"arguments":{"events":2,"every_ms":1}}"#);
        let every = Duration::from_millis(1);
        assert_eq!(told, Some(Own::Progress { token: Some(b"\"t\""), events: 2, every }));
        assert_eq!(asked("\"search\"", "{}"), None);
        for (name, params) in [
            ("\"echo\"", r#"{"arguments":{"text":1}}"#),
            ("\"sized\"", r#"{"arguments":{"bytes":99999999999}}"#),
            ("\"slow\"", r#"{"arguments":{"ms":"1"}}"#),
            ("\"progress\"", "{}"),
        ] {
            assert!(matches!(asked(name, params), Some(Own::Wrong(_))), "{name}");
        }
    }

    #[test]
    fn definitions_are_json() {
        for definition in definitions() {
            let value: serde_json::Value = serde_json::from_str(&definition.text).unwrap();
            assert_eq!(value["name"], definition.name.as_str());
        }
    }
}
