//! Who the gate is to an authorization server: registered beforehand, by its metadata document, or by itself.

use crate::base::error::Result;
use crate::upstream::incoming::printable;
use crate::upstream::oauth::discovery::AuthServer;
use crate::upstream::oauth::{OauthSpec, Scopes, Secret, wrong};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How a client shows the token endpoint who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// By its id alone.
    None,
    /// By id and secret, in the `Authorization` header.
    ClientSecretBasic,
    /// By id and secret, in the form.
    ClientSecretPost,
    /// By a signed assertion (RFC 7523).
    PrivateKeyJwt,
}

impl AuthMethod {
    /// Those a client may register for by itself, best first.
    const REGISTRABLE: [Self; 3] = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::None];

    /// Its name in metadata.
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }
}

/// The gate as one authorization server knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// How it shows who it is.
    pub method: AuthMethod,
    /// Where browsers are sent back to, if that was registered with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
}

/// How the gate becomes a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// It is one.
    Known(Client),
    /// It registers itself there.
    At(String),
}

/// How the gate becomes a client of this authorization server: as it was registered beforehand, by its metadata
/// document, as it registered itself before, or by registering itself now.
///
/// # Errors
/// There is no way.
pub fn registration(spec: &OauthSpec, server: &AuthServer, kept: Option<&Client>) -> Result<Registration> {
    if let Some(id) = &spec.client_id {
        let method = method(spec, server, spec.client_secret.is_some());
        let client = Client { id: id.to_string(), secret: spec.client_secret.clone(), method, redirect: None };
        return Ok(Registration::Known(client));
    }
    if let Some(url) = spec.client_metadata_url.as_ref().filter(|_| server.client_id_metadata_document_supported) {
        let method = if spec.private_key.is_some() { AuthMethod::PrivateKeyJwt } else { AuthMethod::None };
        return Ok(Registration::Known(Client { id: url.to_string(), secret: None, method, redirect: None }));
    }
    if let Some(client) = kept {
        return Ok(Registration::Known(client.clone()));
    }
    server.registration_endpoint.clone().map(Registration::At).ok_or_else(|| {
        let issuer = &server.issuer;
        wrong(format!(
            "{issuer} does not let clients register themselves; register the gate there, and set `oauth.client_id`"
        ))
    })
}

fn method(spec: &OauthSpec, server: &AuthServer, has_secret: bool) -> AuthMethod {
    if let Some(method) = spec.auth_method {
        return method;
    }
    match (spec.private_key.is_some(), has_secret) {
        (true, _) => AuthMethod::PrivateKeyJwt,
        (false, false) => AuthMethod::None,
        (false, true) if server.takes("client_secret_basic") => AuthMethod::ClientSecretBasic,
        (false, true) if server.takes("client_secret_post") => AuthMethod::ClientSecretPost,
        (false, true) if server.takes("none") => AuthMethod::None,
        (false, true) => AuthMethod::ClientSecretBasic,
    }
}

/// What the gate says of itself when it registers (RFC 7591).
pub fn register(spec: &OauthSpec, server: &AuthServer, redirect: &str, scopes: &Scopes) -> Value {
    let usual = AuthMethod::REGISTRABLE.into_iter().find(|method| server.takes(method.name()));
    let method = spec.auth_method.or(usual).unwrap_or(AuthMethod::None);
    let mut body = json!({
        "client_name": "Tollgate",
        "redirect_uris": [redirect],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method.name(),
        "application_type": "native",
    });
    if let (Some(object), Some(scope)) = (body.as_object_mut(), scopes.text()) {
        object.insert("scope".into(), scope.into());
    }
    body
}

