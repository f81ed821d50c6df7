//! A server's `oauth` table, compiled: plain data.

use crate::upstream::oauth::{AuthMethod, Scopes, Secret};

/// How the gate comes to a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grant {
    /// A person allows it once, in a browser.
    #[default]
    AuthorizationCode,
    /// The gate's own credentials are enough.
    ClientCredentials,
}

/// How the gate gets tokens for one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OauthSpec {
    /// How it comes to a token.
    pub grant: Grant,
    /// The id it was registered with beforehand.
    pub client_id: Option<Box<str>>,
    /// The secret that goes with that.
    pub client_secret: Option<Secret>,
    /// The key it signs assertions with, PEM.
    pub private_key: Option<Secret>,
    /// Where its metadata document stands, which is its id at authorization servers that fetch such documents.
    pub client_metadata_url: Option<Box<str>>,
    /// Scopes to ask for, beside those that the server challenges for.
    pub scopes: Scopes,
    /// How it shows the token endpoint who it is; found out where absent.
    pub auth_method: Option<AuthMethod>,
    /// The only authorization server it may use.
    pub issuer: Option<Box<str>>,
    /// The loopback port that the browser is sent back to; any where absent.
    pub redirect_port: Option<u16>,
}
