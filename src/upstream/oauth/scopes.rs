//! Sets of scopes, and which of them are asked for.

use crate::base::limits::OAUTH_SCOPES_MAX;
use serde::{Deserialize, Serialize};

/// The scope that asks for a refresh token.
const OFFLINE: &str = "offline_access";

/// Scopes in the order they came, each once. At most [`OAUTH_SCOPES_MAX`]; what is no scope is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes(Vec<String>);

impl Scopes {
    /// Reads a list separated by spaces (RFC 6749 3.3).
    pub fn parse(text: &str) -> Self {
        text.split(' ').collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of `others` are among them.
    pub fn contain(&self, others: &Self) -> bool {
        others.0.iter().all(|scope| self.0.contains(scope))
    }

    /// These and the others.
    #[must_use]
    pub fn union(&self, others: &Self) -> Self {
        self.0.iter().chain(&others.0).map(String::as_str).collect()
    }

    /// As they are sent; nothing where there are none.
    pub fn text(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(" "))
    }

    /// What to ask for: what the challenge names, else what the server says it knows (basic/authorization, scope
    /// selection), beside what is configured and what was asked for before. `offline_access` only where the
    /// authorization server lists it and somebody is there to give it.
    #[must_use]
    pub fn choose(configured: &Self, before: &Self, challenged: &Self, known: &Self, offline: Option<&Self>) -> Self {
        let named = if challenged.is_empty() && configured.is_empty() { known } else { challenged };
        let chosen = configured.union(before).union(named);
        let lists_offline = offline.is_some_and(|listed| listed.0.iter().any(|scope| scope == OFFLINE));
        if lists_offline { chosen.union(&Self::parse(OFFLINE)) } else { chosen }
    }
}

impl<'a> FromIterator<&'a str> for Scopes {
    fn from_iter<I: IntoIterator<Item = &'a str>>(scopes: I) -> Self {
        let mut kept: Vec<String> = Vec::new();
        for scope in scopes.into_iter().filter(|scope| is_scope(scope)) {
            if kept.len() < OAUTH_SCOPES_MAX && !kept.iter().any(|known| known == scope) {
                kept.push(scope.to_owned());
            }
        }
        Self(kept)
    }
}

/// The grammar of RFC 6749 3.3.
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Scopes {
        Scopes::parse(text)
    }

    #[test]
    fn lists_keep_their_order_and_hold_each_once() {
        assert_eq!(of("b  a b").text().as_deref(), Some("b a"));
        assert_eq!(of(" \"x\" \n").text(), None);
        assert!(of("a b").contain(&of("b")) && !of("a").contain(&of("a b")));
        let many: Vec<String> = (0..OAUTH_SCOPES_MAX + 9).map(|n| format!("s{n}")).collect();
        assert_eq!(many.iter().map(String::as_str).collect::<Scopes>().0.len(), OAUTH_SCOPES_MAX);
    }

    #[test]
    fn a_challenge_outranks_what_is_known_and_joins_what_was_asked_for() {
        let none = Scopes::default();
        let choose = |configured: &str, before: &str, challenged: &str, known: &str| {
            Scopes::choose(&of(configured), &of(before), &of(challenged), &of(known), None).text().unwrap_or_default()
        };
        assert_eq!(choose("", "", "read", "all"), "read");
        assert_eq!(choose("", "", "", "read write"), "read write");
        assert_eq!(choose("", "read", "write", "all"), "read write");
        assert_eq!(choose("own", "", "", "all"), "own");
        assert_eq!(choose("own", "", "read", "all"), "own read");
        assert_eq!(choose("", "", "", ""), "");
        let with = |listed| Scopes::choose(&none, &none, &of("read"), &none, Some(&of(listed))).text();
        assert_eq!(with("x offline_access").as_deref(), Some("read offline_access"));
        assert_eq!(with("x").as_deref(), Some("read"));
    }
}
