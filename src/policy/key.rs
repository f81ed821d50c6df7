//! Virtual keys, and how a token becomes a principal.
//!
//! The work of [`KeyRing::authenticate`] does not depend on how near a token came: one keyed digest, one slot looked
//! at, one comparison in constant time (against another digest where the id is unknown), and the answer picked from a
//! list. A miss and a near miss cost the same instructions (callgrind).

use super::limits::ChainId;
use super::meter::Allowance;
use super::pepper::Pepper;
use super::slots::{Slot, Slots};
use super::token::{Credential, Mac, Presented};
use super::tree::Team;
use crate::base::clock::WallTime;
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::{GrantId, KeyId};
use crate::catalog::Rights;
use std::sync::Arc;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeLess};

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
    /// What it allows. Nothing allowed, nothing seen. Keys with the same rights share them.
    pub rights: Arc<Rights>,
    /// The team it belongs to, if any.
    pub team: Option<Arc<Team>>,
    /// What it may do by itself; nothing where nothing is limited.
    pub allowance: Option<Arc<Allowance>>,
}

/// Who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The key's id, or [`KeyId::ANONYMOUS`].
    pub key: KeyId,
    /// What the key may see, in the snapshot whose ring made this.
    pub grant: GrantId,
    /// Whether meters of its own, its team or its customer stand in its way: [`KeyRing::chain`].
    pub metered: bool,
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
    /// Its meters in this snapshot.
    pub chain: Option<ChainId>,
}

/// What a request without a credential may do, where the configuration allows such requests at all.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous {
    /// What it may see.
    pub grant: GrantId,
    /// The meters in its way.
    pub chain: Option<ChainId>,
}

impl Anonymous {
    fn principal(self) -> Principal {
        Principal { key: KeyId::ANONYMOUS, grant: self.grant, metered: self.chain.is_some() }
    }
}

/// All keys of one snapshot.
#[derive(Clone, Debug)]
pub struct KeyRing {
    pepper: Pepper,
    /// Sorted by id.
    entries: Arc<[KeyEntry]>,
    /// What a request needs to know of each.
    slots: Slots,
    anonymous: Option<Anonymous>,
}

