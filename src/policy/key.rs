//! Virtual keys, and how a token becomes a principal.
//!
//! The work of [`KeyRing::authenticate`] does not depend on how near a token came: one keyed digest, one search of a
//! fixed number of steps, one comparison in constant time (against a stand-in where the id is unknown), and only then
//! one branch. A miss, a near miss, an expired and a revoked key cost the same instructions.

use super::token::{Credential, Mac, Presented, nibble};
use crate::base::clock::WallTime;
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::{GrantId, KeyId};
use crate::catalog::Pattern;
use std::fmt;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeLess};
use zeroize::Zeroize;

/// The secret under which tokens are digested, so that a stolen key file alone opens nothing.
pub struct Pepper(aws_lc_rs::hmac::Key);

impl Pepper {
    /// Takes 32 random bytes and wipes them.
    pub fn new(bytes: &mut [u8; 32]) -> Self {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, bytes);
        bytes.zeroize();
        Self(key)
    }

    /// Reads 64 lower-case hex digits, as they are kept in the state directory.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self::new(&mut bytes))
    }

    /// HMAC-SHA256 (RFC 2104) over the whole text of a token.
    pub fn mac(&self, token: &Presented<'_>) -> Mac {
        self.digest(token.text())
    }

    fn digest(&self, text: &[u8]) -> Mac {
        let tag = aws_lc_rs::hmac::sign(&self.0, text);
        let mut mac = [0; 32];
        mac.copy_from_slice(tag.as_ref());
        Mac(mac)
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

/// A stored credential.
#[derive(Clone, Debug)]
pub struct VirtualKey {
    /// The public half of its token.
    pub id: KeyId,
    /// What people call it.
    pub name: Box<str>,
    /// The keyed digest of its token.
    pub mac: Mac,
    /// From this moment on it is no longer taken; nothing if it never expires.
    pub expires: Option<WallTime>,
    /// Whether it was revoked.
    pub revoked: bool,
    /// What it allows. Nothing allowed, nothing seen.
    pub allow: Vec<Pattern>,
}

/// Who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The key's id, or [`KeyId::ANONYMOUS`].
    pub key: KeyId,
    /// What the key may see, in the snapshot whose ring made this.
    pub grant: GrantId,
}

/// Why nobody could be made of a credential. For the log alone: the client is told 401 for every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No credential, and anonymous requests are not allowed.
    Missing,
    /// Not a token.
    Malformed,
    /// No such key, or another secret.
    Unknown,
    /// The key's time is over.
    Expired,
    /// The key was revoked.
    Revoked,
}

impl Refusal {
    /// The refusal's name in records, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// The one answer to every refusal.
    pub fn answer() -> Error {
        Error::new(Kind::Unauthorized, "no valid key: send \"Authorization: Bearer tg_…\"")
    }
}

/// A key of the ring with what it may see.
#[derive(Clone, Debug)]
pub struct KeyEntry {
    /// The key.
    pub key: VirtualKey,
    /// Its grant in this snapshot.
    pub grant: GrantId,
}

/// All keys of one snapshot.
#[derive(Debug)]
pub struct KeyRing {
    pepper: Pepper,
    /// Sorted by id.
    entries: Vec<KeyEntry>,
    /// The ids as numbers, in the order of `entries`, filled up to a power of two.
    ids: Vec<u128>,
    stand_in: Mac,
    anonymous: Option<GrantId>,
}

