//! On a server's home shard: which resources and tasks the shards want to hear about, and word of a change to those
//! that do.

use crate::base::ids::ShardId;
use crate::base::limits::TASK_NOTICES_BYTES_MAX;
use crate::rt::{task, time};
use crate::shard::forward::Peers;
use crate::shard::interests::{News, Topic};
use crate::shard::messages::{Stands, ToShard, Visited, Wants};
use crate::upstream::upstreams::Upstreams;
use crate::upstream::watched::{Heard, Subject, Subjects};
use bytes::Bytes;
use foldhash::HashMap;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// Time in which further changes become part of the first one's notice: of a task the last word counts.
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
    /// What the server was last asked for and has answered, and what of that it tells of.
    asked: Subjects,
    honoured: Subjects,
    /// Changes that are being gathered, with what the server says of them.
    changed: BTreeMap<Subject, Option<Bytes>>,
}

/// What one shard wants.
struct Wish {
    subjects: BTreeSet<Subject>,
    version: u64,
    /// Whether it knows what of that the server tells of.
    knows: bool,
}

impl Wanted {
    fn union(&self) -> Subjects {
        Rc::new(self.by.values().flat_map(|wish| wish.subjects.iter().cloned()).collect())
    }

    /// Bytes of what is being gathered.
    fn bytes(&self) -> usize {
        self.changed.values().flatten().map(Bytes::len).sum()
    }
}

impl Fanout {
    pub(crate) fn new(peers: Rc<Peers>) -> Self {
        Self { peers, servers: RefCell::default() }
    }

    /// A shard says what it wants of a server from now on.
    pub(crate) fn wants(&self, upstreams: &Upstreams, wants: Wants) {
        let Wants { server, from, subjects, version } = wants;
        let mut servers = self.servers.borrow_mut();
        let wanted = servers.entry(server.clone()).or_default();
        if subjects.is_empty() {
            wanted.by.remove(&from);
        } else {
            wanted.by.insert(from, Wish { subjects: subjects.into_iter().collect(), version, knows: false });
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
            Heard::Changed(subject, said) => self.changed(server, subject, said),
            Heard::Visited(session, params) => self.visited(Visited { server: server.into(), session, params }),
            Heard::Stands { asked, honoured } => {
                if let Some(wanted) = self.servers.borrow_mut().get_mut(server) {
                    (wanted.asked, wanted.honoured) = (asked.clone(), honoured.clone());
                }
                self.confirm(server);
            }
        }
    }

    fn changed(self: &Rc<Self>, server: &str, subject: &Subject, said: Option<Bytes>) {
        let mut servers = self.servers.borrow_mut();
        let Some(wanted) = servers.get_mut(server) else { return };
        if wanted.bytes() + said.as_ref().map_or(0, Bytes::len) > TASK_NOTICES_BYTES_MAX {
            tracing::warn!(server, "word of a task was lost: its server says too much at once");
            return;
        }
        let first = wanted.changed.is_empty();
        wanted.changed.insert(subject.clone(), said);
        if first {
            let (fanout, server) = (self.clone(), Box::from(server));
            drop(task::spawn(async move {
                time::sleep(COALESCE).await;
                fanout.tell(server);
            }));
        }
    }

    /// Its client's own stream may be on any shard.
    fn visited(&self, visited: Visited) {
        for shard in self.peers.all() {
            if self.peers.send(shard, ToShard::Visited(Box::new(visited.clone()))).is_err() {
                tracing::warn!(shard = shard.0, "word of a visited page was lost: the shard's mailbox is full");
            }
        }
    }

    fn tell(&self, server: Box<str>) {
        let mut servers = self.servers.borrow_mut();
        let Some(wanted) = servers.get_mut(&server) else { return };
        for (subject, said) in std::mem::take(&mut wanted.changed) {
            let who = wanted.by.iter().filter(|(_, wish)| wish.subjects.contains(&subject)).map(|(shard, _)| *shard);
            for shard in who {
                let topic = Topic { server: server.clone(), subject: subject.clone() };
                let news = News { topic, said: said.clone() };
                if self.peers.send(shard, ToShard::Updated(Box::new(news))).is_err() {
                    tracing::warn!(shard = shard.0, "word of a change was lost: the shard's mailbox is full");
                }
            }
        }
    }

    /// Tells the shards whose wishes the server has answered what it answered.
    fn confirm(&self, server: &str) {
        let mut servers = self.servers.borrow_mut();
        let Some(Wanted { by, asked, honoured, .. }) = servers.get_mut(server) else { return };
        for (shard, wish) in by.iter_mut().filter(|(_, wish)| !wish.knows && wish.subjects.is_subset(asked)) {
            let refused = wish.subjects.difference(honoured).cloned().collect();
            let stands = Stands { server: server.into(), version: wish.version, refused };
            wish.knows = self.peers.send(*shard, ToShard::Stands(Box::new(stands))).is_ok();
        }
    }
}
