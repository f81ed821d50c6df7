//! What the state directory keeps of servers that want OAuth: one file each, readable by its owner only.

use crate::base::error::{Error, Kind, Result};
use crate::base::limits::OAUTH_FILE_BYTES_MAX;
use crate::config::state::{StateDir, refuse_open};
use crate::rt::disk::{self, make_dir, replace};
use crate::upstream::oauth::Account;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

impl StateDir {
    fn accounts_dir(&self) -> PathBuf {
        self.path().join("oauth")
    }

    fn account_file(&self, server: &str) -> PathBuf {
        self.accounts_dir().join(format!("{server}.json"))
    }

    /// What is kept of the server of this name at this URL; an empty account where that is nothing, or another URL's.
    ///
    /// # Errors
    /// `Kind::Config` where others can read the file or it is not what we write; `Kind::Io` where it cannot be read.
    pub fn account(&self, server: &str, url: &str) -> Result<Account> {
        let path = self.account_file(server);
        let account = match disk::read_at_most(&path, OAUTH_FILE_BYTES_MAX).map(Zeroizing::new) {
            Ok(text) => {
                refuse_open(&path)?;
                serde_json::from_str::<Account>(&text).map_err(|_| unreadable(&path))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Account::new(url),
            Err(error) => return Err(disk::at(&path, error)),
        };
        // A token for another URL must not go to this one.
        Ok(if account.url == url { account } else { Account::new(url) })
    }

    /// Reads, changes and writes an account under a lock: the gate and a command may do so at once.
    ///
    /// # Errors
    /// As [`Self::account`], or the file cannot be written.
    pub fn change_account(&self, server: &str, url: &str, change: impl FnOnce(&mut Account)) -> Result<Account> {
        make_dir(&self.accounts_dir())?;
        let lock_path = self.accounts_dir().join("lock");
        let lock = disk::open_private(&lock_path, OpenOptions::new().create(true).truncate(false));
        let lock = lock.map_err(|error| disk::at(&lock_path, error))?;
        lock.lock().map_err(|error| disk::at(&lock_path, error))?;
        let mut account = self.account(server, url)?;
        let before = account.clone();
        change(&mut account);
        if account != before {
            let json = serde_json::to_string_pretty(&account);
            let json = Zeroizing::new(json.map_err(|error| Error::new(Kind::Internal, error.to_string()))?);
            replace(&self.account_file(server), json.as_bytes())?;
        }
        Ok(account)
    }
}

fn unreadable(path: &Path) -> Error {
    let what = format!("{} is not what the gate writes; delete it, and authorize the server again", path.display());
    Error::new(Kind::Config, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::oauth::{Scopes, Token};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    const URL: &str = "https://h/mcp";

    fn token(access: &str) -> Token {
        Token { access: access.into(), refresh: None, expires: None, scopes: Scopes::default() }
    }

    #[test]
    fn tokens_are_kept_for_their_owner_and_their_url_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        assert_eq!(state.account("s", URL).unwrap(), Account::new(URL));
        let kept = state.change_account("s", URL, |account| account.take("https://as", None, token("t"))).unwrap();
        assert_eq!(state.account("s", URL).unwrap(), kept);
        assert_eq!(state.account("other", URL).unwrap().token(), None);
        assert_eq!(state.account("s", "https://evil/mcp").unwrap().token(), None);
        let file = folder.path().join("oauth/s.json");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(folder.path().join("oauth")).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        assert!(state.account("s", URL).unwrap_err().context.contains("chmod 600"));
    }

    #[test]
    fn a_broken_file_is_an_error_that_shows_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        state.change_account("s", URL, |account| account.take("https://as", None, token("t"))).unwrap();
        fs::write(folder.path().join("oauth/s.json"), "{\"canary\":1}").unwrap();
        let error = state.account("s", URL).unwrap_err();
        assert!(error.context.contains("authorize") && !error.context.contains("canary"), "{error}");
    }
}
