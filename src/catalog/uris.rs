//! Which server a URI belongs to where several have the same, and the URIs by which the others' are told apart.
//!
//! The first server in configuration order keeps a URI as it is. A later one's is listed with a mark behind it that
//! names the server: `file:///x#tollgate=docs`, or `&tollgate=docs` behind a fragment that is there already. The scheme
//! stays, as clients go by it. A URI that bears such a mark of its own is always marked once more: so each listed URI
//! stands for one server and one URI of it, and taking off one mark gives the server's own. The same holds of
//! templates, in which the mark is plain text.

use super::catalog::Door;
use crate::base::ids::ServerId;
use crate::base::limits::SERVER_NAME_MAX;
use foldhash::{HashMap, HashMapExt};

/// What a mark starts with, behind `#` or `&`.
const MARK: &str = "tollgate=";

/// The URI under which a server's own is listed where an earlier server has the same.
pub fn rewrite(uri: &str, server: &str) -> String {
    let joint = joint(uri);
    format!("{uri}{joint}{MARK}{server}")
}

/// The server's own URI and the name of the server, where a URI bears a mark. The inverse of [`rewrite`].
pub fn original(uri: &str) -> Option<(&str, &str)> {
    let at = uri.rfind(MARK)?;
    let server = &uri[at + MARK.len()..];
    let (own, found) = uri.split_at(at.checked_sub(1).filter(|joint| uri.is_char_boundary(*joint))?);
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_server = (1..=SERVER_NAME_MAX).contains(&server.len()) && server.bytes().all(is_name);
    (is_server && found.starts_with(joint(own))).then_some((own, server))
}

fn joint(uri: &str) -> char {
    if uri.contains('#') { '&' } else { '#' }
}

/// The owners of the URIs, or templates, of one catalogue.
#[derive(Debug)]
pub(super) struct Owners<I> {
    listed: HashMap<Box<str>, I>,
    /// Every entry that bears an upstream URI, in order, with its server.
    bearers: HashMap<Box<str>, Vec<(ServerId, I)>>,
}

impl<I> Default for Owners<I> {
    fn default() -> Self {
        Self { listed: HashMap::new(), bearers: HashMap::new() }
    }
}

impl<I: Copy> Owners<I> {
    /// Enters a URI of a server; the URI to list it under. Nothing where the server has listed it before.
    pub(super) fn add(&mut self, uri: &str, (server, name): (ServerId, &str), id: I) -> Option<Box<str>> {
        let listed = self.listed_as(uri, server, name);
        let bearers = self.bearers.entry(uri.into()).or_default();
        if bearers.iter().any(|(bearer, _)| *bearer == server) {
            return None;
        }
        bearers.push((server, id));
        self.listed.insert(listed.clone(), id);
        Some(listed)
    }

    /// The URI by which clients at the door of all servers know a server's own, listed or not.
    pub(super) fn listed_as(&self, uri: &str, server: ServerId, name: &str) -> Box<str> {
        let owner = self.bearers.get(uri).and_then(|bearers| bearers.first());
        let is_others = owner.is_some_and(|(owner, _)| *owner != server);
        if is_others || original(uri).is_some() { rewrite(uri, name).into() } else { uri.into() }
    }

    /// What is listed under this URI at a door; at the door of all servers also the first that bears it of those
    /// allowed, unless the URI is marked: else a server that lists another's mark would be asked in its place. Nothing
    /// that is not allowed is found.
    pub(super) fn find(&self, door: Door, uri: &str, allowed: impl Fn(I) -> bool) -> Option<I> {
        let listed = || self.listed.get(uri).copied().filter(|id| allowed(*id));
        let borne = |here: &dyn Fn(ServerId) -> bool| {
            let bearers = self.bearers.get(uri)?;
            bearers.iter().find(|(server, id)| here(*server) && allowed(*id)).map(|(_, id)| *id)
        };
        match door {
            Door::All => listed().or_else(|| borne(&|_| original(uri).is_none())),
            Door::Server(id) => borne(&|server| server == id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn marks_go_on_and_come_off() {
        assert_eq!(rewrite("ui://a", "web"), "ui://a#tollgate=web");
        assert_eq!(rewrite("ui://a#f", "web"), "ui://a#f&tollgate=web");
        assert_eq!(original("ui://a#tollgate=web"), Some(("ui://a", "web")));
        assert_eq!(original("ui://a#f&tollgate=web"), Some(("ui://a#f", "web")));
        let long = format!("a#tollgate={}", "x".repeat(33));
        for none in
            ["", "a", "tollgate=web", "a&tollgate=web", "a#b#tollgate=web", "a#tollgate=", "a#tollgate=W", &long]
        {
            assert_eq!(original(none), None, "{none}");
        }
    }

    fn add(owners: &mut Owners<u32>, uri: &str, server: u16, id: u32) -> Option<String> {
        owners.add(uri, (ServerId(server), ["a", "b"][usize::from(server)]), id).map(String::from)
    }

    #[test]
    fn the_first_keeps_a_uri_and_a_pretender_is_marked() {
        let mut owners = Owners::default();
        assert_eq!(add(&mut owners, "x:1#tollgate=b", 0, 0).as_deref(), Some("x:1#tollgate=b&tollgate=a"));
        assert_eq!(add(&mut owners, "x:1", 0, 1).as_deref(), Some("x:1"));
        assert_eq!(add(&mut owners, "x:1", 0, 2), None);
        assert_eq!(add(&mut owners, "x:1", 1, 3).as_deref(), Some("x:1#tollgate=b"));
        let all = |uri| owners.find(Door::All, uri, |_| true);
        assert_eq!((all("x:1"), all("x:1#tollgate=b")), (Some(1), Some(3)));
        assert_eq!(owners.find(Door::All, "x:1", |id| id != 1), Some(3), "the owner is hidden: the next that is not");
        assert_eq!(owners.find(Door::All, "x:1#tollgate=b", |id| id != 3), None, "not the pretender's");
        assert_eq!(all("x:1#tollgate=b&tollgate=a"), Some(0));
        assert_eq!(owners.find(Door::Server(ServerId(1)), "x:1", |_| true), Some(3));
        assert_eq!(owners.find(Door::Server(ServerId(1)), "x:1#tollgate=b", |_| true), None);
        assert_eq!(owners.find(Door::All, "x:1", |_| false), None);
        assert_eq!(&*owners.listed_as("x:2", ServerId(1), "b"), "x:2");
    }

    proptest! {
        #[test]
        fn rewriting_is_reversible(
            uri in "[a:/#&=]{0,6}|\\PC{0,20}|[a#&]{0,3}(tollgate=)?[a#&]{0,3}",
            server in "[a-z0-9-]{1,32}",
        ) {
            let marked = rewrite(&uri, &server);
            prop_assert_eq!(original(&marked), Some((uri.as_str(), server.as_str())));
            if let Some((own, name)) = original(&uri) {
                prop_assert_eq!(rewrite(own, name), uri);
            }
        }
    }
}
