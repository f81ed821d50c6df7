//! What is measured: one recorder a client thread, its parts sent off at ticks, and the whole they are merged into.

mod histogram;
mod part;
mod process;
mod recorder;
mod tick;
mod total;

pub use hdrhistogram::Histogram;
pub use histogram::{distribution, histogram};
pub use part::{Late, Part};
pub use process::{Usage, thread_cpu};
pub use recorder::{Done, Recorder};
pub use tick::Tick;
pub use total::Total;
