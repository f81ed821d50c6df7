//! Messages to a server that nobody here waits for: answers to its own requests, and word that a request is given up.

use crate::base::buf::Piece;
use crate::base::limits::ASIDES_MAX;
use crate::upstream::message;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Time such a message may take.
pub(super) const ASIDE: Duration = Duration::from_secs(5);

/// Those of one session that are under way. Bounded: a server that asks without end is not answered without end.
#[derive(Default)]
pub(super) struct Asides(Cell<usize>);

/// One of them; dropped when it has been sent.
pub(super) struct Aside(Rc<Asides>);

impl Asides {
    /// Begins one; nothing where too many are under way.
    pub(super) fn begin(self: &Rc<Self>) -> Option<Aside> {
        if self.0.get() >= ASIDES_MAX {
            tracing::debug!("a server asks faster than it takes the answers");
            return None;
        }
        self.0.set(self.0.get() + 1);
        Some(Aside(self.clone()))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

/// A request that waits; dropping it has the server told that nobody does any more.
pub(super) struct GivenUp<F: Fn(Piece)> {
    id: u64,
    tell: F,
}

impl<F: Fn(Piece)> GivenUp<F> {
    /// The request with this id; `tell` sends the word.
    pub(super) fn new(id: u64, tell: F) -> Self {
        Self { id, tell }
    }

    /// It was answered, or there is nobody to tell.
    pub(super) fn forget(mut self) {
        self.id = 0;
    }
}

impl<F: Fn(Piece)> Drop for GivenUp<F> {
    fn drop(&mut self) {
        if self.id != 0 {
            (self.tell)(message::cancelled(self.id));
        }
    }
}
