//! What entries say of what people do: calls held for them, what they decided, what they changed.

use super::entry::Intent;
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

/// A call was held; nothing went upstream.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, serde::Serialize)]
pub struct Held<'a> {
    /// The call.
    #[serde(flatten)]
    pub call: Intent<'a>,
    /// The approval that it waits for.
    #[rkyv(with = InlineAsBox)]
    pub approval: &'a str,
    /// When that ends, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// What became of an approval that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, serde::Serialize)]
pub struct Decided<'a> {
    /// The approval.
    #[rkyv(with = InlineAsBox)]
    pub approval: &'a str,
    /// Sequence of the entry of the call that it was first asked for.
    pub held: u64,
    /// Shard of `held`.
    pub held_shard: u16,
    /// `approved`, `denied` or `expired`.
    #[rkyv(with = InlineAsBox)]
    pub decision: &'a str,
    /// Who decided; empty where nobody did.
    #[rkyv(with = InlineAsBox)]
    pub by: &'a str,
    /// Why, in the words of whoever decided.
    #[rkyv(with = InlineAsBox)]
    pub reason: &'a str,
}

/// Somebody changed something through the admin API, or tried to.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, serde::Serialize)]
pub struct Admin<'a> {
    /// Who: `user:0` for a user of this machine, `token:name` for an admin token.
    #[rkyv(with = InlineAsBox)]
    pub who: &'a str,
    /// The role it has.
    #[rkyv(with = InlineAsBox)]
    pub role: &'a str,
    /// What was asked for: method and route.
    #[rkyv(with = InlineAsBox)]
    pub action: &'a str,
    /// Of what: the path as it was sent.
    #[rkyv(with = InlineAsBox)]
    pub object: &'a str,
    /// The HTTP status answered.
    pub status: u16,
}

/// An [`Admin`] entry that owns what it says, for the way to the shard that writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// As [`Admin::who`].
    pub who: Box<str>,
    /// As [`Admin::role`].
    pub role: &'static str,
    /// As [`Admin::action`].
    pub action: Box<str>,
    /// As [`Admin::object`].
    pub object: Box<str>,
    /// As [`Admin::status`].
    pub status: u16,
}

impl Act {
    /// The entry it is.
    pub fn entry(&self) -> Admin<'_> {
        let Self { who, role, action, object, status } = self;
        Admin { who, role, action, object, status: *status }
    }
}
