//! Child processes with piped standard streams, each under a guard that ends with us (see [`super::guard`]).

use super::guard;
use super::mode::{self, Mode};
use super::pollable::Pollable;
use super::stream::{Busy, READ_RESERVE};
use super::{process, sys, task, time};
use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// The binary that serves as guard, where it is not our own.
static GUARD: OnceLock<PathBuf> = OnceLock::new();

/// Names the binary that serves as guard: for programs that use this library without being the gate. Once only.
pub fn use_guard(program: PathBuf) {
    let _ = GUARD.set(program);
}

/// A program to start. Its environment is what is listed and nothing of ours.
#[derive(Clone, Default)]
pub struct Command {
    /// A path, or a name looked for in the listed `PATH` (ours, if none is listed).
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory; ours if none.
    pub cwd: Option<PathBuf>,
}

impl std::fmt::Debug for Command {
    /// Without arguments and values: both carry secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&OsString> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Command").field("program", &self.program).field("env", &names).finish_non_exhaustive()
    }
}

/// A signal for a child's whole process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// As Ctrl-C does.
    Int,
    /// Asks to end.
    Term,
    /// Ends the child and every process it started, whatever their groups.
    Kill,
}

impl Signal {
    fn number(self) -> u8 {
        match self {
            Self::Int => 2,
            Self::Term => 15,
            Self::Kill => 9,
        }
    }
}

/// A started child: its streams, to be taken apart, and the process.
#[derive(Debug)]
pub struct Child {
    /// What it reads; dropping it ends its input.
    pub stdin: PipeWriter,
    /// What it writes.
    pub stdout: PipeReader,
    /// What it complains.
    pub stderr: PipeReader,
    /// The process itself.
    pub process: Process,
}

/// Starts a child on this thread's runtime. A program that cannot be found is an error here; one that cannot be
/// executed (a script without interpreter) ends with exit code 127 and a line on its stderr.
///
/// # Errors
/// Not found, not executable, no such directory, out of processes or descriptors, or inside a simulation.
pub fn spawn(command: &Command) -> io::Result<Child> {
    if mode::is_sim() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "a simulation starts no processes"));
    }
    let program = find(command)?;
    let (guard_end, lifeline) = process::pipe()?;
    let mut guard = guard_command(command, &program, &guard_end);
    // From here to the end of this function another child may inherit this end; as a guard it closes it at once.
    process::set_close_on_exec(guard_end.as_fd(), false)?;
    process::set_nonblocking(lifeline.as_fd())?;
    let mut child = guard.spawn()?;
    let pidfd = Pollable::new(process::pidfd(child.id())?)?;
    let piped = || io::Error::other("a child's streams are piped");
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    Ok(Child {
        stdin: PipeWriter::new(stdin.ok_or_else(piped)?.into())?,
        stdout: PipeReader::new(stdout.ok_or_else(piped)?.into())?,
        stderr: PipeReader::new(stderr.ok_or_else(piped)?.into())?,
        process: Process { lifeline, running: Some(Running { pidfd, child: RefCell::new(child) }) },
    })
}

/// Without closures before exec, so that `std` can use `vfork` and a gate with much memory does not stall.
fn guard_command(command: &Command, program: &Path, lifeline: &OwnedFd) -> std::process::Command {
    let own = Path::new("/proc/self/exe");
    let mut guard = std::process::Command::new(GUARD.get().map_or(own, PathBuf::as_path));
    guard.arg0("tollgate").arg(guard::COMMAND).arg(lifeline.as_raw_fd().to_string());
    guard.arg(command.cwd.as_deref().unwrap_or(Path::new(""))).arg(program).args(&command.args);
    guard.env_clear().envs(command.env.iter().map(|(name, value)| (name, value)));
    guard.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    guard
}

/// Finds the program as the child would, to say early what is wrong with it.
fn find(command: &Command) -> io::Result<PathBuf> {
    let cwd = command.cwd.as_deref();
    if let Some(cwd) = cwd.filter(|cwd| !cwd.is_dir()) {
        let words = format!("working directory {} does not exist or is no directory", cwd.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, words));
    }
    let name = Path::new(&command.program);
    if name.components().count() > 1 || name.is_absolute() {
        let path = cwd.map_or_else(|| name.to_owned(), |cwd| cwd.join(name));
        return check_executable(&path).map(|()| path);
    }
    let listed = command.env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.clone());
    let path = listed.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    search(name, &path)
}

