//! Waiting for a point in time more exactly than the runtime's timers, which tick in milliseconds.

use super::pollable::Pollable;
use super::{mode, sys};
use crate::base::clock::{Clock, Instant};
use std::io;

/// A timer that wakes its one waiter to the microsecond, as far as the kernel and the machine's load allow.
pub struct Alarm {
    /// Nothing in a simulation.
    timer: Option<Pollable>,
    /// Room for the count of rings, kept: a shard's timers ring many times a second.
    rings: Vec<u8>,
}

impl Alarm {
    /// Makes one; must be called inside a runtime. In a simulation it ticks as every other timer does.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn new() -> io::Result<Self> {
        if mode::is_sim() {
            return Ok(Self { timer: None, rings: Vec::new() });
        }
        let timer = Some(Pollable::new(sys::timerfd()?)?);
        Ok(Self { timer, rings: Vec::with_capacity(size_of::<u64>()) })
    }

    /// Waits until a point on the monotonic clock; not at all if it has passed. Safe to drop: the next wait sets the
    /// alarm anew.
    ///
    /// # Errors
    /// The kernel refuses; nothing that a correct program meets.
    pub async fn wait_until(&mut self, at: Instant) -> io::Result<()> {
        let Some(timer) = &self.timer else {
            super::time::sleep_until(at).await;
            return Ok(());
        };
        let left = at.since(Clock::now());
        if left.is_zero() {
            return Ok(());
        }
        sys::arm(timer.fd(), left)?;
        loop {
            timer.readable().await?;
            self.rings.clear();
            match sys::read_spare(timer.fd(), &mut self.rings) {
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                done => return done.map(drop),
            }
        }
    }
}

impl std::fmt::Debug for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Alarm")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::shard::tests::on_each_runtime;
    use crate::rt::time;
    use std::time::Duration;

    #[test]
    fn an_alarm_is_never_early_and_does_not_wait_for_the_past() {
        on_each_runtime(|| async {
            let mut alarm = Alarm::new().unwrap();
            for _ in 0..3 {
                let at = Clock::now() + Duration::from_micros(300);
                alarm.wait_until(at).await.unwrap();
                assert!(Clock::now() >= at);
            }
            alarm.wait_until(Instant(0)).await.unwrap();
        });
    }

    #[test]
    fn a_dropped_wait_leaves_nothing_behind_for_the_next() {
        on_each_runtime(|| async {
            let mut alarm = Alarm::new().unwrap();
            let soon = Clock::now() + Duration::from_millis(20);
            assert!(time::timeout(Duration::from_millis(1), alarm.wait_until(soon)).await.is_err());
            time::sleep(Duration::from_millis(25)).await;
            let later = Clock::now() + Duration::from_millis(4);
            alarm.wait_until(later).await.unwrap();
            assert!(Clock::now() >= later);
        });
    }
}