impl KeyRing {
    /// A ring of these keys. `anonymous` is what a request without any credential may see, where the configuration
    /// allows such requests at all (loopback listeners only).
    ///
    /// # Errors
    /// `Kind::Config` if two keys have the same id, or one has the reserved id `anonymous`.
    pub fn new(pepper: Pepper, mut entries: Vec<KeyEntry>, anonymous: Option<Anonymous>) -> Result<Self> {
        entries.sort_by_key(|entry| number(entry.key.id));
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].key.id == pair[1].key.id) {
            let context = format!("two keys have the id {:?}: remove one", pair[0].key.id.as_str());
            return Err(Error::new(Kind::Config, context));
        }
        if entries.iter().any(|entry| entry.key.id == KeyId::ANONYMOUS) {
            return Err(Error::new(Kind::Config, "the key id \"anonymous\" is reserved: make a key with another"));
        }
        let slots = Slots::new(&entries, pepper.digest(b"nobody"));
        Ok(Self { pepper, entries: entries.into(), slots, anonymous })
    }

    /// The same keys, where these are revoked too. All else is shared: one copy of the slots, whatever is revoked.
    #[must_use]
    pub fn revoking(&self, ids: impl IntoIterator<Item = KeyId>) -> Self {
        let slots = self.slots.revoking(ids.into_iter().map(number));
        Self { slots, ..self.clone() }
    }

    /// All keys, by id.
    pub fn entries(&self) -> &[KeyEntry] {
        &self.entries
    }

    /// The key of an id.
    pub fn key(&self, id: KeyId) -> Option<&VirtualKey> {
        self.entry(id).map(|entry| &entry.key)
    }

    /// The key of an id, with what it may see.
    pub fn entry(&self, id: KeyId) -> Option<&KeyEntry> {
        let at = self.entries.binary_search_by_key(&number(id), |entry| number(entry.key.id)).ok()?;
        Some(&self.entries[at])
    }

    /// What a request without a credential may do, where such requests are taken.
    pub fn anonymous(&self) -> Option<Anonymous> {
        self.anonymous
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
            Credential::None => self.anonymous.map(Anonymous::principal).ok_or(Refusal::Missing),
            Credential::Malformed => Err(Refusal::Malformed),
            Credential::Token(token) => self.check(token, now),
        }
    }

    /// Who a key that was authenticated before stands for in this ring; nothing once it is no longer valid. For streams
    /// that outlive a snapshot: no secret is looked at.
    pub fn standing(&self, id: KeyId, now: WallTime) -> Option<Principal> {
        if id == KeyId::ANONYMOUS {
            return self.anonymous.map(Anonymous::principal);
        }
        let slot = self.slots.of(number(id));
        let alive = slot.id == number(id) && !slot.revoked && now < slot.expires;
        alive.then_some(Principal { key: id, grant: slot.grant, metered: slot.metered })
    }

    /// As [`Self::standing`], with the reason where nobody stands there: for those who explain.
    ///
    /// # Errors
    /// Why a request with this key would be refused.
    pub fn stands(&self, id: KeyId, now: WallTime) -> std::result::Result<Principal, Refusal> {
        self.standing(id, now).ok_or_else(|| match self.key(id) {
            None if id == KeyId::ANONYMOUS => Refusal::Missing,
            None => Refusal::Unknown,
            Some(_) if self.slots.of(number(id)).revoked => Refusal::Revoked,
            Some(_) => Refusal::Expired,
        })
    }

    /// The meters in a principal's way.
    pub fn chain(&self, principal: &Principal) -> Option<ChainId> {
        match principal {
            Principal { metered: false, .. } => None,
            Principal { key: KeyId::ANONYMOUS, .. } => self.anonymous.and_then(|anonymous| anonymous.chain),
            Principal { key, .. } => self.slots.chain(number(*key)),
        }
    }

    fn check(&self, token: &Presented<'_>, now: WallTime) -> std::result::Result<Principal, Refusal> {
        let mac = self.pepper.mac(token);
        let id = number(token.id());
        let Slot { id: held, mac: stored, expires, grant, revoked, metered } = *self.slots.of(id);
        let same = mac.0.ct_eq(&stored.0) & Choice::from(u8::from(held == id));
        let alive = now.0.ct_lt(&expires.0);
        let revoked = Choice::from(u8::from(revoked));
        let mut outcome = UNKNOWN;
        outcome.conditional_assign(&EXPIRED, same & !alive);
        outcome.conditional_assign(&REVOKED, same & revoked);
        outcome.conditional_assign(&WELCOME, same & alive & !revoked);
        let welcome = Ok(Principal { key: token.id(), grant, metered });
        let answers = [Err(Refusal::Unknown), Err(Refusal::Expired), Err(Refusal::Revoked), welcome];
        answers[usize::from(outcome)]
    }
}

/// Outcomes of a check, as places in its list of answers.
const UNKNOWN: u8 = 0;
const EXPIRED: u8 = 1;
const REVOKED: u8 = 2;
const WELCOME: u8 = 3;

