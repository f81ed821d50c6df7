//! CPU time and memory of a process, as the kernel counts them.

use std::fs;
use std::path::Path;

/// What a process has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Time on a core so far, all threads together, user and system, nanoseconds.
    pub cpu_ns: u64,
    /// Resident bytes.
    pub rss_bytes: u64,
}

impl Usage {
    /// Of a process; nothing if it is gone or cannot be read. Threads that have ended are not counted: servers keep
    /// theirs.
    pub fn of(process: u32) -> Option<Self> {
        let place = Path::new("/proc").join(process.to_string());
        let mut cpu_ns = 0;
        for thread in fs::read_dir(place.join("task")).ok()?.flatten() {
            cpu_ns += on_core(&thread.path().join("schedstat")).unwrap_or(0);
        }
        Some(Self { cpu_ns, rss_bytes: resident(&place)? })
    }
}

/// Time the calling thread was on a core so far, nanoseconds; nothing where the kernel does not tell.
pub fn thread_cpu() -> Option<u64> {
    on_core(Path::new("/proc/thread-self/schedstat"))
}

/// The first figure of a `schedstat`: time on a core, nanoseconds.
fn on_core(schedstat: &Path) -> Option<u64> {
    fs::read_to_string(schedstat).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

fn resident(place: &Path) -> Option<u64> {
    let status = fs::read_to_string(place.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_has_used_something_and_a_missing_one_nothing() {
        let ours = Usage::of(std::process::id()).unwrap();
        assert!(ours.cpu_ns > 0 && ours.rss_bytes > 100_000, "{ours:?}");
        assert!(thread_cpu().unwrap() <= Usage::of(std::process::id()).unwrap().cpu_ns);
        assert_eq!(Usage::of(u32::MAX), None);
    }
}
