//! The page a person opens to allow the gate, and what comes back from it (RFC 6749 4.1, RFC 7636, RFC 9207).

use crate::base::error::Result;
use crate::upstream::incoming::printable;
use crate::upstream::oauth::{AuthServer, Form, Scopes, wrong};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What is asked of the person.
pub struct Ask<'a> {
    /// The gate's id at the authorization server.
    pub client: &'a str,
    /// Where the browser is sent back to.
    pub redirect: &'a str,
    /// What the token is for.
    pub resource: &'a str,
    /// What it may do.
    pub scopes: &'a Scopes,
}

/// What is remembered until the answer comes.
pub struct Pending {
    state: String,
    verifier: String,
    issuer: String,
    /// Whether the answer must say whose it is.
    names_itself: bool,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub enum Returned {
    /// It is no answer to this question; another may come.
    Foreign,
    /// The code that a token is given for.
    Code(String),
}

impl Pending {
    /// The beginning of an authorization; `state` and `verifier` are random.
    ///
    /// # Errors
    /// The authorization server cannot be used.
    pub fn begin(server: &AuthServer, ask: &Ask<'_>, state: &[u8; 32], verifier: &[u8; 32]) -> Result<(Self, String)> {
        let place = server.authorization()?;
        let [state, verifier] = [state, verifier].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let form = Form::default()
            .with("response_type", "code")
            .with("client_id", ask.client)
            .with("redirect_uri", ask.redirect)
            .with("code_challenge", &challenge)
            .with("code_challenge_method", "S256")
            .with("state", &state)
            .with("resource", ask.resource)
            .with_some("scope", ask.scopes.text().as_deref());
        let join = if place.contains('?') { '&' } else { '?' };
        let page = format!("{place}{join}{}", form.text());
        let names_itself = server.authorization_response_iss_parameter_supported;
        Ok((Self { state, verifier, issuer: server.issuer.clone(), names_itself }, page))
    }

    /// What is shown to prove that the code is ours.
    pub fn verifier(&self) -> &str {
        &self.verifier
    }

    /// Reads the query that the browser brought. Whose answer it is comes first: an error of another server is no
    /// answer either.
    ///
    /// # Errors
    /// It is another issuer's, or does not say whose it is although it must; the person or the server said no.
    pub fn judge(&self, query: &str) -> Result<Returned> {
        let fields: Vec<(String, String)> = query.split('&').filter_map(decode_pair).collect();
        let field = |name: &str| fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        let state = field("state").unwrap_or_default();
        if !bool::from(state.as_bytes().ct_eq(self.state.as_bytes())) {
            return Ok(Returned::Foreign);
        }
        let ours = &self.issuer;
        let named = query.split('&').filter(|pair| pair.split('=').next().and_then(decode).as_deref() == Some("iss"));
        if named.count() != fields.iter().filter(|(own, _)| own == "iss").take(1).count() {
            return Err(wrong(format!(
                "the answer says more than once, or unreadably, whose it is, not {ours}; not used"
            )));
        }
        match field("iss") {
            Some(theirs) if theirs != ours => {
                let theirs = printable(theirs, 200);
                return Err(wrong(format!("the answer is that of another issuer, {theirs}, not of {ours}; not used")));
            }
            None if self.names_itself => {
                return Err(wrong(format!(
                    "the answer does not say whose it is, though {ours} always says so; not used"
                )));
            }
            _ => {}
        }
        if let Some(error) = field("error") {
            let why = field("error_description").map(|why| format!(": {}", printable(why, 200))).unwrap_or_default();
            return Err(wrong(format!("{ours} refused: {}{why}", printable(error, 60))));
        }
        let code = field("code").filter(|code| !code.is_empty());
        let code = code.ok_or_else(|| wrong(format!("{ours} sent the browser back without a code")))?;
        Ok(Returned::Code(code.to_owned()))
    }
}

fn decode_pair(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    Some((decode(name)?, decode(value)?))
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(names_itself: bool) -> (Pending, String) {
        let server = AuthServer {
            issuer: "https://as".into(),
            authorization_endpoint: Some("https://as/authorize?tenant=1".into()),
            code_challenge_methods_supported: Some(vec!["S256".into()]),
            authorization_response_iss_parameter_supported: names_itself,
            ..AuthServer::default()
        };
        let ask = Ask {
            client: "c",
            redirect: "http://127.0.0.1:1/callback",
            resource: "https://h/mcp",
            scopes: &Scopes::parse("a b"),
        };
        Pending::begin(&server, &ask, &[1; 32], &[2; 32]).unwrap()
    }

    #[test]
    fn the_page_carries_a_challenge_whose_verifier_only_we_know() {
        let (pending, page) = pending(true);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(pending.verifier().as_bytes()));
        assert!(page.starts_with("https://as/authorize?tenant=1&response_type=code&client_id=c&"), "{page}");
        assert!(page.contains(&format!("code_challenge={challenge}&code_challenge_method=S256")), "{page}");
        assert!(page.contains("resource=https%3A%2F%2Fh%2Fmcp") && page.ends_with("scope=a%20b"), "{page}");
        assert!(!page.contains(pending.verifier()));
    }

    #[test]
    fn an_answer_is_judged_by_state_then_issuer_then_outcome() {
        let judge = |names_itself, more: &str| {
            let (pending, _) = pending(names_itself);
            pending.judge(&format!("state={}&{more}", pending.state))
        };
        let code = Ok(Returned::Code("x y".into()));
        assert_eq!(judge(true, "code=x+y&iss=https%3A%2F%2Fas"), code);
        assert_eq!(judge(false, "code=x%20y"), code);
        assert_eq!(judge(false, "code=x%20y&iss=https://as"), code);
        for more in
            ["code=x", "code=x&iss=https://as/", "code=x&iss=HTTPS://as", "error=no&iss=https://evil", "error=no"]
        {
            let error = judge(true, more).expect_err(more);
            assert!(error.context.contains("not used"), "{error}");
        }
        assert!(judge(false, "code=x&iss=https://evil").expect_err("unexpected").context.contains("another issuer"));
        let denied = judge(true, "error=access_denied&error_description=a%0Ab&iss=https://as").expect_err("denied");
        assert!(denied.context.contains("access_denied: a\\u{a}b"), "{denied}");
        assert!(judge(false, "code=").is_err());
        for query in ["", "code=x", "code=x&state=AQ", "state=%ZZ&code=x"] {
            assert_eq!(pending(true).0.judge(query), Ok(Returned::Foreign), "{query}");
        }
    }
}
