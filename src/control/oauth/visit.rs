//! The one time a person is asked: a page to open, and a loopback listener that the browser is sent back to.

use crate::base::error::{Error, Kind, Result, Side};
use crate::base::limits::OAUTH_PERSON_MS;
use crate::config::state::StateDir;
use crate::control::oauth::fetch::Fetch;
use crate::control::oauth::flow::{self, Found};
use crate::rt::random;
use crate::upstream::oauth::{
    self, Account, Ask, Challenge, Client, OauthSpec, Pending, Registration, Returned, Scopes,
};
use crate::upstream::spec::{HttpSpec, ServerSpec, Target};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, HeaderName};
use axum::routing::get;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Time the browser has to read that it is done.
const PARTING: Duration = Duration::from_secs(1);

/// An authorization that waits for a person.
pub struct Visit {
    name: Box<str>,
    http: HttpSpec,
    spec: OauthSpec,
    fetch: Fetch,
    found: Found,
    client: Client,
    scopes: Scopes,
    redirect: String,
    listener: TcpListener,
    pending: Pending,
    page: String,
}

impl Visit {
    /// Finds out who is to be asked, becomes a client there, and opens the listener. With `anew`, the gate registers
    /// itself again where it can.
    ///
    /// # Errors
    /// There is nobody to ask, or no way to become a client there.
    pub async fn begin(state: &StateDir, server: &ServerSpec, anew: bool) -> Result<Self> {
        let Some((http, spec)) = server.oauth() else { return Err(wrong("the server has no `oauth` table".into())) };
        let fetch = Fetch::new(http, spec.issuer.as_deref()).await?;
        let mut account = state.account(&server.name, &http.resource())?;
        if account.challenge == Challenge::default() {
            account.challenge = flow::probe(&fetch, http).await?;
        }
        let found = flow::discover(&fetch, http, spec, &account.challenge).await?;
        let scopes = scopes(spec, &account, &found);
        if let Some(held) = account.issuers.get_mut(&found.server.issuer).filter(|_| anew) {
            held.client = None;
        }
        let mut registration = flow::registration(spec, &account, &found)?;
        let port = match &registration {
            Registration::Known(Client { redirect: Some(redirect), .. }) => Target::parse(redirect)?.port,
            _ => spec.redirect_port.unwrap_or(0),
        };
        let (listener, is_same) = listen(port, spec.redirect_port.is_some()).await?;
        if let (Registration::Known(Client { redirect: Some(_), .. }), false) = (&registration, is_same) {
            // The port it was registered with is taken, and not every server takes another.
            registration = flow::registration(spec, &Account::new(&http.resource()), &found)?;
        }
        let redirect = format!("http://127.0.0.1:{}/callback", listener.local_addr()?.port());
        let client = match registration {
            Registration::Known(client) => client,
            Registration::At(at) => flow::register(&fetch, spec, &found, &at, &redirect, &scopes).await?,
        };
        let mut random = [[0; 32]; 2];
        random.iter_mut().for_each(|bytes| random::fill(bytes));
        let ask = Ask { client: &client.id, redirect: &redirect, resource: &found.resource, scopes: &scopes };
        fetch.admit(found.server.authorization()?).await?;
        let (pending, page) = Pending::begin(&found.server, &ask, &random[0], &random[1])?;
        let (name, http, spec) = (server.name.clone(), http.clone(), spec.clone());
        Ok(Self { name, http, spec, fetch, found, client, scopes, redirect, listener, pending, page })
    }

    /// The page to open.
    pub fn page(&self) -> &str {
        &self.page
    }

    /// Who is asked.
    pub fn issuer(&self) -> &str {
        &self.found.server.issuer
    }

    /// Waits for the browser to come back, gets the token, and keeps it. Gives its scopes.
    ///
    /// # Errors
    /// Nobody came in time, or the answer is a refusal or not to be trusted.
    pub async fn finish(self, state: &StateDir) -> Result<Scopes> {
        let Self { name, http, spec, fetch, found, client, scopes, redirect, listener, pending, .. } = self;
        let pending = Arc::new(pending);
        let waited = timeout(Duration::from_millis(OAUTH_PERSON_MS), answer(listener, pending.clone())).await;
        let late = |_| wrong("nobody allowed the gate in time; run the command again".into());
        let code = waited.map_err(late)??;
        let sign = |grantor: &oauth::Grantor<'_>| oauth::of_code(grantor, &code, pending.verifier(), &redirect);
        let token = flow::token(&fetch, (&spec, &found, &client), &scopes, None, sign).await?;
        let own = Some(client).filter(|client| client.redirect.is_some());
        let given = token.scopes.clone();
        state.change_account(&name, &http.resource(), |account| account.take(&found.server.issuer, own, token))?;
        Ok(given)
    }
}

fn wrong(context: String) -> Error {
    Error::new(Kind::Credential, context).side(Side::Upstream)
}

/// What to ask for: what was asked for before stays, so that a demand for more does not lose what there is.
fn scopes(spec: &OauthSpec, account: &Account, found: &Found) -> Scopes {
    let before = account.issuers.get(&found.server.issuer).and_then(|held| held.token.as_ref());
    let before = before.map(|token| token.scopes.clone()).unwrap_or_default();
    let listed = found.server.scopes();
    Scopes::choose(&spec.scopes, &before, &account.challenge.scopes, &found.scopes, Some(&listed))
}

/// Listens on this port, else on any unless it must be this. Whether it is.
async fn listen(port: u16, must: bool) -> Result<(TcpListener, bool)> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => Ok((listener, true)),
        Err(error) if must || port == 0 => {
            let context = format!("cannot listen on 127.0.0.1:{port} for the browser: {error}");
            Err(Error::new(Kind::Io, context))
        }
        Err(_) => Ok((TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?, false)),
    }
}

#[derive(Clone)]
struct Waiting {
    pending: Arc<Pending>,
    told: mpsc::Sender<Result<String>>,
}

/// Waits for the browser, and gives the code it brings.
async fn answer(listener: TcpListener, pending: Arc<Pending>) -> Result<String> {
    let (told, mut tell) = mpsc::channel(1);
    let (stop, stopped) = oneshot::channel::<()>();
    let routes = Router::new().route("/callback", get(callback)).with_state(Waiting { pending, told });
    let served = axum::serve(listener, routes).with_graceful_shutdown(async { drop(stopped.await) });
    let serving = tokio::spawn(async move { served.await });
    let outcome = tell.recv().await.unwrap_or_else(|| Err(wrong("the listener for the browser ended".into())));
    drop(stop);
    // The browser reads the page it was sent, if it does so soon.
    let _ = timeout(PARTING, serving).await;
    outcome
}

/// Whoever is answered goes: the listener ends with its last connection.
type Page = (StatusCode, [(HeaderName, &'static str); 1], String);

async fn callback(State(waiting): State<Waiting>, RawQuery(query): RawQuery) -> Page {
    let page = |status, text: String| (status, [(CONNECTION, "close")], text);
    match waiting.pending.judge(query.as_deref().unwrap_or_default()) {
        Ok(Returned::Foreign) => page(StatusCode::BAD_REQUEST, "this is not the answer that is waited for\n".into()),
        Ok(Returned::Code(code)) => {
            let _ = waiting.told.try_send(Ok(code));
            page(StatusCode::OK, "the answer has arrived; you may close this page and go back to the terminal\n".into())
        }
        Err(error) => {
            let text = format!("{error}\n");
            let _ = waiting.told.try_send(Err(error));
            page(StatusCode::BAD_REQUEST, text)
        }
    }
}
