//! The socket of the admin API in the state directory: only the gate's own user and root are let in.

use crate::base::error::{Error, Kind, Result};
use crate::config::state::StateDir;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use tokio::net::UnixListener;

/// Longest path of a socket, in bytes: what the kernel's address has room for.
const PATH_MAX: usize = 107;

/// Listens on the socket. The caller holds the state directory, so one that is there is a dead gate's.
///
/// # Errors
/// [`Kind::Config`] where the path is too long for a socket; [`Kind::Io`] where it cannot be made.
pub fn listen(state: &StateDir) -> Result<UnixListener> {
    let path = state.admin_socket();
    let in_place = |error: std::io::Error| Error::from(error).at(&path.display().to_string());
    if path.as_os_str().len() > PATH_MAX {
        let what = format!(
            "{}: the path of a socket has at most {PATH_MAX} bytes: choose a shorter `state.directory`",
            path.display()
        );
        return Err(Error::new(Kind::Config, what));
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(in_place(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(in_place)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(in_place)?;
    Ok(listener)
}

/// The user this process runs as.
///
/// # Errors
/// [`Kind::Io`] where the kernel does not say.
pub(super) fn own_user() -> Result<u32> {
    Ok(fs::metadata("/proc/self").map_err(|error| Error::from(error).at("/proc/self"))?.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_too_long_says_what_to_do_and_a_dead_socket_is_replaced() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _inside = runtime.enter();
        let dir = tempfile::tempdir().expect("dir");
        let error = listen(&StateDir::new(dir.path().join("x".repeat(100)))).expect_err("too long");
        assert!(error.kind == Kind::Config && error.context.contains("state.directory"), "{error}");
        let state = StateDir::new(dir.path());
        drop(listen(&state).expect("made"));
        drop(listen(&state).expect("made again"));
        assert_eq!(fs::metadata(state.admin_socket()).expect("meta").permissions().mode() & 0o777, 0o600);
    }
}
