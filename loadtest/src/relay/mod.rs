//! The bare relay: copies bytes both ways and parses nothing. It is the least that a gate on this machine can cost.
//!
//! | file | what it holds |
//! |---|---|
//! | `ring.rs` | the one loop: completions → submissions, one system call a turn |
//! | `pair.rs` | a client's connection and its own upstream one: where each direction stands |
//! | `socket.rs` | sockets and their addresses, as the ring wants them |
//!
//! What was tried, CPU µs a call at 64 connections, medians of six interleaved rounds on two shared cores: `recv` and
//! `send` 21.4 (kept), the same on registered files 21.4, `read` and `write` 22.0.

mod pair;
mod ring;
mod socket;

use crate::failure::Failure;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};

/// A relay that listens already.
#[derive(Debug)]
pub struct Relay {
    listener: TcpListener,
    address: SocketAddr,
    to: SocketAddr,
}

impl Relay {
    /// Listens; port 0 takes a free one.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn bind(listen: SocketAddr, to: SocketAddr) -> Result<Self, Failure> {
        let cannot = |e| Failure::new(format!("the relay at {listen}: {e}"));
        let listener = socket::listen(listen).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Self { listener, address, to })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Relays on the calling thread, for ever.
    ///
    /// # Errors
    /// There is no ring to be had, or it broke.
    pub fn run(self) -> Result<Infallible, Failure> {
        let failed =
            |e: std::io::Error| Failure::new(format!("the relay's io_uring: {e}; it needs Linux 6.1 or newer"));
        ring::Loop::new(self.listener, self.to).and_then(ring::Loop::run).map_err(failed)
    }
}
