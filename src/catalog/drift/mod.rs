//! Definitions against their pins: what changed, whether that is harmless, and what is kept from clients until somebody
//! approves it. Pure: lists and pins in, judgements out.

mod classify;
mod judge;
mod pins;
mod typo;

pub use classify::{Change, ChangeKind, Difference};
pub use judge::{Input, Judged, Judgement, Memory, judge};
pub use pins::{Origin, Pin, Pins};

use super::detect::Finding;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is done about definitions that change or are suspicious.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Nothing.
    Off,
    /// They are told of, and served.
    Flag,
    /// They are kept from clients.
    #[default]
    Hold,
}

/// What is done about a tool that was never seen before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FirstSight {
    /// It is pinned as it is, unless it is suspicious.
    #[default]
    Pin,
    /// It is held until it is approved.
    Hold,
}

/// How definitions of one server are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What is done.
    pub mode: Mode,
    /// What is done about new tools.
    pub first_sight: FirstSight,
    /// Kinds of change that need no approval, by [`ChangeKind`].
    pub harmless: [bool; ChangeKind::ALL.len()],
}

impl Policy {
    /// Whether a kind of change needs no approval.
    pub fn takes(&self, kind: ChangeKind) -> bool {
        self.harmless[kind as usize]
    }
}

/// Where a tool stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Its definition is the pinned one.
    Pinned,
    /// It was never seen before, and is to be pinned.
    New,
    /// It changed in a way that needs no approval.
    Harmless,
    /// It waits for approval.
    Held,
    /// It is suspicious, and waits for approval.
    Quarantined,
}

impl Standing {
    /// Its name in records and answers.
    pub fn name(self) -> &'static str {
        ["pinned", "new", "harmless", "held", "quarantined"][self as usize]
    }

    /// Whether clients neither see the tool nor may call it.
    pub fn is_withheld(self) -> bool {
        self >= Self::Held
    }
}

impl PartialOrd for Standing {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some((*self as u8).cmp(&(*other as u8)))
    }
}

/// Why a tool is in no list: nothing about it is asked of its server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Withheld {
    /// Whether it is suspicious, and not only changed.
    pub is_quarantined: bool,
    /// Why, in words.
    pub why: Box<str>,
}

/// Why a tool waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing is wrong.
    Nothing,
    /// Its definition changed.
    Changed,
    /// It is new, and new tools are held.
    FirstSight,
    /// What is known of it cannot be read.
    BadPin(Box<str>),
    /// Somebody refused it.
    Refused,
    /// It is suspicious.
    Suspicious,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Nothing if self.standing == Standing::Harmless => write!(f, "changed: {}", self.change),
            Cause::Nothing => f.write_str("as pinned"),
            Cause::Changed => write!(f, "its definition changed: {}", self.change),
            Cause::FirstSight => f.write_str("it is new, and new tools wait for approval"),
            Cause::BadPin(why) => write!(f, "its pin cannot be read: {why}"),
            Cause::Refused => f.write_str("this definition was rejected"),
            Cause::Suspicious => {
                let blocking: Vec<String> =
                    self.findings.iter().filter(|finding| finding.rule.blocks()).map(Finding::to_string).collect();
                f.write_str(&blocking.join("; "))
            }
        }
    }
}
