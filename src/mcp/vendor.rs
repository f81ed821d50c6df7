//! Extensions that the gate does not know, by allow-list: what client and server declare of them, and members of
//! `_meta` under their prefix, pass as they are (docs/decisions/0010-unknown-extensions.md).

use crate::wire::rpc;

/// Longest identifier of an extension, in bytes.
const NAME_MAX: usize = 128;

/// Why text is not the identifier of an extension that may be allowed; nothing where it is one (2026-07-28 basic,
/// `_meta` keys: a prefix of labels, a slash, a name).
pub fn wrong_name(name: &str) -> Option<&'static str> {
    let Some((prefix, own)) = name.split_once('/') else {
        return Some("has no \"/\" between its prefix and its name");
    };
    let is_word = |word: &str, more: &str| {
        let all = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.as_bytes().contains(&byte));
        let ends = word.bytes().next().zip(word.bytes().next_back());
        all && ends.is_some_and(|(first, last)| first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
    };
    let is_label = |label: &str| is_word(label, "-") && label.starts_with(|first: char| first.is_ascii_alphabetic());
    if name.len() > NAME_MAX || !prefix.split('.').all(is_label) || !is_word(own, "-_.") {
        return Some("is no extension's identifier");
    }
    match prefix.split('.').nth(1).unwrap_or(prefix) {
        "modelcontextprotocol" | "mcp" => {
            Some("is an extension of MCP itself, which the gate carries or not by itself")
        }
        _ => None,
    }
}

/// What a client said in a modern request, raw; empty where it said nothing of the kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Declared<'a> {
    /// Its capabilities.
    pub capabilities: &'a [u8],
    /// Its `_meta`.
    pub meta: &'a [u8],
}

/// What of that goes to one server: raw members without braces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried<'a> {
    /// Of `clientCapabilities.extensions`.
    pub extensions: &'a [u8],
    /// Of `_meta`.
    pub meta: &'a [u8],
}

/// The members of a raw `extensions` object that are allowed and are objects.
pub fn allowed<'a>(extensions: &[u8], names: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut out = Vec::new();
    for name in names {
        if let Some(settings) = rpc::field(extensions, name).filter(|raw| rpc::is_object(raw)) {
            put(&mut out, name, settings);
        }
    }
    out
}

/// What of a client's words goes to a server that may have these extensions and offers those of a raw object: what both
/// declare, and the members of `_meta` under the prefix of one of them.
pub fn carried<'a>(
    declared: Declared<'_>,
    names: &[Box<str>],
    offered: impl FnOnce() -> &'a [u8],
) -> (Vec<u8>, Vec<u8>) {
    if names.is_empty() {
        return Default::default();
    }
    let offered = offered();
    let asked = rpc::field(declared.capabilities, "extensions").unwrap_or_default();
    let is_common = |name: &&str| [asked, offered].iter().all(|all| rpc::field(all, name).is_some_and(rpc::is_object));
    let common: Vec<&str> = names.iter().map(|name| &**name).filter(is_common).collect();
    let mut meta = Vec::new();
    for field in rpc::object_fields(declared.meta) {
        let Ok(key) = std::str::from_utf8(&field.key) else { continue };
        let prefix = |name: &str| name.split_once('/').map(|(prefix, _)| prefix.to_owned());
        if prefix(key).is_some() && common.iter().any(|name| prefix(name) == prefix(key)) {
            put(&mut meta, key, field.value);
        }
    }
    (allowed(asked, common.iter().copied()), meta)
}

/// A raw capabilities object with more members of `extensions`.
pub fn with_extensions(capabilities: &[u8], members: &[u8]) -> Vec<u8> {
    let known = rpc::field(capabilities, "extensions").and_then(|raw| raw.strip_suffix(b"}")).unwrap_or(b"{");
    let joint: &[u8] = if known == b"{" { b"" } else { b"," };
    let all = [known, joint, members, b"}"].concat();
    let mut out = Vec::with_capacity(capabilities.len() + all.len());
    rpc::edit(&mut out, capabilities, &[rpc::Edit::Set("extensions", &all)]);
    out
}

fn put(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    if !out.is_empty() {
        out.push(b',');
    }
    rpc::quote(out, key);
    out.push(b':');
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_held_against_their_grammar() {
        for good in ["com.example/thing", "a/b", "x-y.z9/A_b.c-d", "com.example/7"] {
            assert_eq!(wrong_name(good), None, "{good}");
        }
        let long = format!("com.example/{}", "x".repeat(NAME_MAX));
        for bad in [
            "",
            "thing",
            "/x",
            "com.example/",
            "com..example/x",
            "-a/b",
            "a-/b",
            "1a/b",
            "a/b/c",
            "a/-b",
            "a b/c",
            &long,
        ] {
            assert!(wrong_name(bad).is_some(), "{bad}");
        }
        for reserved in ["io.modelcontextprotocol/tasks", "com.mcp/x", "mcp/x", "modelcontextprotocol/x"] {
            assert!(wrong_name(reserved).unwrap().contains("MCP itself"), "{reserved}");
        }
    }

    #[test]
    fn only_what_is_allowed_and_declared_on_both_sides_passes() {
        let names: Vec<Box<str>> = vec!["com.a/x".into(), "com.b/y".into()];
        let capabilities = br#"{"extensions":{"com.a/x":{ "v":1.0 },"com.b/y":{},"com.c/z":{}}}"#;
        let meta = br#"{"com.a/note":[1 ],"com.b/note":1,"com.c/note":2,"com.a.b/note":3,"com.a":4,"progressToken":5}"#;
        let declared = Declared { capabilities, meta };
        let (extensions, meta) = carried(declared, &names, || br#"{"com.a/x":{},"com.b/y":true}"#);
        assert_eq!(String::from_utf8(extensions).unwrap(), r#""com.a/x":{ "v":1.0 }"#);
        assert_eq!(String::from_utf8(meta).unwrap(), r#""com.a/note":[1 ]"#);
        assert_eq!(carried(declared, &[], || unreachable!("nothing is allowed")), Default::default());
        assert_eq!(carried(declared, &names, || b""), Default::default());
        assert_eq!(carried(Declared::default(), &names, || br#"{"com.a/x":{}}"#), Default::default());
    }

    #[test]
    fn members_join_those_that_are_there() {
        let joined =
            |capabilities: &str| String::from_utf8(with_extensions(capabilities.as_bytes(), b"\"a/b\":{}")).unwrap();
        assert_eq!(joined("{}"), r#"{"extensions":{"a/b":{}}}"#);
        assert_eq!(
            joined(r#"{"roots":{},"extensions":{"x/y":{}}}"#),
            r#"{"roots":{},"extensions":{"x/y":{},"a/b":{}}}"#
        );
    }
}
