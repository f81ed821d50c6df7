//! Rank 1: the machine. The only folder that names the io_uring runtime, libc or mmap.
//!
//! One runtime a thread: monoio on io_uring, monoio on epoll, or the seeded simulation. `shard::block_on` and
//! `shard::spawn_shard` start one; `task`, `time`, `local`, `net` and `file` work in whichever runs on this thread.

pub mod alarm;
pub mod child;
pub mod disk;
pub mod file;
pub mod guard;
pub mod local;
pub mod mailbox;
pub mod mmap;
mod mode;
pub mod net;
pub mod offload;
mod pollable;
pub mod probe;
mod process;
mod queue;
pub mod random;
mod resolve;
pub mod shard;
pub mod signal;
pub mod sim;
pub mod stream;
mod sys;
pub mod task;
mod tcp;
pub mod time;
mod timers;
mod waiters;
mod wheel;
mod yielder;

#[cfg(test)]
mod tripwire;
