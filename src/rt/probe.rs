//! What this machine's kernel gives us, in words: what is missing, what that costs, what to do.

use super::sys;
use crate::base::limits::RING_ENTRIES;
use io_uring::{IoUring, opcode};
use std::io;

/// Locked memory one ring of [`RING_ENTRIES`] takes on kernels that count it, in bytes (measured, rounded up).
const RING_LOCKED_BYTES: u64 = 128 * 1024;
/// Entries of the ring made for looking.
const PROBE_ENTRIES: u32 = 8;

/// What became of a ring made for looking.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ring {
    /// It stands with every flag we want.
    Full,
    /// It stands, but without SINGLE_ISSUER and DEFER_TASKRUN.
    Plain,
    /// It stands, but lacks operations.
    Lacks(Vec<&'static str>),
    /// It was refused with this error number.
    Refused(i32),
}

/// What the machine has.
#[derive(Clone, Debug)]
pub struct Probe {
    kernel: String,
    sysctl: Option<u8>,
    ring: Ring,
    memlock: Option<u64>,
}

/// Looks at this machine. Takes some tens of microseconds.
pub fn probe() -> Probe {
    let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    Probe {
        kernel: read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned()),
        sysctl: read("/proc/sys/kernel/io_uring_disabled").and_then(|text| text.parse().ok()),
        ring: try_ring(),
        memlock: sys::memlock_limit().unwrap_or(None),
    }
}

/// The flags every shard's ring should have.
pub(super) fn best_flags() -> io_uring::Builder {
    let mut flags = IoUring::builder();
    flags.setup_single_issuer().setup_defer_taskrun();
    flags
}

fn try_ring() -> Ring {
    let ring = match best_flags().build(PROBE_ENTRIES) {
        Ok(ring) => (ring, Ring::Full),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => match IoUring::new(PROBE_ENTRIES) {
            Ok(ring) => (ring, Ring::Plain),
            Err(e) => return refused(&e),
        },
        Err(e) => return refused(&e),
    };
    let lacking = missing_operations(&ring.0);
    if lacking.is_empty() { ring.1 } else { Ring::Lacks(lacking) }
}

