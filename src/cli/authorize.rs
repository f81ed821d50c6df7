//! `tollgate authorize`: a person allows the gate at a server, once.

use crate::base::error::{Error, Kind};
use crate::cli::{Failure, output};
use crate::config::state::StateDir;
use crate::config::{Compiled, Purpose, UNREAD, nearest};
use crate::control::Visit;
use crate::rt::signal;
use crate::upstream::oauth::{Grant, OauthSpec, Secret};
use crate::upstream::spec::{HttpSpec, ServerSpec};
use clap::Args;
use std::path::Path;

/// Arguments of `authorize`.
#[derive(Debug, Args)]
pub struct AuthorizeArgs {
    /// The server, by its name in the configuration
    server: String,
    /// Register the gate again at the authorization server, where it registers itself
    #[arg(long)]
    anew: bool,
}

pub(crate) fn run(args: &AuthorizeArgs, config: &Path) -> Result<(), Failure> {
    let compiled = Compiled::load(config, Purpose::Check)?;
    let server = find(&compiled, &args.server)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::from)?;
    runtime.block_on(authorize(&compiled.settings.state, server, args.anew))
}

fn find<'a>(compiled: &'a Compiled, name: &str) -> Result<&'a ServerSpec, Error> {
    let wrong = |what: String| Error::new(Kind::InvalidParams, what);
    let Some(server) = compiled.server(name) else {
        let known: Vec<&str> = compiled.servers.iter().map(|server| &*server.name).collect();
        let hint = nearest(name, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        return Err(wrong(format!("no enabled server is called {}{hint}", output::tame(name))));
    };
    match server.oauth() {
        Some((http, oauth)) if is_unread(http, oauth) => Err(wrong(format!(
            "a credential of {name} is passed to the unit only; run the command where it can be read"
        ))),
        Some((_, oauth)) if oauth.grant == Grant::AuthorizationCode => Ok(server),
        Some(_) => Err(wrong(format!("{name} needs no person: the gate gets its tokens in its own name"))),
        None => Err(wrong(format!("{name} has no `[servers.{name}.oauth]` table"))),
    }
}

/// Whether something that would be sent could not be read from here.
fn is_unread(http: &HttpSpec, oauth: &OauthSpec) -> bool {
    let secrets = [&oauth.client_secret, &oauth.private_key].into_iter().flatten().map(Secret::reveal);
    secrets.chain(oauth.client_id.as_deref()).chain([&*http.url]).any(|value| value == UNREAD)
}

async fn authorize(state: &StateDir, server: &ServerSpec, anew: bool) -> Result<(), Failure> {
    let name = &server.name;
    let visit = Visit::begin(state, server, anew).await.map_err(|error| error.at(name))?;
    output::complain(&format!(
        "open this page in a browser on this machine, and allow the gate at {}:\n",
        visit.issuer()
    ));
    output::print(&format!("{}\n", visit.page()))?;
    let scopes = visit.finish(state).await.map_err(|error| error.at(name))?;
    let scopes = scopes.text().map(|text| format!(" with the scopes {}", output::tame(&text))).unwrap_or_default();
    output::complain(&format!("the gate is authorized at {name}{scopes}{}\n", told(state)));
    Ok(())
}

fn told(state: &StateDir) -> String {
    let Some(pid) = state.running() else { return "; no gate runs on this state directory now".into() };
    match signal::hang_up(pid) {
        Ok(()) => format!("; the running gate (pid {pid}) takes the token up"),
        Err(error) => format!("; the running gate (pid {pid}) could not be told ({error}): reload it"),
    }
}
