//! Starts a runtime on a thread: the driver, the ring's flags, the pin.

use super::mode::{Entered, Mode};
use super::probe::{self, Probe};
use super::{sys, task, timers, yielder};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::ShardId;
use crate::base::limits::RING_ENTRIES;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Tries to make a ring while the memory of earlier ones is still being given back.
const RING_TRIES: u32 = 20;
/// Pause between such tries.
const RING_PAUSE: Duration = Duration::from_millis(50);

/// How a shard's thread waits for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring.
    IoUring,
    /// epoll; file operations block the thread or take a helper thread.
    Epoll,
}

/// What the operator asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring where the machine allows it, else epoll.
    #[default]
    Auto,
    /// io_uring or nothing.
    IoUring,
    /// epoll.
    Epoll,
}

/// One shard to start.
#[derive(Clone, Copy, Debug)]
pub struct ShardSpec {
    /// Its number; names its thread `shard-N`.
    pub id: ShardId,
    /// The processor to pin it to.
    pub core: Option<usize>,
    /// How it waits.
    pub driver: Driver,
    /// Ring entries, or events taken from epoll at once; at least 256.
    pub entries: u32,
}

/// Settles the driver from what is asked and what the machine has.
///
/// # Errors
/// io_uring was asked for and cannot be had; the sentence tells why and what to do.
pub fn choose(choice: DriverChoice, probe: &Probe) -> Result<Driver> {
    match choice {
        DriverChoice::Epoll => Ok(Driver::Epoll),
        DriverChoice::Auto if !probe.usable() => Ok(Driver::Epoll),
        DriverChoice::IoUring if !probe.usable() => {
            let why = probe.words().join("; ");
            Err(Error::new(Kind::Config, format!("runtime.driver is \"io_uring\", but it cannot be used here: {why}")))
        }
        DriverChoice::Auto | DriverChoice::IoUring => Ok(Driver::IoUring),
    }
}

/// Starts a shard's thread, pins it, makes its runtime and runs `main` on it until it ends. Returns once the runtime
/// stands, so that what keeps it from standing is an error here.
///
/// A panic of `main` itself (not of a task it spawned) aborts the process: a gate with a dead shard answers nobody it
/// was given.
///
/// # Errors
/// No thread, no pin, or no ring: the words name `LimitMEMLOCK` where that is the cause.
pub fn spawn_shard<M, F>(spec: ShardSpec, main: M) -> io::Result<JoinHandle<()>>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let (started, wait) = sync_channel(1);
    let body = move || run_shard(&spec, main, &started);
    let thread = std::thread::Builder::new().name(format!("shard-{}", spec.id.0)).spawn(body)?;
    match wait.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(e)) => Err(e),
        Err(_) => Err(io::Error::other("the shard's thread died before its runtime stood")),
    }
}

fn run_shard<M, F>(spec: &ShardSpec, main: M, started: &SyncSender<io::Result<()>>)
where
    M: FnOnce() -> F,
    F: Future<Output = ()>,
{
    let ready = spec.core.map_or(Ok(()), sys::pin_thread).and_then(|()| Any::build(spec.driver, spec.entries));
    let mut runtime = match ready {
        Ok(runtime) => runtime,
        Err(e) => return drop(started.send(Err(e))),
    };
    let main = async {
        let _ = started.send(Ok(()));
        main().await;
    };
    match catch_unwind(AssertUnwindSafe(|| runtime.run(main))) {
        Ok(Ok(())) => {}
        Ok(Err(e)) => drop(started.send(Err(e))),
        Err(_) => {
            tracing::error!(shard = spec.id.0, "the shard's main task panicked; the process ends");
            std::process::abort();
        }
    }
}

/// Runs a future to its end on a runtime of the calling thread: for tests and commands.
///
/// # Errors
/// The runtime cannot be made, or the thread has one already.
pub fn block_on<F: Future>(driver: Driver, future: F) -> io::Result<F::Output> {
    Any::build(driver, RING_ENTRIES)?.run(future)
}

/// The processors this process may use, in ascending order: what to pin shards to.
///
/// # Errors
/// The kernel does not tell.
pub fn cores() -> io::Result<Vec<usize>> {
    sys::allowed_cores()
}

/// Lets this process, and what it starts, have `wanted` files open, or as many as the operator allows. Says how many.
///
/// # Errors
/// The kernel does not tell.
pub fn allow_open_files(wanted: u64) -> io::Result<u64> {
    sys::raise_file_limit(wanted)
}

/// A runtime of either driver.
enum Any {
    Ring(Box<Runtime<IoUringDriver>>),
    Epoll(Box<Runtime<LegacyDriver>>),
}

impl Any {
    fn build(driver: Driver, entries: u32) -> io::Result<Self> {
        match driver {
            Driver::IoUring => ring_with_patience(entries).map(|runtime| Self::Ring(Box::new(runtime))),
            Driver::Epoll => {
                let builder = RuntimeBuilder::<LegacyDriver>::new().with_entries(entries);
                builder.build().map(|runtime| Self::Epoll(Box::new(runtime)))
            }
        }
    }

