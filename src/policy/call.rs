//! The pure part of a call: from the name a client sent to the tool it may use, the same for every door.

use super::approval::Approvals;
use super::decide::{Question, Verdict, decide};
use crate::base::error::{Error, Kind};
use crate::base::ids::ToolId;
use crate::catalog::{Catalog, Door, Grant, Narrowing};

/// Characters of a client's tool name that are repeated in an answer.
const ECHO_MAX: usize = 128;

/// What a client asked to call.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The tool's name as the client sent it.
    pub name: &'a str,
    /// The door it came by.
    pub door: Door,
    /// What the principal may see.
    pub grant: &'a Grant,
    /// What the request asked to be narrowed to, if it did.
    pub narrowing: Option<&'a Narrowing>,
    /// Which tools need an approval.
    pub approvals: &'a Approvals,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The tool the name stands for, also where it is denied. For records alone.
    pub tool: Option<ToolId>,
    /// The decision.
    pub verdict: Verdict,
}

impl Asked<'_> {
    /// Resolves the name and decides.
    pub fn admit(&self, catalog: &Catalog) -> Admission {
        let tool = catalog.resolve(self.door, self.name, self.grant);
        let &Self { grant, narrowing, door, approvals, .. } = self;
        let verdict = decide(&Question { catalog, grant, narrowing, door, tool, approvals });
        Admission { tool, verdict }
    }
}

/// The one answer to a call of a tool that does not exist, is hidden or is denied: nobody can tell which.
pub fn unknown_tool(name: &str) -> Error {
    let cut: String = name.chars().take(ECHO_MAX).flat_map(char::escape_debug).collect();
    Error::new(Kind::InvalidParams, format!("unknown tool: {cut}: list the tools to see what this key may call"))
}

#[cfg(test)]
mod tests {
    use super::super::{ApprovalRule, ApprovalRules, Reason};
    use super::*;
    use crate::base::ids::ServerId;
    use crate::catalog::{Pattern, plain};

    fn verdict(name: &str, door: Door, header: Option<&str>) -> Verdict {
        let catalog = plain(&[("a", &["read", "write"]), ("b", &["read"])]);
        let grant = Grant::compile(&[Pattern::parse("a/*").unwrap()], &catalog);
        let narrowing = Narrowing::parse(header).unwrap();
        let rule = ApprovalRule { tools: [Pattern::parse("*/write").unwrap()].into(), required: true, expires_s: None };
        let rules = ApprovalRules { rules: [rule].into(), ..ApprovalRules::default() };
        let approvals = Approvals::compile(&rules, &catalog);
        Asked { name, door, grant: &grant, narrowing: narrowing.as_ref(), approvals: &approvals }
            .admit(&catalog)
            .verdict
    }

    #[test]
    fn only_what_is_granted_and_asked_for_is_allowed() {
        let door = Door::Server(ServerId(1));
        let deny = Verdict::Deny;
        let cases = [
            ("a__read", Door::All, None, Verdict::Allow(ToolId(0))),
            ("read", Door::All, None, Verdict::Allow(ToolId(0))),
            ("b__read", Door::All, None, deny(Reason::NotGranted)),
            ("read", door, None, deny(Reason::NotGranted)),
            ("absent", Door::All, None, deny(Reason::UnknownTool)),
            ("a__read", Door::All, Some("a/write"), deny(Reason::Narrowed)),
            ("a__write", Door::All, Some("a/write"), Verdict::Hold(ToolId(1))),
            ("a__write", Door::All, Some("a/read"), deny(Reason::Narrowed)),
            ("b__read", Door::All, Some("b/*"), deny(Reason::NotGranted)),
            ("a__read", Door::All, Some(""), deny(Reason::Narrowed)),
        ];
        for (name, door, header, expected) in cases {
            assert_eq!(verdict(name, door, header), expected, "{name} {header:?}");
        }
    }

    #[test]
    fn the_answer_repeats_a_name_harmlessly() {
        let error = unknown_tool("x\n\u{1b}[31m");
        assert_eq!(error.context, "unknown tool: x\\n\\u{1b}[31m: list the tools to see what this key may call");
        assert_eq!(error.kind.rpc_code(), -32602);
        assert!(unknown_tool(&"\u{202e}".repeat(100_000)).context.len() < 2048);
    }
}
