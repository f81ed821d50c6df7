//! Tokens for servers that want them: asked for, renewed and kept here, and told to every shard.
//!
//! | file | what it holds |
//! |---|---|
//! | `fetch.rs` | requests to authorization servers, to allowed addresses only |
//! | `flow.rs` | discovery, registration and tokens, step by step |
//! | `keeper.rs` | how the token of each server stands |
//! | `visit.rs` | the one time a person is asked |

mod fetch;
mod flow;
mod keeper;
mod visit;

pub(super) use keeper::{Done, Keeper};
pub use visit::Visit;