fn refused(error: &io::Error) -> Ring {
    Ring::Refused(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Operations the runtime uses that this kernel's io_uring does not know.
fn missing_operations(ring: &IoUring) -> Vec<&'static str> {
    let needed = [
        ("accept", opcode::Accept::CODE),
        ("connect", opcode::Connect::CODE),
        ("send", opcode::Send::CODE),
        ("recv", opcode::Recv::CODE),
        ("read", opcode::Read::CODE),
        ("write", opcode::Write::CODE),
        ("poll_add", opcode::PollAdd::CODE),
        ("async_cancel", opcode::AsyncCancel::CODE),
        ("openat", opcode::OpenAt::CODE),
        ("close", opcode::Close::CODE),
        ("fsync", opcode::Fsync::CODE),
    ];
    let mut known = io_uring::Probe::new();
    if ring.submitter().register_probe(&mut known).is_err() {
        return vec!["register_probe"];
    }
    needed.into_iter().filter(|&(_, code)| !known.is_supported(code)).map(|(name, _)| name).collect()
}

impl Probe {
    /// Whether io_uring can drive shards here.
    pub fn usable(&self) -> bool {
        matches!(self.ring, Ring::Full | Ring::Plain)
    }

    /// The kernel's release, such as `6.8.0-45-generic`.
    pub fn kernel(&self) -> &str {
        &self.kernel
    }

    /// What the kernel lacks, what it costs and what to do, one sentence each; empty where everything is there.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        words.extend(self.ring_words());
        words.extend(self.memlock_words());
        words
    }

    fn ring_words(&self) -> Option<String> {
        let kernel = &self.kernel;
        let cost = "shards run on epoll, which costs more processor time a request and blocks on journal writes";
        match &self.ring {
            Ring::Full => None,
            Ring::Plain => Some(format!(
                "kernel {kernel} lacks io_uring's SINGLE_ISSUER and DEFER_TASKRUN flags: a request costs about a tenth \
                 more; they came with Linux 6.1"
            )),
            Ring::Lacks(names) => Some(format!(
                "kernel {kernel}: io_uring lacks {}: {cost}; Linux 5.11 or newer has them",
                names.join(", ")
            )),
            Ring::Refused(errno) => {
                Some(format!("kernel {kernel}: {}: {cost}; {}", self.cause(*errno), self.cure(*errno)))
            }
        }
    }

    fn cause(&self, errno: i32) -> String {
        match (errno, self.sysctl) {
            (libc::ENOSYS, _) => "it has no io_uring".to_owned(),
            (libc::EPERM, Some(level @ 1..)) => format!("io_uring is disabled (kernel.io_uring_disabled = {level})"),
            (libc::EPERM | libc::EACCES, _) => {
                "io_uring is forbidden, most likely by a seccomp filter (containers have one)".to_owned()
            }
            (libc::ENOMEM, _) => "no locked memory is left for io_uring".to_owned(),
            _ => format!("io_uring failed: {}", io::Error::from_raw_os_error(errno)),
        }
    }

    fn cure(&self, errno: i32) -> &'static str {
        match (errno, self.sysctl) {
            (libc::ENOSYS, _) => "use Linux 5.11 or newer, built with CONFIG_IO_URING",
            (libc::EPERM, Some(1..)) => {
                "set sysctl kernel.io_uring_disabled=0, or 1 and put the gate's group into kernel.io_uring_group"
            }
            (libc::EPERM | libc::EACCES, _) => {
                "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile"
            }
            (libc::ENOMEM, _) => "set LimitMEMLOCK=infinity in the systemd unit (or ulimit -l)",
            _ => "set runtime.driver to \"epoll\" to silence this",
        }
    }

    /// Kernels since 5.12 count rings against the control group instead; older ones against this limit.
    fn memlock_words(&self) -> Option<String> {
        let limit = self.memlock.filter(|_| self.usable())?;
        let rings = limit / RING_LOCKED_BYTES;
        (rings < 16).then(|| {
            format!(
                "the limit on locked memory is {} KiB: where the kernel counts rings against it, that is enough for \
                 about {rings} shards of {RING_ENTRIES} entries; set LimitMEMLOCK=infinity in the systemd unit",
                limit / 1024
            )
        })
    }

    #[cfg(test)]
    pub(super) fn without_io_uring(kernel: &str, errno: i32) -> Self {
        Self { kernel: kernel.to_owned(), sysctl: None, ring: Ring::Refused(errno), memlock: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let probe = probe();
        assert!(probe.kernel().contains('.'), "{}", probe.kernel());
        assert_eq!(probe.usable(), probe.ring_words().is_none() || probe.ring == Ring::Plain);
    }

    /// Runs a test on a thread whose seccomp filter answers `io_uring_setup` with an error number.
    #[allow(unsafe_code, reason = "a real seccomp filter")]
    fn where_setup_fails_with(errno: i32, test: impl FnOnce() + Send) {
        let statement = |code: u32, k: u32| libc::sock_filter { code: u16::try_from(code).unwrap(), jt: 0, jf: 0, k };
        let setup = u32::try_from(libc::SYS_io_uring_setup).unwrap();
        let mut program = [
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
            libc::sock_filter { jf: 1, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, setup) },
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()),
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        ];
        let filtered = move || {
            let filter = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
            // SAFETY: the filter and its program are live data of the right types; it binds this thread alone.
            unsafe {
                assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
                assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter), 0);
            }
            test();
        };
        std::thread::scope(|scope| scope.spawn(filtered).join().unwrap());
    }

    #[test]
    fn where_a_filter_forbids_io_uring_the_gate_runs_on_epoll_and_says_why() {
        use crate::rt::shard::{Driver, DriverChoice, block_on, choose};
        where_setup_fails_with(libc::EPERM, || {
            let probe = probe();
            assert!(probe.words().join(" ").contains("seccomp"), "{:?}", probe.words());
            assert_eq!(choose(DriverChoice::Auto, &probe), Ok(Driver::Epoll));
            assert!(choose(DriverChoice::IoUring, &probe).is_err());
            assert_eq!(block_on(Driver::Epoll, async { 1 }).unwrap(), 1);
        });
    }

    #[test]
    fn where_no_memory_may_be_locked_the_error_names_the_limit() {
        use crate::rt::shard::{Driver, block_on};
        where_setup_fails_with(libc::ENOMEM, || {
            let told = block_on(Driver::IoUring, async {}).unwrap_err();
            assert_eq!(told.kind(), io::ErrorKind::OutOfMemory);
            assert!(told.to_string().contains("LimitMEMLOCK"), "{told}");
        });
    }

    #[test]
    fn every_refusal_names_its_cause_and_its_cure() {
        let told = |errno, sysctl| {
            let probe = Probe { sysctl, ..Probe::without_io_uring("5.4.0", errno) };
            assert!(!probe.usable());
            probe.words().join(" ")
        };
        for (errno, sysctl, cause, cure) in [
            (libc::ENOSYS, None, "no io_uring", "5.11"),
            (libc::EPERM, Some(2), "io_uring_disabled = 2", "sysctl"),
            (libc::EPERM, Some(0), "seccomp", "io_uring_setup"),
            (libc::EPERM, None, "seccomp", "profile"),
            (libc::ENOMEM, None, "locked memory", "LimitMEMLOCK"),
            (libc::EMFILE, None, "files", "epoll"),
        ] {
            let words = told(errno, sysctl);
            assert!(words.contains(cause) && words.contains(cure) && words.contains("5.4.0"), "{words}");
            assert!(words.contains("epoll"), "the cost is told: {words}");
        }
    }

    #[test]
    fn missing_flags_and_little_memory_are_told_but_do_not_forbid() {
        let base = Probe::without_io_uring("5.15.0", 0);
        let probe = Probe { ring: Ring::Plain, memlock: Some(64 * 1024), ..base };
        assert!(probe.usable());
        let words = probe.words();
        assert_eq!(words.len(), 2);
        assert!(words[0].contains("DEFER_TASKRUN") && words[0].contains("6.1"));
        assert!(words[1].contains("64 KiB") && words[1].contains("LimitMEMLOCK"));
    }
}
