//! How long a call is waited for: an idle time that every sign of life starts anew, under a hard cap. While its client
//! has a question to answer the server's silence does not count.

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
    holds: OnceCell<Rc<Holds>>,
}

/// The questions of one call that its client has not answered yet. Shared with whoever brings the answers back.
#[derive(Debug, Default)]
pub(super) struct Holds {
    open: Cell<usize>,
    /// Until when the client may take for the last of them.
    until: Cell<Instant>,
    /// When the last answer went back.
    over: Cell<Instant>,
}

/// An open question; dropped when its answer has gone back to the server.
#[derive(Debug)]
pub(super) struct Hold(Rc<Holds>);

impl Holds {
    /// The server waits for its client, which has so much time.
    pub(super) fn begin(self: &Rc<Self>, time: Duration) -> Hold {
        self.open.set(self.open.get() + 1);
        self.until.set(self.until.get().max(Clock::recent() + time));
        Hold(self.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.over.set(Clock::recent());
    }
}

impl Patience {
    /// Starts to wait: `idle` from now, and never longer than `CALL_CAP_MS` in all.
    pub(super) fn new(idle: Duration) -> Self {
        let now = Clock::recent();
        let cap = now + idle.max(Duration::from_millis(CALL_CAP_MS));
        Self { idle, cap, until: Cell::new(now + idle), holds: OnceCell::new() }
    }

    /// A wait that no sign of life prolongs.
    pub(super) fn fixed(limit: Duration) -> Self {
        let until = Clock::recent() + limit;
        Self { idle: limit, cap: until, until: Cell::new(until), holds: OnceCell::new() }
    }

    /// A wait for a stream to open, which itself may then last for ever.
    pub(super) fn opening(limit: Duration) -> Self {
        Self { cap: Instant(u64::MAX), ..Self::fixed(limit) }
    }

    /// A sign of life came.
    pub(super) fn touch(&self) {
        let until = (Clock::recent() + self.idle).min(self.cap);
        self.until.set(self.until.get().max(until));
    }

    /// Where questions of this call are entered as they are asked.
    pub(super) fn holds(&self) -> &Rc<Holds> {
        self.holds.get_or_init(Rc::default)
    }

    /// Takes over the questions of this call that were entered elsewhere; the first to be told of stay.
    pub(super) fn adopt(&self, holds: &Rc<Holds>) {
        self.holds.get_or_init(|| holds.clone());
    }

    /// When patience ends as things stand.
    pub(super) fn until(&self) -> Instant {
        let until = self.until.get();
        let Some(holds) = self.holds.get() else { return until };
        let held = if holds.open.get() > 0 { holds.until.get() } else { holds.over.get() };
        until.max(held + self.idle).min(self.cap)
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
            let until = self.stretch();
            if let Ok(output) = time::deadline(until, future.as_mut()).await {
                return Ok(output);
            }
            if self.until() <= until {
                return Err(self.expired());
            }
        }
    }

    /// How long to wait before looking again. Never longer than the idle time while there may be questions: the answer
    /// to one ends what was waited for its sake.
    fn stretch(&self) -> Instant {
        let until = self.until();
        if self.holds.get().is_some() { until.min(Clock::now() + self.idle) } else { until }
    }

    /// Whether there is patience left, for who has just waited for what was there at once and would go on.
    ///
    /// # Errors
    /// [`Kind::Timeout`].
    pub(super) fn check(&self) -> Result<()> {
        if self.until() > Clock::recent() { Ok(()) } else { Err(self.expired()) }
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
    use crate::rt::{sim, task};
    use crate::upstream::fixture::on_shard;
    use std::pin::pin;

    #[test]
    fn silence_counts_again_once_the_answer_to_a_question_has_gone_back() {
        sim::run(1, async {
            let patience = Patience::new(Duration::from_secs(60));
            let (first, second) = (patience.holds().begin(QUESTION), patience.holds().begin(QUESTION));
            let asked = Clock::now();
            let answering = task::spawn(async move {
                time::sleep(Duration::from_secs(90)).await;
                drop(first);
                time::sleep(Duration::from_secs(90)).await;
                drop(second);
            });
            let error = patience.wait(pin!(std::future::pending::<()>())).await.expect_err("the server is silent");
            assert_eq!(error.kind, Kind::Timeout);
            assert_eq!(Clock::now().since(asked).as_secs(), 180 + 60);
            drop(answering);
            let held = patience.holds().begin(QUESTION);
            patience.touch();
            assert!(patience.wait(pin!(std::future::pending::<()>())).await.is_err());
            assert_eq!(Clock::now().since(asked).as_secs(), 240 + 600 + 60, "nobody answers, and no longer");
            drop(held);
        });
    }

    #[test]
    fn what_is_always_ready_has_no_more_patience_than_what_is_silent() {
        sim::run(1, async {
            let patience = Patience::new(Duration::from_secs(1));
            patience.check().expect("it has just begun");
            time::sleep(Duration::from_secs(2)).await;
            assert_eq!(patience.wait(pin!(async { 1 })).await, Ok(1), "an answer that is there is taken");
            assert_eq!(patience.check().map_err(|error| error.kind), Err(Kind::Timeout));
        });
    }

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
