//! Waiting for the clock, in real or simulated time.

use super::{mode, sim, timers};
use crate::base::clock::{Clock, Instant};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

/// The time was up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

/// A wait for the clock.
#[must_use = "it waits only when it is polled"]
pub struct Sleep(Wait);

enum Wait {
    Wheel(timers::Sleep),
    Sim(Pin<Box<dyn Future<Output = ()>>>),
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Wait::Wheel(sleep) => Pin::new(sleep).poll(cx),
            Wait::Sim(sleep) => sleep.as_mut().poll(cx),
        }
    }
}

/// Waits. Real time is rounded up to the next millisecond.
pub fn sleep(duration: Duration) -> Sleep {
    if mode::is_sim() {
        return Sleep(Wait::Sim(Box::pin(sim::sleep(duration))));
    }
    Sleep(Wait::Wheel(timers::Sleep::until(Clock::now() + duration)))
}

/// Waits until a point on the monotonic clock; not at all if it has passed.
pub fn sleep_until(deadline: Instant) -> Sleep {
    if mode::is_sim() {
        return sleep(deadline.since(Clock::recent()));
    }
    Sleep(Wait::Wheel(timers::Sleep::until(deadline)))
}

/// Runs a future for at most `limit`; it is dropped where it stands when the time is up.
///
/// # Errors
/// [`Elapsed`] when the time was up first. A future that is ready at once wins even with no time at all.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    race(pin!(future), || sleep(limit)).await
}

/// The future comes pinned: taken by value it would stand in this one twice.
async fn race<F: Future>(mut future: Pin<&mut F>, timer: impl FnOnce() -> Sleep) -> Result<F::Output, Elapsed> {
    let mut unarmed = Some(timer);
    let mut armed = None;
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        // Armed only now: most futures raced against a clock are ready at once.
        if let Some(timer) = unarmed.take() {
            armed = Some(timer());
        }
        match &mut armed {
            Some(timer) => Pin::new(timer).poll(cx).map(|()| Err(Elapsed)),
            None => Poll::Pending,
        }
    })
    .await
}

/// Runs a future until a point on the monotonic clock, as [`timeout`] does.
///
/// # Errors
/// [`Elapsed`] when the time was up first.
pub async fn deadline<F: Future>(at: Instant, future: F) -> Result<F::Output, Elapsed> {
    race(pin!(future), || sleep_until(at)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::shard::tests::on_each_driver;
    use crate::rt::task;

    #[test]
    fn sleeping_takes_its_time() {
        on_each_driver(|| async {
            let start = Clock::now();
            sleep(Duration::from_millis(20)).await;
            let slept = Clock::now().since(start);
            assert!(slept >= Duration::from_millis(20), "{slept:?}");
            sleep_until(start).await;
        });
    }

    #[test]
    fn the_first_of_value_and_deadline_wins() {
        on_each_driver(|| async {
            assert_eq!(timeout(Duration::ZERO, async { 3 }).await, Ok(3));
            assert_eq!(timeout(Duration::from_millis(5), std::future::pending::<()>()).await, Err(Elapsed));
            let slow = async {
                sleep(Duration::from_millis(5)).await;
                4
            };
            assert_eq!(deadline(Clock::now() + Duration::from_secs(5), slow).await, Ok(4));
            assert_eq!(deadline(Instant(0), std::future::pending::<()>()).await, Err(Elapsed));
        });
    }

    #[test]
    fn many_timers_end_in_their_order() {
        on_each_driver(|| async {
            let (send, mut receive) = crate::rt::local::channel(8);
            for ms in [30u64, 10, 20] {
                let send = send.clone();
                task::spawn(async move {
                    sleep(Duration::from_millis(ms)).await;
                    send.send(ms).await.unwrap();
                });
            }
            drop(send);
            let mut order = Vec::new();
            while let Some(ms) = receive.recv().await {
                order.push(ms);
            }
            assert_eq!(order, [10, 20, 30]);
        });
    }
}
