//! Layering: a module imports only lower ranks, and folders of one rank never import each other.

use crate::source::{Finding, Source, Token};

/// The rank table of `docs/architecture.md`.
const RANKS: &[(&str, u8)] = &[
    ("base", 0),
    ("rt", 1),
    ("wire", 2),
    ("catalog", 3),
    ("audit", 3),
    ("telemetry", 3),
    ("store", 3),
    ("policy", 4),
    ("mcp", 4),
    ("llm", 4),
    ("upstream", 5),
    ("codemode", 5),
    ("config", 6),
    ("shard", 7),
    ("control", 7),
    ("cli", 8),
];
/// Names at the crate's root that are no module: macros of `base`.
const ROOT_NAMES: &[&str] = &["invariant"];
/// Only `rt/` names these crates.
const RUNTIME_CRATES: &[&str] = &["monoio", "io_uring", "libc", "memmap2"];
/// Lowest rank that may name tokio.
const TOKIO_RANK: u8 = 7;

fn rank(module: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

/// Every path of a file that starts at the crate's root, checked against the rank table.
pub(crate) fn check(source: &Source, findings: &mut Vec<Finding>) {
    let here = source.module();
    if matches!(here, "lib" | "main") {
        return;
    }
    let Some(own) = rank(here) else {
        findings.push(Finding::new(&source.path, 1, format!("`{here}` has no rank; add it to the rank table")));
        return;
    };
    for (line, target) in rooted_names(source) {
        if target == here || ROOT_NAMES.contains(&target.as_str()) {
            continue;
        }
        match rank(&target) {
            None => source.find(findings, line, format!("`crate::{target}` has no rank; import from its own module")),
            Some(other) if other > own => source.find(
                findings,
                line,
                format!("`{here}` (rank {own}) imports `{target}` (rank {other}); a module imports only lower ranks"),
            ),
            Some(other) if other == own => source.find(
                findings,
                line,
                format!("`{here}` imports `{target}` of its own rank {own}; move what they share to a lower one"),
            ),
            Some(_) => {}
        }
    }
}

/// The first name after `crate::` (also `tollgate::` and enough `super::`) of every path, with its line.
fn rooted_names(source: &Source) -> Vec<(usize, String)> {
    let tokens = &source.tokens;
    let mut names = Vec::new();
    let mut depth = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        track_inline_modules(tokens, at, &mut depth);
        let starts_path = at < 2 || tokens[at - 1].text != ":";
        match tokens[at].text.as_str() {
            "crate" | "tollgate" if starts_path && is_separator(tokens, at + 1) => {
                collect_first_names(tokens, at + 3, &mut names);
            }
            "super" if starts_path => {
                let mut supers = 1;
                let mut next = at + 1;
                while is_separator(tokens, next) && tokens.get(next + 2).is_some_and(|token| token.text == "super") {
                    supers += 1;
                    next += 3;
                }
                let modules = module_depth(&source.path) + depth.iter().filter(|inline| **inline).count();
                if supers >= modules && is_separator(tokens, next) {
                    collect_first_names(tokens, next + 2, &mut names);
                }
                at = next.max(at + 1);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    names
}

/// Keeps a stack of open braces, each marked when it is an inline module's.
fn track_inline_modules(tokens: &[Token], at: usize, depth: &mut Vec<bool>) {
    match tokens[at].text.as_str() {
        "{" => depth.push(at >= 2 && tokens[at - 2].text == "mod"),
        "}" => {
            depth.pop();
        }
        _ => {}
    }
}

fn is_separator(tokens: &[Token], at: usize) -> bool {
    matches!((tokens.get(at), tokens.get(at + 1)), (Some(a), Some(b)) if a.text == ":" && b.text == ":")
}

/// `crate::name…` gives one name; `crate::{a::…, b}` gives the first of each element.
fn collect_first_names(tokens: &[Token], at: usize, names: &mut Vec<(usize, String)>) {
    let Some(first) = tokens.get(at) else { return };
    if first.text != "{" {
        names.push((first.line, first.text.clone()));
        return;
    }
    let mut depth = 0;
    let mut expects_name = true;
    for token in &tokens[at..] {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => expects_name = true,
            name if depth == 1 && expects_name => {
                names.push((token.line, name.to_owned()));
                expects_name = false;
            }
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

/// How many `super` lead from a file's own module to the crate's root.
fn module_depth(path: &str) -> usize {
    let below = path.trim_start_matches("src/").trim_end_matches(".rs");
    below.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main")).count()
}

/// The runtime's crates are named in `rt/` only, tokio from rank 7 on only, and monoio's buffered readers nowhere.
pub(crate) fn check_runtime(source: &Source, findings: &mut Vec<Finding>) {
    let here = source.module();
    let is_tokio_allowed = rank(here).is_none_or(|own| own >= TOKIO_RANK);
    for (at, token) in source.tokens.iter().enumerate() {
        let name = token.text.as_str();
        let is_path = is_separator(&source.tokens, at + 1) || at >= 1 && source.tokens[at - 1].text == "use";
        if here != "rt" && is_path && RUNTIME_CRATES.contains(&name) {
            source.find(findings, token.line, format!("`{name}` is named outside rt/; add what you need to rt/"));
        }
        if name == "tokio" && is_path && !is_tokio_allowed {
            source.find(findings, token.line, "tokio below rank 7: shards run on rt/ alone");
        }
        if here == "rt" && matches!(name, "BufReader" | "BufWriter") {
            source.find(findings, token.line, format!("`{name}`: monoio 0.2.4's overflows the heap; keep out of rt/"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::parse;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(&parse(path, text.to_owned()), &mut findings);
        check_runtime(&parse(path, text.to_owned()), &mut findings);
        findings.into_iter().map(|finding| format!("{}: {}", finding.line, finding.what)).collect()
    }

    #[test]
    fn a_lower_rank_is_allowed() {
        assert_eq!(findings("src/wire/sse.rs", "use crate::base::limits;\nuse crate::{rt::net, base};"), [""; 0]);
        assert_eq!(findings("src/wire/sse.rs", "use super::http::x; use std::io;"), [""; 0]);
    }

    #[test]
    fn a_higher_or_equal_rank_is_found_in_every_form() {
        let texts = [
            "use crate::mcp::model;",
            "use crate::{base, mcp::model};",
            "fn f() { let _ = vec![crate::policy::key::X]; }",
            "use super::super::mcp::model;",
            "use super::super::{base::ids, mcp};",
            "mod inner { use super::super::super::mcp::x; }",
            "use crate::audit::entry;",
        ];
        for text in texts {
            let path = if text.contains("audit") { "src/catalog/tool.rs" } else { "src/wire/sse.rs" };
            assert_eq!(findings(path, text).len(), 1, "{text}: {:?}", findings(path, text));
        }
    }

    #[test]
    fn tests_may_import_anything() {
        assert_eq!(findings("src/wire/sse.rs", "#[cfg(test)]\nmod tests { use crate::shard::x; }"), [""; 0]);
    }

    #[test]
    fn runtime_names_stay_in_rt() {
        assert_eq!(findings("src/wire/sse.rs", "use monoio::io::X;").len(), 1);
        assert_eq!(findings("src/rt/net.rs", "use monoio::io::AsyncReadRent;"), [""; 0]);
        assert_eq!(findings("src/rt/net.rs", "use monoio::io::BufReader;").len(), 1);
        assert_eq!(findings("src/config/x.rs", "fn f() { tokio::spawn(g()); }").len(), 1);
        assert_eq!(findings("src/control/x.rs", "fn f() { tokio::spawn(g()); }"), [""; 0]);
    }
}
