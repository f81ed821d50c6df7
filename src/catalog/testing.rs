//! Catalogues for the tests of this folder and those above it.

use super::{Catalog, Leg, ServerList, catalogue::Listed};
use crate::base::{clock::WallTime, ids::ServerId};

/// The list a server would have given.
pub(crate) fn list(listed: &Listed) -> ServerList {
    let tools = listed.tools.iter().map(|tool| tool.clone().into()).collect();
    let server = listed.server.as_str().into();
    ServerList { server, leg: Leg::Modern, fetched_at: WallTime(1), stale: false, tools }
}

/// A catalogue of these servers in this order.
pub(crate) fn build(servers: &[Listed]) -> Catalog {
    let lists: Vec<_> = servers.iter().map(list).collect();
    let ids = (0..).map(ServerId);
    let entries: Vec<_> = ids.zip(&lists).map(|(id, list)| (id, &*list.server, list)).collect();
    Catalog::build(&entries)
}

/// A catalogue of plain tools: server names with tool names.
pub(crate) fn plain(servers: &[(&str, &[&str])]) -> Catalog {
    let tool = |name: &&str| serde_json::json!({"name": name, "inputSchema": {"type": "object"}}).to_string();
    let listed = |(server, tools): &(&str, &[&str])| Listed {
        server: (*server).to_owned(),
        tools: tools.iter().map(tool).collect(),
    };
    build(&servers.iter().map(listed).collect::<Vec<_>>())
}
