//! References of other programs turned into ours, and literal secrets into references to credentials.

use super::Fit;
use super::convert::Draft;
use crate::config::mask::names_secret;

/// Words that stand before a secret in a header.
const SCHEMES: [&str; 4] = ["Bearer ", "bearer ", "Basic ", "Token "];

/// A value as we write it: known references renamed, anything else that looks like one kept from being read as ours.
pub(super) fn references(value: &str, place: &str, draft: &mut Draft) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((inner, behind)) = after.split_once('}') else {
            out.push_str("$${");
            rest = after;
            continue;
        };
        out.push_str(&reference(inner, place, draft));
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn reference(inner: &str, place: &str, draft: &mut Draft) -> String {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if let Some(id) = inner.strip_prefix("input:") {
        let credential = draft.credential(id);
        draft.note(
            Fit::NeedsYou,
            format!("{place} was asked for as input `{id}`: put it into the credential `{credential}`"),
        );
        return format!("${{credential:{credential}}}");
    }
    if matches!(inner, "userHome" | "workspaceFolder" | "workspaceFolderBasename" | "pathSeparator" | "/") {
        draft.note(
            Fit::NeedsYou,
            format!("{place} holds `${{{inner}}}`, which only an editor knows: write the path itself"),
        );
        return format!("$${{{inner}}}");
    }
    let name = inner.strip_prefix("env:").unwrap_or(inner);
    let bare = name.split_once(":-").map_or(name, |(bare, _)| bare);
    if is_name(bare) {
        draft.note(Fit::Exact, String::new());
        return format!("${{env:{name}}}");
    }
    draft.note(Fit::NeedsYou, format!("{place} holds a reference that is not known here; it is kept as plain text"));
    format!("$${{{inner}}}")
}

/// A named value (header, variable): a literal secret becomes a reference to a credential.
pub(super) fn named(name: &str, value: &str, place: &str, draft: &mut Draft) -> String {
    let written = references(value, place, draft);
    if written != value || !names_secret(name) || value.is_empty() || value.contains("${") {
        return written;
    }
    let scheme = SCHEMES.iter().find(|scheme| value.starts_with(**scheme)).unwrap_or(&"");
    format!("{scheme}{}", moved(name, place, draft))
}

/// Arguments: a secret behind a telling name becomes a reference (`--token X`, `--token=X`, `Authorization: Bearer X`).
pub(super) fn args(args: &[String], draft: &mut Draft) -> Vec<String> {
    let mut out = Vec::new();
    let mut flag: Option<String> = None;
    for (at, arg) in args.iter().enumerate() {
        let place = format!("argument {}", at + 1);
        if let Some(name) = flag.take().filter(|_| !arg.starts_with('-')) {
            out.push(named(name.trim_start_matches('-'), arg, &place, draft));
            continue;
        }
        let end = arg.find(['=', ':']).filter(|end| !arg[*end..].starts_with("://"));
        match end {
            Some(end) if names_secret(&arg[..end]) => {
                let value = arg[end + 1..].trim_start();
                let (head, name) = (&arg[..arg.len() - value.len()], arg[..end].trim_start_matches('-'));
                out.push(format!("{head}{}", named(name, value, &place, draft)));
            }
            _ => {
                flag = (arg.starts_with('-') && end.is_none() && names_secret(arg)).then(|| arg.clone());
                out.push(references(arg, &place, draft));
            }
        }
    }
    out
}

/// A URL: a password or a secret in its query becomes a reference.
pub(super) fn url(url: &str, draft: &mut Draft) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let base = references(base, "the url", draft);
    let authority = base.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    if authority.is_some_and(|authority| authority.contains('@')) {
        draft.note(
            Fit::Unsupported,
            "the url holds a user name or password; send it as an `authorization` header".into(),
        );
    }
    let Some(query) = query else { return base };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{name}={}", named(name, value, &format!("`{name}` in the url"), draft)),
        None => pair.to_owned(),
    });
    format!("{base}?{}", pairs.collect::<Vec<_>>().join("&"))
}

fn moved(name: &str, place: &str, draft: &mut Draft) -> String {
    let credential = draft.credential(name);
    draft.note(Fit::NeedsYou, format!("{place} holds a secret, not copied: put it into the credential `{credential}`"));
    format!("${{credential:{credential}}}")
}
