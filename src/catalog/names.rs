//! The names tools are shown under. A name depends on its own server and tool alone, so that it never changes because
//! another server came or went.
//!
//! A name that fits is shown as it is (`server__tool`). Anything else is made to fit and ends in `_` and twelve hex
//! digits of a hash of the original pair; a name that by chance already ends so is treated as one that does not fit.
//! Hence a plain name never equals a hashed one. Two plain names are equal only if their pairs are: the first `__`
//! of a plain name always ends the server, because such a server holds no `__` and does not end in `_`.

use crate::base::limits::TOOL_NAME_MAX;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Between server and tool.
const SEPARATOR: &str = "__";
/// Hex digits of the hash in a name that was cut or changed: 48 bits.
const HASH_DIGITS: usize = 12;
/// The hash with the `_` before it.
const SUFFIX_LEN: usize = HASH_DIGITS + 1;

/// The name of a tool at the door that serves all servers: at most 64 characters of `[A-Za-z0-9_-]`.
pub fn expose(server: &str, tool: &str) -> Box<str> {
    let plain = format!("{server}{SEPARATOR}{tool}");
    let fits = is_plain_server(server) && !tool.is_empty() && is_plain(&plain, is_exposable);
    if fits { plain.into() } else { hashed(&plain, is_exposable, server, tool) }
}

/// The name of a tool at its own server's door: the upstream's, unless it is longer than 64 characters or holds
/// anything but `[A-Za-z0-9_.-]`, the letters that MCP gives tool names (2026-07-28, server/tools).
pub fn unprefixed(tool: &str) -> Box<str> {
    if is_plain(tool, is_mcp_letter) { tool.into() } else { hashed(tool, is_mcp_letter, "", tool) }
}

fn is_exposable(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
}

fn is_mcp_letter(letter: char) -> bool {
    is_exposable(letter) || letter == '.'
}

fn is_plain_server(server: &str) -> bool {
    !server.is_empty() && !server.contains(SEPARATOR) && !server.ends_with('_')
}

fn is_plain(name: &str, allowed: fn(char) -> bool) -> bool {
    (1..=TOOL_NAME_MAX).contains(&name.len()) && name.chars().all(allowed) && !ends_like_hashed(name)
}

fn ends_like_hashed(name: &str) -> bool {
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let Some(start) = name.len().checked_sub(SUFFIX_LEN) else { return false };
    let suffix = &name.as_bytes()[start..];
    suffix[0] == b'_' && suffix[1..].iter().all(is_hex)
}

/// `wanted` made to fit: letters outside the alphabet become `_`, the end is cut, the hash of the pair is appended.
fn hashed(wanted: &str, allowed: fn(char) -> bool, server: &str, tool: &str) -> Box<str> {
    let clean = wanted.chars().map(|letter| if allowed(letter) { letter } else { '_' });
    let mut name: String = clean.take(TOOL_NAME_MAX - SUFFIX_LEN).collect();
    name.push('_');
    for byte in &pair_hash(server, tool)[..HASH_DIGITS / 2] {
        let _ = write!(name, "{byte:02x}");
    }
    name.into()
}

/// A hash of the pair in which no two pairs run together: the server's length stands first.
fn pair_hash(server: &str, tool: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((server.len() as u64).to_be_bytes());
    hash.update(server.as_bytes());
    hash.update(tool.as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_fits_is_shown_as_it_is() {
        assert_eq!(&*expose("github", "create_issue"), "github__create_issue");
        assert_eq!(&*expose("a-b_c", "_x"), "a-b_c___x");
        assert_eq!(&*unprefixed("notes.read"), "notes.read");
    }

    #[test]
    fn other_names_are_pinned_for_ever() {
        let long = "x".repeat(200);
        assert_eq!(&*expose("s", "notes.read"), "s__notes_read_d763ddb3d333");
        assert_eq!(expose("s", &long).len(), 64);
        assert!(expose("s", &long).starts_with("s__xxxx"));
        assert_ne!(expose("s", &long), expose("s", &"x".repeat(201)));
        assert_ne!(unprefixed("a b"), unprefixed("a_b"));
    }

    #[test]
    fn pairs_that_would_run_together_get_distinct_names() {
        let pairs = [("a", "b__c"), ("a__b", "c"), ("a_", "b"), ("a", "_b"), ("a", "b.c"), ("a", "b_c"), ("a", "b/c")];
        let names: std::collections::BTreeSet<_> = pairs.iter().map(|(s, t)| expose(s, t)).collect();
        assert_eq!(names.len(), pairs.len(), "{names:?}");
    }

    #[test]
    fn a_tool_that_bears_anothers_hashed_name_does_not_take_it() {
        let victim = expose("s", "notes.read");
        let posing = victim.strip_prefix("s__").unwrap();
        assert_ne!(expose("s", posing), victim);
        let victim = unprefixed("notes read");
        assert_ne!(unprefixed(&victim), victim);
    }

    fn part() -> impl Strategy<Value = String> {
        prop_oneof!["[ab_.]{1,4}", "[a-z_-]{1,40}", "\\PC{1,80}", "[a-f0-9_]{10,20}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_name_fits_and_distinct_pairs_get_distinct_names(
            one in (part(), part()), two in (part(), part()),
        ) {
            let (first, second) = (expose(&one.0, &one.1), expose(&two.0, &two.1));
            for name in [&first, &second] {
                prop_assert!((1..=TOOL_NAME_MAX).contains(&name.len()));
                prop_assert!(name.chars().all(is_exposable), "{}", name);
            }
            prop_assert_eq!(first == second, one == two, "{:?} {:?} {}", one, two, first);
        }

        #[test]
        fn every_unprefixed_name_fits_and_differs(one in part(), two in part()) {
            let (first, second) = (unprefixed(&one), unprefixed(&two));
            prop_assert!((1..=TOOL_NAME_MAX).contains(&first.len()) && first.chars().all(is_mcp_letter));
            prop_assert_eq!(first == second, one == two);
        }
    }

    #[test]
    fn any_pair_has_a_name_that_fits() {
        bolero::check!().with_type::<(String, String)>().for_each(|(server, tool)| {
            let name = expose(server, tool);
            assert!((1..=TOOL_NAME_MAX).contains(&name.len()) && name.chars().all(is_exposable));
            assert_eq!(name, expose(server, tool));
        });
    }
}
