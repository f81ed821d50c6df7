//! What a call of a tool costs: at most, which is known from its arguments before it is made, and in fact, which for
//! some tools only the result tells.

use super::money::{Count, Money};
use crate::wire::rpc;
use std::fmt;

/// Characters of a result's or argument's pointer.
const POINTER_MAX: usize = 256;

/// The price of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// What every call costs.
    pub fixed: Money,
    /// What is added for what it is asked, or answers.
    pub metered: Option<Metered>,
}

/// The part of a price that differs from call to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metered {
    /// What is counted.
    pub by: Measure,
    /// What so many of it cost.
    pub each: Money,
    /// How many.
    pub per: u64,
    /// The most that a call costs, the fixed part included.
    pub max: Money,
}

/// What the varying part of a price counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A number in the arguments.
    Argument(Pointer),
    /// Bytes of the raw result.
    ResultBytes,
    /// A number in the result.
    ResultField(Pointer),
}

/// A place in a JSON text (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    text: Box<str>,
    steps: Box<[Box<str>]>,
}

/// What came back of a call, as far as its price goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came<'a> {
    /// A raw result.
    Result(&'a [u8]),
    /// Nothing that was read: an error of the server, or nobody knows what became of the call.
    Unknown,
    /// It was never sent.
    Unsent,
}

/// What a settled amount rests on, as its number in records ([`crate::audit::BASES`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Basis {
    /// The price as the operator wrote it.
    Priced = 0,
    /// The most that the call could cost, as its result did not say what it cost.
    Unread = 1,
    /// Nothing was sent, and nothing is charged.
    Unsent = 2,
}

impl Pointer {
    /// Reads `/count` or `/usage/cost`; nothing where it is no pointer, or points to the whole.
    pub fn parse(text: &str) -> Option<Self> {
        let sane = |step: &str| step.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
        let steps = text.strip_prefix('/').filter(|_| text.len() <= POINTER_MAX)?.split('/');
        let read = |step: &str| sane(step).then(|| step.replace("~1", "/").replace("~0", "~").into());
        Some(Self { text: text.into(), steps: steps.map(read).collect::<Option<_>>()? })
    }

    /// The raw value it points to in a text that was accepted.
    fn find<'a>(&self, raw: &'a [u8]) -> Option<&'a [u8]> {
        self.steps.iter().try_fold(raw, |raw, step| match rpc::is_array(raw) {
            true => rpc::array_items(raw).nth(index(step)?),
            false => rpc::field(raw, &**step),
        })
    }

    /// The number it points to; also one that stands in quotes, as amounts often do.
    fn number(&self, raw: &[u8]) -> Option<Count> {
        let value = self.find(raw)?;
        match rpc::string(value) {
            Some(text) => Count::parse(&text),
            None => Count::parse(std::str::from_utf8(value).ok()?),
        }
    }
}

/// The number of an array's element: without leading zeros, as RFC 6901 has it.
fn index(step: &str) -> Option<usize> {
    let plain = step == "0" || (!step.starts_with('0') && step.bytes().all(|digit| digit.is_ascii_digit()));
    step.parse().ok().filter(|_| plain)
}

impl Price {
    /// The least that any call costs before its result is known: a budget below it never lets one through.
    pub fn least(&self) -> Money {
        match &self.metered {
            None => self.fixed,
            Some(Metered { by: Measure::Argument(_), .. }) => self.fixed.max(Money(1)),
            Some(metered) => metered.max,
        }
    }

    /// The most that a call with these raw arguments costs.
    pub fn worst(&self, arguments: Option<&[u8]>) -> Money {
        match &self.metered {
            None => self.fixed,
            Some(metered) => match &metered.by {
                Measure::Argument(pointer) => {
                    let asked = arguments.and_then(|raw| pointer.number(raw));
                    asked.map_or(metered.max, |count| self.with(metered, count))
                }
                Measure::ResultBytes | Measure::ResultField(_) => metered.max,
            },
        }
    }

    /// What a call that was to cost `worst` at most cost in fact.
    pub fn settle(&self, worst: Money, came: Came<'_>) -> (Money, Basis) {
        let by = self.metered.as_ref().map(|metered| (metered, &metered.by));
        match (came, by) {
            (Came::Unsent, _) => (Money(0), Basis::Unsent),
            (_, None | Some((_, Measure::Argument(_)))) => (worst, Basis::Priced),
            (Came::Unknown, _) => (worst, Basis::Unread),
            (Came::Result(raw), Some((metered, Measure::ResultBytes))) => {
                (self.with(metered, Count::of(raw.len() as u64)).min(worst), Basis::Priced)
            }
            (Came::Result(raw), Some((metered, Measure::ResultField(pointer)))) => match pointer.number(raw) {
                Some(count) => (self.with(metered, count).min(worst), Basis::Priced),
                None => (worst, Basis::Unread),
            },
        }
    }

