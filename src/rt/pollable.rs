//! Any pollable descriptor (eventfd, pipe, pidfd) on this thread's ring or epoll.

use super::sys;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// A non-blocking descriptor whose readiness this thread's runtime watches. Reads and writes are plain system calls
/// made when it is ready: so every wait here is safe to drop and no byte is ever in flight.
pub(super) struct Pollable {
    inner: monoio::net::UnixStream,
}

impl Pollable {
    /// Takes a descriptor, which must be non-blocking. Must be called inside a runtime.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        // monoio polls only descriptors it thinks are sockets; nothing but polling is ever asked of this one.
        let inner = monoio::net::UnixStream::from_std(std::os::unix::net::UnixStream::from(fd))?;
        Ok(Self { inner })
    }

    /// Waits until a read would not block. Safe to drop.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.inner.readable(false).await
    }

    /// Waits until a write would not block. Safe to drop.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.inner.writable(false).await
    }

    /// Appends what is there into the spare capacity of `buf`, waiting until there is something; 0 is the end.
    pub(super) async fn read(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            match sys::read_spare(self.fd(), buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.readable().await?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// Writes at least one of `bytes`, waiting until there is room.
    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match sys::write_some(self.fd(), bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// The descriptor.
    #[allow(unsafe_code, reason = "monoio hands out only the number of a descriptor")]
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `inner` owns the descriptor and outlives the borrow.
        unsafe { BorrowedFd::borrow_raw(self.inner.as_raw_fd()) }
    }
}
