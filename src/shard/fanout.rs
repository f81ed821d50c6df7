//! On a server's home shard: which resources the shards want to hear about, and word of a change to those that do.

use crate::base::ids::ShardId;
use crate::rt::{task, time};
use crate::shard::forward::Peers;
use crate::shard::interests::Topic;
use crate::shard::messages::{ToShard, Wants};
use crate::upstream::upstreams::Upstreams;
use crate::upstream::watched::{Heard, Uris};
use foldhash::HashMap;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// Time in which further changes of a resource become part of the first one's notice.
const COALESCE: Duration = Duration::from_millis(50);

/// What all shards want of the servers whose home is here.
pub(crate) struct Fanout {
    peers: Rc<Peers>,
    servers: RefCell<HashMap<Box<str>, Wanted>>,
}

/// What is wanted of one server.
#[derive(Default)]
struct Wanted {
    by: HashMap<ShardId, Wish>,
    /// What the server has said it tells of.
    stands: Uris,
    /// Changes that are being gathered.
    changed: BTreeSet<Box<str>>,
}

/// What one shard wants.
struct Wish {
    uris: BTreeSet<Box<str>>,
    version: u64,
    /// Whether it knows that the server tells of all that.
    knows: bool,
}

impl Wanted {
    fn union(&self) -> Uris {
        Rc::new(self.by.values().flat_map(|wish| wish.uris.iter().cloned()).collect())
    }
}

impl Fanout {
    pub(crate) fn new(peers: Rc<Peers>) -> Self {
        Self { peers, servers: RefCell::default() }
    }

    /// A shard says what it wants of a server from now on.
    pub(crate) fn wants(&self, upstreams: &Upstreams, wants: Wants) {
        let Wants { server, from, uris, version } = wants;
        let mut servers = self.servers.borrow_mut();
        let wanted = servers.entry(server.clone()).or_default();
        if uris.is_empty() {
            wanted.by.remove(&from);
        } else {
            wanted.by.insert(from, Wish { uris: uris.into_iter().collect(), version, knows: false });
        }
        let union = wanted.union();
        if union.is_empty() {
            servers.remove(&server);
        }
        drop(servers);
        upstreams.want(&server, union);
        self.confirm(&server);
    }

    /// Servers may be others now: they are told again.
    pub(crate) fn renew(&self, upstreams: &Upstreams) {
        self.servers.borrow().iter().for_each(|(server, wanted)| upstreams.want(server, wanted.union()));
    }

    /// A server said something on the matter.
    pub(crate) fn heard(self: &Rc<Self>, server: &str, heard: Heard<'_>) {
        match heard {
            Heard::Updated(uri) => self.updated(server, uri),
            Heard::Stands(uris) => {
                if let Some(wanted) = self.servers.borrow_mut().get_mut(server) {
                    wanted.stands = uris.clone();
                }
                self.confirm(server);
            }
        }
    }

    fn updated(self: &Rc<Self>, server: &str, uri: &str) {
        let mut servers = self.servers.borrow_mut();
        let Some(wanted) = servers.get_mut(server) else { return };
        let first = wanted.changed.is_empty();
        wanted.changed.insert(uri.into());
        if first {
            let (fanout, server) = (self.clone(), Box::from(server));
            drop(task::spawn(async move {
                time::sleep(COALESCE).await;
                fanout.tell(server);
            }));
        }
    }

    fn tell(&self, server: Box<str>) {
        let mut servers = self.servers.borrow_mut();
        let Some(wanted) = servers.get_mut(&server) else { return };
        for uri in std::mem::take(&mut wanted.changed) {
            let who = wanted.by.iter().filter(|(_, wish)| wish.uris.contains(&uri)).map(|(shard, _)| *shard);
            for shard in who {
                let topic = Topic { server: server.clone(), uri: uri.clone() };
                if self.peers.send(shard, ToShard::Updated(Box::new(topic))).is_err() {
                    tracing::warn!(shard = shard.0, "word of a changed resource was lost: the shard's mailbox is full");
                }
            }
        }
    }

    /// Tells the shards whose wishes are met that they are.
    fn confirm(&self, server: &str) {
        let mut servers = self.servers.borrow_mut();
        let Some(Wanted { by, stands, .. }) = servers.get_mut(server) else { return };
        for (shard, wish) in by {
            if !wish.knows && wish.uris.is_subset(stands) {
                wish.knows = self.peers.send(*shard, ToShard::Stands(server.into(), wish.version)).is_ok();
            }
        }
    }
}