    /// Runs a future to its end.
    ///
    /// # Errors
    /// The thread has a runtime already, or its timers cannot be had.
    fn run<F: Future>(&mut self, future: F) -> io::Result<F::Output> {
        let driver = match self {
            Self::Ring(_) => Driver::IoUring,
            Self::Epoll(_) => Driver::Epoll,
        };
        let entered = Entered::enter(Mode::Os(driver));
        let _entered = entered.ok_or_else(|| io::Error::other("this thread has a runtime already"))?;
        let main = async {
            timers::start()?;
            Ok(task::in_turns(future).await)
        };
        let value = match self {
            Self::Ring(runtime) => runtime.block_on(main),
            Self::Epoll(runtime) => runtime.block_on(main),
        };
        yielder::forget();
        timers::forget();
        value
    }
}

/// Makes a ring; waits a moment where locked memory is short, because the kernel gives a dead process's rings back
/// only after a while.
fn ring_with_patience(entries: u32) -> io::Result<Runtime<IoUringDriver>> {
    let mut tries = 0;
    loop {
        tries += 1;
        match ring(entries) {
            Err(e) if e.raw_os_error() == Some(libc::ENOMEM) && tries < RING_TRIES => pause(),
            Err(e) if e.raw_os_error() == Some(libc::ENOMEM) => return Err(no_memlock(entries)),
            done => return done,
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "no runtime stands yet on this thread that it could block")]
fn pause() {
    std::thread::sleep(RING_PAUSE);
}

fn no_memlock(entries: u32) -> io::Error {
    let limit = sys::memlock_limit().ok().flatten().map_or_else(String::new, |b| format!(" of {} KiB", b / 1024));
    let words = format!(
        "io_uring: no locked memory for a ring of {entries} entries within the limit{limit}; set LimitMEMLOCK=infinity \
         in the systemd unit (or ulimit -l), or use fewer shards"
    );
    io::Error::new(io::ErrorKind::OutOfMemory, words)
}

/// A ring with the flags the probe found, best first: one thread submits, and completions arrive when it asks.
fn ring(entries: u32) -> io::Result<Runtime<IoUringDriver>> {
    let build = |flags: &io_uring::Builder| {
        RuntimeBuilder::<IoUringDriver>::new().uring_builder(flags.clone()).with_entries(entries).build()
    };
    match build(&probe::best_flags()) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => build(&io_uring::IoUring::builder()),
        done => done,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Runs a test on io_uring (where the machine has it) and on epoll.
    pub(crate) fn on_each_driver<F: Future<Output = ()>>(test: impl Fn() -> F) {
        if probe::probe().usable() {
            block_on(Driver::IoUring, test()).unwrap();
        }
        block_on(Driver::Epoll, test()).unwrap();
    }

    /// Runs a test on both drivers and in some simulations.
    pub(crate) fn on_each_runtime<F: Future<Output = ()>>(test: impl Fn() -> F) {
        on_each_driver(&test);
        (0..20).for_each(|seed| crate::rt::sim::run(seed, test()));
    }

    #[test]
    fn a_shard_runs_pinned_on_its_own_thread() {
        for driver in [choose(DriverChoice::Auto, &probe::probe()).unwrap(), Driver::Epoll] {
            let core = *cores().unwrap().last().unwrap();
            let (send, got) = sync_channel(1);
            let spec = ShardSpec { id: ShardId(3), core: Some(core), driver, entries: 256 };
            let shard = spawn_shard(spec, move || async move {
                crate::rt::time::sleep(Duration::from_millis(1)).await;
                let name = std::thread::current().name().map(str::to_owned);
                send.send((name, cores().unwrap())).unwrap();
            });
            shard.unwrap().join().unwrap();
            assert_eq!(got.recv().unwrap(), (Some("shard-3".to_owned()), vec![core]));
        }
    }

    #[test]
    fn a_core_that_is_not_there_is_an_error_before_the_shard_runs() {
        let spec = ShardSpec { id: ShardId(0), core: Some(5000), driver: Driver::Epoll, entries: 256 };
        assert!(spawn_shard(spec, || async { unreachable!("it must not run") }).is_err());
    }

    #[test]
    fn one_runtime_a_thread() {
        let nested = block_on(Driver::Epoll, async { block_on(Driver::Epoll, async {}) });
        assert!(nested.unwrap().is_err());
    }

    #[test]
    fn the_choice_follows_the_machine_unless_it_is_told() {
        let without = Probe::without_io_uring("1.0.0", libc::ENOSYS);
        assert_eq!(choose(DriverChoice::Auto, &without), Ok(Driver::Epoll));
        assert_eq!(choose(DriverChoice::Epoll, &probe::probe()), Ok(Driver::Epoll));
        let refused = choose(DriverChoice::IoUring, &without).unwrap_err();
        assert_eq!(refused.kind, Kind::Config);
        assert!(refused.context.contains("io_uring") && refused.context.contains("1.0.0"), "{refused}");
    }
}
