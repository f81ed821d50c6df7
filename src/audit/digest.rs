//! Digests of arguments, results and torn tails.

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// SHA-256 of `bytes`, as the digests of arguments and results are made.
pub fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// SHA-256 and size of a result that comes in pieces.
#[derive(Clone, Default)]
pub struct Digester {
    hash: Sha256,
    bytes: u64,
}

impl Digester {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// Digest and size in bytes of all pieces.
    pub fn finish(self) -> (Digest, u64) {
        (self.hash.finalize().into(), self.bytes)
    }
}
