//! The phases of an exchange and when each ended.

use crate::base::clock::{Clock, Instant};
use std::time::Duration;

/// The way of a request, one direction only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Phase {
    /// The head is read.
    Read,
    /// The principal is known.
    Identify,
    /// The body is read and understood.
    Decode,
    /// Policy has said its verdict.
    Decide,
    /// The upstream has answered.
    Call,
    /// The answer is written.
    Write,
    /// The outcome is recorded.
    Record,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Identify, Self::Decode, Self::Decide, Self::Call, Self::Write, Self::Record];

    /// The phase's name in metrics and records.
    pub fn name(self) -> &'static str {
        ["read", "identify", "decode", "decide", "call", "write", "record"][self as usize]
    }
}

/// When each phase of one exchange ended.
#[derive(Clone, Copy, Debug)]
pub struct Stamps {
    start: Instant,
    ends: [Instant; Phase::ALL.len()],
}

/// The end of a phase that has not ended.
const NEVER: Instant = Instant(u64::MAX);

impl Stamps {
    /// Starts the clock: the first byte of the head has arrived.
    pub fn start() -> Self {
        Self { start: Clock::recent(), ends: [NEVER; Phase::ALL.len()] }
    }

    /// Marks the end of a phase.
    pub fn end(&mut self, phase: Phase) {
        self.ends[phase as usize] = Clock::now();
    }

    /// When the exchange began.
    pub fn began(&self) -> Instant {
        self.start
    }

    /// Nanoseconds spent in each phase: from the end of the latest earlier phase that ended; zero if it has not ended.
    pub fn spent_ns(&self) -> [u64; Phase::ALL.len()] {
        let (mut spent, mut before) = ([0; Phase::ALL.len()], self.start);
        for (spent, end) in spent.iter_mut().zip(self.ends) {
            if end != NEVER {
                *spent = end.0.saturating_sub(before.0);
                before = end;
            }
        }
        spent
    }

    /// Time spent in a phase, as [`Self::spent_ns`] says.
    pub fn spent(&self, phase: Phase) -> Duration {
        Duration::from_nanos(self.spent_ns()[phase as usize])
    }

    /// Time since the exchange began, as of the last look at the clock: the phase that has just ended took one.
    pub fn total(&self) -> Duration {
        Clock::recent().since(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::WallTime;

    #[test]
    fn a_phase_counts_from_the_one_before_that_ended() {
        Clock::simulate(Instant(100), WallTime(0));
        let mut stamps = Stamps::start();
        Clock::simulate(Instant(150), WallTime(0));
        stamps.end(Phase::Read);
        Clock::simulate(Instant(180), WallTime(0));
        stamps.end(Phase::Decode);
        assert_eq!(stamps.spent(Phase::Read), Duration::from_nanos(50));
        assert_eq!(stamps.spent(Phase::Identify), Duration::ZERO);
        assert_eq!(stamps.spent(Phase::Decode), Duration::from_nanos(30));
        Clock::end_simulation();
    }
}
