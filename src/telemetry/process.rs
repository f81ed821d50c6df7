//! What the kernel says about this process, read from `/proc`.

use std::path::Path;

/// Clock ticks in `/proc/*/stat`: always 100 a second for user space on Linux, whatever the kernel's own rate is.
const TICKS_PER_S: f64 = 100.0;

/// Process figures under the usual Prometheus names. A figure that cannot be read is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessInfo {
    /// User and system CPU time, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Virtual memory, in bytes.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Most file descriptors allowed.
    pub max_fds: u64,
    /// Threads.
    pub threads: u64,
    /// Start, in seconds since 1970.
    pub start_seconds: f64,
}

impl ProcessInfo {
    /// Reads the figures of this process.
    pub fn read() -> Self {
        Self::read_from(Path::new("/proc"))
    }

    fn read_from(proc: &Path) -> Self {
        let text = |name: &str| std::fs::read_to_string(proc.join(name)).unwrap_or_default();
        let status = text("self/status");
        let kib = |key| word_after(&status, key).unwrap_or(0) * 1024;
        let (cpu_seconds, started) = times(&text("self/stat"));
        let boot = word_after(&text("stat"), "btime").unwrap_or(0);
        Self {
            cpu_seconds,
            resident_bytes: kib("VmRSS:"),
            virtual_bytes: kib("VmSize:"),
            open_fds: std::fs::read_dir(proc.join("self/fd")).map_or(0, |entries| entries.count() as u64),
            max_fds: word_after(&text("self/limits"), "Max open files").unwrap_or(0),
            threads: word_after(&status, "Threads:").unwrap_or(0),
            start_seconds: boot as f64 + started,
        }
    }
}

/// The number behind `key` at the start of a line.
fn word_after(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// CPU time and start since boot, in seconds, from `/proc/self/stat`; the command name may hold blanks and brackets.
fn times(stat: &str) -> (f64, f64) {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = |field: usize| -> f64 {
        let word = after_name.split_whitespace().nth(field - 3);
        word.and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0) / TICKS_PER_S
    };
    (ticks(14) + ticks(15), ticks(22))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_figures() {
        let info = ProcessInfo::read();
        assert!(info.resident_bytes > 100_000 && info.virtual_bytes >= info.resident_bytes, "{info:?}");
        assert!(info.open_fds >= 3 && info.max_fds >= info.open_fds && info.threads >= 1, "{info:?}");
        assert!(info.start_seconds > 1_500_000_000.0, "{info:?}");
    }

    #[test]
    fn a_command_name_cannot_move_the_fields() {
        let stat = "7 (a) b (c)) S 1 1 1 0 -1 0 0 0 0 0 250 150 0 0 20 0 1 0 300 0";
        assert_eq!(times(stat), (4.0, 3.0));
        assert_eq!(times("garbage"), (0.0, 0.0));
    }
}
