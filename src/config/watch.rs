//! The servers' lists against their pins: which tools are kept from clients. Read from the state directory; only the
//! gate itself writes what it sees first.

use crate::base::clock::Clock;
use crate::base::error::Error;
use crate::catalog::ServerList;
use crate::catalog::drift::{Input, Judgement, Memory, Origin, Pins, judge};
use crate::config::compile::Compiled;
use crate::config::state::StateDir;
use std::collections::BTreeMap;

/// The pins of all servers, and what was read of the lists.
#[derive(Debug)]
pub struct Watch {
    state: StateDir,
    pins: BTreeMap<Box<str>, Pins>,
    memory: Memory,
}

impl Watch {
    /// Reads the pins of the configured servers.
    pub fn read(compiled: &Compiled) -> Self {
        let mut watch =
            Self { state: compiled.settings.state.clone(), pins: BTreeMap::new(), memory: Memory::default() };
        watch.read_again(compiled);
        watch
    }

    /// Reads the pins anew: somebody may have approved or rejected something.
    pub fn read_again(&mut self, compiled: &Compiled) {
        let servers = compiled.servers.iter().map(|server| &server.name);
        self.pins = servers.map(|name| (name.clone(), self.state.pins(name))).collect();
    }

    /// The pins of a server.
    pub fn pins(&self, server: &str) -> Option<&Pins> {
        self.pins.get(server)
    }

    /// Judges all lists, and marks in each which tools are withheld. What came of each server, in the order in which
    /// they are configured.
    pub fn judge(
        &mut self,
        compiled: &Compiled,
        lists: &mut BTreeMap<String, ServerList>,
    ) -> Vec<(Box<str>, Judgement)> {
        let judged = {
            let input = |server: &str| {
                let (list, pins) = (lists.get(server)?, self.pins.get(server)?);
                Some(Input { server: &list.server, tools: &list.tools, pins, policy: compiled.drift_policy(server) })
            };
            let names = compiled.servers.iter().map(|server| &server.name);
            let (names, inputs): (Vec<_>, Vec<_>) = names.filter_map(|name| Some((name.clone(), input(name)?))).unzip();
            names.into_iter().zip(judge(&inputs, &mut self.memory)).collect::<Vec<_>>()
        };
        for (server, judgement) in &judged {
            if let Some(list) = lists.get_mut(&**server) {
                list.withheld = judgement.withheld();
            }
        }
        judged
    }

    /// Pins the tools that were never seen before; the servers of which they could not be written. Those tools are
    /// pinned as long as the process lives.
    pub fn pin_new(&mut self, judged: &[(Box<str>, Judgement)]) -> Vec<(Box<str>, Error)> {
        let mut failed = Vec::new();
        for (server, judgement) in judged.iter().filter(|(_, judgement)| judgement.unpinned().next().is_some()) {
            let add = |pins: &mut Pins| {
                for tool in judgement.unpinned() {
                    if pins.pin(&tool.name).is_none() && pins.has_room() {
                        pins.set(&tool.name, tool.pin(Origin::FirstSight, Clock::wall()));
                    }
                }
                Ok(())
            };
            match self.state.change_pins(server, add) {
                Ok(pins) => drop(self.pins.insert(server.clone(), pins)),
                Err(error) => {
                    let _ = self.pins.get_mut(server).map(add);
                    failed.push((server.clone(), error));
                }
            }
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::drift::Standing;
    use crate::config::{Lookup, Purpose};
    use std::path::Path;

    fn list(words: &str) -> BTreeMap<String, ServerList> {
        let tool = format!(r#"{{"name":"t","description":"{words}","inputSchema":{{"type":"object"}}}}"#);
        BTreeMap::from([("a".to_owned(), ServerList { tools: vec![tool.into()], ..ServerList::empty("a") })])
    }

    #[test]
    fn what_is_seen_first_is_pinned_and_what_comes_after_is_held_against_it() {
        let dir = tempfile::tempdir().expect("dir");
        let lookup = Lookup::fixed(&[], None, dir.path());
        let text = "state.directory = \"s\"\n[servers.a]\nurl = \"http://127.0.0.1\"\n";
        let compiled = Compiled::from_text(Path::new("t"), text, &lookup, Purpose::Check).expect("good");
        let standing = |watch: &mut Watch, words: &str| {
            let mut lists = list(words);
            let judged = watch.judge(&compiled, &mut lists);
            assert_eq!(watch.pin_new(&judged).len(), 0);
            (judged[0].1.0[0].standing, lists["a"].withheld.len())
        };
        let mut watch = Watch::read(&compiled);
        assert_eq!(standing(&mut watch, "Reads pages"), (Standing::New, 0));
        assert_eq!(standing(&mut watch, "Reads pages"), (Standing::Pinned, 0));
        let mut again = Watch::read(&compiled);
        assert_eq!(standing(&mut again, "Deletes pages"), (Standing::Held, 1), "pins outlive the process");
        let file = compiled.settings.state.pins_file("a");
        std::fs::write(&file, "torn").expect("write");
        again.read_again(&compiled);
        assert_eq!(standing(&mut again, "Reads pages"), (Standing::Held, 1), "nothing is taken on trust");
        std::fs::remove_file(file).expect("remove");
        again.read_again(&compiled);
        assert_eq!(standing(&mut again, "Deletes pages"), (Standing::New, 0));
    }
}
