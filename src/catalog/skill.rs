//! One skill of one server (extension `io.modelcontextprotocol/skills`): its entry as it came, and the URIs that come
//! with it. Digests are over the bytes of files, so nothing of an entry is touched but a URI that another server has.

use super::canonical::Node;
use super::shape;
use super::uris::Owners;
use crate::base::ids::{ResourceId, ServerId};
use crate::base::limits::{SKILL_URIS_MAX, URI_MAX};
use crate::wire::rpc::{self, Edit};
use bytes::Bytes;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A skill. Never changes; lives as long as its catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skill {
    /// The server that listed it.
    pub server: ServerId,
    /// The upstream's own URI of its `SKILL.md`, by which it is known.
    pub uri: Box<str>,
    /// The entry as it came, and as it is listed at the door that serves all servers.
    pub(super) own: Bytes,
    pub(super) listed: Bytes,
}

/// What a URI that some server has stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// A listed resource.
    Resource(ResourceId),
    /// A file or folder of a skill, by its place in the catalogue: not listed by itself, and still that server's.
    File(u32),
}

/// A file or folder of a skill.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) server: ServerId,
    pub(super) uri: Box<str>,
}

impl Skill {
    /// Reads an entry, and the URIs of its files and folders; the error says what is wrong with it.
    pub(super) fn parse(server: ServerId, definition: &Bytes) -> Result<(Self, BTreeSet<Box<str>>), String> {
        let (node, definition) = shape::read(definition)?;
        let uri = shape::uri(&node, "uri", URI_MAX)?;
        let uris = uris(&node, uri).map_err(|text| format!("{uri:?}: {text}"))?;
        Ok((Self { server, uri: uri.into(), listed: definition.clone(), own: definition }, uris))
    }

    /// Enters the URIs that come with it, and gives it the form in which it is listed at the door of all servers.
    pub(super) fn settle(
        &mut self,
        name: &str,
        owners: &mut Owners<Holding>,
        (uris, files): (BTreeSet<Box<str>>, &mut Vec<File>),
    ) {
        for uri in uris {
            let place = crate::invariant!(u32::try_from(files.len()), "servers times URIs per server fit 32 bits");
            // One that the server lists as a resource too is its own already.
            if owners.add(&uri, (self.server, name), Holding::File(place)).is_some() {
                files.push(File { server: self.server, uri });
            }
        }
        let known = |uri: &str| owners.listed_as(uri, self.server, name).into_string();
        if let Some(listed) = renamed(&self.own, &|uri| known(uri).into()) {
            self.listed = listed.into();
        }
    }
}

/// The files that an entry names, and the folders from the skill's own down to them. An entry whose files are not known
/// before they are asked for says a word in the place of their list.
fn uris(node: &Node, uri: &str) -> Result<BTreeSet<Box<str>>, String> {
    if !shape::has_scheme(uri) {
        return Err("it is no absolute URI".to_owned());
    }
    let mut all = BTreeSet::from([Box::from(uri)]);
    let root = uri.rfind('/').map_or(uri, |end| &uri[..end]);
    all.insert(root.into());
    match node.member("resources") {
        None => {}
        Some(word) if word.text().is_some() => {}
        Some(Node::Array(items)) => {
            for item in items {
                let file = shape::uri(item, "uri", URI_MAX)?;
                all.insert(file.into());
                all.extend(folders(root, file).map(Box::from));
                if all.len() > SKILL_URIS_MAX {
                    return Err(format!("it has more than {SKILL_URIS_MAX} files and folders"));
                }
            }
        }
        Some(_) => return Err("its resources are no array".to_owned()),
    }
    Ok(all)
}

/// The folders between a skill's own and a file in it.
fn folders<'a>(root: &str, file: &'a str) -> impl Iterator<Item = &'a str> {
    let start =
        if file.strip_prefix(root).is_some_and(|rest| rest.starts_with('/')) { root.len() + 1 } else { file.len() };
    file.match_indices('/').map(|(at, _)| at).filter(move |at| *at > start).map(|at| &file[..at])
}

