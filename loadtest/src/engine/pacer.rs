//! Hands the due requests of one thread to its connections.
//!
//! A request goes to whichever connection is free at its time; if none is, to the first that comes free, and its latency
//! counts from when it was due all the same. Nothing is queued: what is overdue follows from the schedule.

use super::plan::Plan;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use tollgate::base::clock::{Clock, Instant};
use tollgate::rt::alarm::Alarm;
use tollgate::rt::local::Notify;

/// A request to be sent now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    /// When it was due.
    pub(super) due: Instant,
    /// A connection was free then.
    pub(super) was_free: bool,
}

/// Where a free connection waits.
#[derive(Default)]
pub(super) struct Seat {
    ticket: Cell<Option<Ticket>>,
    bell: Notify,
}

/// The requests of one thread.
pub(super) struct Pacer {
    plan: Arc<Plan>,
    begin: Instant,
    /// The number of the next request among those of all threads.
    next: Cell<u64>,
    due: Cell<Option<Instant>>,
    free: RefCell<VecDeque<Rc<Seat>>>,
    came_free: Notify,
}

impl Pacer {
    /// Those of the n-th of the plan's threads; the warm-up begins at `begin`.
    pub(super) fn new(plan: Arc<Plan>, thread: usize, begin: Instant) -> Self {
        let pacer = Self {
            plan,
            begin,
            next: Cell::new(thread as u64),
            due: Cell::new(None),
            free: RefCell::default(),
            came_free: Notify::new(),
        };
        pacer.due.set(pacer.due_of(thread as u64));
        pacer
    }

    fn due_of(&self, n: u64) -> Option<Instant> {
        self.plan.schedule.as_ref().and_then(|schedule| schedule.due(n)).map(|after| self.begin + after)
    }

    fn advance(&self) {
        self.next.set(self.next.get() + self.plan.threads as u64);
        self.due.set(self.due_of(self.next.get()));
    }

    fn take_due(&self, now: Instant) -> Option<Instant> {
        let due = self.due.get().filter(|due| *due <= now)?;
        self.advance();
        Some(due)
    }

    /// The next request for the connection of this seat, waiting until one is due; nothing once all are handed out.
    pub(super) async fn next(&self, seat: &Rc<Seat>) -> Option<Ticket> {
        if let Some(due) = self.take_due(Clock::now()) {
            return Some(Ticket { due, was_free: !self.free.borrow().is_empty() });
        }
        if self.due.get().is_none() {
            // The hand may wait for a free connection that will not come any more.
            self.came_free.notify_one();
            return None;
        }
        self.free.borrow_mut().push_back(seat.clone());
        self.came_free.notify_one();
        seat.bell.notified().await;
        seat.ticket.take()
    }

    /// Wakes free connections at the appointed times, until the last request is handed out.
    ///
    /// # Errors
    /// No alarm can be had.
    pub(super) async fn dispatch(&self) -> io::Result<()> {
        let mut alarm = Alarm::new()?;
        while let Some(due) = self.due.get() {
            if self.free.borrow().is_empty() {
                self.came_free.notified().await;
                continue;
            }
            alarm.wait_until(due).await?;
            self.hand_out(Clock::now());
        }
        self.dismiss();
        Ok(())
    }

    fn hand_out(&self, now: Instant) {
        while !self.free.borrow().is_empty() {
            let Some(due) = self.take_due(now) else { return };
            let seat = self.free.borrow_mut().pop_front();
            if let Some(seat) = seat {
                seat.ticket.set(Some(Ticket { due, was_free: true }));
                seat.bell.notify_one();
            }
        }
    }

    /// Lets every waiting connection go without a request.
    fn dismiss(&self) {
        self.free.take().into_iter().for_each(|seat| seat.bell.notify_one());
    }

    /// Gives up what is not yet sent: how many requests that are.
    pub(super) fn give_up(&self) -> u64 {
        let mut left = 0;
        while self.due.get().is_some() {
            self.advance();
            left += 1;
        }
        self.came_free.notify_one();
        self.dismiss();
        left
    }
}