    fn with(&self, metered: &Metered, count: Count) -> Money {
        self.fixed.plus(count.times(metered.each, metered.per)).min(metered.max)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(metered) = &self.metered else { return write!(f, "{}", self.fixed) };
        if self.fixed.0 > 0 {
            write!(f, "{} and ", self.fixed)?;
        }
        write!(f, "{} for each ", metered.each)?;
        if metered.per != 1 {
            write!(f, "{} ", metered.per)?;
        }
        match &metered.by {
            Measure::Argument(pointer) => write!(f, "of argument {}", pointer.text)?,
            Measure::ResultBytes => f.write_str("bytes of the result")?,
            Measure::ResultField(pointer) => write!(f, "of {} in the result", pointer.text)?,
        }
        write!(f, ", {} at most", metered.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(text: &str) -> Pointer {
        Pointer::parse(text).unwrap()
    }

    fn by(by: Measure) -> Price {
        Price { fixed: Money(10), metered: Some(Metered { by, each: Money(100), per: 1, max: Money(1_000) }) }
    }

    #[test]
    fn a_fixed_price_is_what_every_sent_call_costs() {
        let price = Price { fixed: Money(2_000), metered: None };
        assert_eq!(price.worst(None), Money(2_000));
        for came in [Came::Result(b"{}"), Came::Unknown] {
            assert_eq!(price.settle(Money(2_000), came), (Money(2_000), Basis::Priced));
        }
        assert_eq!(price.settle(Money(2_000), Came::Unsent), (Money(0), Basis::Unsent));
    }

    #[test]
    fn an_argument_tells_the_price_before_the_call() {
        let price = by(Measure::Argument(pointer("/n")));
        let worst = |arguments: &str| price.worst(Some(arguments.as_bytes())).0;
        assert_eq!((worst(r#"{"n":3}"#), worst(r#"{"n":"3"}"#), worst(r#"{"n":0.001}"#)), (310, 310, 11));
        let unread = [r#"{"n":-1}"#, r#"{"n":null}"#, r#"{"m":3}"#, r#"{"n":"many"}"#, r#"{"n":1e400}"#, "[]"];
        unread.iter().for_each(|arguments| assert_eq!(worst(arguments), 1_000, "{arguments}"));
        assert_eq!(price.worst(None), Money(1_000));
        assert_eq!(price.settle(Money(310), Came::Unknown), (Money(310), Basis::Priced));
    }

    #[test]
    fn a_result_tells_the_price_after_the_call_or_costs_the_most() {
        let field = by(Measure::ResultField(pointer("/usage/1/a~1b")));
        let settle = |raw: &str| field.settle(Money(1_000), Came::Result(raw.as_bytes()));
        assert_eq!(field.worst(Some(b"{}")), Money(1_000));
        assert_eq!(settle(r#"{"usage":[0,{"a/b":2.5}]}"#), (Money(260), Basis::Priced));
        assert_eq!(settle(r#"{"usage":[0,{"a/b":1e9}]}"#), (Money(1_000), Basis::Priced));
        assert_eq!(settle(r#"{"usage":[0]}"#), (Money(1_000), Basis::Unread));
        assert_eq!(settle(r#"{"usage":[0,{"a/b":-5}]}"#), (Money(1_000), Basis::Unread));
        assert_eq!(field.settle(Money(1_000), Came::Unknown), (Money(1_000), Basis::Unread));
        let size = by(Measure::ResultBytes);
        assert_eq!(size.settle(Money(1_000), Came::Result(b"{}")), (Money(210), Basis::Priced));
        assert_eq!(size.settle(Money(1_000), Came::Result(&[b' '; 64])), (Money(1_000), Basis::Priced));
    }

    #[test]
    fn pointers_are_those_of_the_standard() {
        for bad in ["", "count", "/a~2", "/a~", &format!("/{}", "a".repeat(POINTER_MAX))] {
            assert_eq!(Pointer::parse(bad), None, "{bad}");
        }
        assert_eq!(pointer("/~01").find(br#"{"~1":5}"#), Some(&b"5"[..]));
        assert_eq!(pointer("/01").find(b"[1,2]"), None);
        assert_eq!(pointer("/+1").find(b"[1,2]"), None);
        assert_eq!(pointer("/a/").find(br#"{"a":{"":7}}"#), Some(&b"7"[..]));
    }
}
