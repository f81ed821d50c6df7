//! The seeded executor: ready tasks, timers, virtual time.

use super::Rng;
use super::disk::Disk;
use super::net::Net;
use crate::base::clock::{Clock, Instant, WallTime};
use crate::rt::mode::{Entered, Mode};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Where simulated time of day starts: 2026-01-01, in milliseconds since 1970.
const WALL_START_MS: u64 = 1_767_225_600_000;
/// How often, in percent, the next task is drawn instead of being the one that waited longest.
const SHUFFLE_PERCENT: u8 = 25;
/// The future given to [`run`] among the tasks.
const MAIN: u64 = 0;

type Task = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
    static READY: RefCell<VecDeque<u64>> = const { RefCell::new(VecDeque::new()) };
}

struct World {
    now_ns: Cell<u64>,
    /// Counts tasks and timers, so that equal deadlines keep their order.
    count: Cell<u64>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
    /// Sleeping mailboxes.
    bells: RefCell<BTreeMap<usize, Waker>>,
    rng: RefCell<Rng>,
    net: RefCell<Net>,
    disk: RefCell<Disk>,
}

/// Wakes one task of the simulation on the same thread.
struct TaskWaker {
    id: u64,
    home: std::thread::ThreadId,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        assert_eq!(std::thread::current().id(), self.home, "another thread woke a task of a simulation");
        READY.with_borrow_mut(|ready| {
            if !ready.contains(&self.id) {
                ready.push_back(self.id);
            }
        });
    }
}

/// Runs a future and all it spawns from a seed, in virtual time, and gives its value. Tasks still running are dropped.
///
/// # Panics
/// When nobody can ever run again, inside another runtime, or with whatever the future panics with.
pub fn run<F: Future>(seed: u64, future: F) -> F::Output {
    let entered = crate::invariant!(Entered::enter(Mode::Sim), "a simulation is not started inside a runtime");
    let world = Rc::new(World {
        now_ns: Cell::new(0),
        count: Cell::new(MAIN + 1),
        tasks: RefCell::default(),
        timers: RefCell::default(),
        bells: RefCell::default(),
        rng: RefCell::new(Rng::new(seed)),
        net: RefCell::default(),
        disk: RefCell::default(),
    });
    let _running = Running::start(world.clone(), entered);
    let mut main = pin!(future);
    wake_later(MAIN);
    loop {
        let Some(id) = world.next_ready() else {
            world.skip_to_next_timer(seed);
            continue;
        };
        if id != MAIN {
            world.poll_task(id);
        } else if let Poll::Ready(value) = main.as_mut().poll(&mut Context::from_waker(&waker(MAIN))) {
            return value;
        }
    }
}

/// Clears the thread's simulation when it ends, also by a panic.
struct Running {
    _entered: Entered,
}

impl Running {
    fn start(world: Rc<World>, entered: Entered) -> Self {
        READY.with_borrow_mut(VecDeque::clear);
        world.show_time();
        WORLD.set(Some(world));
        Self { _entered: entered }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(world) = WORLD.with_borrow(Clone::clone) {
            let tasks = world.tasks.take();
            drop(tasks);
        }
        WORLD.take();
        Clock::end_simulation();
    }
}

impl World {
    fn show_time(&self) {
        let now = self.now_ns.get();
        Clock::simulate(Instant(now), WallTime(WALL_START_MS + now / 1_000_000));
    }

    fn next_number(&self) -> u64 {
        self.count.replace(self.count.get() + 1)
    }

    fn next_ready(&self) -> Option<u64> {
        READY.with_borrow_mut(|ready| {
            let mut rng = self.rng.borrow_mut();
            let at = if rng.chance(SHUFFLE_PERCENT) { rng.below(ready.len()) } else { 0 };
            ready.remove(at)
        })
    }

    fn poll_task(&self, id: u64) {
        let Some(mut task) = self.tasks.borrow_mut().remove(&id) else { return };
        if task.as_mut().poll(&mut Context::from_waker(&waker(id))).is_pending() {
            self.tasks.borrow_mut().insert(id, task);
        }
    }

    fn skip_to_next_timer(&self, seed: u64) {
        let Some(((at, _), waker)) = self.timers.borrow_mut().pop_first() else {
            panic!("simulation of seed {seed} is stuck: no task can run and no timer is set");
        };
        self.now_ns.set(at.max(self.now_ns.get()));
        self.show_time();
        waker.wake();
    }
}