/// An id as a number that sorts as its text does.
pub(super) fn number(id: KeyId) -> u128 {
    let mut bytes = [0; 16];
    let text = id.as_str().as_bytes();
    bytes[..text.len()].copy_from_slice(text);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::Token;
    use super::*;

    const NOW: WallTime = WallTime(1_000);

    fn token(seed: u8) -> Token {
        Token::from_entropy(&mut [seed; Token::ENTROPY])
    }

    fn pepper() -> Pepper {
        Pepper::new(&mut [7; 32])
    }

    fn entry(token: &Token, expires: Option<u64>, revoked: bool) -> KeyEntry {
        let mac = pepper().mac(&token.presented());
        let expires = expires.map(WallTime);
        let key = VirtualKey {
            id: token.id(),
            name: "k".into(),
            mac,
            expires,
            revoked,
            rights: Arc::default(),
            team: None,
            allowance: None,
        };
        KeyEntry { key, grant: GrantId(token.presented().text()[3].into()), chain: None }
    }

    fn ask(ring: &KeyRing, text: &str) -> std::result::Result<Principal, Refusal> {
        let credential = Presented::parse(text).map_or(Credential::Malformed, Credential::Token);
        ring.authenticate(&credential, NOW)
    }

    #[test]
    fn every_key_of_a_ring_is_found_whatever_its_size() {
        for count in 0..32u8 {
            let tokens: Vec<_> = (0..count).map(token).collect();
            let entries = tokens.iter().rev().map(|token| entry(token, None, false)).collect();
            let ring = KeyRing::new(pepper(), entries, None).unwrap();
            for token in &tokens {
                let principal = ask(&ring, token.reveal()).unwrap();
                assert_eq!((principal.key, principal.grant), (token.id(), entry(token, None, false).grant));
                assert_eq!(ring.key(token.id()).unwrap().id, token.id());
            }
            assert_eq!(ask(&ring, token(count).reveal()), Err(Refusal::Unknown));
            assert!(ring.key(token(count).id()).is_none());
        }
    }

    #[test]
    fn a_right_id_with_any_wrong_secret_is_unknown() {
        let held = token(3);
        let ring = KeyRing::new(pepper(), vec![entry(&held, Some(5), true)], None).unwrap();
        for at in 16..67 {
            let mut text = held.reveal().to_owned();
            let other = if &text[at..=at] == "a" { "b" } else { "a" };
            text.replace_range(at..=at, other);
            assert_eq!(ask(&ring, &text), Err(Refusal::Unknown), "{at}");
        }
    }

    #[test]
    fn expiry_and_revocation_end_a_key() {
        let (past, exact, future, revoked) = (token(1), token(2), token(3), token(4));
        let entries = vec![
            entry(&past, Some(999), false),
            entry(&exact, Some(1_000), false),
            entry(&future, Some(1_001), false),
            entry(&revoked, None, true),
        ];
        let ring = KeyRing::new(pepper(), entries, None).unwrap();
        assert_eq!(ask(&ring, past.reveal()), Err(Refusal::Expired));
        assert_eq!(ask(&ring, exact.reveal()), Err(Refusal::Expired));
        assert!(ask(&ring, future.reveal()).is_ok());
        assert_eq!(ask(&ring, revoked.reveal()), Err(Refusal::Revoked));
        assert_eq!(Refusal::answer().kind.http_status(), 401);
    }

    #[test]
    fn another_pepper_opens_nothing() {
        let held = token(3);
        let ring = KeyRing::new(Pepper::new(&mut [8; 32]), vec![entry(&held, None, false)], None).unwrap();
        assert_eq!(ask(&ring, held.reveal()), Err(Refusal::Unknown));
    }

    #[test]
    fn nobody_is_anonymous_unless_configured_and_a_bad_key_never_is() {
        let closed = KeyRing::new(pepper(), Vec::new(), None).unwrap();
        assert_eq!(closed.authenticate(&Credential::None, NOW), Err(Refusal::Missing));
        let known = Anonymous { grant: GrantId(9), chain: None };
        let open = KeyRing::new(pepper(), Vec::new(), Some(known)).unwrap();
        let anonymous = Principal { key: KeyId::ANONYMOUS, grant: GrantId(9), metered: false };
        assert_eq!(open.authenticate(&Credential::None, NOW), Ok(anonymous));
        assert_eq!(ask(&open, "nonsense"), Err(Refusal::Malformed));
        assert_eq!(ask(&open, token(1).reveal()), Err(Refusal::Unknown));
    }

    #[test]
    fn a_ring_refuses_keys_that_share_an_id_or_take_the_reserved_one() {
        let twin = entry(&token(1), None, false);
        let error = KeyRing::new(pepper(), vec![twin.clone(), twin.clone()], None).unwrap_err();
        assert!(error.context.starts_with("two keys have the id"), "{error}");
        let mut reserved = twin;
        reserved.key.id = KeyId::ANONYMOUS;
        assert!(KeyRing::new(pepper(), vec![reserved], None).is_err());
    }

    #[test]
    fn no_debug_form_shows_a_secret() {
        let held = token(3);
        let ring = KeyRing::new(pepper(), vec![entry(&held, None, false)], None).unwrap();
        let shown = format!("{ring:?} {held:?} {:?}", Credential::Token(held.presented()));
        assert!(!shown.contains(&held.reveal()[16..]) && !shown.contains(&ring.entries()[0].key.mac.to_hex()));
        assert!(!shown.contains("[7, 7") && shown.contains(held.id().as_str()));
    }
}
