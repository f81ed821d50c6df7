//! One client thread: its connections, the hand that gives them requests, and the ticks it tells.

use super::connection::{Bad, Connection, Seen};
use super::idle;
use super::pacer::{Pacer, Seat, Ticket};
use super::pick::Dice;
use super::plan::Plan;
use crate::measure::{Done, Part, Recorder, Usage, thread_cpu};
use crate::scenario::KeyPer;
use crate::trouble::Trouble;
use crate::wire::Id;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tollgate::base::clock::{Clock, Instant};
use tollgate::rt::{task, time};

/// Time between two ticks.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// Pause after a connection could not be made, so that a dead target is not hammered.
const PAUSE: Duration = Duration::from_millis(10);

/// What a thread tells the run.
pub(super) enum Report {
    /// Its connections and streams stand.
    Ready,
    /// They do not.
    Refused(String),
    /// What it measured in a tick; the measured time begins after tick 0, and warm-up ticks count up to it.
    Tick {
        /// Which.
        index: i64,
        /// What was measured.
        part: Box<Part>,
        /// Requests waiting for answers.
        in_flight: u64,
    },
    /// It is done.
    Done(Box<Ended>),
}

/// What a thread tells at its end.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// What came after the last tick.
    pub(super) part: Part,
    /// Share of the measured time that the thread was on a core.
    pub(super) cpu_share: Option<f64>,
    /// The first malformed answer, in words.
    pub(super) wrong: Option<String>,
    /// What the target's process used up to the begin and to the end of the measured time.
    pub(super) target: Option<(Usage, Usage)>,
}

/// What the thread is given.
pub(super) struct Given {
    /// The run.
    pub(super) plan: Arc<Plan>,
    /// Its number among the threads.
    pub(super) number: usize,
    /// Where it reports to.
    pub(super) reports: SyncSender<Report>,
    /// When the warm-up begins, as [`Instant`]; 0 until all threads are ready, `u64::MAX` if it never will.
    pub(super) begin: Arc<AtomicU64>,
}

/// What the tasks of the thread share.
pub(super) struct Local {
    pub(super) plan: Arc<Plan>,
    pub(super) recorder: RefCell<Recorder>,
    pacer: Option<Pacer>,
    /// The measured time begins, and ends.
    start: Instant,
    end: Cell<Instant>,
    dice: RefCell<Dice>,
    turn: Cell<usize>,
    ids: Cell<u64>,
    keys: Cell<usize>,
}

/// Runs the thread.
pub(super) async fn run(given: Given) {
    let (plan, number) = (given.plan.clone(), given.number);
    let ids = Rc::new(Cell::new(0));
    let opened = open(&plan, number, &ids).await;
    let told = given.reports.send(match &opened {
        Ok(_) => Report::Ready,
        Err(bad) => Report::Refused(format!("{}: {}", bad.trouble, bad.words)),
    });
    let (Ok((connections, streams)), Ok(())) = (opened, told) else { return };
    let Some(begin) = wait_for(&given.begin).await else { return };
    let start = begin + plan.warm_up;
    let local = Rc::new(Local {
        recorder: RefCell::new(Recorder::new(start)),
        pacer: plan.schedule.as_ref().map(|_| Pacer::new(plan.clone(), number, begin)),
        start,
        end: Cell::new(start + plan.lasts),
        dice: RefCell::new(Dice::new(number)),
        turn: Cell::new(number * 7),
        ids: Cell::new(ids.get()),
        keys: Cell::new(number),
        plan,
    });
    let ended = local.clone().work(connections, streams, begin, &given).await;
    // Without a receiver the run has ended otherwise.
    let _ = given.reports.send(Report::Done(Box::new(ended)));
}

