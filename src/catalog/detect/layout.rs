//! Text that is there and not seen: behind white space, in comments, in the addresses of images.

use super::{Findings, Rule};
use regex::Regex;
use std::sync::LazyLock;

/// Spaces in a row that push what follows out of sight.
const SPACES: usize = 72;
/// Empty lines in a row that do.
const LINES: usize = 16;

static IMAGE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"!\[[^\]]{0,200}\]\(\s*https?://[^)]{0,500}\)").ok());
static COMMENT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?s)<!--(.{0,2000}?)-->").ok());
static ORDER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(must|always|send|call|read|include|ignore|do not|never|you|assistant|forward|append)\b").ok()
});

pub(super) fn look(at: &str, text: &str, findings: &mut Findings) {
    padded(at, text, findings);
    for found in IMAGE.iter().flat_map(|image| image.find_iter(text)) {
        let carries =
            found.as_str().contains(['{', '$', '<', '[', '=']) && found.as_str().contains(['?', '{', '<', '$']);
        let carries = carries || found.as_str().to_lowercase().contains("%7b");
        let rule = if carries && has_blank(found.as_str()) { Rule::Beacon } else { Rule::RemoteImage };
        findings.add(rule, at, text, found.range());
    }
    for found in COMMENT.iter().flat_map(|comment| comment.captures_iter(text)) {
        let Some(inner) = found.get(1) else { continue };
        let words = inner.as_str().split_whitespace().count();
        let orders = words >= 4 && ORDER.as_ref().is_some_and(|order| order.is_match(inner.as_str()));
        findings.add(if orders { Rule::Comment } else { Rule::HiddenComment }, at, text, inner.range());
    }
}

/// Whether an address has a blank to be filled: `{…}`, `<…>`, `$…`, `[…]` behind the host, or nothing behind `=`.
fn has_blank(image: &str) -> bool {
    let address = image.rsplit("](").next().unwrap_or(image).trim_end_matches(')');
    let path = address.splitn(4, '/').nth(3).unwrap_or("");
    path.contains(['{', '<', '$', '[']) || path.ends_with('=') || path.to_lowercase().contains("%7b")
}

fn padded(at: &str, text: &str, findings: &mut Findings) {
    let (mut spaces, mut lines) = (0, 0);
    for (place, letter) in text.char_indices() {
        match letter {
            '\n' => {
                lines += 1;
                spaces = 0;
            }
            _ if letter.is_whitespace() => spaces += 1,
            _ => {
                if (spaces >= SPACES || lines >= LINES) && place > spaces + lines {
                    findings.add(Rule::PaddedText, at, text, place..place);
                }
                (spaces, lines) = (0, 0);
            }
        }
    }
}
