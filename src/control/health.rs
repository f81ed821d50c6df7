//! What the gate's health rests on: each shard's heartbeat, a loaded snapshot, open listeners, and whether it drains.

use crate::base::clock::Clock;
use crate::base::ids::ShardId;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::atomic::{AtomicU8, Ordering::Release};

/// A shard that has not beaten for this long counts as dead, in milliseconds.
const BEAT_MAX_MS: u64 = 5_000;

/// The health of the process, written by shards and control, read by the admin listener.
#[derive(Debug)]
pub struct Health {
    beats: Box<[AtomicU64]>,
    states: Box<[AtomicU8]>,
    draining: AtomicBool,
    /// Whether what is stored could not be read when it was to be read again.
    store_unread: AtomicBool,
}

/// Where one shard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ShardState {
    /// Its thread has not opened its listener yet.
    Starting,
    /// It serves.
    Serving,
    /// Its journal takes no more entries: calls fail closed.
    Poisoned,
}

impl Health {
    /// The health of a process with so many shards, none of which has started.
    pub fn new(shards: usize) -> Self {
        let states = (0..shards).map(|_| AtomicU8::new(ShardState::Starting as u8)).collect();
        Self {
            beats: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            states,
            draining: AtomicBool::new(false),
            store_unread: AtomicBool::new(false),
        }
    }

    /// A shard says that its loop turns.
    pub fn beat(&self, shard: ShardId) {
        self.beats[usize::from(shard.0)].store(now_ms(), Relaxed);
    }

    /// A shard says where it stands.
    pub fn enter(&self, shard: ShardId, state: ShardState) {
        self.states[usize::from(shard.0)].store(state as u8, Release);
        self.beat(shard);
    }

    /// The process takes no more requests.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Says whether the store could be read when it was to be read again.
    pub fn store_is_read(&self, read: bool) {
        self.store_unread.store(!read, Relaxed);
    }

    /// Whether every shard's loop turns. One that has not started yet is given the time it needs.
    pub fn alive(&self) -> bool {
        (0..self.beats.len()).all(|shard| self.turns(shard))
    }

    /// Whether requests are served: all shards serve and the process does not drain.
    pub fn ready(&self) -> bool {
        self.checks().iter().all(|check| check.good || !check.vital)
    }

    /// Every check with its name, for `/readyz?verbose`.
    pub fn checks(&self) -> Vec<Check> {
        let check = |name: String, good| Check { name, good, vital: true };
        let mut checks = vec![check("accepting".into(), !self.draining.load(Relaxed))];
        for shard in 0..self.beats.len() {
            checks.push(check(format!("shard {shard} turns"), self.turns(shard)));
            let serves = self.states[shard].load(Relaxed) == ShardState::Serving as u8;
            checks.push(check(format!("shard {shard} serves"), serves));
        }
        // The gate goes on with what it read last: taking it out of service would help nobody.
        checks.push(Check { name: "store is read".into(), good: !self.store_unread.load(Relaxed), vital: false });
        checks
    }

    fn turns(&self, shard: usize) -> bool {
        let starting = self.states[shard].load(Relaxed) == ShardState::Starting as u8;
        starting || now_ms().saturating_sub(self.beats[shard].load(Relaxed)) < BEAT_MAX_MS
    }
}

/// One check and whether it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is checked.
    pub name: String,
    /// Whether it holds.
    pub good: bool,
    /// Whether the gate is not ready without it.
    pub vital: bool,
}

fn now_ms() -> u64 {
    Clock::now().0 / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Instant, WallTime};

    #[test]
    fn ready_means_every_shard_serves_and_turns() {
        Clock::simulate(Instant(0), WallTime(0));
        let health = Health::new(2);
        assert!(health.alive() && !health.ready(), "starting is alive, not ready");
        health.enter(ShardId(0), ShardState::Serving);
        health.enter(ShardId(1), ShardState::Serving);
        assert!(health.ready());
        Clock::simulate(Instant((BEAT_MAX_MS + 1) * 1_000_000), WallTime(0));
        health.beat(ShardId(0));
        assert!(!health.alive(), "shard 1 hangs");
        health.beat(ShardId(1));
        health.drain();
        assert!(health.alive() && !health.ready());
        Clock::end_simulation();
    }

    #[test]
    fn a_store_that_cannot_be_read_is_told_and_does_not_end_the_service() {
        let health = Health::new(1);
        health.enter(ShardId(0), ShardState::Serving);
        health.store_is_read(false);
        let told = health.checks().into_iter().find(|check| check.name == "store is read").expect("a check");
        assert!(health.ready() && !told.good);
    }

    #[test]
    fn a_poisoned_journal_is_not_ready() {
        let health = Health::new(1);
        health.enter(ShardId(0), ShardState::Poisoned);
        assert!(health.alive() && !health.ready());
    }
}