async fn open(plan: &Arc<Plan>, number: usize, ids: &Rc<Cell<u64>>) -> Result<(Vec<Connection>, idle::Streams), Bad> {
    let mut next = || next_id(ids);
    let keys = plan.requests.keys().max(1);
    let mut connections = Vec::new();
    for at in 0..plan.share(plan.connections, number) {
        let mut connection = Connection::new(plan.clone(), (at * plan.threads + number) % keys);
        connection.ensure_open(&mut next).await?;
        connections.push(connection);
    }
    let streams = idle::open(plan, plan.share(plan.scenario.idle_streams, number), ids).await?;
    Ok((connections, streams))
}

fn next_id(ids: &Cell<u64>) -> Id {
    ids.set(ids.get() + 1);
    Id::nth(ids.get())
}

async fn wait_for(begin: &AtomicU64) -> Option<Instant> {
    loop {
        match begin.load(Ordering::Acquire) {
            0 => time::sleep(Duration::from_millis(1)).await,
            u64::MAX => return None,
            at => {
                time::sleep_until(Instant(at)).await;
                return Some(Instant(at));
            }
        }
    }
}

impl Local {
    async fn work(
        self: Rc<Self>,
        connections: Vec<Connection>,
        streams: idle::Streams,
        begin: Instant,
        given: &Given,
    ) -> Ended {
        let watched = streams.watch(&self);
        let workers: Vec<_> =
            connections.into_iter().map(|connection| task::spawn(self.clone().serve(connection))).collect();
        let hand = self.clone();
        let dispatcher = task::spawn(async move {
            if let Some(pacer) = &hand.pacer {
                pacer.dispatch().await.map_err(|error| error.to_string())
            } else {
                Ok(())
            }
        });
        let mut ended = self.tell_ticks(begin, given).await;
        self.drain(&workers).await;
        for worker in workers {
            worker.await;
        }
        if let Err(words) = dispatcher.await {
            ended.wrong = Some(words);
        }
        drop(watched);
        let mut recorder = self.recorder.borrow_mut();
        ended.part = recorder.cut(true);
        ended.wrong = ended.wrong.or(recorder.take_first_wrong());
        ended
    }

