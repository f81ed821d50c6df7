//! The inside of JSON strings: runs of plain bytes found sixteen at a time, escapes read and written.

use std::borrow::Cow;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Bytes of `word` equal to zero, marked in their high bit; exact up to and including the first.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Bytes looked at in one step.
const STEP: usize = 16;

/// How many bytes of `chunk` come before the end of a run (`"`, `\`, below 0x20; beyond ASCII too in a run of ASCII).
///
/// Written so that compilers take all bytes at once, in whatever vectors every processor of the target has.
#[inline]
fn run_in<const ASCII: bool>(chunk: &[u8; STEP]) -> usize {
    let mut stops = [0; STEP];
    for (stop, &byte) in stops.iter_mut().zip(chunk) {
        if is_stop::<ASCII>(byte) {
            *stop = 0xFF;
        }
    }
    u128::from_le_bytes(stops).trailing_zeros() as usize / 8
}

/// The first place at or after `at` that holds `"`, `\` or a control character; the length if there is none.
#[inline]
pub(super) fn plain_run_end(text: &[u8], at: usize) -> usize {
    run_end::<false>(text, at)
}

/// The same, but a byte beyond ASCII ends the run too: what it passes over is UTF-8 without another look.
#[inline]
pub(super) fn ascii_run_end(text: &[u8], at: usize) -> usize {
    run_end::<true>(text, at)
}

fn run_end<const ASCII: bool>(text: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let run = run_in::<ASCII>(chunk);
        at += run;
        if run < STEP {
            return at;
        }
    }
    let rest = text.get(at..).unwrap_or_default();
    rest.iter().position(|&byte| is_stop::<ASCII>(byte)).map_or(text.len(), |found| at + found)
}

/// The first place at or after `at` that holds `"` or `\`; the length if there is none.
#[inline]
pub(super) fn quote_or_backslash(text: &[u8], mut at: usize) -> usize {
    for _ in 0..2 {
        let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) else { break };
        let word = u64::from_le_bytes(*chunk);
        let found = zeros(word ^ (ONES * b'"' as u64)) | backslashes(word);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    memchr::memchr2(b'"', b'\\', rest).map_or(text.len(), |found| at + found)
}

const fn is_stop<const ASCII: bool>(byte: u8) -> bool {
    // As a signed number, a byte beyond ASCII is below 0x20 too.
    let low = if ASCII { byte.cast_signed() < 0x20 } else { byte < 0x20 };
    low || byte == b'"' || byte == b'\\'
}

/// The value of four hex digits at `at`; nothing if they are not there.
pub(super) fn hex4(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    digits.iter().try_fold(0, |sum, &digit| Some(sum << 4 | char::from(digit).to_digit(16)?))
}

/// The character of the escape whose backslash stands at `at`, and where it ends; nothing for what RFC 8259 section 7
/// does not know, and for a surrogate without its other half.
pub(super) fn escape(text: &[u8], at: usize) -> Option<(char, usize)> {
    let plain = match *text.get(at + 1)? {
        same @ (b'"' | b'\\' | b'/') => char::from(same),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(text, at),
        _ => return None,
    };
    Some((plain, at + 2))
}

fn unicode_escape(text: &[u8], at: usize) -> Option<(char, usize)> {
    let first = hex4(text, at + 2)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some((char::from_u32(first)?, at + 6));
    }
    if text.get(at + 6..at + 8)? != b"\\u" {
        return None;
    }
    let second = hex4(text, at + 8)?;
    if !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    let joined = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    Some((char::from_u32(joined)?, at + 12))
}

