//! What is known without a running gate: the configuration, its keys, and the servers' last good lists.

use crate::base::error::{Error, Kind};
use crate::base::ids::Epoch;
use crate::catalog::ServerList;
use crate::catalog::drift::Judgement;
use crate::cli::{Failure, output};
use crate::config::{Compiled, Purpose, Snapshot, Watch};
use std::collections::BTreeMap;
use std::path::Path;

/// What a gate would start with.
#[derive(Debug)]
pub(crate) struct Known {
    /// The configuration with all keys.
    pub(crate) compiled: Compiled,
    /// The last good lists, by server.
    pub(crate) lists: BTreeMap<String, ServerList>,
    /// What came of holding the lists against their pins.
    pub(crate) judged: Vec<(Box<str>, Judgement)>,
    /// The pins.
    pub(crate) watch: Watch,
    /// All of them together.
    pub(crate) snapshot: Snapshot,
}

impl Known {
    /// Reads all of it; makes and changes nothing.
    ///
    /// # Errors
    /// What is wrong with the configuration, or a list that is there and cannot be read.
    pub(crate) fn load(config: &Path) -> Result<Self, Failure> {
        let compiled = Compiled::load(config, Purpose::Look)?;
        let lists = lists(&compiled)?;
        Ok(Self::of(compiled, lists))
    }

    /// What comes of these.
    pub(crate) fn of(compiled: Compiled, mut lists: BTreeMap<String, ServerList>) -> Self {
        let mut watch = Watch::read(&compiled);
        let judged = watch.judge(&compiled, &mut lists);
        let snapshot = Snapshot::build(&compiled, &lists, Epoch(1), None);
        Self { compiled, lists, judged, watch, snapshot }
    }
}

/// The last good lists of the enabled servers. One that cannot be read is left out with a warning.
fn lists(compiled: &Compiled) -> Result<BTreeMap<String, ServerList>, Failure> {
    let mut lists = BTreeMap::new();
    for server in &compiled.servers {
        let Some(json) = compiled.settings.state.read_list(&server.name)? else { continue };
        match ServerList::from_json(&json.into()) {
            Ok(list) => drop(lists.insert(server.name.to_string(), list)),
            Err(error) => output::complain(&format!("tollgate: warning: server {}: {error}\n", server.name)),
        }
    }
    Ok(lists)
}

/// There is no such key.
pub(crate) fn no_key(id: &str) -> Error {
    Error::new(Kind::NotFound, format!("no key has the id {:.40}; see `tollgate key list`", output::tame(id)))
}
