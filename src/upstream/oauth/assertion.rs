//! Signed proof of who the gate is at a token endpoint (RFC 7523): a short-lived JWT.

use crate::base::clock::WallTime;
use crate::base::error::Result;
use crate::upstream::oauth::wrong;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;

/// Life of an assertion, in seconds.
const LIFE_S: u64 = 60;

/// A key by the way it signs.
enum Signer {
    Ecdsa(EcdsaKeyPair, &'static str),
    Ed25519(Box<Ed25519KeyPair>),
    Rsa(RsaKeyPair),
}

impl Signer {
    fn read(pem: &str) -> Result<Self> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| wrong("`oauth.private_key` holds no private key in PEM form (PKCS #8)"))?;
        let der = key.secret_pkcs8_der();
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Ok(Self::Ecdsa(pair, "ES256"));
        }
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der) {
            return Ok(Self::Ecdsa(pair, "ES384"));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Ok(Self::Ed25519(pair.into()));
        }
        let pair = RsaKeyPair::from_pkcs8(der);
        pair.map(Self::Rsa).map_err(|_| wrong("`oauth.private_key` is no key for ES256, ES384, EdDSA or RS256"))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ecdsa(_, name) => name,
            Self::Ed25519(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        }
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>> {
        let failed = |_| wrong("the assertion could not be signed");
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(pair, _) => pair.sign(&random, text).map(|made| made.as_ref().to_vec()).map_err(failed),
            Self::Ed25519(pair) => Ok(pair.sign(text).as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut made = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text, &mut made).map_err(failed)?;
                Ok(made)
            }
        }
    }
}

/// Whether assertions can be signed with a key.
///
/// # Errors
/// Why not.
pub fn check_key(pem: &str) -> Result<()> {
    Signer::read(pem).map(drop)
}

/// An assertion that the gate is `client`, for `audience` alone. `number` must be new each time.
pub(super) fn assertion(pem: &str, client: &str, audience: &str, number: &str, now: WallTime) -> Result<String> {
    let signer = Signer::read(pem)?;
    let issued = now.0 / 1_000;
    let head = json!({"alg": signer.algorithm(), "typ": "JWT"});
    let claims = json!({"iss": client, "sub": client, "aud": audience, "jti": number, "iat": issued,
        "exp": issued + LIFE_S});
    let [head, claims] = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let text = format!("{head}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(text.as_bytes())?);
    Ok(format!("{text}.{signature}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};

    #[test]
    fn an_assertion_says_who_and_for_whom_and_is_signed() {
        let kinds = [(&PKCS_ECDSA_P256_SHA256, "ES256"), (&PKCS_ED25519, "EdDSA"), (&PKCS_RSA_SHA256, "RS256")];
        for (kind, name) in kinds {
            let pair = KeyPair::generate_for(kind).unwrap();
            let jwt = assertion(&pair.serialize_pem(), "me", "https://as", "n1", WallTime(5_000)).unwrap();
            let parts: Vec<&str> = jwt.split('.').collect();
            let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
            let json = |part: &str| serde_json::from_slice::<serde_json::Value>(&decode(part)).unwrap();
            assert_eq!(json(parts[0]), json!({"alg": name, "typ": "JWT"}));
            let claims =
                json!({"iss": "me", "sub": "me", "aud": "https://as", "jti": "n1", "iat": 5, "exp": 5 + LIFE_S});
            assert_eq!(json(parts[1]), claims);
            let signed = format!("{}.{}", parts[0], parts[1]);
            let public = ParsedPublicKey::new(
                match name {
                    "ES256" => &ECDSA_P256_SHA256_FIXED as &'static dyn aws_lc_rs::signature::VerificationAlgorithm,
                    "EdDSA" => &ED25519,
                    _ => &RSA_PKCS1_2048_8192_SHA256,
                },
                pair.public_key_raw(),
            );
            public.unwrap().verify_sig(signed.as_bytes(), &decode(parts[2])).expect(name);
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        for bad in ["", "canary", "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n"] {
            let error = check_key(bad).expect_err(bad);
            assert!(!error.context.contains("canary") && !error.context.contains("Y2Fu"), "{error}");
        }
    }
}
