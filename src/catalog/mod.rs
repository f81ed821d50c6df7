//! Rank 3: tool definitions, names, grants and rendered views.
//!
//! A [`ServerList`] is what one server listed; a [`Catalog`] is all of them with names and maps; a [`Grant`] is the set
//! of tools somebody may see; a [`View`] is that set as the bytes of a `tools/list` answer.

mod canonical;
#[allow(clippy::module_inception, reason = "the folder is named after its main type")]
mod catalog;
mod form;
mod grant;
mod header_params;
mod list;
pub mod names;
mod narrow;
mod pattern;
mod tool;
mod view;

pub use catalog::{Catalog, Door, ServerEntry, Warning};
pub use grant::{Grant, GrantCompiler, Grants};
pub use header_params::{HeaderKind, HeaderParam, HeaderParams};
pub use list::{Leg, ServerList};
pub use narrow::Narrowing;
pub use pattern::Pattern;
pub use tool::Tool;
pub use view::{View, Views};

#[cfg(test)]
#[path = "../../tests/support/catalogue.rs"]
#[allow(unreachable_pub, reason = "shared with the integration tests")]
mod catalogue;

#[cfg(test)]
mod testing;
#[cfg(test)]
pub(crate) use testing::plain;
