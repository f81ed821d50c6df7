//! The request header `x-tollgate-tools`: a client may ask to see less than its key allows, never more.

use super::{Catalog, Door, Grant, Pattern};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::ToolId;
use crate::base::limits::NARROWING_ITEMS_MAX;

/// What a request asked to be narrowed to: patterns, and names as they are listed at its door.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowing {
    patterns: Vec<Pattern>,
    names: Vec<Box<str>>,
}

impl Narrowing {
    /// The header's name, lower case.
    pub const HEADER: &'static str = "x-tollgate-tools";

    /// Reads all values of the header, each a comma-separated list. An item that is neither pattern nor known name
    /// stands for nothing, so an empty header narrows to nothing. Nothing if the header is absent.
    ///
    /// # Errors
    /// `Kind::InvalidRequest` if it holds more than `NARROWING_ITEMS_MAX` items: cutting the list would hide tools
    /// that were asked for without saying so.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Option<Self>> {
        let mut found: Option<Self> = None;
        for value in values {
            let narrowing = found.get_or_insert_default();
            value.split(',').map(str::trim).filter(|item| !item.is_empty()).for_each(|item| narrowing.take(item));
            if narrowing.patterns.len() + narrowing.names.len() > NARROWING_ITEMS_MAX {
                let context =
                    format!("header {} holds more than {NARROWING_ITEMS_MAX} items: use a pattern", Self::HEADER);
                return Err(Error::new(Kind::InvalidRequest, context));
            }
        }
        Ok(found)
    }

    fn take(&mut self, item: &str) {
        match Pattern::parse(item) {
            Ok(pattern) => self.patterns.push(pattern),
            Err(_) => self.names.push(item.into()),
        }
    }

    /// Whether a tool was asked for at this door by those who have this grant. Says nothing about whether it is
    /// granted.
    pub fn covers(&self, catalog: &Catalog, door: Door, (id, grant): (ToolId, &Grant)) -> bool {
        let tool = catalog.tool(id);
        let listed = catalog.listed_name(door, id, grant);
        let server = catalog.server_name(tool.server);
        self.names.iter().any(|name| **name == *listed)
            || self.patterns.iter().any(|pattern| pattern.covers(server, tool))
    }
}
