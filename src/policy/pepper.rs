//! The keyed digest under which tokens are stored: HMAC-SHA256 (RFC 2104), its two keyed blocks digested beforehand.

use super::token::{Mac, Presented, nibble};
use sha2::block_api::compress256;
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// The secret under which tokens are digested, so that a stolen key file alone opens nothing. A digest costs the blocks
/// of its text and two more; a library's context, made and wiped for each, costs more than those.
#[derive(Clone)]
pub struct Pepper {
    inner: State,
    outer: State,
}

type State = [u32; 8];

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;
/// What SHA-256 starts from (FIPS 180-4 section 5.3.3).
const START: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

impl Pepper {
    /// Takes 32 random bytes and wipes them.
    pub fn new(bytes: &mut [u8; 32]) -> Self {
        let pepper = Self { inner: keyed(bytes, 0x36), outer: keyed(bytes, 0x5c) };
        bytes.zeroize();
        pepper
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

    pub(super) fn digest(&self, text: &[u8]) -> Mac {
        Mac(finish(self.outer, &finish(self.inner, text)))
    }
}

impl Drop for Pepper {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

/// SHA-256 after the block that the key makes with a pad.
fn keyed(key: &[u8; 32], pad: u8) -> State {
    let mut block = Zeroizing::new([pad; BLOCK]);
    block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    let mut state = START;
    compress256(&mut state, &[*block]);
    state
}

/// The digest of a text that follows the one block that `state` has taken in: padded as FIPS 180-4 section 5.1.1 says.
fn finish(mut state: State, text: &[u8]) -> [u8; 32] {
    let (whole, rest) = text.as_chunks::<BLOCK>();
    compress256(&mut state, whole);
    let mut last = [[0; BLOCK]; 2];
    let blocks = if rest.len() < BLOCK - size_of::<u64>() { 1 } else { 2 };
    let bits = 8 * (BLOCK + text.len()) as u64;
    let padded = &mut last.as_flattened_mut()[..blocks * BLOCK];
    padded[..rest.len()].copy_from_slice(rest);
    padded[rest.len()] = 0x80;
    padded[blocks * BLOCK - size_of::<u64>()..].copy_from_slice(&bits.to_be_bytes());
    compress256(&mut state, &last[..blocks]);
    let mut digest = [0; 32];
    digest.as_chunks_mut().0.iter_mut().zip(state).for_each(|(bytes, word)| *bytes = word.to_be_bytes());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        // Test case 2; zeroes at the end of a short key do not change it (RFC 2104 section 2).
        let mac = Pepper::new(&mut key).digest(b"what do ya want for nothing?").to_hex();
        assert_eq!(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(key, [0; 32]);
        let seven = Pepper::new(&mut [7; 32]).digest(b"x");
        assert_eq!(Pepper::from_hex(&"07".repeat(32)).unwrap().digest(b"x"), seven);
        assert!(Pepper::from_hex("07").is_none() && Pepper::from_hex(&"0G".repeat(32)).is_none());
    }

    #[test]
    fn any_key_and_text_digest_as_another_library_says() {
        bolero::check!().with_type::<([u8; 32], Vec<u8>)>().for_each(|(key, text)| {
            let theirs = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
            let tag = aws_lc_rs::hmac::sign(&theirs, text);
            assert_eq!(Pepper::new(&mut key.clone()).digest(text).0, tag.as_ref());
        });
    }

    #[test]
    fn a_text_of_any_length_around_a_block_digests_as_another_library_says() {
        let theirs = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[7; 32]);
        for len in 0..3 * BLOCK {
            let text = vec![b'x'; len];
            let tag = aws_lc_rs::hmac::sign(&theirs, &text);
            assert_eq!(Pepper::new(&mut [7; 32]).digest(&text).0, tag.as_ref(), "{len}");
        }
    }
}