fn waker(id: u64) -> Waker {
    Waker::from(Arc::new(TaskWaker { id, home: std::thread::current().id() }))
}

fn wake_later(id: u64) {
    READY.with_borrow_mut(|ready| ready.push_back(id));
}

fn world() -> Rc<World> {
    crate::invariant!(WORLD.with_borrow(Clone::clone), "the thread's mode says that a simulation runs")
}

/// Uses the running simulation's dice.
pub(super) fn with_rng<T>(use_it: impl FnOnce(&mut Rng) -> T) -> T {
    use_it(&mut world().rng.borrow_mut())
}

/// Uses the running simulation's network.
pub(super) fn with_net<T>(use_it: impl FnOnce(&mut Net) -> T) -> T {
    use_it(&mut world().net.borrow_mut())
}

/// Uses the running simulation's disk.
pub(super) fn with_disk<T>(use_it: impl FnOnce(&mut Disk) -> T) -> T {
    use_it(&mut world().disk.borrow_mut())
}

/// Starts a task of the running simulation.
pub(in crate::rt) fn spawn(task: Task) {
    let world = world();
    let id = world.next_number();
    world.tasks.borrow_mut().insert(id, task);
    wake_later(id);
}

/// Wakes `waker` when the mailbox of this name rings.
pub(in crate::rt) fn on_ring(name: usize, waker: Waker) {
    world().bells.borrow_mut().insert(name, waker);
}

/// Rings for a mailbox; nothing if nobody sleeps there.
pub(in crate::rt) fn ring(name: usize) {
    let sleeper = world().bells.borrow_mut().remove(&name);
    if let Some(waker) = sleeper {
        waker.wake();
    }
}

/// Lets other ready tasks run.
pub(in crate::rt) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits in virtual time.
pub(in crate::rt) async fn sleep(duration: Duration) {
    let world = world();
    let at = Instant(world.now_ns.get()) + duration;
    let timer = Timer { key: (at.0, world.next_number()), world };
    poll_fn(|cx| timer.poll(cx)).await;
}

struct Timer {
    key: (u64, u64),
    world: Rc<World>,
}

impl Timer {
    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.world.now_ns.get() >= self.key.0 {
            return Poll::Ready(());
        }
        self.world.timers.borrow_mut().insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.world.timers.borrow_mut().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{local, task, time};

    /// A little world with races; returns what happened and when.
    async fn story() -> Vec<(u64, usize)> {
        let (send, mut receive) = local::channel(2);
        for name in 0..8 {
            let send = send.clone();
            task::spawn(async move {
                for _ in 0..4 {
                    task::yield_now().await;
                    let mut wait = [0];
                    crate::rt::random::fill(&mut wait);
                    time::sleep(Duration::from_millis(u64::from(wait[0] % 4))).await;
                    send.send((Clock::now().0, name)).await.unwrap();
                }
            });
        }
        drop(send);
        let mut told = Vec::new();
        while let Some(event) = receive.recv().await {
            told.push(event);
        }
        told
    }

    #[test]
    fn the_same_seed_tells_the_same_story_and_another_seed_another() {
        let told = run(7, story());
        assert_eq!(told.len(), 32);
        assert_eq!(told, run(7, story()));
        assert_ne!(told, run(8, story()));
    }

    #[test]
    fn a_day_passes_at_once_and_the_clock_is_given_back() {
        let day = Duration::from_secs(24 * 60 * 60);
        let (passed, wall) = run(1, async {
            let start = Clock::now();
            time::sleep(day).await;
            (Clock::now().since(start), Clock::wall())
        });
        assert_eq!((passed, wall.0), (day, WALL_START_MS + 86_400_000));
        assert_ne!(Clock::wall(), wall);
    }

    #[test]
    fn timeouts_and_dropped_timers_work() {
        run(1, async {
            assert!(time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await.is_err());
            assert_eq!(time::timeout(Duration::from_secs(1), async { 5 }).await, Ok(5));
            drop(time::timeout(Duration::from_secs(9), std::future::pending::<()>()));
            assert_eq!(task::spawn(async { 1 }).await, 1);
            assert_eq!(Clock::now(), Instant(1_000_000_000));
        });
    }

    #[test]
    #[should_panic(expected = "seed 9 is stuck")]
    fn a_deadlock_is_told_with_its_seed() {
        run(9, std::future::pending::<()>());
    }
}
