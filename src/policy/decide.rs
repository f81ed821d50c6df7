//! The one decision, asked by every door: may this principal call this tool now. The order of the checks is fixed.

use super::approval::Approvals;
use crate::base::ids::ToolId;
use crate::catalog::{Catalog, Door, Grant, Narrowing};

/// Everything the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The catalogue the grant was compiled for.
    pub catalog: &'a Catalog,
    /// What the principal may see.
    pub grant: &'a Grant,
    /// What the request asked to be narrowed to, if it did.
    pub narrowing: Option<&'a Narrowing>,
    /// The door the call came by.
    pub door: Door,
    /// The tool the name stands for; nothing if it stands for none.
    pub tool: Option<ToolId>,
    /// Which tools need an approval.
    pub approvals: &'a Approvals,
}

/// The outcome of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The tool may be called.
    Allow(ToolId),
    /// It may, with an approval of this very call.
    Hold(ToolId),
    /// It may not.
    Deny(Reason),
}

/// Why not. For records alone: the client is told the same for every one ([`super::unknown_tool`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No tool has this name.
    UnknownTool,
    /// The key does not allow the tool.
    NotGranted,
    /// The request itself asked not to see the tool.
    Narrowed,
    /// The tool's definition waits for approval.
    Held,
    /// The tool's definition is suspicious.
    Quarantined,
}

impl Reason {
    /// The reason's name in records, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownTool => "unknown_tool",
            Self::NotGranted => "not_granted",
            Self::Narrowed => "narrowed",
            Self::Held => "held",
            Self::Quarantined => "quarantined",
        }
    }
}

/// Decides. First the grant, in which nothing is that is withheld, then the request's own narrowing, then whether it
/// needs an approval.
pub fn decide(question: &Question<'_>) -> Verdict {
    let Some(tool) = question.tool else { return Verdict::Deny(Reason::UnknownTool) };
    if !question.grant.allows(tool) {
        let withheld = question.grant.withholds(tool).then(|| question.catalog.withheld(tool)).flatten();
        return Verdict::Deny(match withheld {
            Some(withheld) if withheld.is_quarantined => Reason::Quarantined,
            Some(_) => Reason::Held,
            None => Reason::NotGranted,
        });
    }
    let asked_for = |narrowing: &Narrowing| narrowing.covers(question.catalog, question.door, (tool, question.grant));
    if !question.narrowing.is_none_or(asked_for) {
        return Verdict::Deny(Reason::Narrowed);
    }
    match question.approvals.need(tool) {
        None => Verdict::Allow(tool),
        Some(_) => Verdict::Hold(tool),
    }
}
