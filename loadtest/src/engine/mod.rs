//! Runs an order against a target: a pinned client thread a core, and what they measured put together.

mod connection;
mod gather;
mod idle;
mod learn;
mod pacer;
mod pick;
mod plan;
mod schedule;
mod thread;
mod verdict;

pub use plan::measured;
pub use verdict::words;

use crate::failure::Failure;
use crate::measure::Tick;
use crate::order::{Load, Order, Target};
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use gather::Gather;
use plan::Plan;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use thread::{Given, Report};
use tollgate::base::clock::Clock;

/// Reports that may wait for us, a thread.
const REPORTS: usize = 64;
/// Time for every thread to hear when the run begins.
const LEAD: Duration = Duration::from_millis(20);

/// Runs an order to its end. `watch` is called about four times a second on the caller's thread.
///
/// # Errors
/// The order makes no sense, the target does not answer, or it lacks what the scenario needs. Failures of single
/// requests under load are no error: the outcome counts them.
pub fn run(order: &Order, target: &Target, watch: &mut dyn FnMut(&Tick)) -> Result<Outcome, Failure> {
    run_until(order, target, &AtomicBool::new(false), watch)
}

/// Runs an order to its end, or until `stop` becomes true: then the outcome is of the time measured until then.
///
/// # Errors
/// As [`run`]; and it was stopped before anything was measured.
pub fn run_until(
    order: &Order,
    target: &Target,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Tick),
) -> Result<Outcome, Failure> {
    check(order)?;
    let scenario = Scenario::load(&order.scenario)?;
    let era = scenario.era(order.era)?;
    let plan = Arc::new(learn::plan(scenario, era, order, target)?);
    let (send, reports) = sync_channel(REPORTS * plan.threads);
    let begin = Arc::new(AtomicU64::new(0));
    let threads = start(&plan, order, &send, &begin)?;
    drop(send);
    let ready = wait_until_ready(&reports, plan.threads);
    let started_ms = Clock::wall().0;
    let at = if ready.is_ok() { (Clock::now() + LEAD).0 } else { u64::MAX };
    begin.store(at, Ordering::Release);
    let watch = &mut |tick: &Tick| {
        watch(tick);
        if stop.load(Ordering::Relaxed) {
            plan.stop_after(tick.elapsed);
        }
    };
    let gathered = ready.and_then(|()| Gather::new(&plan, watch).run(&reports));
    for thread in threads {
        drop(thread.join());
    }
    if gathered.is_ok() && plan.measured().is_zero() {
        return Err(Failure::new("stopped in the warm-up: nothing was measured"));
    }
    Ok(verdict::outcome(&plan, order, target, gathered?, started_ms))
}

fn check(order: &Order) -> Result<(), Failure> {
    if measured(order).is_zero() {
        return Err(Failure::usage("the measured time is zero; give a --duration"));
    }
    if order.patience.is_zero() {
        return Err(Failure::usage("the patience with a request is zero; give a --timeout"));
    }
    let wrong_rate =
        |stage: &crate::order::Stage| !(stage.from >= 0.0 && stage.to >= 0.0 && stage.from + stage.to > 0.0);
    match &order.load {
        Load::Open(stages) if stages.iter().any(wrong_rate) => {
            Err(Failure::usage("a rate is negative, or zero from begin to end of a stage"))
        }
        _ => Ok(()),
    }
}

type Threads = Vec<JoinHandle<()>>;

fn start(
    plan: &Arc<Plan>,
    order: &Order,
    reports: &SyncSender<Report>,
    begin: &Arc<AtomicU64>,
) -> Result<Threads, Failure> {
    let mut threads = Vec::new();
    for number in 0..plan.threads {
        let given = Given { plan: plan.clone(), number, reports: reports.clone(), begin: begin.clone() };
        let thread = learn::spawn(number, order.cores.get(number).copied(), move || thread::run(given));
        // Those that run already wait for a begin that will not come.
        threads.push(thread.inspect_err(|_| begin.store(u64::MAX, Ordering::Release))?);
    }
    Ok(threads)
}

fn wait_until_ready(reports: &Receiver<Report>, threads: usize) -> Result<(), Failure> {
    for _ in 0..threads {
        match reports.recv() {
            Ok(Report::Refused(words)) => return Err(Failure::new(format!("cannot open connections: {words}"))),
            Ok(_) => {}
            Err(_) => return Err(Failure::new("a client thread died; this is a defect of the load tool")),
        }
    }
    Ok(())
}
