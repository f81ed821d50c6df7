//! The sessions or processes of one server, one for each scope: opened once however many want it, bounded in number,
//! ended when idle.

use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result, Retry};
use crate::mcp::caps::ClientCaps;
use crate::rt::local::Notify;
use crate::upstream::answer::ScopeKey;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

/// Whose session or process it is, and what its client can do: a server is told that once, in the handshake, so callers
/// that differ in it share none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Seat {
    /// Whose it is.
    pub(super) scope: ScopeKey,
    /// What was declared to the server.
    pub(super) caps: ClientCaps,
}

impl From<ScopeKey> for Seat {
    /// The seat of somebody who can answer nothing.
    fn from(scope: ScopeKey) -> Self {
        Self { scope, caps: ClientCaps::default() }
    }
}

/// What is open for each seat at one server on one shard. `T` is a session or a process.
pub(super) struct Scopes<T> {
    slots: RefCell<HashMap<Seat, Rc<Slot<T>>>>,
    max: usize,
}

struct Slot<T> {
    open: RefCell<Option<Rc<T>>>,
    /// Whether somebody is opening it now; the others wait for how that goes.
    opening: Cell<bool>,
    /// How often opening has ended, and why it failed the last time.
    flights: Cell<u64>,
    failure: RefCell<Option<Error>>,
    landed: Notify,
    leases: Cell<usize>,
    used: Cell<Instant>,
}

/// A session or process in use; while one is held it is not idle.
pub(super) struct Lease<T> {
    slot: Rc<Slot<T>>,
    value: Rc<T>,
}

impl<T> Deref for Lease<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Lease<T> {
    fn drop(&mut self) {
        self.slot.leave();
    }
}

impl<T> Slot<T> {
    fn new() -> Self {
        Self {
            open: RefCell::new(None),
            opening: Cell::new(false),
            flights: Cell::new(0),
            failure: RefCell::new(None),
            landed: Notify::new(),
            leases: Cell::new(0),
            used: Cell::new(Clock::now()),
        }
    }

    fn held(self: &Rc<Self>) -> Option<Lease<T>> {
        let value = self.open.borrow().clone()?;
        self.leases.set(self.leases.get() + 1);
        Some(Lease { slot: self.clone(), value })
    }

    fn leave(&self) {
        self.leases.set(self.leases.get() - 1);
        self.used.set(Clock::now());
    }

    fn is_idle(&self, least: Duration) -> bool {
        self.leases.get() == 0 && !self.opening.get() && Clock::now().since(self.used.get()) >= least
    }
}

/// Counts a caller in while it waits or opens, so that nobody ends the slot under it.
struct Presence<'a, T>(&'a Slot<T>);

impl<'a, T> Presence<'a, T> {
    fn enter(slot: &'a Slot<T>) -> Self {
        slot.leases.set(slot.leases.get() + 1);
        Self(slot)
    }
}

impl<T> Drop for Presence<'_, T> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Ends an opening however it ends, dropped half way included: the next in line may open then.
struct Opening<'a, T>(&'a Slot<T>);

impl<T> Drop for Opening<'_, T> {
    fn drop(&mut self) {
        self.0.opening.set(false);
        self.0.flights.set(self.0.flights.get() + 1);
        self.0.landed.notify_all();
    }
}

impl<T> Scopes<T> {
    /// Room for `max` scopes.
    pub(super) fn new(max: usize) -> Self {
        Self { slots: RefCell::new(HashMap::new()), max }
    }

    /// What is open for `key` already.
    pub(super) fn held(&self, key: &Seat) -> Option<Lease<T>> {
        self.slots.borrow().get(key).and_then(Slot::held)
    }

    /// What is open for `key`, or what `open` makes. Callers that come while it is being opened wait, and share a
    /// failure instead of each trying again. What had to make room is handed to `evict`.
    ///
    /// # Errors
    /// As `open` failed; [`Kind::Overloaded`] when all scopes are in use.
    pub(super) async fn lease(
        &self,
        key: &Seat,
        open: impl AsyncFn() -> Result<T>,
        evict: impl FnOnce(Rc<T>),
    ) -> Result<Lease<T>> {
        let slot = self.slot(key, evict)?;
        let _presence = Presence::enter(&slot);
        loop {
            if let Some(lease) = Slot::held(&slot) {
                return Ok(lease);
            }
            if slot.opening.get() {
                slot.landing().await?;
                continue;
            }
            slot.opening.set(true);
            let opening = Opening(&slot);
            slot.failure.replace(None);
            match open().await {
                Ok(value) => slot.open.replace(Some(Rc::new(value))),
                Err(error) => {
                    slot.failure.replace(Some(error.clone()));
                    return Err(error);
                }
            };
            drop(opening);
        }
    }

    fn slot(&self, key: &Seat, evict: impl FnOnce(Rc<T>)) -> Result<Rc<Slot<T>>> {
        let mut slots = self.slots.borrow_mut();
        if let Some(slot) = slots.get(key) {
            return Ok(slot.clone());
        }
        if slots.len() >= self.max {
            let idle = slots.iter().filter(|(_, slot)| slot.is_idle(Duration::ZERO));
            let oldest = idle.min_by_key(|(_, slot)| slot.used.get()).map(|(key, _)| *key);
            let oldest = oldest.ok_or_else(|| full(self.max))?;
            let removed = slots.remove(&oldest).and_then(|slot| slot.open.take());
            if let Some(value) = removed {
                evict(value);
            }
        }
        let slot = Rc::new(Slot::new());
        slots.insert(*key, slot.clone());
        Ok(slot)
    }

