//! What the gate gives a client to keep: sealed, so that nobody but the gate can read or make one.
//!
//! AES-256-GCM under one key of all shards, base64url without padding: any shard opens it, nothing is looked up. What
//! is sealed for one purpose does not open for another. Who may use it, and until when, stands in the plain state and
//! is checked by who opens it.

use crate::rt::random;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const TAG_LEN: usize = 16;

/// What a thing is sealed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The id of a legacy session.
    Session,
    /// The place in a list where its next page begins.
    Cursor,
    /// The `requestState` of a call that waits for its client's input.
    RequestState,
    /// The id of a task.
    Task,
    /// The stream that the id of an event names.
    Stream,
}

impl Purpose {
    /// What the seal also covers; the number is that of the plain state's form.
    fn aad(self) -> Aad<&'static [u8]> {
        let words = match self {
            Self::Session => "tollgate legacy session 1",
            Self::Cursor => "tollgate cursor 1",
            Self::RequestState => "tollgate request state 1",
            Self::Task => "tollgate task 1",
            Self::Stream => "tollgate stream 1",
        };
        Aad::from(words.as_bytes())
    }
}

/// The key that seals and opens.
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

    /// Seals a plain state: [`sealed_len`] characters of base64url, never the same twice.
    pub fn seal(&self, purpose: Purpose, mut plain: Vec<u8>) -> String {
        let mut nonce = [0; NONCE_LEN];
        random::fill(&mut nonce);
        let sealed = self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), purpose.aad(), &mut plain);
        crate::invariant!(sealed, "AES-GCM seals any text shorter than 64 GB");
        URL_SAFE_NO_PAD.encode([&nonce[..], &plain].concat())
    }

    /// The plain state of a text of at most `max` characters; nothing if the gate did not seal it for this purpose.
    pub fn open(&self, purpose: Purpose, text: &str, max: usize) -> Option<Vec<u8>> {
        if text.len() > max {
            return None;
        }
        let mut sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, state) = sealed.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.key.open_in_place(nonce, purpose.aad(), state).ok()?.len();
        sealed.truncate(NONCE_LEN + plain);
        sealed.drain(..NONCE_LEN);
        Some(sealed)
    }
}

/// Characters of a sealed state of so many plain bytes.
pub const fn sealed_len(plain: usize) -> usize {
    ((NONCE_LEN + plain + TAG_LEN) * 4).div_ceil(3)
}

/// Writes a plain state, part by part.
#[derive(Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty state with room for so many plain bytes, and for the seal.
    pub fn new(plain: usize) -> Self {
        Self(Vec::with_capacity(plain + TAG_LEN))
    }

    /// Bytes whose number the reader knows.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A text of up to 255 bytes.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.0.push(crate::invariant!(u8::try_from(text.len()), "what is written as a text is shorter than 256 bytes"));
        self.bytes(text.as_bytes())
    }

    /// The state.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a plain state in the order it was written.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// At the beginning of a state.
    pub fn new(state: &'a [u8]) -> Self {
        Self(state)
    }

    /// So many bytes.
    pub fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// A text.
    pub fn text(&mut self) -> Option<&'a str> {
        let [len] = self.bytes()?;
        let (text, rest) = self.0.split_at_checked(usize::from(len))?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    /// All that is left: the last part of a state may have any length.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Purpose; 5] =
        [Purpose::Session, Purpose::Cursor, Purpose::RequestState, Purpose::Task, Purpose::Stream];

    #[test]
    fn what_is_sealed_opens_for_its_purpose_and_key_only() {
        let (sealing, foreign) = (Sealing::new(&[1; 32]), Sealing::new(&[2; 32]));
        for purpose in ALL {
            let text = sealing.seal(purpose, b"state".to_vec());
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            assert_eq!(text.len(), sealed_len(5));
            for other in ALL {
                let opened = sealing.open(other, &text, 100);
                assert_eq!(opened, (other == purpose).then(|| b"state".to_vec()), "{purpose:?} as {other:?}");
            }
            assert_eq!(foreign.open(purpose, &text, 100), None);
            assert_eq!(sealing.open(purpose, &text, text.len() - 1), None, "longer than allowed");
            assert_ne!(sealing.seal(purpose, b"state".to_vec()), text, "a nonce is used once");
        }
    }

    #[test]
    fn the_length_is_known_before() {
        let sealing = Sealing::new(&[1; 32]);
        for plain in 0..20 {
            let text = sealing.seal(Purpose::Task, vec![7; plain]);
            assert_eq!(text.len(), sealed_len(plain));
            assert_eq!(sealing.open(Purpose::Task, &text, usize::MAX), Some(vec![7; plain]));
        }
    }

    #[test]
    fn parts_are_read_as_they_were_written() {
        let mut writer = Writer::new(64);
        writer.text("").bytes(&7_u16.to_le_bytes()).text("é").bytes(b"rest");
        let state = writer.finish();
        let mut reader = Reader::new(&state);
        assert_eq!((reader.text(), reader.bytes()), (Some(""), Some([7, 0])));
        assert_eq!((reader.text(), reader.rest()), (Some("é"), &b"rest"[..]));
        assert_eq!(reader.bytes::<5>(), None);
        assert_eq!(Reader::new(&[3, b'a', b'b']).text(), None, "shorter than it says");
        assert_eq!(Reader::new(&[1, 0xff]).text(), None, "no UTF-8");
    }

    #[test]
    fn any_text_is_refused_without_panic() {
        let sealing = Sealing::new(&[1; 32]);
        bolero::check!().with_type::<(String, Vec<u8>)>().for_each(|(text, state)| {
            for purpose in ALL {
                assert_eq!(sealing.open(purpose, text, 4096), None);
                assert_eq!(sealing.open(purpose, &URL_SAFE_NO_PAD.encode(state), 4096), None);
            }
            let mut reader = Reader::new(state);
            while reader.text().is_some() {
                let _ = reader.bytes::<3>();
            }
            assert!(reader.rest().len() <= state.len());
        });
    }
}
