//! The pure part of a call: from the name a client sent to the tool it may use, the same for every door.

use super::decide::{Question, Verdict, decide};
use crate::base::error::{Error, Kind};
use crate::base::ids::ToolId;
use crate::catalog::{Catalog, Door, Grant, Narrowing};

/// Characters of a client's tool name that are repeated in an answer.
const ECHO_MAX: usize = 128;

/// What a client asked to call.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The tool's name as the client sent it.
    pub name: &'a str,
    /// The door it came by.
    pub door: Door,
    /// What the principal may see.
    pub grant: &'a Grant,
    /// What the request asked to be narrowed to, if it did.
    pub narrowing: Option<&'a Narrowing>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The tool the name stands for, also where it is denied. For records alone.
    pub tool: Option<ToolId>,
    /// The decision.
    pub verdict: Verdict,
}

impl Asked<'_> {
    /// Resolves the name and decides.
    pub fn admit(&self, catalog: &Catalog) -> Admission {
        let tool = catalog.resolve(self.door, self.name, self.grant);
        let (grant, narrowing, door) = (self.grant, self.narrowing, self.door);
        let verdict = decide(&Question { catalog, grant, narrowing, door, tool });
        Admission { tool, verdict }
    }
}

/// The one answer to a call of a tool that does not exist, is hidden or is denied: nobody can tell which.
pub fn unknown_tool(name: &str) -> Error {
    let cut: String = name.chars().take(ECHO_MAX).flat_map(char::escape_debug).collect();
    Error::new(Kind::InvalidParams, format!("unknown tool: {cut}: list the tools to see what this key may call"))
}
