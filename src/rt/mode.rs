//! Which runtime drives this thread, so that one `spawn` and one `sleep` serve all of them.

use super::shard::Driver;
use std::cell::Cell;

/// The runtime of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// None yet.
    Bare,
    /// monoio on this driver.
    Os(Driver),
    /// The seeded simulation.
    Sim,
}

thread_local! {
    static MODE: Cell<Mode> = const { Cell::new(Mode::Bare) };
}

/// The runtime of this thread.
pub(super) fn current() -> Mode {
    MODE.get()
}

/// Whether this thread runs the simulation.
pub(super) fn is_sim() -> bool {
    current() == Mode::Sim
}

/// Whether descriptors of this thread must be non-blocking: epoll needs it; on io_uring it would turn a wait into
/// `EAGAIN`.
pub(super) fn wants_nonblocking() -> bool {
    current() == Mode::Os(Driver::Epoll)
}

/// Sets the thread's runtime until dropped.
pub(super) struct Entered;

impl Entered {
    /// Marks this thread; nothing if a runtime already drives it.
    pub(super) fn enter(mode: Mode) -> Option<Self> {
        if current() != Mode::Bare {
            return None;
        }
        MODE.set(mode);
        Some(Self)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        MODE.set(Mode::Bare);
    }
}