    /// Drops what is open for `key` if it is still `value`, which is known to be dead; whether it was.
    pub(super) fn invalidate(&self, key: &Seat, value: &T) -> bool {
        let slot = self.slots.borrow().get(key).cloned();
        slot.is_some_and(|slot| {
            let same = slot.open.borrow().as_ref().is_some_and(|open| std::ptr::eq(&raw const **open, value));
            same && slot.open.take().is_some()
        })
    }

    /// Takes out what has not been used for `idle`.
    pub(super) fn expire(&self, idle: Duration) -> Vec<Rc<T>> {
        let mut ended = Vec::new();
        self.slots.borrow_mut().retain(|_, slot| {
            let keep = !slot.is_idle(idle);
            if !keep {
                ended.extend(slot.open.take());
            }
            keep
        });
        ended
    }

    /// Takes out everything.
    pub(super) fn drain(&self) -> Vec<Rc<T>> {
        self.slots.borrow_mut().drain().filter_map(|(_, slot)| slot.open.take()).collect()
    }
}

impl<T> Slot<T> {
    /// Waits until somebody else's opening has ended.
    async fn landing(&self) -> Result<()> {
        let before = self.flights.get();
        while self.flights.get() == before {
            self.landed.notified().await;
        }
        match self.failure.borrow().clone() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

fn full(max: usize) -> Error {
    let context = format!("all {max} sessions of the server on this shard are in use; try again later");
    Error::new(Kind::Overloaded, context).retry(Retry::Safe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::KeyId;
    use crate::upstream::fixture::on_shard;
    use futures_util::future::join_all;

    const SHARED: Seat = Seat { scope: ScopeKey::Shared, caps: ClientCaps(0) };

    fn of(name: &str) -> Seat {
        ScopeKey::Key(KeyId::parse(name).expect("a key's id")).into()
    }

    fn never(_: Rc<u32>) {
        panic!("nothing had to make room");
    }

    #[test]
    fn many_who_want_it_open_it_once_and_share_a_failure() {
        on_shard(async {
            let scopes = Scopes::<u32>::new(4);
            let tries = Cell::new(0);
            let open = async || {
                tries.set(tries.get() + 1);
                crate::rt::task::yield_now().await;
                if tries.get() == 1 { Err(Error::new(Kind::Unreachable, "down")) } else { Ok(tries.get()) }
            };
            let five = || join_all((0..5).map(|_| scopes.lease(&SHARED, open, never)));
            let failed = five().await;
            assert!(failed.iter().all(|lease| lease.as_ref().is_err_and(|error| error.context == "down")));
            let opened = five().await;
            assert!(opened.iter().all(|lease| lease.as_ref().is_ok_and(|lease| **lease == 2)));
            assert_eq!(tries.get(), 2);
        });
    }

    #[test]
    fn an_opening_that_is_dropped_leaves_the_place_to_the_next() {
        on_shard(async {
            let scopes = Scopes::<u32>::new(4);
            let hang = async || std::future::pending().await;
            let short = Duration::from_millis(1);
            assert!(crate::rt::time::timeout(short, scopes.lease(&of("a"), hang, never)).await.is_err());
            assert_eq!(*scopes.lease(&of("a"), async || Ok(3), never).await.expect("opens"), 3);
        });
    }

    #[test]
    fn the_idle_make_room_and_the_busy_do_not() {
        on_shard(async {
            let scopes = Scopes::<u32>::new(2);
            let held = scopes.lease(&of("a"), async || Ok(1), never).await.expect("room");
            drop(scopes.lease(&of("b"), async || Ok(2), never).await.expect("room"));
            let evicted = Cell::new(0);
            let third = scopes.lease(&of("c"), async || Ok(3), |value| evicted.set(*value)).await.expect("b goes");
            assert_eq!(evicted.get(), 2);
            let refused = scopes.lease(&of("d"), async || Ok(4), never).await.err().expect("all in use");
            assert_eq!(refused.kind, Kind::Overloaded);
            drop((held, third));
            assert_eq!(scopes.expire(Duration::from_secs(1)).len(), 0);
            assert_eq!(scopes.expire(Duration::ZERO).len(), 2);
            assert!(scopes.held(&of("a")).is_none() && scopes.drain().is_empty());
        });
    }

    #[test]
    fn only_the_one_that_is_meant_is_invalidated() {
        on_shard(async {
            let scopes = Scopes::<u32>::new(2);
            let first = scopes.lease(&of("a"), async || Ok(1), never).await.expect("room");
            assert!(scopes.invalidate(&of("a"), &first));
            let second = scopes.lease(&of("a"), async || Ok(2), never).await.expect("room");
            assert!(!scopes.invalidate(&of("a"), &first));
            assert_eq!((*second, scopes.drain().len()), (2, 1));
        });
    }
}
