//! A scenario file's text → [`Scenario`], or what is wrong with it and on which line.

use super::file::{File, Pick, ToolsTable};
use super::{KeyPer, Keys, Mix, Progress, Reading, Scenario, Tools};
use crate::failure::Failure;
use crate::order::Era;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

/// Exponent of a Zipf pick that does not say: the classic law's.
const ZIPF_EXPONENT: f64 = 1.0;

/// The least bytes of a slow reader's sip.
const SIP_BYTES_MIN: usize = 1;

/// Something wrong at a place of the text.
struct Wrong {
    at: Range<usize>,
    words: String,
}

fn wrong(at: Range<usize>, words: impl Into<String>) -> Wrong {
    Wrong { at, words: words.into() }
}

/// Compiles a file's text; `place` is how errors name it.
///
/// # Errors
/// Not TOML, an unknown key, or values that make no sense together.
pub(super) fn compile(place: &str, text: &str) -> Result<Scenario, Failure> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        Failure::usage(format!("{place}:{line}: {}", error.message()))
    })?;
    check(file).map_err(|wrong| Failure::usage(format!("{place}:{}: {}", line_of(text, wrong.at.start), wrong.words)))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn check(file: File) -> Result<Scenario, Wrong> {
    check_name(&file.name)?;
    check_eras(&file)?;
    let mix = file.mix.get_ref();
    if mix.list == 0 && mix.call == 0 {
        return Err(wrong(file.mix.span(), "mix: list and call are both 0; give one a weight"));
    }
    let mix = Mix { list: mix.list, call: mix.call };
    let tools = tools(&file.tools)?;
    check_arguments(&file, &tools)?;
    let progress = file.progress.as_ref().map(Spanned::get_ref);
    Ok(Scenario {
        rate: rate(&file.rate)?,
        tools_min: file.tools.at_least.max(1),
        request_bytes: file.request.bytes.as_ref().map(|bytes| *bytes.get_ref()),
        answer_bytes: file.answer.bytes.as_ref().map_or(0, |bytes| *bytes.get_ref()),
        answer_ms: file.answer.ms.as_ref().map_or(0, |ms| *ms.get_ref()),
        keys: Keys { count: file.keys.count.max(1), per: *file.keys.per.get_ref() },
        think: Duration::from_millis(file.connection.think_ms),
        reconnect_after: Some(file.connection.requests).filter(|requests| *requests > 0),
        session_requests: Some(file.session.requests).filter(|requests| *requests > 0),
        reader: reading(&file)?,
        progress: progress.map(|asked| Progress { events: asked.events, every_ms: asked.every_ms }),
        idle_streams: file.idle.streams,
        name: file.name.into_inner(),
        description: file.description,
        eras: file.eras.into_inner(),
        server: file.server,
        mix,
        tools,
    })
}

fn check_name(name: &Spanned<String>) -> Result<(), Wrong> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.get_ref().is_empty() || !name.get_ref().bytes().all(is_plain) {
        return Err(wrong(name.span(), "name: lower-case letters, digits and - only"));
    }
    Ok(())
}

fn check_eras(file: &File) -> Result<(), Wrong> {
    let eras = file.eras.get_ref();
    if eras.is_empty() {
        return Err(wrong(file.eras.span(), "eras: name at least one of \"modern\" and \"legacy\""));
    }
    if eras.contains(&Era::Legacy) && *file.keys.per.get_ref() == KeyPer::Request {
        let words = "keys.per = \"request\": a legacy session belongs to one key; leave \"legacy\" out of eras";
        return Err(wrong(file.keys.per.span(), words));
    }
    Ok(())
}

fn rate(rate: &Spanned<f64>) -> Result<f64, Wrong> {
    match *rate.get_ref() {
        number if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err(wrong(rate.span(), "rate: more than 0 requests a second")),
    }
}

fn tools(table: &ToolsTable) -> Result<Tools, Wrong> {
    match (table.pick, &table.name, &table.exponent) {
        (Pick::One, name, None) => {
            Ok(Tools::One(name.as_ref().map_or_else(|| "echo".to_owned(), |name| name.get_ref().clone())))
        }
        (Pick::RoundRobin, None, None) => Ok(Tools::RoundRobin),
        (Pick::Zipf, None, exponent) => zipf(exponent.as_ref()),
        (_, Some(name), _) => Err(wrong(name.span(), "tools.name goes with pick = \"one\" only")),
        (_, _, Some(exponent)) => Err(wrong(exponent.span(), "tools.exponent goes with pick = \"zipf\" only")),
    }
}

