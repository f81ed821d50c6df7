//! What is suspicious in a definition: rules over every string and over the schemas. Pure; nothing is fetched.
//!
//! A filter and not a boundary: whoever knows the rules can write around the ones on wording. A rule blocks only where
//! it was right in at least 95 of 100 cases of the sets in `tests/detect`; the others flag, for people to look at.

mod encoded;
mod hidden;
mod layout;
mod names;
mod phrases;
mod schema;
mod walk;

pub use names::skeleton;

use super::canonical::Node;
use crate::base::limits::FINDINGS_MAX;
use std::fmt;

/// Characters of an excerpt on each side of what was found.
const EXCERPT: usize = 60;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Characters that show nowhere and may carry text.
    HiddenText,
    /// Control characters, such as those of terminals.
    ControlCharacter,
    /// A name that looks like another because of letters of another script.
    ConfusableName,
    /// A name that looks like that of another tool.
    LookalikeName,
    /// Words in which letters of one script stand in for those of another.
    MixedScript,
    /// Orders to set earlier instructions aside.
    Override,
    /// Orders to keep something from the user.
    Conceal,
    /// Marks that pretend to be of the system's own.
    PseudoTag,
    /// Orders to hand over secrets, files or instructions.
    Harvest,
    /// Orders to send data somewhere.
    Exfiltrate,
    /// Orders about how other tools are used.
    Shadow,
    /// A download piped into a shell.
    ShellPayload,
    /// An image whose address carries data away.
    Beacon,
    /// Orders in a comment that is not shown.
    Comment,
    /// Text pushed out of sight by white space.
    PaddedText,
    /// Words in Base64.
    EncodedText,
    /// A reference that leads to the network or to a file.
    RemoteRef,
    /// A schema that is costly to follow.
    SchemaBomb,
    /// A lone invisible character of no effect.
    StrayInvisible,
    /// The tool wants to be called before others.
    WantsFirst,
    /// The tool wants to be used instead of all others.
    PrefersItself,
    /// Something is to be done without asking.
    SkipsApproval,
    /// The conversation, or all of something private, is asked for.
    AsksForContext,
    /// A parameter named as those that carry context away.
    ContextParameter,
    /// An image from the network.
    RemoteImage,
    /// A comment that is not shown.
    HiddenComment,
    /// Much Base64 that holds no words.
    EncodedBlob,
    /// It names a tool of another server.
    NamesOthers,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 28] = [
        Self::HiddenText,
        Self::ControlCharacter,
        Self::ConfusableName,
        Self::LookalikeName,
        Self::MixedScript,
        Self::Override,
        Self::Conceal,
        Self::PseudoTag,
        Self::Harvest,
        Self::Exfiltrate,
        Self::Shadow,
        Self::ShellPayload,
        Self::Beacon,
        Self::Comment,
        Self::PaddedText,
        Self::EncodedText,
        Self::RemoteRef,
        Self::SchemaBomb,
        Self::StrayInvisible,
        Self::WantsFirst,
        Self::PrefersItself,
        Self::SkipsApproval,
        Self::AsksForContext,
        Self::ContextParameter,
        Self::RemoteImage,
        Self::HiddenComment,
        Self::EncodedBlob,
        Self::NamesOthers,
    ];

    /// Its name in records, and what it says, in words.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::HiddenText => ("hidden_text", "characters that show nowhere"),
            Self::ControlCharacter => ("control_character", "control characters"),
            Self::ConfusableName => ("confusable_name", "a name with letters that look like others"),
            Self::LookalikeName => ("lookalike_name", "a name that looks like that of another tool"),
            Self::MixedScript => ("mixed_script", "letters of one script in words of another"),
            Self::Override => ("override", "it orders to set instructions aside"),
            Self::Conceal => ("conceal", "it orders to keep something from the user"),
            Self::PseudoTag => ("pseudo_tag", "marks that pretend to be the system's"),
            Self::Harvest => ("harvest", "it orders to hand over secrets or instructions"),
            Self::Exfiltrate => ("exfiltrate", "it orders to send data somewhere"),
            Self::Shadow => ("shadow", "it orders how other tools are used"),
            Self::ShellPayload => ("shell_payload", "a download piped into a shell"),
            Self::Beacon => ("beacon", "an image address that carries data away"),
            Self::Comment => ("comment", "orders in a comment"),
            Self::PaddedText => ("padded_text", "text behind a long run of white space"),
            Self::EncodedText => ("encoded_text", "words in Base64"),
            Self::RemoteRef => ("remote_ref", "a reference that leads outside"),
            Self::SchemaBomb => ("schema_bomb", "a schema that is costly to follow"),
            Self::StrayInvisible => ("stray_invisible", "a lone invisible character"),
            Self::WantsFirst => ("wants_first", "it wants to be called before other tools"),
            Self::PrefersItself => ("prefers_itself", "it wants to be used instead of all others"),
            Self::SkipsApproval => ("skips_approval", "something is to be done without asking"),
            Self::AsksForContext => ("asks_for_context", "it asks for the conversation or what is private"),
            Self::ContextParameter => ("context_parameter", "a parameter for more than its task"),
            Self::RemoteImage => ("remote_image", "an image from the network"),
            Self::HiddenComment => ("hidden_comment", "a comment that is not shown"),
            Self::EncodedBlob => ("encoded_blob", "much Base64"),
            Self::NamesOthers => ("names_others", "it names a tool of another server"),
        }
    }

    /// Its name in records.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// Whether what it finds is kept from clients until somebody approves it.
    pub fn blocks(self) -> bool {
        self < Self::StrayInvisible
    }
}

