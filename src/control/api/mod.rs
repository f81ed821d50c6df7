//! The admin API: what runs the gate from outside, over a socket of the state directory or, with a token, over
//! loopback.
//!
//! | file | what it holds |
//! |---|---|
//! | `guard.rs`, `roles.rs` | who asks, and the one table of who may use which route |
//! | `read.rs`, `problem.rs` | what a request says, and how it fails |
//! | `stored.rs` | changes of what is kept in the store |
//! | `switches.rs`, `keys.rs`, `callers.rs`, `limits.rs`, `config.rs`, `state.rs` | the routes |
//!
//! No route spawns, fetches or evaluates anything that a request brings.

mod callers;
mod config;
mod guard;
mod keys;
mod limits;
mod problem;
mod read;
mod roles;
mod state;
mod stored;
mod switches;

use crate::base::limits::ADMIN_BODY_MAX;
use crate::control::admin;
use crate::control::orders::Desk;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use guard::Peer;
use problem::Problem;
use tokio::net::{TcpListener, UnixListener};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(title = "Tollgate admin API", description = "Runs a gate from outside; see docs/admin-api.md."),
    paths(
        openapi,
        state::state,
        keys::list,
        keys::create,
        keys::get,
        keys::set_key,
        keys::delete,
        keys::revoke,
        callers::teams,
        callers::team,
        callers::put_team,
        callers::delete_team,
        callers::customers,
        callers::customer,
        callers::put_customer,
        callers::delete_customer,
        limits::limits,
        switches::tools,
        switches::tool_off,
        switches::tool_on,
        switches::servers,
        switches::server_off,
        switches::server_on,
        config::check,
        config::diff,
        config::reload,
    ),
    components(schemas(Problem)),
    security(("admin_token" = [])),
    modifiers(&Secured)
)]
struct Document;

/// How the document says that a token is wanted.
struct Secured;

impl Modify for Secured {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let token = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        document.components.get_or_insert_default().add_security_scheme("admin_token", token);
    }
}

/// Serves health, metrics and, to holders of a token, the API on the admin listener. Beyond loopback the token would
/// cross the network in clear text, so the API is not there.
pub(super) async fn serve(listener: TcpListener, desk: Desk) {
    let is_loopback = listener.local_addr().is_ok_and(|at| at.ip().is_loopback());
    let open = admin::router(desk.readings.clone());
    let router = if is_loopback { open.merge(router(desk)) } else { open };
    let service = router.into_make_service_with_connect_info::<Peer>();
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!(%error, "the admin listener ended");
    }
}

/// Serves all of it on the socket of the state directory.
pub(super) async fn serve_local(listener: UnixListener, desk: Desk) {
    let router = admin::router(desk.readings.clone()).merge(router(desk));
    let service = router.into_make_service_with_connect_info::<Peer>();
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!(%error, "the admin socket ended");
    }
}

fn router(desk: Desk) -> Router {
    let routes = Router::new()
        .route("/v1/openapi.json", get(openapi))
        .route("/v1/state", get(state::state))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", get(keys::get).patch(keys::set_key).delete(keys::delete))
        .route("/v1/keys/{id}/revoke", post(keys::revoke))
        .route("/v1/teams", get(callers::teams))
        .route("/v1/teams/{name}", get(callers::team).put(callers::put_team).delete(callers::delete_team))
        .route("/v1/customers", get(callers::customers))
        .route(
            "/v1/customers/{name}",
            get(callers::customer).put(callers::put_customer).delete(callers::delete_customer),
        )
        .route("/v1/tools", get(switches::tools))
        .route("/v1/tools/{server}/{tool}/off", post(switches::tool_off))
        .route("/v1/tools/{server}/{tool}/on", post(switches::tool_on))
        .route("/v1/servers", get(switches::servers))
        .route("/v1/servers/{server}/off", post(switches::server_off))
        .route("/v1/servers/{server}/on", post(switches::server_on))
        .route("/v1/limits", get(limits::limits))
        .route("/v1/config/check", get(config::check))
        .route("/v1/config/diff", get(config::diff))
        .route("/v1/config/reload", post(config::reload));
    routes
        .route_layer(from_fn_with_state(desk.clone(), guard::guard))
        .fallback(nowhere)
        .layer(DefaultBodyLimit::max(ADMIN_BODY_MAX))
        .with_state(desk)
}

/// The OpenAPI document of this API.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "state",
    responses((status = 200, body = Object),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
async fn openapi() -> impl IntoResponse {
    Json(Document::openapi())
}

async fn nowhere(request: Request) -> Problem {
    Problem::not_found(format!("nothing is served at {:.200}: see /v1/openapi.json", request.uri().path()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A route without a role is refused to everybody; one that is not in the document is unknown to everybody.
    #[test]
    fn every_route_is_in_the_document_and_has_its_roles() {
        let document = serde_json::to_value(Document::openapi()).expect("json");
        let paths = document["paths"].as_object().expect("paths");
        let written: BTreeSet<_> = paths
            .iter()
            .flat_map(|(path, methods)| {
                methods
                    .as_object()
                    .expect("methods")
                    .keys()
                    .map(move |method| format!("{} {path}", method.to_uppercase()))
            })
            .collect();
        let ruled: BTreeSet<_> = roles::RULES.iter().map(|rule| format!("{} {}", rule.method, rule.path)).collect();
        assert_eq!(written, ruled);
    }
}
