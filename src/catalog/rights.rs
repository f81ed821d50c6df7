//! What a key's patterns allow, by what they speak of.

use super::{Group, Part, Pattern};
use std::sync::Arc;

/// What a list of patterns speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sort {
    /// Tools, by their names.
    Tools,
    /// Prompts, by their names.
    Prompts,
    /// Resources, by their URIs.
    Resources,
}

impl Sort {
    /// All of them; each stands at its own number.
    pub const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    /// The field of the configuration that holds such patterns.
    pub fn field(self) -> &'static str {
        ["allow", "prompts", "resources"][self as usize]
    }

    /// What one such thing is called.
    pub fn noun(self) -> &'static str {
        ["tool", "prompt", "resource"][self as usize]
    }

    /// How to write such a pattern.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Tools => "write \"server/tool\", \"server/*\" or \"server/get_*\"",
            Self::Prompts => "write \"server/prompt\", \"server/*\" or \"server/review_*\"",
            Self::Resources => "write \"server/uri\", \"server/*\" or \"server/file:///docs/*\"",
        }
    }
}

/// The patterns of a key, and its groups. No pattern, nothing allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights {
    /// Of tools.
    pub tools: Box<[Pattern]>,
    /// Of prompts.
    pub prompts: Box<[Pattern]>,
    /// Of resources.
    pub resources: Box<[Pattern]>,
    /// What it has beside them: everything these give.
    pub groups: Box<[Arc<Group>]>,
}

impl Rights {
    /// The patterns that speak of one sort of things.
    pub fn of(&self, sort: Sort) -> &[Pattern] {
        match sort {
            Sort::Tools => &self.tools,
            Sort::Prompts => &self.prompts,
            Sort::Resources => &self.resources,
        }
    }

    /// All that gives something of one sort.
    pub fn parts(&self, sort: Sort) -> impl Iterator<Item = Part<'_>> {
        std::iter::once(Part::own(self.of(sort))).chain(self.groups.iter().map(move |group| group.part(sort)))
    }

    /// The place of the patterns that speak of one sort of things.
    pub fn of_mut(&mut self, sort: Sort) -> &mut Box<[Pattern]> {
        match sort {
            Sort::Tools => &mut self.tools,
            Sort::Prompts => &mut self.prompts,
            Sort::Resources => &mut self.resources,
        }
    }
}

/// What the holders of keys may be granted at most: by a team, or by a customer. Nothing said, nothing cut; an empty
/// list cuts everything. Groups say something of every sort: what they do not give is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ceiling {
    lists: [Option<Box<[Pattern]>>; Sort::ALL.len()],
    /// What may be granted beside the lists.
    pub groups: Box<[Arc<Group>]>,
}

impl Ceiling {
    /// Under which nothing is left.
    pub fn closed() -> Self {
        Self { lists: Sort::ALL.map(|_| Some(Box::default())), groups: Box::default() }
    }

    /// The patterns of one sort of things; nothing where the sort is not cut.
    pub fn of(&self, sort: Sort) -> Option<&[Pattern]> {
        let said = self.lists[sort as usize].as_deref();
        if self.groups.is_empty() { said } else { said.or(Some(&[])) }
    }

    /// All that may be granted of one sort; nothing where the sort is not cut.
    pub fn parts(&self, sort: Sort) -> Option<impl Iterator<Item = Part<'_>> + Clone> {
        let own = Part::own(self.of(sort)?);
        Some(std::iter::once(own).chain(self.groups.iter().map(move |group| group.part(sort))))
    }

    /// Says the patterns of one sort of things.
    pub fn set(&mut self, sort: Sort, patterns: Box<[Pattern]>) {
        self.lists[sort as usize] = Some(patterns);
    }
}
