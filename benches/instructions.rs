//! Instructions of each step of a request, counted by callgrind. Run it by `benches/instructions`, which compares.
//!
//! A step is run once before it is counted, so that what is done once a process stays out; what a step was given goes
//! out with its result, so that giving it back stays out too. Other readers of envelopes are left to `criterion`: they
//! change with the lock file alone, and wide instructions are not comparable by their number.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot be prepared has nothing to say")]
#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "what gungraun's macros make")]

mod subjects;

use gungraun::Callgrind;
use gungraun::prelude::*;
use std::hint::black_box;
use subjects::journal::Recorder;
use subjects::keys::Keys;
use subjects::tools::Tools;

// The gate's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn body(size: usize) -> Vec<u8> {
    let body = subjects::envelope::body(size);
    subjects::envelope::read(&body);
    body
}

#[library_benchmark(setup = body)]
#[bench::b300(300)]
#[bench::b4k(4 * 1024)]
#[bench::b64k(64 * 1024)]
fn envelope(body: Vec<u8>) -> (usize, Vec<u8>) {
    (subjects::envelope::read(black_box(&body)), body)
}

fn a_head() {
    subjects::head::request();
    subjects::head::response();
}

#[library_benchmark(setup = a_head)]
#[bench::request()]
fn request_head((): ()) -> usize {
    black_box(subjects::head::request())
}

#[library_benchmark(setup = a_head)]
#[bench::response()]
fn response_head((): ()) -> u16 {
    black_box(subjects::head::response())
}

fn ring(count: usize) -> Keys {
    let keys = Keys::new(count);
    keys.look_up(1);
    keys
}

#[library_benchmark(setup = ring)]
#[bench::k1(1_000)]
#[bench::k100(100_000)]
fn keys(keys: Keys) -> (bool, Keys) {
    (keys.look_up(black_box(0)).0 == 0, keys)
}

fn catalogue() -> Tools {
    let tools = Tools::generated();
    tools.decide_all();
    tools
}

#[library_benchmark(setup = catalogue)]
#[bench::of508()]
fn decide(tools: Tools) -> (usize, Tools) {
    (black_box(&tools).decide_all(), tools)
}

#[library_benchmark(setup = catalogue)]
#[bench::of508()]
fn list(tools: Tools) -> ([bytes::Bytes; 3], Tools) {
    (black_box(&tools).answer(), tools)
}

#[library_benchmark(setup = Recorder::open)]
#[bench::call()]
fn journal(recorder: Recorder) -> Recorder {
    black_box(&recorder).call();
    recorder
}

library_benchmark_group!(
    name = steps,
    benchmarks = [envelope, request_head, response_head, keys, decide, list, journal]
);
main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"]));
    library_benchmark_groups = steps
);
