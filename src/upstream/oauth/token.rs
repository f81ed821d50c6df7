//! What the token endpoint answers.

use crate::base::clock::WallTime;
use crate::base::error::{Error, Result, Retry};
use crate::base::limits::{OAUTH_REFRESH_MARGIN_MS, OAUTH_TOKEN_MAX};
use crate::upstream::incoming::printable;
use crate::upstream::oauth::{Scopes, Secret, wrong};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// What goes to the server.
    pub access: Secret,
    /// What the next token is given for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Secret>,
    /// When it ends, in milliseconds of Unix time; not known where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// What it was asked for with, and what was given beside that.
    pub scopes: Scopes,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    token_type: String,
    expires_in: Option<serde_json::Number>,
    refresh_token: Option<Secret>,
    scope: Option<String>,
}

impl Token {
    /// Reads an answer to a request made at `now` with these scopes. `kept` stays where no new refresh token comes.
    ///
    /// # Errors
    /// It is a refusal, by its code ([`Retry::Safe`] where trying again may help), or no token that can be sent.
    pub fn read(status: u16, json: &[u8], asked: &Scopes, kept: Option<&Secret>, now: WallTime) -> Result<Self> {
        if status != 200 {
            return Err(refused(status, json));
        }
        let answer: Answer = serde_json::from_slice(json).map_err(|_| wrong("the token endpoint answered no token"))?;
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            let kind = printable(&answer.token_type, 20);
            return Err(wrong(format!("the token endpoint gave a token of type {kind}, not Bearer")));
        }
        let text = answer.access_token.reveal();
        if text.is_empty() || text.len() > OAUTH_TOKEN_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong("the token endpoint gave a token that cannot stand in a header"));
        }
        let seconds = answer.expires_in.and_then(|number| number.as_f64()).filter(|seconds| *seconds > 0.0);
        // A year at most: more is as good as for ever.
        let life = seconds.map(|seconds| Duration::from_secs_f64(seconds.min(31_536_000.0)).as_millis());
        let expires = life.map(|life| now.0.saturating_add(u64::try_from(life).unwrap_or(u64::MAX)));
        let scopes = asked.union(&Scopes::parse(answer.scope.as_deref().unwrap_or_default()));
        Ok(Self { access: answer.access_token, refresh: answer.refresh_token.or(kept.cloned()), expires, scopes })
    }

    /// Milliseconds until it should be renewed; nothing where its end is not known.
    pub fn renew_in(&self, now: WallTime) -> Option<u64> {
        let left = self.expires?.saturating_sub(now.0);
        Some(left.saturating_sub(OAUTH_REFRESH_MARGIN_MS.min(left / 4)))
    }
}

fn refused(status: u16, json: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
        error_description: Option<String>,
    }
    let told = serde_json::from_slice::<Refusal>(json).ok().map(|refusal| {
        let why = refusal.error_description.map(|why| format!(": {}", printable(&why, 200))).unwrap_or_default();
        format!(" {}{why}", printable(&refusal.error, 60))
    });
    let error = wrong(format!("the token endpoint refused ({status}){}", told.unwrap_or_default()));
    if status >= 500 || status == 429 { error.retry(Retry::Safe) } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime(1_000_000);

    fn read(json: &str) -> Result<Token> {
        Token::read(200, json.as_bytes(), &Scopes::parse("a"), Some(&"old".into()), NOW)
    }

    #[test]
    fn a_token_keeps_what_it_was_asked_for_and_the_refresh_token_that_is_still_good() {
        let token = read(r#"{"access_token":"t","token_type":"bearer","expires_in":3600,"scope":"b"}"#).unwrap();
        assert_eq!(token.expires, Some(NOW.0 + 3_600_000));
        assert_eq!(token.scopes, Scopes::parse("a b"));
        assert_eq!(token.refresh.as_ref().map(Secret::reveal), Some("old"));
        let rotated = read(r#"{"access_token":"t","token_type":"Bearer","refresh_token":"new"}"#).unwrap();
        assert_eq!((rotated.refresh.as_ref().map(Secret::reveal), rotated.expires), (Some("new"), None));
        assert!(!format!("{rotated:?}").contains("new"));
    }

    #[test]
    fn a_token_is_renewed_before_its_end() {
        let token = |seconds: u64| {
            read(&format!(r#"{{"access_token":"t","token_type":"bearer","expires_in":{seconds}}}"#)).unwrap()
        };
        assert_eq!(token(3600).renew_in(NOW), Some(3_600_000 - OAUTH_REFRESH_MARGIN_MS));
        assert_eq!(token(4).renew_in(NOW), Some(3_000));
        assert_eq!(token(4).renew_in(WallTime(NOW.0 + 9_000)), Some(0));
    }

    #[test]
    fn what_cannot_be_sent_is_no_token() {
        for bad in [
            r#"{"access_token":"","token_type":"bearer"}"#,
            r#"{"access_token":"a\r\nb","token_type":"bearer"}"#,
            r#"{"access_token":"a","token_type":"mac"}"#,
            r#"{"access_token":"a"}"#,
            "[]",
        ] {
            let error = read(bad).expect_err(bad);
            assert!(!error.context.contains("a\r\nb"), "{error}");
        }
    }

    #[test]
    fn a_refusal_says_why_and_whether_to_try_again() {
        let read =
            |status, json: &str| Token::read(status, json.as_bytes(), &Scopes::default(), None, NOW).unwrap_err();
        let spent = read(400, r#"{"error":"invalid_grant","error_description":"ended\u0007"}"#);
        assert!(spent.context.contains("invalid_grant: ended\\u{7}"), "{spent}");
        assert_eq!(spent.retry, Retry::Never);
        assert_eq!(read(503, "<html>").retry, Retry::Safe);
    }
}
