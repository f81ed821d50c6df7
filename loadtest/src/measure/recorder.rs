//! Counts what one client thread does. Cheap: one histogram, no locks, cut off whole at each tick.

use super::Part;
use crate::trouble::Trouble;
use std::time::Duration;
use tollgate::base::clock::Instant;

/// A send counts as late beyond this.
const LATE: Duration = Duration::from_millis(1);

/// What became of one request, and when.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// When it should have been sent.
    pub due: Instant,
    /// When its answer was whole, or when it was given up.
    pub ended: Instant,
    /// First byte of the body, of an answer that is a stream.
    pub first_byte: Option<Instant>,
}

/// The recorder of one thread.
#[derive(Debug)]
pub struct Recorder {
    /// Measured time begins.
    start: Instant,
    /// What was due before: shown while it warms up, kept nowhere.
    warm: Part,
    /// What was due since.
    measured: Part,
    in_flight: u64,
    first_wrong: Option<String>,
}

impl Recorder {
    /// A recorder whose measured time begins at `start`: what was due earlier is told apart, whenever it is answered.
    pub fn new(start: Instant) -> Self {
        Self { start, warm: Part::default(), measured: Part::default(), in_flight: 0, first_wrong: None }
    }

    /// Ends the part of the warm-up or of the measured time, and begins the next.
    pub fn cut(&mut self, measured: bool) -> Part {
        std::mem::take(if measured { &mut self.measured } else { &mut self.warm })
    }

    /// Gives a part back that could not be told; it is told with the next.
    pub fn give_back(&mut self, measured: bool, part: &Part) {
        let into = if measured { &mut self.measured } else { &mut self.warm };
        into.add(part);
    }

    /// Requests waiting for their answers.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// What the first malformed answer looked like, in words.
    pub fn take_first_wrong(&mut self) -> Option<String> {
        self.first_wrong.take()
    }

    /// Keeps the words if they are the first.
    pub fn note_wrong(&mut self, words: impl FnOnce() -> String) {
        if self.first_wrong.is_none() {
            self.first_wrong = Some(words());
        }
    }

    fn part(&mut self, due: Instant) -> &mut Part {
        if due >= self.start { &mut self.measured } else { &mut self.warm }
    }

    /// A request goes out. `was_free`: a connection was free when it was due.
    pub fn sent(&mut self, due: Instant, now: Instant, bytes: usize, was_free: bool) {
        self.in_flight += 1;
        let part = self.part(due);
        part.sent += 1;
        part.bytes_out += bytes as u64;
        let late = now.since(due);
        if late > LATE {
            let kind = if was_free { &mut part.late.by_client } else { &mut part.late.by_connections };
            *kind += 1;
        }
        part.late.max_ns = part.late.max_ns.max(ns(late));
    }

    /// A request that was sent has its answer.
    pub fn answered(&mut self, done: &Done, bytes: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let part = self.part(done.due);
        part.answered += 1;
        part.bytes_in += bytes;
        part.latency.saturating_record(ns(done.ended.since(done.due)));
        if let Some(first) = done.first_byte {
            Part::count(&mut part.first_byte, ns(first.since(done.due)));
        }
    }

    /// Two events of a stream came this far apart; the stream's request was due at `due`.
    pub fn event_gap(&mut self, due: Instant, gap: Duration) {
        Part::count(&mut self.part(due).event_gap, ns(gap));
    }

    /// Bytes read now that belong to no request's answer.
    pub fn aside(&mut self, now: Instant, bytes_in: u64) {
        self.part(now).bytes_in += bytes_in;
    }

    /// A request that was sent has failed.
    pub fn failed(&mut self, due: Instant, trouble: Trouble) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.refused(due, trouble, 1);
    }

    /// Requests failed before they were sent.
    pub fn refused(&mut self, due: Instant, trouble: Trouble, count: u64) {
        if count > 0 {
            let part = self.part(due);
            part.failed += count;
            *part.errors.entry(trouble).or_default() += count;
        }
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(due: u64, ended: u64) -> Done {
        Done { due: Instant(due), ended: Instant(ended), first_byte: None }
    }

    #[test]
    fn the_warm_up_is_left_out_even_of_answers_that_come_later() {
        let mut recorder = Recorder::new(Instant(1000));
        recorder.sent(Instant(900), Instant(900), 10, true);
        recorder.sent(Instant(1000), Instant(1000), 10, true);
        assert_eq!(recorder.cut(false).sent, 1, "a cut that comes late takes nothing of the measured time");
        recorder.answered(&done(900, 1100), 5);
        recorder.failed(Instant(1000), Trouble::Closed);
        let part = recorder.cut(true);
        assert_eq!((part.sent, part.answered, part.failed, part.latency.len()), (1, 0, 1, 0));
        assert_eq!((part.errors[&Trouble::Closed], recorder.in_flight()), (1, 0));
    }

    #[test]
    fn latency_counts_from_due_and_late_sends_are_told_apart() {
        let mut recorder = Recorder::new(Instant(0));
        for (sent, was_free) in [(1_000_000, true), (1_000_001, true), (5_000_000, false)] {
            recorder.sent(Instant(0), Instant(sent), 1, was_free);
            recorder.answered(&done(0, sent + 1_000_000), 1);
        }
        let part = recorder.cut(true);
        assert_eq!((part.late.by_client, part.late.by_connections, part.late.max_ns), (1, 1, 5_000_000));
        assert!(part.latency.max().abs_diff(6_000_000) < 6_000);
    }
}
