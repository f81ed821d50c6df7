//! What came of a run: the one model that `--json` prints and every report reads.
//!
//! Times are microseconds unless the name says otherwise. Latency counts from the moment a request was *due*, so that a
//! client or a server that falls behind shows as latency (no coordinated omission); in a closed loop due is when sent.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the model below. It grows when a reader of the last one would misread a newer file.
pub const FORMAT: u32 = 1;

/// A finished run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// [`FORMAT`] of the tool that wrote it; readers refuse others.
    pub format: u32,
    /// The command that made it, to be run again.
    pub command: Vec<String>,
    /// Where it ran.
    pub machine: Machine,
    /// Name of the scenario.
    pub scenario: String,
    /// `modern` or `legacy`.
    pub era: String,
    /// Name of the target.
    pub target: String,
    /// Its URL.
    pub url: String,
    /// Start, milliseconds of the Unix clock.
    pub started_ms: u64,
    /// Measured seconds, without the warm-up.
    pub seconds: f64,
    /// Connections.
    pub connections: usize,
    /// `closed`, or the stages of an open profile in words.
    pub load: String,
    /// Mean target rate of an open loop, requests a second.
    pub target_rate: Option<f64>,
    /// Requests sent in measured time.
    pub sent: u64,
    /// Requests answered without any error.
    pub answered: u64,
    /// Answered a second.
    pub rate: f64,
    /// Bytes written and read.
    pub bytes_out: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Failures by kind: `connect`, `closed`, `timeout`, `http 503`, `json-rpc -32602`, `isError`, `malformed`.
    pub errors: BTreeMap<String, u64>,
    /// Requests sent later than due (open loop).
    pub late: Late,
    /// From due to the last byte of the answer.
    pub latency: Distribution,
    /// From due to the first byte of the body, where answers are streams.
    pub first_byte: Option<Distribution>,
    /// Between two events of one stream, where answers are streams.
    pub event_gap: Option<Distribution>,
    /// One row a second.
    pub timeline: Vec<Second>,
    /// The client's own load.
    pub client: Client,
    /// CPU time of the target's process for each answered request, user and system together; nothing where unknown.
    pub server_cpu_us: Option<f64>,
    /// Share of the measured time that the target's process was on a core; 1.0 = one core.
    pub server_cpu_share: Option<f64>,
    /// Resident bytes of the target's process at the end, where it is known.
    pub server_rss_bytes: Option<u64>,
    /// What the target's metrics say of where the time went, in the order of a request's way.
    pub phases: Vec<PhaseTime>,
    /// Whether the client had headroom, and else why not.
    pub validity: Validity,
    /// Thresholds and whether they held.
    pub thresholds: Vec<Threshold>,
}

/// Where a run ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Kernel release.
    pub kernel: String,
    /// Processor's name as the kernel gives it.
    pub processor: String,
    /// Cores online.
    pub cores: usize,
    /// Version, profile and commit of the load tool's build.
    pub build: String,
}

/// Late sends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Late {
    /// Sent more than a millisecond after they were due.
    pub count: u64,
    /// The latest.
    pub max_us: u64,
}

/// A histogram with the figures that people read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Distribution {
    /// Values.
    pub count: u64,
    /// Least.
    pub min_us: u64,
    /// Mean.
    pub mean_us: f64,
    /// Half are at most this.
    pub p50_us: u64,
    /// 90 % are at most this.
    pub p90_us: u64,
    /// 99 % are at most this.
    pub p99_us: u64,
    /// 99.9 % are at most this.
    pub p999_us: u64,
    /// Greatest.
    pub max_us: u64,
    /// All of it: HdrHistogram V2, base64, values in nanoseconds, three significant digits.
    pub hdr: String,
}

/// One second of the measured time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Second {
    /// Seconds since the measured time began.
    pub at: u32,
    /// Rate asked for in this second, nothing in a closed loop.
    pub target: Option<f64>,
    /// Requests sent.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests failed.
    pub failed: u64,
    /// Median of those answered in it.
    pub p50_us: u64,
    /// 99th percentile of those answered in it.
    pub p99_us: u64,
}

/// The client's own load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Client {
    /// Threads, one a core.
    pub threads: usize,
    /// Share of its core that the busiest client thread used; 1.0 = all.
    pub cpu_share: f64,
}

/// Time in one phase of the target.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PhaseTime {
    /// The phase's name in the metrics.
    pub phase: String,
    /// Requests that went through it.
    pub count: u64,
    /// Mean time in it.
    pub mean_us: f64,
}

/// Whether a run can be believed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Validity {
    /// No reason against it.
    pub valid: bool,
    /// Why not, in words.
    pub reasons: Vec<String>,
}

/// One threshold, for instance `p99<2ms`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Threshold {
    /// As written.
    pub expression: String,
    /// What was measured, with its unit.
    pub measured: String,
    /// Whether it holds.
    pub held: bool,
}
