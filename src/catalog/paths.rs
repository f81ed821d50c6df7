//! Whether a URI walks up its own path. A pattern such as `file:///docs/*` must not cover `file:///docs/../keys`, which
//! a server would read as `file:///keys`.

/// Whether some segment of a URI is `.` or `..`, however it is encoded. Segments end at `/` and `\`; both, and the dot,
/// may be percent-encoded, also more than once.
pub(super) fn has_dot_segment(uri: &str) -> bool {
    let mut rest = uri.as_bytes();
    // How many bytes this segment has so far, and whether all of them are dots.
    let (mut len, mut dots) = (0_usize, true);
    let is_dots = |len: usize, dots: bool| dots && (len == 1 || len == 2);
    while let Some((byte, behind)) = take(rest) {
        if matches!(byte, b'/' | b'\\') {
            if is_dots(len, dots) {
                return true;
            }
            (len, dots) = (0, true);
        } else {
            len += 1;
            dots &= byte == b'.';
        }
        rest = behind;
    }
    is_dots(len, dots)
}

/// A URI in the one spelling of all that a server may read alike: decoded, in small letters, with single slashes. For
/// what is excluded, where too much does no harm.
pub(super) fn folded(uri: &str) -> Vec<u8> {
    let (mut rest, mut out) = (uri.as_bytes(), Vec::with_capacity(uri.len()));
    while let Some((byte, behind)) = take(rest) {
        let byte = if byte == b'\\' { b'/' } else { byte.to_ascii_lowercase() };
        if byte != b'/' || out.last() != Some(&b'/') {
            out.push(byte);
        }
        rest = behind;
    }
    out
}

/// The first byte, decoded as often as it is encoded.
fn take(text: &[u8]) -> Option<(u8, &[u8])> {
    let (first, mut rest) = text.split_first()?;
    if *first != b'%' {
        return Some((*first, rest));
    }
    let plain = rest;
    while let Some(behind) = rest.strip_prefix(b"25") {
        rest = behind;
    }
    let digit = |at: usize| char::from(*rest.get(at)?).to_digit(16);
    match (digit(0), digit(1)) {
        (Some(high), Some(low)) => Some((u8::try_from(high << 4 | low).unwrap_or(b'%'), &rest[2..])),
        _ => Some((b'%', plain)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_upwards_are_found_however_they_are_written() {
        for bad in [
            "file:///docs/../keys",
            "file:///docs/..",
            "file:///docs/./x",
            "a://h/%2e%2e/x",
            "a://h/%2E./x",
            "a://h/..%2fx",
            "a://h/x%5c..%5Cy",
            "a://h/x\\..\\y",
            "a://h/%252e%252e/x",
            "a://h/%25252e%2e/x",
            "..",
            "../x",
        ] {
            assert!(has_dot_segment(bad), "{bad}");
        }
        for good in
            ["", "file:///docs/a..b/x", "a://h/...", "a:b", "a://h/.x", "a://h/x.", "a://h/%", "a://h/%2", "a://%zz"]
        {
            assert!(!has_dot_segment(good), "{good}");
        }
    }

    #[test]
    fn any_text_is_looked_at() {
        bolero::check!().with_type::<String>().for_each(|text| {
            let _ = has_dot_segment(text);
        });
    }
}