impl KeyRing {
    /// A ring of these keys. `anonymous` is what a request without any credential may see, where the configuration
    /// allows such requests at all (loopback listeners only).
    ///
    /// # Errors
    /// `Kind::Config` if two keys have the same id, or one has the reserved id `anonymous`.
    pub fn new(pepper: Pepper, mut entries: Vec<KeyEntry>, anonymous: Option<GrantId>) -> Result<Self> {
        entries.sort_by_key(|entry| number(entry.key.id));
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].key.id == pair[1].key.id) {
            let context = format!("two keys have the id {:?}: remove one", pair[0].key.id.as_str());
            return Err(Error::new(Kind::Config, context));
        }
        if entries.iter().any(|entry| entry.key.id == KeyId::ANONYMOUS) {
            return Err(Error::new(Kind::Config, "the key id \"anonymous\" is reserved: make a key with another"));
        }
        let mut ids: Vec<u128> = entries.iter().map(|entry| number(entry.key.id)).collect();
        ids.resize(ids.len().next_power_of_two(), u128::MAX);
        let stand_in = pepper.digest(b"nobody");
        Ok(Self { pepper, entries, ids, stand_in, anonymous })
    }

    /// All keys, by id.
    pub fn entries(&self) -> &[KeyEntry] {
        &self.entries
    }

    /// The key of an id.
    pub fn key(&self, id: KeyId) -> Option<&VirtualKey> {
        let at = self.entries.binary_search_by_key(&number(id), |entry| number(entry.key.id)).ok()?;
        Some(&self.entries[at].key)
    }

    /// The keyed digest of a token under this ring's pepper.
    pub fn mac(&self, token: &Presented<'_>) -> Mac {
        self.pepper.mac(token)
    }

    /// Who asks with this credential. A credential that is no valid key is never taken for an anonymous request.
    ///
    /// # Errors
    /// Why not, for the log; the client is told [`Refusal::answer`].
    pub fn authenticate(&self, credential: &Credential<'_>, now: WallTime) -> std::result::Result<Principal, Refusal> {
        match credential {
            Credential::None => {
                let anonymous = self.anonymous.map(|grant| Principal { key: KeyId::ANONYMOUS, grant });
                anonymous.ok_or(Refusal::Missing)
            }
            Credential::Malformed => Err(Refusal::Malformed),
            Credential::Token(token) => self.check(token, now),
        }
    }

    fn check(&self, token: &Presented<'_>, now: WallTime) -> std::result::Result<Principal, Refusal> {
        let mac = self.pepper.mac(token);
        let id = number(token.id());
        let at = self.place(id);
        let entry = self.entries.get(at);
        let found = Choice::from(u8::from(self.ids[at] == id));
        let (stored, expires, revoked, grant) = match entry {
            Some(entry) => (entry.key.mac, entry.key.expires, entry.key.revoked, entry.grant),
            None => (self.stand_in, None, false, GrantId(0)),
        };
        let same = mac.0.ct_eq(&stored.0) & found;
        let alive = now.0.ct_lt(&expires.map_or(u64::MAX, |at| at.0));
        let revoked = Choice::from(u8::from(revoked));
        let mut outcome = UNKNOWN;
        outcome.conditional_assign(&EXPIRED, same & !alive);
        outcome.conditional_assign(&REVOKED, same & revoked);
        outcome.conditional_assign(&WELCOME, same & alive & !revoked);
        match outcome {
            WELCOME => Ok(Principal { key: token.id(), grant }),
            REVOKED => Err(Refusal::Revoked),
            EXPIRED => Err(Refusal::Expired),
            _ => Err(Refusal::Unknown),
        }
    }

    /// The place of the greatest id that is not above `id`, or 0: halves the table a fixed number of times.
    fn place(&self, id: u128) -> usize {
        let mut base = 0;
        let mut half = self.ids.len() / 2;
        while half > 0 {
            base += half * usize::from(self.ids[base + half] <= id);
            half /= 2;
        }
        base
    }
}

const UNKNOWN: u8 = 0;
const EXPIRED: u8 = 1;
const REVOKED: u8 = 2;
const WELCOME: u8 = 3;

/// An id as a number that sorts as its text does.
fn number(id: KeyId) -> u128 {
    let mut bytes = [0; 16];
    let text = id.as_str().as_bytes();
    bytes[..text.len()].copy_from_slice(text);
    u128::from_be_bytes(bytes)
}
