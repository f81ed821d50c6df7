//! Tasks of this thread: spawn, await, yield.

use super::mode::{self, Mode};
use super::{sim, yielder};
use crate::base::clock::Clock;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};

/// Tasks of this process that panicked.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// What a finished task left: its value, or what it panicked with.
type Left<T> = Result<T, Box<dyn Any + Send>>;

struct Shared<T> {
    left: RefCell<Option<Left<T>>>,
    done: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A running task. Dropping the handle detaches the task; awaiting it gives its value.
///
/// # Panics
/// Awaiting a task that panicked panics with the same payload.
pub struct JoinHandle<T> {
    shared: Rc<Shared<T>>,
}

impl<T> JoinHandle<T> {
    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.shared.done.get()
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(left) = self.shared.left.take() else {
            self.shared.waker.replace(Some(cx.waker().clone()));
            return Poll::Pending;
        };
        match left {
            Ok(value) => Poll::Ready(value),
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// Starts a task on this thread.
///
/// A task that panics ends alone: the panic is counted and given to whoever awaits the handle, and the thread's other
/// tasks run on.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let shared = Rc::new(Shared { left: RefCell::new(None), done: Cell::new(false), waker: RefCell::new(None) });
    let handle = JoinHandle { shared: shared.clone() };
    let task = Task { shared, future };
    match mode::current() {
        Mode::Sim => sim::spawn(Box::pin(task)),
        Mode::Os(_) | Mode::Bare => drop(monoio::spawn(task)),
    }
    handle
}

/// A future run to its end, or to its panic, for a handle.
///
/// Written by hand: an `async` block would keep the future twice, once as it was given and once as it is polled, and a
/// shard keeps one of these for every connection.
struct Task<F: Future> {
    shared: Rc<Shared<F::Output>>,
    future: F,
}

impl<F: Future> Future for Task<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Clock::begin_turn();
        // SAFETY: `future` is reached through this projection alone, is moved nowhere, and there is no `Drop`.
        #[allow(unsafe_code, reason = "a projection onto the one field that is pinned")]
        let future = unsafe { self.as_mut().map_unchecked_mut(|task| &mut task.future) };
        let left = ready!(poll_caught(future, cx));
        let shared = &self.shared;
        shared.left.replace(Some(left));
        shared.done.set(true);
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
        Poll::Ready(())
    }
}

/// Polls a future; a panic of it is its end.
fn poll_caught<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Left<F::Output>> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => {
            PANICS.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(Err(panic))
        }
    }
}

/// Runs a future that is no task of its own with what each turn of a task begins with, so that [`Clock::recent`] holds
/// in it too.
pub(super) async fn in_turns<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        Clock::begin_turn();
        future.as_mut().poll(cx)
    })
    .await
}

/// Tasks that panicked since the process started.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Lets every other ready task run, and lets the thread look at its I/O and timers, before going on.
pub async fn yield_now() {
    if mode::is_sim() {
        return sim::yield_now().await;
    }
    if yielder::park().await.is_err() {
        // Out of descriptors: the timer yields too, only slower.
        super::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::shard::tests::on_each_driver;

    #[test]
    fn a_handle_gives_the_value_and_dropping_it_detaches() {
        on_each_driver(|| async {
            let ran = Rc::new(Cell::new(0));
            let seen = ran.clone();
            drop(spawn(async move { seen.set(seen.get() + 1) }));
            assert_eq!(spawn(async { 7 }).await, 7);
            assert_eq!(ran.get(), 1);
        });
    }

    #[test]
    fn a_panicking_task_ends_alone() {
        on_each_driver(|| async {
            let before = panics();
            let handle = spawn(async { panic!("on purpose") });
            while !handle.is_finished() {
                yield_now().await;
            }
            assert!(panics() > before);
            let mut handle = pin!(handle);
            assert!(poll_fn(|cx| poll_caught(handle.as_mut(), cx)).await.is_err());
            assert_eq!(spawn(async { 1 }).await, 1);
        });
    }

    #[test]
    fn a_task_keeps_its_future_once() {
        fn sizes<F: Future>(_: F) -> (usize, usize) {
            (size_of::<F>(), size_of::<Task<F>>())
        }
        let (future, task) = sizes(async {
            let kept = vec![[0_u8; 1000]];
            yield_now().await;
            drop(kept);
        });
        assert!(task < future * 2, "{future} bytes in a task of {task}");
    }

    #[test]
    fn yielding_goes_to_the_back_of_the_queue() {
        on_each_driver(|| async {
            let order = Rc::new(RefCell::new(Vec::new()));
            let run = |name: u8| {
                let order = order.clone();
                spawn(async move {
                    for _ in 0..3 {
                        order.borrow_mut().push(name);
                        yield_now().await;
                    }
                })
            };
            let (a, b) = (run(1), run(2));
            a.await;
            b.await;
            assert_eq!(*order.borrow(), [1, 2, 1, 2, 1, 2]);
        });
    }

    #[test]
    fn a_task_that_only_yields_starves_neither_timers_nor_sockets() {
        on_each_driver(|| async {
            let stop = Rc::new(Cell::new(false));
            let seen = stop.clone();
            let spinner = spawn(async move {
                while !seen.get() {
                    yield_now().await;
                }
            });
            crate::rt::time::sleep(std::time::Duration::from_millis(5)).await;
            crate::rt::net::tests::echo_once().await;
            stop.set(true);
            spinner.await;
        });
    }
}
