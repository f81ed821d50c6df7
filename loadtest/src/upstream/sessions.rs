//! Legacy sessions of all threads, without a lock: which numbers are alive.

use std::sync::atomic::{AtomicU64, Ordering};

/// Sessions alive at once; a further one takes the place of the one that is so many sessions older.
const SESSIONS_MAX: usize = 1 << 16;
/// What stands before a session's number in its id.
const PREFIX: &[u8] = b"session-";

/// The sessions of a server.
#[derive(Debug)]
pub(super) struct Sessions {
    opened: AtomicU64,
    /// The number that is alive at its place (number modulo length); 0: none.
    alive: Box<[AtomicU64]>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { opened: AtomicU64::new(0), alive: (0..SESSIONS_MAX).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Sessions {
    /// Opens one and gives its id.
    pub(super) fn open(&self) -> String {
        let number = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        self.place(number).store(number, Ordering::Relaxed);
        format!("{}{number}", String::from_utf8_lossy(PREFIX))
    }

    /// Whether an id is a living session's.
    pub(super) fn is_alive(&self, id: &[u8]) -> bool {
        number(id).is_some_and(|number| self.place(number).load(Ordering::Relaxed) == number)
    }

    /// Ends one; whether there was such a session.
    pub(super) fn end(&self, id: &[u8]) -> bool {
        let ends =
            |number| self.place(number).compare_exchange(number, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        number(id).is_some_and(ends)
    }

    fn place(&self, number: u64) -> &AtomicU64 {
        #[allow(clippy::cast_possible_truncation, reason = "only the low bits count")]
        &self.alive[number as usize % SESSIONS_MAX]
    }
}

/// The number in an id; never 0.
fn number(id: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(id.strip_prefix(PREFIX)?).ok()?;
    digits.parse().ok().filter(|&number| number != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lives_until_it_is_ended() {
        let sessions = Sessions::default();
        let (a, b) = (sessions.open(), sessions.open());
        assert_ne!(a, b);
        assert!(sessions.is_alive(a.as_bytes()) && sessions.is_alive(b.as_bytes()));
        assert!(sessions.end(a.as_bytes()) && !sessions.end(a.as_bytes()) && !sessions.is_alive(a.as_bytes()));
        assert!(sessions.is_alive(b.as_bytes()));
        for stranger in ["", "session-", "session-0", "session-3", "session-x", "other"] {
            assert!(!sessions.is_alive(stranger.as_bytes()), "{stranger}");
        }
    }
}
