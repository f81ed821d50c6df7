//! The configuration file: what is wrong with it, what it would change, and taking it. Always the gate's own file:
//! no request names one or brings one.

use super::problem::Problem;
use crate::config::{Compiled, Diff, Purpose};
use crate::control::orders::Desk;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// What is to be said of the file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Checked {
    /// Whether a reload would take it.
    ok: bool,
    /// Errors and warnings, one line each.
    findings: Vec<String>,
}

/// What changes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Changes {
    /// Servers that come.
    servers_added: Vec<String>,
    /// Servers that go.
    servers_removed: Vec<String>,
    /// Servers that are reached or treated another way.
    servers_changed: Vec<String>,
    /// Keys that come.
    keys_added: Vec<String>,
    /// Keys that go.
    keys_removed: Vec<String>,
    /// Keys that change.
    keys_changed: Vec<String>,
    /// Whether what a request without a key may use changes.
    anonymous: bool,
    /// Whether teams, customers or limits change.
    levels: bool,
    /// Settings that change with a reload.
    settings: Vec<&'static str>,
    /// Settings that change with a restart only.
    restart: Vec<&'static str>,
}

impl From<Diff> for Changes {
    fn from(diff: Diff) -> Self {
        let texts = |names: Vec<Box<str>>| names.into_iter().map(String::from).collect();
        let ids = |ids: Vec<crate::base::ids::KeyId>| ids.iter().map(ToString::to_string).collect();
        Self {
            servers_added: texts(diff.servers_added),
            servers_removed: texts(diff.servers_removed),
            servers_changed: texts(diff.servers_changed),
            keys_added: ids(diff.keys_added),
            keys_removed: ids(diff.keys_removed),
            keys_changed: ids(diff.keys_changed),
            anonymous: diff.anonymous,
            levels: diff.levels,
            settings: diff.settings,
            restart: diff.restart,
        }
    }
}

/// Looks the configuration file over.
#[utoipa::path(get, path = "/v1/config/check", tag = "config",
    responses((status = 200, body = Checked),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn check(State(desk): State<Desk>) -> Result<Json<Checked>, Problem> {
    let checked = match load(&desk).await? {
        Ok(compiled) => Checked { ok: true, findings: compiled.warnings.lines() },
        Err(findings) => Checked { ok: false, findings },
    };
    Ok(Json(checked))
}

/// What a reload would change.
#[utoipa::path(get, path = "/v1/config/diff", tag = "config",
    responses((status = 200, body = Changes),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "The file has errors"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn diff(State(desk): State<Desk>) -> Result<Json<Changes>, Problem> {
    let compiled = load(&desk).await?.map_err(wrong)?;
    Ok(Json(Diff::between(&desk.view().compiled, &compiled).into()))
}

/// Reads the file and the stored keys anew, and answers once every shard has them. A file with errors changes nothing.
#[utoipa::path(post, path = "/v1/config/reload", tag = "config",
    responses((status = 200, body = Changes),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "The file has errors"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn reload(State(desk): State<Desk>) -> Result<Json<Changes>, Problem> {
    Ok(Json(desk.reload().await.map_err(wrong)?.into()))
}

fn wrong(findings: Vec<String>) -> Problem {
    Problem::findings("the configuration has errors and is not taken: mend them", findings)
}

async fn load(desk: &Desk) -> Result<Result<Arc<Compiled>, Vec<String>>, Problem> {
    let path = desk.view().compiled.path.clone();
    let loading = tokio::task::spawn_blocking(move || Compiled::load(&path, Purpose::Check));
    let loaded = loading.await.map_err(|error| Problem::bad(error.to_string()))?;
    Ok(loaded.map(Arc::new).map_err(|report| report.lines()))
}
