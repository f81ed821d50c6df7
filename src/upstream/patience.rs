//! How long a call is waited for: an idle time that every sign of life starts anew, under a hard cap.

use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::limits::CALL_CAP_MS;
use crate::rt::time;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The deadlines of one call.
pub(super) struct Patience {
    idle: Duration,
    cap: Instant,
    until: Cell<Instant>,
}

impl Patience {
    /// Starts to wait: `idle` from now, and never longer than `CALL_CAP_MS` in all.
    pub(super) fn new(idle: Duration) -> Self {
        let now = Clock::recent();
        let cap = now + idle.max(Duration::from_millis(CALL_CAP_MS));
        Self { idle, cap, until: Cell::new(now + idle) }
    }

    /// A wait that no sign of life prolongs.
    pub(super) fn fixed(limit: Duration) -> Self {
        let until = Clock::recent() + limit;
        Self { idle: limit, cap: until, until: Cell::new(until) }
    }

    /// A wait for a stream to open, which itself may then last for ever.
    pub(super) fn opening(limit: Duration) -> Self {
        Self { cap: Instant(u64::MAX), ..Self::fixed(limit) }
    }

    /// A sign of life came.
    pub(super) fn touch(&self) {
        self.until.set((Clock::recent() + self.idle).min(self.cap));
    }

    /// When patience ends as things stand.
    pub(super) fn until(&self) -> Instant {
        self.until.get()
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
