//! What the gate does now.

use super::problem::Problem;
use super::switches::{ServerEntry, entries};
use crate::control::orders::Desk;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// The gate as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GateState {
    /// Its version.
    version: &'static str,
    /// Its process.
    pid: u32,
    /// Whether it takes requests.
    ready: bool,
    /// The number of the configuration in force.
    epoch: u64,
    /// Its shards.
    shards: Vec<ShardState>,
    /// Its servers.
    servers: Vec<ServerEntry>,
    /// How many keys it knows.
    keys: usize,
    /// What is switched off.
    switched_off: Off,
}

/// What is switched off, as `tollgate key revoke`, `tool off` and `server off` name it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Off {
    /// Keys that were revoked.
    keys: Vec<String>,
    /// Tools.
    tools: Vec<String>,
    /// Servers.
    servers: Vec<String>,
}

/// One shard.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ShardState {
    /// Its number.
    id: usize,
    /// The number of the configuration it has.
    epoch: u64,
    /// Client connections.
    connections: u64,
    /// Calls that wait for their client.
    parked_calls: u64,
    /// Entries that its journal has taken since it began.
    journal_entries: u64,
}

/// What the gate does now.
#[utoipa::path(get, path = "/v1/state", tag = "state",
    responses((status = 200, body = GateState),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn state(State(desk): State<Desk>) -> Json<GateState> {
    let view = desk.view();
    let switches = &view.snapshot.switches;
    let shards = desk.readings.metrics.iter().enumerate().map(|(id, shard)| ShardState {
        id,
        epoch: shard.epoch.get(),
        connections: shard.connections_open.get(),
        parked_calls: shard.parked_calls.get(),
        journal_entries: shard.journal.entries.get(),
    });
    Json(GateState {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        ready: desk.readings.health.ready(),
        epoch: view.snapshot.epoch.0,
        shards: shards.collect(),
        servers: entries(&desk),
        keys: view.snapshot.keys.entries().len(),
        switched_off: Off {
            keys: switches.keys.iter().map(ToString::to_string).collect(),
            tools: switches.tools.iter().map(|(server, tool)| format!("{server}/{tool}")).collect(),
            servers: switches.servers.iter().map(ToString::to_string).collect(),
        },
    })
}
