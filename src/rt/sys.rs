//! The system calls that std does not wrap, each in one safe function.
#![allow(unsafe_code, reason = "system calls")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Turns a `-1` into the thread's last error.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A non-blocking, close-on-exec eventfd that counts from 0.
pub(super) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; a result that is not -1 is a descriptor nobody else owns.
    unsafe {
        let fd = check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// A non-blocking, close-on-exec timer of the monotonic clock, not armed.
pub(super) fn timerfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; a result that is not -1 is a descriptor nobody else owns.
    unsafe {
        let fd = check(libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Arms a timer to go off once, `after` from now, which must not be zero; forgets what it had not yet told.
pub(super) fn arm(timer: BorrowedFd<'_>, after: Duration) -> io::Result<()> {
    let value = libc::timespec {
        tv_sec: after.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: after.subsec_nanos().into(),
    };
    let once = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
    // SAFETY: the pointer is that of a live struct of the right type, and the old value is not asked for.
    check(unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const once, std::ptr::null_mut()) }).map(drop)
}

/// Fills `into` from the kernel's generator; blocks only before the machine has gathered its first entropy.
pub(super) fn getrandom(mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        // SAFETY: the pointer and length are those of a live mutable slice.
        let got = unsafe { libc::getrandom(into.as_mut_ptr().cast(), into.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => into = &mut into[got..],
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
    Ok(())
}

/// Pins the calling thread to one processor.
pub(super) fn pin_thread(core: usize) -> io::Result<()> {
    // SAFETY: `set` is plain data for which zeroes are valid, and CPU_SET stays inside it because of the check.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if core >= size_of::<libc::cpu_set_t>() * 8 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no processor {core}")));
        }
        libc::CPU_SET(core, &mut set);
        check(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)).map(drop)
    }
}

/// The processors the calling thread may run on, in ascending order.
pub(super) fn allowed_cores() -> io::Result<Vec<usize>> {
    // SAFETY: `set` is plain data for which zeroes are valid; the kernel writes at most its size; indices stay inside.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        check(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set))?;
        let all = 0..size_of::<libc::cpu_set_t>() * 8;
        Ok(all.filter(|&core| libc::CPU_ISSET(core, &set)).collect())
    }
}

/// The soft limit on locked memory, in bytes; nothing if unlimited.
pub(super) fn memlock_limit() -> io::Result<Option<u64>> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is that of a live struct of the right type.
    check(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) })?;
    Ok((limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur))
}

/// Raises the soft limit on open files to `wanted`, or as near to it as the hard limit lets; never lowers it. Says how
/// many files may be open now.
pub(super) fn raise_file_limit(wanted: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is that of a live struct of the right type, here and below.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    let reach = wanted.min(limit.rlim_max);
    if reach > limit.rlim_cur {
        limit.rlim_cur = reach;
        // SAFETY: as above.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(limit.rlim_cur)
}

/// Gives a file `len` bytes of storage, zeroed where new, and at least that length.
pub(super) fn allocate(file: &std::fs::File, len: u64) -> io::Result<()> {
    let len = libc::off_t::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    // SAFETY: no pointers.
    check(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len) }).map(drop)
}

/// The first place at or behind `from` where a file may hold anything but zeros; nothing if there is none. A file
/// system that keeps no account of what was never written names `from` itself.
pub(super) fn seek_data(file: &std::fs::File, from: u64) -> io::Result<Option<u64>> {
    let from = libc::off_t::try_from(from).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    // SAFETY: no pointers.
    let found = unsafe { libc::lseek(file.as_raw_fd(), from, libc::SEEK_DATA) };
    match u64::try_from(found) {
        Ok(place) => Ok(Some(place)),
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            error if error.raw_os_error() == Some(libc::EINVAL) => Ok(u64::try_from(from).ok()),
            error => Err(error),
        },
    }
}

