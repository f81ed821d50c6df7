//! As many open connections as the machine allows.

use crate::failure::Failure;
use std::io;

/// Raises this process's soft limit of open files to its hard one, and says what it is.
///
/// # Errors
/// The kernel refuses, which it has no reason to.
#[allow(unsafe_code, reason = "std does not know resource limits")]
pub fn raise() -> Result<u64, Failure> {
    let failed = || Failure::new(format!("the limit of open files: {}", io::Error::last_os_error()));
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is that of a live struct of the right type.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(failed());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(failed());
    }
    Ok(limit.rlim_cur)
}
