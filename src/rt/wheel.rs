//! A hierarchical wheel of deadlines: entering one, taking it out and finding the next cost the same however many wait.
//!
//! Six levels of 64 slots over ticks of a millisecond; a deadline stands in the level where it first differs from the
//! wheel's time, and comes down a level when that slot's turn comes (Varghese and Lauck, 1987, scheme 7).

use std::task::Waker;

/// Slots of a level, a bit each in a word.
const SLOTS: usize = 64;
const SLOT_BITS: usize = 6;
const LEVELS: usize = 6;
/// How far ahead an entry can stand, all slots of the last level but the current one; what is later waits in the last
/// of them and is entered anew.
const REACH: u64 = (SLOTS as u64 - 1) << (SLOT_BITS * (LEVELS - 1));
/// No entry.
const NONE: u32 = u32::MAX;

/// The name of an entry, as long as it stands in the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u32);

struct Entry {
    at: u64,
    waker: Option<Waker>,
    /// Where it stands: level and slot in one number; `NONE` once it was due.
    place: u32,
    before: u32,
    after: u32,
}

/// The deadlines of one thread.
pub(super) struct Wheel {
    /// Every tick up to here has had its turn.
    time: u64,
    heads: [u32; SLOTS * LEVELS],
    occupied: [u64; LEVELS],
    entries: Vec<Entry>,
    free: Vec<u32>,
}

impl Wheel {
    /// An empty wheel at a tick.
    pub(super) fn new(time: u64) -> Self {
        Self { time, heads: [NONE; SLOTS * LEVELS], occupied: [0; LEVELS], entries: Vec::new(), free: Vec::new() }
    }

    /// Enters a deadline; `waker` is woken when it is due. One that has passed is due in the next turn.
    pub(super) fn enter(&mut self, at: u64, waker: Waker) -> Key {
        let entry = Entry { at, waker: Some(waker), place: NONE, before: NONE, after: NONE };
        let key = match self.free.pop() {
            Some(key) => {
                self.entries[key as usize] = entry;
                key
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).unwrap_or(NONE)
            }
        };
        self.link(key);
        Key(key)
    }

    /// Whether an entry was due; if not, `waker` is who is woken.
    pub(super) fn was_due(&mut self, key: Key, waker: &Waker) -> bool {
        let entry = &mut self.entries[key.0 as usize];
        if entry.place == NONE {
            return true;
        }
        if !entry.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            entry.waker = Some(waker.clone());
        }
        false
    }

    /// Takes an entry out, due or not.
    pub(super) fn leave(&mut self, key: Key) {
        self.unlink(key.0);
        self.entries[key.0 as usize].waker = None;
        self.free.push(key.0);
    }

    /// The tick by which the wheel must be turned: never later than the earliest deadline, and perhaps earlier.
    pub(super) fn next(&self) -> Option<u64> {
        (0..LEVELS).find_map(|level| self.next_of(level).map(|(_, start)| start))
    }

    /// Moves the time on and gives the wakers of all that is due by then.
    pub(super) fn turn(&mut self, now: u64, due: &mut Vec<Waker>) {
        while let Some((level, (slot, start))) = self.first().filter(|(_, (_, start))| *start <= now) {
            self.time = self.time.max(start);
            let mut key = std::mem::replace(&mut self.heads[level * SLOTS + slot], NONE);
            self.occupied[level] &= !(1 << slot);
            while key != NONE {
                let entry = &mut self.entries[key as usize];
                let after = entry.after;
                if entry.at <= self.time {
                    entry.place = NONE;
                    due.extend(entry.waker.take());
                } else {
                    self.link(key);
                }
                key = after;
            }
        }
        self.time = self.time.max(now);
    }

    fn first(&self) -> Option<(usize, (usize, u64))> {
        (0..LEVELS).find_map(|level| self.next_of(level).map(|next| (level, next)))
    }

    /// The first occupied slot of a level from the wheel's time on, and the tick it begins with.
    fn next_of(&self, level: usize) -> Option<(usize, u64)> {
        let occupied = self.occupied[level];
        if occupied == 0 {
            return None;
        }
        let shift = SLOT_BITS * level;
        let here = self.time >> shift;
        let turned = occupied.rotate_right(u32::try_from(here % SLOTS as u64).unwrap_or(0));
        let start = (here + u64::from(turned.trailing_zeros())) << shift;
        Some((slot_of(start, level), start))
    }

    fn link(&mut self, key: u32) {
        let at = self.entries[key as usize].at.clamp(self.time, self.time + REACH);
        let differs = (at ^ self.time) | (SLOTS as u64 - 1);
        let level = (differs.ilog2() as usize) / SLOT_BITS;
        let level = level.min(LEVELS - 1);
        let slot = slot_of(at, level);
        let place = level * SLOTS + slot;
        let after = std::mem::replace(&mut self.heads[place], key);
        self.occupied[level] |= 1 << slot;
        if after != NONE {
            self.entries[after as usize].before = key;
        }
        let entry = &mut self.entries[key as usize];
        (entry.before, entry.after) = (NONE, after);
        entry.place = u32::try_from(place).unwrap_or(NONE);
    }

    fn unlink(&mut self, key: u32) {
        let Entry { place, before, after, .. } = self.entries[key as usize];
        if place == NONE {
            return;
        }
        if after != NONE {
            self.entries[after as usize].before = before;
        }
        if before != NONE {
            self.entries[before as usize].after = after;
            return;
        }
        self.heads[place as usize] = after;
        if after == NONE {
            self.occupied[place as usize / SLOTS] &= !(1 << (place as usize % SLOTS));
        }
    }
}

