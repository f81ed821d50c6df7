//! Signals to another gate process.
#![allow(unsafe_code, reason = "system calls")]

use std::io;

/// Asks the gate of this process id to read its configuration and keys again (`SIGHUP`).
///
/// # Errors
/// There is no such process, or it is another user's.
pub fn hang_up(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0);
    let pid = pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the id of a process"))?;
    // SAFETY: no pointers; the id is positive, so it names one process and not a group.
    match unsafe { libc::kill(pid, libc::SIGHUP) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt, ExitStatusExt};

    #[test]
    fn only_one_real_process_is_reached() {
        for pid in [0, u32::MAX] {
            assert_eq!(hang_up(pid).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{pid}");
        }
        let mut command = std::process::Command::new("sleep");
        // SAFETY: between fork and exec only signal(2) is called, which is async-signal-safe. Whoever runs the tests
        // may ignore SIGHUP (nohup does), and the child would inherit that.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGHUP, libc::SIG_DFL);
                Ok(())
            });
        }
        let mut child = command.arg("30").spawn().unwrap();
        hang_up(child.id()).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGHUP));
        assert!(hang_up(child.id()).is_err());
    }
}
