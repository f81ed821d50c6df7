//! Log events that operators search for: one function each, so that name, level and fields stay the same everywhere.
//!
//! Text that came from outside goes in as a `Debug` field, which escapes control characters.

use crate::base::error::Error;
use crate::base::ids::{Epoch, ShardId};

/// A server answers again; `tools` were listed.
pub fn upstream_up(server: &str, era: &str, tools: usize) {
    tracing::info!(event = "upstream_up", server, era, tools, "server {server} is up with {tools} tools");
}

/// A server cannot be reached or misbehaves; its last good list stays.
pub fn upstream_down(server: &str, error: &Error) {
    let kind = error.kind.name();
    tracing::warn!(event = "upstream_down", server, kind, ?error.context, "server {server} is down");
}

/// A server has no token, or not one that is good for everything.
pub fn token_trouble(server: &str, error: &Error) {
    tracing::warn!(event = "token_trouble", server, ?error.context, "server {server} lacks a token");
}

/// A server has another token from now on.
pub fn token_taken(server: &str) {
    tracing::info!(event = "token_taken", server, "server {server} has another token");
}

/// A stdio server's process ended without being asked to.
pub fn child_exited(server: &str, status: &str, restart_in_ms: u64) {
    tracing::warn!(event = "child_exited", server, status, restart_in_ms, "server {server} ended: {status}");
}

/// A line a stdio server wrote to its stderr.
pub fn child_stderr(server: &str, line: &str) {
    tracing::info!(event = "child_stderr", server, ?line);
}

/// A shard's journal takes no more entries: calls fail until the gate is restarted.
pub fn journal_poisoned(shard: ShardId, error: &Error) {
    tracing::error!(event = "journal_poisoned", shard = shard.0, "{error}");
}

/// A new snapshot is in use.
pub fn snapshot_swapped(epoch: Epoch, servers: usize, tools: usize, keys: usize) {
    tracing::info!(
        event = "snapshot_swapped",
        epoch = epoch.0,
        servers,
        tools,
        keys,
        "configuration {} is in use",
        epoch.0
    );
}

/// A reload was refused; what ran before goes on.
pub fn reload_refused(error: &Error) {
    tracing::error!(event = "reload_refused", ?error.context, "the new configuration is refused, the old one stays");
}

/// A tool is kept from clients until somebody approves its definition.
pub fn tool_withheld(server: &str, tool: &str, standing: &str, why: &str) {
    let help = "see `tollgate drift list`";
    tracing::warn!(
        event = "tool_withheld",
        server,
        ?tool,
        standing,
        ?why,
        "a tool of server {server} is withheld; {help}"
    );
}

/// A tool changed in a way that needs no approval, or is suspicious and served all the same.
pub fn tool_changed(server: &str, tool: &str, standing: &str, why: &str) {
    tracing::info!(event = "tool_changed", server, ?tool, standing, ?why, "a tool of server {server} changed");
}

/// The pins of a server cannot be read: what they are of is withheld.
pub fn pins_unreadable(server: &str, faults: u64) {
    let help = "restore its file in `pins` of the state directory; see `tollgate drift list`";
    tracing::error!(event = "pins_unreadable", server, faults, "pins of server {server} cannot be read; {help}");
}

/// What was seen first of a server could not be kept: after a restart it is seen first again.
pub fn pins_not_kept(server: &str, error: &Error) {
    tracing::error!(event = "pins_not_kept", server, ?error.context, "new pins of server {server} could not be kept");
}

/// A tool definition was left out of the catalogue.
pub fn tool_dropped(server: &str, tool: &str, why: &str) {
    tracing::warn!(event = "tool_dropped", server, ?tool, why, "a tool of server {server} is left out");
}

/// A connection was dropped because its client broke a rule or a bound.
pub fn connection_dropped(shard: ShardId, error: &Error) {
    tracing::debug!(event = "connection_dropped", shard = shard.0, kind = error.kind.name(), ?error.context);
}
