//! Blocking work away from the shard: a helper thread a job, few at once. For cold paths only.

use super::{mailbox, mode};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Helper threads at once in the whole process; a job beyond is refused.
const HELPERS_MAX: usize = 64;

static HELPERS: AtomicUsize = AtomicUsize::new(0);

/// A helper thread's place, given back when it ends, also by a panic.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let taken = HELPERS.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < HELPERS_MAX).then_some(n + 1));
        taken.ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Runs blocking work on a helper thread and waits for it without blocking this one. Costs some 50 µs. Dropping the
/// wait does not stop the work. In a simulation the work runs at once, in place.
///
/// # Errors
/// All helpers are busy (`WouldBlock`), no thread could be started, or the work panicked.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    if mode::is_sim() {
        return Ok(work());
    }
    let busy = || io::Error::new(io::ErrorKind::WouldBlock, "all helper threads are busy with slow work; try again");
    let place = Place::take().ok_or_else(busy)?;
    let (done, mut wait) = mailbox::try_mailbox(1)?;
    std::thread::Builder::new().name("offload".to_owned()).spawn(move || {
        let _ = done.try_send(work());
        drop(place);
    })?;
    wait.recv_or_end().await.ok_or_else(|| io::Error::other("the helper thread panicked"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::shard::tests::on_each_driver;
    use crate::rt::{task, time};
    use std::time::Duration;

    #[test]
    fn blocking_work_does_not_block_the_shard() {
        on_each_driver(|| async {
            let work = task::spawn(run(|| {
                std::thread::park_timeout(Duration::from_millis(100));
                7
            }));
            for _ in 0..5 {
                time::sleep(Duration::from_millis(1)).await;
            }
            assert!(!work.is_finished());
            assert_eq!(work.await.unwrap(), 7);
        });
    }

    #[test]
    fn a_panic_of_the_work_is_an_error() {
        on_each_driver(|| async {
            assert!(run(|| panic!("on purpose")).await.is_err());
            assert_eq!(run(|| 1).await.unwrap(), 1);
        });
    }
}
