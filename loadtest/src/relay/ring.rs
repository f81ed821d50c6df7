//! The one loop: completions → submissions, one system call a turn.
#![allow(unsafe_code, reason = "an entry of the ring names memory that must outlive it")]

use super::pair::{From, Next, Pair, ROOM};
use super::socket::{self, Address};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use tollgate::base::limits::RING_ENTRIES;

/// Completions that fit before the kernel must keep them aside: four operations of each of 4,096 busy pairs.
const COMPLETIONS: u32 = 16 * 1024;

/// What an operation was, in the low bits of its `user_data`; the pair's number is above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Accept,
    Connect,
    Read(From),
    Write(From),
}

const KIND_BITS: u32 = 3;

impl Done {
    fn tag(self, pair: usize) -> u64 {
        let kind = match self {
            Self::Accept => 0,
            Self::Connect => 1,
            Self::Read(From::Client) => 2,
            Self::Read(From::Upstream) => 3,
            Self::Write(From::Client) => 4,
            Self::Write(From::Upstream) => 5,
        };
        ((pair as u64) << KIND_BITS) | kind
    }

    #[allow(clippy::cast_possible_truncation, reason = "the number was a usize when it was put there")]
    fn of(tag: u64) -> (Self, usize) {
        let done = match tag & ((1 << KIND_BITS) - 1) {
            0 => Self::Accept,
            1 => Self::Connect,
            2 => Self::Read(From::Client),
            3 => Self::Read(From::Upstream),
            4 => Self::Write(From::Client),
            _ => Self::Write(From::Upstream),
        };
        (done, (tag >> KIND_BITS) as usize)
    }
}

/// The relay's thread.
pub(super) struct Loop {
    // Dropped first: the kernel lets go of every buffer before the pairs are freed.
    ring: IoUring,
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    listener: TcpListener,
    to: SocketAddr,
    address: Box<Address>,
}

impl Loop {
    pub(super) fn new(listener: TcpListener, to: SocketAddr) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun().setup_cqsize(COMPLETIONS);
        let ring = builder.build(RING_ENTRIES)?;
        let address = Box::new(Address::new(to));
        Ok(Self { ring, pairs: Vec::new(), free: Vec::new(), listener, to, address })
    }

    pub(super) fn run(mut self) -> io::Result<Infallible> {
        self.accept()?;
        let mut batch: Vec<(u64, i32, u32)> = Vec::with_capacity(COMPLETIONS as usize);
        loop {
            match self.ring.submit_and_wait(1) {
                Err(e) if !matches!(e.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => return Err(e),
                _ => {}
            }
            let entries = self.ring.completion().map(|entry| (entry.user_data(), entry.result(), entry.flags()));
            batch.extend(entries);
            for (tag, result, flags) in batch.drain(..) {
                self.turn(tag, result, flags)?;
            }
        }
    }

    fn turn(&mut self, tag: u64, result: i32, flags: u32) -> io::Result<()> {
        let (done, number) = Done::of(tag);
        if done == Done::Accept {
            return self.accepted(result, cqueue::more(flags));
        }
        let Some(pair) = self.pairs.get_mut(number).and_then(Option::as_mut) else { return Ok(()) };
        pair.in_flight -= 1;
        let count = usize::try_from(result).ok().filter(|_| !pair.is_ending);
        let Some(count) = count else {
            self.end(number);
            return Ok(());
        };
        match done {
            Done::Accept => Ok(()),
            Done::Connect => From::BOTH.into_iter().try_for_each(|from| self.start(number, from, Next::Read)),
            Done::Read(from) => {
                let next = pair.read(from, count);
                self.start(number, from, next)
            }
            Done::Write(from) => {
                let next = pair.wrote(from, count);
                self.start(number, from, next)
            }
        }
    }

    /// Starts what a direction does next.
    fn start(&mut self, number: usize, from: From, next: Next) -> io::Result<()> {
        let Some(pair) = self.pairs[number].as_mut() else { return Ok(()) };
        let entry = match next {
            Next::Read => {
                let (source, room) = (types::Fd(pair.source(from).as_raw_fd()), pair.room(from, 0));
                opcode::Recv::new(source, room, ROOM).build().user_data(Done::Read(from).tag(number))
            }
            Next::Write { at, length } => {
                let (sink, room) = (types::Fd(pair.sink(from).as_raw_fd()), pair.room(from, at));
                let write = opcode::Send::new(sink, room, u32::try_from(length).unwrap_or(u32::MAX));
                write.flags(libc::MSG_NOSIGNAL).build().user_data(Done::Write(from).tag(number))
            }
            Next::End => {
                socket::shut(pair.sink(from).as_fd(), false);
                if pair.is_done() {
                    self.end(number);
                }
                return Ok(());
            }
        };
        pair.in_flight += 1;
        self.push(&entry)
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: what the entry names lives in `self` (an address, a pair's socket and room) and is neither moved
            // nor freed while the operation is in flight: a pair is dropped only when it has none.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            // The queue is full: hand it over and go on.
            self.ring.submit()?;
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(types::Fd(self.listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC);
        self.push(&entry.build().user_data(Done::Accept.tag(0)))
    }

    fn accepted(&mut self, result: i32, more: bool) -> io::Result<()> {
        if result >= 0 {
            // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
            let client = unsafe { OwnedFd::from_raw_fd(result) };
            // Without a socket to the upstream the client's connection is closed: it is dropped here.
            if let Ok(upstream) = socket::stream(self.to) {
                self.connect(Pair::new(client, upstream))?;
            }
        }
        if more { Ok(()) } else { self.accept() }
    }

    fn connect(&mut self, mut pair: Pair) -> io::Result<()> {
        let upstream = types::Fd(pair.source(From::Upstream).as_raw_fd());
        pair.in_flight = 1;
        let number = self.free.pop().unwrap_or(self.pairs.len());
        if number == self.pairs.len() {
            self.pairs.push(None);
        }
        self.pairs[number] = Some(pair);
        let entry = opcode::Connect::new(upstream, self.address.pointer(), self.address.length());
        self.push(&entry.build().user_data(Done::Connect.tag(number)))
    }

    /// Ends a pair: both connections at once, its memory when the kernel has let go of it.
    fn end(&mut self, number: usize) {
        let Some(pair) = self.pairs[number].as_mut() else { return };
        if !pair.is_ending {
            pair.is_ending = true;
            From::BOTH.into_iter().for_each(|from| socket::shut(pair.source(from).as_fd(), true));
        }
        if pair.in_flight == 0 {
            self.pairs[number] = None;
            self.free.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_known_again_by_its_tag() {
        for done in [Done::Accept, Done::Connect, Done::Read(From::Client), Done::Read(From::Upstream)] {
            assert_eq!(Done::of(done.tag(12_345)), (done, 12_345));
        }
        for done in From::BOTH.map(Done::Write) {
            assert_eq!(Done::of(done.tag(0)), (done, 0));
        }
    }
}
