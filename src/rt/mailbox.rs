//! Messages into a shard from any thread: a bounded lock-free queue and an eventfd that wakes its ring or epoll.

use super::pollable::Pollable;
use super::queue::Queue;
use super::{mode, sim, sys};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::task::Poll;

pub use super::local::TrySend;

struct Shared<T> {
    queue: Queue<T>,
    /// The receiver is about to wait, or waits: whoever takes this flag rings the bell.
    sleeping: AtomicBool,
    receiver_gone: AtomicBool,
    senders: AtomicUsize,
    bell: OwnedFd,
}

impl<T> Shared<T> {
    fn new(cap: usize) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            queue: Queue::new(cap),
            sleeping: AtomicBool::new(false),
            receiver_gone: AtomicBool::new(false),
            senders: AtomicUsize::new(1),
            bell: sys::eventfd()?,
        }))
    }

    /// The mailbox's name in a simulation, where wakers instead of eventfds ring.
    fn name(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// Rings if the receiver sleeps. What it should see must have been published before.
    fn ring(self: &Arc<Self>) {
        // Pairs with the fence in `must_wait`: either it sees what we published, or we see that it sleeps.
        fence(Ordering::SeqCst);
        if !self.sleeping.swap(false, Ordering::SeqCst) {
            return;
        }
        if mode::is_sim() {
            return sim::ring(self.name());
        }
        // The counter can only fail to count when it is full, and then the bell rings already.
        let _ = sys::write_some(self.bell.as_fd(), &1u64.to_ne_bytes());
    }
}

/// The sending end: from any thread, any runtime or none. Clone it freely.
pub struct Sender<T>(Arc<Shared<T>>);

/// A receiving end on its way to the shard that will receive.
pub struct Parcel<T>(Arc<Shared<T>>);

impl<T> Parcel<T> {
    /// Opens it on the shard that receives.
    pub fn open(self) -> Receiver<T> {
        Receiver { shared: self.0, bell: None }
    }
}

/// The receiving end, used on one shard only.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    bell: Option<Pollable>,
}

/// A mailbox of at least `cap` messages (rounded up to a power of two).
///
/// # Errors
/// No eventfd: the process is out of descriptors.
pub fn try_mailbox<T: Send>(cap: usize) -> io::Result<(Sender<T>, Receiver<T>)> {
    let shared = Shared::new(cap)?;
    Ok((Sender(shared.clone()), Receiver { shared, bell: None }))
}

/// A mailbox as [`try_mailbox`] makes one, whose receiving end can still be moved to another thread.
///
/// # Errors
/// As [`try_mailbox`].
pub fn mailbox<T: Send>(cap: usize) -> io::Result<(Sender<T>, Parcel<T>)> {
    let shared = Shared::new(cap)?;
    Ok((Sender(shared.clone()), Parcel(shared)))
}

impl<T: Send> Sender<T> {
    /// Puts a message in, without waiting.
    ///
    /// # Errors
    /// No room, or the receiver is gone: the message comes back.
    pub fn try_send(&self, message: T) -> Result<(), TrySend<T>> {
        if self.is_closed() {
            return Err(TrySend::Closed(message));
        }
        self.0.queue.push(message).map_err(TrySend::Full)?;
        self.0.ring();
        Ok(())
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.0.receiver_gone.load(Ordering::Acquire)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ring();
        }
    }
}

impl<T: Send> Receiver<T> {
    /// Takes the next message, waiting for it; waits for ever once all senders are gone. Safe to drop.
    ///
    /// # Panics
    /// At its first wait, if the shard's epoll takes no more descriptors.
    pub async fn recv(&mut self) -> T {
        match self.recv_or_end().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }

    /// Takes the next message, waiting for it; nothing once all senders are gone and the mailbox is empty. Safe to
    /// drop. Panics as [`Receiver::recv`] does.
    pub async fn recv_or_end(&mut self) -> Option<T> {
        loop {
            if let Some(message) = self.try_recv() {
                return Some(message);
            }
            if self.must_wait() {
                self.wait_for_bell().await;
            } else if self.shared.senders.load(Ordering::Acquire) == 0 {
                // A last message may have been put in between looking and the last sender's end.
                return self.try_recv();
            }
        }
    }

    /// Takes the next message if there is one.
    #[allow(unsafe_code, reason = "the queue asks for one consumer")]
    pub fn try_recv(&mut self) -> Option<T> {
        // SAFETY: there is one receiver, and `&mut self` proves that only one caller uses it.
        unsafe { self.shared.queue.pop() }
    }

