//! A client's connection and its own upstream one: where each direction stands. Knows nothing of the ring.

use std::os::fd::OwnedFd;

/// Room of one direction: a message of usual size in one read, a long list in few. Pages that are never written cost
/// nothing.
pub(super) const ROOM: u32 = 64 * 1024;

/// One of the two directions, named by where its bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Client,
    Upstream,
}

impl From {
    pub(super) const BOTH: [Self; 2] = [Self::Client, Self::Upstream];

    fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Upstream => 1,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

/// What a direction does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Read into the whole room.
    Read,
    /// Write this part of the room.
    Write { at: usize, length: usize },
    /// Tell the receiver that nothing more comes; the direction is done.
    End,
}

/// Two connections and what is between them.
pub(super) struct Pair {
    client: OwnedFd,
    upstream: OwnedFd,
    ways: [Way; 2],
    /// Operations the kernel has not answered; their buffers are its own so long.
    pub(super) in_flight: u8,
    /// Nothing is started any more.
    pub(super) is_ending: bool,
}

struct Way {
    room: Box<[u8]>,
    filled: usize,
    written: usize,
    is_done: bool,
}

impl Way {
    fn new() -> Self {
        Self { room: vec![0; ROOM as usize].into_boxed_slice(), filled: 0, written: 0, is_done: false }
    }
}

impl Pair {
    pub(super) fn new(client: OwnedFd, upstream: OwnedFd) -> Self {
        Self { client, upstream, ways: [Way::new(), Way::new()], in_flight: 0, is_ending: false }
    }

    /// Where a direction reads.
    pub(super) fn source(&self, from: From) -> &OwnedFd {
        match from {
            From::Client => &self.client,
            From::Upstream => &self.upstream,
        }
    }

    /// Where a direction writes.
    pub(super) fn sink(&self, from: From) -> &OwnedFd {
        self.source(from.other())
    }

    /// A direction's room, from `at` on.
    pub(super) fn room(&mut self, from: From, at: usize) -> *mut u8 {
        self.ways[from.index()].room[at..].as_mut_ptr()
    }

    /// So many bytes were read; 0 is the end.
    pub(super) fn read(&mut self, from: From, count: usize) -> Next {
        let way = &mut self.ways[from.index()];
        if count == 0 {
            way.is_done = true;
            return Next::End;
        }
        (way.filled, way.written) = (count, 0);
        Next::Write { at: 0, length: count }
    }

    /// So many bytes were written.
    pub(super) fn wrote(&mut self, from: From, count: usize) -> Next {
        let way = &mut self.ways[from.index()];
        way.written += count;
        match way.filled.saturating_sub(way.written) {
            0 => Next::Read,
            length => Next::Write { at: way.written, length },
        }
    }

    /// Whether both directions are done.
    pub(super) fn is_done(&self) -> bool {
        self.ways.iter().all(|way| way.is_done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_direction_writes_all_it_read_before_it_reads_on() {
        let (a, b) = UnixStream::pair().unwrap();
        let mut pair = Pair::new(a.into(), b.into());
        assert_eq!(pair.read(From::Client, 100), Next::Write { at: 0, length: 100 });
        assert_eq!(pair.wrote(From::Client, 60), Next::Write { at: 60, length: 40 });
        assert_eq!(pair.wrote(From::Client, 40), Next::Read);
        assert_eq!((pair.read(From::Client, 0), pair.is_done()), (Next::End, false));
        assert_eq!((pair.read(From::Upstream, 0), pair.is_done()), (Next::End, true));
    }
}
