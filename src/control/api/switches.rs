//! The kill switch: tools and servers, off and on.

use super::problem::Problem;
use super::read::{Asked, At, Page};
use crate::control::orders::{Applied, Desk};
use crate::policy::Switch;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// What a switch came to: it answers once every shard has it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Switched {
    /// Whether anything was another way before.
    changed: bool,
    /// How many shards have it: all of them.
    shards: usize,
    /// Time from the order to the last shard, in microseconds.
    took_us: u64,
}

impl From<Applied> for Switched {
    fn from(applied: Applied) -> Self {
        let took_us = u64::try_from(applied.took.as_micros()).unwrap_or(u64::MAX);
        Self { changed: applied.changed, shards: applied.shards, took_us }
    }
}

/// A tool as the gate knows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ToolEntry {
    /// `server/tool`, as patterns name it.
    name: String,
    /// The name under which clients see it.
    exposed: String,
    /// Whether it, or its server, is switched off.
    off: bool,
}

/// A page of tools.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ToolPage {
    /// The tools, by name.
    tools: Vec<ToolEntry>,
    /// What the next page comes `after`; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A server as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServerEntry {
    /// Its name.
    name: String,
    /// Whether it is switched off.
    off: bool,
    /// Whether its list is an older one: it does not answer now.
    stale: bool,
    /// How many tools it lists.
    tools: usize,
    /// Calls of it under way on all shards.
    calls_in_flight: u64,
}

/// All servers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Servers {
    /// In the order of the configuration.
    servers: Vec<ServerEntry>,
}

/// The tools that the servers list, whoever may see them.
#[utoipa::path(get, path = "/v1/tools", tag = "switches", params(Page),
    responses((status = 200, body = ToolPage),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn tools(State(desk): State<Desk>, Asked(page): Asked<Page>) -> Result<Json<ToolPage>, Problem> {
    let view = desk.view();
    let (catalog, switches) = (&view.snapshot.catalog, &view.snapshot.switches);
    let entry = |tool: &crate::catalog::Tool| {
        let server = catalog.server_name(tool.server);
        let off = switches.stops(server, Some(tool.name())).is_some();
        ToolEntry { name: format!("{server}/{}", tool.name()), exposed: tool.exposed().to_owned(), off }
    };
    let mut all: Vec<ToolEntry> = catalog.tools().iter().map(entry).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let (shown, next) = page.of(&all, |tool| &tool.name)?;
    let count = shown.len();
    let from = all.iter().position(|tool| shown.first().is_some_and(|first| first.name == tool.name)).unwrap_or(0);
    let tools = all.drain(from..from + count).collect();
    Ok(Json(ToolPage { tools, next }))
}

/// Switches a tool off: it is unlisted, calls of it are refused, and those under way cancelled, on every shard.
#[utoipa::path(post, path = "/v1/tools/{server}/{tool}/off", tag = "switches",
    params(("server" = String, Path, description = "The server's name"),
        ("tool" = String, Path, description = "The tool's name at its server")),
    responses((status = 200, body = Switched),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn tool_off(
    State(desk): State<Desk>,
    At((server, tool)): At<(String, String)>,
) -> Result<Json<Switched>, Problem> {
    let view = desk.view();
    let of_server = view.snapshot.server_by_name(&server).ok_or_else(|| no_server(&server))?.0;
    let catalog = &view.snapshot.catalog;
    if !catalog.tools().iter().any(|known| known.server == of_server && known.name() == tool) {
        return Err(Problem::not_found(format!("server {server} lists no tool {tool:.80}: see /v1/tools")));
    }
    set(&desk, Switch::Tool(server.into(), tool.into()), true).await
}

/// Switches a tool on again.
#[utoipa::path(post, path = "/v1/tools/{server}/{tool}/on", tag = "switches",
    params(("server" = String, Path, description = "The server's name"),
        ("tool" = String, Path, description = "The tool's name at its server")),
    responses((status = 200, body = Switched),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn tool_on(
    State(desk): State<Desk>,
    At((server, tool)): At<(String, String)>,
) -> Result<Json<Switched>, Problem> {
    set(&desk, Switch::Tool(server.into(), tool.into()), false).await
}

/// The servers as they stand.
#[utoipa::path(get, path = "/v1/servers", tag = "switches",
    responses((status = 200, body = Servers),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn servers(State(desk): State<Desk>) -> Json<Servers> {
    Json(Servers { servers: entries(&desk) })
}

/// Every server as it stands.
pub(super) fn entries(desk: &Desk) -> Vec<ServerEntry> {
    let view = desk.view();
    let (catalog, switches) = (&view.snapshot.catalog, &view.snapshot.switches);
    let entry = |server: &crate::catalog::ServerEntry| {
        let slot = desk.readings.servers.slot(&server.name);
        let calls = desk.readings.metrics.iter().map(|shard| shard.calls(slot).in_flight.get());
        ServerEntry {
            name: server.name.to_string(),
            off: switches.stops(&server.name, None).is_some(),
            stale: server.stale,
            tools: catalog.behind(crate::catalog::Door::Server(server.id)).count(),
            calls_in_flight: calls.sum(),
        }
    };
    catalog.servers().iter().map(entry).collect()
}

/// Switches a server off: all it lists is unlisted, calls of it are refused, and those under way cancelled, on every
/// shard.
#[utoipa::path(post, path = "/v1/servers/{server}/off", tag = "switches",
    params(("server" = String, Path, description = "The server's name")),
    responses((status = 200, body = Switched),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn server_off(State(desk): State<Desk>, At(server): At<String>) -> Result<Json<Switched>, Problem> {
    desk.view().snapshot.server_by_name(&server).ok_or_else(|| no_server(&server))?;
    set(&desk, Switch::Server(server.into()), true).await
}

/// Switches a server on again.
#[utoipa::path(post, path = "/v1/servers/{server}/on", tag = "switches",
    params(("server" = String, Path, description = "The server's name")),
    responses((status = 200, body = Switched),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn server_on(State(desk): State<Desk>, At(server): At<String>) -> Result<Json<Switched>, Problem> {
    set(&desk, Switch::Server(server.into()), false).await
}

/// Switches, and waits until every shard has it.
pub(super) async fn set(desk: &Desk, switch: Switch, off: bool) -> Result<Json<Switched>, Problem> {
    Ok(Json(desk.switch(switch, off).await?.into()))
}

fn no_server(name: &str) -> Problem {
    Problem::not_found(format!("no server is called {name:.40}: see /v1/servers"))
}