    /// Announces that we sleep, then looks once more. False if there is something to see.
    fn must_wait(&mut self) -> bool {
        self.shared.sleeping.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let something = self.shared.queue.has_next() || self.shared.senders.load(Ordering::Acquire) == 0;
        if something {
            self.shared.sleeping.store(false, Ordering::SeqCst);
        }
        !something
    }

    async fn wait_for_bell(&mut self) {
        if mode::is_sim() {
            return self.wait_in_simulation().await;
        }
        let bell = match self.bell.take() {
            Some(bell) => bell,
            None => crate::invariant!(
                self.shared.bell.try_clone().and_then(Pollable::new),
                "a shard's first wait on its mailbox finds room for one more descriptor"
            ),
        };
        let bell = self.bell.insert(bell);
        if bell.readable().await.is_ok() {
            // Emptied, so that the next wait waits; that it was empty already only means a second look.
            let mut count = Vec::with_capacity(size_of::<u64>());
            let _ = sys::read_spare(bell.fd(), &mut count);
        }
    }

    async fn wait_in_simulation(&self) {
        let mut waited = false;
        let name = self.shared.name();
        poll_fn(|cx| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            sim::on_ring(name, cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receiver_gone.store(true, Ordering::Release);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mailbox::Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mailbox::Receiver")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::shard::tests::on_each_driver;
    use crate::rt::{task, time};
    use std::time::Duration;

    #[test]
    fn messages_from_other_threads_wake_a_sleeping_shard() {
        on_each_driver(|| async {
            let (send, mut receive) = try_mailbox(4).expect("an eventfd");
            let thread = std::thread::spawn(move || {
                for n in 0..50 {
                    std::thread::yield_now();
                    if n % 10 == 0 {
                        std::thread::park_timeout(Duration::from_millis(2));
                    }
                    let mut message = n;
                    while let Err(TrySend::Full(back)) = send.try_send(message) {
                        message = back;
                        std::thread::yield_now();
                    }
                }
            });
            let mut got = Vec::new();
            while let Some(n) = receive.recv_or_end().await {
                got.push(n);
            }
            assert_eq!(got, (0..50).collect::<Vec<_>>());
            thread.join().unwrap();
        });
    }

    #[test]
    fn a_storm_from_many_threads_arrives_whole() {
        const EACH: u64 = 20_000;
        on_each_driver(|| async {
            let (send, mut receive) = try_mailbox(64).expect("an eventfd");
            let threads = [(); 4].map(|()| {
                let send = send.clone();
                std::thread::spawn(move || {
                    for n in 0..EACH {
                        while send.try_send(n).is_err() {
                            std::thread::yield_now();
                        }
                    }
                })
            });
            drop(send);
            let (mut count, mut sum) = (0, 0);
            while let Some(n) = time::timeout(Duration::from_secs(20), receive.recv_or_end()).await.unwrap() {
                count += 1;
                sum += n;
            }
            assert_eq!((count, sum), (4 * EACH, 4 * (EACH * (EACH - 1) / 2)));
            threads.into_iter().for_each(|t| t.join().unwrap());
        });
    }

    #[test]
    fn a_dropped_wait_loses_no_message_and_a_gone_receiver_is_told() {
        on_each_driver(|| async {
            let (send, mut receive) = try_mailbox(2).expect("an eventfd");
            assert!(time::timeout(Duration::from_millis(1), receive.recv()).await.is_err());
            send.try_send(1).unwrap();
            assert_eq!(receive.recv().await, 1);
            send.try_send(2).unwrap();
            send.try_send(3).unwrap();
            assert_eq!(send.try_send(4), Err(TrySend::Full(4)));
            drop(receive);
            assert_eq!(send.try_send(5), Err(TrySend::Closed(5)));
        });
    }

    #[test]
    fn it_works_inside_a_simulation() {
        for seed in 0..20 {
            sim::run(seed, async {
                let (send, mut receive) = try_mailbox(4).expect("an eventfd");
                task::spawn(async move {
                    for n in 0..10 {
                        time::sleep(Duration::from_secs(n % 3)).await;
                        while send.try_send(n).is_err() {
                            task::yield_now().await;
                        }
                    }
                });
                let mut got = Vec::new();
                while let Some(n) = receive.recv_or_end().await {
                    got.push(n);
                }
                assert_eq!(got, (0..10).collect::<Vec<_>>());
            });
        }
    }
}
