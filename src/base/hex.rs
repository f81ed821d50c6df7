//! Bytes as hex digits, and back.

/// Bytes as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hex digits as exactly `N` bytes.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let sane = text.len() == N * 2 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let mut out = [0; N];
    for (at, byte) in out.iter_mut().enumerate().take(if sane { N } else { 0 }) {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
    }
    sane.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways() {
        assert_eq!(unhex::<2>(&hex(&[0, 255])), Some([0, 255]));
        for bad in ["", "00f", "00fg", "00ff0", "+1+1"] {
            assert_eq!(unhex::<2>(bad), None, "{bad}");
        }
    }
}
