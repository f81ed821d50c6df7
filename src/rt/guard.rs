//! The guard: a tiny process between the gate and a stdio server, so that nothing of the server outlives the gate.
//!
//! A parent-death signal reaches only the server's first process; `npx` and its kind start others. So the gate starts
//! itself as `tollgate __guard`, and that process starts the server, adopts whatever the server leaves behind
//! (PR_SET_CHILD_SUBREAPER), and kills all of it with SIGKILL when the server ends or when the gate does: the gate
//! holds the writing end of a pipe, the *lifeline*, which the kernel closes however the gate ends, kill -9 included.
//! Bytes on the lifeline are signals for the server's process group. The guard ends as the server ended.

use super::{process, sys};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus};

/// The hidden command's name: `tollgate __guard LIFELINE CWD PROGRAM [ARGUMENT…]`.
pub const COMMAND: &str = "__guard";

/// Exit code where the program could not be started, as shells have it.
const CANNOT_START: u8 = 127;
/// Exit code where the guard itself could not work.
const BROKEN: u8 = 126;

/// Runs the guard; `args` are those after [`COMMAND`]. To be called first thing in `main`, before any thread.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    ExitCode::from(guard(args))
}

pub(super) fn guard(args: impl Iterator<Item = OsString>) -> u8 {
    let done = Guard::start(args).and_then(|mut guard| guard.watch());
    match done {
        Ok(status) => end_as(status),
        Err(Failure { code, words }) => {
            eprintln!("tollgate: {words}");
            code
        }
    }
}

/// Why a guard gave up, and its exit code.
struct Failure {
    code: u8,
    words: String,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { code: BROKEN, words: format!("the guard of a stdio server failed: {error}") }
    }
}

struct Guard {
    lifeline: OwnedFd,
    children: OwnedFd,
    /// The server's first process; also its process group.
    server: i32,
}

impl Guard {
    fn start(mut args: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let usage = || io::Error::new(io::ErrorKind::InvalidInput, "this command is for the gate itself");
        let lifeline = args.next().and_then(|text| text.to_str()?.parse().ok()).ok_or_else(usage)?;
        let (cwd, program) = (args.next().ok_or_else(usage)?, args.next().ok_or_else(usage)?);
        process::close_all_but(lifeline);
        let lifeline = process::inherit(lifeline)?;
        process::set_close_on_exec(lifeline.as_fd(), true)?;
        process::become_subreaper()?;
        let children = process::block_signals()?;
        let mut command = Command::new(&program);
        command.args(args).process_group(0);
        if !cwd.is_empty() {
            command.current_dir(cwd);
        }
        process::die_with_me(&mut command);
        let server = command.spawn().map_err(|e| Failure {
            code: CANNOT_START,
            words: format!("cannot start {}: {e}", program.to_string_lossy()),
        })?;
        let server = server.id().cast_signed();
        // The server alone may hold the pipes, or the gate would never see them end.
        process::detach_stdio()?;
        Ok(Self { lifeline, children, server })
    }

    /// Until the server or the gate ends; then ends the rest.
    fn watch(&mut self) -> Result<ExitStatus, Failure> {
        let status = loop {
            let [line, child] = process::poll_two([self.lifeline.as_fd(), self.children.as_fd()])?;
            if line && !self.relay_signals() {
                break ExitStatus::from_raw(libc::SIGKILL);
            }
            if child && let Some(status) = self.collect() {
                break status;
            }
        };
        self.kill_all();
        Ok(status)
    }

    /// Passes on what the gate asks for; false once the gate is gone or wants an end.
    fn relay_signals(&self) -> bool {
        let mut signals = Vec::with_capacity(16);
        match sys::read_spare(self.lifeline.as_fd(), &mut signals) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => true,
            Ok(0) | Err(_) => false,
            Ok(_) if signals.iter().any(|&s| i32::from(s) == libc::SIGKILL) => false,
            Ok(_) => {
                signals.iter().for_each(|&s| process::kill(-self.server, i32::from(s)));
                true
            }
        }
    }

    /// Collects ended children, adopted ones too; how the server ended, if it did.
    fn collect(&self) -> Option<ExitStatus> {
        let mut told = Vec::with_capacity(1024);
        let _ = sys::read_spare(self.children.as_fd(), &mut told);
        while let Ok(Some(ended)) = process::reap(false) {
            if ended.pid == self.server {
                return Some(ended.status);
            }
        }
        None
    }

    /// Kills every descendant: each that dies leaves its children to us, until there are none.
    fn kill_all(&self) {
        process::kill(-self.server, libc::SIGKILL);
        loop {
            own_children().into_iter().for_each(|pid| process::kill(pid, libc::SIGKILL));
            if process::reap(true).is_err() {
                return;
            }
        }
    }
}

/// The processes whose parent we are.
fn own_children() -> Vec<i32> {
    let me = std::process::id();
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| parent_of(pid) == Some(me)).collect()
}

/// The second field behind the name in `/proc/PID/stat`; the name may hold anything, so it is skipped from the right.
fn parent_of(pid: i32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

/// Ends as another process ended: the same exit code, or the same signal.
fn end_as(status: ExitStatus) -> u8 {
    if let Some(signal) = status.signal() {
        process::die_of(signal);
    }
    let shell_code = status.signal().map_or(0, |signal| 128 + signal);
    u8::try_from(status.code().unwrap_or(shell_code)).unwrap_or(BROKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Before `main` of the test binary: lets it serve as its own guard, as the gate's binary does.
    #[used]
    #[allow(unsafe_code, reason = "a start-up hook of the test binary")]
    // SAFETY: the loader calls these with the C convention before `main`; std's arguments are set up before.
    #[unsafe(link_section = ".init_array")]
    static HOOK: extern "C" fn() = hook;

    extern "C" fn hook() {
        let mut args = std::env::args_os().skip(1);
        match args.next() {
            Some(name) if name == COMMAND => std::process::exit(guard(args).into()),
            Some(name) if name == "__gate" => super::super::child::tests::be_a_gate(args),
            _ => {}
        }
    }

    #[test]
    fn our_parent_is_found_whatever_our_name() {
        let me = std::process::id();
        assert_eq!(parent_of(me.cast_signed()), Some(std::os::unix::process::parent_id()));
        assert_eq!(parent_of(i32::MAX), None);
    }

    #[test]
    fn nonsense_arguments_are_refused() {
        let told = |args: &[&str]| guard(args.iter().map(OsString::from).collect::<Vec<_>>().into_iter());
        for args in [&[][..], &["x", "", "sh"], &["3"], &["3", ""]] {
            assert_eq!(told(args), BROKEN);
        }
    }
}
