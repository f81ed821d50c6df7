//! The `requestState` of a call that waits for its client's input, sealed.
//!
//! It is bound to the server, the key and the very request: behind one shared credential a server sees one principal
//! for all keys, so its own seal cannot keep one key from another's state.

use super::input::invalid_state;
use super::seal::{Purpose, Reader, Sealing, Writer, sealed_len};
use crate::base::clock::WallTime;
use crate::base::error::Result;
use crate::base::ids::{ApprovalId, KeyId, ShardId};
use crate::base::limits::{REQUEST_STATE_MAX, SERVER_NAME_MAX, UPSTREAM_STATE_MAX};
use sha2::{Digest as _, Sha256};

/// Plain bytes before what is held: key, server, digest, expiry, kind, approval and round.
const HEAD_LEN: usize = 17 + 1 + SERVER_NAME_MAX + 16 + 8 + 1 + 16 + 4;

const _: () = assert!(sealed_len(HEAD_LEN + UPSTREAM_STATE_MAX) <= REQUEST_STATE_MAX);
const _: () = assert!(SERVER_NAME_MAX <= u8::MAX as usize);

const INNER: u8 = 0;
const PARK: u8 = 1;
const APPROVAL: u8 = 2;
const APPROVED: u8 = 3;

/// Which request it is, told again when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The server's configured name.
    pub server: &'a str,
    /// Who asked.
    pub key: KeyId,
    /// What was asked: [`digest`].
    pub digest: [u8; 16],
}

/// What a state holds for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// The state that a modern server gave.
    Inner(Box<str>),
    /// A call to a legacy server that stays open.
    Park {
        /// The shard it stays on.
        shard: ShardId,
        /// Its number there.
        park: u64,
    },
    /// A call that waits for an approval. It says which, and nothing of whether it was given.
    Approval(ApprovalId),
    /// The state that a modern server gave for a call that was made with an approval.
    Approved {
        /// How it was made, and goes on.
        cleared: Cleared,
        /// The server's state.
        inner: Box<str>,
    },
}

/// The approval that a call is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleared {
    /// Which approval.
    pub approval: ApprovalId,
    /// How often it was used before for this call: with each answer of the client to its server once more.
    pub round: u32,
}

impl Cleared {
    /// The next round of the same call.
    #[must_use]
    pub fn next(self) -> Self {
        Self { round: self.round + 1, ..self }
    }
}

/// The digest of a request: method, name or URI, raw arguments. The revision wants a retry to be the same request, and
/// clients send the same bytes again; one that writes them differently is refused rather than trusted.
pub fn digest(method: &str, name: &str, arguments: Option<&[u8]>) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [method, name] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(arguments.unwrap_or_default());
    let whole: [u8; 32] = hash.finalize().into();
    *crate::invariant!(whole.first_chunk(), "32 bytes begin with 16")
}

/// Seals a state that is good until `expires`: at most `REQUEST_STATE_MAX` characters, as what is held comes from
/// `input.rs`, which bounds it.
pub fn seal(sealing: &Sealing, asked: &Asked<'_>, expires: WallTime, held: &Held) -> String {
    let inner = if let Held::Inner(inner) | Held::Approved { inner, .. } = held { inner.len() } else { 10 };
    let mut out = Writer::new(HEAD_LEN + inner);
    out.text(asked.key.as_str()).text(asked.server).bytes(&asked.digest).bytes(&expires.0.to_le_bytes());
    match held {
        Held::Inner(inner) => out.bytes(&[INNER]).bytes(inner.as_bytes()),
        Held::Approval(id) => out.bytes(&[APPROVAL]).bytes(id.as_str().as_bytes()),
        Held::Approved { cleared: Cleared { approval, round }, inner } => {
            out.bytes(&[APPROVED]).bytes(approval.as_str().as_bytes());
            out.bytes(&round.to_le_bytes()).bytes(inner.as_bytes())
        }
        Held::Park { shard, park } => out.bytes(&[PARK]).bytes(&shard.0.to_le_bytes()).bytes(&park.to_le_bytes()),
    };
    sealing.seal(Purpose::RequestState, out.finish())
}

/// Opens the state that a request presents.
///
/// # Errors
/// `Kind::InvalidParams`, one answer for all: not ours, altered, expired, another key's, server's or request's.
pub fn open(sealing: &Sealing, text: &str, asked: &Asked<'_>, now: WallTime) -> Result<Held> {
    let plain = sealing.open(Purpose::RequestState, text, REQUEST_STATE_MAX);
    plain.and_then(|plain| decode(&plain, asked, now)).ok_or_else(invalid_state)
}

