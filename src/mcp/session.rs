//! The sealed state that a legacy session id is.
//!
//! A few dozen bytes under the gate's seal (`seal.rs`): every shard can open it, nothing is looked up. It is bound to
//! the key that opened it and is never itself a credential.

use super::caps::ClientCaps;
use super::revision::Revision;
pub use super::seal::Sealing;
use super::seal::{Purpose, Reader, Writer, sealed_len};
use crate::base::clock::WallTime;
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::KeyId;
use crate::base::limits::{CLIENT_INFO_MAX, SESSION_ID_MAX, SESSION_TTL_S};

/// Longest plain state: key, revision, capabilities, creation, id, client name and version with a length each.
const STATE_MAX: usize = 17 + 1 + 2 + 8 + 16 + 2 * (1 + CLIENT_INFO_MAX);

const _: () = assert!(sealed_len(STATE_MAX) <= SESSION_ID_MAX);
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

/// The session id of a session: base64url, at most `SESSION_ID_MAX` characters.
pub fn seal(sealing: &Sealing, session: &Session) -> String {
    sealing.seal(Purpose::Session, encode(session))
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
    decode(&sealing.open(Purpose::Session, text, SESSION_ID_MAX)?)
}

fn encode(session: &Session) -> Vec<u8> {
    let mut out = Writer::new(STATE_MAX);
    out.text(session.key.as_str()).bytes(&[session.revision as u8]).bytes(&session.caps.0.to_le_bytes());
    out.bytes(&session.created.0.to_le_bytes()).bytes(&session.id);
    out.text(super::meta::cut(&session.client_name)).text(super::meta::cut(&session.client_version));
    out.finish()
}

fn decode(state: &[u8]) -> Option<Session> {
    let mut state = Reader::new(state);
    let key = KeyId::parse(state.text()?)?;
    let [revision] = state.bytes()?;
    let caps = ClientCaps(u16::from_le_bytes(state.bytes()?));
    let created = WallTime(u64::from_le_bytes(state.bytes()?));
    let id = state.bytes()?;
    let (client_name, client_version) = (state.text()?.into(), state.text()?.into());
    let revision = *Revision::ALL.get(usize::from(revision))?;
    Some(Session { key, revision, client_name, client_version, caps, created, id })
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
            caps: ClientCaps(ClientCaps::SAMPLING | ClientCaps::UI),
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
