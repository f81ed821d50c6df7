//! OAuth towards one server, without I/O (2026-07-28 and earlier, basic/authorization): what its challenges and the
//! documents of its authorization server say, and what is sent in return. Control does the sending.
//!
//! | file | what it holds |
//! |---|---|
//! | `spec.rs` | a server's `oauth` table, compiled |
//! | `challenge.rs` | what a 401 or 403 says |
//! | `scopes.rs` | sets of scopes, and which of them are asked for |
//! | `discovery.rs` | where documents are looked for, and what they say |
//! | `client.rs` | who the gate is to an authorization server |
//! | `form.rs` | requests to its endpoints |
//! | `assertion.rs` | signed proof of who the gate is (RFC 7523) |
//! | `redirect.rs` | the page a person opens, and what comes back from it |
//! | `token.rs` | what the token endpoint answers |
//! | `account.rs` | all that is kept of a server between two starts |

mod account;
mod assertion;
mod challenge;
mod client;
mod discovery;
mod form;
mod redirect;
mod scopes;
mod spec;
mod token;

pub use account::{Account, AtIssuer, Secret};
pub use challenge::Challenge;
pub use client::{AuthMethod, Client, Registration, register, registered, registration};
pub use discovery::{AuthServer, Resource, canonical, fallback_issuer, issuer_places, metadata_places};
pub use form::{Form, Grantor, of_client, of_code, of_refresh};
pub use redirect::{Ask, Pending, Returned};
pub use scopes::Scopes;
pub use spec::{Grant, OauthSpec};
pub use token::Token;

pub use assertion::check_key;

use crate::base::error::{Error, Kind, Side};
use std::borrow::Cow;

/// An error of ours in the server's matters, that trying again cannot mend.
fn wrong(context: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::Credential, context).side(Side::Upstream)
}
