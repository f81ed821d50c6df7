//! As written → checked: references read, every value looked at, all findings at once.

mod approval;
pub(crate) mod groups;
pub(crate) mod keys;
pub(crate) mod levels;
mod listen;
mod oauth;
mod prices;
mod ranges;
pub(crate) mod servers;
mod stored;
#[cfg(test)]
mod tests;

use crate::base::error::Kind;
use crate::catalog::Rights;
use crate::config::admins::{self, AdminHolder};
use crate::config::document::Document;
use crate::config::env::{Lenient, Lookup};
use crate::config::file::{Config, State};
use crate::config::notes::Notes;
use crate::config::objects::Objects;
use crate::config::report::Report;
use crate::config::settings::Settings;
use crate::config::state::{PEPPER_LEN, StateDir};
use crate::policy::{ApprovalRules, Switches, VirtualKey};
use crate::rt::disk;
use crate::rt::random;
use crate::upstream::spec::ServerSpec;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a configuration is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve: the state directory and the pepper are made where they are missing.
    Serve,
    /// To check: nothing is made, and credentials that only the unit is given may be missing.
    Check,
    /// To look up names and places: references that cannot be read from here are left unread.
    Look,
}

impl Purpose {
    fn lenient(self) -> Lenient {
        match self {
            Self::Serve => Lenient::Nothing,
            Self::Check => Lenient::Credentials,
            Self::Look => Lenient::Everything,
        }
    }
}

/// A checked configuration: what a [`Snapshot`](crate::config::Snapshot) is built from, together with tool lists.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The file it came from.
    pub path: PathBuf,
    /// As written, with defaults filled in and references unread.
    pub written: Config,
    /// What the runtime takes.
    pub settings: Arc<Settings>,
    /// Enabled servers in the order they are written; a server's place is its `ServerId`.
    pub servers: Vec<Arc<ServerSpec>>,
    /// The keys of the file, then those of the store.
    pub keys: Vec<VirtualKey>,
    /// What a request without a key may use.
    pub anonymous: Option<Rights>,
    /// What bounds a call above and beside the key.
    pub(crate) levels: Arc<levels::Levels>,
    /// What is switched off, whatever the rest says.
    pub switches: Arc<Switches>,
    /// Who may use the admin API over TCP.
    pub admin_tokens: Vec<AdminHolder>,
    /// Which tools need an approval.
    pub approvals: Arc<ApprovalRules>,
    /// What somebody should look at.
    pub warnings: Report,
    pub(crate) pepper: Pepper,
    /// The stored objects beside the keys.
    pub stored: Objects,
}

/// The bytes of the pepper, wiped when dropped, never printed.
#[derive(Clone)]
pub(crate) struct Pepper(pub(crate) Zeroizing<[u8; PEPPER_LEN]>);

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pepper(…)")
    }
}

impl Compiled {
    /// Reads and compiles a configuration file and the keys of its state directory.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(path: &Path, purpose: Purpose) -> Result<Self, Report> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
        match disk::read(path) {
            Ok(text) => {
                let base = absolute.parent().unwrap_or(Path::new("/"));
                Self::from_text(path, &text, &Lookup::process(base), purpose)
            }
            Err(error) => {
                let mut report = Report::default();
                let help = "name another with --config, or start from config/minimal.toml";
                report.error(format!("{} cannot be read: {error}", path.display()), help);
                Err(report)
            }
        }
    }

    /// Compiles a configuration's text; `path` is what findings show.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn from_text(path: &Path, text: &str, lookup: &Lookup, purpose: Purpose) -> Result<Self, Report> {
        let mut report = Report::default();
        let lookup = &lookup.clone().lenient(purpose.lenient());
        let document = Document::parse(&path.display().to_string(), text);
        let (written, faults) = document.read::<Config>();
        let index = report.add(&document, faults);
        let mut notes = Notes::new(&document, &mut report, index);
        ranges::check(&mut notes);
        crate::config::drift::check(&written, &mut notes);
        let settings = listen::settings(&written, lookup, &mut notes);
        let servers = servers::compile(&written, lookup, &mut notes);
        let admin_tokens = admins::compile(&written, &mut notes);
        let anonymous = keys::anonymous(&written, &mut notes);
        let approvals = Arc::new(approval::compile(&written, &mut notes));
        warn_of_open_secrets(path, &written, &mut notes);
        let Callers { levels, mut keys, stored } =
            Callers::compile(&written, (&document, index), (&settings.state, purpose), &mut report);
        let switches = switches(&settings.state, purpose, &mut report);
        keys.iter_mut().for_each(|key| key.revoked |= switches.keys.contains(&key.id));
        let pepper = pepper(&settings.state, purpose, &mut report);
        report.sort();
        if report.has_errors() {
            return Err(report);
        }
        let servers = servers.into_iter().map(Arc::new).collect();
        let (path, settings, levels) = (path.into(), Arc::new(settings), Arc::new(levels));
        let warnings = report;
        Ok(Self {
            path,
            written,
            settings,
            servers,
            keys,
            anonymous,
            levels,
            switches,
            admin_tokens,
            approvals,
            warnings,
            pepper,
            stored,
        })
    }

    /// The same configuration with the stored objects read anew: a key can be revoked while the configuration file is
    /// wrong.
    ///
    /// # Errors
    /// What is wrong with the store.
    pub fn with_stored(&self) -> Result<Self, Report> {
        let mut report = Report::default();
        let document = Document::parse(&self.path.display().to_string(), "");
        let index = report.add(&document, Vec::new());
        let state = (&self.settings.state, Purpose::Serve);
        let Callers { levels, keys, stored } = Callers::compile(&self.written, (&document, index), state, &mut report);
        if report.has_errors() {
            return Err(report);
        }
        let switches = self.settings.state.switches().map_or_else(|_| self.switches.clone(), Arc::new);
        Ok(Self { keys, levels: Arc::new(levels), switches, stored, warnings: report, ..self.clone() })
    }

    /// The state directory of a configuration file, also where other parts of the file are wrong; nothing where the
    /// directory itself cannot be told.
    pub fn state_dir(path: &Path) -> Option<StateDir> {
        let document = Document::parse("", disk::read(path).ok()?);
        let (written, _) = document.read::<Config>();
        let absolute = std::path::absolute(path).ok()?;
        let lookup = Lookup::process(absolute.parent()?);
        let is_told = written.state != State::default() || !document.has(&["state".into(), "directory".into()]);
        let directory = lookup.resolve(&written.state.directory).ok().filter(|_| is_told)?;
        Some(StateDir::new(lookup.path(&directory.value)))
    }

    /// This configuration as far as it may apply while the listener of `running` stays open: an address, and whether
    /// TLS is spoken, change with a restart only, and so do names and origins that hang on the address. Requests
    /// without a key are never let in where the open listener is not a loopback one.
    #[must_use]
    pub fn on_listener_of(mut self, running: &Self) -> Self {
        let open = &running.settings.listen;
        let mut settings = (*self.settings).clone();
        if settings.listen.address != open.address {
            settings.listen = open.clone();
        }
        if settings.listen.tls.is_some() != open.tls.is_some() {
            settings.listen.tls.clone_from(&open.tls);
        }
        self.settings = Arc::new(settings);
        self.anonymous = self.anonymous.filter(|_| open.address.ip().is_loopback());
        self
    }

    /// The server's place, by its name.
    pub fn server(&self, name: &str) -> Option<&Arc<ServerSpec>> {
        self.servers.iter().find(|server| &*server.name == name)
    }
}