/// The inside of a string (without its quotes) with its escapes read. Borrowed where it has none.
pub(super) fn unescape(inside: &[u8]) -> Option<Cow<'_, str>> {
    if !has_escape(inside) {
        return std::str::from_utf8(inside).ok().map(Cow::Borrowed);
    }
    let mut out = Vec::with_capacity(inside.len());
    let mut at = 0;
    while at < inside.len() {
        let run = memchr::memchr(b'\\', &inside[at..]).map_or(inside.len(), |found| at + found);
        out.extend_from_slice(&inside[at..run]);
        at = run;
        if at < inside.len() {
            let (character, after) = escape(inside, at)?;
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            at = after;
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// Whether the inside of a string has an escape; most are too short for `memchr` to pay.
#[inline]
pub(super) fn has_escape(inside: &[u8]) -> bool {
    if inside.len() > STEP {
        return memchr::memchr(b'\\', inside).is_some();
    }
    // The first and the last bytes, which overlap where there are fewer.
    match (inside.first_chunk(), inside.last_chunk()) {
        (Some(head), Some(tail)) => {
            (backslashes(u64::from_le_bytes(*head)) | backslashes(u64::from_le_bytes(*tail))) != 0
        }
        _ => inside.iter().fold(false, |any, &byte| any | (byte == b'\\')),
    }
}

/// Whether a word has a backslash: not zero, then.
const fn backslashes(word: u64) -> u64 {
    zeros(word ^ (ONES * b'\\' as u64))
}

/// Appends `text` as a JSON string, quotes included.
pub(super) fn quote(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let run = plain_run_end(bytes, 0);
    out.extend_from_slice(&bytes[..run]);
    if run < bytes.len() {
        escape_rest(out, &bytes[run..]);
    }
    out.push(b'"');
}

/// Appends what begins with a byte that needs an escape.
fn escape_rest(out: &mut Vec<u8>, mut rest: &[u8]) {
    while let Some((&byte, after)) = rest.split_first() {
        write_escape(out, byte);
        let (run, more) = after.split_at(plain_run_end(after, 0));
        out.extend_from_slice(run);
        rest = more;
    }
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_run_ends_at_the_first_stop_wherever_it_stands() {
        for stop in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for place in 0..40 {
                let mut text = vec![b'a'; 40];
                text[place] = stop;
                assert_eq!(plain_run_end(&text, 0), place, "{stop:#x} at {place}");
                assert_eq!(ascii_run_end(&text, 0), place, "{stop:#x} at {place}");
            }
        }
        let high = "é".repeat(20) + " !#[]~\u{7f}";
        assert_eq!(plain_run_end(high.as_bytes(), 0), high.len());
        for place in 0..40 {
            let text = "a".repeat(place) + &high;
            assert_eq!(ascii_run_end(text.as_bytes(), 0), place);
        }
    }

    #[test]
    fn an_escape_is_found_wherever_it_stands() {
        for len in 0..40 {
            let mut text = vec![0xDC; len];
            assert!(!has_escape(&text), "none in {len} bytes, though each differs from it in one bit alone");
            for place in 0..len {
                text[place] = b'\\';
                assert!(has_escape(&text), "at {place} of {len}");
                text[place] = b'a';
            }
        }
    }

    #[test]
    fn runs_end_where_a_look_at_each_byte_says() {
        bolero::check!().with_type::<(Vec<u8>, u8)>().for_each(|(text, from)| {
            let from = usize::from(*from).min(text.len());
            let plain = |byte: &u8| *byte >= 0x20 && !matches!(byte, b'"' | b'\\');
            let expected = |plain: &dyn Fn(&u8) -> bool| from + text[from..].iter().take_while(|b| plain(b)).count();
            assert_eq!(plain_run_end(text, from), expected(&plain));
            assert_eq!(ascii_run_end(text, from), expected(&|byte| byte.is_ascii() && plain(byte)));
        });
    }

    #[test]
    fn escapes_read_as_rfc_8259_section_7_says() {
        let read = |text: &'static [u8]| unescape(text).map(Cow::into_owned);
        assert_eq!(read(br#"\"\\\/\b\f\n\r\t"#).as_deref(), Some("\"\\/\u{8}\u{c}\n\r\t"));
        assert_eq!(read(br"met\u0068od").as_deref(), Some("method"));
        assert_eq!(read(br"\ud83d\uDE00").as_deref(), Some("😀"));
        for bad in [&br"\x"[..], br"\u12", br"\u12g4", br"\ud83d", br"\ud83dx", br"\ud83d\u0041", br"\ude00", br"\"] {
            assert_eq!(unescape(bad), None, "{}", String::from_utf8_lossy(bad));
        }
        assert!(matches!(unescape(b"plain"), Some(Cow::Borrowed("plain"))));
    }

    #[test]
    fn quoting_and_reading_back_gives_the_same_text() {
        bolero::check!().with_type::<String>().for_each(|text| {
            let mut out = Vec::new();
            quote(&mut out, text);
            assert_eq!(unescape(&out[1..out.len() - 1]).as_deref(), Some(text.as_str()));
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), *text);
        });
    }
}
