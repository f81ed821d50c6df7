//! Outcomes as files: one line of JSON each.

use crate::failure::Failure;
use crate::outcome::{FORMAT, Outcome};
use std::io::{Read as _, Write};
use std::path::Path;

/// Longest file that is read, in bytes: a day's timeline has a tenth of it.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// What is looked at before the rest is understood.
#[derive(serde::Deserialize)]
struct Head {
    format: Option<u32>,
    direct: Option<serde::de::IgnoredAny>,
}

/// Reads what `run --json` printed; `-` is standard input.
///
/// # Errors
/// There is no such file, or it is not the JSON of a run in this format; exit code 2.
pub fn read(path: &Path) -> Result<Outcome, Failure> {
    let bytes = bytes(path).map_err(|error| Failure::usage(format!("cannot be read: {error}")));
    bytes.and_then(|bytes| parse(&bytes)).map_err(|failure| failure.within(path.display()))
}

fn bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?,
        false => std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?,
    };
    match read as u64 > FILE_BYTES_MAX {
        true => Err(std::io::Error::other(format!("longer than {} MiB", FILE_BYTES_MAX >> 20))),
        false => Ok(bytes),
    }
}

fn parse(bytes: &[u8]) -> Result<Outcome, Failure> {
    let not_json = |error: serde_json::Error| Failure::usage(format!("not the JSON of a run: {error}"));
    let head: Head = serde_json::from_slice(bytes).map_err(not_json)?;
    match head.format {
        Some(FORMAT) => serde_json::from_slice(bytes).map_err(not_json),
        Some(other) => Err(Failure::usage(format!(
            "format {other}, and this build reads format {FORMAT}; use the tollgate-load that wrote it"
        ))),
        None if head.direct.is_some() => {
            Err(Failure::usage("what `overhead` printed; reports and comparisons read what `run --json` prints"))
        }
        None => Err(Failure::usage("not the JSON of a run: it has no `format`; write it with `run --json > FILE`")),
    }
}

/// Writes an outcome as one line.
///
/// # Errors
/// The place cannot be written to.
pub fn write(outcome: &Outcome, to: &mut impl Write) -> Result<(), Failure> {
    let line = serde_json::to_string(outcome).map_err(|error| Failure::new(format!("result as JSON: {error}")))?;
    to.write_all(line.as_bytes())
        .and_then(|()| to.write_all(b"\n"))
        .and_then(|()| to.flush())
        .map_err(|error| Failure::new(format!("result as JSON: {error}")))
}

/// Writes one of the reports to the file that was asked for.
///
/// # Errors
/// The file cannot be written.
pub fn save(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn what_is_written_is_read_again() {
        let outcome = sample::good();
        let mut line = Vec::new();
        write(&outcome, &mut line).unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let again = parse(&line).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&outcome).unwrap());
    }

    #[test]
    fn files_of_this_format_keep_their_shape() {
        for (name, outcome) in [("good.json", sample::good()), ("bad.json", sample::bad())] {
            let mut line = Vec::new();
            write(&outcome, &mut line).unwrap();
            sample::assert_fixture(name, std::str::from_utf8(&line).unwrap());
        }
    }

    #[test]
    fn other_files_are_refused_by_what_they_are() {
        let cases = [
            ("", "not the JSON of a run: EOF"),
            ("{}", "it has no `format`"),
            (r#"{"direct":{},"valid":true}"#, "what `overhead` printed"),
            (r#"{"format":7}"#, "format 7, and this build reads format 1"),
            (r#"{"format":1}"#, "missing field"),
        ];
        for (text, words) in cases {
            let failure = parse(text.as_bytes()).unwrap_err();
            assert!(failure.to_string().contains(words), "{failure}");
            assert_eq!(failure.exit_code(), std::process::ExitCode::from(2));
        }
        let failure = read(Path::new("/nowhere/a.json")).unwrap_err().to_string();
        assert!(failure.starts_with("/nowhere/a.json: cannot be read"), "{failure}");
    }
}