/// Who may call, of the file and of the store.
struct Callers {
    levels: levels::Levels,
    keys: Vec<VirtualKey>,
    stored: Objects,
}

impl Callers {
    fn compile(
        written: &Config,
        (document, index): (&Document, usize),
        (state, purpose): (&StateDir, Purpose),
        report: &mut Report,
    ) -> Self {
        let stored = stored::Stored::open(state, purpose, report);
        let objects = stored.objects.clone();
        let mut notes = Notes::new(document, report, index);
        let levels = levels::compile(written, &objects, &mut notes);
        let around = keys::Around { config: written, levels: &levels, home: keys::Home::Config };
        let own = keys::compile(&written.keys, &around, &mut notes);
        let theirs = stored.keys((written, &levels), &own, report);
        let keys = own.into_iter().map(|placed| placed.key).chain(theirs).collect();
        Self { levels, keys, stored: objects }
    }
}

/// What is switched off. A gate that served without knowing would let through what was stopped.
fn switches(state: &StateDir, purpose: Purpose, report: &mut Report) -> Arc<Switches> {
    match state.switches() {
        Ok(switches) => return switches.into(),
        Err(error) if purpose != Purpose::Serve && error.kind == Kind::Io => {
            let what = format!("what is switched off cannot be read: {error}");
            report.warning(what, "run as the gate's user to see it");
        }
        Err(error) => report.error(format!("what is switched off cannot be told: {error}"), "see `state.directory`"),
    }
    Arc::default()
}

/// The pepper; a random one nobody knows where it may not be made or read.
fn pepper(state: &StateDir, purpose: Purpose, report: &mut Report) -> Pepper {
    let mut bytes = Zeroizing::new([0; PEPPER_LEN]);
    random::fill(bytes.as_mut_slice());
    if purpose != Purpose::Serve && !state.pepper_file().exists() {
        return Pepper(bytes);
    }
    match state.pepper() {
        Ok(read) => *bytes = read,
        Err(error) if purpose != Purpose::Serve && error.kind == Kind::Io => {
            report.warning(format!("the pepper cannot be read: {error}"), "run as the gate's user to check it");
        }
        Err(error) => report.error(format!("the pepper cannot be used: {error}"), "see `state.directory`"),
    }
    Pepper(bytes)
}

/// A literal credential in a file that everybody can read is nobody's secret.
fn warn_of_open_secrets(path: &Path, written: &Config, notes: &mut Notes<'_>) {
    if !disk::is_world_readable(path) {
        return;
    }
    for (name, server) in &written.servers {
        let tables = [("headers", &server.headers), ("env", &server.env)];
        for (table, key, value) in tables.iter().flat_map(|(t, map)| map.iter().map(move |(k, v)| (*t, k, v))) {
            let literal = crate::config::mask::names_secret(key) && !crate::config::env::has_reference(value);
            if literal && !value.is_empty() {
                let place = ["servers".into(), name.as_str().into(), table.into(), key.as_str().into()];
                let what = "every user of this machine can read this secret";
                notes.warning(&place, what, "move it to `${credential:…}`, or run `chmod o-r` on the file");
            }
        }
    }
}
