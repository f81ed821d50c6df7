//! Rules of approvals: patterns that read, an address that may be shown.

use super::keys::{Home, patterns};
use crate::base::limits::{APPROVAL_PAGE_URL_MAX, APPROVAL_RULES_MAX};
use crate::catalog::Sort;
use crate::config::document::Step;
use crate::config::file::{Config, Need};
use crate::config::notes::Notes;
use crate::policy::{ApprovalRule, ApprovalRules};
use std::net::IpAddr;

/// What a configuration file says about approvals.
pub(crate) fn compile(written: &Config, notes: &mut Notes<'_>) -> ApprovalRules {
    let approval = &written.approval;
    if approval.rules.len() > APPROVAL_RULES_MAX {
        let what = format!("more than {APPROVAL_RULES_MAX} rules of approvals");
        notes.error(&["approval".into(), "rules".into()], what, "join some of them");
    }
    let rules = approval.rules.iter().enumerate().map(|(at, rule)| {
        let parent = [Step::Key("approval"), Step::Key("rules"), Step::Index(at)];
        if rule.tools.is_empty() {
            notes.error(&parent, "the rule covers no tool", "give it `tools`, such as `[\"github/delete_*\"]`");
        }
        let tools = patterns(&rule.tools, (Sort::Tools, "tools", &parent), written, Home::Config, notes).into();
        ApprovalRule { tools, required: rule.approval == Need::Required, expires_s: rule.expires_s.map(seconds) }
    });
    let rules = rules.collect();
    ApprovalRules { rules, destructive: approval.destructive == Need::Required, expires_s: seconds(approval.expires_s) }
}

/// The range of the field keeps it small.
fn seconds(written: u64) -> u32 {
    u32::try_from(written).unwrap_or(u32::MAX)
}

/// The page where approvals are decided.
pub(super) fn page(written: &Config, notes: &mut Notes<'_>) -> Option<Box<str>> {
    let url = written.approval.page_url.as_deref()?;
    if !is_page(url) {
        let help = "write `https://…/{id}`, or `http://` on a loopback address";
        notes.error(&["approval".into(), "page_url".into()], "this is not the address of a page", help);
        return None;
    }
    Some(url.into())
}

fn is_page(url: &str) -> bool {
    let sane = url.len() <= APPROVAL_PAGE_URL_MAX && url.bytes().all(|b| b.is_ascii_graphic());
    let host = |rest: &str| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let name = match authority.strip_prefix('[') {
            Some(literal) => literal.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        (!authority.contains(['@', '{']) && !name.is_empty()).then(|| name.to_owned())
    };
    let is_loopback = |name: &str| name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let fits = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => host(rest).is_some(),
        (None, Some(rest)) => host(rest).is_some_and(|name| is_loopback(&name)),
        (None, None) => false,
    };
    sane && fits && url.contains("{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Compiled, Lookup, Purpose};
    use std::path::Path;

    fn compiled(text: &str) -> Result<Compiled, String> {
        let dir = tempfile::tempdir().expect("dir");
        let text = format!("state.directory = \"s\"\n[servers.a]\nurl = \"http://127.0.0.1\"\n{text}");
        let lookup = Lookup::fixed(&[], None, dir.path());
        Compiled::from_text(Path::new("t"), &text, &lookup, Purpose::Check).map_err(|report| report.lines().join("\n"))
    }

    #[test]
    fn rules_are_read_in_their_order() {
        let rules = compiled("").expect("good").approvals;
        assert!(rules.destructive && rules.rules.is_empty() && rules.expires_s == 600);
        let text = "[approval]\ndestructive = \"free\"\nexpires_s = 60\npage_url = \"https://h/{id}\"\n\
                    [[approval.rules]]\ntools = [\"a/get_*\"]\napproval = \"free\"\n\
                    [[approval.rules]]\ntools = [\"a/*\"]\nexpires_s = 3600\n";
        let good = compiled(text).expect("good");
        assert_eq!(good.settings.approval_page.as_deref(), Some("https://h/{id}"));
        let rules = &good.approvals;
        assert!(!rules.destructive && rules.expires_s == 60);
        let read: Vec<_> = rules.rules.iter().map(|rule| (rule.required, rule.expires_s)).collect();
        assert_eq!(read, [(false, None), (true, Some(3_600))]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let text = "[approval]\ndestructive = \"maybe\"\n\
                    [[approval.rules]]\ntools = [\"b/*\"]\nexpires_s = 0\n[[approval.rules]]\n";
        let told = compiled(text).expect_err("wrong");
        for words in [
            "unknown value `maybe`",
            "no server is called `b`",
            "the number is out of its range",
            "the rule covers no tool",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }

    #[test]
    fn a_page_is_one_that_may_be_shown() {
        for good in ["https://gate.example/a/{id}", "http://localhost:8081/{id}", "http://[::1]:9/?id={id}"] {
            assert!(is_page(good), "{good}");
        }
        for bad in [
            "",
            "https://gate.example/",
            "http://gate.example/{id}",
            "https://{id}/",
            "https://user@gate.example/{id}",
            "javascript:alert({id})",
            "https:///{id}",
            "https://gate.example/{id} x",
        ] {
            assert!(!is_page(bad), "{bad}");
        }
    }
}
