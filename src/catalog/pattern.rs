//! Allow patterns: `server/tool`, `server/*`, `server/get_*`, `*/*`. They speak of the upstream's own names, or of the
//! upstream's own URIs: `server/file:///docs/*`.

use super::paths::{folded, has_dot_segment};
use super::{Catalog, Sort, Tool};
use crate::base::error::{Error, Kind, Result};
use crate::base::limits::{SERVER_NAME_MAX, UPSTREAM_TOOL_NAME_MAX, URI_MAX};
use std::fmt;

/// Characters of a wrong pattern that are repeated in an error.
const SHOWN_MAX: usize = 80;

/// One allow pattern. `*` stands for any run of characters, also none; nothing else is special.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// The server's name; nothing for `*`.
    server: Option<Box<str>>,
    /// A name, or a URI.
    name: Box<str>,
}

impl Pattern {
    /// Reads a pattern of tools.
    ///
    /// # Errors
    /// `Kind::Config` that says what is wrong and how to write it.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_as(Sort::Tools, text)
    }

    /// Reads a pattern of one sort of things.
    ///
    /// # Errors
    /// `Kind::Config` that says what is wrong and how to write it.
    pub fn parse_as(sort: Sort, text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            let shown: String = text.chars().take(SHOWN_MAX).collect();
            let context = format!("{} pattern {shown:?} {why}: {}", sort.field(), sort.advice());
            Error::new(Kind::Config, context)
        };
        let name_max = if sort == Sort::Resources { URI_MAX } else { UPSTREAM_TOOL_NAME_MAX };
        let (server, name) = text.split_once('/').ok_or_else(|| wrong("has no \"/\""))?;
        if server.is_empty() || name.is_empty() {
            return Err(wrong("has an empty part"));
        }
        if server != "*" && server.contains('*') {
            return Err(wrong("has a \"*\" within the server's name"));
        }
        if server.len() > SERVER_NAME_MAX || name.len() > name_max {
            return Err(wrong("is longer than any name"));
        }
        if text.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err(wrong("holds a space or control character"));
        }
        let server = (server != "*").then(|| server.into());
        Ok(Self { server, name: name.into() })
    }

    /// The one server it speaks of; nothing if it speaks of all. For a check against the configured names.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Whether it speaks of this server.
    pub fn covers_server(&self, server: &str) -> bool {
        self.server().is_none_or(|own| own == server)
    }

    /// Whether it allows this tool of this server.
    pub fn covers(&self, server: &str, tool: &Tool) -> bool {
        self.covers_name(server, tool.name())
    }

    /// Whether it allows what bears this name at this server.
    pub fn covers_name(&self, server: &str, name: &str) -> bool {
        self.covers_server(server) && glob(self.name.as_bytes(), name.as_bytes())
    }

    /// Whether it allows this URI of this server. What walks up its path is in no folder that a pattern could name, so
    /// only the pattern that allows everything covers it.
    pub fn covers_uri(&self, server: &str, uri: &str) -> bool {
        self.covers_name(server, uri) && (&*self.name == "*" || !has_dot_segment(uri))
    }

    /// Whether it allows, as a pattern of a sort, what bears this name or URI at this server.
    pub fn covers_as(&self, sort: Sort, server: &str, name: &str) -> bool {
        match sort {
            Sort::Tools | Sort::Prompts => self.covers_name(server, name),
            Sort::Resources => self.covers_uri(server, name),
        }
    }

    /// Whether it keeps out, as a pattern of a sort, what bears this name or URI at this server. A URI is kept out
    /// however it is written: one that walks up its path may end anywhere.
    pub fn excludes_as(&self, sort: Sort, server: &str, name: &str) -> bool {
        match sort {
            Sort::Tools | Sort::Prompts => self.covers_name(server, name),
            Sort::Resources => {
                let reads_alike = || has_dot_segment(name) || glob(&folded(&self.name), &folded(name));
                self.covers_server(server) && (&*self.name == "*" || reads_alike())
            }
        }
    }

    /// Whether it speaks of everything of this server.
    pub fn covers_all_of(&self, server: &str) -> bool {
        self.covers_server(server) && &*self.name == "*"
    }

    /// Whether it allows any tool known now. One that does not is worth a warning, not an error: its server may be
    /// down.
    pub fn matches_any(&self, catalog: &Catalog) -> bool {
        catalog.tools().iter().any(|tool| self.covers(catalog.server_name(tool.server), tool))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server().unwrap_or("*"), self.name)
    }
}

/// Whether `text` is `pattern` with each `*` replaced by something. Takes at most their product in steps.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if *byte == text[from] => (at, from) = (at + 1, from + 1),
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                (at, from) = (star_at + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_pattern_is_refused_with_the_way_out() {
        let long = format!("s/{}", "x".repeat(257));
        for bad in ["", "github", "/x", "github/", "git*/x", "a/b c", "a/b\n", "a/\u{0}", &long] {
            let error = Pattern::parse(bad).unwrap_err();
            assert!(error.context.contains("write \"server/tool\""), "{error}");
            assert!(error.context.len() < 256, "{error}");
        }
        for good in ["a/b", "a/*", "a/get_*", "*/*", "*/get_*", "a/b/c", "a/*_issue*"] {
            assert_eq!(Pattern::parse(good).unwrap().to_string(), good);
        }
    }

    #[test]
    fn a_pattern_of_resources_is_held_against_uris() {
        let covers = |pattern, uri| Pattern::parse_as(Sort::Resources, pattern).unwrap().covers_uri("s", uri);
        assert!(covers("s/file:///docs/*", "file:///docs/a/b") && covers("*/*", "x:y") && covers("s/a://b", "a://b"));
        assert!(!covers("t/*", "a:b") && !covers("s/a://b", "a://b/c"));
        assert!(!covers("s/file:///docs/*", "file:///docs/../keys") && covers("s/*", "file:///docs/../keys"));
        let long = format!("s/a:{}", "x".repeat(300));
        assert!(Pattern::parse_as(Sort::Resources, &long).is_ok() && Pattern::parse(&long).is_err());
        let error = Pattern::parse_as(Sort::Resources, "x").unwrap_err();
        assert!(error.context.starts_with("resources pattern \"x\" has no \"/\": write \"server/uri\""), "{error}");
    }

    #[test]
    fn a_star_stands_for_any_run() {
        let cases = [
            ("*", "", true),
            ("get_*", "get_", true),
            ("get_*", "get", false),
            ("*_issue", "get_issue", true),
            ("*_issue", "get_issue_x", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("a", "ab", false),
            ("a**", "a", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    /// The plain definition, by recursion.
    fn slow_glob(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| slow_glob(rest, &text[taken..])),
            Some((byte, rest)) => text.first() == Some(byte) && slow_glob(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn glob_is_its_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(glob(pattern, text), slow_glob(pattern, text));
        }

        #[test]
        fn any_text_is_a_pattern_or_an_error(text in "\\PC{0,40}|[a*/]{0,8}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }
}
