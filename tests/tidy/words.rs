//! Words and calls the house does without: left-over marks, unwraps, unargued unsafe, vague names, names of places.

use crate::source::{Finding, Source, Token, root};
use std::path::Path;

/// Stems of file names that say nothing.
const VAGUE_FILES: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc"];
/// Parts of type names that say nothing.
const VAGUE_TYPES: &[&str] = &["Manager", "Helper", "Util"];
/// Macros that mark unfinished or debugging code.
const LEFT_OVER_MACROS: &[&str] = &["todo", "unimplemented", "dbg"];
/// Where unsafe code may stand.
const UNSAFE_PLACES: &[&str] = &["src/rt/", "src/base/buf.rs", "src/audit/segment.rs"];
/// Lines above an `unsafe` within which its argument must stand.
const SAFETY_LINES: usize = 8;
/// Text of a machine or a registry, in two halves so that this file does not hold them.
const PLACES: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/fa", "rm/"),
    ("/tmp", "/w/"),
    ("/tmp", "/t/"),
    ("registry.", "npmjs"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("static.", "crates.io"),
    ("index.", "crates.io"),
    ("deb.", "debian.org"),
];

/// The first line of a file says what it is for.
pub(crate) fn check_first_line(source: &Source, findings: &mut Vec<Finding>) {
    let first = source.text.lines().next().unwrap_or_default();
    if first.strip_prefix("//! ").is_none_or(|purpose| purpose.trim().len() < 8) {
        findings.push(Finding::new(&source.path, 1, "the first line must be `//!` and say what the file is for"));
    }
}

/// No file is named after nothing in particular.
pub(crate) fn check_file_names(tracked: &[String]) -> Vec<Finding> {
    let is_vague = |name: &&String| {
        let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        VAGUE_FILES.contains(&stem)
    };
    tracked.iter().filter(is_vague).map(|name| Finding::new(name, 1, "a file is named for what it does")).collect()
}

/// No type is named after nothing in particular.
pub(crate) fn check_type_names(source: &Source, findings: &mut Vec<Finding>) {
    for pair in source.tokens.windows(2) {
        if !matches!(pair[0].text.as_str(), "struct" | "enum" | "trait" | "type" | "union") {
            continue;
        }
        let name = pair[1].text.as_str();
        if name == "Context" || VAGUE_TYPES.iter().any(|part| name.contains(part)) {
            source.find(findings, pair[1].line, format!("`{name}`: a type is named for the thing it is"));
        }
    }
}

/// Nothing unfinished, nothing for debugging, nothing unwrapped but by `invariant!`.
pub(crate) fn check_banned_calls(source: &Source, findings: &mut Vec<Finding>) {
    let tokens = &source.tokens;
    for at in 0..tokens.len() {
        let text = |offset: usize| tokens.get(at + offset).map_or("", |token| token.text.as_str());
        let name = text(0);
        let line = tokens[at].line;
        if LEFT_OVER_MACROS.contains(&name) && text(1) == "!" {
            source.find(findings, line, format!("`{name}!` outside tests"));
        }
        let is_method = at > 0 && tokens[at - 1].text == "." && text(1) == "(";
        let unwraps = name == "unwrap" && text(2) == ")" || name == "expect" && text(2).starts_with('"');
        if is_method && unwraps {
            source.find(findings, line, format!("`{name}` outside tests: return the error, or use `invariant!`"));
        }
    }
}

/// `unsafe` stands only where it is allowed, and each one is argued.
pub(crate) fn check_unsafe(source: &Source, findings: &mut Vec<Finding>) {
    let lines: Vec<&str> = source.text.lines().collect();
    for (at, token) in source.tokens.iter().enumerate() {
        if token.text != "unsafe" || is_unsafe_attribute(&source.tokens, at) {
            continue;
        }
        if !UNSAFE_PLACES.iter().any(|place| source.path.starts_with(place)) {
            source.find(findings, token.line, format!("unsafe code stands only in {}", UNSAFE_PLACES.join(", ")));
        }
        let above = &lines[token.line.saturating_sub(SAFETY_LINES + 1)..token.line];
        let is_argued = above.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
        if !is_argued {
            source.find(findings, token.line, "an `unsafe` without `// SAFETY:` that says why it is sound");
        }
    }
}

