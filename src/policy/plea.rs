//! What shards ask of whoever keeps the approvals, and what they are told. Both sides only send: neither waits in here.

use crate::base::clock::WallTime;
use crate::base::error::Error;
use crate::base::ids::{ApprovalId, Place, ShardId};
use crate::store::approvals::{Refusal, State, Suggestion};
use std::time::Duration;

/// What a shard asks or tells.
#[derive(Debug)]
pub struct Plea {
    /// The shard.
    pub from: ShardId,
    /// Its own number for the answer.
    pub number: u64,
    /// What it is about.
    pub wish: Wish,
}

/// What a shard wishes.
#[derive(Debug)]
pub enum Wish {
    /// A call needs an approval: how does it stand, and if there is none, ask for one.
    Hold(Box<Hold>),
    /// The call is about to be made: use its approval up.
    Claim {
        /// Which approval.
        approval: ApprovalId,
        /// What it must be bound to.
        binding: [u8; 32],
        /// How often the same call was made with it before.
        round: u32,
    },
    /// The call that asked for an approval has its entry. No answer is awaited.
    Held(ApprovalId, Place),
    /// It could not be recorded: nothing was asked for. No answer is awaited.
    Unheld(ApprovalId),
    /// A decision has its entry. No answer is awaited.
    Recorded(ApprovalId, Place),
}

/// A call that needs an approval.
#[derive(Clone, Debug)]
pub struct Hold {
    /// What it asks for.
    pub of: Suggestion,
    /// How long the approval is to be good for.
    pub expires: Duration,
    /// The approval that the call says it waits for.
    pub brought: Option<ApprovalId>,
    /// How long a decision may be waited for, where the approval is not a new one.
    pub wait: Duration,
}

/// How an approval stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The store knows the entry that it is held by.
    Held,
    /// Nobody has decided.
    Pending(Pending),
    /// The call may be made once it has used this up.
    Approved(ApprovalId),
    /// It was used up for this call; the place is that of the decision.
    Claimed(Place),
    /// The call is not made.
    Refused(ApprovalId, Refusal),
    /// It cannot be told.
    Failed(Error),
}

/// An approval that nobody has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Which.
    pub approval: ApprovalId,
    /// When it ends.
    pub expires: WallTime,
    /// Whether the store knows of no entry yet that it is held by.
    pub is_unheld: bool,
    /// An approval with which the same call was made before.
    pub used_before: Option<ApprovalId>,
}

/// A decision that the journal is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which approval.
    pub approval: ApprovalId,
    /// The entry of the call that asked for it.
    pub held: Place,
    /// What became of it.
    pub state: State,
    /// Who decided; empty where nobody did.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
}
