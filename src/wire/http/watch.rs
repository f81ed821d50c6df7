//! One lazy timer a connection.
//!
//! Every wait on a peer has a deadline and hardly any deadline is ever met. So the timer is not armed anew for each
//! wait: one armed for an earlier time is kept, and armed again only if it fires before the deadline it then serves.

use crate::base::clock::{Clock, Instant};
use crate::rt::time::{Elapsed, Sleep, sleep_until};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The timer of one connection.
#[derive(Default)]
pub(crate) struct Watch {
    armed: Option<(Instant, Sleep)>,
}

impl Watch {
    /// Runs a future until a deadline. A future that is ready wins. It comes pinned, as taking it by value would make
    /// the caller's future hold it twice.
    pub(crate) async fn until<F: Future>(
        &mut self,
        deadline: Instant,
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, Elapsed> {
        poll_fn(|cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(value));
            }
            self.poll(deadline, cx).map(|()| Err(Elapsed))
        })
        .await
    }

    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let armed = self.armed.take().filter(|(at, _)| *at <= deadline);
            let armed = armed.unwrap_or_else(|| (deadline, sleep_until(deadline)));
            let (_, timer) = self.armed.insert(armed);
            ready!(Pin::new(timer).poll(cx));
            self.armed = None;
            if Clock::now() >= deadline {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{sim, time};
    use std::future::pending;
    use std::pin::pin;
    use std::time::Duration;

    #[test]
    fn a_kept_timer_serves_later_and_earlier_deadlines() {
        sim::run(1, async {
            let mut watch = Watch::default();
            let start = Clock::now();
            let after = |ms| start + Duration::from_millis(ms);
            let quick = time::sleep(Duration::from_millis(1));
            assert!(watch.until(after(10), pin!(quick)).await.is_ok());
            assert!(watch.until(after(50), pin!(pending::<()>())).await.is_err());
            assert_eq!(Clock::now(), after(50));
            assert!(watch.until(after(900), pin!(time::sleep(Duration::from_millis(1)))).await.is_ok());
            assert!(watch.until(after(60), pin!(pending::<()>())).await.is_err());
            assert_eq!(Clock::now(), after(60));
            assert_eq!(watch.until(start, pin!(async { 3 })).await, Ok(3));
        });
    }
}
