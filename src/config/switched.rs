//! The file of the state directory that keeps what is switched off, so that a restart keeps it too.

use crate::base::error::{Error, Kind, Result};
use crate::base::ids::KeyId;
use crate::config::state::StateDir;
use crate::policy::Switches;
use crate::rt::disk::{self, replace};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::PathBuf;

/// What the file says.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    /// Ids of keys.
    keys: Vec<String>,
    /// Tools, as `server/tool`.
    tools: Vec<String>,
    /// Names of servers.
    servers: Vec<String>,
}

impl From<&Switches> for Written {
    fn from(switches: &Switches) -> Self {
        Self {
            keys: switches.keys.iter().map(ToString::to_string).collect(),
            tools: switches.tools.iter().map(|(server, tool)| format!("{server}/{tool}")).collect(),
            servers: switches.servers.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Written {
    fn read(&self) -> std::result::Result<Switches, String> {
        let key = |id: &String| KeyId::parse(id).ok_or_else(|| format!("{id:?} is no id of a key"));
        let tool = |text: &String| {
            let parts = text.split_once('/').ok_or_else(|| format!("{text:?} is no `server/tool`"));
            parts.map(|(server, tool)| (server.into(), tool.into()))
        };
        Ok(Switches {
            keys: self.keys.iter().map(key).collect::<std::result::Result<_, _>>()?,
            tools: self.tools.iter().map(tool).collect::<std::result::Result<_, _>>()?,
            servers: self.servers.iter().map(|name| name.as_str().into()).collect(),
        })
    }
}

impl StateDir {
    /// Where it is kept what is switched off.
    pub fn switches_file(&self) -> PathBuf {
        self.path().join("switches.toml")
    }

    /// What is switched off.
    ///
    /// # Errors
    /// [`Kind::Config`] where the file is not what we write, [`Kind::Io`] where it cannot be read.
    pub fn switches(&self) -> Result<Switches> {
        let path = self.switches_file();
        let text = match disk::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Switches::default()),
            Err(error) => return Err(Error::from(error).at(&path.display().to_string())),
        };
        let written = toml::from_str::<Written>(&text).map_err(|error| error.message().to_owned());
        written.and_then(|written| written.read()).map_err(|what| {
            let what = format!("{}: {what}; mend it, or delete it and switch things off again", path.display());
            Error::new(Kind::Config, what)
        })
    }

    /// Keeps what is switched off; durable when this returns.
    ///
    /// # Errors
    /// [`Kind::Io`] where it cannot be written.
    pub fn write_switches(&self, switches: &Switches) -> Result<()> {
        self.create()?;
        let text =
            toml::to_string(&Written::from(switches)).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        let head = "# What is switched off: written by `tollgate key revoke`, `tool off` and `server off`.\n";
        replace(&self.switches_file(), format!("{head}{text}").as_bytes())
    }

    /// Reads, changes and writes what is switched off under a lock, so that two commands at once lose nothing. For
    /// where no gate runs: one that does holds them itself.
    ///
    /// # Errors
    /// As [`Self::switches`] and [`Self::write_switches`], and whatever `change` says; [`Kind::Overloaded`] where a
    /// gate has just begun to run.
    pub fn change_switches<T>(&self, change: impl FnOnce(&mut Switches) -> Result<T>) -> Result<T> {
        self.create()?;
        let _lock = self.lock_switches()?;
        if self.take_gate_lock()?.is_none() {
            let what = "a gate is starting on this state directory, or runs and cannot be asked: try again";
            return Err(Error::new(Kind::Overloaded, what).at(&self.path().display().to_string()));
        }
        let mut switches = self.switches()?;
        let out = change(&mut switches)?;
        self.write_switches(&switches)?;
        Ok(out)
    }

    /// Keeps commands from changing what is switched off, as long as what comes back is kept.
    ///
    /// # Errors
    /// [`Kind::Io`] where it cannot be taken.
    pub(super) fn lock_switches(&self) -> Result<File> {
        let path = self.path().join("switches.lock");
        let in_place = |error: std::io::Error| Error::from(error).at(&path.display().to_string());
        let lock = disk::open_private(&path, OpenOptions::new().create(true).truncate(false)).map_err(in_place)?;
        lock.lock().map_err(in_place)?;
        Ok(lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Switch;

    #[test]
    fn no_command_writes_beside_a_gate_that_starts() {
        let dir = tempfile::tempdir().expect("dir");
        let state = StateDir::new(dir.path().join("s"));
        let off = || state.change_switches(|switches| switches.set(&Switch::Server("b".into()), true));
        state.create().expect("created");
        let held = state.hold().expect("held");
        let error = off().expect_err("a gate has it");
        assert!(error.context.contains("a gate is starting"), "{error}");
        drop(held);
        assert_eq!(off(), Ok(true));
    }

    #[test]
    fn what_is_off_is_kept_and_what_is_not_ours_is_refused() {
        let dir = tempfile::tempdir().expect("dir");
        let state = StateDir::new(dir.path().join("s"));
        assert!(state.switches().expect("none").is_empty());
        let all = [
            Switch::Key(KeyId::parse("k1").expect("id")),
            Switch::Tool("a".into(), "x/y".into()),
            Switch::Server("b".into()),
        ];
        state
            .change_switches(|switches| all.iter().try_for_each(|one| switches.set(one, true).map(drop)))
            .expect("set");
        let kept = state.switches().expect("kept");
        assert!(all.iter().all(|one| kept.has(one)));
        for wrong in ["keys = [\"A!\"]", "tools = [\"x\"]", "other = 1", "keys ="] {
            std::fs::write(state.switches_file(), wrong).expect("write");
            assert_eq!(state.switches().expect_err(wrong).kind, Kind::Config);
        }
    }
}
