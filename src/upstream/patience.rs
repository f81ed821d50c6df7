//! How long a call is waited for: an idle time that every sign of life starts anew, under a hard cap.

use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::limits::{CALL_CAP_MS, INPUT_TTL_MS};
use crate::rt::time;
use std::cell::{Cell, OnceCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

/// Time a client has to answer a question.
pub(super) const QUESTION: Duration = Duration::from_millis(INPUT_TTL_MS);

/// The deadlines of one call.
pub(super) struct Patience {
    idle: Duration,
    cap: Instant,
    until: Cell<Instant>,
    /// Until when the client may take to answer what it was asked elsewhere than on the call's own stream.
    held: OnceCell<Rc<Cell<Instant>>>,
}

impl Patience {
    /// Starts to wait: `idle` from now, and never longer than `CALL_CAP_MS` in all.
    pub(super) fn new(idle: Duration) -> Self {
        let now = Clock::recent();
        let cap = now + idle.max(Duration::from_millis(CALL_CAP_MS));
        Self { idle, cap, until: Cell::new(now + idle), held: OnceCell::new() }
    }

    /// A wait that no sign of life prolongs.
    pub(super) fn fixed(limit: Duration) -> Self {
        let until = Clock::recent() + limit;
        Self { idle: limit, cap: until, until: Cell::new(until), held: OnceCell::new() }
    }

    /// A wait for a stream to open, which itself may then last for ever.
    pub(super) fn opening(limit: Duration) -> Self {
        Self { cap: Instant(u64::MAX), ..Self::fixed(limit) }
    }

    /// A sign of life came. It takes nothing of the time that somebody else has been given.
    pub(super) fn touch(&self) {
        let until = (Clock::recent() + self.idle).min(self.cap);
        self.until.set(self.until.get().max(until));
    }

    /// The server waits for somebody else: its silence counts again only when that has had `time`.
    pub(super) fn hold(&self, time: Duration) {
        let held = (Clock::recent() + time + self.idle).min(self.cap);
        self.until.set(self.until.get().max(held));
    }

    /// When patience ends as things stand.
    pub(super) fn until(&self) -> Instant {
        match self.held.get() {
            Some(held) => self.until.get().max(held.get()).min(self.cap),
            None => self.until.get(),
        }
    }

    /// What whoever asks the client elsewhere sets to the time it has: the wait lasts as long.
    pub(super) fn holder(&self) -> Rc<Cell<Instant>> {
        self.held.get_or_init(Rc::default).clone()
    }

    /// When patience ends whatever comes.
    pub(super) fn cap(&self) -> Instant {
        self.cap
    }

    /// Waits for a future as long as patience lasts, which others may prolong meanwhile. It is taken pinned, because
    /// each function that takes a future by value makes its own twice as large.
    ///
    /// # Errors
    /// [`Kind::Timeout`]; the future is not polled again.
    pub(super) async fn wait<F: Future>(&self, mut future: Pin<&mut F>) -> Result<F::Output> {
        loop {
            let until = self.until();
            if let Ok(output) = time::deadline(until, future.as_mut()).await {
                return Ok(output);
            }
            if self.until() <= until {
                return Err(self.expired());
            }
        }
    }

    fn expired(&self) -> Error {
        let context = match self.until() < self.cap {
            true => format!("the server gave no sign of life for {} ms", self.idle.as_millis()),
            false => "the server did not answer within the longest time a call may take".to_owned(),
        };
        Error::new(Kind::Timeout, context).retry(Retry::Unsafe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::fixture::on_shard;
    use std::pin::pin;

    #[test]
    fn a_sign_of_life_prolongs_the_wait_but_not_beyond_the_cap() {
        on_shard(async {
            let patience = Patience::new(Duration::from_millis(40));
            let slow = async {
                for _ in 0..4 {
                    time::sleep(Duration::from_millis(20)).await;
                    patience.touch();
                }
                7
            };
            assert_eq!(patience.wait(pin!(slow)).await.expect("prolonged"), 7);
            let error = patience.wait(pin!(std::future::pending::<()>())).await.expect_err("nothing comes");
            assert_eq!((error.kind, error.retry), (Kind::Timeout, Retry::Unsafe));
            let fixed = Patience::fixed(Duration::from_millis(10));
            fixed.touch();
            assert!(fixed.wait(pin!(time::sleep(Duration::from_secs(5)))).await.is_err());
        });
    }
}
