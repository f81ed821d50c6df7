//! What a run is asked to do: the scenario as compiled, where to, how hard, for how long.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The protocol era the clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Era {
    /// 2026-07-28 on: stateless, per-request metadata.
    Modern,
    /// `initialize` and sessions.
    Legacy,
}

/// What is loaded.
#[derive(Clone, Debug)]
pub struct Target {
    /// How reports name it: `direct`, `relay`, `gate`, or the name of a peer.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// `Host` header.
    pub host: String,
    /// Path of the MCP endpoint, for instance `/mcp`.
    pub path: String,
    /// Bearer keys, used in turn; empty: no `Authorization` header.
    pub keys: Vec<String>,
    /// What stands before a tool's own name, for instance `fake__` behind a gate, empty in front of the server itself.
    pub prefix: String,
    /// Prometheus text of the target, where it has one: phases of the report come from it.
    pub metrics: Option<(SocketAddr, String)>,
    /// Process whose CPU time is counted, with all its threads, where it is known.
    pub process: Option<u32>,
}

/// How hard.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// Every connection sends its next request when the answer to the last is there.
    Closed,
    /// Requests start at their appointed times, whatever the answers do. Stages follow each other.
    Open(Vec<Stage>),
}

/// One part of an open-loop profile: the rate goes from `from` to `to` (requests a second, of all cores together) in a
/// straight line; both are the same for a constant rate, and steps are stages without slope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Rate at its start, requests a second.
    pub from: f64,
    /// Rate at its end, requests a second.
    pub to: f64,
    /// How long it lasts.
    pub lasts: Duration,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Order {
    /// The scenario's file, or its name where it is a built-in one.
    pub scenario: PathBuf,
    /// Era of the clients; nothing: what the scenario says.
    pub era: Option<Era>,
    /// How hard.
    pub load: Load,
    /// Connections of all cores together.
    pub connections: usize,
    /// Left out of every figure.
    pub warm_up: Duration,
    /// Measured time after the warm-up. An open profile's stages follow the warm-up, which runs at the first rate.
    pub lasts: Duration,
    /// Patience with one request; a late answer counts as the error `timeout`.
    pub patience: Duration,
    /// Cores of the client threads, one thread each.
    pub cores: Vec<usize>,
}
