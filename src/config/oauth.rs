//! The `oauth` table of a server as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How the gate gets tokens for a server. Leave the table out, and it does no OAuth to it.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Oauth {
    /// How it comes to a token.
    pub grant: Grant,
    /// The id it was registered with at the authorization server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The secret that goes with it. Use a reference, not a literal secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// The private key it proves with who it is (RFC 7523): PEM, for ES256, ES384, EdDSA or RS256. Use a reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<String>,
    /// `https://` URL of a client metadata document that you publish: its id at servers that fetch such documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_metadata_url: Option<String>,
    /// Scopes to ask for, beside those that the server challenges for; what it says it knows where empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// How it shows the token endpoint who it is; found out where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<TokenEndpointAuth>,
    /// The only authorization server whose tokens it takes, by its issuer identifier, byte for byte. Set it wherever
    /// there is a secret or key: without, they go to the server that `url` names first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Port on 127.0.0.1 that `tollgate authorize` has the browser sent back to; any free one where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub redirect_port: Option<u16>,
}

impl fmt::Debug for Oauth {
    /// Without its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oauth").field("grant", &self.grant).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// How the gate comes to a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// A person allows it once: `tollgate authorize NAME`.
    #[default]
    AuthorizationCode,
    /// In its own name, with `client_secret` or `private_key`.
    ClientCredentials,
}

/// How the gate shows a token endpoint who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenEndpointAuth {
    /// By its id alone.
    None,
    /// By id and secret, in a header.
    ClientSecretBasic,
    /// By id and secret, in the form.
    ClientSecretPost,
    /// By an assertion signed with `private_key`.
    PrivateKeyJwt,
}
