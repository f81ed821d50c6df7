//! A door as a path names it: what stays of it from one snapshot to the next.

use crate::base::ids::GrantId;
use crate::catalog::Door;
use crate::config::Snapshot;
use crate::policy::Principal;
use crate::shard::exchange::Exchange;

/// What a path names below `/mcp` or `/sse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance<T> {
    /// Nothing: all servers.
    All,
    /// A server.
    Server(T),
    /// A group: all servers, and what the group gives.
    Group(T),
}

impl Entrance<&str> {
    /// The door for a principal, and what it sees there; nothing where the door is not there for it.
    pub(crate) fn enter(self, snapshot: &Snapshot, principal: Principal) -> Option<(Principal, Door)> {
        match self {
            Self::All => Some((principal, Door::All)),
            Self::Server(name) => {
                let id = snapshot.catalog.server_id(name)?;
                snapshot.grant(principal.grant).admits(id).then_some((principal, Door::Server(id)))
            }
            Self::Group(name) => {
                let grant = snapshot.grant(principal.grant).behind(name)?;
                Some((Principal { grant, ..principal }, Door::All))
            }
        }
    }
}

impl Entrance<Box<str>> {
    /// Where an exchange came in.
    pub(crate) fn of(exchange: &Exchange) -> Self {
        match (exchange.door, exchange.grant().group()) {
            (Door::Server(id), _) => Self::Server(exchange.catalog().server_name(id).into()),
            (Door::All, Some(group)) => Self::Group(group.into()),
            (Door::All, None) => Self::All,
        }
    }

    /// The same, by its name.
    pub(crate) fn named(&self) -> Entrance<&str> {
        match self {
            Self::All => Entrance::All,
            Self::Server(name) => Entrance::Server(name),
            Self::Group(name) => Entrance::Group(name),
        }
    }

    /// The door in a snapshot, and what somebody who has this grant sees there; nothing where server or group is gone.
    pub(crate) fn now(&self, snapshot: &Snapshot, grant: GrantId) -> Option<(GrantId, Door)> {
        match self {
            Self::All => Some((grant, Door::All)),
            Self::Server(name) => Some((grant, Door::Server(snapshot.catalog.server_id(name)?))),
            Self::Group(name) => Some((snapshot.grant(grant).behind(name)?, Door::All)),
        }
    }
}
