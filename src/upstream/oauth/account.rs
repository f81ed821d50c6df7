//! All that is kept of one server between two starts: registrations and tokens, each by its issuer, and what the server
//! last demanded.

use crate::upstream::oauth::{Challenge, Client, Token};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// A secret: never printed, wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// What one server's state file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    /// The server's URL without its query: tokens are for no other.
    pub url: String,
    /// What the server demanded when it last refused a request.
    pub challenge: Challenge,
    /// The authorization server in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What is held at each authorization server. None of it is shown to another.
    pub issuers: BTreeMap<String, AtIssuer>,
}

/// What is held at one authorization server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AtIssuer {
    /// Whom the gate registered itself as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Client>,
    /// The token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
}

impl Account {
    /// An account at this URL with nothing in it.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), ..Self::default() }
    }

    /// The token in use.
    pub fn token(&self) -> Option<&Token> {
        self.issuer.as_ref().and_then(|issuer| self.issuers.get(issuer)).and_then(|held| held.token.as_ref())
    }

    /// Takes a token in, and what the gate is at its issuer where it has registered itself there. Tokens of other
    /// issuers go.
    pub fn take(&mut self, issuer: &str, client: Option<Client>, token: Token) {
        self.issuers.values_mut().for_each(|held| held.token = None);
        let held = self.issuers.entry(issuer.to_owned()).or_default();
        held.client = client.or(held.client.take());
        held.token = Some(token);
        self.issuer = Some(issuer.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::oauth::{AuthMethod, Scopes};

    fn token(access: &str) -> Token {
        Token { access: access.into(), refresh: None, expires: None, scopes: Scopes::default() }
    }

    #[test]
    fn what_is_held_at_one_issuer_is_not_seen_at_another() {
        let client = Client { id: "c".into(), secret: Some("s".into()), method: AuthMethod::None, redirect: None };
        let mut account = Account::new("https://h/mcp");
        assert_eq!(account.token(), None);
        account.take("https://one", Some(client.clone()), token("t1"));
        account.take("https://two", None, token("t2"));
        assert_eq!(account.token().map(|token| token.access.reveal()), Some("t2"));
        assert_eq!(account.issuers["https://one"], AtIssuer { client: Some(client), token: None });
        assert_eq!(account.issuers["https://two"].client, None);
        let json = serde_json::to_string(&account).unwrap();
        assert_eq!(serde_json::from_str::<Account>(&json).unwrap(), account);
        assert!(!format!("{account:?}").contains("t2"));
    }

    #[test]
    fn a_registration_outlives_its_tokens() {
        let client = Client { id: "c".into(), secret: None, method: AuthMethod::None, redirect: None };
        let mut account = Account::new("https://h/mcp");
        account.take("https://one", Some(client.clone()), token("t1"));
        account.take("https://one", None, token("t2"));
        assert_eq!(account.issuers["https://one"].client, Some(client));
    }
}
