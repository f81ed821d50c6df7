//! Heads as we write them: built fresh, every value checked, never copied from a peer's.

use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result};
use crate::wire::http::chunk::{is_tchar, is_text};
use std::cell::Cell;
use std::io::Write;

/// How an answer's length is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// So many bytes.
    Known(usize),
    /// Chunked.
    Chunked,
    /// No header: the status has no body, or the connection's end is the body's.
    Unsaid,
}

/// Appends `name: value` after checking that neither can end the line early.
///
/// # Errors
/// The name is not a token or the value holds a control character: sending it could forge a header.
pub(crate) fn push_header(out: &mut Vec<u8>, name: &str, value: &str) -> Result<()> {
    // Every byte is looked at, so that many are at once.
    let sendable = name.bytes().fold(true, |all, byte| all & is_tchar(byte));
    let sendable = value.bytes().fold(sendable, |all, byte| all & is_text(byte));
    if name.is_empty() || !sendable {
        return Err(Error::new(Kind::InvalidParams, "a header to be sent holds a character that is not allowed in it"));
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Appends a whole response head.
///
/// # Errors
/// As [`push_header`], but the fault is ours: [`Kind::Internal`].
pub(crate) fn response_head(
    out: &mut Vec<u8>,
    status: u16,
    headers: &[(&str, &str)],
    length: Length,
    connection: Option<&str>,
) -> Result<()> {
    if let (200, [("content-type", "application/json")], Length::Known(bytes)) = (status, headers, length) {
        out.extend_from_slice(&usual());
        push_number(out, bytes);
        out.extend_from_slice(b"\r\n");
    } else {
        status_line(out, status);
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(&usual()[DATE_AT..DATE_AT + DATE_LEN]);
        out.extend_from_slice(b"\r\n");
        for (name, value) in headers {
            push_header(out, name, value).map_err(|error| Error::new(Kind::Internal, error.context))?;
        }
        push_length(out, length);
    }
    if let Some(connection) = connection {
        push_header(out, "connection", connection)?;
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Appends `content-length` or `transfer-encoding`.
pub(crate) fn push_length(out: &mut Vec<u8>, length: Length) {
    match length {
        Length::Known(bytes) => {
            out.extend_from_slice(b"content-length: ");
            push_number(out, bytes);
            out.extend_from_slice(b"\r\n");
        }
        Length::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Length::Unsaid => {}
    }
}

/// Appends a decimal number.
pub(crate) fn push_number(out: &mut Vec<u8>, number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        digits[at] = b"0123456789"[left % 10];
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, usize::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The usual words for a status; may be empty.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// Length of a date in a head (IMF-fixdate, RFC 9110 5.6.7).
const DATE_LEN: usize = 29;
/// Where it stands in the usual head.
const DATE_AT: usize = 23;

/// The head of nearly every answer, up to the number that is its length.
type Usual = [u8; USUAL.len()];
const USUAL: &[u8; 102] =
    b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-type: application/json\r\ncontent-length: ";

thread_local! {
    /// The second last rendered and the usual head in it: rendering a date costs more than the rest of a head.
    static RENDERED: Cell<(u64, Usual)> = const { Cell::new((0, *USUAL)) };
}

/// The usual head now.
fn usual() -> Usual {
    let second = Clock::recent_wall().0 / 1000;
    let (rendered, mut head) = RENDERED.get();
    if rendered != second {
        head[DATE_AT..DATE_AT + DATE_LEN].copy_from_slice(&render_date(second));
        RENDERED.set((second, head));
    }
    head
}

fn render_date(second: u64) -> [u8; DATE_LEN] {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = second / 86_400;
    let (year, month, day) = civil(days);
    let (hour, minute, of_minute) = (second / 3600 % 24, second / 60 % 60, second % 60);
    let mut text = [b' '; DATE_LEN];
    let name = |names: &[&'static str], at: u64| usize::try_from(at).ok().and_then(|at| names.get(at).copied());
    let weekday = name(&DAYS, days % 7).unwrap_or("");
    let month = name(&MONTHS, month - 1).unwrap_or("");
    // Years of four digits fill the buffer exactly; a longer year is cut, which is a clock gone wrong.
    let _ = write!(&mut text[..], "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{of_minute:02} GMT");
    text
}

/// Year, month (1 to 12) and day of the `days`th day after 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // Days are counted from 0000-03-01, so that the leap day is a year's last.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Instant, WallTime};

    #[test]
    fn dates() {
        let text = |second| String::from_utf8(render_date(second).to_vec()).unwrap();
        assert_eq!(text(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(text(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(text(4_107_542_399), "Sun, 28 Feb 2100 23:59:59 GMT");
        assert_eq!(text(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
    }

    #[test]
    fn a_head_is_whole_and_nothing_can_be_slipped_in() {
        Clock::simulate(Instant(0), WallTime(784_111_777_000));
        let mut out = Vec::new();
        let headers = [("content-type", "application/json")];
        response_head(&mut out, 404, &headers, Length::Known(1070), Some("close")).unwrap();
        let text = "HTTP/1.1 404 Not Found\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                    content-type: application/json\r\ncontent-length: 1070\r\nconnection: close\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), text);
        let mut out = Vec::new();
        let headers = [("content-type", "application/json")];
        response_head(&mut out, 200, &headers, Length::Known(0), None).unwrap();
        response_head(&mut out, 200, &[headers[0], ("a", "b")], Length::Known(12), None).unwrap();
        let text = "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                    content-type: application/json\r\ncontent-length: 0\r\n\r\n\
                    HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                    content-type: application/json\r\na: b\r\ncontent-length: 12\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), text);
        Clock::end_simulation();
        for (name, value) in [("a b", "c"), ("", "c"), ("a", "b\r\nx-evil: 1"), ("a", "b\nc"), ("a", "\0"), ("a:", "b")]
        {
            assert!(push_header(&mut Vec::new(), name, value).is_err(), "{name:?} {value:?}");
        }
    }
}
