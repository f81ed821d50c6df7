//! Characters that show nowhere, and control characters.

use super::walk::Role;
use super::{Findings, Rule};

/// What a character is to the one before and the one after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It shows, or is plain white space.
    Plain,
    /// It shows nowhere, and belongs where it stands.
    Fitting,
    /// It shows nowhere; a single one may have come along unseen.
    Stray,
    /// It shows nowhere, or turns the text around it.
    Hidden,
    /// A control character.
    Control,
}

/// Looks for what a reader does not see.
pub(super) fn look(at: &str, role: Role, text: &str, findings: &mut Findings) {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return;
    }
    let letters: Vec<(usize, char)> = text.char_indices().collect();
    let has_rtl = letters.iter().any(|(_, letter)| is_rtl(*letter));
    let mut strays = Vec::new();
    for place in 0..letters.len() {
        let (from, letter) = letters[place];
        let range = from..from + letter.len_utf8();
        match kind(&letters, place, has_rtl) {
            Kind::Plain | Kind::Fitting => {}
            Kind::Control => findings.add(Rule::ControlCharacter, at, text, range),
            Kind::Stray if role != Role::Name => strays.push(range),
            Kind::Stray | Kind::Hidden => findings.add(Rule::HiddenText, at, text, range),
        }
    }
    if let Some(first) = strays.first() {
        let touch = strays.windows(2).any(|pair| pair[0].end == pair[1].start);
        let rule = if touch { Rule::HiddenText } else { Rule::StrayInvisible };
        findings.add(rule, at, text, first.clone());
    }
}

/// Whether a character shows nowhere by itself.
pub(super) fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn kind(letters: &[(usize, char)], at: usize, has_rtl: bool) -> Kind {
    let letter = letters[at].1;
    let before = at.checked_sub(1).map(|at| letters[at].1);
    let after = letters.get(at + 1).map(|(_, letter)| *letter);
    let fits = |does: bool, otherwise| if does { Kind::Fitting } else { otherwise };
    match letter {
        '\n' | '\t' => Kind::Plain,
        '\r' => fits(after.is_none_or(|next| next == '\n'), Kind::Stray),
        _ if letter.is_control() => Kind::Control,
        '\u{200c}' | '\u{200d}' => fits(joins(letter, before, after), Kind::Hidden),
        '\u{200b}' => fits(before.is_some_and(breaks_freely) || after.is_some_and(breaks_freely), Kind::Hidden),
        '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202c}' | '\u{2066}'..='\u{2069}' => {
            fits(has_rtl, Kind::Hidden)
        }
        '\u{ad}' => {
            fits(before.is_some_and(char::is_alphabetic) && after.is_some_and(char::is_alphabetic), Kind::Stray)
        }
        '\u{feff}' if at == 0 => Kind::Stray,
        '\u{2060}' | '\u{2028}' | '\u{2029}' | '\u{34f}' => Kind::Stray,
        '\u{fe00}'..='\u{fe0f}' => {
            fits(before.is_some_and(|letter| !is_unseen(letter) && !letter.is_ascii_alphabetic()), Kind::Hidden)
        }
        '\u{e0100}'..='\u{e01ef}' => fits(before.is_some_and(is_ideograph), Kind::Hidden),
        '\u{e0020}'..='\u{e007f}' => fits(is_flag(letters, at), Kind::Hidden),
        '\u{115f}' | '\u{1160}' => fits(before.is_some_and(is_jamo) || after.is_some_and(is_jamo), Kind::Hidden),
        '\u{180b}'..='\u{180f}' => {
            fits(before.is_some_and(|letter| matches!(letter, '\u{1800}'..='\u{18af}')), Kind::Hidden)
        }
        '\u{2800}' => fits(before.is_some_and(is_braille) || after.is_some_and(is_braille), Kind::Stray),
        _ if is_unseen(letter) => Kind::Hidden,
        _ => Kind::Plain,
    }
}

/// Whether a joiner stands where one belongs: between emoji, or between letters of scripts that are written so.
fn joins(joiner: char, before: Option<char>, after: Option<char>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    let emoji = joiner == '\u{200d}' && (is_emoji(before) || before == '\u{fe0f}') && is_emoji(after);
    emoji || (is_joined_script(before) && is_joined_script(after))
}

fn is_emoji(letter: char) -> bool {
    matches!(letter, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' | '\u{3030}' | '\u{303d}')
}

fn is_joined_script(letter: char) -> bool {
    is_rtl(letter) || matches!(letter, '\u{900}'..='\u{dff}' | '\u{1800}'..='\u{18af}' | '\u{1000}'..='\u{109f}')
}

fn is_rtl(letter: char) -> bool {
    matches!(letter, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}') && letter != '\u{61c}'
}

/// Scripts without spaces between words: there a break may be marked.
fn breaks_freely(letter: char) -> bool {
    let is_south_east = matches!(letter, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}');
    is_south_east || matches!(letter, '\u{3040}'..='\u{30ff}') || is_ideograph(letter)
}

fn is_ideograph(letter: char) -> bool {
    let is_basic = matches!(letter, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}');
    is_basic || matches!(letter, '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
}

fn is_jamo(letter: char) -> bool {
    matches!(letter, '\u{1100}'..='\u{115e}' | '\u{1161}'..='\u{11ff}')
}

fn is_braille(letter: char) -> bool {
    matches!(letter, '\u{2801}'..='\u{28ff}')
}

/// Whether a tag character is part of the flag of a region: a black flag, at most six tags, and the end.
fn is_flag(letters: &[(usize, char)], at: usize) -> bool {
    let is_tag = |letter: char| matches!(letter, '\u{e0020}'..='\u{e007e}');
    let before = letters[..at].iter().rev().take_while(|(_, letter)| is_tag(*letter)).count();
    let base = at.checked_sub(before + 1).map(|base| letters[base].1);
    let rest = letters[at..].iter().take_while(|(_, letter)| is_tag(*letter)).count();
    let end = letters.get(at + rest).map(|(_, letter)| *letter);
    base == Some('\u{1f3f4}') && before + rest <= 6 && end == Some('\u{e007f}')
}