fn slot_of(tick: u64, level: usize) -> usize {
    // Below the number of slots, so it fits.
    usize::try_from((tick >> (SLOT_BITS * level)) % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::Wake;

    struct Woken(AtomicU64);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Turns the wheel as a driver would: to each tick it names, and not beyond `until`.
    fn drive(wheel: &mut Wheel, until: u64) {
        let mut due = Vec::new();
        while let Some(next) = wheel.next().filter(|next| *next <= until) {
            wheel.turn(next, &mut due);
        }
        wheel.turn(until, &mut due);
        due.into_iter().for_each(Waker::wake);
    }

    #[test]
    fn every_deadline_comes_at_its_tick_and_none_that_was_taken_out() {
        bolero::check!().with_type::<Vec<(u8, u64, u8)>>().for_each(|script| {
            let mut wheel = Wheel::new(1_000);
            let mut now = 1_000;
            let mut model: BTreeMap<usize, (u64, Key, Arc<Woken>)> = BTreeMap::new();
            for (step, (what, number, shift)) in script.iter().enumerate() {
                let ahead = number >> (24 + shift % 40);
                match what % 3 {
                    0 => {
                        let woken = Arc::new(Woken(AtomicU64::new(0)));
                        let key = wheel.enter(now + ahead, woken.clone().into());
                        model.insert(step, (now + ahead, key, woken));
                    }
                    1 => {
                        let chosen = model.keys().nth(usize::from(*shift) % model.len().max(1)).copied();
                        if let Some((_, key, _)) = chosen.and_then(|chosen| model.remove(&chosen)) {
                            wheel.leave(key);
                        }
                    }
                    _ => {
                        now += ahead.min(1 << 30);
                        drive(&mut wheel, now);
                    }
                }
                for (at, _, woken) in model.values() {
                    let came = woken.0.load(Ordering::Relaxed);
                    let turned = what % 3 == 2;
                    assert!(came == 0 || *at <= now, "early: {at} at {now}");
                    assert!(!turned || (came == 1) == (*at <= now), "{came} at {now} for {at}");
                }
            }
            let live = model.len();
            assert_eq!(wheel.entries.len() - wheel.free.len(), live);
        });
    }

    #[test]
    fn the_next_tick_is_never_after_the_earliest_deadline() {
        let mut wheel = Wheel::new(5);
        assert_eq!(wheel.next(), None);
        for at in [5, 70, 4_100, REACH * 3] {
            wheel.enter(at, Waker::noop().clone());
            assert!(wheel.next().unwrap() <= 5, "the first is due at once");
        }
        let mut due = Vec::new();
        wheel.turn(5, &mut due);
        assert_eq!(due.len(), 1);
        assert!((6..=70).contains(&wheel.next().unwrap()));
        drive(&mut wheel, REACH * 3 + 5);
        assert_eq!(wheel.next(), None);
    }
}
