//! What may be shown of a configuration: secrets are covered, references to them are not.

use crate::config::document::{Document, Node, Value};
use crate::config::env;
use crate::config::file::Config;
use std::ops::Range;

/// What a covered secret is shown as.
pub const COVER: &str = "********";

/// Words in a name that mark its value as a secret.
const SECRET_WORDS: [&str; 10] =
    ["auth", "token", "secret", "passw", "key", "cookie", "credential", "bearer", "session", "private"];

/// Whether a name (of a header, a variable or an argument) marks its value as a secret.
pub(crate) fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// The configuration with literal secrets covered. References stay: they say where a secret is, not what it is.
#[must_use]
pub fn config(config: &Config) -> Config {
    let mut out = config.clone();
    for server in out.servers.values_mut() {
        server.headers.values_mut().for_each(cover);
        server.env.values_mut().for_each(cover);
        server.url.iter_mut().for_each(|url| *url = cover_url(url));
        cover_args(&mut server.args);
        if let Some(oauth) = &mut server.oauth {
            oauth.client_secret.iter_mut().chain(&mut oauth.private_key).for_each(cover);
        }
    }
    out.keys.iter_mut().for_each(|key| cover(&mut key.mac));
    out
}

fn cover(value: &mut String) {
    if !env::only_references(value) {
        *value = COVER.into();
    }
}

/// Covers a user's name and password and the values of the query.
fn cover_url(url: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let base = match base.split_once("://") {
        Some((scheme, rest)) => match rest.split('/').next().and_then(|authority| authority.rfind('@')) {
            Some(at) => format!("{scheme}://{COVER}{}", &rest[at..]),
            None => base.to_owned(),
        },
        None => base.to_owned(),
    };
    let Some(query) = query else { return base };
    let pairs: Vec<String> = query.split('&').map(cover_pair).collect();
    format!("{base}?{}", pairs.join("&"))
}

fn cover_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, value)) if !env::only_references(value) => format!("{name}={COVER}"),
        _ => pair.to_owned(),
    }
}

/// Covers arguments that follow, or carry, a name that marks a secret: `--token X`, `--token=X`, `X-Api-Key: Y`.
fn cover_args(args: &mut [String]) {
    let mut next_is_secret = false;
    for arg in args.iter_mut() {
        if next_is_secret && !arg.starts_with('-') {
            cover(arg);
            next_is_secret = false;
            continue;
        }
        let end = arg.find(['=', ':', ' ']);
        let secret = names_secret(&arg[..end.unwrap_or(arg.len())]);
        match end {
            Some(end) if secret && !env::only_references(arg[end + 1..].trim()) => arg.replace_range(end + 1.., COVER),
            _ => next_is_secret = secret && arg.starts_with('-'),
        }
    }
}

/// The document's text with every literal secret replaced byte for byte, so that places stay true.
pub(crate) fn text(document: &Document) -> String {
    let mut bytes = document.text.clone().into_bytes();
    let mut spans = suspicious_lines(&document.text);
    secret_values(document.tree(), false, &mut spans);
    for span in spans {
        bytes[span].iter_mut().filter(|byte| !b"\r\n".contains(byte)).for_each(|byte| *byte = b'*');
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// Values of every `headers` and `env` table, arguments, macs and OAuth secrets, whatever table they stand in.
fn secret_values(node: &Node, secret: bool, spans: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Table(entries) => {
            for entry in entries {
                let marked = ["headers", "env", "args", "mac", "client_secret", "private_key"].contains(&&*entry.key);
                secret_values(&entry.node, secret || marked, spans);
            }
        }
        Value::Array(nodes) => nodes.iter().for_each(|node| secret_values(node, secret, spans)),
        Value::Text(text) if secret && !env::only_references(text) => spans.push(node.span.clone()),
        _ => {}
    }
}

/// What stands right of `=` on lines whose left side marks a secret: the tree of a broken file may miss them.
fn suspicious_lines(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let value = line.find('=').map(|at| at + 1);
        let secret = value.filter(|at| names_secret(&line[..*at]) && !line.contains("${"));
        let is_path = |at: usize| line[at..].trim().trim_start_matches('"').starts_with(['/', '.']);
        if let Some(at) = secret.filter(|at| !is_path(*at) && !line.trim_start().starts_with('[')) {
            spans.push(start + at..start + line.trim_end().len().max(at));
        }
        start += line.len();
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::{Oauth, Server};

    #[test]
    fn literal_secrets_are_covered_and_references_are_not() {
        let mut written = Config::default();
        let mut server =
            Server { url: Some("https://user:canary@h/p?k=canary&r=${env:R}".into()), ..Server::default() };
        server.headers.insert("authorization".into(), "Bearer canary".into());
        server.headers.insert("x".into(), "Bearer ${env:TOKEN}".into());
        server.args =
            ["--token", "canary", "--api-key=canary", "X-Api-Key: canary", "-v", "path"].map(Into::into).into();
        server.oauth = Some(Oauth {
            client_secret: Some("canary".into()),
            private_key: Some("${env:KEY}".into()),
            ..Oauth::default()
        });
        written.servers.insert("a".into(), server);
        let text = toml::to_string(&config(&written)).expect("toml");
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("Bearer ${env:TOKEN}") && text.contains("${env:KEY}") && text.contains("path"), "{text}");
        assert!(text.contains("https://********@h/p?k=********&r=${env:R}"), "{text}");
    }

    #[test]
    fn shown_text_keeps_its_places() {
        let text = "[servers.a.headers]\nx = \"canary\"\ny = \"${env:Y}\"\n[servers.b]\ntoken = \"canary\n";
        let masked = super::text(&Document::parse("t", text));
        assert_eq!(masked.len(), text.len());
        assert!(!masked.contains("canary") && masked.contains("${env:Y}"), "{masked}");
    }
}