fn zipf(exponent: Option<&Spanned<f64>>) -> Result<Tools, Wrong> {
    match exponent {
        None => Ok(Tools::Zipf(ZIPF_EXPONENT)),
        Some(given) if (0.0..=10.0).contains(given.get_ref()) => Ok(Tools::Zipf(*given.get_ref())),
        Some(given) => Err(wrong(given.span(), "tools.exponent: a number from 0 to 10")),
    }
}

/// What only certain tools of the fake upstream understand goes with those only.
fn check_arguments(file: &File, tools: &Tools) -> Result<(), Wrong> {
    let is = |name: &str| *tools == Tools::One(name.to_owned());
    if let Some(bytes) = file.answer.bytes.as_ref().filter(|_| !is("sized")) {
        return Err(wrong(bytes.span(), "answer.bytes goes with the tool \"sized\" only; set tools.name"));
    }
    if let Some(ms) = file.answer.ms.as_ref().filter(|_| !is("slow")) {
        return Err(wrong(ms.span(), "answer.ms goes with the tool \"slow\" only; set tools.name"));
    }
    match &file.progress {
        Some(progress) if !is("progress") => {
            Err(wrong(progress.span(), "[progress] goes with the tool \"progress\" only; set tools.name"))
        }
        None if is("progress") => {
            let at = file.tools.name.as_ref().map_or(0..0, Spanned::span);
            Err(wrong(at, "the tool \"progress\" needs [progress] with events and every_ms"))
        }
        _ => Ok(()),
    }
}

fn reading(file: &File) -> Result<Reading, Wrong> {
    match &file.reader.sip_bytes {
        None => Ok(Reading::Eager),
        Some(bytes) if *bytes.get_ref() < SIP_BYTES_MIN => Err(wrong(bytes.span(), "reader.sip_bytes: at least 1")),
        Some(bytes) => {
            let pause = Duration::from_millis(file.reader.pause_ms);
            Ok(Reading::Sips { bytes: *bytes.get_ref(), pause })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        compile("x.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_short_file_gets_the_defaults() {
        let scenario = compile("x.toml", "name = \"a\"\ndescription = \"b\"").unwrap();
        assert_eq!(scenario.tools, Tools::One("echo".into()));
        assert_eq!((scenario.eras, scenario.mix), (vec![Era::Modern], Mix { list: 0, call: 1 }));
        assert_eq!((scenario.reader, scenario.idle_streams), (Reading::Eager, 0));
    }

    #[test]
    fn errors_name_file_line_and_key() {
        let head = "name = \"a\"\ndescription = \"b\"\n";
        for (rest, line, word) in [
            ("tool = 1", 3, "tool"),
            ("[mix]\nlist = 0\ncall = 0", 3, "mix"),
            ("[tools]\npick = \"some\"", 4, "some"),
            ("[tools]\npick = \"zipf\"\nexponent = 99.0", 5, "exponent"),
            ("[tools]\npick = \"zipf\"\nname = \"x\"", 5, "name"),
            ("[answer]\nbytes = 7", 4, "sized"),
            ("[answer]\nms = 7", 4, "slow"),
            ("[progress]\nevents = 1\nevery_ms = 1", 3, "progress"),
            ("[tools]\nname = \"progress\"", 4, "every_ms"),
            ("eras = []", 3, "eras"),
            ("rate = 0.0", 3, "rate"),
            ("eras = [\"modern\", \"legacy\"]\n[keys]\nper = \"request\"", 5, "session"),
            ("[reader]\nsip_bytes = 0", 4, "sip_bytes"),
            ("[request]\nbytes = -1", 4, ""),
        ] {
            let words = refusal(&format!("{head}{rest}"));
            assert!(words.starts_with(&format!("x.toml:{line}: ")) && words.contains(word), "{rest}: {words}");
        }
        assert!(refusal("name = \"A b\"\ndescription = \"\"").starts_with("x.toml:1: name"));
    }
}
