//! The only clock. Everything that needs the time asks here, so that a simulation can give another.

use std::cell::Cell;
use std::ops::{Add, Sub};
use std::time::Duration;

/// How long a reading of the time of day is carried forward by the monotonic clock before the machine is asked again.
const WALL_KEPT: Duration = Duration::from_millis(100);

thread_local! {
    static SIMULATED: Cell<Option<Simulated>> = const { Cell::new(None) };
    /// The last reading of the monotonic clock; zero before the first of a turn.
    static RECENT: Cell<Instant> = const { Cell::new(Instant(0)) };
    /// The last reading of the time of day, and when it was taken.
    static WALL: Cell<(Instant, WallTime)> = const { Cell::new((Instant(0), WallTime(0))) };
}

#[derive(Clone, Copy)]
struct Simulated {
    monotonic_ns: u64,
    wall_ms: u64,
}

/// A point on the monotonic clock, in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// Time passed since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, rhs: Self) -> Duration {
        self.since(rhs)
    }
}

/// A time of day: milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub u64);

/// The clock of this thread: the machine's, or a simulation's.
pub struct Clock;

#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the one place that reads the machine's clocks")]
impl Clock {
    /// Now on the monotonic clock.
    pub fn now() -> Instant {
        if let Some(simulated) = SIMULATED.get() {
            return Instant(simulated.monotonic_ns);
        }
        let elapsed = std::time::Instant::now().duration_since(process_start());
        let now = Instant(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
        RECENT.set(now);
        now
    }

    /// The last reading of this thread in the running task's turn, or one taken now: within a task it is as old as the
    /// turn at most. That is near enough for deadlines, and a request needs a dozen of those.
    pub fn recent() -> Instant {
        if SIMULATED.get().is_some() {
            return Self::now();
        }
        match RECENT.get() {
            Instant(0) => Self::now(),
            recent => recent,
        }
    }

    /// A task's turn begins: what was read before is not recent any more. A turn that asks for no time reads no clock.
    pub fn begin_turn() {
        RECENT.set(Instant(0));
    }

    /// Now as a time of day.
    pub fn wall() -> WallTime {
        if let Some(simulated) = SIMULATED.get() {
            return WallTime(simulated.wall_ms);
        }
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// The time of day at [`Self::recent`]. A clock that is set anew is seen within a tenth of a second.
    pub fn recent_wall() -> WallTime {
        if SIMULATED.get().is_some() {
            return Self::wall();
        }
        let (recent, (taken, wall)) = (Self::recent(), WALL.get());
        let age = recent.since(taken);
        if wall == WallTime(0) || age >= WALL_KEPT {
            let wall = Self::wall();
            WALL.set((recent, wall));
            return wall;
        }
        WallTime(wall.0 + u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    }

    /// Puts this thread on a simulated clock that moves only by further calls.
    pub fn simulate(now: Instant, wall: WallTime) {
        SIMULATED.set(Some(Simulated { monotonic_ns: now.0, wall_ms: wall.0 }));
    }

    /// Puts this thread back on the machine's clock.
    pub fn end_simulation() {
        SIMULATED.set(None);
    }
}

#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the start that every Instant counts from")]
fn process_start() -> std::time::Instant {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    *START.get_or_init(std::time::Instant::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_time_stands_still() {
        Clock::simulate(Instant(5), WallTime(7));
        assert_eq!((Clock::now(), Clock::wall()), (Instant(5), WallTime(7)));
        Clock::end_simulation();
        let before = Clock::now();
        assert!(Clock::now() >= before);
        assert!(Clock::wall().0 > 1_700_000_000_000);
    }

    #[test]
    fn the_recent_time_is_that_of_the_last_reading() {
        let read = Clock::now();
        assert_eq!((Clock::recent(), Clock::recent()), (read, read));
        let (wall, exact) = (Clock::recent_wall(), Clock::wall());
        assert!(exact.0 - wall.0 < 1000, "{wall:?} {exact:?}");
        assert_eq!(Clock::recent_wall().0, wall.0);
    }

    #[test]
    fn a_turn_sees_no_reading_of_an_earlier_one() {
        let stale = Clock::recent();
        while Clock::now() == stale {}
        Clock::begin_turn();
        let read = Clock::recent();
        assert!(read > stale);
        assert_eq!(Clock::recent(), read, "one reading lasts for the whole turn");
    }
}
