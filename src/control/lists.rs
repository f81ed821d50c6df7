//! The last good list of every server: in memory for the next snapshot, on disk for the next start.

use crate::base::error::Result;
use crate::catalog::drift::Judgement;
use crate::catalog::{Leg, ListKind, ServerList};
use crate::config::state::StateDir;
use crate::config::{Compiled, Watch};
use crate::telemetry::events;
use bytes::Bytes;
use std::collections::BTreeMap;

fn leg_name(leg: Leg) -> &'static str {
    match leg {
        Leg::Modern => "modern",
        Leg::Legacy => "legacy",
    }
}

/// The lists by server name.
pub struct Lists {
    known: BTreeMap<String, ServerList>,
    state: StateDir,
    watch: Watch,
    judged: Vec<(Box<str>, Judgement)>,
}

impl Lists {
    /// Reads what the last run kept for the configured servers. All of it is stale until a server lists again. A list
    /// that cannot be read costs nothing but itself.
    pub fn restore(compiled: &Compiled) -> Self {
        let (state, watch) = (compiled.settings.state.clone(), Watch::read(compiled));
        let mut lists = Self { known: BTreeMap::new(), state, watch, judged: Vec::new() };
        lists.add_missing(compiled);
        lists.judge(compiled);
        lists
    }

    /// Reads the kept lists of servers that have none yet, forgets those of servers that are gone, and reads all pins.
    pub fn follow(&mut self, compiled: &Compiled) {
        self.known.retain(|name, _| compiled.server(name).is_some());
        self.add_missing(compiled);
        self.watch.read_again(compiled);
    }

    /// Holds every list against its pins: what is withheld is so in the next snapshot. New tools are pinned.
    pub fn judge(&mut self, compiled: &Compiled) {
        self.judged = self.watch.judge(compiled, &mut self.known);
        for (server, error) in self.watch.pin_new(&self.judged) {
            events::pins_not_kept(&server, &error);
        }
    }

    /// What came of that, and the pins it rests on.
    pub(super) fn judged(&self) -> (&[(Box<str>, Judgement)], &Watch) {
        (&self.judged, &self.watch)
    }

    fn add_missing(&mut self, compiled: &Compiled) {
        for server in &compiled.servers {
            if self.known.contains_key(&*server.name) {
                continue;
            }
            match self.read(&server.name) {
                Ok(Some(list)) => drop(self.known.insert(server.name.to_string(), list)),
                Ok(None) => (),
                Err(error) => tracing::warn!(server = &*server.name, %error, "the kept list of tools is not used"),
            }
        }
    }

    fn read(&self, server: &str) -> Result<Option<ServerList>> {
        let Some(json) = self.state.read_list(server)? else { return Ok(None) };
        let list = ServerList::from_json(&Bytes::from(json))?;
        Ok(Some(ServerList { stale: true, ..list }))
    }

    /// Takes fresh lists; of the kinds that could not be listed the last good ones stay. Says whether anything but
    /// their age changed.
    pub fn renew(&mut self, server: &str, mut list: ServerList, failed: &[ListKind]) -> bool {
        let before = self.known.get(server);
        let is_news = before.is_none_or(|old| {
            failed.iter().for_each(|kind| *list.of_mut(*kind) = old.of(*kind).to_vec());
            old.stale || !old.lists_same(&list)
        });
        let written = list.to_json().and_then(|json| self.state.write_list(server, &json));
        if let Err(error) = written {
            tracing::warn!(server, %error, "the list of tools could not be kept for the next start");
        }
        events::upstream_up(server, leg_name(list.leg), list.tools.len());
        self.known.insert(server.to_owned(), list);
        is_news
    }

    /// Marks a server's list as stale: it is down. Says whether that is news.
    pub fn age(&mut self, server: &str) -> bool {
        match self.known.get_mut(server) {
            Some(list) if !list.stale => {
                list.stale = true;
                true
            }
            _ => false,
        }
    }

    /// The lists for the next snapshot.
    pub fn known(&self) -> &BTreeMap<String, ServerList> {
        &self.known
    }
}
