//! Skills (extension `io.modelcontextprotocol/skills`, SEP-2640): what a client asks about one. Their list is a list as
//! others are.

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

#[cfg(test)]
mod tests {
    use super::*;

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
