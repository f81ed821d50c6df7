//! Wall time of each step of a request: `cargo bench --bench criterion`, or with `-- NAME` for some of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot be prepared has nothing to say")]

#[path = "subjects/money.rs"]
mod money;
mod peers;
mod subjects;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use subjects::journal::Recorder;
use subjects::keys::Keys;
use subjects::tools::Tools;
use subjects::{envelope, head};
use tollgate::base::clock::Clock;

// The gate's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sizes of bodies, in bytes, with their names.
const BODIES: [(&str, usize); 3] = [("300", 300), ("4k", 4 * 1024), ("64k", 64 * 1024)];
/// Numbers of keys, with their names.
const RINGS: [(&str, usize); 2] = [("1k", 1_000), ("100k", 100_000)];
/// Calls whose records fill less than half of a journal's ring: past that it asks to be drained.
const CALLS: u64 = 2_048;

/// A way to read an envelope, by name.
type Reader = (&'static str, fn(&[u8]) -> usize);

fn envelopes(criterion: &mut Criterion) {
    let readers: [Reader; 4] = [
        ("ours", envelope::read),
        ("sonic-rs", peers::sonic),
        ("simd-json", peers::simd),
        ("serde_json", peers::serde_json),
    ];
    let mut group = criterion.benchmark_group("envelope");
    for (name, size) in BODIES {
        let body = envelope::body(size);
        group.throughput(Throughput::Bytes(size as u64));
        for (reader, read) in readers {
            assert_eq!(read(&body), envelope::read(&body), "{reader} finds what ours finds");
            group.bench_function(format!("{name}/{reader}"), |bencher| bencher.iter(|| read(black_box(&body))));
        }
    }
}

fn heads(criterion: &mut Criterion) {
    criterion.bench_function("head/request", |bencher| bencher.iter(head::request));
    criterion.bench_function("head/response", |bencher| bencher.iter(head::response));
}

fn key_look_ups(criterion: &mut Criterion) {
    for (name, count) in RINGS {
        let keys = Keys::new(count);
        let mut turns = 0..;
        criterion.bench_function(&format!("keys/{name}"), |bencher| {
            bencher.iter_batched(|| turns.next(), |turn| keys.look_up(turn.unwrap_or(0)), BatchSize::SmallInput);
        });
    }
}

fn decisions(criterion: &mut Criterion) {
    let tools = Tools::generated();
    criterion.bench_function("decide/508", |bencher| bencher.iter(|| tools.decide_all()));
    let levels = money::Levels::new();
    assert!(levels.pass());
    criterion.bench_function("decide/5-levels", |bencher| bencher.iter(|| levels.pass()));
}

fn lists(criterion: &mut Criterion) {
    let catalogues = [("generated", Some(Tools::generated())), ("recorded", Tools::recorded())];
    for (name, tools) in catalogues.iter().filter_map(|(name, tools)| Some((name, tools.as_ref()?))) {
        criterion.bench_function(&format!("list/splice/{name}"), |bencher| bencher.iter(|| tools.answer()));
        criterion.bench_function(&format!("list/render/{name}"), |bencher| bencher.iter(|| tools.render()));
    }
}

fn journal(criterion: &mut Criterion) {
    criterion.bench_function("journal/call", |bencher| bencher.iter_custom(record));
}

/// Records so many calls, in as many journals as they fill; opening them is not counted.
fn record(calls: u64) -> Duration {
    let mut took = Duration::ZERO;
    let mut left = calls;
    while left > 0 {
        let (recorder, some) = (Recorder::open(), left.min(CALLS));
        let from = Clock::now();
        (0..some).for_each(|_| recorder.call());
        took += Clock::now().since(from);
        left -= some;
    }
    took
}

fn brief() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3))
}

criterion_group! {
    name = steps;
    config = brief();
    targets = envelopes, heads, key_look_ups, decisions, lists, journal
}
criterion_main!(steps);
