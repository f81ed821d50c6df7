//! Tests of thresholds and rules.

use super::*;
use crate::outcome::{Distribution, Late};

fn outcome() -> Outcome {
    Outcome {
        seconds: 10.0,
        sent: 1_010,
        answered: 990,
        rate: 99.0,
        errors: [("timeout".to_owned(), 6), ("http 503".to_owned(), 4)].into(),
        late: Late { count: 101, max_us: 3_000 },
        latency: Distribution {
            count: 990,
            mean_us: 120.5,
            p50_us: 100,
            p90_us: 200,
            p99_us: 1_500,
            p999_us: 2_000,
            max_us: 9_000,
            ..Distribution::default()
        },
        server_cpu_us: Some(25.0),
        ..Outcome::default()
    }
}

fn judge(expression: &str) -> (bool, String) {
    let threshold = expression.parse::<Bound>().expect(expression).judge(&outcome());
    (threshold.held, threshold.measured)
}

#[test]
fn thresholds_hold_or_not() {
    let cases = [
        ("p99<2ms", true, "1.50 ms"),
        ("p99 <= 1500us", true, "1.50 ms"),
        ("p99<1500us", false, "1.50 ms"),
        ("P99.9<0.002s", false, "2.00 ms"),
        ("max>1ms", true, "9.00 ms"),
        ("mean<121µs", true, "120 µs"),
        ("rate>=99/s", true, "99.0 /s"),
        ("errors<=10", true, "10.0"),
        ("errors<1%", false, "1.00 %"),
        ("errors<=1/s", true, "1.00 /s"),
        ("late<10%", false, "10.0 %"),
        ("cpu<30us", true, "25.0 µs"),
        ("p50 < 1_000 us", true, "100 µs"),
    ];
    for (expression, held, measured) in cases {
        assert_eq!(judge(expression), (held, measured.to_owned()), "{expression}");
    }
}

#[test]
fn what_was_not_measured_holds_nothing() {
    assert_eq!(judge("cpu<100%"), (false, "not measured".to_owned()));
    let nothing = Outcome::default();
    for expression in ["p99<2ms", "mean<1s", "errors<1%", "late<1%", "cpu<1s"] {
        assert!(!expression.parse::<Bound>().expect(expression).judge(&nothing).held, "{expression}");
    }
}

#[test]
fn mistakes_say_what_would_be_right() {
    let cases = [
        ("p98<2ms", "no figure is called `p98`; there are p50, p90, p99, p99.9, max"),
        ("p99=2ms", "there is no <, <=, > or >= in it"),
        ("p99<2", "`p99` is counted in us, ms or s, not in no unit"),
        ("p99<2h", "not in `h`"),
        ("p99<fast", "`fast` does not begin with a number"),
        ("p99<", "`` does not begin with a number"),
        ("p99<1e3us", "not in `e3us`"),
        ("p99<-1ms", "-1 is below zero"),
        ("rate>5ms", "`rate` is counted in /s, not in `ms`"),
        ("p99<nan", "does not begin with a number"),
        ("", "there is no <"),
    ];
    for (expression, words) in cases {
        let failure = expression.parse::<Bound>().expect_err(expression).to_string();
        assert!(failure.starts_with(&format!("threshold `{expression}`: ")), "{failure}");
        assert!(failure.contains(words), "{failure}");
    }
}

#[test]
fn changes_fire_beyond_their_number() {
    let before = outcome();
    let mut after = outcome();
    after.latency.p99_us = 1_590;
    after.rate = 95.0;
    let fires = |rule: &str| rule.parse::<Change>().expect(rule).fires(&before, &after);
    assert_eq!(fires("p99>+5%"), Some(true));
    assert_eq!(fires("p99>+6%"), Some(false));
    assert_eq!(fires("p99 >= +6 %"), Some(true));
    assert_eq!(fires("rate<-3%"), Some(true));
    assert_eq!(fires("p50>0%"), Some(false));
    after.server_cpu_us = None;
    assert_eq!("cpu>+5%".parse::<Change>().expect("rule").fires(&before, &after), None);
}

#[test]
fn errors_out_of_nothing_fire_every_rule_on_more() {
    let before = Outcome { answered: 10, ..Outcome::default() };
    let after = outcome();
    assert_eq!("errors>+1000%".parse::<Change>().expect("rule").fires(&before, &after), Some(true));
    assert_eq!("errors>0%".parse::<Change>().expect("rule").fires(&before, &before), Some(false));
}

#[test]
fn a_change_needs_its_direction_and_percent() {
    let cases = [("p99>5%", "say which way"), ("p99>+5ms", "a change is counted in %"), ("p97>+5%", "no figure")];
    for (rule, words) in cases {
        let failure = rule.parse::<Change>().expect_err(rule).to_string();
        assert!(failure.contains(words), "{failure}");
    }
}
