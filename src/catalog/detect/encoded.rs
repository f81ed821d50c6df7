//! Words in Base64: what a model reads as well as we do, and people do not.

use super::{Findings, Rule, phrases};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shortest run of Base64 that is read.
const RUN_MIN: usize = 24;
/// From how long a run is too long to pass without words in it.
const BLOB_MIN: usize = 400;

pub(super) fn look(at: &str, text: &str, findings: &mut Findings) {
    let is_inside = |letter: char| letter.is_ascii_alphanumeric() || "+/-_".contains(letter);
    for run in text.split(|letter: char| !is_inside(letter)).filter(|run| run.len() >= RUN_MIN) {
        let from = run.as_ptr() as usize - text.as_ptr() as usize;
        let range = from..from + run.len();
        if decode(run).is_some_and(|words| is_prose(&words) || phrases::is_suspicious(&words)) {
            findings.add(Rule::EncodedText, at, text, range);
        } else if run.len() >= BLOB_MIN {
            findings.add(Rule::EncodedBlob, at, text, range);
        }
    }
}

fn decode(run: &str) -> Option<String> {
    let whole = &run[..run.len() - usize::from(run.len() % 4 == 1)];
    let bytes = STANDARD_NO_PAD.decode(whole).or_else(|_| URL_SAFE_NO_PAD.decode(whole)).ok()?;
    String::from_utf8(bytes).ok()
}

/// Whether text reads as words: nearly all letters and spaces, in at least three words.
fn is_prose(text: &str) -> bool {
    let fits =
        text.chars().filter(|letter| letter.is_alphanumeric() || " .,:;!?'\"/~-_@()\n".contains(*letter)).count();
    let words = text.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic)).count();
    words >= 3 && fits * 100 >= text.chars().count() * 95
}
