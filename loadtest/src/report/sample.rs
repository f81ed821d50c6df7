//! Outcomes that the tests of reports are made with: always the same figures.

use crate::outcome::{Client, Distribution, FORMAT, Late, Machine, Outcome, PhaseTime, Second, Threshold, Validity};
use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};

/// Fails where a text differs from `tests/fixtures/NAME`; with `UPDATE_FIXTURES=1` writes it there instead.
pub(crate) fn assert_fixture(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{}", path.display());
}

/// A distribution of these nanoseconds.
#[allow(clippy::cast_precision_loss)]
pub(super) fn distribution(nanos: &[u64]) -> Distribution {
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3).unwrap();
    nanos.iter().for_each(|value| histogram.record(*value).unwrap());
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(&histogram, &mut bytes).unwrap();
    let at = |quantile| histogram.value_at_quantile(quantile) / 1000;
    Distribution {
        count: histogram.len(),
        min_us: histogram.min() / 1000,
        mean_us: histogram.mean() / 1000.0,
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: histogram.max() / 1000,
        hdr: base64::engine::general_purpose::STANDARD.encode(bytes),
    }
}

/// A long-tailed distribution around a median, in nanoseconds, without chance.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn long_tail(count: u64, median_us: f64) -> Vec<u64> {
    let value = |at: u64| {
        let quantile = (at as f64 + 0.5) / count as f64;
        let tail = (1.0 / (1.0 - quantile)).ln() / std::f64::consts::LN_2;
        (median_us * (0.6 + 0.3 * tail + 0.1 * tail.powf(1.8)) * 1e3) as u64
    };
    (0..count).map(value).collect()
}

/// A run that went well: 20 s at 5,000 a second.
pub(super) fn good() -> Outcome {
    let second = |at: u32| Second {
        at,
        target: Some(5_000.0),
        sent: 5_000,
        answered: 4_990 + u64::from(at % 7),
        failed: u64::from(at % 9 == 4),
        p50_us: 152 + u64::from(at * 7 % 11),
        p99_us: 279 + u64::from(at * 31 % 83) + if at == 13 { 1_900 } else { 0 },
    };
    let phases = [("read", 1.4), ("identify", 0.9), ("decode", 1.8), ("decide", 0.4), ("call", 121.0), ("write", 3.2)];
    let words = ["tollgate-load", "run", "call", "--url", "http://127.0.0.1:4400/mcp", "--threshold", "p99<1ms"];
    Outcome {
        format: FORMAT,
        command: words.map(str::to_owned).to_vec(),
        machine: Machine {
            kernel: "6.18.0".to_owned(),
            processor: "A Processor".to_owned(),
            cores: 2,
            build: "0.1.0 release 0123456789ab".to_owned(),
        },
        scenario: "call".to_owned(),
        era: "modern".to_owned(),
        target: "gate".to_owned(),
        url: "http://127.0.0.1:4400/mcp".to_owned(),
        started_ms: 1_795_000_000_000,
        seconds: 20.0,
        connections: 64,
        load: "open loop, 5,000 /s".to_owned(),
        target_rate: Some(5_000.0),
        sent: 100_000,
        answered: 99_998,
        rate: 4_999.9,
        bytes_out: 40_000_000,
        bytes_in: 30_000_000,
        errors: [("timeout".to_owned(), 2)].into(),
        late: Late { count: 12, max_us: 2_300 },
        latency: distribution(&long_tail(99_998, 152.0)),
        timeline: (0..20).map(second).collect(),
        client: Client { threads: 1, cpu_share: 0.43 },
        server_cpu_us: Some(24.8),
        server_cpu_share: Some(0.124),
        server_rss_bytes: Some(18_000_000),
        phases: phases.map(|(phase, mean_us)| PhaseTime { phase: phase.to_owned(), count: 99_998, mean_us }).to_vec(),
        validity: Validity { valid: true, reasons: Vec::new() },
        thresholds: vec![Threshold { expression: "p99<1ms".to_owned(), measured: "612 µs".to_owned(), held: true }],
        ..Outcome::default()
    }
}

/// The same load, slower, with the client at its end and texts that try to break out of whatever shows them.
pub(super) fn bad() -> Outcome {
    let mut outcome = good();
    outcome.latency = distribution(&long_tail(80_000, 210.0));
    outcome.timeline.iter_mut().for_each(|second| second.p50_us += 60);
    outcome.answered = 80_000;
    outcome.rate = 4_000.0;
    outcome.url = "http://127.0.0.1/</script><script>alert(1)</script>".to_owned();
    outcome.scenario = "<b>call</b>".to_owned();
    let errors = [("json-rpc -32602", 14_000), ("http 503 \"]]>&<i>", 5_998), ("timeout \u{1b}[2J", 2)];
    outcome.errors = errors.map(|(kind, count)| (kind.to_owned(), count)).into();
    outcome.server_cpu_us = Some(31.0);
    let reason = "the client was at its end: 99 % of its core, so what it saw is its own waiting";
    outcome.validity = Validity { valid: false, reasons: vec![reason.to_owned()] };
    outcome.thresholds =
        vec![Threshold { expression: "p99<500us".to_owned(), measured: "846 µs".to_owned(), held: false }];
    outcome
}
