//! Groups: named sets of tools, prompts and resources of any servers, with what they are called and said to be.

use super::{Pattern, Sort};
use std::hash::{Hash, Hasher};

/// Patterns of each sort.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists([Box<[Pattern]>; Sort::ALL.len()]);

impl Lists {
    /// The patterns that speak of one sort of things.
    pub fn of(&self, sort: Sort) -> &[Pattern] {
        &self.0[sort as usize]
    }

    /// Says the patterns of one sort of things.
    pub fn set(&mut self, sort: Sort, patterns: Box<[Pattern]>) {
        self.0[sort as usize] = patterns;
    }

    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|patterns| patterns.is_empty())
    }
}

/// What a group calls one tool, and says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The tool's server.
    pub server: Box<str>,
    /// The name by which the server knows it.
    pub tool: Box<str>,
    /// The one name it has through the group; nothing where it keeps its own.
    pub name: Option<Box<str>>,
    /// What is said of it in place of its description.
    pub description: Option<Box<str>>,
}

/// A named set of tools, prompts and resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name, of which a configuration has one.
    pub name: Box<str>,
    /// What is in it.
    pub gives: Lists,
    /// What is not in it all the same. Takes nothing from what others give.
    pub excludes: Lists,
    /// Tools that it calls, or describes, another way.
    pub aliases: Box<[Alias]>,
}

impl Hash for Group {
    /// Groups of one configuration differ by name, and a hundred thousand keys are sorted by what they may use.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Group {
    /// Its patterns of one sort.
    pub fn part(&self, sort: Sort) -> Part<'_> {
        Part { patterns: self.gives.of(sort), excludes: self.excludes.of(sort), group: Some(self) }
    }

    /// What it calls a tool or says of it, if anything.
    pub fn alias(&self, server: &str, tool: &str) -> Option<&Alias> {
        self.aliases.iter().find(|alias| &*alias.server == server && &*alias.tool == tool)
    }
}

/// Patterns from one place, less those that it excludes.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// What may be seen.
    pub patterns: &'a [Pattern],
    /// What may not all the same.
    pub excludes: &'a [Pattern],
    /// The group that says so; nothing where it is no group.
    pub group: Option<&'a Group>,
}

impl<'a> Part<'a> {
    /// Patterns that no group gives.
    pub fn own(patterns: &'a [Pattern]) -> Self {
        Self { patterns, excludes: &[], group: None }
    }

    /// The pattern by which it gives what bears this name or URI at a server, if it does.
    pub fn covering(&self, sort: Sort, server: &str, name: &str) -> Option<&'a Pattern> {
        let covering = self.patterns.iter().find(|pattern| pattern.covers_as(sort, server, name))?;
        self.excluding(sort, server, name).is_none().then_some(covering)
    }

    /// The pattern that excludes it, whether it would be given or not.
    pub fn excluding(&self, sort: Sort, server: &str, name: &str) -> Option<&'a Pattern> {
        self.excludes.iter().find(|pattern| pattern.excludes_as(sort, server, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(sort: Sort, text: &str) -> Pattern {
        Pattern::parse_as(sort, text).unwrap()
    }

    #[test]
    fn what_is_excluded_is_not_given() {
        let mut group = Group::default();
        group.gives.set(Sort::Tools, [pattern(Sort::Tools, "git/*")].into());
        group.excludes.set(Sort::Tools, [pattern(Sort::Tools, "*/delete_*")].into());
        let part = group.part(Sort::Tools);
        assert!(part.covering(Sort::Tools, "git", "read").is_some());
        assert!(part.covering(Sort::Tools, "git", "delete_repo").is_none());
        assert!(part.covering(Sort::Tools, "web", "read").is_none());
    }

    #[test]
    fn an_excluded_uri_is_excluded_however_it_is_written() {
        let mut group = Group::default();
        group.gives.set(Sort::Resources, [pattern(Sort::Resources, "docs/*")].into());
        group.excludes.set(Sort::Resources, [pattern(Sort::Resources, "docs/file:///keys/*")].into());
        let given = |uri: &str| group.part(Sort::Resources).covering(Sort::Resources, "docs", uri).is_some();
        for bad in [
            "file:///keys/a",
            "FILE:///KEYS/a",
            "file:///k%65ys/a",
            "file:///k%2565ys/a",
            "file:///x/../keys/a",
            "file:////keys/a",
            "file:///keys//a",
            "file:///./keys/a",
            "file:\\\\\\keys\\a",
        ] {
            assert!(!given(bad), "{bad}");
        }
        for good in ["file:///docs/a", "file:///keysmith", "web:a"] {
            assert!(given(good), "{good}");
        }
    }

    fn patterns() -> impl Strategy<Value = Vec<Pattern>> {
        let texts = prop_oneof!["[ab*]/[ab]{0,2}\\*?".prop_filter("a name", |text| text.len() > 2), Just("*/*".into())];
        prop::collection::vec(texts.prop_map(|text| pattern(Sort::Tools, &text)), 0..4)
    }

    proptest! {
        #[test]
        fn excludes_only_take_away(gives in patterns(), excludes in patterns(), server in "[ab]", name in "[ab]{1,3}") {
            let part = Part { patterns: &gives, excludes: &excludes, group: None };
            let without = Part { excludes: &[], ..part };
            let covered = part.covering(Sort::Tools, &server, &name);
            prop_assert!(covered.is_none() || without.covering(Sort::Tools, &server, &name).is_some());
            prop_assert!(covered.is_none() || excludes.iter().all(|one| !one.covers_name(&server, &name)));
        }
    }
}