fn search(name: &Path, path: &OsStr) -> io::Result<PathBuf> {
    let candidates = std::env::split_paths(path).map(|dir| dir.join(name));
    let found = candidates.filter(|_| !name.as_os_str().is_empty()).find(|path| check_executable(path).is_ok());
    found.ok_or_else(|| {
        let words = format!("program {} is not in PATH ({})", name.display(), path.display());
        io::Error::new(io::ErrorKind::NotFound, words)
    })
}

fn check_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(path).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        let words = format!("{} is not an executable file", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, words));
    }
    Ok(())
}

impl Child {
    /// Ends the child politely: see [`Process::stop`], after closing its input.
    ///
    /// # Errors
    /// It could not be waited for.
    pub async fn stop(self, patience: Duration) -> io::Result<ExitStatus> {
        let Self { stdin, stdout, stderr, process } = self;
        drop(stdin);
        let status = process.stop(patience).await;
        drop((stdout, stderr));
        status
    }
}

/// A child process under its guard. Dropping it kills the child and everything it started.
#[derive(Debug)]
pub struct Process {
    lifeline: OwnedFd,
    running: Option<Running>,
}

struct Running {
    pidfd: Pollable,
    child: RefCell<std::process::Child>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.child.borrow().id().fmt(f)
    }
}

impl Running {
    async fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            let ended = self.child.borrow_mut().try_wait()?;
            if let Some(status) = ended {
                return Ok(status);
            }
            self.pidfd.readable().await?;
        }
    }
}

impl Process {
    /// The guard's process id: the child's parent.
    pub fn guard_id(&self) -> u32 {
        self.running.as_ref().map_or(0, |running| running.child.borrow().id())
    }

    /// Waits until the child and everything it started has ended, and tells how the child ended. Safe to drop and to
    /// call again.
    ///
    /// # Errors
    /// It could not be waited for.
    pub async fn wait(&self) -> io::Result<ExitStatus> {
        match &self.running {
            Some(running) => running.wait().await,
            None => Err(io::Error::other("the process is taken apart")),
        }
    }

    /// Sends a signal to the child's process group; one that has ended already is fine.
    pub fn kill(&self, signal: Signal) {
        // A full pipe would mean thousands of unread signals; a closed one that the guard has ended.
        let _ = sys::write_some(self.lifeline.as_fd(), &[signal.number()]);
    }

    /// Ends the child politely: waits for it to end by itself, asks it to, kills it, with `patience` in between.
    /// Close its input before.
    ///
    /// # Errors
    /// It could not be waited for.
    pub async fn stop(self, patience: Duration) -> io::Result<ExitStatus> {
        for signal in [Signal::Term, Signal::Kill] {
            if let Ok(status) = time::timeout(patience, self.wait()).await {
                return status;
            }
            self.kill(signal);
        }
        self.wait().await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill(Signal::Kill);
        // Somebody must collect the guard, or it stays as a zombie. Outside a runtime the process is ending anyway.
        let on_runtime = matches!(mode::current(), Mode::Os(_));
        if let Some(running) = self.running.take().filter(|_| on_runtime) {
            task::spawn(async move { running.wait().await });
        }
    }
}

/// The writing end of a child's input.
pub struct PipeWriter {
    pipe: Pollable,
    busy: Busy,
}

/// The reading end of a child's output.
pub struct PipeReader {
    pipe: Pollable,
}

impl PipeWriter {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        process::set_nonblocking(fd.as_fd())?;
        Ok(Self { pipe: Pollable::new(fd)?, busy: Busy::default() })
    }

    /// Writes all of `bytes`. A write dropped half way makes every later one fail, since a line would be torn.
    ///
    /// # Errors
    /// `BrokenPipe` when the child reads no more.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.busy.begin()?;
        while !bytes.is_empty() {
            let put = self.pipe.write(bytes).await?;
            bytes = bytes.get(put..).unwrap_or_default();
        }
        self.busy.end();
        Ok(())
    }
}

