//! A stdio server's standard error, brought into our log: cut, escaped, and slowed down where it floods.

use crate::base::clock::{Clock, Instant};
use crate::base::limits::STDERR_LINE_MAX;
use crate::rt::child::PipeReader;
use crate::upstream::incoming::printable;
use crate::upstream::stdio::lines::{CutLines, Turns};
use std::time::Duration;

/// Lines logged in each second; what is beyond is counted, not logged.
const LINES_PER_SECOND_MAX: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

/// Owns standard error until its end.
pub(super) async fn log(server: Box<str>, mut stderr: PipeReader) {
    let mut lines = CutLines::new(STDERR_LINE_MAX);
    let (mut pace, mut turns) = (Pace::new(), Turns::default());
    let mut buf = Vec::with_capacity(4096);
    loop {
        let Some(count) = stderr.read(&mut buf).await.ok().filter(|count| *count > 0) else { break };
        turns.took(count).await;
        lines.push(&buf, |line| pace.log(&server, line));
        buf.clear();
    }
    lines.flush(|line| pace.log(&server, line));
}

/// How much of a flood reaches the log.
struct Pace {
    since: Instant,
    logged: u32,
    passed_over: u64,
}

impl Pace {
    fn new() -> Self {
        Self { since: Clock::now(), logged: 0, passed_over: 0 }
    }

    fn log(&mut self, server: &str, line: &str) {
        if !self.admit() {
            return;
        }
        let passed_over = std::mem::take(&mut self.passed_over);
        if passed_over > 0 {
            tracing::warn!(target: "tollgate::server", server, passed_over, "the server's stderr floods the log");
        }
        tracing::info!(target: "tollgate::server", server, "{}", printable(line, STDERR_LINE_MAX));
    }

    fn admit(&mut self) -> bool {
        let now = Clock::now();
        if now.since(self.since) >= SECOND {
            (self.since, self.logged) = (now, 0);
        }
        self.logged += 1;
        let admitted = self.logged <= LINES_PER_SECOND_MAX;
        self.passed_over += u64::from(!admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::WallTime;

    #[test]
    fn a_flood_is_counted_instead_of_logged() {
        Clock::simulate(Instant(0), WallTime(0));
        let mut pace = Pace::new();
        let admitted = (0..1000).filter(|_| pace.admit()).count();
        assert_eq!((admitted, pace.passed_over), (100, 900));
        Clock::simulate(Instant(1_000_000_000), WallTime(0));
        assert!(pace.admit());
        Clock::end_simulation();
    }
}
