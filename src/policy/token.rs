//! The text of a key: `tg_<id>_<secret>`, twelve letters of id and 256 bits of secret in lower-case base32.
//!
//! Only a text of exactly this shape is ever looked up; everything else is refused by its length or first wrong byte.

use crate::base::ids::KeyId;
use crate::rt;
use crate::wire::http::{Found, Header};
use std::fmt;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, Zeroizing};

const PREFIX: &[u8; 3] = b"tg_";
const ID_LEN: usize = 12;
const SECRET_LEN: usize = 52;
const SECRET_START: usize = PREFIX.len() + ID_LEN + 1;
const TOKEN_LEN: usize = SECRET_START + SECRET_LEN;
/// RFC 4648 base32, lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A new key's text. Shown once, wiped from memory when dropped, never printed by `Debug`.
pub struct Token {
    id: KeyId,
    text: Zeroizing<String>,
}

impl Token {
    /// Random bytes that one token is made of.
    pub const ENTROPY: usize = ID_LEN + SECRET_BYTES;

    /// A new token from the kernel's randomness.
    pub fn generate() -> Self {
        let mut entropy = [0; Self::ENTROPY];
        rt::random::fill(&mut entropy);
        Self::from_entropy(&mut entropy)
    }

    /// Makes a token of random bytes: five bits of each of the first twelve for the id, the rest for the secret.
    /// Wipes the bytes.
    pub fn from_entropy(entropy: &mut [u8; Self::ENTROPY]) -> Self {
        let (id, secret) = entropy.split_at(ID_LEN);
        let id: String = id.iter().map(|byte| digit(u16::from(*byte))).collect();
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_LEN));
        text.push_str("tg_");
        text.push_str(&id);
        text.push('_');
        push_base32(secret, &mut text);
        entropy.zeroize();
        Self { id: crate::invariant!(KeyId::parse(&id), "base32 letters make an id"), text }
    }

    /// The public half.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The whole text, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The token as a request would present it.
    pub fn presented(&self) -> Presented<'_> {
        crate::invariant!(Presented::parse(&self.text), "a token we made has the shape we take")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.id)
    }
}

const SECRET_BYTES: usize = 32;

fn digit(bits: u16) -> char {
    char::from(BASE32[usize::from(bits & 31)])
}

fn push_base32(bytes: &[u8], out: &mut String) {
    let (mut bits, mut held) = (0u16, 0);
    for byte in bytes {
        bits = bits << 8 | u16::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            out.push(digit(bits >> held));
        }
    }
    if held > 0 {
        out.push(digit(bits << (5 - held)));
    }
    bits.zeroize();
}

/// A token of the right shape that a request brought. Whether it is anybody's key is not known yet.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    id: KeyId,
    text: &'a [u8; TOKEN_LEN],
}

impl<'a> Presented<'a> {
    /// Reads a token; nothing if it is not of the exact shape.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text: &[u8; TOKEN_LEN] = text.as_bytes().try_into().ok()?;
        let is_base32 = |byte: &u8| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(byte);
        let framed = text.starts_with(PREFIX) && text[SECRET_START - 1] == b'_';
        // 52 letters hold four bits more than a secret has; those are zero.
        let ends = matches!(text[TOKEN_LEN - 1], b'a' | b'q');
        if !framed || !ends || !text[SECRET_START..].iter().all(is_base32) {
            return None;
        }
        let id = std::str::from_utf8(&text[PREFIX.len()..SECRET_START - 1]).ok()?;
        Some(Self { id: KeyId::parse(id)?, text })
    }

    /// The public half.
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn text(&self) -> &[u8] {
        self.text
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Presented({})", self.id)
    }
}

/// What a request's headers say about who is asking.
#[derive(Clone, Copy, Debug)]
pub enum Credential<'a> {
    /// No credential header at all.
    None,
    /// A credential that is not a token, or a header given twice.
    Malformed,
    /// A token.
    Token(Presented<'a>),
}

impl<'a> Credential<'a> {
    /// The headers that may carry a key, the first that is present counts.
    pub const HEADERS: [Header; 3] = [Header::TollgateKey, Header::ApiKey, Header::Authorization];

    /// Reads the credential of a request. `Authorization` takes the scheme `Bearer` alone. A header given twice is
    /// never taken.
    pub fn of_request(find: impl Fn(Header) -> Found<'a>) -> Self {
        for header in Self::HEADERS {
            match find(header) {
                Found::Absent => {}
                Found::Repeated => return Self::Malformed,
                Found::One(value) => {
                    let token = if header == Header::Authorization { bearer(value) } else { Some(value) };
                    return token.and_then(Presented::parse).map_or(Self::Malformed, Self::Token);
                }
            }
        }
        Self::None
    }
}

/// The token behind `Bearer ` (RFC 9110 section 11.1: the scheme in any case).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

/// The keyed digest of a token, the only form in which a key is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub(super) [u8; 32]);

