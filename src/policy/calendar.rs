//! Periods of the calendar, as a budget counts in: minutes to years, each from its first moment in a time zone to the
//! first moment of the next, however long a day is there.

use crate::base::clock::WallTime;
use crate::base::error::{Error, Kind, Result};
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use std::fmt;
use std::hash::{Hash, Hasher};

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// A length of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Span {
    /// From one full minute to the next.
    Minute,
    /// From one full hour of the zone to the next.
    Hour,
    /// From midnight to midnight, or what the zone has in its place.
    Day,
    /// From Monday on.
    Week,
    /// From the first on.
    Month,
    /// From the first of January on.
    Year,
}

impl Span {
    /// All of them, the shortest first.
    pub const ALL: [Self; 6] = [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// Its name in the configuration, in records and in answers.
    pub fn name(self) -> &'static str {
        ["minute", "hour", "day", "week", "month", "year"][self as usize]
    }

    /// The span of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|span| span.name() == name)
    }

    /// The period of this length that a moment lies in; the end of time where the calendar ends.
    pub fn around(self, now: WallTime, zone: &Zone) -> Period {
        let moment = moment(now);
        match self {
            Self::Minute => aligned(moment, zone, MINUTE_MS),
            Self::Hour => aligned(moment, zone, HOUR_MS),
            _ => self.of_days(&moment.to_zoned(zone.zone.clone())).unwrap_or(Period::ENDLESS),
        }
    }

    /// A period of whole days. Days begin with their first moment, which need not be midnight.
    fn of_days(self, now: &Zoned) -> Option<Period> {
        let today = now.date();
        let (first, length) = match self {
            Self::Week => {
                let since_monday = today.weekday().since(Weekday::Monday);
                (today.checked_sub(i64::from(since_monday).days()).ok()?, 1.week())
            }
            Self::Month => (today.first_of_month(), 1.month()),
            Self::Year => (today.first_of_year(), 1.year()),
            _ => (today, 1.day()),
        };
        let begins = |date: jiff::civil::Date| {
            date.to_zoned(now.time_zone().clone()).and_then(|zoned| zoned.start_of_day()).ok().map(|at| wall(&at))
        };
        Some(Period { start: begins(first)?, end: begins(first.checked_add(length).ok()?)? })
    }
}

/// A period that begins where the zone's own clock shows a multiple of its length.
fn aligned(moment: Timestamp, zone: &Zone, length_ms: i64) -> Period {
    let offset = i64::from(zone.zone.to_offset(moment).seconds()) * SECOND_MS;
    let now = moment.as_millisecond();
    let start = now - (now + offset).rem_euclid(length_ms);
    let at = |ms: i64| WallTime(u64::try_from(ms).unwrap_or(0));
    Period { start: at(start), end: at(start + length_ms) }
}