impl PipeReader {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        process::set_nonblocking(fd.as_fd())?;
        Ok(Self { pipe: Pollable::new(fd)? })
    }

    /// Appends what is there to `buf`, within its spare capacity (some is reserved if there is none), waiting until
    /// there is something. 0 is the end. Safe to drop: no byte is lost.
    ///
    /// # Errors
    /// As `read(2)`.
    pub async fn read(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        if buf.len() == buf.capacity() {
            buf.reserve(READ_RESERVE);
        }
        self.pipe.read(buf).await
    }
}

impl std::fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PipeWriter")
    }
}

impl std::fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PipeReader")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rt::shard::tests::on_each_driver;
    use crate::rt::shard::{Driver, block_on};
    use std::io::BufRead;
    use std::os::unix::process::ExitStatusExt;

    const SOON: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Command {
        let args = ["-c", script].map(OsString::from).to_vec();
        Command { program: "sh".into(), args, env: vec![("PATH".into(), "/usr/bin:/bin".into())], cwd: None }
    }

    async fn read_all(mut reader: PipeReader) -> Vec<u8> {
        let mut buf = Vec::new();
        while reader.read(&mut buf).await.unwrap() > 0 {}
        buf
    }

    async fn ended(process: &Process) -> ExitStatus {
        time::timeout(SOON, process.wait()).await.unwrap().unwrap()
    }

    /// Whether a process still runs; zombies do not count.
    fn runs(pid: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    }

    #[allow(clippy::disallowed_methods, reason = "a test that waits for other processes")]
    fn gone_soon(pid: i32) -> bool {
        (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            !runs(pid)
        })
    }

    fn pids(bytes: &[u8]) -> Vec<i32> {
        String::from_utf8_lossy(bytes).split_whitespace().map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn a_child_sees_its_arguments_environment_and_directory_and_nothing_else() {
        on_each_driver(|| async {
            let mut command = shell("pwd; env | sort | grep -v -e '^_=' -e '^PWD=' -e '^SHLVL=' -e '^OLDPWD='; exit 7");
            command.env.push(("GREETING".into(), "hello there".into()));
            command.cwd = Some("/usr".into());
            let child = spawn(&command).unwrap();
            let out = read_all(child.stdout).await;
            assert_eq!(String::from_utf8(out).unwrap(), "/usr\nGREETING=hello there\nPATH=/usr/bin:/bin\n");
            assert_eq!(ended(&child.process).await.code(), Some(7));
        });
    }

    #[test]
    fn megabytes_pass_through_and_stderr_is_apart() {
        on_each_driver(|| async {
            let Child { mut stdin, stdout, stderr, process } = spawn(&shell("echo oops >&2; exec cat")).unwrap();
            let sent = vec![b'x'; 3_000_000];
            let copy = sent.clone();
            let writer = task::spawn(async move { stdin.write_all(&copy).await });
            let errors = task::spawn(read_all(stderr));
            let got = read_all(stdout).await;
            assert!(got == sent, "{} bytes", got.len());
            writer.await.unwrap();
            assert_eq!(errors.await, b"oops\n");
            assert!(ended(&process).await.success());
        });
    }

    #[test]
    fn a_read_dropped_by_a_timeout_loses_nothing() {
        on_each_driver(|| async {
            let Child { mut stdin, mut stdout, process: _process, .. } = spawn(&shell("exec cat")).unwrap();
            let mut got = Vec::new();
            for n in 0..10u8 {
                let early = time::timeout(Duration::from_millis(2), stdout.read(&mut got)).await;
                assert!(early.is_err());
                stdin.write_all(&[n]).await.unwrap();
                time::timeout(SOON, stdout.read(&mut got)).await.unwrap().unwrap();
            }
            assert_eq!(got, (0..10).collect::<Vec<_>>());
        });
    }

    #[test]
    fn what_cannot_be_started_is_told() {
        on_each_driver(|| async {
            let kind = |command: &Command| spawn(command).unwrap_err().kind();
            for bad in ["no-such-program", "", "/no/such/program", "./relative"] {
                assert_eq!(kind(&Command { program: bad.into(), ..shell("") }), io::ErrorKind::NotFound, "{bad}");
            }
            let no_program = Command { program: "/etc/passwd".into(), ..shell("") };
            assert_eq!(kind(&no_program), io::ErrorKind::PermissionDenied);
            let no_directory = Command { cwd: Some("/no/such".into()), ..shell("") };
            assert_eq!(kind(&no_directory), io::ErrorKind::NotFound);
        });
    }

    #[test]
    fn a_script_without_interpreter_ends_with_127_and_says_why() {
        on_each_driver(|| async {
            use std::os::unix::fs::PermissionsExt;
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("server");
            std::fs::write(&path, "#!/no/such/interpreter\n").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            let child = spawn(&Command { program: path.into(), ..shell("") }).unwrap();
            let told = String::from_utf8(read_all(child.stderr).await).unwrap();
            assert!(told.contains("cannot start") && told.contains("server"), "{told}");
            assert_eq!(ended(&child.process).await.code(), Some(127));
        });
    }

    #[test]
    fn stopping_is_polite_first_and_firm_last() {
        on_each_driver(|| async {
            let patience = Duration::from_millis(300);
            let by_input = spawn(&shell("cat >/dev/null; exit 3")).unwrap().stop(SOON).await.unwrap();
            assert_eq!(by_input.code(), Some(3));
            let by_asking = spawn(&shell("exec sleep 1000")).unwrap().stop(patience).await.unwrap();
            assert_eq!(by_asking.signal(), Some(libc::SIGTERM));
            let mut deaf = spawn(&shell("trap '' TERM; echo ready; while :; do sleep 1; done")).unwrap();
            let mut ready = Vec::new();
            deaf.stdout.read(&mut ready).await.unwrap();
            assert_eq!(deaf.stop(patience).await.unwrap().signal(), Some(libc::SIGKILL));
        });
    }

    #[test]
    fn what_a_child_leaves_behind_ends_with_it_even_in_a_session_of_its_own() {
        on_each_driver(|| async {
            let script = "setsid sh -c 'echo $$; sleep 1000 & echo $!; wait' & sleep 1000 & echo $!; sleep 0.3; exit 0";
            let child = spawn(&shell(script)).unwrap();
            let left = read_all(child.stdout).await;
            assert!(ended(&child.process).await.success());
            let left = pids(&left);
            assert_eq!(left.len(), 3);
            assert!(left.into_iter().all(|pid| !runs(pid)));
        });
    }

    #[test]
    fn a_dropped_child_is_killed_and_collected() {
        on_each_driver(|| async {
            let mut child = spawn(&shell("sleep 1000 & echo $! $$; wait")).unwrap();
            let mut out = Vec::new();
            child.stdout.read(&mut out).await.unwrap();
            let guard = child.process.guard_id().cast_signed();
            drop(child);
            let there = |pid: i32| Path::new(&format!("/proc/{pid}")).exists();
            for _ in 0..500 {
                time::sleep(Duration::from_millis(10)).await;
                if !there(guard) {
                    break;
                }
            }
            assert!(!there(guard), "not even a zombie");
            assert!(pids(&out).into_iter().all(|pid| !runs(pid)));
        });
    }

    /// The test binary as a gate: one child, whose words it passes on, and then nothing for ever.
    pub(crate) fn be_a_gate(mut args: impl Iterator<Item = OsString>) {
        let script = args.next().unwrap();
        let served = block_on(Driver::Epoll, async {
            let mut child = spawn(&shell(script.to_str().unwrap())).unwrap();
            let mut buf = Vec::new();
            while child.stdout.read(&mut buf).await.unwrap() > 0 {
                io::Write::write_all(&mut io::stdout(), &std::mem::take(&mut buf)).unwrap();
            }
            std::future::pending::<()>().await;
        });
        served.unwrap();
    }

    #[test]
    fn nothing_survives_kill_dash_nine_of_the_gate() {
        let script = "setsid sh -c 'echo $$; sleep 1000' & sh -c 'sleep 1000 & echo $!; wait' & echo $$; \
                      trap '' TERM HUP INT; sleep 1000 <&0 & wait";
        let mut gate = std::process::Command::new("/proc/self/exe")
            .args(["__gate", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = io::BufReader::new(gate.stdout.take().unwrap());
        let pids: Vec<i32> = out.lines().take(3).map(|line| line.unwrap().trim().parse().unwrap()).collect();
        assert!(pids.iter().all(|&pid| runs(pid)));
        gate.kill().unwrap();
        gate.wait().unwrap();
        for pid in pids {
            assert!(gone_soon(pid), "process {pid} survived");
        }
    }
}
