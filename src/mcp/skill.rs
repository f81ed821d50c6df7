//! Skills (extension `io.modelcontextprotocol/skills`, SEP-2640): what a client asks about one. Their list is a list as
//! others are.

use super::seal::Sealing;
use super::state::{self, Asked, Held};
use crate::base::clock::WallTime;
use crate::base::ids::KeyId;
use crate::base::limits::{CURSOR_TTL_S, UPSTREAM_STATE_MAX};
use crate::catalog;
use crate::wire::rpc::{self, Edit};
use std::borrow::Cow;

/// What a client asks about a skill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkillMethod {
    /// `skills/get`: its entry.
    Get,
    /// `resources/directory/read`: what is in one of its folders.
    Directory,
}

impl SkillMethod {
    /// The method of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Get, Self::Directory].into_iter().find(|method| method.as_str() == name)
    }

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "skills/get",
            Self::Directory => "resources/directory/read",
        }
    }

    /// A server's raw result with the URIs that clients know; nothing where they are the same.
    pub fn renamed(self, result: &[u8], known: &dyn Fn(&str) -> Cow<'static, str>) -> Option<Vec<u8>> {
        match self {
            Self::Directory => catalog::renamed(result, known),
            Self::Get => {
                let skill = catalog::renamed(rpc::field(result, "skill")?, known)?;
                let mut out = Vec::with_capacity(result.len() + 64);
                rpc::edit(&mut out, result, &[Edit::Set("skill", &skill)]);
                Some(out)
            }
        }
    }
}

/// A folder as one key reads it. A server sees one principal for all keys, so its cursors are sealed to this.
#[derive(Clone, Copy, Debug)]
pub struct Folder<'a>(Asked<'a>);

impl<'a> Folder<'a> {
    /// The folder that a key knows by this URI, at this server.
    pub fn new(server: &'a str, key: KeyId, uri: &str) -> Self {
        Self(Asked { server, key, digest: state::digest(SkillMethod::Directory.as_str(), uri, None) })
    }

    /// A server's raw result with the cursor in it sealed, good for `CURSOR_TTL_S` seconds; nothing where it has none.
    /// One that is no text, or too long to be sealed, is taken out: the page is the last then.
    pub fn sealed(&self, sealing: &Sealing, result: &[u8], now: WallTime) -> Option<Vec<u8>> {
        let raw = rpc::field(result, "nextCursor")?;
        let until = WallTime(now.0.saturating_add(CURSOR_TTL_S * 1000));
        let own = rpc::string(raw).filter(|own| own.len() <= UPSTREAM_STATE_MAX);
        let sealed = own.map(|own| state::seal(sealing, &self.0, until, &Held::Inner((*own).into())));
        let sealed = sealed.map(|text| rpc::quoted(&text));
        let edit = sealed.as_deref().map_or(Edit::Remove("nextCursor"), |text| Edit::Set("nextCursor", text));
        let mut out = Vec::with_capacity(result.len() + 256);
        rpc::edit(&mut out, result, &[edit]);
        Some(out)
    }

    /// The server's own raw cursor behind a client's; nothing, whatever it is that is wrong with that: not ours,
    /// altered, another key's or folder's, too old.
    pub fn opened(&self, sealing: &Sealing, raw: &[u8], now: WallTime) -> Option<Box<[u8]>> {
        match state::open(sealing, &rpc::string(raw)?, &self.0, now).ok()? {
            Held::Inner(own) => Some(rpc::quoted(&own).into()),
            Held::Park { .. } | Held::Approval(_) | Held::Approved { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_key_and_folder_alone_and_for_a_while() {
        let (sealing, now) = (Sealing::new(&[1; 32]), WallTime(5));
        let folder = Folder::new("s", KeyId::ANONYMOUS, "a:b");
        let page = folder.sealed(&sealing, br#"{"resources":[],"nextCursor":"p\u0031","x":1.0}"#, now).unwrap();
        assert!(page.ends_with(br#","x":1.0}"#) && page.starts_with(br#"{"resources":[],"#));
        let cursor = rpc::field(&page, "nextCursor").unwrap();
        assert_eq!(folder.opened(&sealing, cursor, now).as_deref(), Some(&br#""p1""#[..]));
        let late = WallTime(now.0 + CURSOR_TTL_S * 1000);
        assert_eq!(folder.opened(&sealing, cursor, late), None, "too old");
        for other in [
            Folder::new("t", KeyId::ANONYMOUS, "a:b"),
            Folder::new("s", KeyId::parse("k2").unwrap(), "a:b"),
            Folder::new("s", KeyId::ANONYMOUS, "a:c"),
        ] {
            assert_eq!(other.opened(&sealing, cursor, now), None, "{other:?}");
        }
        for forged in [&b"\"p1\""[..], b"\"\"", b"7"] {
            assert_eq!(folder.opened(&sealing, forged, now), None);
        }
        assert_eq!(folder.sealed(&sealing, br#"{"resources":[]}"#, now), None);
        let long = format!(r#"{{"resources":[],"nextCursor":"{}"}}"#, "x".repeat(UPSTREAM_STATE_MAX + 1));
        for odd in [r#"{"resources":[],"nextCursor":null}"#, &long] {
            assert_eq!(folder.sealed(&sealing, odd.as_bytes(), now).unwrap(), br#"{"resources":[]}"#);
        }
    }

    #[test]
    fn methods_are_known_by_their_names() {
        for method in [SkillMethod::Get, SkillMethod::Directory] {
            assert_eq!(SkillMethod::parse(method.as_str()), Some(method));
        }
        assert_eq!(SkillMethod::parse("skills/list"), None, "that is a list");
    }

    #[test]
    fn results_are_renamed_where_their_uris_are() {
        let known = |uri: &str| Cow::Owned(format!("{uri}#m"));
        let got = SkillMethod::Get.renamed(br#"{"x":1.0,"skill":{"uri":"a:b"}}"#, &known).unwrap();
        assert_eq!(got, br#"{"x":1.0,"skill":{"uri":"a:b#m"}}"#);
        let read = SkillMethod::Directory.renamed(br#"{"resources":[{"uri":"a:b"}]}"#, &known).unwrap();
        assert_eq!(read, br#"{"resources":[{"uri":"a:b#m"}]}"#);
        assert_eq!(SkillMethod::Get.renamed(b"{}", &known), None);
    }
}
