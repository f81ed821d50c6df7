//! Sockets and their addresses, as the ring wants them.
#![allow(unsafe_code, reason = "std knows neither a backlog nor a socket that is not yet connected")]
#![allow(clippy::cast_possible_truncation, reason = "families and sizes of a few bytes, in the kernel's types")]

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Connections the kernel completes before they are accepted.
const BACKLOG: libc::c_int = 4096;

/// An address in the kernel's form; stays where it is while an operation reads it.
pub(super) struct Address {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Address {
    pub(super) fn new(of: SocketAddr) -> Self {
        // SAFETY: plain data for which zeroes are valid.
        let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let length = match of {
            SocketAddr::V4(v4) => {
                let in_addr = libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) };
                let family = libc::AF_INET as libc::sa_family_t;
                let raw = libc::sockaddr_in {
                    sin_family: family,
                    sin_port: v4.port().to_be(),
                    sin_addr: in_addr,
                    sin_zero: [0; 8],
                };
                // SAFETY: `sockaddr_storage` is large enough and aligned for every kind of address.
                unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(raw) };
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(v6) => {
                let raw = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(raw) };
                size_of::<libc::sockaddr_in6>()
            }
        };
        Self { storage, length: length as libc::socklen_t }
    }

    pub(super) fn pointer(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(super) fn length(&self) -> libc::socklen_t {
        self.length
    }
}

/// A stream socket of an address's family, without Nagle's delay.
pub(super) fn stream(of: SocketAddr) -> io::Result<OwnedFd> {
    let family = if of.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers; a result that is not -1 is a descriptor nobody else owns.
    let socket = unsafe {
        let fd = libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    switch_on(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY)?;
    Ok(socket)
}

fn switch_on(socket: &OwnedFd, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: pointer and length are those of a live integer.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A listening socket; what it accepts has no delay either.
pub(super) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = stream(at)?;
    switch_on(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    let address = Address::new(at);
    // SAFETY: the address lives through both calls, and its length is its own.
    unsafe {
        if libc::bind(socket.as_raw_fd(), address.pointer(), address.length()) != 0
            || libc::listen(socket.as_raw_fd(), BACKLOG) != 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(TcpListener::from(socket))
}

/// Ends our half of a connection, or (`both`) makes every operation on it end.
pub(super) fn shut(socket: BorrowedFd<'_>, both: bool) {
    let how = if both { libc::SHUT_RDWR } else { libc::SHUT_WR };
    // SAFETY: no pointers. It fails only where the connection is gone, which is what is wanted.
    unsafe { libc::shutdown(socket.as_raw_fd(), how) };
}
