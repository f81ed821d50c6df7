//! Fair yielding on monoio.
//!
//! A monoio task that wakes itself goes to the *front* of the queue, and a queue that never runs empty never reaps
//! completions (with DEFER_TASKRUN they arrive only when the thread waits for them). So a task that yields is parked
//! here and woken by an eventfd: through the ring or epoll, behind everything that was ready.

use super::pollable::Pollable;
use super::{local::Notify, sys};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

thread_local! {
    static YIELDER: RefCell<Option<Rc<Yielder>>> = const { RefCell::new(None) };
}

/// The parked tasks of one thread.
#[derive(Default)]
struct Yielder {
    parked: RefCell<Vec<Waker>>,
    wanted: Notify,
}

/// Parks the calling task until the runtime has looked at its I/O once.
///
/// # Errors
/// No eventfd could be made: the process is out of descriptors.
pub(super) async fn park() -> io::Result<()> {
    let yielder = current()?;
    let mut parked = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut parked, true) {
            return Poll::Ready(());
        }
        yielder.parked.borrow_mut().push(cx.waker().clone());
        yielder.wanted.notify_one();
        Poll::Pending
    })
    .await;
    Ok(())
}

/// Forgets this thread's yielder; its runtime ends.
pub(super) fn forget() {
    YIELDER.take();
}

fn current() -> io::Result<Rc<Yielder>> {
    if let Some(yielder) = YIELDER.with_borrow(Clone::clone) {
        return Ok(yielder);
    }
    let event = Pollable::new(sys::eventfd()?)?;
    let yielder = Rc::new(Yielder::default());
    YIELDER.set(Some(yielder.clone()));
    monoio::spawn(serve(yielder.clone(), event));
    Ok(yielder)
}

async fn serve(yielder: Rc<Yielder>, event: Pollable) {
    loop {
        yielder.wanted.notified().await;
        if pass_through_the_driver(&event).await.is_err() {
            // Unfair beats stuck: the parked tasks run on without the detour.
            tracing::error!("yielding: the eventfd failed; tasks of this shard yield without looking at their peers");
        }
        yielder.parked.take().into_iter().for_each(Waker::wake);
    }
}

/// Waits first, then makes ready what is waited for: so that epoll's cached readiness cannot answer at once.
async fn pass_through_the_driver(event: &Pollable) -> io::Result<()> {
    let mut ready = pin!(event.readable());
    let at_once = poll_fn(|cx| Poll::Ready(ready.as_mut().poll(cx).is_ready())).await;
    if !at_once {
        sys::write_some(event.fd(), &1u64.to_ne_bytes())?;
        ready.await?;
    }
    let mut count = Vec::with_capacity(size_of::<u64>());
    sys::read_spare(event.fd(), &mut count).map(drop)
}
