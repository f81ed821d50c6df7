//! The timers of one thread: a wheel of its own over one timer of the kernel.
//!
//! Nearly every wait has a deadline and hardly any comes to it, so what counts is what a timer costs that never fires:
//! here two words in the future that waits, and a few writes to enter and to leave. The kernel's timer is a descriptor
//! that the thread polls like any other, set once a turn of the wheel: the runtime's own timers would have it read the
//! clock twice and arm a timeout each time it waits for its peers.

use super::alarm::Alarm;
use super::local::Notify;
use super::wheel::{Key, Wheel};
use crate::base::clock::{Clock, Instant};
use crate::invariant;
use futures_util::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

/// One tick of the wheel, in nanoseconds.
const TICK_NS: u64 = 1_000_000;

thread_local! {
    static TIMERS: RefCell<Option<Rc<Timers>>> = const { RefCell::new(None) };
}

struct Timers {
    wheel: RefCell<Wheel>,
    /// The tick the driver sleeps to.
    armed: Cell<u64>,
    sooner: Notify,
}

/// Waits until a tick. It enters the wheel when it is first polled.
pub(super) struct Sleep {
    tick: u64,
    entered: Option<(Rc<Timers>, Key)>,
}

impl Sleep {
    /// Waits until a point on the monotonic clock, rounded up to the next millisecond.
    pub(super) fn until(at: Instant) -> Self {
        Self { tick: at.0.div_ceil(TICK_NS), entered: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((timers, key)) = &self.entered {
            let due = timers.wheel.borrow_mut().was_due(*key, cx.waker());
            return if due { Poll::Ready(()) } else { Poll::Pending };
        }
        if self.tick <= Clock::recent().0 / TICK_NS {
            return Poll::Ready(());
        }
        let timers = current();
        let key = timers.wheel.borrow_mut().enter(self.tick, cx.waker().clone());
        if self.tick < timers.armed.get() {
            timers.sooner.notify_one();
        }
        self.entered = Some((timers, key));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((timers, key)) = self.entered.take() {
            timers.wheel.borrow_mut().leave(key);
        }
    }
}

/// Forgets this thread's timers; its runtime ends.
pub(super) fn forget() {
    TIMERS.take();
}

/// Starts this thread's timers, inside its runtime.
///
/// # Errors
/// Out of descriptors.
pub(super) fn start() -> io::Result<()> {
    let alarm = Alarm::new()?;
    let wheel = RefCell::new(Wheel::new(Clock::now().0 / TICK_NS));
    let timers = Rc::new(Timers { wheel, armed: Cell::new(u64::MAX), sooner: Notify::default() });
    TIMERS.set(Some(timers.clone()));
    drop(monoio::spawn(drive(timers, alarm)));
    Ok(())
}

fn current() -> Rc<Timers> {
    invariant!(TIMERS.with_borrow(Clone::clone), "a thread waits only inside its runtime, which has started its timers")
}

/// Turns the wheel whenever a deadline comes, for as long as the runtime lives.
async fn drive(timers: Rc<Timers>, mut alarm: Alarm) {
    let mut due = Vec::new();
    loop {
        let now = Clock::now();
        timers.wheel.borrow_mut().turn(now.0 / TICK_NS, &mut due);
        due.drain(..).for_each(std::task::Waker::wake);
        let next = timers.wheel.borrow().next();
        timers.armed.set(next.unwrap_or(u64::MAX));
        match next {
            None => timers.sooner.notified().await,
            Some(tick) => {
                let rung = pin!(alarm.wait_until(Instant(tick.saturating_mul(TICK_NS))));
                if let Either::Left((rung, _)) = select(rung, pin!(timers.sooner.notified())).await {
                    invariant!(rung, "the kernel arms and tells a timer that it has given");
                }
            }
        }
    }
}
