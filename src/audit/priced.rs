//! What entries say beside the rest where a tool has a price: what its call may cost, and what it cost.

use super::entry::{self, Ended, Entry, Intent, Outcome};
use super::journal::Journal;
use crate::base::error::Result;
use crate::base::ids::Seq;
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

/// The intent of a call that has a price.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, serde::Serialize)]
pub struct Reserved<'a> {
    /// The call.
    #[serde(flatten)]
    pub call: Intent<'a>,
    /// The most it may cost, in micro-dollars: charged to each of the budgets until it is known better.
    pub reserved: u64,
    /// The budgets it is charged to, each with its period, with blanks between: `team:research/day@1764374400000`.
    #[rkyv(with = InlineAsBox)]
    pub budgets: &'a str,
}

/// The outcome of a call that has a price.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, serde::Serialize)]
pub struct Settled<'a> {
    /// How it ended.
    #[serde(flatten)]
    pub ended: Ended<'a>,
    /// What it cost, in micro-dollars; the rest of what was reserved is given back.
    pub cost: u64,
    /// What the cost rests on.
    #[serde(serialize_with = "basis_name")]
    pub basis: u8,
}

/// What costs rest on, by number: the price as it was set, the most the call could cost as its result did not tell,
/// nothing as it was never sent.
pub const BASES: [&str; 3] = ["priced", "unread", "unsent"];

/// The name of what a cost rests on.
pub(crate) fn basis(number: u8) -> &'static str {
    BASES.get(usize::from(number)).copied().unwrap_or("unknown")
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's serialize_with passes a reference")]
fn basis_name<S: serde::Serializer>(number: &u8, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(basis(*number))
}

impl Journal {
    /// Records the intent of a call that has a price.
    ///
    /// # Errors
    /// As [`Journal::intent`].
    pub fn reserved(&self, reserved: &Reserved<'_>) -> Result<Seq> {
        self.begin(&Entry::Reserved(reserved.clone()))
    }

    /// Records the outcome of a call that has a price: with what it cost, and the number of what that rests on in
    /// [`BASES`].
    ///
    /// # Errors
    /// As [`Journal::outcome`]: the call stays charged with what was reserved.
    pub fn settled(&self, intent: Seq, outcome: &Outcome<'_>, cost: (u64, u8)) -> Result<()> {
        self.end(&entry::ending(intent, outcome, Some(cost)))
    }
}
