//! The pins of tools in the state directory: one file a server, `pins/<server>.json`, replaced whole under a lock, so
//! that neither a crash nor two writers lose any.

use crate::base::error::{Error, Kind, Result};
use crate::base::limits::PINS_FILE_BYTES_MAX;
use crate::catalog::drift::Pins;
use crate::config::state::StateDir;
use crate::rt::disk::{self, make_dir, replace};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::path::PathBuf;

impl StateDir {
    /// The pins of one server. Server names hold nothing that a path gives a meaning.
    pub fn pins_file(&self, server: &str) -> PathBuf {
        self.path().join("pins").join(format!("{server}.json"))
    }

    /// What is pinned of a server; what cannot be read holds its tools back.
    pub fn pins(&self, server: &str) -> Pins {
        let mut json = Vec::new();
        let read = File::open(self.pins_file(server))
            .and_then(|file| file.take(PINS_FILE_BYTES_MAX + 1).read_to_end(&mut json));
        match read {
            Ok(_) if json.len() as u64 > PINS_FILE_BYTES_MAX => {
                Pins::unreadable(format!("it is longer than {PINS_FILE_BYTES_MAX} bytes"))
            }
            Ok(_) => Pins::from_json(server, &json.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => Pins::default(),
            Err(error) => Pins::unreadable(error.to_string()),
        }
    }

    /// Reads, changes and writes the pins of a server under a lock; what was written.
    ///
    /// # Errors
    /// `Kind::Config` where they cannot be read: nothing is written over them; `Kind::Io` where they cannot be written;
    /// whatever `change` says.
    pub fn change_pins(&self, server: &str, change: impl FnOnce(&mut Pins) -> Result<()>) -> Result<Pins> {
        let directory = self.path().join("pins");
        self.create()?;
        make_dir(&directory)?;
        let lock_path = directory.join("lock");
        let in_place = |error: std::io::Error| Error::from(error).at(&lock_path.display().to_string());
        let lock = disk::open_private(&lock_path, OpenOptions::new().create(true).truncate(false)).map_err(in_place)?;
        lock.lock().map_err(in_place)?;
        let (file, mut pins) = (self.pins_file(server), self.pins(server));
        if let Some(why) = pins.fault() {
            let help = "restore it, or delete it to have the server's tools pinned anew as they are";
            return Err(Error::new(Kind::Config, format!("{} cannot be read: {why}; {help}", file.display())));
        }
        change(&mut pins)?;
        let json = pins.to_json(server).map_err(|error| Error::new(Kind::Internal, error))?;
        replace(&file, &json)?;
        Ok(pins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_kept_and_what_cannot_be_read_is_not_written_over() {
        let dir = tempfile::tempdir().expect("dir");
        let state = StateDir::new(dir.path().join("state"));
        assert_eq!(state.pins("a"), Pins::default());
        let refuse = |pins: &mut Pins| {
            pins.refuse("t", [7; 32]);
            Ok(())
        };
        let written = state.change_pins("a", refuse).expect("written");
        assert_eq!(state.pins("a"), written);
        let failed = state.change_pins("a", |pins| {
            pins.refuse("u", [7; 32]);
            Err(Error::new(Kind::NotFound, "no"))
        });
        assert_eq!((failed.expect_err("no").kind, state.pins("a")), (Kind::NotFound, written));
        std::fs::write(state.pins_file("a"), "{").expect("write");
        assert!(state.pins("a").fault().is_some());
        let told = state.change_pins("a", refuse).expect_err("torn").context;
        assert!(told.contains("a.json cannot be read") && told.contains("delete it"), "{told}");
        assert_eq!(std::fs::read(state.pins_file("a")).expect("read"), b"{");
    }
}
