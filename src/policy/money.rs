//! Money in whole micro-dollars, read and written without a float.

use std::fmt;

/// Digits behind the point that an amount may have.
const FRACTION_DIGITS: usize = 6;
/// Micro-dollars of a dollar.
const PER_DOLLAR: u64 = 1_000_000;
/// Digits of a number that are kept; what follows them is rounded up.
const DIGITS_MAX: usize = 18;
/// Exponent from which on a number is more, or less, than any amount: 38 digits times ten to this are.
const EXPONENT_MAX: i64 = 60;

/// An amount in micro-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(pub u64);

impl Money {
    /// The most there is: 18,446,744,073,709.551615 dollars.
    pub const MAX: Self = Self(u64::MAX);

    /// Reads dollars as `5`, `0.002` or `18446744073709.551615`, exactly; nothing where it is not that.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !plain(whole) || !plain(part) || part.len() > FRACTION_DIGITS {
            return None;
        }
        let behind: u64 = format!("{part:0<FRACTION_DIGITS$}").parse().ok()?;
        whole.parse::<u64>().ok()?.checked_mul(PER_DOLLAR)?.checked_add(behind).map(Self)
    }

    /// Both together, or the most there is.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of it without the other; nothing where that is more.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / PER_DOLLAR, format!("{:06}", self.0 % PER_DOLLAR));
        // Cents stand always, smaller parts where there are some.
        let end = part.trim_end_matches('0').len().max(2);
        write!(f, "{whole}.{}", &part[..end])
    }
}

/// A number that is not negative, as JSON writes it: `digits` times ten to the `exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    digits: u64,
    exponent: i64,
}

impl Count {
    /// A whole number.
    pub(super) fn of(number: u64) -> Self {
        // The largest numbers have two digits more than are kept.
        let short = number < 10_u64.pow(18);
        if short { Self { digits: number, exponent: 0 } } else { Self { digits: number.div_ceil(100), exponent: 2 } }
    }

    /// Reads a JSON number; nothing where it is none or negative. One that is too long is rounded up.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
        let has_fraction = part.is_empty() != number.contains('.');
        if whole.is_empty() || !has_fraction || !digits(whole) || !digits(part) {
            return None;
        }
        let exponent: i64 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
        let all: String = [whole, part].concat();
        let all = all.trim_start_matches('0');
        let kept = &all[..all.len().min(DIGITS_MAX)];
        let up = u64::from(all[kept.len()..].bytes().any(|digit| digit != b'0'));
        let dropped = i64::try_from(all.len() - kept.len()).ok()?;
        let behind = i64::try_from(part.len()).ok()?;
        let digits = if kept.is_empty() { 0 } else { kept.parse::<u64>().ok()? + up };
        Some(Self { digits, exponent: exponent.saturating_add(dropped).saturating_sub(behind) })
    }

    /// So many times an amount for each `per`, rounded up to the next micro-dollar.
    pub(super) fn times(self, each: Money, per: u64) -> Money {
        // Fits: fewer than 19 digits times 20.
        let mut product = u128::from(self.digits) * u128::from(each.0);
        if product == 0 {
            return Money(0);
        }
        for _ in 0..self.exponent.clamp(0, EXPONENT_MAX) {
            product = product.saturating_mul(10);
        }
        product = product.div_ceil(per.max(1).into());
        // Rounding up at each step comes to the same as rounding up once.
        for _ in 0..(-self.exponent).clamp(0, EXPONENT_MAX) {
            product = product.div_ceil(10);
        }
        Money(u64::try_from(product).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_exact() {
        let cases = [
            ("0", 0, "0.00"),
            ("5", 5_000_000, "5.00"),
            ("5.1", 5_100_000, "5.10"),
            ("0.002", 2_000, "0.002"),
            ("0.000001", 1, "0.000001"),
            ("18446744073709.551615", u64::MAX, "18446744073709.551615"),
        ];
        for (text, micros, shown) in cases {
            assert_eq!(Money::parse(text), Some(Money(micros)), "{text}");
            assert_eq!(Money(micros).to_string(), shown);
        }
        for bad in
            ["", ".", "5.", ".5", "-1", "+1", "1e3", "1,0", "$5", "0.0000001", "18446744073709.551616", " 1", "٣"]
        {
            assert_eq!(Money::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn counts_are_rounded_up_to_the_next_micro_dollar() {
        let cost = |count: &str, each: u64, per: u64| Count::parse(count).unwrap().times(Money(each), per).0;
        assert_eq!(cost("3", 40_000, 1), 120_000);
        assert_eq!(cost("0.0123456", 1_000_000, 1), 12_346);
        assert_eq!(cost("1e-9", 1_000_000, 1), 1, "never free");
        assert_eq!((cost("0", 7, 1), cost("0.0e5", 7, 1), cost("9", 0, 1)), (0, 0, 0));
        assert_eq!((cost("1024", 100, 1024), cost("1025", 100, 1024)), (100, 101));
        assert_eq!((cost("12.5e2", 3, 1), cost("1E+3", 3, 1)), (3_750, 3_000));
        assert_eq!((cost("1e999999999", 1, 1), cost("1e-999999999", u64::MAX, 1)), (u64::MAX, 1));
        assert_eq!(cost("184467440737095516150", u64::MAX, 1), u64::MAX);
        assert_eq!(cost("0.1000000000000000000000000000000000000001", 1_000_000, 1), 100_001, "rounded up");
        for bad in ["", "-1", "1.", ".5", "1e", "abc", "1e99999999999999999999", "0x1", "1_0", "--1", "1e--1"] {
            assert_eq!(Count::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(micros in any::<u64>()) {
            prop_assert_eq!(Money::parse(&Money(micros).to_string()), Some(Money(micros)));
        }

        #[test]
        fn whole_counts_cost_what_they_should(count in 0_u64..1 << 40, each in 0_u64..1 << 20, per in 1_u64..1 << 20) {
            let exact = u128::from(count) * u128::from(each);
            prop_assert_eq!(u128::from(Count::of(count).times(Money(each), per).0), exact.div_ceil(per.into()));
        }
    }
}
