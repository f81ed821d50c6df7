//! Signals and queues between tasks of one thread: no locks, no atomics, nothing `Send`.

use super::waiters::{Turn, Waiters};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The other end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the other end is gone")
    }
}

impl std::error::Error for Closed {}

/// A bell: [`Notify::notify_one`] lets one waiter pass, now or the next that comes.
#[derive(Default)]
pub struct Notify {
    permit: Cell<bool>,
    rounds: Cell<u64>,
    waiters: Waiters,
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").field("permit", &self.permit.get()).finish_non_exhaustive()
    }
}

impl Notify {
    /// A bell nobody has rung.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets one waiter pass; if nobody waits, the next one. Ringing twice before anyone passes counts once.
    pub fn notify_one(&self) {
        self.permit.set(true);
        self.waiters.wake_one();
    }

    /// Lets all who wait now pass, and nobody who comes later.
    pub fn notify_all(&self) {
        self.rounds.set(self.rounds.get() + 1);
        self.waiters.wake_all();
    }

    /// Waits for the bell. Safe to drop: a ring that it was given goes to the next.
    pub async fn notified(&self) {
        let round = self.rounds.get();
        Turn::new(&self.waiters, || (self.permit.take() || self.rounds.get() != round).then_some(())).await;
    }
}

struct One<T> {
    value: RefCell<Option<T>>,
    sender_gone: Cell<bool>,
    receiver_gone: Cell<bool>,
    receiver: RefCell<Option<Waker>>,
    sender: RefCell<Option<Waker>>,
}

/// The end that gives one value.
pub struct OneSender<T>(Rc<One<T>>);
/// The end that awaits one value: a future of `Result<T, Closed>`, safe to poll again after a drop elsewhere.
pub struct OneReceiver<T>(Rc<One<T>>);

/// A place for one value between two tasks.
pub fn oneshot<T>() -> (OneSender<T>, OneReceiver<T>) {
    let one = Rc::new(One {
        value: RefCell::new(None),
        sender_gone: Cell::new(false),
        receiver_gone: Cell::new(false),
        receiver: RefCell::new(None),
        sender: RefCell::new(None),
    });
    (OneSender(one.clone()), OneReceiver(one))
}

fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl<T> OneSender<T> {
    /// Gives the value.
    ///
    /// # Errors
    /// Nobody waits for it any more: the value comes back.
    pub fn send(self, value: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(value);
        }
        self.0.value.replace(Some(value));
        Ok(())
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.0.receiver_gone.get()
    }

    /// Waits until the receiver is gone.
    pub async fn closed(&self) {
        poll_fn(|cx| {
            if self.is_closed() {
                return Poll::Ready(());
            }
            self.0.sender.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl<T> Drop for OneSender<T> {
    fn drop(&mut self) {
        self.0.sender_gone.set(true);
        wake(&self.0.receiver);
    }
}

impl<T> OneReceiver<T> {
    /// The value, if it is there already.
    pub fn try_recv(&mut self) -> Option<T> {
        self.0.value.take()
    }
}

impl<T> Future for OneReceiver<T> {
    type Output = Result<T, Closed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(value) = self.0.value.take() {
            return Poll::Ready(Ok(value));
        }
        if self.0.sender_gone.get() {
            return Poll::Ready(Err(Closed));
        }
        self.0.receiver.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl<T> Drop for OneReceiver<T> {
    fn drop(&mut self) {
        self.0.receiver_gone.set(true);
        wake(&self.0.sender);
    }
}

/// Why a value was not taken at once; it comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum TrySend<T> {
    /// No room now.
    Full(T),
    /// Nobody receives any more.
    Closed(T),
}

struct Channel<T> {
    queue: RefCell<VecDeque<T>>,
    cap: usize,
    senders: Cell<usize>,
    receiver_gone: Cell<bool>,
    receiver: RefCell<Option<Waker>>,
    room: Waiters,
}

/// A sending end of a bounded queue; clone it for more.
pub struct Sender<T>(Rc<Channel<T>>);
/// The receiving end of a bounded queue.
pub struct Receiver<T>(Rc<Channel<T>>);

/// A queue of at most `cap` values (at least one), many senders, one receiver.
pub fn channel<T>(cap: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Rc::new(Channel {
        queue: RefCell::new(VecDeque::new()),
        cap: cap.max(1),
        senders: Cell::new(1),
        receiver_gone: Cell::new(false),
        receiver: RefCell::new(None),
        room: Waiters::default(),
    });
    (Sender(channel.clone()), Receiver(channel))
}

impl<T> Sender<T> {
    /// Puts a value in, waiting for room. If it is dropped while it waits, the value is dropped with it.
    ///
    /// # Errors
    /// The receiver is gone: the value comes back.
    pub async fn send(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        let mut try_once = || match self.try_send(value.take()?) {
            Ok(()) => Some(Ok(())),
            Err(TrySend::Closed(back)) => Some(Err(back)),
            Err(TrySend::Full(back)) => {
                value = Some(back);
                None
            }
        };
        Turn::new(&self.0.room, &mut try_once).await
    }

    /// Puts a value in if there is room.
    ///
    /// # Errors
    /// No room, or the receiver is gone: the value comes back.
    pub fn try_send(&self, value: T) -> Result<(), TrySend<T>> {
        if self.0.receiver_gone.get() {
            return Err(TrySend::Closed(value));
        }
        if self.0.queue.borrow().len() >= self.0.cap {
            return Err(TrySend::Full(value));
        }
        self.0.queue.borrow_mut().push_back(value);
        wake(&self.0.receiver);
        Ok(())
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.0.receiver_gone.get()
    }

    /// Values waiting.
    pub fn len(&self) -> usize {
        self.0.queue.borrow().len()
    }

    /// Whether no value waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.set(self.0.senders.get() + 1);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.senders.set(self.0.senders.get() - 1);
        if self.0.senders.get() == 0 {
            wake(&self.0.receiver);
        }
    }
}

impl<T> Receiver<T> {
    /// Takes the next value, waiting for it; nothing once all senders are gone and the queue is empty. Safe to drop.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| {
            if let Some(value) = self.try_recv() {
                return Poll::Ready(Some(value));
            }
            if self.0.senders.get() == 0 {
                return Poll::Ready(None);
            }
            self.0.receiver.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Takes the next value if there is one.
    pub fn try_recv(&mut self) -> Option<T> {
        let value = self.0.queue.borrow_mut().pop_front();
        if value.is_some() {
            self.0.room.wake_one();
        }
        value
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.receiver_gone.set(true);
        let left = self.0.queue.take();
        drop(left);
        self.0.room.wake_all();
    }
}

/// The name of a type in debug output: these ends have nothing else worth showing.
macro_rules! opaque_debug {
    ($($name:ident),*) => {$(
        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
opaque_debug!(OneSender, OneReceiver, Sender, Receiver);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{sim, task, time};
    use std::time::Duration;

    /// Every property holds for whatever order a seed brings.
    fn for_seeds<F: Future<Output = ()>>(story: impl Fn() -> F) {
        (0..50).for_each(|seed| sim::run(seed, story()));
    }

    #[test]
    fn a_oneshot_gives_its_value_or_says_that_nobody_will() {
        for_seeds(|| async {
            let (send, receive) = oneshot();
            task::spawn(async move { send.send(5).unwrap() });
            assert_eq!(receive.await, Ok(5));
            let (send, receive) = oneshot::<u8>();
            task::spawn(async move { drop(send) });
            assert_eq!(receive.await, Err(Closed));
            let (send, receive) = oneshot();
            let waiting = task::spawn(async move {
                send.closed().await;
                send.send(6)
            });
            task::yield_now().await;
            drop(receive);
            assert_eq!(waiting.await, Err(6));
        });
    }

    #[test]
    fn a_channel_keeps_order_and_bound_and_ends() {
        for_seeds(|| async {
            let (send, mut receive) = channel(2);
            let sending = task::spawn(async move {
                for n in 0..20 {
                    send.send(n).await.unwrap();
                    assert!(send.len() <= 2);
                }
            });
            let mut got = Vec::new();
            while let Some(n) = receive.recv().await {
                got.push(n);
                task::yield_now().await;
            }
            sending.await;
            assert_eq!(got, (0..20).collect::<Vec<_>>());
        });
    }

    #[test]
    fn a_full_or_closed_channel_gives_the_value_back() {
        for_seeds(|| async {
            let (send, receive) = channel(1);
            send.try_send(1).unwrap();
            assert_eq!(send.try_send(2), Err(TrySend::Full(2)));
            let other = send.clone();
            let blocked = task::spawn(async move { other.send(3).await });
            task::yield_now().await;
            drop(receive);
            assert_eq!(blocked.await, Err(3));
            assert_eq!(send.try_send(4), Err(TrySend::Closed(4)));
        });
    }

    #[test]
    fn a_sender_dropped_while_it_waits_does_not_swallow_the_room() {
        for_seeds(|| async {
            let (send, mut receive) = channel(1);
            send.try_send(0).unwrap();
            let (a, b) = (send.clone(), send.clone());
            let short = task::spawn(async move { time::timeout(Duration::from_millis(1), a.send(1)).await });
            let long = task::spawn(async move { b.send(2).await });
            time::sleep(Duration::from_millis(1)).await;
            assert_eq!(receive.recv().await, Some(0));
            drop(send);
            let mut rest = Vec::new();
            while let Some(n) = receive.recv().await {
                rest.push(n);
            }
            assert_eq!(long.await, Ok(()));
            assert_eq!(rest.contains(&1), short.await.is_ok());
            assert!(rest.contains(&2));
        });
    }

    #[test]
    fn a_bell_lets_one_or_all_pass() {
        for_seeds(|| async {
            let bell = Rc::new(Notify::new());
            bell.notify_one();
            bell.notify_one();
            bell.notified().await;
            assert!(time::timeout(Duration::from_millis(1), bell.notified()).await.is_err());
            let wait = || {
                let bell = bell.clone();
                task::spawn(async move { bell.notified().await })
            };
            let all = [wait(), wait(), wait()];
            time::sleep(Duration::from_millis(1)).await;
            bell.notify_all();
            for one in all {
                one.await;
            }
            assert!(time::timeout(Duration::from_millis(1), bell.notified()).await.is_err());
        });
    }

    #[test]
    fn a_ring_given_to_a_dropped_waiter_goes_to_the_next() {
        for_seeds(|| async {
            let bell = Rc::new(Notify::new());
            let (first, second) = (bell.clone(), bell.clone());
            let short =
                task::spawn(async move { time::timeout(Duration::from_millis(1), first.notified()).await.is_ok() });
            let long =
                task::spawn(async move { time::timeout(Duration::from_millis(9), second.notified()).await.is_ok() });
            time::sleep(Duration::from_millis(1)).await;
            bell.notify_one();
            assert!(short.await ^ long.await, "one ring, one waiter");
        });
    }
}
