//! Rank 3: tool definitions, names, grants and rendered views.
//!
//! A [`ServerList`] is what one server listed; a [`Catalog`] is all of them with names and maps; a [`Grant`] is the set
//! of tools, prompts and resources somebody may see; a [`View`] is that set as the bytes of a list's answer.

mod aliases;
mod bits;
mod canonical;
#[allow(clippy::module_inception, reason = "the folder is named after its main type")]
mod catalog;
mod covered;
pub mod detect;
mod documents;
pub mod drift;
mod form;
mod grant;
mod group;
mod header_params;
mod kind;
mod list;
pub mod names;
mod narrow;
mod off;
mod paths;
mod pattern;
mod prompt;
mod resolve;
mod resource;
mod rights;
mod shape;
mod skill;
mod template;
mod tool;
mod uris;
mod view;

pub use catalog::{Catalog, Door, ServerEntry, Warning};
pub use documents::Owned;
pub use grant::{Grant, GrantCompiler, Grants};
pub use group::{Alias, Group, Lists, Part};
pub use header_params::{HeaderKind, HeaderParam, HeaderParams};
pub use kind::{ListKind, Offers};
pub use list::{Leg, ServerList};
pub use narrow::Narrowing;
pub use off::Off;
pub use pattern::Pattern;
pub use prompt::Prompt;
pub use resource::{Resource, Template};
pub use rights::{Ceiling, Rights, Sort};
pub use skill::{Skill, renamed};
pub use tool::Tool;
pub use uris::{original, rewrite};
pub use view::{Page, View, Views};

#[cfg(test)]
#[path = "../../tests/support/catalogue.rs"]
#[allow(unreachable_pub, reason = "shared with the integration tests")]
mod catalogue;

#[cfg(test)]
mod testing;
#[cfg(test)]
pub(crate) use testing::plain;
