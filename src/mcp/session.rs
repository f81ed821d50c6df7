//! The sealed state that a legacy session id is.
//!
//! AES-256-GCM over a few dozen bytes, base64url: every shard can open it, nothing is looked up, and nobody but the
//! gate can read or make one. It is bound to the key that opened it and is never itself a credential.

use super::meta::ClientCaps;
use super::revision::Revision;
use crate::base::clock::WallTime;
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::KeyId;
use crate::base::limits::{CLIENT_INFO_MAX, SESSION_ID_MAX, SESSION_TTL_S};
use crate::rt::random;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What the seal also covers, so that no other sealed thing of ours opens as a session.
const PURPOSE: &[u8] = b"tollgate legacy session 1";
/// Longest plain state: key, revision, capabilities, creation, id, client name and version with a length each.
const STATE_MAX: usize = 17 + 1 + 1 + 8 + 16 + 2 * (1 + CLIENT_INFO_MAX);
const TAG_LEN: usize = 16;

const _: () = assert!((NONCE_LEN + STATE_MAX + TAG_LEN) * 4 / 3 + 4 <= SESSION_ID_MAX);
const _: () = assert!(CLIENT_INFO_MAX <= u8::MAX as usize);

/// A legacy session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The key that opened it, the only one it serves.
    pub key: KeyId,
    /// The revision negotiated.
    pub revision: Revision,
    /// The client's name, up to `CLIENT_INFO_MAX` bytes.
    pub client_name: Box<str>,
    /// The client's version, up to `CLIENT_INFO_MAX` bytes.
    pub client_version: Box<str>,
    /// What the client declared it can do.
    pub caps: ClientCaps,
    /// When it was opened.
    pub created: WallTime,
    /// 128 random bits that tell it from every other.
    pub id: [u8; 16],
}

/// The key that seals and opens session ids.
#[derive(Debug)]
pub struct Sealing {
    key: LessSafeKey,
}

impl Sealing {
    /// From 32 secret random bytes, the same on every shard.
    pub fn new(secret: &[u8; 32]) -> Self {
        let key = crate::invariant!(UnboundKey::new(&AES_256_GCM, secret), "AES-256 takes any 32 bytes as key");
        Self { key: LessSafeKey::new(key) }
    }
}

/// The session id of a session: base64url, at most `SESSION_ID_MAX` characters.
pub fn seal(sealing: &Sealing, session: &Session) -> String {
    let mut nonce = [0; NONCE_LEN];
    random::fill(&mut nonce);
    let mut state = encode(session);
    let sealed =
        sealing.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(PURPOSE), &mut state);
    crate::invariant!(sealed, "AES-GCM seals any text of a few hundred bytes");
    URL_SAFE_NO_PAD.encode([&nonce[..], &state].concat())
}

/// Opens a session id presented under a key.
///
/// # Errors
/// `Kind::SessionNotFound`, one answer for all: not ours, altered, another key's, older than `SESSION_TTL_S`.
pub fn open(sealing: &Sealing, text: &str, key: &KeyId, now: WallTime) -> Result<Session> {
    let session = unseal(sealing, text).filter(|session| session.key == *key && is_alive(session, now));
    session.ok_or_else(|| Error::new(Kind::SessionNotFound, "session not found or ended; send initialize"))
}

fn is_alive(session: &Session, now: WallTime) -> bool {
    now.0.saturating_sub(session.created.0) < SESSION_TTL_S * 1000
}

fn unseal(sealing: &Sealing, text: &str) -> Option<Session> {
    if text.len() > SESSION_ID_MAX {
        return None;
    }
    let mut sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (nonce, state) = sealed.split_first_chunk_mut::<NONCE_LEN>()?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let state = sealing.key.open_in_place(nonce, Aad::from(PURPOSE), state).ok()?;
    decode(state)
}

fn encode(session: &Session) -> Vec<u8> {
    let mut out = Vec::with_capacity(STATE_MAX + TAG_LEN);
    put_text(&mut out, session.key.as_str());
    out.push(session.revision as u8);
    out.push(session.caps.0);
    out.extend_from_slice(&session.created.0.to_le_bytes());
    out.extend_from_slice(&session.id);
    put_text(&mut out, super::meta::cut(&session.client_name));
    put_text(&mut out, super::meta::cut(&session.client_version));
    out
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(crate::invariant!(u8::try_from(text.len()), "key ids and cut client texts are shorter than 256 bytes"));
    out.extend_from_slice(text.as_bytes());
}

