//! A thread on one core.

use crate::failure::Failure;
use std::io;

/// Pins the calling thread, and what it starts from now on, to these cores.
///
/// # Errors
/// One of them is not there, or not allowed.
pub fn pin(cores: &[usize]) -> Result<(), Failure> {
    set(cores).map_err(|e| Failure::usage(format!("cores {cores:?}: {e}; `nproc` says how many there are")))
}

/// As [`pin`], with the error as the kernel gives it; does nothing that a process just forked must not do.
#[allow(unsafe_code, reason = "std does not know processor affinity")]
pub(crate) fn set(cores: &[usize]) -> io::Result<()> {
    // SAFETY: `set` is plain data for which zeroes are valid, and CPU_SET stays inside it because of the check.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for &core in cores {
            if core >= size_of::<libc::cpu_set_t>() * 8 {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            libc::CPU_SET(core, &mut set);
        }
        if libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_pinned_to_cores_that_are_there() {
        let pinned = std::thread::spawn(|| {
            let core = tollgate::rt::shard::cores().unwrap()[0];
            pin(&[core]).unwrap();
            assert_eq!(tollgate::rt::shard::cores().unwrap(), [core]);
            assert!(pin(&[100_000]).is_err());
        });
        pinned.join().unwrap();
    }
}