fn decode(plain: &[u8], asked: &Asked<'_>, now: WallTime) -> Option<Held> {
    let mut state = Reader::new(plain);
    let is_same = state.text()? == asked.key.as_str() && state.text()? == asked.server;
    let is_same = is_same && state.bytes()? == asked.digest;
    let is_alive = is_same && now < WallTime(u64::from_le_bytes(state.bytes()?));
    match state.bytes().filter(|_| is_alive)? {
        [INNER] => Some(Held::Inner(std::str::from_utf8(state.rest()).ok()?.into())),
        [PARK] => {
            let shard = ShardId(u16::from_le_bytes(state.bytes()?));
            Some(Held::Park { shard, park: u64::from_le_bytes(state.bytes()?) })
        }
        [APPROVAL] => Some(Held::Approval(approval(&mut state)?)),
        [APPROVED] => {
            let (approval, round) = (approval(&mut state)?, u32::from_le_bytes(state.bytes()?));
            let inner = std::str::from_utf8(state.rest()).ok()?.into();
            Some(Held::Approved { cleared: Cleared { approval, round }, inner })
        }
        _ => None,
    }
}

fn approval(state: &mut Reader<'_>) -> Option<ApprovalId> {
    ApprovalId::parse(std::str::from_utf8(&state.bytes::<16>()?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

    const EXPIRES: WallTime = WallTime(1_000);
    const BEFORE: WallTime = WallTime(999);

    fn asked() -> Asked<'static> {
        let digest = digest("tools/call", "t", Some(b"{}"));
        Asked { server: "github", key: KeyId::parse("k1").unwrap(), digest }
    }

    #[test]
    fn what_was_sealed_opens_for_the_same_request() {
        let sealing = Sealing::new(&[1; 32]);
        let approval = ApprovalId::from_entropy([9; 16]);
        let cleared = Cleared { approval, round: 2 }.next();
        assert_eq!(cleared.round, 3);
        for held in [
            Held::Inner("".into()),
            Held::Inner("s\u{0}✓".into()),
            Held::Inner("x".repeat(UPSTREAM_STATE_MAX).into()),
            Held::Park { shard: ShardId(7), park: u64::MAX },
            Held::Approval(approval),
            Held::Approved { cleared, inner: "x".repeat(UPSTREAM_STATE_MAX).into() },
        ] {
            let text = seal(&sealing, &asked(), EXPIRES, &held);
            assert!(text.len() <= REQUEST_STATE_MAX);
            assert_eq!(open(&sealing, &text, &asked(), BEFORE), Ok(held));
        }
    }

    #[test]
    fn every_other_request_is_refused_alike() {
        let sealing = Sealing::new(&[1; 32]);
        let text = seal(&sealing, &asked(), EXPIRES, &Held::Inner("s".into()));
        let refusal = invalid_state();
        assert_eq!(refusal.kind, Kind::InvalidParams);
        for other in [
            Asked { server: "gitlab", ..asked() },
            Asked { key: KeyId::parse("k2").unwrap(), ..asked() },
            Asked { digest: digest("tools/call", "t", Some(b"{ }")), ..asked() },
        ] {
            assert_eq!(open(&sealing, &text, &other, BEFORE).as_ref(), Err(&refusal));
        }
        assert_eq!(open(&sealing, &text, &asked(), EXPIRES).as_ref(), Err(&refusal), "expired");
        let session = sealing.seal(Purpose::Session, b"x".to_vec());
        for bad in ["", "s", &session, &text[1..], &(text.clone() + "A")] {
            assert_eq!(open(&sealing, bad, &asked(), BEFORE).as_ref(), Err(&refusal), "{bad}");
        }
        assert_eq!(open(&Sealing::new(&[2; 32]), &text, &asked(), BEFORE), Err(refusal));
    }

    #[test]
    fn a_digest_tells_requests_apart() {
        let all = [
            digest("tools/call", "ab", Some(b"c")),
            digest("tools/call", "a", Some(b"bc")),
            digest("tools/calla", "b", Some(b"c")),
            digest("prompts/get", "ab", Some(b"c")),
            digest("tools/call", "ab", None),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "{at}");
        }
        assert_eq!(all[0], digest("tools/call", "ab", Some(b"c")));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let sealing = Sealing::new(&[1; 32]);
        bolero::check!().with_type::<(String, Vec<u8>)>().for_each(|(text, state)| {
            assert!(open(&sealing, text, &asked(), BEFORE).is_err());
            let _ = decode(state, &asked(), BEFORE);
        });
    }
}