impl Mac {
    /// Reads 64 lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut mac = [0; 32];
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        for (byte, pair) in mac.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(mac))
    }

    /// Whether two are the same, in constant time.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// 64 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        self.0
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|nibble| char::from(b"0123456789abcdef"[usize::from(nibble)]))
            .collect()
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(…)")
    }
}

pub(super) fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::RequestHead;
    use proptest::prelude::*;

    fn token(seed: u8) -> Token {
        Token::from_entropy(&mut std::array::from_fn(|at| seed.wrapping_add(u8::try_from(at).unwrap())))
    }

    #[test]
    fn a_token_has_its_fixed_shape_and_wipes_its_source() {
        let mut entropy = [0xff; Token::ENTROPY];
        let token = Token::from_entropy(&mut entropy);
        assert_eq!(token.reveal(), format!("tg_{}_{}q", "7".repeat(12), "7".repeat(51)));
        assert_eq!(entropy, [0; Token::ENTROPY]);
        assert_eq!(token.presented().id(), token.id());
        assert_eq!(format!("{token:?} {:?}", token.presented()), "Token(777777777777) Presented(777777777777)");
    }

    #[test]
    fn no_two_tokens_are_alike() {
        let (one, two) = (Token::generate(), Token::generate());
        assert!(one.id() != two.id() && one.reveal()[16..] != two.reveal()[16..]);
    }

    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (bytes, text) in [("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foobar", "mzxw6ytboi")] {
            let mut out = String::new();
            push_base32(bytes.as_bytes(), &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn anything_but_the_exact_shape_is_refused() {
        let good = token(1);
        let good = good.reveal();
        assert!(Presented::parse(good).is_some());
        let mut bad: Vec<String> = vec![String::new(), "tg_".into(), "x".repeat(1 << 20), format!("{good} ")];
        bad.push(good.to_uppercase());
        for (at, with) in
            [(0, "T"), (2, "-"), (3, "_"), (3, "A"), (15, "a"), (16, "0"), (20, "'"), (20, "\0"), (67, "b")]
        {
            let mut text = good.to_owned();
            text.replace_range(at..=at, with);
            bad.push(text);
        }
        let mut wide = good.to_owned();
        wide.replace_range(20..22, "é");
        bad.push(wide);
        for text in bad {
            assert!(Presented::parse(&text).is_none(), "{text:.80}");
        }
    }

    #[test]
    fn the_credential_of_a_request() {
        let (one, two) = (token(1), token(2));
        let read = |headers: &[(&str, String)]| {
            let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let head = format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n");
            let head = RequestHead::parse(head.as_bytes()).unwrap();
            let credential = Credential::of_request(|header| head.find(header));
            match credential {
                Credential::None => "none".to_owned(),
                Credential::Malformed => "malformed".to_owned(),
                Credential::Token(token) => token.id().to_string(),
            }
        };
        let bearer = |token: &Token| ("authorization", format!("Bearer {}", token.reveal()));
        assert_eq!(read(&[]), "none");
        assert_eq!(read(&[("cookie", one.reveal().into())]), "none");
        assert_eq!(read(&[bearer(&one)]), one.id().to_string());
        assert_eq!(read(&[("authorization", format!("bEARER  {}", one.reveal()))]), one.id().to_string());
        assert_eq!(read(&[bearer(&one), ("x-tollgate-key", two.reveal().into())]), two.id().to_string());
        assert_eq!(read(&[("x-api-key", one.reveal().into())]), one.id().to_string());
        let malformed = [
            vec![bearer(&one), bearer(&one)],
            vec![("authorization", format!("Basic {}", one.reveal()))],
            vec![("authorization", one.reveal().into())],
            vec![("authorization", "Bearer".into())],
            vec![("x-api-key", String::new()), bearer(&one)],
            vec![("x-tollgate-key", "' OR 1=1 --".into())],
        ];
        for headers in malformed {
            assert_eq!(read(&headers), "malformed", "{headers:?}");
        }
    }

    #[test]
    fn a_mac_is_kept_as_hex() {
        let hex = "00ff".repeat(16);
        assert_eq!(Mac::from_hex(&hex).unwrap().to_hex(), hex);
        for bad in ["", "00", &"0G".repeat(32), &"0F".repeat(32), &"é".repeat(32)] {
            assert_eq!(Mac::from_hex(bad), None);
        }
    }

    proptest! {
        #[test]
        fn every_token_parses_and_no_other_text_passes_for_one(
            entropy in proptest::array::uniform32(any::<u8>()), text in "tg_[a-z2-7_]{60,70}|\\PC{0,80}",
        ) {
            let mut bytes = [0; Token::ENTROPY];
            bytes[..32].copy_from_slice(&entropy);
            let token = Token::from_entropy(&mut bytes);
            prop_assert!(Presented::parse(token.reveal()).is_some());
            if let Some(presented) = Presented::parse(&text) {
                let id = presented.id();
                prop_assert_eq!(&text[3..15], id.as_str());
                prop_assert_eq!(text.len(), TOKEN_LEN);
            }
        }
    }
}
