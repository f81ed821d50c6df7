//! W3C trace context, level 1: who started a call, and the child we are of it.

use std::fmt;

/// Length of a `traceparent` value.
const TEXT_LEN: usize = 55;

/// A `traceparent` value of version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace, never all zeroes.
    pub trace_id: [u8; 16],
    /// The span that is the parent of whatever reads this, never all zeroes.
    pub span_id: [u8; 8],
    /// Trace flags; bit 0 is "sampled".
    pub flags: u8,
}

impl TraceContext {
    /// Reads a header or `_meta.traceparent`. Anything malformed is nothing: the specification has it ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let later_version = bytes.len() > 55 && bytes[55] == b'-' && !text.starts_with("00");
        if (bytes.len() != 55 && !later_version) || text.starts_with("ff") {
            return None;
        }
        if [bytes[2], bytes[35], bytes[52]] != [b'-'; 3] {
            return None;
        }
        hex::<1>(&bytes[..2])?;
        let (trace_id, span_id) = (hex(&bytes[3..35])?, hex(&bytes[36..52])?);
        let [flags] = hex(&bytes[53..55])?;
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(Self { trace_id, span_id, flags })
    }

    /// A trace of our own from random bytes, not sampled.
    pub fn fresh(random: [u8; 24]) -> Self {
        let mut trace_id = [0; 16];
        let mut span_id = [0; 8];
        trace_id.copy_from_slice(&random[..16]);
        span_id.copy_from_slice(&random[16..]);
        trace_id[15] |= u8::from(trace_id == [0; 16]);
        span_id[7] |= u8::from(span_id == [0; 8]);
        Self { trace_id, span_id, flags: 0 }
    }

    /// The same trace with our own span, which the server we call takes as its parent.
    #[must_use]
    pub fn child(self, mut span_id: [u8; 8]) -> Self {
        span_id[7] |= u8::from(span_id == [0; 8]);
        Self { span_id, ..self }
    }

    /// The value as a header or `_meta` carries it: lower-case hex and dashes.
    pub fn text(&self) -> [u8; TEXT_LEN] {
        let mut text = [b'-'; TEXT_LEN];
        text[..2].copy_from_slice(b"00");
        hex_into(&mut text[3..35], &self.trace_id);
        hex_into(&mut text[36..52], &self.span_id);
        hex_into(&mut text[53..], &[self.flags]);
        text
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

fn hex_into(out: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Lower-case hex of exactly `N` bytes.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(out)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_reads_and_writes_and_has_children() {
        let context = TraceContext::parse(GOOD).unwrap();
        assert_eq!(context.to_string(), GOOD);
        let child = context.child([1; 8]);
        assert_eq!(child.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0101010101010101-01");
        assert_eq!(context.child([0; 8]).span_id, [0, 0, 0, 0, 0, 0, 0, 1]);
        assert!(TraceContext::parse(&TraceContext::fresh([0; 24]).to_string()).is_some());
    }

    #[test]
    fn a_later_version_may_say_more() {
        assert!(TraceContext::parse(&format!("01{}-more", &GOOD[2..])).is_some());
        assert!(TraceContext::parse(&format!("{GOOD}-more")).is_none());
    }

    #[test]
    fn what_is_malformed_is_ignored() {
        let zero_trace = GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_span = GOOD.replace("00f067aa0ba902b7", &"0".repeat(16));
        let upper = GOOD.to_uppercase();
        let invalid = format!("ff{}", &GOOD[2..]);
        for bad in
            ["", "00", &GOOD[1..], &zero_trace, &zero_span, &upper, &invalid, "00_4bf92f3577b34da6a3ce929d0e0e4736-"]
        {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
        bolero::check!().with_type::<String>().for_each(|text| {
            if let Some(context) = TraceContext::parse(text) {
                assert!(text.ends_with(&context.to_string()[2..]) || text.len() > 55);
            }
        });
    }
}
