//! Which era a server speaks, as far as we know: the verdict of a probe, kept until it goes stale.
//!
//! A modern verdict that is wrong fails loudly and is dropped then. A legacy verdict goes stale in silence, for an
//! upgraded server still answers `initialize`: it expires. An outage or a refused credential is no evidence.

use crate::base::clock::{Clock, Instant};
use crate::base::limits::LEGACY_VERDICT_MS;
use crate::mcp::revision::Era;
use crate::upstream::spec::EraSetting;
use std::cell::Cell;
use std::time::Duration;

/// What a probe found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The era to speak.
    pub era: Era,
    /// Whether a legacy HTTP server gave out a session id: calls then belong to the session's home shard.
    pub stateful: bool,
    /// Whether a modern server takes `initialize` too: legacy clients then reach it in their own era, in which it may
    /// do what it cannot do in the other (docs/protocol.md 3). Nothing while no legacy client has called it.
    pub dual: Option<bool>,
}

impl Verdict {
    /// A server without handshake.
    pub const MODERN: Self = Self { era: Era::Modern, stateful: false, dual: None };

    /// A server that wants `initialize`.
    pub fn legacy(stateful: bool) -> Self {
        Self { era: Era::Legacy, stateful, dual: None }
    }

    /// A server that is modern, and wants `initialize` of those who are not.
    pub fn dual(stateful: bool) -> Self {
        Self { era: Era::Modern, stateful, dual: Some(true) }
    }

    /// A server that is modern, and nothing else.
    pub const MODERN_ALONE: Self = Self { era: Era::Modern, stateful: false, dual: Some(false) };

    /// Whether it is still to be found out if a client of this era can be served in it.
    pub fn leaves_open(self, client: Era) -> bool {
        self.era == Era::Modern && client == Era::Legacy && self.dual.is_none()
    }

    /// The era to speak for a client of this era.
    pub fn serving(self, client: Era) -> Era {
        if self.dual == Some(true) { client } else { self.era }
    }

    /// Whether such a client's calls belong to a session with a home.
    pub fn stateful_for(self, client: Era) -> bool {
        // Who finds out that it takes `initialize` opens a session, which only its home shall hold.
        self.leaves_open(client) || self.stateful && self.serving(client) == Era::Legacy
    }
}

/// The verdict on one server that one shard holds.
pub struct Leg {
    setting: EraSetting,
    known: Cell<Option<(Verdict, Instant)>>,
}

impl Leg {
    /// Nothing is known yet beyond the setting.
    pub fn new(setting: EraSetting) -> Self {
        Self { setting, known: Cell::new(None) }
    }

    /// The verdict, unless it was never made or has gone stale.
    pub fn known(&self) -> Option<Verdict> {
        let (verdict, at) = self.known.get()?;
        let age = Clock::recent().since(at);
        let stale = verdict.era == Era::Legacy && age >= Duration::from_millis(LEGACY_VERDICT_MS);
        if stale && self.setting == EraSetting::Auto {
            self.known.set(None);
            return None;
        }
        Some(verdict)
    }

    /// The era to speak without asking: as set, or as known. Nothing means that a probe is due.
    pub fn era(&self) -> Option<Era> {
        match self.setting {
            EraSetting::Modern => Some(Era::Modern),
            EraSetting::Legacy | EraSetting::Sse => Some(Era::Legacy),
            EraSetting::Auto => self.known().map(|verdict| verdict.era),
        }
    }

    /// The era to speak for a client of this era; nothing means that a probe is due.
    pub fn era_for(&self, client: Era) -> Option<Era> {
        match self.setting {
            EraSetting::Auto => self.known().map(|verdict| verdict.serving(client)),
            _ => self.era(),
        }
    }

    /// Takes a verdict in, from a probe here or at the home shard. A repeated one does not live longer for it.
    pub fn learn(&self, verdict: Verdict) {
        let since = match self.known() {
            Some(known) if known.era == verdict.era => self.known.get().map(|(_, at)| at),
            _ => None,
        };
        self.known.set(Some((verdict, since.unwrap_or_else(Clock::now))));
    }

    /// The verdict on a server that has just been found modern: what is known of its other leg stays.
    pub fn found_modern(&self) -> Verdict {
        let verdict = self.known().filter(|known| known.era == Era::Modern).unwrap_or(Verdict::MODERN);
        self.learn(verdict);
        verdict
    }

    /// Drops the verdict: what the server did does not fit it.
    pub fn forget(&self) {
        self.known.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::WallTime;

    fn at(ms: u64) {
        Clock::simulate(Instant(ms * 1_000_000), WallTime(0));
    }

    #[test]
    fn a_legacy_verdict_expires_and_repeating_it_does_not_help() {
        at(0);
        let leg = Leg::new(EraSetting::Auto);
        assert_eq!(leg.era(), None);
        leg.learn(Verdict::legacy(false));
        at(LEGACY_VERDICT_MS - 1);
        leg.learn(Verdict::legacy(true));
        assert_eq!(leg.known(), Some(Verdict::legacy(true)));
        at(LEGACY_VERDICT_MS);
        assert_eq!(leg.era(), None);
        leg.learn(Verdict::MODERN);
        at(LEGACY_VERDICT_MS * 9);
        assert_eq!(leg.era(), Some(Era::Modern));
        leg.forget();
        assert_eq!(leg.era(), None);
        Clock::end_simulation();
    }

    #[test]
    fn the_setting_outranks_what_was_learned() {
        let leg = Leg::new(EraSetting::Legacy);
        assert_eq!(leg.era(), Some(Era::Legacy));
        leg.learn(Verdict::MODERN);
        assert_eq!(leg.era(), Some(Era::Legacy));
    }
}