/// Tells the kernel not to read ahead in a file. It is advice: a kernel that does not take it only reads more.
pub(super) fn no_read_ahead(file: &std::fs::File) {
    // SAFETY: no pointers.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
}

/// What waits in a socket's receive queue, without taking it.
pub(super) enum Peeked {
    /// At least one byte.
    Bytes,
    /// Nothing yet.
    Nothing,
    /// The end.
    End,
}

/// Looks into a socket's receive queue without waiting.
pub(super) fn peek(socket: BorrowedFd<'_>) -> io::Result<Peeked> {
    let mut byte = 0u8;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the pointer is that of one live byte and the length says so.
    let got = unsafe { libc::recv(socket.as_raw_fd(), (&raw mut byte).cast(), 1, flags) };
    match got {
        0 => Ok(Peeked::End),
        1.. => Ok(Peeked::Bytes),
        _ => match io::Error::last_os_error() {
            e if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(Peeked::Nothing),
            e => Err(e),
        },
    }
}

/// One `read` into the spare capacity of `buf`.
pub(super) fn read_spare(fd: BorrowedFd<'_>, buf: &mut Vec<u8>) -> io::Result<usize> {
    let spare = buf.spare_capacity_mut();
    // SAFETY: the kernel writes at most `spare.len()` bytes into the spare room of a live vector.
    let got = unsafe { libc::read(fd.as_raw_fd(), spare.as_mut_ptr().cast(), spare.len()) };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has just written `got` bytes behind the current length, within the capacity.
    unsafe { buf.set_len(buf.len() + got) };
    Ok(got)
}

/// One `recv` into the spare capacity of `buf`, without waiting.
pub(super) fn recv_spare(socket: BorrowedFd<'_>, buf: &mut Vec<u8>) -> io::Result<usize> {
    let spare = buf.spare_capacity_mut();
    let (fd, to) = (socket.as_raw_fd(), spare.as_mut_ptr().cast());
    // SAFETY: the kernel writes at most `spare.len()` bytes into the spare room of a live vector.
    let got = unsafe { libc::recv(fd, to, spare.len(), libc::MSG_DONTWAIT) };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has just written `got` bytes behind the current length, within the capacity.
    unsafe { buf.set_len(buf.len() + got) };
    Ok(got)
}

/// One `send` without waiting; how many bytes there was room for.
pub(super) fn send_some(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the pointer and length are those of a live slice.
    let put = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(put).map_err(|_| io::Error::last_os_error())
}

/// One `write`.
pub(super) fn write_some(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length are those of a live slice.
    let put = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(put).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn an_eventfd_counts_and_does_not_block() {
        let fd = eventfd().unwrap();
        let mut buf = Vec::with_capacity(8);
        assert_eq!(read_spare(fd.as_fd(), &mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        for _ in 0..3 {
            assert_eq!(write_some(fd.as_fd(), &1u64.to_ne_bytes()).unwrap(), 8);
        }
        assert_eq!(read_spare(fd.as_fd(), &mut buf).unwrap(), 8);
        assert_eq!(buf, 3u64.to_ne_bytes());
    }

    #[test]
    fn the_limit_on_open_files_is_raised_within_its_bounds_and_never_lowered() {
        let now = raise_file_limit(0).unwrap();
        assert_eq!(raise_file_limit(now).unwrap(), now);
        let most = raise_file_limit(u64::MAX).unwrap();
        assert!(most >= now);
        assert_eq!(raise_file_limit(0).unwrap(), most);
    }

    #[test]
    fn a_thread_can_be_pinned_to_a_core_it_may_use_and_to_no_other() {
        std::thread::spawn(|| {
            let last = *allowed_cores().unwrap().last().unwrap();
            pin_thread(last).unwrap();
            assert_eq!(allowed_cores().unwrap(), [last]);
            assert!(pin_thread(100_000).is_err());
        })
        .join()
        .unwrap();
    }
}
