//! Whether a server is worth trying now: a circuit that fails calls fast during an outage, and the waits between tries.
//!
//! A circuit is *closed* while things work. After [`FAILURES_MAX`] failures in a row it *opens*: calls fail at once.
//! When its wait is over, one call (or the discovery task) may try; success closes it, failure opens it for longer.

use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::limits::{BACKOFF_MAX_MS, BACKOFF_MIN_MS, RESTART_COOL_DOWN_MS, RESTART_STABLE_MS, RESTARTS_MAX};
use std::cell::Cell;
use std::time::Duration;

/// Failures in a row after which calls fail fast.
pub const FAILURES_MAX: u32 = 3;

/// Doubling waits between tries, spread by up to a quarter so that many gates do not knock at once.
pub struct Backoff {
    tries: Cell<u32>,
    seed: Cell<u64>,
}

impl Backoff {
    /// Starts at the shortest wait; `seed` spreads servers apart.
    pub fn new(seed: u64) -> Self {
        Self { tries: Cell::new(0), seed: Cell::new(seed | 1) }
    }

    /// The wait before the next try.
    pub fn next(&self) -> Duration {
        let tries = self.tries.get();
        self.tries.set(tries.saturating_add(1));
        let base = BACKOFF_MIN_MS.saturating_mul(1 << tries.min(20)).min(BACKOFF_MAX_MS);
        Duration::from_millis(base - base / 4 + self.roll() % (base / 2).max(1))
    }

    /// Back to the shortest wait: it worked.
    pub fn reset(&self) {
        self.tries.set(0);
    }

    /// A small xorshift step; nothing secret hangs on it.
    fn roll(&self) -> u64 {
        let mut x = self.seed.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.seed.set(x);
        x >> 11
    }
}

/// The circuit of one server on one shard.
pub struct Circuit {
    failures: Cell<u32>,
    open_until: Cell<Instant>,
    backoff: Backoff,
}

impl Circuit {
    /// A closed circuit.
    pub fn new(seed: u64) -> Self {
        Self { failures: Cell::new(0), open_until: Cell::new(Instant(0)), backoff: Backoff::new(seed) }
    }

    /// Lets a call through, or fails it at once with [`Kind::Unreachable`].
    pub fn admit(&self) -> Result<()> {
        if !self.is_open() {
            return Ok(());
        }
        let now = Clock::now();
        if now < self.open_until.get() {
            return Err(down("the server is down; calls to it fail until it answers again"));
        }
        // This caller is the one that tries; the others keep failing fast until it is known how that went.
        self.open_until.set(now + self.backoff.next());
        Ok(())
    }

    /// The server answered, whatever it said.
    pub fn succeeded(&self) {
        self.failures.set(0);
        self.backoff.reset();
    }

    /// The server could not be reached, or gave a 5xx.
    pub fn failed(&self) {
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        if failures == FAILURES_MAX {
            self.open_until.set(Clock::now() + self.backoff.next());
        }
    }

    /// Counts how a call went: only an unreachable server is an outage, a slow or failing tool is not.
    pub fn count<T>(&self, outcome: &Result<T>) {
        match outcome {
            Err(error) if error.kind == Kind::Unreachable => self.failed(),
            _ => self.succeeded(),
        }
    }

    /// Whether the server has failed so often that it counts as down.
    pub fn is_open(&self) -> bool {
        self.failures.get() >= FAILURES_MAX
    }
}

/// How often a stdio server may be started again: with growing waits, and after [`RESTARTS_MAX`] deaths not before a
/// cool-down is over.
pub struct Restarts {
    deaths: Cell<u32>,
    next: Cell<Instant>,
    backoff: Backoff,
}

impl Restarts {
    /// Nothing has died yet.
    pub fn new(seed: u64) -> Self {
        Self { deaths: Cell::new(0), next: Cell::new(Instant(0)), backoff: Backoff::new(seed) }
    }

    /// Lets a start happen, or says when the next one may.
    pub fn admit(&self) -> Result<()> {
        let wait = self.wait();
        if wait.is_zero() {
            return Ok(());
        }
        let given_up = self.deaths.get() > RESTARTS_MAX;
        let why = if given_up { "keeps dying and is left down" } else { "died and is being restarted" };
        let seconds = wait.as_secs() + 1;
        Err(down(format!("the server {why}; the next start is in {seconds} s")))
    }

    /// Time until the next start may happen.
    pub fn wait(&self) -> Duration {
        self.next.get().since(Clock::now())
    }

    /// A process has ended by itself after it ran for `lived`; the first death after a stable life costs no wait.
    pub fn died(&self, lived: Duration) {
        if lived >= Duration::from_millis(RESTART_STABLE_MS) {
            self.deaths.set(0);
            self.backoff.reset();
        }
        let deaths = self.deaths.get() + 1;
        self.deaths.set(deaths);
        let wait = match deaths {
            1 => Duration::ZERO,
            _ if deaths > RESTARTS_MAX => Duration::from_millis(RESTART_COOL_DOWN_MS),
            _ => self.backoff.next(),
        };
        self.next.set(Clock::now() + wait);
    }
}

fn down(context: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Unreachable, context).retry(Retry::Safe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::WallTime;

    fn at(ms: u64) {
        Clock::simulate(Instant(ms * 1_000_000), WallTime(0));
    }

    #[test]
    fn waits_double_stay_in_their_spread_and_reset() {
        let backoff = Backoff::new(7);
        for round in 0..40u32 {
            let base = (BACKOFF_MIN_MS << round.min(20)).min(BACKOFF_MAX_MS);
            let wait = u64::try_from(backoff.next().as_millis()).expect("small");
            assert!(wait >= base * 3 / 4 && wait <= base * 5 / 4, "round {round}: {wait} around {base}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(BACKOFF_MIN_MS * 5 / 4));
    }

    #[test]
    fn an_outage_fails_fast_then_one_call_tries() {
        at(0);
        let circuit = Circuit::new(3);
        for _ in 0..FAILURES_MAX {
            circuit.admit().expect("closed");
            circuit.failed();
        }
        assert_eq!(circuit.admit().expect_err("open").kind, Kind::Unreachable);
        assert!(circuit.is_open());
        at(BACKOFF_MIN_MS * 2);
        circuit.admit().expect("the one that tries");
        assert!(circuit.admit().is_err(), "only one tries");
        circuit.succeeded();
        circuit.admit().expect("closed again");
        Clock::end_simulation();
    }

    #[test]
    fn only_an_unreachable_server_counts_as_an_outage() {
        let circuit = Circuit::new(3);
        for _ in 0..FAILURES_MAX * 2 {
            circuit.count::<()>(&Err(Error::new(Kind::Timeout, "slow tool")));
        }
        circuit.admit().expect("still closed");
    }

    #[test]
    fn restarts_are_bounded_and_a_stable_life_forgives() {
        at(0);
        let restarts = Restarts::new(5);
        restarts.died(Duration::ZERO);
        restarts.admit().expect("the first restart is at once");
        for _ in 0..RESTARTS_MAX {
            restarts.died(Duration::ZERO);
            assert!(restarts.admit().is_err());
        }
        assert_eq!(restarts.wait(), Duration::from_millis(RESTART_COOL_DOWN_MS));
        at(RESTART_COOL_DOWN_MS);
        restarts.admit().expect("after the cool-down");
        restarts.died(Duration::from_millis(RESTART_STABLE_MS));
        restarts.admit().expect("a long life forgives earlier deaths");
        Clock::end_simulation();
    }
}
