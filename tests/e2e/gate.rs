//! A gate process with a folder of its own: started, waited for, stopped or killed.

use crate::http;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The binary under test: the one built with the tests, unless `TOLLGATE_BINARY` names another.
pub(crate) fn binary() -> OsString {
    std::env::var_os("TOLLGATE_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_tollgate").into())
}

/// Longest wait for a gate to be ready.
const READY: Duration = Duration::from_secs(30);
/// Longest wait for a gate to stop when asked to.
const STOP: Duration = Duration::from_secs(15);

/// Lets anyone on this machine use everything: most tests are not about keys.
pub(crate) const ANYONE: &str = "[anonymous]\nallow = [\"*/*\"]\nprompts = [\"*/*\"]\nresources = [\"*/*\"]\n";

/// More lines for the tables that every test's gate has.
#[derive(Default)]
pub(crate) struct Tables<'a> {
    pub(crate) listen: &'a str,
    /// Instead of two shards.
    pub(crate) runtime: &'a str,
    pub(crate) journal: &'a str,
}

/// The folder of one gate: configuration, state, log. It outlives the process, so that a killed gate can start again.
pub(crate) struct Home {
    folder: TempDir,
    ring: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Home {
    /// A folder with this configuration beside what every test's gate has in common.
    pub(crate) fn new(config: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::Builder::new().prefix("tollgate-e2e-").tempdir().unwrap();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let ring = Path::new("/dev/shm").join(format!("tollgate-e2e-{}-{count}", std::process::id()));
        let [listen, admin] = free_addresses();
        let home = Self { folder, ring, listen, admin };
        home.configure(config);
        home
    }

    /// Replaces the configuration.
    pub(crate) fn configure(&self, config: &str) {
        self.configure_more(&Tables::default(), config);
    }

    /// Replaces the configuration, with more lines in the tables that every test's gate has.
    pub(crate) fn configure_more(&self, more: &Tables<'_>, config: &str) {
        let Tables { listen, runtime, journal } = more;
        let runtime = if runtime.is_empty() { "shards = 2" } else { runtime };
        let mut text = format!("[listen]\naddress = \"{}\"\n{listen}\n", self.listen);
        writeln!(text, "[admin]\naddress = \"{}\"\n[state]\ndirectory = \"state\"", self.admin).unwrap();
        writeln!(text, "[runtime]\npin = false\n{runtime}").unwrap();
        writeln!(text, "[journal]\nring_directory = \"{}\"\n{journal}\n{config}", self.ring.display()).unwrap();
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("tollgate.toml")
    }

    fn log(&self) -> PathBuf {
        self.path().join("gate.log")
    }

    /// Takes the rings away, as a loss of power does.
    pub(crate) fn lose_rings(&self) {
        fs::remove_dir_all(&self.ring).unwrap();
    }

    /// The end of the log, to print beside a failure.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(6000)..]).into_owned()
    }

    /// Runs a command of the binary on this configuration and waits for it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--config").arg(self.config()).current_dir(self.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// As [`run`](Self::run), where anything but success is a failure of the test.
    pub(crate) fn run_well(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "tollgate {arguments:?}: {}\n{out}\n{err}", output.status);
        out.into_owned()
    }

    /// Makes a key with these grants and gives its token.
    pub(crate) fn new_key(&self, name: &str, allow: &[&str]) -> String {
        let mut arguments = vec!["key", "new", name];
        allow.iter().for_each(|pattern| arguments.extend(["--allow", pattern]));
        let text = self.run_well(&arguments);
        let token = text.split(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c));
        let token = token.into_iter().find(|word| word.starts_with("tg_"));
        token.unwrap_or_else(|| panic!("no key in: {text}")).to_owned()
    }

    /// Starts the gate and waits until it is ready.
    pub(crate) fn start(&self) -> Process<'_> {
        self.start_as(Command::new(binary()))
    }

    /// Starts the gate where this folder of its own is a disk of this size, which only it sees.
    pub(crate) fn start_on_disk(&self, folder: &str, size: &str) -> Process<'_> {
        fs::create_dir_all(self.path().join(folder)).unwrap();
        let mut command = Command::new("unshare");
        let script = "mount -t tmpfs -o size=$0 tmpfs \"$1\" && shift && exec \"$@\"";
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, size, folder]).arg(binary());
        self.start_as(command)
    }

    /// Starts the gate as process 1 of a namespace of its own, as in a container.
    pub(crate) fn start_as_process_1(&self) -> Process<'_> {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]);
        command.arg(binary());
        self.start_as(command)
    }

    fn start_as(&self, mut command: Command) -> Process<'_> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        command.args(["serve", "--config"]).arg(self.config()).current_dir(self.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut process = Process { child: command.spawn().unwrap(), home: self };
        let from = Instant::now();
        while !process.is_ready() {
            if let Some(status) = process.child.try_wait().unwrap() {
                panic!("the gate ended with {status}:\n{}", self.log_tail());
            }
            assert!(from.elapsed() < READY, "the gate is not ready after {READY:?}:\n{}", self.log_tail());
            sleep(Duration::from_millis(10));
        }
        process
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the gate's log ends with\n{}", self.log_tail());
        }
        let _ = fs::remove_dir_all(&self.ring);
    }
}

/// One run of a gate.
pub(crate) struct Process<'a> {
    child: Child,
    home: &'a Home,
}

impl Process<'_> {
    fn is_ready(&self) -> bool {
        std::net::TcpStream::connect(self.home.admin).is_ok() && http::get(self.home.admin, "/readyz").status == 200
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().unwrap().success());
    }

    /// kill -9, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for a clean end.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let from = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "the gate ended with {status}:\n{}", self.home.log_tail());
                return;
            }
            assert!(from.elapsed() < STOP, "the gate does not stop:\n{}", self.home.log_tail());
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    let [address] = free_addresses();
    address
}

/// Loopback addresses that were free a moment ago, no two of them the same.
fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    // All are held before any is let go, or one could be given twice.
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.each_ref().map(|listener| listener.local_addr().unwrap())
}

/// Waits until something holds, or fails with what was waited for.
pub(crate) fn eventually(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let from = Instant::now();
    while !holds() {
        assert!(from.elapsed() < patience, "not within {patience:?}: {what}");
        sleep(Duration::from_millis(20));
    }
}
