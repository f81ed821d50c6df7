//! The file in which earlier versions kept the keys made by the command line, read in parts: the tree of a whole one
//! takes many times the room of its text.

use crate::config::document::{Document, Fault};
use crate::config::file::Key;
use memchr::memmem;
use serde::{Deserialize, Serialize};

/// How each key begins, with the end of the line before.
const HEADER: &[u8] = b"\n[[keys]]";
/// Least bytes of a part that is read at a time.
const PART: usize = 256 * 1024;

/// What the keys file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct KeysFile {
    /// The keys, oldest first.
    pub(super) keys: Vec<Key>,
}

impl KeysFile {
    /// Reads the file, and all that is wrong with it.
    pub(super) fn read(document: &Document) -> (Self, Vec<Fault>) {
        match Self::in_parts(&document.text) {
            Some(read) => (read, Vec::new()),
            // What does not read part by part is read whole, which also says what is wrong and where.
            None => document.read(),
        }
    }

    /// Reads the keys some at a time; nothing where a part is not right by itself. A header within a text of several
    /// lines is no header, but a part that ended there would leave that text open.
    fn in_parts(text: &str) -> Option<Self> {
        let mut all = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let from = PART.min(rest.len());
            let next = memmem::find(&rest.as_bytes()[from..], HEADER);
            let (part, after) = rest.split_at(next.map_or(rest.len(), |at| from + at + 1));
            all.keys.append(&mut toml::from_str::<Self>(part).ok()?.keys);
            rest = after;
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys for more than one part.
    const MANY: usize = PART / 50;

    fn file(count: usize, name: &str) -> String {
        let key = |at| format!("[[keys]]\nid = \"k{at}\"\nname = {name}\nmac = \"{}\"\n", "a0".repeat(32));
        std::iter::once("# head\n\n".to_owned()).chain((0..count).map(key)).collect()
    }

    #[test]
    fn parts_read_as_the_whole_does() {
        for name in ["\"n\"", "\"\"\"a\n[[keys]]\nb\"\"\"", "'''\n[[keys]]\n'''", "\"n\" # [[keys]]"] {
            for count in [0, 1, MANY] {
                let document = Document::parse("t", file(count, name));
                let (whole, faults) = document.read::<KeysFile>();
                assert_eq!(faults, []);
                assert_eq!(KeysFile::read(&document), (whole, faults), "{count} {name}");
            }
        }
        assert_eq!(KeysFile::in_parts(&file(MANY, "\"n\"")).map(|read| read.keys.len()), Some(MANY));
    }

    #[test]
    fn a_fault_in_any_part_is_found_at_its_place() {
        let text = format!("{}[[keys]]\nid = 7\n{}", file(MANY, "\"n\""), file(2, "\"n\""));
        let (read, faults) = KeysFile::read(&Document::parse("t", text.as_str()));
        assert_eq!((read.keys.len(), faults.len()), (MANY + 3, 1));
        assert_eq!(&text[faults[0].span.clone()], "7");
    }
}
