//! A whole shard from a seed: one thread, virtual time, the same order of everything for the same seed.
//!
//! Inside [`run`], `task`, `time`, `local`, `random` and the clock work as ever, but time moves only when nobody can
//! run, and which ready task runs next follows from the seed.

mod disk;
mod executor;
mod net;
mod rng;

pub(super) use disk::SimFile;
pub use disk::{DiskFaults, crash_disk, set_disk_faults};
pub use executor::run;
pub(super) use executor::{on_ring, ring, sleep, spawn, yield_now};
pub use net::{NetFaults, SimStream, set_net_faults};
pub(super) use net::{SimListener, ensure_free, resolve};
pub use rng::Rng;

/// Random bytes that follow from the running simulation's seed.
pub(super) fn fill_random(into: &mut [u8]) {
    executor::with_rng(|rng| rng.fill(into));
}