    /// Waits for the answers still out, and for what is due but not sent, as long as the patience lasts.
    async fn drain(&self, workers: &[task::JoinHandle<()>]) {
        let until = Clock::now() + self.plan.patience;
        while workers.iter().any(|worker| !worker.is_finished()) {
            if Clock::now() >= until
                && let Some(pacer) = &self.pacer
            {
                let left = pacer.give_up();
                self.recorder.borrow_mut().refused(self.end.get(), Trouble::Unsent, left);
            }
            time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Sends off what was measured at each tick; what the measured time cost the thread and the target.
    async fn tell_ticks(&self, begin: Instant, given: &Given) -> Ended {
        let warm = ticks(self.plan.warm_up);
        let last = ticks(self.plan.lasts);
        let mut at_start = (thread_cpu(), self.usage(given));
        for index in 1 - warm..=last {
            let at = tick_at(self.start, index).clamp(begin, self.end.get());
            time::sleep_until(at).await;
            self.tell_tick(index, given);
            if index == 0 {
                at_start = (thread_cpu(), self.usage(given));
            }
            if self.plan.stops_at(index) {
                self.stop(at);
                break;
            }
        }
        let at_end = (thread_cpu(), self.usage(given));
        let spent = at_end.0.zip(at_start.0).map(|(after, before)| after.saturating_sub(before));
        Ended {
            cpu_share: spent.map(|ns| Duration::from_nanos(ns).as_secs_f64() / self.plan.measured().as_secs_f64()),
            target: at_start.1.zip(at_end.1),
            ..Ended::default()
        }
    }

    /// Sends nothing more that is due from now on.
    fn stop(&self, now: Instant) {
        self.end.set(now);
        if let Some(pacer) = &self.pacer {
            pacer.end_at(now);
        }
    }

    /// The first thread looks at the target for all.
    fn usage(&self, given: &Given) -> Option<Usage> {
        self.plan.process.filter(|_| given.number == 0).and_then(Usage::of)
    }

    fn tell_tick(&self, index: i64, given: &Given) {
        let mut recorder = self.recorder.borrow_mut();
        let part = Box::new(recorder.cut(index > 0));
        let tick = Report::Tick { index, part, in_flight: recorder.in_flight() };
        if let Err(std::sync::mpsc::TrySendError::Full(Report::Tick { part, .. })) = given.reports.try_send(tick) {
            recorder.give_back(index > 0, &part);
        }
    }

    /// Sends what is due over one connection until nothing is left.
    async fn serve(self: Rc<Self>, mut connection: Connection) {
        let seat = Rc::new(Seat::default());
        while let Some(ticket) = self.next_ticket(&seat).await {
            self.request(&mut connection, ticket).await;
            connection.end_what_is_due().await;
            if !self.plan.scenario.think.is_zero() {
                time::sleep(self.plan.scenario.think).await;
            }
        }
        connection.end_session().await;
    }

    async fn next_ticket(&self, seat: &Rc<Seat>) -> Option<Ticket> {
        match &self.pacer {
            Some(pacer) => pacer.next(seat).await,
            None => {
                let now = Clock::now();
                (now < self.end.get()).then_some(Ticket { due: now, was_free: true })
            }
        }
    }

    async fn request(&self, connection: &mut Connection, ticket: Ticket) {
        if self.plan.scenario.keys.per == KeyPer::Request {
            self.keys.set((self.keys.get() + 1) % self.plan.requests.keys().max(1));
            connection.key = self.keys.get();
        }
        let mut ids = || next_id(&self.ids);
        if let Err(bad) = connection.ensure_open(&mut ids).await {
            self.recorder.borrow_mut().refused(ticket.due, bad.trouble, 1);
            return time::sleep(PAUSE).await;
        }
        let mut turn = self.turn.get();
        let request = self.plan.picks.next(&mut self.dice.borrow_mut(), &mut turn);
        self.turn.set(turn);
        let id = next_id(&self.ids);
        let bytes = connection.prepare(request, Some(id));
        self.recorder.borrow_mut().sent(ticket.due, Clock::now(), bytes, ticket.was_free);
        let mut seen = Seen::default();
        let done = connection.exchange_prepared(request, id, &mut seen).await;
        self.record(ticket.due, done, &seen, connection.bytes_in());
    }

    fn record(&self, due: Instant, done: Result<(), Bad>, seen: &Seen, bytes: u64) {
        let mut recorder = self.recorder.borrow_mut();
        seen.gaps.iter().for_each(|gap| recorder.event_gap(due, *gap));
        match done {
            Ok(()) => {
                let done = Done { due, ended: Clock::now(), first_byte: seen.first_byte };
                recorder.answered(&done, bytes);
            }
            Err(bad) => {
                if bad.trouble == Trouble::Malformed {
                    recorder.note_wrong(|| bad.words);
                }
                recorder.failed(due, bad.trouble);
            }
        }
    }
}

/// Ticks in a time; a begun one counts.
fn ticks(time: Duration) -> i64 {
    i64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(i64::MAX)
}

/// When a tick ends: tick 0 with the warm-up.
fn tick_at(start: Instant, index: i64) -> Instant {
    let distance = TICK * u32::try_from(index.unsigned_abs()).unwrap_or(u32::MAX);
    if index >= 0 {
        start + distance
    } else {
        Instant(start.0.saturating_sub(u64::try_from(distance.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_count_up_to_the_start_and_on() {
        assert_eq!((ticks(Duration::ZERO), ticks(TICK), ticks(TICK * 3 + Duration::from_nanos(1))), (0, 1, 4));
        let start = Instant(1_000_000_000);
        assert_eq!(tick_at(start, -2).0, 500_000_000);
        assert_eq!(tick_at(start, 1).0, 1_250_000_000);
    }
}
