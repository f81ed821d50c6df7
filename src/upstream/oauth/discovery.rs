//! Where documents about a server's authorization are looked for, and what they say (RFC 9728, RFC 8414, OpenID
//! Connect Discovery).

use crate::base::error::Result;
use crate::upstream::incoming::printable;
use crate::upstream::oauth::{Challenge, Scopes, wrong};
use crate::upstream::spec::Target;
use serde::Deserialize;

/// Longest part of a peer's text shown in an error, in characters.
const SHOWN_MAX: usize = 200;
const PROTECTED: &str = "/.well-known/oauth-protected-resource";
const AUTHORIZATION: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

fn origin(target: &Target) -> String {
    format!("{}://{}", if target.tls { "https" } else { "http" }, target.host_header())
}

/// The path without its query and without a slash at its end.
fn path(target: &Target) -> &str {
    target.path.split('?').next().unwrap_or_default().trim_end_matches('/')
}

/// A server's URL as the identifier of what tokens are for: no query, no slash at its end.
///
/// # Errors
/// It is no URL.
pub fn canonical(url: &str) -> Result<String> {
    let target = Target::parse(url)?;
    Ok(format!("{}{}", origin(&target), path(&target)))
}

/// Where a server's own document is looked for, in order.
///
/// # Errors
/// Its URL is none.
pub fn metadata_places(url: &str, challenge: &Challenge) -> Result<Vec<String>> {
    if let Some(place) = &challenge.resource_metadata {
        return Ok(vec![place.clone()]);
    }
    let target = Target::parse(url)?;
    let (origin, path) = (origin(&target), path(&target));
    let root = format!("{origin}{PROTECTED}");
    Ok(if path.is_empty() { vec![root] } else { vec![format!("{root}{path}"), root] })
}

/// The authorization server of a server that says nothing of one (2025-03-26): its own origin.
///
/// # Errors
/// Its URL is none.
pub fn fallback_issuer(url: &str) -> Result<String> {
    Target::parse(url).map(|target| origin(&target))
}

/// Where an authorization server's document is looked for, in order.
///
/// # Errors
/// The issuer is no URL, or has a query.
pub fn issuer_places(issuer: &str) -> Result<Vec<String>> {
    let target = Target::parse(issuer).map_err(|error| wrong(error.context).at("the issuer"))?;
    if target.path.contains('?') {
        return Err(wrong("the issuer that the server names has a query"));
    }
    let (origin, path) = (origin(&target), path(&target));
    let mut places = vec![format!("{origin}{AUTHORIZATION}{path}"), format!("{origin}{OPENID}{path}")];
    if !path.is_empty() {
        places.push(format!("{origin}{path}{OPENID}"));
    }
    Ok(places)
}

/// What a server says of its tokens (RFC 9728).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// What tokens are for: sent as it stands.
    pub id: String,
    /// The authorization servers that may give them; at least one.
    pub issuers: Vec<String>,
    /// The scopes that it knows.
    pub scopes: Scopes,
}

#[derive(Deserialize)]
struct Protected {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

impl Resource {
    /// Reads the document of the server at `url`.
    ///
    /// # Errors
    /// It is none, names no authorization server, or is about another resource: a token for that must not go here.
    pub fn read(url: &str, json: &[u8]) -> Result<Self> {
        let document: Protected =
            serde_json::from_slice(json).map_err(|error| wrong(format!("the server's metadata document: {error}")))?;
        if !covers(&document.resource, url)? {
            let theirs = printable(&document.resource, SHOWN_MAX);
            return Err(wrong(format!("the server's metadata is about {theirs}, which is not the `url` it stands at")));
        }
        if document.authorization_servers.is_empty() {
            return Err(wrong("the server's metadata document names no authorization server"));
        }
        let scopes = document.scopes_supported.iter().map(String::as_str).collect();
        Ok(Self { id: document.resource, issuers: document.authorization_servers, scopes })
    }

