//! Records as text for terminals and as JSON lines. Whatever came from outside is shown with control, bidirectional
//! and invisible characters escaped, so that an entry can neither move the cursor nor look like another.

use super::acts::{Decided, Held};
use super::entry::{Denied, Entry, Intent, Outcome, hex_text};
use super::priced::{self, Reserved, Settled};
use super::read::Record;
use crate::base::phase::Phase;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

/// Fields that `show` has and a line has not.
const LONG_FIELDS: [&str; 5] = ["arguments_digest", "definition_hash", "result_digest", "torn_digest", "trace_id"];

/// Whether a character must not reach a terminal or a log viewer as it is.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e01ef}')
}

/// `text` in one line: unsafe characters as `\u{…}`, the backslash doubled.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if is_unsafe(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// A value of a line: quoted where it has a blank or a quote or is empty.
fn value(text: &str) -> String {
    let plain = !text.is_empty() && !text.contains([' ', '"', '=']);
    if plain { escaped(text) } else { format!("\"{}\"", escaped(text).replace('"', "\\\"")) }
}

/// The time of a record in UTC with milliseconds.
fn time(record: &Record) -> String {
    stamp(record.time().0)
}

fn stamp(wall_ms: u64) -> String {
    let ms = i64::try_from(wall_ms).unwrap_or(i64::MAX);
    let stamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    format!("{stamp:.3}")
}

/// A record as one line of text.
pub fn line(record: &Record) -> String {
    let entry = record.entry();
    let kind = entry.as_ref().map_or("unknown", |entry| entry.kind().name());
    let mut out = format!("{} s{} #{} {kind}", time(record), record.shard.0, record.seq);
    match entry {
        Ok(entry) => fields(&entry, &mut |name, text| {
            if !text.is_empty() && !LONG_FIELDS.contains(&name) {
                let _ = write!(out, " {name}={}", value(text));
            }
        }),
        Err(error) => {
            let _ = write!(out, " {}", value(&error.context));
        }
    }
    out
}

/// A record as a block of lines with every field.
pub fn block(record: &Record) -> String {
    let mut out = format!("entry {} of shard {}\n", record.seq, record.shard.0);
    let mut put = |name: &str, text: &str| {
        let text = if text.is_empty() { "-".to_owned() } else { escaped(text) };
        let _ = writeln!(out, "  {name:<18}{text}");
    };
    put("time", &time(record));
    match record.entry() {
        Ok(entry) => {
            put("kind", entry.kind().name());
            fields(&entry, &mut put);
        }
        Err(error) => put("unreadable", &error.context),
    }
    out
}

/// The fields of an entry by name, in a fixed order.
fn fields(entry: &Entry<'_>, put: &mut dyn FnMut(&str, &str)) {
    match entry {
        Entry::Boot(boot) => {
            put("version", boot.version);
            put("pid", &boot.pid.to_string());
            put("shards", &boot.shards.to_string());
        }
        Entry::Intent(intent) => call_fields(intent, put),
        Entry::Reserved(Reserved { call, reserved, budgets }) => {
            call_fields(call, put);
            put("reserved", &reserved.to_string());
            put("budgets", budgets);
        }
        Entry::Denied(Denied { call, reason }) => {
            put("reason", reason);
            call_fields(call, put);
        }
        Entry::Held(Held { call, approval, expires_ms }) => {
            put("approval", approval);
            put("expires", &stamp(*expires_ms));
            call_fields(call, put);
        }
        Entry::Decided(Decided { approval, held, held_shard, decision, by, reason }) => {
            put("approval", approval);
            put("decision", decision);
            put("by", by);
            put("reason", reason);
            put("held", &format!("s{held_shard}#{held}"));
        }
        Entry::Outcome(ended) => {
            put("intent", &ended.intent.to_string());
            outcome_fields(&ended.outcome, put);
        }
        Entry::Settled(Settled { ended, cost, basis }) => {
            put("intent", &ended.intent.to_string());
            outcome_fields(&ended.outcome, put);
            put("cost", &cost.to_string());
            put("basis", priced::basis(*basis));
        }
        Entry::Admin(admin) => {
            put("who", admin.who);
            put("role", admin.role);
            put("action", admin.action);
            put("object", admin.object);
            put("status", &admin.status.to_string());
        }
        Entry::Recovered(recovered) => {
            put("from", &recovered.from_seq.to_string());
            put("count", &recovered.count.to_string());
            if recovered.torn_segment != 0 {
                put("torn_segment", &recovered.torn_segment.to_string());
                put("torn_offset", &recovered.torn_offset.to_string());
                put("torn_digest", &hex_text(&recovered.torn_digest));
            }
        }
    }
}