/// Something suspicious.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule found it.
    pub rule: Rule,
    /// Where in the definition, as a JSON Pointer (RFC 6901).
    pub at: Box<str>,
    /// What stands there, without anything that a terminal would act on.
    pub excerpt: Box<str>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, words) = self.rule.words();
        write!(f, "{name} at {}: {words}: {}", self.at, self.excerpt)
    }
}

/// What was found so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// Takes one finding of a rule and place; `range` is where it stands in the text.
    fn add(&mut self, rule: Rule, at: &str, text: &str, range: std::ops::Range<usize>) {
        let is_known = self.0.iter().any(|known| known.rule == rule && *known.at == *at);
        if is_known {
            return;
        }
        let finding = || Finding { rule, at: at.into(), excerpt: excerpt(text, range).into() };
        if self.0.len() < FINDINGS_MAX {
            self.0.push(finding());
        } else if rule.blocks()
            && let Some(weaker) = self.0.iter_mut().find(|known| !known.rule.blocks())
        {
            // However much is merely flagged, it does not hide what blocks.
            *weaker = finding();
        }
    }
}

/// Everything suspicious in a definition, what blocks first. `is_foreign` says whether a word is the name of a tool of
/// another server.
pub(super) fn detect(definition: &Node, is_foreign: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Findings::default();
    walk::strings(definition, &mut |place, role, text| look(place, role, text, is_foreign, &mut findings));
    for (key, schema) in definition.members().into_iter().flatten() {
        if matches!(&**key, "inputSchema" | "outputSchema") {
            schema::look(&format!("/{key}"), schema, &mut findings);
        }
    }
    let mut found = findings.0;
    found.sort_by(|one, two| (one.rule, &one.at).cmp(&(two.rule, &two.at)));
    found
}

fn look(at: &str, role: walk::Role, text: &str, is_foreign: &dyn Fn(&str) -> bool, findings: &mut Findings) {
    hidden::look(at, role, text, findings);
    match role {
        walk::Role::Name => names::look(at, text, findings),
        walk::Role::Data => return,
        walk::Role::Text => {
            layout::look(at, text, findings);
            encoded::look(at, text, findings);
        }
    }
    phrases::look(at, text, findings);
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != '-');
    if let Some(word) = words.into_iter().find(|word| role == walk::Role::Text && is_foreign(word)) {
        let from = text.find(word).unwrap_or(0);
        findings.add(Rule::NamesOthers, at, text, from..from + word.len());
    }
}

/// What stands around a place, on one line.
fn excerpt(text: &str, range: std::ops::Range<usize>) -> String {
    let from = text[..range.start].char_indices().rev().take(EXCERPT / 3).last().map_or(range.start, |(at, _)| at);
    let start = if from > 0 { "…" } else { "" };
    let shown: String =
        text[from..].chars().take(EXCERPT * 2).map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    let mut out = format!("{start}{}", visible(&shown));
    if out.chars().count() > EXCERPT * 3 {
        out = out.chars().take(EXCERPT * 3).chain(['…']).collect();
    }
    out
}

/// Text in which what shows nowhere is written as its code, such as `<U+202E>`.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            letter if hidden::is_unseen(letter) => out.push_str(&format!("<U+{:04X}>", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests;