fn decode(mut state: &[u8]) -> Option<Session> {
    let state = &mut state;
    let key = KeyId::parse(take_text(state)?)?;
    let [revision, caps] = *take(state)?;
    let created = WallTime(u64::from_le_bytes(*take(state)?));
    let id = *take(state)?;
    let (client_name, client_version) = (take_text(state)?.into(), take_text(state)?.into());
    let revision = *Revision::ALL.get(usize::from(revision))?;
    Some(Session { key, revision, client_name, client_version, caps: ClientCaps(caps), created, id })
}

fn take<'a, const N: usize>(state: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = state.split_first_chunk::<N>()?;
    *state = rest;
    Some(taken)
}

fn take_text<'a>(state: &mut &'a [u8]) -> Option<&'a str> {
    let [len] = *take(state)?;
    let (text, rest) = state.split_at_checked(usize::from(len))?;
    *state = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &str) -> Session {
        let key = KeyId::parse("k1").unwrap();
        Session {
            key,
            revision: Revision::V2025_06_18,
            client_name: name.into(),
            client_version: "1.0".into(),
            caps: ClientCaps(ClientCaps::SAMPLING),
            created: WallTime(1_000_000),
            id: [7; 16],
        }
    }

    fn code(result: Result<Session>) -> Kind {
        result.unwrap_err().kind
    }

    #[test]
    fn what_was_sealed_opens_for_its_key_until_it_is_too_old() {
        let sealing = Sealing::new(&[1; 32]);
        let session = session("codex ✓");
        let text = seal(&sealing, &session);
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(open(&sealing, &text, &session.key, WallTime(1_000_001)).as_ref(), Ok(&session));
        let other = KeyId::parse("k2").unwrap();
        assert_eq!(code(open(&sealing, &text, &other, WallTime(1_000_001))), Kind::SessionNotFound);
        let late = WallTime(1_000_000 + SESSION_TTL_S * 1000);
        assert_eq!(code(open(&sealing, &text, &session.key, late)), Kind::SessionNotFound);
        let foreign = Sealing::new(&[2; 32]);
        assert_eq!(code(open(&foreign, &text, &session.key, WallTime(0))), Kind::SessionNotFound);
        assert_ne!(seal(&sealing, &session), text, "a nonce is used once");
    }

    #[test]
    fn every_altered_character_is_noticed() {
        let sealing = Sealing::new(&[1; 32]);
        let session = session("n");
        let text = seal(&sealing, &session);
        for at in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(open(&sealing, &altered, &session.key, WallTime(0)).is_err(), "{at}");
        }
        for bad in ["", "A", "====", &text[1..], &(text.clone() + "AAAA"), &"A".repeat(SESSION_ID_MAX + 1)] {
            assert!(open(&sealing, bad, &session.key, WallTime(0)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_longest_state_fits_and_longer_texts_are_cut() {
        let sealing = Sealing::new(&[1; 32]);
        let mut longest = session(&"n".repeat(1000));
        longest.client_version = "v".repeat(1000).into();
        longest.key = KeyId::parse("0123456789abcdef").unwrap();
        let text = seal(&sealing, &longest);
        assert!(text.len() <= SESSION_ID_MAX);
        let opened = open(&sealing, &text, &longest.key, WallTime(1_000_000)).unwrap();
        assert_eq!(opened.client_name.len(), CLIENT_INFO_MAX);
        assert_eq!(encode(&opened).len(), STATE_MAX);
    }

    #[test]
    fn any_text_is_refused_without_panic() {
        let sealing = Sealing::new(&[1; 32]);
        bolero::check!().with_type::<(String, Vec<u8>)>().for_each(|(text, state)| {
            assert!(open(&sealing, text, &KeyId::ANONYMOUS, WallTime(0)).is_err());
            let _ = decode(state);
        });
    }
}
