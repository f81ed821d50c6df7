//! Catalogues for the tests of this folder and those above it.

use super::catalogue::{self, Listed};
use super::{Catalog, ListKind, Offers, ServerList};
use crate::base::{clock::WallTime, ids::ServerId};

/// The list a server would have given.
pub(crate) fn list(listed: &Listed) -> ServerList {
    let tools = listed.tools.iter().map(|tool| tool.clone().into()).collect();
    ServerList { fetched_at: WallTime(1), stale: false, tools, ..ServerList::empty(&listed.server) }
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
    let listed = |(server, tools): &(&str, &[&str])| Listed {
        server: (*server).to_owned(),
        tools: tools.iter().map(|name| catalogue::plain_tool(name)).collect(),
    };
    build(&servers.iter().map(listed).collect::<Vec<_>>())
}

/// A catalogue of servers that offer prompts and resources beside tools: server names with prompt names, URIs and
/// templates.
pub(crate) fn documents(servers: &[(&str, [&[&str]; 3])]) -> Catalog {
    let list = |(server, entries): &(&str, [&[&str]; 3])| {
        let offers = Offers { prompts: true, resources: true, completions: true, ..Offers::default() };
        let mut list = ServerList { stale: false, offers, ..ServerList::empty(server) };
        let kinds = [(ListKind::Prompts, "name"), (ListKind::Resources, "uri"), (ListKind::Templates, "uriTemplate")];
        for ((kind, member), entries) in kinds.into_iter().zip(entries) {
            let one = |entry: &&str| {
                let mut definition = serde_json::json!({"name": "n"});
                definition[member] = (*entry).into();
                definition.to_string().into()
            };
            *list.of_mut(kind) = entries.iter().map(one).collect();
        }
        list
    };
    let lists: Vec<_> = servers.iter().map(list).collect();
    let entries: Vec<_> = (0..).map(ServerId).zip(&lists).map(|(id, list)| (id, &*list.server, list)).collect();
    Catalog::build(&entries)
}
