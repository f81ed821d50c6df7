//! Names that look like others: NFKC, case fold, and the skeletons of UTS 39.

use super::{Findings, Rule};
use unicode_normalization::UnicodeNormalization as _;

/// Names of parameters under which context was carried away.
const CONTEXT: [&str; 12] = [
    "sidenote",
    "side_note",
    "tools_list",
    "tool_call_history",
    "chain_of_thought",
    "conversation_history",
    "chat_history",
    "system_prompt",
    "system_instructions",
    "model_name",
    "previous_messages",
    "user_context",
];

/// What a name looks like: names of one skeleton can be taken for each other.
pub fn skeleton(name: &str) -> String {
    let folded: String = name.chars().filter(|letter| !super::hidden::is_unseen(*letter)).nfkc().collect();
    let folded = folded.to_lowercase();
    unicode_security::skeleton(&folded).collect::<String>().to_lowercase()
}

pub(super) fn look(at: &str, name: &str, findings: &mut Findings) {
    if !name.is_ascii() {
        let shown: String = name.chars().filter(|letter| !super::hidden::is_unseen(*letter)).collect();
        // Letters with marks are Latin's own, and one or two letters of another script are a symbol.
        let is_plain = |letter: char| letter.is_ascii() || matches!(letter, '\u{c0}'..='\u{24f}');
        let is_word = shown.chars().count() > 2 && !shown.chars().all(is_plain);
        let is_other = is_word && skeleton(&shown).is_ascii();
        if is_other || is_mixed(&shown) {
            findings.add(Rule::ConfusableName, at, name, 0..0);
        }
    }
    let lower = name.to_lowercase().replace('-', "_");
    let takes_files = ["content", "contents", "output", "text"].iter().any(|word| lower.starts_with(word))
        && ["ssh", "id_rsa", "passwd", "dotenv", "mcp_json", "credentials", "private_key"]
            .iter()
            .any(|word| lower.contains(word));
    if takes_files {
        findings.add(Rule::Harvest, at, name, 0..0);
    } else if CONTEXT.contains(&&*lower) {
        findings.add(Rule::ContextParameter, at, name, 0..0);
    }
}

/// Whether letters of a script stand between those of another and look like them.
pub(super) fn is_mixed(word: &str) -> bool {
    let letters: Vec<char> = word.chars().filter(|letter| letter.is_alphabetic()).collect();
    let is_latin = |letter: &char| letter.is_ascii_alphabetic() || matches!(letter, '\u{c0}'..='\u{24f}');
    let (Some(first), Some(last)) = (letters.iter().position(is_latin), letters.iter().rposition(is_latin)) else {
        return false;
    };
    letters[first..last]
        .iter()
        .any(|letter| is_foreign(*letter) && unicode_security::skeleton(&letter.to_string()).all(|c| c.is_ascii()))
}

/// Letters of scripts that have many of Latin's shapes.
fn is_foreign(letter: char) -> bool {
    let is_near = matches!(letter, '\u{370}'..='\u{52f}' | '\u{530}'..='\u{58f}');
    is_near || matches!(letter, '\u{13a0}'..='\u{13ff}' | '\u{2c80}'..='\u{2cff}')
}
