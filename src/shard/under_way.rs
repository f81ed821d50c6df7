//! The calls under way on this shard, each with whose it is and of what, so that the operator can end them: when a key
//! is revoked, or a tool or server switched off.
//!
//! Each has a place in a row, and the places are used again, so that a call costs no allocation here.

use crate::base::ids::{KeyId, ServerId, ToolId};
use crate::config::Snapshot;
use crate::policy::Stopped;
use crate::shard::InForce;
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// What a call is of. The numbers are those of the snapshot it was admitted under.
#[derive(Clone)]
pub(crate) struct Of {
    pub(crate) in_force: Rc<InForce>,
    pub(crate) key: KeyId,
    pub(crate) server: ServerId,
    pub(crate) tool: Option<ToolId>,
}

impl Of {
    /// Whether a later snapshot ends it.
    pub(crate) fn stopped_by(&self, snapshot: &Snapshot) -> Option<Stopped> {
        let catalog = &self.in_force.snapshot.catalog;
        let tool = self.tool.map(|tool| catalog.tool(tool).name());
        snapshot.stops(self.key, catalog.server_name(self.server), tool)
    }
}

struct Place {
    of: Of,
    stopped: Option<Stopped>,
    waker: Option<Waker>,
}

/// All calls under way on one shard.
#[derive(Default)]
pub(crate) struct UnderWay {
    row: RefCell<Row>,
}

#[derive(Default)]
struct Row {
    places: Vec<Option<Place>>,
    free: Vec<usize>,
}

/// A call under way, until this is dropped.
pub(crate) struct Entered<'a> {
    all: &'a UnderWay,
    at: usize,
}

impl UnderWay {
    /// Enters a call.
    pub(crate) fn enter(&self, of: Of) -> Entered<'_> {
        let mut row = self.row.borrow_mut();
        let place = Some(Place { of, stopped: None, waker: None });
        let at = match row.free.pop() {
            Some(at) => {
                row.places[at] = place;
                at
            }
            None => {
                row.places.push(place);
                row.places.len() - 1
            }
        };
        Entered { all: self, at }
    }

    /// Ends the calls that a new snapshot does not let be made any more.
    pub(crate) fn look(&self, snapshot: &Snapshot) {
        for place in self.row.borrow_mut().places.iter_mut().flatten().filter(|place| place.stopped.is_none()) {
            place.stopped = place.of.stopped_by(snapshot);
            if place.stopped.is_some()
                && let Some(waker) = place.waker.take()
            {
                waker.wake();
            }
        }
    }
}

impl Entered<'_> {
    /// Whether the operator has ended the call.
    pub(crate) fn is_stopped(&self) -> Option<Stopped> {
        self.all.row.borrow().places[self.at].as_ref().and_then(|place| place.stopped)
    }

    /// Waits until the operator ends the call.
    pub(crate) async fn stopped(&self) -> Stopped {
        poll_fn(|cx| {
            let mut row = self.all.row.borrow_mut();
            let Some(place) = &mut row.places[self.at] else { return Poll::Pending };
            if let Some(stopped) = place.stopped {
                return Poll::Ready(stopped);
            }
            match &mut place.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut row = self.all.row.borrow_mut();
        let place = row.places[self.at].take();
        row.free.push(self.at);
        drop(row);
        // What a call is of may be the last to hold a snapshot, which is not taken apart while the row is lent.
        drop(place);
    }
}
