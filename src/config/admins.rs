//! Who may use the admin API over TCP: tokens with a role, as written and checked.

use crate::base::limits::{ADMIN_TOKENS_MAX, LEVEL_NAME_MAX};
use crate::config::document::Step;
use crate::config::file::Config;
use crate::config::notes::Notes;
use crate::policy::Mac;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody may do through the admin API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Runs the gate: reloads, revokes, switches off and on.
    Operator,
    /// Reads, and changes nothing.
    #[default]
    Auditor,
    /// Decides what is held for approval.
    Approver,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Operator, Self::Auditor, Self::Approver];

    /// The role's name in the configuration and in records.
    pub fn name(self) -> &'static str {
        ["admin", "operator", "auditor", "approver"][self as usize]
    }
}

/// A token for the admin API over TCP. The token itself is not kept, only a keyed hash of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminToken {
    /// What people call it, in records too: 1 to 64 characters.
    pub name: String,
    /// What it may do: `admin`, `operator`, `auditor` or `approver`.
    pub role: Role,
    /// Keyed SHA-256 of the token, 64 hex digits, as `tollgate admin token new` prints it.
    pub mac: String,
}

/// A checked token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminHolder {
    /// What people call it.
    pub name: Box<str>,
    /// What it may do.
    pub role: Role,
    /// The keyed digest of the token.
    pub mac: Mac,
}

/// The tokens of a configuration file.
pub(super) fn compile(written: &Config, notes: &mut Notes<'_>) -> Vec<AdminHolder> {
    let mut out: Vec<AdminHolder> = Vec::new();
    if written.admin_tokens.len() > ADMIN_TOKENS_MAX {
        let what = format!("more than {ADMIN_TOKENS_MAX} tokens");
        notes.error(&["admin_tokens".into()], what, "remove those that nobody uses");
    }
    for (at, token) in written.admin_tokens.iter().enumerate().take(ADMIN_TOKENS_MAX) {
        let field = |name| [Step::Key("admin_tokens"), Step::Index(at), Step::Key(name)];
        let is_name = (1..=LEVEL_NAME_MAX).contains(&token.name.chars().count());
        if !is_name || token.name.chars().any(char::is_control) {
            let help = format!("write 1 to {LEVEL_NAME_MAX} characters on one line");
            notes.error(&field("name"), "this is not a name", help);
        } else if out.iter().any(|other| *other.name == token.name) {
            notes.error(&field("name"), "another token has this name", "give each its own: records name them");
        }
        match Mac::from_hex(&token.mac) {
            Some(mac) => out.push(AdminHolder { name: token.name.as_str().into(), role: token.role, mac }),
            None => notes.error(&field("mac"), "this is not a token's keyed hash", "see `tollgate admin token new`"),
        }
    }
    out
}