fn call_fields(call: &Intent<'_>, put: &mut dyn FnMut(&str, &str)) {
    put("verdict", call.verdict);
    put("key", call.key);
    put("server", call.server);
    put("tool", call.tool);
    put("client", call.client);
    put("client_version", call.client_version);
    put("revision", call.revision);
    put("arguments_bytes", &call.arguments_bytes.to_string());
    put("arguments_digest", &hex_text(&call.arguments_digest));
    put("definition_hash", &hex_text(&call.definition_hash));
    put("trace_id", &hex_text(&call.trace_id));
    put("epoch", &call.epoch.to_string());
    if call.parent != 0 {
        put("parent", &format!("s{}#{}", call.parent_shard, call.parent));
    }
}

fn outcome_fields(outcome: &Outcome<'_>, put: &mut dyn FnMut(&str, &str)) {
    put("status", outcome.status.name());
    put("error", outcome.error);
    if outcome.code != 0 {
        put("code", &outcome.code.to_string());
    }
    put("result_bytes", &outcome.result_bytes.to_string());
    put("result_digest", &hex_text(&outcome.result_digest));
    put("total", &duration(outcome.total_ns));
    for (phase, ns) in Phase::ALL.iter().zip(outcome.phase_ns) {
        if ns != 0 {
            put(phase.name(), &duration(ns));
        }
    }
}

fn duration(ns: u64) -> String {
    format!("{:?}", Duration::from_nanos(ns))
}

/// A record as one JSON object without a line feed.
pub fn json(record: &Record) -> String {
    let place = (record.shard.0, record.seq, time(record), record.hlc);
    let text = match record.entry() {
        Ok(entry) => json_text(&JsonRecord::new(place, entry.kind().name(), &entry)),
        Err(error) => {
            json_text(&JsonRecord::new(place, "unknown", &serde_json::json!({ "unreadable": error.context })))
        }
    };
    text.unwrap_or_default()
}

#[derive(serde::Serialize)]
struct JsonRecord<'a, T> {
    shard: u16,
    seq: u64,
    time: String,
    hlc: u64,
    kind: &'a str,
    #[serde(flatten)]
    rest: &'a T,
}

impl<'a, T> JsonRecord<'a, T> {
    fn new((shard, seq, time, hlc): (u16, u64, String, u64), kind: &'a str, rest: &'a T) -> Self {
        Self { shard, seq, time, hlc, kind, rest }
    }
}

/// Any value as JSON with unsafe characters as `\uXXXX`.
///
/// # Errors
/// The value cannot be JSON.
pub fn json_text(value: &impl serde::Serialize) -> serde_json::Result<String> {
    let mut out = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Escaping))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// JSON whose strings hold no unsafe character.
struct Escaping;

impl serde_json::ser::Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unsafe) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut chars = from.chars();
            let mut units = [0; 2];
            for unit in chars.next().map_or(&mut [][..], |c| c.encode_utf16(&mut units)) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "a\u{1b}[2J\u{9b}\u{202e}b\u{200b}\n\u{e0041}\u{7f}c\\\"";

    #[test]
    fn no_unsafe_character_reaches_a_line() {
        let text = escaped(NASTY);
        assert!(!text.chars().any(is_unsafe), "{text}");
        assert_eq!(escaped("a\u{202e}b\\"), "a\\u{202e}b\\\\");
        assert_eq!((value(""), value("a b"), value("a\"b=")), ("\"\"".into(), "\"a b\"".into(), "\"a\\\"b=\"".into()));
        assert_eq!(escaped("größe 工具"), "größe 工具");
    }

    #[test]
    fn json_is_escaped_and_reads_back_the_same() {
        let text = json_text(&NASTY).unwrap();
        assert!(!text.chars().any(is_unsafe), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), NASTY);
    }
}
