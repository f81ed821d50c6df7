//! What a 401 or 403 says in `WWW-Authenticate` (RFC 9110 11.6.1, RFC 6750 3, RFC 9728 5.1).

use crate::upstream::oauth::Scopes;
use crate::upstream::spec::URL_MAX;
use serde::{Deserialize, Serialize};

/// What a server's refusal says of the token that it wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Challenge {
    /// Where its metadata document stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_metadata: Option<String>,
    /// The scopes that the request needs.
    pub scopes: Scopes,
    /// Whether the token was good, and only of too few scopes.
    pub insufficient: bool,
}

impl Challenge {
    /// Reads the header's values: the parameters of the `Bearer` challenge, the first of each name.
    pub fn read<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut challenge = Self::default();
        for (name, value) in values.flat_map(bearer_params) {
            match &*name {
                "resource_metadata" if challenge.resource_metadata.is_none() && value.len() <= URL_MAX => {
                    challenge.resource_metadata = Some(value);
                }
                "scope" if challenge.scopes.is_empty() => challenge.scopes = Scopes::parse(&value),
                "error" => challenge.insufficient |= value == "insufficient_scope",
                _ => {}
            }
        }
        challenge
    }
}

/// The parameters of the `Bearer` challenges in one value, names in lower case. What cannot be read ends the list.
fn bearer_params(value: &str) -> Vec<(String, String)> {
    let mut params = Vec::new();
    let (mut rest, mut is_bearer) = (value, false);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            return params;
        }
        match after.trim_start_matches([' ', '\t']).strip_prefix('=') {
            Some(after) => {
                let Some((text, after)) = param_value(after.trim_start_matches([' ', '\t'])) else { return params };
                if is_bearer {
                    params.push((name.to_ascii_lowercase(), text));
                }
                rest = after;
            }
            None => {
                is_bearer = name.eq_ignore_ascii_case("bearer");
                rest = after;
            }
        }
    }
}

/// A token or a quoted string at the front, and what follows it.
fn param_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let (mut out, mut escaped) = (String::new(), false);
    for (at, character) in quoted.char_indices() {
        match character {
            _ if escaped => {
                out.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((out, &quoted[at + 1..])),
            _ => out.push(character),
        }
    }
    None
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Challenge {
        Challenge::read(values.iter().copied())
    }

    #[test]
    fn the_bearer_challenge_is_found_among_others() {
        let challenge =
            read(&["Basic realm=\"a, scope=wrong\", Negotiate abc==, bearer Scope = \"read \\\"x\\\" write\", \
             resource_metadata=\"https://h/.well-known/x\", error=\"insufficient_scope\", Digest scope=\"no\""]);
        assert_eq!(challenge.resource_metadata.as_deref(), Some("https://h/.well-known/x"));
        assert_eq!(challenge.scopes, Scopes::parse("read write"));
        assert!(challenge.insufficient);
    }

    #[test]
    fn values_may_stand_on_several_lines_and_the_first_counts() {
        let challenge = read(&["Basic realm=\"x\"", "Bearer error=invalid_token, scope=a", "Bearer scope=b"]);
        assert_eq!(challenge.scopes, Scopes::parse("a"));
        assert!(!challenge.insufficient && challenge.resource_metadata.is_none());
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for text in ["", "Bearer", "Bearer scope=\"open", "scope=\"a\"", "Bearer =x", "ünïcode", "Bearer scope"] {
            assert_eq!(read(&[text]), Challenge::default(), "{text}");
        }
        let long = format!("Bearer resource_metadata=\"https://h/{}\"", "x".repeat(URL_MAX));
        assert_eq!(read(&[&long]), Challenge::default());
    }
}
