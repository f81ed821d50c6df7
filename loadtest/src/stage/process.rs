//! A process of the stage: started on its cores, heard when it is ready, stopped when it is dropped.

use super::pin;
use crate::failure::Failure;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tollgate::base::clock::{Clock, Instant};

/// Patience with a process that is asked to end, before it is killed.
const ENDING: Duration = Duration::from_secs(10);
/// Pause between two looks at whether something has happened.
const LOOK: Duration = Duration::from_millis(20);
/// Most bytes of a log that are told.
const TOLD_MAX: usize = 2_000;

/// What to start.
#[derive(Clone, Debug)]
pub struct Spec<'a> {
    /// What people call it; its log file is named after it.
    pub name: &'a str,
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub args: Vec<String>,
    /// The cores it may use.
    pub cores: Vec<usize>,
    /// Its working directory, and where its log goes.
    pub folder: &'a Path,
}

/// A running process. Dropping it ends it, and so does the end of the thread that started it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    output: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts one.
    ///
    /// # Errors
    /// There is no such program, or it cannot be started on these cores.
    #[allow(unsafe_code, reason = "what a child does before it runs its program is unsafe to say")]
    pub fn start(spec: &Spec<'_>) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::new(format!("{} ({}): {e}", spec.name, spec.program.display()));
        let log = spec.folder.join(format!("{}.log", spec.name));
        let mut command = Command::new(spec.program);
        command.args(&spec.args).current_dir(spec.folder).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(&log).map_err(failed)?);
        let cores = spec.cores.clone();
        let prepare = move || {
            // SAFETY: a plain system call with an integer argument.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            pin::set(&cores)
        };
        // SAFETY: between fork and exec it makes two system calls and allocates nothing.
        unsafe { command.pre_exec(prepare) };
        let mut child = command.spawn().map_err(failed)?;
        let output = child.stdout.take().map(BufReader::new);
        Ok(Self { child, name: spec.name.to_owned(), log, output })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its first line on standard output.
    ///
    /// # Errors
    /// It ended without one.
    pub fn first_line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        let read = self.output.as_mut().map_or(Ok(0), |output| output.read_line(&mut line));
        match read {
            Ok(1..) => Ok(line.trim_end().to_owned()),
            _ => Err(self.gone("it ended before it was ready")),
        }
    }

    /// Waits until `happened` says so.
    ///
    /// # Errors
    /// The process ended, or the time is up.
    pub fn until(&mut self, limit: Duration, what: &str, happened: impl Fn() -> bool) -> Result<(), Failure> {
        let deadline = Clock::now() + limit;
        while !happened() {
            if self.has_ended() {
                return Err(self.gone("it ended before it was ready"));
            }
            if Clock::now() >= deadline {
                return Err(self.gone(&format!("{what} did not come about within {} s", limit.as_secs())));
            }
            pause(LOOK);
        }
        Ok(())
    }

    /// Asks it to end and waits.
    ///
    /// # Errors
    /// It had to be killed, or ended badly.
    pub fn stop(mut self) -> Result<(), Failure> {
        match self.end() {
            true => Ok(()),
            false => Err(self.gone("it did not end well")),
        }
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it, by force at last; whether it ended of itself.
    fn end(&mut self) -> bool {
        if let Ok(Some(status)) = self.child.try_wait() {
            return status.success();
        }
        signal(self.child.id(), libc::SIGTERM);
        let deadline: Instant = Clock::now() + ENDING;
        while Clock::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.success() || status_is_term(status),
                _ => pause(LOOK),
            }
        }
        // It is gone either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
        false
    }

    /// A failure with the end of the process's log.
    fn gone(&self, what: &str) -> Failure {
        let mut log = String::new();
        // A log that cannot be read adds nothing.
        let _ = File::open(&self.log).and_then(|mut file| file.read_to_string(&mut log));
        let tail = log.char_indices().rev().nth(TOLD_MAX).map_or(log.as_str(), |(at, _)| &log[at..]);
        Failure::new(format!("{}: {what}; its log ends with:\n{}", self.name, tail.trim_end()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn status_is_term(status: std::process::ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGTERM)
}

#[allow(unsafe_code, reason = "std can only kill")]
fn signal(process: u32, signal: libc::c_int) {
    // SAFETY: no pointers; the process is our own child, not yet waited for, so the number is still its own.
    unsafe { libc::kill(process.cast_signed(), signal) };
}

#[allow(clippy::disallowed_methods, reason = "no runtime on this thread")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path) -> Process {
        let cores = tollgate::rt::shard::cores().unwrap();
        let args = vec!["-c".to_owned(), script.to_owned()];
        let program = Path::new("/bin/sh");
        Process::start(&Spec { name: "shell", program, args, cores, folder }).unwrap()
    }

    #[test]
    fn a_process_is_heard_and_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell("echo here; exec sleep 60", folder.path());
        assert_eq!(process.first_line().unwrap(), "here");
        process.until(Duration::from_secs(5), "it", || true).unwrap();
        process.stop().unwrap();
    }

    #[test]
    fn what_ended_early_tells_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let failure = shell("echo no such port >&2; exit 3", folder.path()).first_line().unwrap_err().to_string();
        assert!(failure.contains("shell: it ended") && failure.contains("no such port"), "{failure}");
        let mut process = shell("exit 0", folder.path());
        assert!(process.until(Duration::from_secs(5), "it", || false).is_err());
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let spec = Spec {
            name: "gate",
            program: Path::new("/nowhere/tollgate"),
            args: Vec::new(),
            cores: vec![0],
            folder: &std::env::temp_dir(),
        };
        assert!(Process::start(&spec).unwrap_err().to_string().contains("/nowhere/tollgate"));
    }
}