/// `#[unsafe(no_mangle)]` and function pointer types are no unsafe code.
fn is_unsafe_attribute(tokens: &[Token], at: usize) -> bool {
    let next = tokens.get(at + 1).map_or("", |token| token.text.as_str());
    next == "(" || next == "extern" && at > 0 && matches!(tokens[at - 1].text.as_str(), ":" | "<" | "(" | "=")
}

/// No test is switched off. A body that another test starts as a process of its own says so: `started by NAME`.
pub(crate) fn check_ignored(source: &Source, findings: &mut Vec<Finding>) {
    let text = |at: usize| source.tokens.get(at).map_or("", |token| token.text.as_str());
    for (at, token) in source.tokens.iter().enumerate() {
        let is_attribute = token.text == "#" && text(at + 1) == "[" && text(at + 2) == "ignore";
        let starter = text(at + 4).strip_prefix("\"started by ").map(|name| name.trim_end_matches('"'));
        let is_started = starter.is_some_and(|name| source.text.contains(&format!("fn {name}(")));
        if is_attribute && !is_started {
            findings.push(Finding::new(&source.path, token.line, "a test that never runs tests nothing"));
        }
    }
}

/// No tracked file names a machine's folders or a registry's host. The lock file names its registry by design.
pub(crate) fn check_places(tracked: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in tracked.iter().filter(|name| *name != "Cargo.lock") {
        let bytes = std::fs::read(root().join(name)).unwrap_or_default();
        let Ok(text) = String::from_utf8(bytes) else { continue };
        for (at, line) in text.lines().enumerate() {
            if let Some(place) = named_place(line) {
                findings.push(Finding::new(name, at + 1, format!("names the place `{place}`")));
            }
        }
    }
    findings
}

/// The first place a line names, where a path must start there and not be the tail of another.
fn named_place(line: &str) -> Option<String> {
    PLACES.iter().map(|(head, tail)| format!("{head}{tail}")).find(|place| {
        line.match_indices(place.as_str()).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !place.starts_with('/') || !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::parse;

    fn count(check: fn(&Source, &mut Vec<Finding>), path: &str, text: &str) -> usize {
        let mut findings = Vec::new();
        check(&parse(path, text.to_owned()), &mut findings);
        findings.len()
    }

    #[test]
    fn calls_are_found_outside_tests_only() {
        assert_eq!(count(check_banned_calls, "src/a.rs", "fn f() { x.unwrap(); y.expect(\"z\"); todo!() }"), 3);
        assert_eq!(
            count(check_banned_calls, "src/a.rs", "fn f() { x.unwrap_or(1); p.expect(b'{'); \"x.unwrap()\"; }"),
            0
        );
        assert_eq!(count(check_banned_calls, "src/a.rs", "#[cfg(test)]\nmod tests { fn f() { x.unwrap() } }"), 0);
    }

    #[test]
    fn unsafe_needs_its_place_and_its_argument() {
        let bare = "fn f() { unsafe { g() } }";
        assert_eq!(count(check_unsafe, "src/wire/x.rs", bare), 2);
        assert_eq!(count(check_unsafe, "src/rt/x.rs", bare), 1);
        assert_eq!(count(check_unsafe, "src/rt/x.rs", "fn f() {\n// SAFETY: g has no condition.\nunsafe { g() } }"), 0);
    }

    #[test]
    fn places_are_found_but_not_tails_of_paths() {
        assert!(named_place(concat!("see /wo", "rk/main")).is_some());
        assert!(named_place(concat!("target/wo", "rk/main")).is_none());
        assert!(named_place(concat!("pip from pypi", ".org")).is_some());
    }

    #[test]
    fn vague_names_are_found() {
        assert_eq!(check_file_names(&["src/wire/util.rs".to_owned(), "src/wire/sse.rs".to_owned()]).len(), 1);
        assert_eq!(count(check_type_names, "src/a.rs", "struct ToolManager; struct Context; struct CallContext;"), 2);
        assert_eq!(count(check_first_line, "src/a.rs", "//! \nfn f() {}"), 1);
        assert_eq!(count(check_ignored, "src/a.rs", "#[test]\n#[ignore]\nfn f() {}"), 1);
        let started = "#[ignore = \"started by g\"]\nfn f() {}\nfn g() {}";
        assert_eq!(count(check_ignored, "src/a.rs", started), 0);
        assert_eq!(count(check_ignored, "src/a.rs", "#[ignore = \"started by h\"]\nfn f() {}"), 1);
    }
}
