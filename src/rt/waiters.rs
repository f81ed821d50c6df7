//! The lines in which tasks of one thread wait: for a bell, for room in a queue.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Tasks waiting for something, first come, first woken.
#[derive(Default)]
pub(super) struct Waiters {
    line: RefCell<Line>,
    count: Cell<u64>,
}

/// Who waits, with their tickets. The first stands apart: mostly there is no other, and it needs no room of its own.
#[derive(Default)]
struct Line {
    first: Option<(u64, Waker)>,
    rest: VecDeque<(u64, Waker)>,
}

impl Line {
    /// Puts a ticket at the end; one that is in line keeps its place.
    fn put(&mut self, ticket: u64, waker: &Waker) {
        let mut all = self.first.iter_mut().chain(&mut self.rest);
        if let Some((_, old)) = all.find(|(other, _)| *other == ticket) {
            old.clone_from(waker);
            return;
        }
        match &self.first {
            None => self.first = Some((ticket, waker.clone())),
            Some(_) => self.rest.push_back((ticket, waker.clone())),
        }
    }

    fn pop(&mut self) -> Option<Waker> {
        let (_, waker) = std::mem::replace(&mut self.first, self.rest.pop_front())?;
        Some(waker)
    }

    /// Takes a ticket out; whether it was there.
    fn remove(&mut self, ticket: u64) -> bool {
        if self.first.as_ref().is_some_and(|(first, _)| *first == ticket) {
            return self.pop().is_some();
        }
        let at = self.rest.iter().position(|(other, _)| *other == ticket);
        at.is_some_and(|at| self.rest.remove(at).is_some())
    }
}

impl Waiters {
    /// A place in the line.
    fn ticket(&self) -> u64 {
        self.count.replace(self.count.get() + 1)
    }

    /// Waits in line under a ticket; a ticket already in line keeps its place.
    fn wait(&self, ticket: u64, waker: &Waker) {
        self.line.borrow_mut().put(ticket, waker);
    }

    /// Leaves the line; whether the ticket was still in it.
    fn leave(&self, ticket: u64) -> bool {
        self.line.borrow_mut().remove(ticket)
    }

    pub(super) fn wake_one(&self) {
        let first = self.line.borrow_mut().pop();
        if let Some(waker) = first {
            waker.wake();
        }
    }

    pub(super) fn wake_all(&self) {
        let Line { first, rest } = self.line.take();
        first.into_iter().chain(rest).for_each(|(_, waker)| waker.wake());
    }
}

/// Waits in a line until `ready` says so. If it is dropped after its turn came, the turn goes to the next in line.
pub(super) struct Turn<'a, F> {
    waiters: &'a Waiters,
    ticket: Option<u64>,
    ready: F,
}

impl<'a, F: FnMut() -> Option<T> + Unpin, T> Turn<'a, F> {
    pub(super) fn new(waiters: &'a Waiters, ready: F) -> Self {
        Self { waiters, ticket: None, ready }
    }
}

impl<F: FnMut() -> Option<T> + Unpin, T> Future for Turn<'_, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Some(value) = (self.ready)() {
            if let Some(ticket) = self.ticket.take() {
                self.waiters.leave(ticket);
            }
            return Poll::Ready(value);
        }
        let waiters = self.waiters;
        let ticket = *self.ticket.get_or_insert_with(|| waiters.ticket());
        waiters.wait(ticket, cx.waker());
        Poll::Pending
    }
}

impl<F> Drop for Turn<'_, F> {
    fn drop(&mut self) {
        let woken_unseen = self.ticket.is_some_and(|ticket| !self.waiters.leave(ticket));
        if woken_unseen {
            self.waiters.wake_one();
        }
    }
}
