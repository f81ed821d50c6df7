//! System calls about processes, each in one safe function.
#![allow(unsafe_code, reason = "system calls")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

/// Turns a `-1` into the thread's last error.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A pipe, read end first, both ends closed at exec.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors that nobody else owns.
    unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// Whether a descriptor is closed when this process, or a child it forks, executes a program.
pub(super) fn set_close_on_exec(fd: BorrowedFd<'_>, close: bool) -> io::Result<()> {
    let flags = if close { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, flags) }).map(drop)
}

/// Makes a descriptor non-blocking.
pub(super) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    unsafe {
        let flags = check(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL))?;
        check(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)).map(drop)
    }
}

/// A descriptor of a child that has not been waited for; readable once it has ended.
pub(super) fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; a result that is not -1 is a descriptor nobody else owns.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, libc::PIDFD_NONBLOCK);
        let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
        check(fd)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Takes the descriptor of a number that a parent process passed on.
///
/// # Errors
/// The number is no open descriptor.
pub(super) fn inherit(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the parent opened it for us alone and nothing in this process has used it.
    unsafe {
        check(libc::fcntl(number, libc::F_GETFD))?;
        Ok(OwnedFd::from_raw_fd(number))
    }
}

/// Closes every descriptor above standard error but one.
///
/// Only for a process that has just started and owns none of them.
pub(super) fn close_all_but(keep: RawFd) {
    let keep = libc::c_uint::try_from(keep).unwrap_or(libc::c_uint::MAX);
    let close = |first: libc::c_uint, last: libc::c_uint| {
        if first <= last {
            // SAFETY: no pointers; whoever calls owns none of these descriptors, so nobody uses them afterwards.
            unsafe { libc::close_range(first, last, 0) };
        }
    };
    close(3, keep.saturating_sub(1));
    close(keep.saturating_add(1).max(3), libc::c_uint::MAX);
}

/// Points standard input, output and error of this process to nowhere.
pub(super) fn detach_stdio() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for number in 0..3 {
        // SAFETY: no pointers; replacing standard descriptors leaves them valid.
        check(unsafe { libc::dup2(null.as_raw_fd(), number) })?;
    }
    Ok(())
}

/// Makes orphaned descendants children of this process.
pub(super) fn become_subreaper() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Has the command's process killed when this thread ends, however it ends; and gives it an empty signal mask.
pub(super) fn die_with_me(command: &mut Command) {
    let parent = std::process::id();
    let before_exec = move || {
        // SAFETY: all calls are allowed between fork and exec; the set is live data that `sigemptyset` fills.
        unsafe {
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            check(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()))?;
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0))?;
            // The parent may have ended before the line above; nobody would tell us.
            if libc::getppid().cast_unsigned() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        Ok(())
    };
    // SAFETY: the closure makes no allocation and takes no lock.
    unsafe { command.pre_exec(before_exec) };
}

/// Blocks the signals that would end or interrupt a guard, and gives a descriptor that tells of ended children.
pub(super) fn block_signals() -> io::Result<OwnedFd> {
    // SAFETY: the sets are plain data that `sigemptyset` fills; a result that is not -1 is a descriptor of ours.
    unsafe {
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut blocked);
        libc::sigaddset(&raw mut blocked, libc::SIGCHLD);
        let mut children = blocked;
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE] {
            libc::sigaddset(&raw mut blocked, signal);
        }
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const blocked, std::ptr::null_mut()))?;
        libc::sigemptyset(&raw mut children);
        libc::sigaddset(&raw mut children, libc::SIGCHLD);
        let fd = check(libc::signalfd(-1, &raw const children, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Waits until one of two descriptors is readable or at its end; tells which.
pub(super) fn poll_two(fds: [BorrowedFd<'_>; 2]) -> io::Result<[bool; 2]> {
    let mut polled = fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    loop {
        // SAFETY: the pointer and count are those of a live array.
        match check(unsafe { libc::poll(polled.as_mut_ptr(), 2, -1) }) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(_) => return Ok(polled.map(|p| p.revents != 0)),
        }
    }
}

/// An ended child.
pub(super) struct Ended {
    /// Its process id.
    pub(super) pid: i32,
    /// How it ended.
    pub(super) status: ExitStatus,
}

/// Collects an ended child; `wait` says whether to wait for one. Nothing if none has ended (without waiting).
///
/// # Errors
/// `ECHILD`: there are no children.
pub(super) fn reap(wait: bool) -> io::Result<Option<Ended>> {
    let mut status = 0;
    loop {
        // SAFETY: the pointer is that of a live number.
        match check(unsafe { libc::waitpid(-1, &raw mut status, if wait { 0 } else { libc::WNOHANG }) }) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(0) => return Ok(None),
            Ok(pid) => return Ok(Some(Ended { pid, status: ExitStatus::from_raw(status) })),
        }
    }
}

/// Sends a signal to a process, or with a negative id to a process group. One that is gone already is fine.
pub(super) fn kill(pid: i32, signal: i32) {
    if pid == 0 || pid == -1 {
        return; // "our own group" and "everybody": never meant here.
    }
    // SAFETY: no pointers.
    unsafe { libc::kill(pid, signal) };
}

/// Ends this process by the signal that ended another, leaving no core file.
pub(super) fn die_of(signal: i32) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the set and the limit are live data of the right types; the rest takes no pointers.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::signal(signal, libc::SIG_DFL);
        let mut only: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut only);
        libc::sigaddset(&raw mut only, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const only, std::ptr::null_mut());
        libc::raise(signal);
    }
}
