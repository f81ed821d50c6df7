//! Figures as people read them: three digits that matter, and always the unit.

/// A time given in microseconds: `48.3 µs`, `1.25 ms`, `2.00 s`.
pub fn time(micros: f64) -> String {
    match micros.abs() {
        less if less < 999.5 => format!("{} µs", digits(micros)),
        less if less < 999_500.0 => format!("{} ms", digits(micros / 1e3)),
        _ => format!("{} s", digits(micros / 1e6)),
    }
}

/// A rate in events a second: `4,998 /s`.
pub fn rate(a_second: f64) -> String {
    format!("{} /s", plain(a_second))
}

/// A share, 1.0 being all: `12.3 %`.
pub fn share(of_one: f64) -> String {
    format!("{} %", digits(of_one * 100.0))
}

/// A change with its sign: `+5.0 %`; what came up from nothing is `new`.
pub fn change(of_one: f64) -> String {
    match of_one {
        same if same.abs() < 0.000_5 => "0.0 %".to_owned(),
        less if less < 10.0 => format!("{:+.1} %", less * 100.0),
        more if more.is_finite() => format!("×{}", plain(more + 1.0)),
        _ => "new".to_owned(),
    }
}

/// Bytes in binary units: `1.21 MiB`.
pub fn bytes(count: u64) -> String {
    let mut value = float(count);
    let mut names = ["B", "KiB", "MiB", "GiB", "TiB"].iter().peekable();
    while let Some(name) = names.next() {
        if value < 1024.0 || names.peek().is_none() {
            return format!("{} {name}", digits(value));
        }
        value /= 1024.0;
    }
    String::new()
}

/// A whole number in groups of three: `1,250,000`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number without a unit: three digits that matter below a thousand, whole and grouped above.
pub fn plain(number: f64) -> String {
    if number.abs() < 999.5 {
        return digits(number);
    }
    let sign = if number < 0.0 { "-" } else { "" };
    format!("{sign}{}", count(whole(number.abs())))
}

/// A moment of the Unix clock, in milliseconds, as date and time of day: `2026-11-23 01:02:03 UTC`.
pub fn date(unix_ms: u64) -> String {
    let (days, second) = (unix_ms / 86_400_000, unix_ms / 1000 % 86_400);
    let (year, month, day) = civil(days);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day of a day counted from 1970-01-01. Years begin in March here, so that the leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// A count as a floating-point number; above 2^53 the last digits are lost, which no figure here shows.
#[allow(clippy::cast_precision_loss, reason = "figures are read to three digits")]
pub fn float(number: u64) -> f64 {
    number as f64
}

/// The nearest whole number; zero for what is negative or no number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, and rounded is whole")]
pub fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// Three digits that matter; zero has one.
fn digits(number: f64) -> String {
    match number.abs() {
        zero if zero < 0.000_5 => "0".to_owned(),
        less if less < 0.995 => format!("{number:.3}"),
        less if less < 9.995 => format!("{number:.2}"),
        less if less < 99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_change_their_unit_where_they_round_up() {
        let cases = [
            (0.0, "0 µs"),
            (0.25, "0.250 µs"),
            (48.26, "48.3 µs"),
            (999.4, "999 µs"),
            (999.6, "1.00 ms"),
            (1_254.0, "1.25 ms"),
            (999_600.0, "1.00 s"),
            (61_000_000.0, "61.0 s"),
        ];
        for (micros, text) in cases {
            assert_eq!(time(micros), text);
        }
    }

    #[test]
    fn counts_are_grouped() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_250_000, "1,250,000"), (12_345, "12,345")];
        for (number, text) in cases {
            assert_eq!(count(number), text);
        }
        assert_eq!(rate(4_998.4), "4,998 /s");
        assert_eq!(plain(-1_234.0), "-1,234");
        assert_eq!(bytes(1_268_777), "1.21 MiB");
        assert_eq!(bytes(1023), "1023 B");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_827_696_000, "2000-02-29 12:34:56 UTC"),
            (1_795_000_000_000, "2026-11-18 11:06:40 UTC"),
            (4_107_542_399_000, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ];
        for (unix_ms, text) in cases {
            assert_eq!(date(unix_ms), text);
        }
    }

    #[test]
    fn changes_carry_their_sign() {
        let cases = [(0.05, "+5.0 %"), (-0.031, "-3.1 %"), (0.0, "0.0 %"), (-0.0, "0.0 %"), (24.0, "×25.0")];
        for (of_one, text) in cases {
            assert_eq!(change(of_one), text);
        }
        assert_eq!(change(f64::INFINITY), "new");
        assert_eq!(share(0.123), "12.3 %");
    }
}
