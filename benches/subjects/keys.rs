//! A ring of many keys, and callers all over it who each present a token.

use tollgate::base::clock::WallTime;
use tollgate::base::ids::{GrantId, KeyId};
use tollgate::policy::{Credential, KeyEntry, KeyRing, Mac, Pepper, Presented, Token, VirtualKey};

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
            if number % (count / CALLERS) == 0 {
                let token = token(number);
                entries.push(entry(token.id(), pepper.mac(&token.presented())));
                callers.push(token);
            } else {
                entries.push(entry(stranger(number), nobody));
            }
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

/// A number's bits spread over a word, so that ids come in no order.
fn spread(number: usize) -> u64 {
    (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn token(number: usize) -> Token {
    let mut entropy = [0; Token::ENTROPY];
    for (at, bytes) in entropy.chunks_mut(8).enumerate() {
        bytes.copy_from_slice(&spread(number + at).to_le_bytes()[..bytes.len()]);
    }
    Token::from_entropy(&mut entropy)
}

/// The id of a key that nobody presents: cheaper to make than a token, of which callgrind is slow to make 100,000.
fn stranger(number: usize) -> KeyId {
    let bits = spread(number);
    let letters: [u8; 12] = std::array::from_fn(|at| b'a' + ((bits >> (5 * at + 4)).to_le_bytes()[0] & 15));
    KeyId::parse(std::str::from_utf8(&letters).expect("letters")).expect("an id")
}

fn entry(id: KeyId, mac: Mac) -> KeyEntry {
    let (name, rights) = ("agent".into(), Default::default());
    let key = VirtualKey { id, name, mac, expires: None, revoked: false, rights, team: None, allowance: None };
    KeyEntry { key, grant: GrantId(0), chain: None }
}