    /// The authorization server to use: the one that is configured, else the first.
    ///
    /// # Errors
    /// The configured one is not among them.
    pub fn issuer(&self, configured: Option<&str>) -> Result<&str> {
        let found = match configured {
            None => self.issuers.first(),
            Some(wanted) => self.issuers.iter().find(|issuer| *issuer == wanted),
        };
        found.map(String::as_str).ok_or_else(|| {
            let (theirs, wanted) = (printable(&self.issuers.join(", "), SHOWN_MAX), configured.unwrap_or_default());
            wrong(format!("the server's tokens come from {theirs}, and `oauth.issuer` is {wanted}"))
        })
    }
}

/// Whether a resource is a server's URL, or what stands above that at the same origin.
fn covers(resource: &str, url: &str) -> Result<bool> {
    let Ok(outer) = Target::parse(resource) else { return Ok(false) };
    let inner = Target::parse(url)?;
    let below = path(&inner).strip_prefix(path(&outer));
    Ok(origin(&outer) == origin(&inner) && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// What an authorization server says of itself (RFC 8414).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AuthServer {
    /// Who it is: compared byte for byte.
    pub issuer: String,
    /// Where a person allows the gate.
    pub authorization_endpoint: Option<String>,
    /// Where tokens are given.
    pub token_endpoint: String,
    /// Where clients register themselves.
    pub registration_endpoint: Option<String>,
    /// The scopes it knows.
    pub scopes_supported: Vec<String>,
    /// How clients may show who they are; one by name and secret where absent.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// How codes are protected; a server that does not say so is not used.
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// Whether it says in each answer who it is (RFC 9207).
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether it fetches clients' metadata documents.
    pub client_id_metadata_document_supported: bool,
}

impl AuthServer {
    /// Reads the document that was found for this issuer.
    ///
    /// # Errors
    /// It is none, or another's: its endpoints must not be used then.
    pub fn read(issuer: &str, json: &[u8]) -> Result<Self> {
        let document: Self =
            serde_json::from_slice(json).map_err(|error| wrong(format!("the metadata of {issuer}: {error}")))?;
        if document.issuer != issuer {
            let theirs = printable(&document.issuer, SHOWN_MAX);
            return Err(wrong(format!("the metadata of {issuer} is that of another issuer, {theirs}; it is not used")));
        }
        if document.token_endpoint.is_empty() {
            return Err(wrong(format!("the metadata of {issuer} names no token endpoint")));
        }
        Ok(document)
    }

    /// Reads the document that a server of 2025-03-26 has at its own origin. Nobody named an issuer then, so it may be
    /// any at that origin.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_own(origin: &str, json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Named {
            issuer: String,
        }
        let named = serde_json::from_slice::<Named>(json).map(|named| named.issuer).unwrap_or_default();
        let is_own = covers(origin, &named).unwrap_or(false);
        Self::read(if is_own { &named } else { origin }, json)
    }

    /// What a server of 2025-03-26 without documents has at its origin.
    pub fn fallback(origin: &str) -> Self {
        Self {
            issuer: origin.to_owned(),
            authorization_endpoint: Some(format!("{origin}/authorize")),
            token_endpoint: format!("{origin}/token"),
            registration_endpoint: Some(format!("{origin}/register")),
            code_challenge_methods_supported: Some(vec!["S256".into()]),
            ..Self::default()
        }
    }

    /// Where a person allows the gate.
    ///
    /// # Errors
    /// Nowhere, or codes would not be protected there (PKCE with S256).
    pub fn authorization(&self) -> Result<&str> {
        let issuer = &self.issuer;
        let methods = self.code_challenge_methods_supported.as_deref().unwrap_or_default();
        if !methods.iter().any(|method| method == "S256") {
            return Err(wrong(format!("{issuer} does not say that it supports PKCE with S256; it is not used")));
        }
        let place = self.authorization_endpoint.as_deref();
        place.ok_or_else(|| wrong(format!("the metadata of {issuer} names no authorization endpoint")))
    }

    /// Whether clients may show who they are in this way.
    pub(super) fn takes(&self, method: &str) -> bool {
        match &self.token_endpoint_auth_methods_supported {
            Some(methods) => methods.iter().any(|known| known == method),
            None => method == "client_secret_basic",
        }
    }