/// Reads the answer to a registration.
///
/// # Errors
/// It is none, or wants the gate to show who it is in a way that it cannot.
pub fn registered(spec: &OauthSpec, server: &AuthServer, redirect: &str, json: &[u8]) -> Result<Client> {
    #[derive(Deserialize)]
    struct Answer {
        client_id: String,
        client_secret: Option<Secret>,
        token_endpoint_auth_method: Option<String>,
    }
    let issuer = &server.issuer;
    let answer: Answer =
        serde_json::from_slice(json).map_err(|error| wrong(format!("the registration at {issuer}: {error}")))?;
    let method = match answer.token_endpoint_auth_method.as_deref() {
        None => method(&OauthSpec { private_key: None, ..spec.clone() }, server, answer.client_secret.is_some()),
        Some(name) => AuthMethod::REGISTRABLE.into_iter().find(|method| method.name() == name).ok_or_else(|| {
            let name = printable(name, 40);
            wrong(format!("{issuer} registered the gate for {name}, which it cannot do; set `oauth.client_id`"))
        })?,
    };
    Ok(Client { id: answer.client_id, secret: answer.client_secret, method, redirect: Some(redirect.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(methods: &[&str]) -> AuthServer {
        let methods = Some(methods.iter().map(|&method| method.to_owned()).collect());
        let registration_endpoint = Some("https://as/register".into());
        let issuer = "https://as".into();
        AuthServer {
            issuer,
            registration_endpoint,
            token_endpoint_auth_methods_supported: methods,
            ..Default::default()
        }
    }

    fn known(registration: Result<Registration>) -> Client {
        match registration {
            Ok(Registration::Known(client)) => client,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_registered_beforehand_comes_first_then_the_document_then_the_gate_itself() {
        let kept = Client { id: "kept".into(), secret: None, method: AuthMethod::None, redirect: None };
        let mut spec = OauthSpec {
            client_id: Some("own".into()),
            client_metadata_url: Some("https://me/doc.json".into()),
            ..OauthSpec::default()
        };
        let mut server = server(&["none"]);
        server.client_id_metadata_document_supported = true;
        assert_eq!(known(registration(&spec, &server, Some(&kept))).id, "own");
        spec.client_id = None;
        assert_eq!(known(registration(&spec, &server, Some(&kept))).id, "https://me/doc.json");
        server.client_id_metadata_document_supported = false;
        assert_eq!(known(registration(&spec, &server, Some(&kept))).id, "kept");
        assert_eq!(registration(&spec, &server, None), Ok(Registration::At("https://as/register".into())));
        server.registration_endpoint = None;
        assert!(registration(&spec, &server, None).expect_err("no way").context.contains("oauth.client_id"));
    }

    #[test]
    fn the_gate_shows_who_it_is_as_the_server_takes_it() {
        let with_secret =
            OauthSpec { client_id: Some("c".into()), client_secret: Some("s".into()), ..Default::default() };
        let of = |spec: &OauthSpec, methods: &[&str]| known(registration(spec, &server(methods), None)).method;
        assert_eq!(of(&with_secret, &["client_secret_post", "client_secret_basic"]), AuthMethod::ClientSecretBasic);
        assert_eq!(of(&with_secret, &["client_secret_post"]), AuthMethod::ClientSecretPost);
        let signing = OauthSpec { private_key: Some("pem".into()), ..with_secret.clone() };
        assert_eq!(of(&signing, &["client_secret_post"]), AuthMethod::PrivateKeyJwt);
        let told = OauthSpec { auth_method: Some(AuthMethod::ClientSecretPost), ..with_secret };
        assert_eq!(of(&told, &["client_secret_basic"]), AuthMethod::ClientSecretPost);
        let public = OauthSpec { client_id: Some("c".into()), ..Default::default() };
        assert_eq!(of(&public, &["none"]), AuthMethod::None);
    }

    #[test]
    fn a_registration_says_what_the_gate_is_and_reads_what_it_became() {
        let (spec, server) = (OauthSpec::default(), server(&["client_secret_post", "none"]));
        let asked = register(&spec, &server, "http://127.0.0.1:1/callback", &Scopes::parse("a b"));
        assert_eq!(asked["token_endpoint_auth_method"], "client_secret_post");
        assert_eq!(asked["application_type"], "native");
        assert_eq!(asked["grant_types"], json!(["authorization_code", "refresh_token"]));
        assert_eq!(asked["scope"], "a b");
        let read = |text: &str| registered(&spec, &server, "r", text.as_bytes());
        let client = read(r#"{"client_id":"c","client_secret":"s"}"#).unwrap();
        assert_eq!((client.method, client.redirect.as_deref()), (AuthMethod::ClientSecretPost, Some("r")));
        let none = read(r#"{"client_id":"c","token_endpoint_auth_method":"none"}"#).unwrap();
        assert_eq!(none.method, AuthMethod::None);
        assert!(read(r#"{"client_id":"c","token_endpoint_auth_method":"tls_client_auth"}"#).is_err());
        assert!(read("{}").is_err());
    }
}
