//! Requests to a token endpoint: forms, and who the gate is in them (RFC 6749 2.3, RFC 8707).

use crate::base::clock::WallTime;
use crate::base::error::Result;
use crate::upstream::oauth::assertion::assertion;
use crate::upstream::oauth::{AuthMethod, Client, OauthSpec, Scopes, Secret, wrong};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;
use zeroize::Zeroizing;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Fields in the order they were added, as `application/x-www-form-urlencoded` has them.
#[derive(Default)]
pub struct Form(Zeroizing<String>);

impl Form {
    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        encode(name, &mut self.0);
        self.0.push('=');
        encode(value, &mut self.0);
        self
    }

    /// Adds a field, if there is one.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// As it is sent.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Percent-encodes all but unreserved characters.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Who asks for a token, of whom, and for what.
pub struct Grantor<'a> {
    /// The server's `oauth` table.
    pub spec: &'a OauthSpec,
    /// The gate as the authorization server knows it.
    pub client: &'a Client,
    /// The authorization server.
    pub issuer: &'a str,
    /// What the token is for.
    pub resource: &'a str,
    /// A number never used before.
    pub number: &'a str,
    /// The time.
    pub now: WallTime,
}

/// A form and the `Authorization` header that goes with it.
pub(super) type Signed = (Form, Option<Secret>);

/// Asks for a token for a code.
///
/// # Errors
/// The gate cannot show who it is.
pub fn of_code(grantor: &Grantor<'_>, code: &str, verifier: &str, redirect: &str) -> Result<Signed> {
    let form = Form::default().with("grant_type", "authorization_code").with("code", code);
    grantor.sign(form.with("code_verifier", verifier).with("redirect_uri", redirect))
}

/// Asks for the next token.
///
/// # Errors
/// As [`of_code`].
pub fn of_refresh(grantor: &Grantor<'_>, refresh: &Secret) -> Result<Signed> {
    grantor.sign(Form::default().with("grant_type", "refresh_token").with("refresh_token", refresh.reveal()))
}

/// Asks for a token in the gate's own name.
///
/// # Errors
/// As [`of_code`].
pub fn of_client(grantor: &Grantor<'_>, scopes: &Scopes) -> Result<Signed> {
    let form = Form::default().with("grant_type", "client_credentials");
    grantor.sign(form.with_some("scope", scopes.text().as_deref()))
}

impl Grantor<'_> {
    /// Adds what the token is for, and who asks.
    fn sign(&self, form: Form) -> Result<Signed> {
        let (form, client) = (form.with("resource", self.resource), self.client);
        let secret = || {
            let missing = || wrong("the gate has no client secret for this authorization server");
            client.secret.as_ref().map(Secret::reveal).ok_or_else(missing)
        };
        Ok(match client.method {
            AuthMethod::None => (form.with("client_id", &client.id), None),
            AuthMethod::ClientSecretPost => (form.with("client_id", &client.id).with("client_secret", secret()?), None),
            AuthMethod::ClientSecretBasic => {
                let mut pair = Zeroizing::new(String::new());
                encode(&client.id, &mut pair);
                pair.push(':');
                encode(secret()?, &mut pair);
                let header = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
                (form, Some(Secret::from(&**header)))
            }
            AuthMethod::PrivateKeyJwt => {
                let key = self.spec.private_key.as_ref().map(Secret::reveal);
                let key = key.ok_or_else(|| wrong("the gate has no `oauth.private_key` to sign with"))?;
                let proof = assertion(key, &client.id, self.issuer, self.number, self.now)?;
                let form = form.with("client_id", &client.id).with("client_assertion_type", JWT_BEARER);
                (form.with("client_assertion", &proof), None)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(method: AuthMethod, secret: Option<Secret>) -> Result<Signed> {
        let client = Client { id: "a:b".into(), secret, method, redirect: None };
        let (spec, now) = (OauthSpec::default(), WallTime(0));
        let grantor =
            Grantor { spec: &spec, client: &client, issuer: "https://as", resource: "https://h/m", number: "1", now };
        of_client(&grantor, &Scopes::parse("x y"))
    }

    #[test]
    fn a_form_says_what_for_and_who() {
        let (form, header) = sign(AuthMethod::None, None).unwrap();
        let wanted = "grant_type=client_credentials&scope=x%20y&resource=https%3A%2F%2Fh%2Fm&client_id=a%3Ab";
        assert_eq!((form.text(), header), (wanted, None));
        let (form, _) = sign(AuthMethod::ClientSecretPost, Some("s&".into())).unwrap();
        assert!(form.text().ends_with("&client_secret=s%26"));
        let (form, header) = sign(AuthMethod::ClientSecretBasic, Some("s&".into())).unwrap();
        let header = header.expect("a header");
        let pair = STANDARD.decode(header.reveal().strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(pair, b"a%3Ab:s%26");
        assert!(!form.text().contains("client_id"));
    }

    #[test]
    fn without_a_secret_or_key_nothing_is_sent() {
        for method in [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::PrivateKeyJwt] {
            assert!(sign(method, None).is_err(), "{method:?}");
        }
    }
}