    /// The scopes it knows.
    pub fn scopes(&self) -> Scopes {
        self.scopes_supported.iter().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

    #[test]
    fn a_servers_document_is_looked_for_where_it_says_else_by_path_else_at_the_root() {
        let said = Challenge { resource_metadata: Some("https://h/doc".into()), ..Challenge::default() };
        assert_eq!(metadata_places("https://h/mcp", &said).unwrap(), ["https://h/doc"]);
        let silent = Challenge::default();
        let places = metadata_places("https://H:8443/a/mcp/?k=1", &silent).unwrap();
        let root = "https://h:8443/.well-known/oauth-protected-resource";
        assert_eq!(places, [format!("{root}/a/mcp"), root.to_owned()]);
        let root = "https://h/.well-known/oauth-protected-resource";
        assert_eq!(metadata_places("https://h/", &silent).unwrap(), [root]);
        assert_eq!(canonical("https://H/mcp/?key=secret").unwrap(), "https://h/mcp");
    }

    #[test]
    fn an_issuers_document_is_looked_for_in_the_order_of_the_specification() {
        let at = |path: &str| format!("https://as.example{path}");
        assert_eq!(issuer_places("https://as.example").unwrap(), [at(AUTHORIZATION), at(OPENID)]);
        let tenant = issuer_places("https://as.example/t1/").unwrap();
        let wanted = [format!("{AUTHORIZATION}/t1"), format!("{OPENID}/t1"), format!("/t1{OPENID}")];
        assert_eq!(tenant, wanted.map(|path| at(&path)));
        for bad in ["ftp://as", "https://as?x", "https://as#f", "as.example"] {
            assert_eq!(issuer_places(bad).expect_err(bad).kind, Kind::Credential);
        }
    }

    #[test]
    fn a_resource_must_be_the_server_or_above_it() {
        let read = |resource: &str| {
            let json = format!(r#"{{"resource":"{resource}","authorization_servers":["https://as"]}}"#);
            Resource::read("https://h/a/mcp", json.as_bytes())
        };
        for good in ["https://h/a/mcp", "https://h/a/mcp/", "https://h", "https://h/", "https://h/a", "https://H:443/a"]
        {
            assert_eq!(read(good).expect(good).id, good);
        }
        for bad in ["https://evil/a/mcp", "http://h/a/mcp", "https://h/a/m", "https://h/a/mcp/x", "https://h:1/a", ""] {
            assert_eq!(read(bad).expect_err(bad).kind, Kind::Credential);
        }
        let none = Resource::read("https://h", br#"{"resource":"https://h"}"#);
        assert!(none.expect_err("no server").context.contains("no authorization server"));
        assert!(Resource::read("https://h", b"<html>").is_err());
        let twice = br#"{"resource":"https://h","resource":"https://h","authorization_servers":["https://as"]}"#;
        assert!(Resource::read("https://h", twice).is_err(), "a repeated key is refused");
    }

    #[test]
    fn the_configured_issuer_must_be_among_the_servers() {
        let json = br#"{"resource":"https://h","authorization_servers":["https://one","https://two"]}"#;
        let resource = Resource::read("https://h", json).unwrap();
        assert_eq!(resource.issuer(None).unwrap(), "https://one");
        assert_eq!(resource.issuer(Some("https://two")).unwrap(), "https://two");
        assert!(resource.issuer(Some("https://two/")).is_err(), "no normalisation");
    }

    #[test]
    fn metadata_of_another_issuer_is_not_used() {
        let json =
            br#"{"issuer":"https://as","token_endpoint":"https://as/token","code_challenge_methods_supported":["S256"],
            "authorization_endpoint":"https://as/authorize","token_endpoint_auth_methods_supported":["none"]}"#;
        let server = AuthServer::read("https://as", json).unwrap();
        assert_eq!(server.authorization().unwrap(), "https://as/authorize");
        assert!(server.takes("none") && !server.takes("client_secret_basic"));
        for other in ["https://as/", "https://AS", "https://evil"] {
            assert!(AuthServer::read(other, json).expect_err(other).context.contains("another issuer"));
        }
        assert!(AuthServer::read("https://as", br#"{"issuer":"https://as"}"#).is_err());
    }

    #[test]
    fn a_server_that_is_its_own_may_be_any_issuer_at_its_origin() {
        let read = |issuer: &str| {
            let json = format!(r#"{{"issuer":"{issuer}","token_endpoint":"https://h/t"}}"#);
            AuthServer::read_own("https://h", json.as_bytes())
        };
        assert_eq!(read("https://h/oauth").unwrap().issuer, "https://h/oauth");
        assert_eq!(read("https://h").unwrap().issuer, "https://h");
        for other in ["https://evil", "http://h", "https://h.evil", "h", ""] {
            assert!(read(other).expect_err(other).context.contains("another issuer"));
        }
    }

    #[test]
    fn a_server_without_pkce_is_not_used() {
        let json = br#"{"issuer":"https://as","token_endpoint":"t","authorization_endpoint":"a"}"#;
        let silent = AuthServer::read("https://as", json).unwrap();
        assert!(silent.authorization().expect_err("no PKCE").context.contains("PKCE"));
        assert!(silent.takes("client_secret_basic"), "the default of RFC 8414");
        assert_eq!(AuthServer::fallback("https://h").authorization().unwrap(), "https://h/authorize");
    }
}
