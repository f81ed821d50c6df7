//! Trip wires: monoio's faults that the rules of this folder fence in. When one of these tests fails, a new version
//! has mended the fault, and the rule (see `docs/decisions/0001-runtime.md`) can go.

use super::shard::{Driver, block_on};
use super::{probe, task, time};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// Yields as monoio would have it: by waking itself.
async fn naive_yield() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn a_task_that_wakes_itself_is_put_in_front() {
    let order = block_on(Driver::Epoll, async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let run = |name: u8| {
            let order = order.clone();
            task::spawn(async move {
                for _ in 0..2 {
                    order.borrow_mut().push(name);
                    naive_yield().await;
                }
            })
        };
        let (a, b) = (run(1), run(2));
        a.await;
        b.await;
        order.take()
    });
    assert_eq!(order.unwrap(), [1, 1, 2, 2], "fair order would be 1 2 1 2");
}

#[test]
fn a_busy_ring_reaps_nothing() {
    if !probe::probe().usable() {
        return;
    }
    let slept = block_on(Driver::IoUring, async {
        let done = Rc::new(Cell::new(false));
        let seen = done.clone();
        task::spawn(async move {
            time::sleep(Duration::from_millis(1)).await;
            seen.set(true);
        });
        // Far longer than the sleep, but never idle: two tasks that wake each other would do the same.
        let start = crate::base::clock::Clock::now();
        let spin = task::spawn(async move {
            while crate::base::clock::Clock::now().since(start) < Duration::from_millis(50) {
                naive_yield().await;
            }
            done.get()
        });
        spin.await
    });
    assert!(!slept.unwrap(), "timers now run beside a busy queue");
}

#[test]
fn a_panic_of_a_bare_task_takes_the_thread_along() {
    let thread = std::thread::spawn(|| {
        let _ = block_on(Driver::Epoll, async {
            monoio::spawn(async { panic!("on purpose") });
            time::sleep(Duration::from_millis(20)).await;
        });
    });
    assert!(thread.join().is_err(), "monoio now keeps a task's panic to itself");
}
