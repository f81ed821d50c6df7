//! What the state directory keeps of its own: customers and teams, and keys, which are read one after another.

use super::keys::{Around, Home, KeyCompiler, Placed};
use super::levels::Levels;
use super::{Purpose, keys};
use crate::base::error::{Error, Result};
use crate::base::ids::KeyId;
use crate::base::limits::KEYS_MAX;
use crate::config::document::Document;
use crate::config::file::{Config, Key};
use crate::config::keys_file::KeysFile;
use crate::config::notes::{About, Notes};
use crate::config::objects::{Objects, Stored as _};
use crate::config::report::{Level, Report};
use crate::config::state::StateDir;
use crate::policy::VirtualKey;
use crate::store::{Store, objects};
use std::collections::{HashMap, HashSet};

/// The stored objects of a state directory, as far as they are read.
pub(super) struct Stored {
    store: Option<Store>,
    level: Level,
    /// Keys that a gate would take over at its start.
    earlier: Option<Document>,
    /// All but the keys.
    pub(super) objects: Objects,
}

impl Stored {
    /// Opens the store, or looks into it and makes nothing. To a gate a store that cannot be read is an error: it would
    /// not know which keys are revoked, nor whom to serve.
    pub(super) fn open(state: &StateDir, purpose: Purpose, report: &mut Report) -> Self {
        let level = if purpose == Purpose::Serve { Level::Error } else { Level::Warning };
        let mut out = Self { store: None, level, earlier: None, objects: Objects::default() };
        if purpose != Purpose::Serve {
            out.earlier = earlier(state, report);
        }
        let opened = match purpose {
            Purpose::Serve => state.store().map(Some),
            Purpose::Check | Purpose::Look => state.look(),
        };
        let read = opened.and_then(|store| store.map(|store| read(&store).map(|objects| (store, objects))).transpose());
        match read {
            Ok(Some((store, objects))) => (out.store, out.objects) = (Some(store), objects),
            Ok(None) => {}
            Err(error) => {
                report.miss_store(level, &error);
                // What keeps the keys of the earlier file from being taken over is shown with its line.
                if purpose == Purpose::Serve
                    && let Some(document) = earlier(state, report)
                {
                    report.add(&document, KeysFile::read(&document).1);
                }
            }
        }
        for (kind, error) in &out.objects.unread {
            let what = format!("{}: {error}: what is of this {kind} is granted nothing", out.objects.place);
            report.warning(what, format!("say anew what it may do with `tollgate {kind} set`"));
        }
        out
    }

    /// The stored keys; an id that is in the configuration file too belongs to nobody.
    pub(super) fn keys(
        self,
        (config, levels): (&Config, &Levels),
        own: &[Placed],
        report: &mut Report,
    ) -> Vec<VirtualKey> {
        let homes = own.iter().map(|placed| (placed.id(), placed.place.as_str())).collect();
        let around = Around { config, levels, home: Home::State };
        let (mut out, mut ids) = (Vec::new(), HashSet::new());
        if let Some(store) = &self.store {
            let document = Document::parse(&self.objects.place, "");
            let index = report.add(&document, Vec::new());
            let mut notes = Notes::new(&document, report, index);
            let read = scan(store, around, &homes, &mut notes, &mut out);
            read.unwrap_or_else(|error| report.miss_store(self.level, &error));
        }
        if let Some(document) = &self.earlier {
            ids.extend(out.iter().map(|key| key.id));
            let known = out.len();
            out.extend(earlier_keys(document, around, &homes, report).into_iter().filter(|key| !ids.contains(&key.id)));
            if out.len() > known {
                let what = format!("{}: its keys move into the store when the gate starts", document.name);
                report.warning(what, "nothing needs to be done");
            }
        }
        if out.len() > KEYS_MAX {
            report.error(format!("more than {KEYS_MAX} stored keys"), "delete those that have ended");
        }
        out
    }
}

fn read(store: &Store) -> Result<Objects> {
    store.read(|connection| Objects::read(connection, store.path().display().to_string()))
}

/// The keys file of an earlier version.
fn earlier(state: &StateDir, report: &mut Report) -> Option<Document> {
    match state.keys_file_document() {
        Ok(document) => document,
        Err(error) => {
            report.warning(format!("stored keys cannot be read: {error}"), "its keys are not in what follows");
            None
        }
    }
}

fn scan(
    store: &Store,
    around: Around<'_>,
    homes: &HashMap<KeyId, &str>,
    notes: &mut Notes<'_>,
    out: &mut Vec<VirtualKey>,
) -> Result<()> {
    let place = store.path().display().to_string();
    let mut compiler = KeyCompiler::new(around);
    store.read(|connection| {
        objects::scan(connection, Key::KIND, |name, body| {
            let about = About { store: Some(&place), kind: Key::KIND, name };
            let mut notes = notes.about(about);
            match Key::read(name, body) {
                Ok(key) => {
                    let key = Key { id: name.into(), ..key };
                    let compiled = compiler.one(&key, 0, &mut notes);
                    let whole = compiled.filter(|_| notes.faults() == 0);
                    whole.iter().for_each(|key| refuse_both(key, &place, homes, &mut notes));
                    out.extend(whole);
                }
                Err(error) => notes.error(&[], error.context, "delete it and make a new one"),
            }
            Ok::<_, Error>(())
        })
    })
}

fn refuse_both(key: &VirtualKey, place: &str, homes: &HashMap<KeyId, &str>, notes: &mut Notes<'_>) {
    if let Some(other) = homes.get(&key.id) {
        notes.refuse(format!("key `{}` is both in {place} and in {other}", key.id), "remove one of them");
    }
}

fn earlier_keys(
    document: &Document,
    around: Around<'_>,
    homes: &HashMap<KeyId, &str>,
    report: &mut Report,
) -> Vec<VirtualKey> {
    let (file, faults) = KeysFile::read(document);
    let index = report.add(document, faults);
    let mut notes = Notes::new(document, report, index);
    let keys = keys::compile(&file.keys, &around, &mut notes);
    keys.iter().for_each(|placed| refuse_both(&placed.key, &placed.place, homes, &mut notes));
    keys.into_iter().map(|placed| placed.key).collect()
}
