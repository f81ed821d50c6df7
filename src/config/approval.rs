//! Which calls somebody must approve, exactly as written.

use crate::base::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which tool calls are held until somebody approves them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Approval {
    /// Tools that no rule covers and whose server marks them with `destructiveHint: true`. A tool without the hint is
    /// not one of them, although MCP would have it so.
    pub destructive: Need,
    /// How long an approval is good for, in seconds: from the call it is asked for until it is used.
    #[schemars(range(min = 1, max = 604_800))]
    pub expires_s: u64,
    /// Page where approvals are decided; `{id}` in it stands for the approval's. A client that can show one is sent
    /// there. `https://`, or `http://` on a loopback address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_url: Option<String>,
    /// Rules for tools, in their order: the first one that covers a tool counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<ApprovalRule>,
}

impl Default for Approval {
    fn default() -> Self {
        Self { destructive: Need::Required, expires_s: limits::APPROVAL_TTL_S, page_url: None, rules: Vec::new() }
    }
}

/// Whether somebody must approve a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Each call is held until it is approved.
    #[default]
    Required,
    /// Calls pass.
    Free,
}

/// A rule for some tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApprovalRule {
    /// Patterns of tools: `server/tool`, `server/delete_*`, `*/*`.
    pub tools: Vec<String>,
    /// Whether their calls must be approved.
    pub approval: Need,
    /// How long an approval of theirs is good for, in seconds; `approval.expires_s` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub expires_s: Option<u64>,
}
