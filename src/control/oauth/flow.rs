//! Discovery, registration and tokens, step by step.

use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result, Retry, Side};
use crate::control::oauth::fetch::{Body, Fetch, Got};
use crate::rt::random;
use crate::upstream::oauth::{
    self, Account, AuthServer, Challenge, Client, Form, Grant, Grantor, OauthSpec, Registration, Resource, Scopes,
    Secret, Token,
};
use crate::upstream::spec::HttpSpec;

/// What is known of a server's authorization.
pub(super) struct Found {
    /// What tokens are for.
    pub(super) resource: String,
    /// Who gives them.
    pub(super) server: AuthServer,
    /// The scopes that the server says it knows.
    pub(super) scopes: Scopes,
}

/// A token that was given, and who the gate became for it.
pub(super) struct Obtained {
    /// Who gave it.
    pub(super) issuer: String,
    /// Whom the gate registered itself as, if it did.
    pub(super) client: Option<Client>,
    /// The token.
    pub(super) token: Token,
}

fn wrong(context: String) -> Error {
    Error::new(Kind::Credential, context).side(Side::Upstream)
}

/// A body where there is one; nothing where there is no such document.
///
/// # Errors
/// The peer is in trouble.
fn document(url: &str, got: Got) -> Result<Option<Got>> {
    match got.status {
        200 => Ok(Some(got)),
        408 | 429 | 500.. => Err(wrong(format!("{url} answered {}", got.status)).retry(Retry::Safe)),
        _ => Ok(None),
    }
}

/// Finds out who gives tokens for a server.
///
/// # Errors
/// Nobody, or whoever it is cannot be used.
pub(super) async fn discover(fetch: &Fetch, http: &HttpSpec, spec: &OauthSpec, said: &Challenge) -> Result<Found> {
    for place in oauth::metadata_places(&http.url, said)? {
        if let Some(got) = document(&place, fetch.get(&place).await?)? {
            let resource = Resource::read(&http.url, &got.body)?;
            let issuer = resource.issuer(spec.issuer.as_deref())?;
            let server = metadata(fetch, issuer, AuthServer::read).await?;
            let none = || wrong(format!("{} has no metadata document", issuer.escape_debug()));
            return Ok(Found { server: server.ok_or_else(none)?, resource: resource.id, scopes: resource.scopes });
        }
    }
    if let Some(place) = &said.resource_metadata {
        return Err(wrong(format!("{} has no metadata document of the server", place.escape_debug())));
    }
    // 2025-03-26: the server is its own authorization server, with documents or without.
    let server = match spec.issuer.as_deref() {
        Some(issuer) => metadata(fetch, issuer, AuthServer::read).await?,
        None => None,
    };
    let origin = oauth::fallback_issuer(&http.url)?;
    let server = match (server, &spec.issuer) {
        (Some(server), _) => server,
        (None, Some(issuer)) if **issuer != *origin => return Err(wrong(format!("{issuer} has no metadata document"))),
        (None, _) => {
            let own = metadata(fetch, &origin, AuthServer::read_own).await?;
            own.unwrap_or_else(|| AuthServer::fallback(&origin))
        }
    };
    Ok(Found { resource: oauth::canonical(&http.url)?, server, scopes: Scopes::default() })
}

async fn metadata(
    fetch: &Fetch,
    issuer: &str,
    read: fn(&str, &[u8]) -> Result<AuthServer>,
) -> Result<Option<AuthServer>> {
    for place in oauth::issuer_places(issuer)? {
        if let Some(got) = document(&place, fetch.get(&place).await?)? {
            return read(issuer, &got.body).map(Some);
        }
    }
    Ok(None)
}

/// What a server demands, asked of it without a token. Some let a handshake pass, so what is asked for is a list.
///
/// # Errors
/// It cannot be reached.
pub(super) async fn probe(fetch: &Fetch, http: &HttpSpec) -> Result<Challenge> {
    let ask = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
    fetch.send(&http.url, Body::Json(ask)).await.map(|got| got.challenge)
}