/// A raw entry, or a raw result that holds `resources`, with the URIs that clients know; nothing where they are the
/// same. Everything else stays byte for byte.
pub fn renamed(raw: &[u8], known: &dyn Fn(&str) -> Cow<'static, str>) -> Option<Vec<u8>> {
    let own = |raw: &[u8]| {
        let uri = rpc::field(raw, "uri").and_then(rpc::string)?;
        let told = known(&uri);
        (*told != *uri).then(|| rpc::quoted(&told))
    };
    let uri = own(raw);
    let resources = rpc::field(raw, "resources").filter(|raw| rpc::is_array(raw)).and_then(|resources| {
        let mut changed = false;
        let mut array = vec![b'['];
        for item in rpc::array_items(resources) {
            if array.len() > 1 {
                array.push(b',');
            }
            match own(item) {
                Some(uri) => {
                    changed = true;
                    rpc::edit(&mut array, item, &[Edit::Set("uri", &uri)]);
                }
                None => array.extend_from_slice(item),
            }
        }
        array.push(b']');
        changed.then_some(array)
    });
    let mut edits: SmallVec<[Edit<'_>; 2]> = SmallVec::new();
    edits.extend(uri.as_deref().map(|uri| Edit::Set("uri", uri)));
    edits.extend(resources.as_deref().map(|array| Edit::Set("resources", array)));
    if edits.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(raw.len() + 64);
    rpc::edit(&mut out, raw, &edits);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"{"uri":"skill://s/SKILL.md","frontmatter":{"name":"s", "x":1.0},"resources":[
        {"uri":"skill://s/SKILL.md","digest":"sha256:\u0061b","size":1e1},{"uri":"skill://s/a/b/T.md"}]}"#;

    fn parse(entry: &str) -> Result<(Skill, BTreeSet<Box<str>>), String> {
        Skill::parse(ServerId(0), &Bytes::copy_from_slice(entry.as_bytes()))
    }

    #[test]
    fn an_entry_brings_its_files_and_folders() {
        let (skill, uris) = parse(ENTRY).unwrap();
        assert_eq!((&*skill.uri, &skill.own[..]), ("skill://s/SKILL.md", ENTRY.as_bytes()));
        let all: Vec<&str> = uris.iter().map(|uri| &**uri).collect();
        let expected = ["skill://s", "skill://s/SKILL.md", "skill://s/a", "skill://s/a/b", "skill://s/a/b/T.md"];
        assert_eq!(all, expected);
        let (_, dynamic) = parse(r#"{"uri":"skill://s/SKILL.md","resources":"dynamic"}"#).unwrap();
        assert_eq!(dynamic.len(), 2);
        let (_, elsewhere) = parse(r#"{"uri":"skill://s/SKILL.md","resources":[{"uri":"file:///a/b/c"}]}"#).unwrap();
        assert!(!elsewhere.contains("file:///a"), "no folder of the skill");
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        let many: Vec<String> = (0..SKILL_URIS_MAX).map(|n| format!(r#"{{"uri":"skill://s/{n}"}}"#)).collect();
        let many = format!(r#"{{"uri":"skill://s/SKILL.md","resources":[{}]}}"#, many.join(","));
        for bad in [
            "{}",
            "[]",
            r#"{"uri":7}"#,
            r#"{"uri":"SKILL.md"}"#,
            r#"{"uri":"a:b","resources":{}}"#,
            r#"{"uri":"a:b","resources":[{}]}"#,
            r#"{"uri":"a:b","resources":[{"uri":"a:\n"}]}"#,
            r#"{"uri":"a:b","uri":"a:c"}"#,
            &many,
        ] {
            assert!(parse(bad).is_err(), "{bad:.60}");
        }
    }

    #[test]
    fn only_the_uris_of_others_are_renamed() {
        assert_eq!(renamed(ENTRY.as_bytes(), &|uri| uri.to_owned().into()), None);
        let marked = |uri: &str| if uri.ends_with("T.md") { format!("{uri}#x").into() } else { uri.to_owned().into() };
        let told = String::from_utf8(renamed(ENTRY.as_bytes(), &marked).unwrap()).unwrap();
        assert!(told.contains(r#""skill://s/a/b/T.md#x""#), "{told}");
        for kept in [
            r#"{"uri":"skill://s/SKILL.md","frontmatter":{"name":"s", "x":1.0}"#,
            r#""digest":"sha256:\u0061b","size":1e1"#,
        ] {
            assert!(told.contains(kept), "{told}");
        }
    }

    #[test]
    fn any_bytes_are_an_entry_or_an_error() {
        bolero::check!().for_each(|bytes| {
            let _ = Skill::parse(ServerId(0), &Bytes::copy_from_slice(bytes));
            let _ = renamed(bytes, &|uri| format!("{uri}#m").into());
        });
    }
}
