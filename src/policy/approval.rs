//! Which tools are called only with somebody's approval, and what an approval is bound to.

use crate::base::ids::{KeyId, ToolId};
use crate::catalog::{Catalog, Door, Grant, Pattern};
use crate::invariant;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// What the configuration says about approvals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovalRules {
    /// The rules in their order: the first one that covers a tool counts.
    pub rules: Box<[ApprovalRule]>,
    /// Whether a tool that no rule covers needs an approval where its server calls it destructive.
    pub destructive: bool,
    /// How long an approval is good for where no rule says otherwise, in seconds.
    pub expires_s: u32,
}

/// A rule for some tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRule {
    /// Which tools.
    pub tools: Box<[Pattern]>,
    /// Whether they need an approval.
    pub required: bool,
    /// How long an approval of theirs is good for, in seconds.
    pub expires_s: Option<u32>,
}

/// Why a tool needs an approval, and how long one is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The place of the rule that says so; nothing where its server calls it destructive.
    pub rule: Option<u16>,
    /// How long an approval is good for, in seconds.
    pub expires_s: u32,
}

impl Need {
    /// How long an approval is good for.
    pub fn expires(&self) -> Duration {
        Duration::from_secs(self.expires_s.into())
    }
}

/// The tools of one catalogue that need an approval.
#[derive(Clone, Debug, Default)]
pub struct Approvals {
    /// By [`ToolId`]; empty where no tool needs one.
    needs: Box<[Option<Need>]>,
    version: [u8; 32],
}

impl Approvals {
    /// Holds the rules against a catalogue.
    pub fn compile(rules: &ApprovalRules, catalog: &Catalog) -> Self {
        let tools = catalog.tools();
        let mut needs = vec![None; tools.len()];
        if rules.destructive {
            let marked = needs.iter_mut().zip(tools).filter(|(_, tool)| tool.is_destructive());
            marked.for_each(|(need, _)| *need = Some(Need { rule: None, expires_s: rules.expires_s }));
        }
        // The last rule first, so that an earlier one has the last word.
        for (at, rule) in rules.rules.iter().enumerate().rev() {
            let expires_s = rule.expires_s.unwrap_or(rules.expires_s);
            let at = u16::try_from(at).ok();
            let need = rule.required.then_some(Need { rule: at, expires_s });
            for tool in Grant::compile(&rule.tools, catalog).tools(catalog, Door::All) {
                needs[invariant!(usize::try_from(tool.0), "a tool's number is its place")] = need;
            }
        }
        if needs.iter().all(Option::is_none) {
            needs.clear();
        }
        Self { needs: needs.into(), version: rules.version() }
    }

    /// What a tool needs, where it needs an approval.
    pub fn need(&self, tool: ToolId) -> Option<Need> {
        *self.needs.get(tool.0 as usize)?
    }

    /// The version of the rules: the same as long as they say the same, whatever else of the configuration changes.
    pub fn version(&self) -> &[u8; 32] {
        &self.version
    }
}

impl ApprovalRules {
    fn version(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update([u8::from(self.destructive)]);
        hash.update(self.expires_s.to_le_bytes());
        for rule in &self.rules {
            hash.update([u8::from(rule.required), u8::from(rule.expires_s.is_some())]);
            hash.update(rule.expires_s.unwrap_or_default().to_le_bytes());
            hash.update((rule.tools.len() as u64).to_le_bytes());
            rule.tools.iter().for_each(|pattern| part(&mut hash, pattern.to_string().as_bytes()));
        }
        hash.finalize().into()
    }
}

/// What one approval is good for. Another key, tool, definition, argument or version of the rules: another approval.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// Who calls.
    pub key: KeyId,
    /// The server's name.
    pub server: &'a str,
    /// The name by which the server knows the tool.
    pub tool: &'a str,
    /// The digest of the tool's definition.
    pub definition: &'a [u8; 32],
    /// The digest of the arguments ([`super::exact_digest`]); of none where there are none.
    pub arguments: &'a [u8; 32],
    /// [`Approvals::version`].
    pub version: &'a [u8; 32],
}

impl Binding<'_> {
    /// One digest of all of it, by which an approval is found.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for text in [self.key.as_str(), self.server, self.tool] {
            part(&mut hash, text.as_bytes());
        }
        for digest in [self.definition, self.arguments, self.version] {
            hash.update(digest);
        }
        hash.finalize().into()
    }
}

fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::plain;

    fn rule(pattern: &str, required: bool, expires_s: Option<u32>) -> ApprovalRule {
        ApprovalRule { tools: [Pattern::parse(pattern).unwrap()].into(), required, expires_s }
    }

    fn rules(rules: &[ApprovalRule]) -> ApprovalRules {
        ApprovalRules { rules: rules.into(), destructive: true, expires_s: 600 }
    }

    #[test]
    fn the_first_rule_that_covers_a_tool_counts() {
        let catalog = plain(&[("a", &["read", "write", "wipe"]), ("b", &["read"])]);
        let written = rules(&[rule("a/read", false, None), rule("a/w*", true, Some(60)), rule("a/*", true, None)]);
        let approvals = Approvals::compile(&written, &catalog);
        let found: Vec<_> =
            (0..4).map(|at| approvals.need(ToolId(at)).map(|need| (need.rule, need.expires_s))).collect();
        assert_eq!(found, [None, Some((Some(1), 60)), Some((Some(1), 60)), None]);
        let none = Approvals::compile(&rules(&[rule("a/*", false, None)]), &catalog);
        assert!(none.needs.is_empty() && none.need(ToolId(0)).is_none());
        assert_eq!(approvals.need(ToolId(99)), None);
    }

    #[test]
    fn the_version_changes_with_every_rule_and_with_nothing_else() {
        let catalog = plain(&[("a", &["read"])]);
        let all = [
            rules(&[]),
            ApprovalRules { destructive: false, ..rules(&[]) },
            ApprovalRules { expires_s: 601, ..rules(&[]) },
            rules(&[rule("a/*", true, None)]),
            rules(&[rule("a/*", false, None)]),
            rules(&[rule("a/*", true, Some(0))]),
            rules(&[rule("a/r*", true, None)]),
        ];
        let versions: Vec<_> = all.iter().map(|rules| *Approvals::compile(rules, &catalog).version()).collect();
        for (at, version) in versions.iter().enumerate() {
            assert!(!versions[..at].contains(version), "{at}");
        }
        assert_eq!(versions[3], *Approvals::compile(&all[3], &plain(&[])).version());
    }

    #[test]
    fn an_approval_is_bound_to_every_part() {
        let (one, two) = ([1; 32], [2; 32]);
        let bound = Binding {
            key: KeyId::parse("k1").unwrap(),
            server: "a",
            tool: "bc",
            definition: &one,
            arguments: &one,
            version: &one,
        };
        let others = [
            Binding { key: KeyId::parse("k2").unwrap(), ..bound },
            Binding { server: "ab", tool: "c", ..bound },
            Binding { definition: &two, ..bound },
            Binding { arguments: &two, ..bound },
            Binding { version: &two, ..bound },
        ];
        assert!(others.iter().all(|other| other.digest() != bound.digest()));
        assert_eq!(bound.digest(), bound.digest());
    }
}