fn moment(at: WallTime) -> Timestamp {
    i64::try_from(at.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

fn wall(at: &Zoned) -> WallTime {
    WallTime(u64::try_from(at.timestamp().as_millisecond()).unwrap_or(0))
}

/// From a moment on to before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Period {
    /// Its first moment.
    pub start: WallTime,
    /// The first moment of the next.
    pub end: WallTime,
}

impl Period {
    /// What is left of time behind the calendar's end.
    const ENDLESS: Self = Self { start: WallTime(0), end: WallTime(u64::MAX) };

    /// Whether a moment lies in it.
    pub fn holds(&self, at: WallTime) -> bool {
        self.start <= at && at < self.end
    }
}

/// A time zone by its name.
#[derive(Clone)]
pub struct Zone {
    name: Box<str>,
    zone: TimeZone,
}

impl Zone {
    /// The zone of those who name none.
    pub const DEFAULT: &str = "UTC";

    /// Finds a zone such as `Europe/Berlin` among those of this machine.
    ///
    /// # Errors
    /// It is not there; the sentence tells what to do.
    pub fn find(name: &str) -> Result<Self> {
        if name == Self::DEFAULT {
            return Ok(Self::default());
        }
        match TimeZone::get(name) {
            Ok(zone) => Ok(Self { name: name.into(), zone }),
            Err(_) if jiff::tz::db().is_definitively_empty() => {
                let what = "this machine has no time zones: install its tzdata package, or keep to UTC";
                Err(Error::new(Kind::Config, what))
            }
            Err(_) => {
                let what = format!("no time zone is called `{}`", name.escape_debug());
                Err(Error::new(Kind::Config, what))
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self { name: Self::DEFAULT.into(), zone: TimeZone::UTC }
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> WallTime {
        WallTime(u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap())
    }

    fn period(span: Span, now: &str, zone: &str) -> [String; 2] {
        let Period { start, end } = span.around(at(now), &Zone::find(zone).unwrap());
        [start, end].map(|at| moment(at).to_string())
    }

    #[test]
    fn periods_are_those_of_the_calendar() {
        let now = "2026-02-11T10:20:30.5Z";
        let cases = [
            (Span::Minute, ["2026-02-11T10:20:00Z", "2026-02-11T10:21:00Z"]),
            (Span::Hour, ["2026-02-11T10:00:00Z", "2026-02-11T11:00:00Z"]),
            (Span::Day, ["2026-02-11T00:00:00Z", "2026-02-12T00:00:00Z"]),
            (Span::Week, ["2026-02-09T00:00:00Z", "2026-02-16T00:00:00Z"]),
            (Span::Month, ["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"]),
            (Span::Year, ["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"]),
        ];
        for (span, expected) in cases {
            assert_eq!(period(span, now, "UTC"), expected, "{}", span.name());
            assert_eq!(Span::named(span.name()), Some(span));
        }
        assert_eq!(Span::named("second"), None);
    }

    #[test]
    fn days_are_as_long_as_the_zone_has_them() {
        let spring = period(Span::Day, "2026-03-29T12:00:00Z", "Europe/Berlin");
        assert_eq!(spring, ["2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"], "23 hours");
        let autumn = period(Span::Day, "2026-10-25T12:00:00Z", "Europe/Berlin");
        assert_eq!(autumn, ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"], "25 hours");
        let month = period(Span::Month, "2026-03-31T22:30:00Z", "Europe/Berlin");
        assert_eq!(month, ["2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z"], "it is April there");
        let no_midnight = period(Span::Day, "2018-11-04T12:00:00Z", "America/Sao_Paulo");
        assert_eq!(no_midnight, ["2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"]);
        let half_hours = period(Span::Hour, "2026-02-11T10:20:00Z", "Asia/Kolkata");
        assert_eq!(half_hours, ["2026-02-11T09:30:00Z", "2026-02-11T10:30:00Z"]);
        let twice =
            ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"].map(|now| period(Span::Hour, now, "Europe/Berlin"));
        assert_ne!(twice[0], twice[1], "the hour that comes twice is two hours");
    }

    #[test]
    fn no_moment_is_outside_of_time() {
        for span in Span::ALL {
            for now in [WallTime(0), WallTime(u64::MAX), WallTime(253_402_300_799_999)] {
                let period = span.around(now, &Zone::default());
                assert!(period.start <= period.end, "{span:?} {period:?}");
            }
        }
        assert!(Zone::find("Europe/Atlantis").unwrap_err().context.contains("no time zone is called"));
    }

    proptest! {
        /// Each moment lies in its period, and the next begins where this one ends.
        #[test]
        fn periods_follow_each_other(
            seconds in 0_u64..4_000_000_000,
            span in prop::sample::select(&Span::ALL[..]),
            zone in prop::sample::select(&["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia"][..]),
        ) {
            let (now, zone) = (WallTime(seconds * 1_000), Zone::find(zone).unwrap());
            let period = span.around(now, &zone);
            prop_assert!(period.holds(now), "{period:?}");
            prop_assert_eq!(span.around(WallTime(period.end.0 - 1), &zone).start, period.start);
            prop_assert_eq!(span.around(period.end, &zone).start, period.end);
        }
    }
}