/// The client to be at this authorization server. With the gate's own credentials, it must be the server that they
/// were first used at.
///
/// # Errors
/// It is not, or there is no way to become one.
pub(super) fn registration(spec: &OauthSpec, account: &Account, found: &Found) -> Result<Registration> {
    let issuer = &found.server.issuer;
    let bound = spec.client_id.is_some() && spec.issuer.is_none();
    if let Some(known) = account.issuer.as_ref().filter(|known| bound && *known != issuer) {
        return Err(wrong(format!(
            "the server's tokens now come from {}, and `oauth.client_id` was used at {known}; set `oauth.issuer` if \
             both are right",
            issuer.escape_debug()
        )));
    }
    let kept = account.issuers.get(issuer).and_then(|held| held.client.as_ref());
    oauth::registration(spec, &found.server, kept)
}

/// Registers the gate.
///
/// # Errors
/// The authorization server does not want that.
pub(super) async fn register(
    fetch: &Fetch,
    spec: &OauthSpec,
    found: &Found,
    at: &str,
    redirect: &str,
    scopes: &Scopes,
) -> Result<Client> {
    let body = oauth::register(spec, &found.server, redirect, scopes).to_string();
    let got = fetch.send(at, Body::Json(&body)).await?;
    if !matches!(got.status, 200 | 201) {
        let (issuer, status) = (&found.server.issuer, got.status);
        return Err(wrong(format!(
            "{issuer} did not let the gate register itself ({status}); register it there, and set `oauth.client_id`"
        )));
    }
    oauth::registered(spec, &found.server, redirect, &got.body)
}

/// Asks the token endpoint. `sign` writes the form.
///
/// # Errors
/// As it refuses.
pub(super) async fn token(
    fetch: &Fetch,
    (spec, found, client): (&OauthSpec, &Found, &Client),
    asked: &Scopes,
    kept: Option<&Secret>,
    sign: impl FnOnce(&Grantor<'_>) -> Result<(Form, Option<Secret>)>,
) -> Result<Token> {
    let (server, now) = (&found.server, Clock::wall());
    let mut number = [0; 16];
    random::fill(&mut number);
    let number = crate::config::state::hex(&number);
    let grantor = Grantor { spec, client, issuer: &server.issuer, resource: &found.resource, number: &number, now };
    let (form, sender) = sign(&grantor)?;
    let got = fetch.send(&server.token_endpoint, Body::Form(form.text(), sender.as_ref())).await?;
    Token::read(got.status, &got.body, asked, kept, now)
}

/// Gets a token without a person: with the refresh token, or in the gate's own name.
///
/// # Errors
/// There is no way, or the authorization server refuses.
pub(super) async fn renew(http: &HttpSpec, spec: &OauthSpec, account: &Account) -> Result<Obtained> {
    let fetch = Fetch::new(http, spec.issuer.as_deref()).await?;
    let found = discover(&fetch, http, spec, &account.challenge).await?;
    let issuer = found.server.issuer.clone();
    let held = account.token().filter(|_| account.issuer.as_deref() == Some(&*issuer));
    let client = match registration(spec, account, &found)? {
        Registration::Known(client) => client,
        Registration::At(_) => return Err(wrong(format!("the gate is not registered at {}", issuer.escape_debug()))),
    };
    let before = held.map(|token| token.scopes.clone()).unwrap_or_default();
    let who = (spec, &found, &client);
    let token = match (spec.grant, held.and_then(|token| token.refresh.as_ref())) {
        (Grant::ClientCredentials, _) => {
            let challenged = &account.challenge.scopes;
            let scopes = Scopes::choose(&spec.scopes, &before, challenged, &found.scopes, None);
            token(&fetch, who, &scopes, None, |grantor| oauth::of_client(grantor, &scopes)).await?
        }
        (Grant::AuthorizationCode, Some(refresh)) => {
            token(&fetch, who, &before, Some(refresh), |grantor| oauth::of_refresh(grantor, refresh)).await?
        }
        (Grant::AuthorizationCode, None) => return Err(wrong("the server's tokens come from elsewhere now".into())),
    };
    Ok(Obtained { issuer, client: None, token })
}
