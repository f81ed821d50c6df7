//! Hands the due requests of one thread to its connections.
//!
//! A request goes to whichever connection is free at its time; if none is, to the first that comes free, and its
//! latency counts from when it was due all the same. Nothing is queued: what is overdue follows from the schedule.

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
    /// Nothing due from here on is sent.
    until: Cell<Option<Instant>>,
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
            until: Cell::new(None),
            free: RefCell::default(),
            came_free: Notify::new(),
        };
        pacer.due.set(pacer.due_of(thread as u64));
        pacer
    }

    fn due_of(&self, n: u64) -> Option<Instant> {
        let due = self.plan.schedule.as_ref().and_then(|schedule| schedule.due(n)).map(|after| self.begin + after);
        due.filter(|due| self.until.get().is_none_or(|until| *due < until))
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

    /// Ends the schedule early: what is due from `until` on is nobody's any more.
    pub(super) fn end_at(&self, until: Instant) {
        self.until.set(Some(until));
        if self.due.get().is_some_and(|due| due >= until) {
            self.due.set(None);
            self.came_free.notify_one();
            self.dismiss();
        }
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

#[cfg(test)]
mod tests {
    use super::super::plan::tests::open_plan;
    use super::*;
    use std::time::Duration;
    use tollgate::rt::{sim, task, time};

    /// What connections that take `service` a request were handed: when each was due, and whether one was free.
    fn handed(seed: u64, connections: usize, rate: f64, service: Duration) -> Vec<(u64, bool)> {
        sim::run(seed, async move {
            let plan = Arc::new(open_plan(rate, Duration::from_secs(1)));
            let begin = Clock::now();
            let pacer = Rc::new(Pacer::new(plan, 0, begin));
            let tickets = Rc::new(RefCell::new(Vec::new()));
            let workers: Vec<_> = (0..connections)
                .map(|_| {
                    let (pacer, tickets) = (pacer.clone(), tickets.clone());
                    task::spawn(async move {
                        let seat = Rc::new(Seat::default());
                        while let Some(ticket) = pacer.next(&seat).await {
                            assert!(ticket.due <= Clock::now(), "handed out before it was due");
                            tickets.borrow_mut().push((ticket.due.since(begin).as_micros(), ticket.was_free));
                            time::sleep(service).await;
                        }
                    })
                })
                .collect();
            pacer.dispatch().await.unwrap();
            for worker in workers {
                worker.await;
            }
            let tickets = tickets.take();
            tickets.into_iter().map(|(due, was_free)| (u64::try_from(due).unwrap(), was_free)).collect()
        })
    }

    #[test]
    fn every_request_is_handed_out_once_in_order_and_ends_let_all_go() {
        for seed in 0..20 {
            let tickets = handed(seed, 4, 100.0, Duration::from_millis(5));
            assert_eq!(tickets.len(), 100);
            assert!(tickets.windows(2).all(|pair| pair[1].0.abs_diff(pair[0].0 + 10_000) <= 1));
        }
    }

    #[test]
    fn what_is_overdue_goes_to_the_next_free_connection_with_its_old_time() {
        for seed in 0..20 {
            let tickets = handed(seed, 1, 100.0, Duration::from_millis(20));
            assert_eq!(tickets.len(), 100);
            assert!(tickets.is_sorted_by_key(|ticket| ticket.0));
            assert!(tickets.iter().skip(2).all(|(_, was_free)| !was_free), "{tickets:?}");
        }
    }

    #[test]
    fn giving_up_counts_what_is_left() {
        sim::run(1, async {
            let pacer = Pacer::new(Arc::new(open_plan(100.0, Duration::from_secs(1))), 0, Clock::now());
            let seat = Rc::new(Seat::default());
            assert!(pacer.next(&seat).await.is_some());
            assert_eq!((pacer.give_up(), pacer.give_up()), (99, 0));
            assert!(pacer.next(&seat).await.is_none());
            pacer.dispatch().await.unwrap();
        });
    }
}
