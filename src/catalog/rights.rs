//! What a key's patterns allow, by what they speak of.

use super::Pattern;

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

/// The patterns of a key. No pattern, nothing allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights {
    /// Of tools.
    pub tools: Box<[Pattern]>,
    /// Of prompts.
    pub prompts: Box<[Pattern]>,
    /// Of resources.
    pub resources: Box<[Pattern]>,
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
/// list cuts everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ceiling([Option<Box<[Pattern]>>; Sort::ALL.len()]);

impl Ceiling {
    /// Under which nothing is left.
    pub fn closed() -> Self {
        Self(Sort::ALL.map(|_| Some(Box::default())))
    }

    /// The patterns of one sort of things, where any were said.
    pub fn of(&self, sort: Sort) -> Option<&[Pattern]> {
        self.0[sort as usize].as_deref()
    }

    /// Says the patterns of one sort of things.
    pub fn set(&mut self, sort: Sort, patterns: Box<[Pattern]>) {
        self.0[sort as usize] = Some(patterns);
    }
}
