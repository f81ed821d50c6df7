//! A ring of many keys, and callers all over it who each present a token.

use tollgate::base::clock::WallTime;
use tollgate::base::ids::GrantId;
use tollgate::policy::{Credential, KeyEntry, KeyRing, Mac, Pepper, Presented, Token, VirtualKey};

/// Numbers of keys a look-up is measured at, with their names.
pub(crate) const COUNTS: [(&str, usize); 2] = [("1k", 1_000), ("100k", 100_000)];
/// Callers who take turns, so that the wall time of a big ring has its misses in the processor's caches.
const CALLERS: usize = 500;
const NOW: WallTime = WallTime(1_000);

/// The ring with its callers.
pub(crate) struct Keys {
    ring: KeyRing,
    callers: Vec<Token>,
}

impl Keys {
    /// A ring of `count` keys; the digests of keys that nobody presents are made up.
    pub(crate) fn new(count: usize) -> Self {
        let pepper = Pepper::new(&mut [7; 32]);
        let nobody = Mac::from_hex(&"5a".repeat(32)).expect("64 digits");
        let mut callers = Vec::with_capacity(CALLERS);
        let mut entries = Vec::with_capacity(count);
        for number in 0..count {
            let token = token(number);
            let calls = number % (count / CALLERS) == 0;
            let mac = if calls { pepper.mac(&token.presented()) } else { nobody };
            entries.push(entry(&token, mac));
            callers.extend(calls.then_some(token));
        }
        Self { ring: KeyRing::new(pepper, entries, None).expect("ids differ"), callers }
    }

    /// Reads the token of the caller whose turn it is and finds out who that is.
    pub(crate) fn look_up(&self, turn: usize) -> GrantId {
        let text = self.callers[turn % self.callers.len()].reveal();
        let token = Presented::parse(text).expect("the token has its shape");
        self.ring.authenticate(&Credential::Token(token), NOW).expect("the key is valid").grant
    }
}

/// The token of a number, spread over all ids by a multiplication.
fn token(number: usize) -> Token {
    let spread = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut entropy = [0; Token::ENTROPY];
    for (at, byte) in entropy.iter_mut().enumerate() {
        *byte = spread.rotate_left(5 * u32::try_from(at).expect("44 bytes")).to_le_bytes()[0];
    }
    Token::from_entropy(&mut entropy)
}

fn entry(token: &Token, mac: Mac) -> KeyEntry {
    let key = VirtualKey { id: token.id(), name: "agent".into(), mac, expires: None, revoked: false, allow: [].into() };
    KeyEntry { key, grant: GrantId(0) }
}
