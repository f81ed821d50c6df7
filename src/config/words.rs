//! The parser's words turned into ours: what was expected, and the nearest name for one that is unknown.

/// How far a name may be from the one that was meant, 1.0 being equal.
const NEAR_ENOUGH: f64 = 0.7;

/// What is wrong and what to do, from a parser's message. The message's values are left out: they may be secrets.
pub(crate) fn explain(message: &str) -> (String, Option<String>) {
    let unknown_key = message.strip_prefix("unknown field `").map(|rest| ("key", rest));
    let unknown_value = message.strip_prefix("unknown variant `").map(|rest| ("value", rest));
    if let Some((kind, rest)) = unknown_key.or(unknown_value) {
        return explain_unknown(kind, rest);
    }
    if let Some((found, expected)) = message.strip_prefix("invalid type: ").and_then(|m| m.rsplit_once(", expected ")) {
        let found = found.split(['`', '"']).next().unwrap_or("").trim();
        return (format!("expected {}, found {}", plain(expected), article(found)), None);
    }
    if let Some((_, expected)) = message.strip_prefix("invalid value: ").and_then(|m| m.rsplit_once(", expected ")) {
        return (format!("expected {}", plain(expected)), None);
    }
    (lower_first(message), Some("see https://toml.io for the syntax".into()))
}

fn explain_unknown(kind: &str, rest: &str) -> (String, Option<String>) {
    let (name, expected) = rest.split_once("`, expected ").unwrap_or((rest.trim_end_matches('`'), ""));
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let help = match nearest(name, known.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if known.is_empty() => Some("this table takes no keys".into()),
        None => Some(format!("known here: {}", known.join(", "))),
    };
    (format!("unknown {kind} `{}`", visible(name)), help)
}

/// The known name nearest to one that is not known, where any is near enough.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
    let scored = known.into_iter().map(|known| (score(known), known)).filter(|(score, _)| *score >= NEAR_ENOUGH);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// The text with control characters escaped, cut to a line's length, for a message.
pub(crate) fn visible(text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", cut.escape_debug())
}

fn plain(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a boolean" => "true or false",
        "a string" => "text in quotes",
        "a sequence" => "a list in brackets",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

fn article(found: &str) -> String {
    let word = match found {
        "string" => "text",
        "integer" => "number",
        "floating point" => "number with a point",
        "sequence" => "list",
        "map" => "table",
        other => other,
    };
    if word == "text" { word.into() } else { format!("a {word}") }
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered() {
        let (what, help) = explain("unknown field `adress`, expected one of `address`, `tls`");
        assert_eq!(what, "unknown key `adress`");
        assert_eq!(help.as_deref(), Some("did you mean `address`?"));
        let (_, help) = explain("unknown field `zzz`, expected `allow`");
        assert_eq!(help.as_deref(), Some("known here: allow"));
    }

    #[test]
    fn values_are_not_repeated() {
        let (what, _) = explain("invalid type: string \"canary, expected u8\", expected u64");
        assert_eq!(what, "expected a whole number, not negative, found text");
        assert_eq!(
            explain("invalid type: integer `5`, expected a string").0,
            "expected text in quotes, found a number"
        );
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
    }
}
