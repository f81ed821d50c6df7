//! One child process: its pipes, each owned by one task, and the requests that wait for its answers.
//!
//! Standard output is read line by line under a bound; a line that is too long ends the process, one that is no JSON is
//! logged and passed over. Standard error goes into the log. However the process ends, every request that waits is
//! told so at once.

use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::limits::{STDIO_LINE_MAX, STDIO_QUEUE_MAX};
use crate::rt::child::{self, PipeReader, PipeWriter, Signal};
use crate::rt::local::{self, Notify, Receiver, Sender};
use crate::rt::task::{self, JoinHandle};
use crate::rt::time;
use crate::upstream::answer::Outcome;
use crate::upstream::incoming::{self, printable};
use crate::upstream::message::{self, Ask};
use crate::upstream::patience::Patience;
use crate::upstream::pending::{Asker, Pending};
use crate::upstream::spec::StdioSpec;
use crate::upstream::stdio::lines::{Lines, Turns};
use crate::upstream::stdio::stderr;
use crate::upstream::watched::Watched;
use crate::wire::rpc;
use bytes::Bytes;
use futures_util::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// Time the last output of a process is waited for after its end: a grandchild may hold the pipe open for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Time a process has to end by itself, and again once it was asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Lines that are no JSON of which each process logs the text.
const STRAY_LINES_LOGGED: u32 = 10;
/// Environment of every stdio server beside its own: what programs need to run at all.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// A running child process. Dropping it kills the process and all it started.
pub(super) struct Process(Rc<Shared>);

struct Shared {
    server: Box<str>,
    outbox: RefCell<Option<Sender<Bytes>>>,
    pending: Rc<Pending>,
    stop: Notify,
    gently: Cell<bool>,
    stray_lines: Cell<u32>,
    born: Instant,
}

/// Whether the server is told when a request is given up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancel {
    /// `notifications/cancelled` is sent.
    Tell,
    /// It is not: `initialize` and the probe must not be cancelled.
    Silently,
}

impl Process {
    /// Starts the program. `list_changed` is rung when it says that one of its lists
    /// changed, and `watched` told of resources.
    ///
    /// # Errors
    /// [`Kind::Unreachable`]: it could not be started.
    pub(super) fn start(
        server: &str,
        spec: &StdioSpec,
        list_changed: Rc<Notify>,
        watched: Rc<Watched>,
    ) -> Result<Self> {
        let child = child::spawn(&command(spec)).map_err(|error| {
            let context = format!("it cannot be started: {error}; check its `command`");
            Error::new(Kind::Unreachable, context).retry(Retry::Safe)
        })?;
        let (outbox, lines) = local::channel(STDIO_QUEUE_MAX);
        let shared = Rc::new(Shared {
            server: server.into(),
            outbox: RefCell::new(Some(outbox)),
            pending: Rc::new(Pending::new(list_changed, watched)),
            stop: Notify::new(),
            gently: Cell::new(false),
            stray_lines: Cell::new(0),
            born: Clock::now(),
        });
        task::spawn(write(shared.clone(), child.stdin, lines));
        let reader = task::spawn(read(shared.clone(), child.stdout));
        task::spawn(stderr::log(server.into(), child.stderr));
        task::spawn(reap(shared.clone(), child.process, reader));
        Ok(Self(shared))
    }

    /// Why it ended; nothing while it runs.
    pub(super) fn end(&self) -> Option<Error> {
        self.0.pending.end()
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) -> Error {
        self.0.pending.ended().await
    }

    /// How long it has run.
    pub(super) fn age(&self) -> Duration {
        Clock::now().since(self.0.born)
    }

    /// Sends a notification; dropped where the queue is full, as the process does not read anyway.
    pub(super) fn notify(&self, message: &[u8]) {
        self.0.push(message);
    }

    /// Asks, and waits as long as `patience` lasts. Dropping the future gives the request up.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when the process ends, [`Kind::Timeout`], [`Kind::Overloaded`] when too many wait.
    pub(super) async fn ask(
        &self,
        ask: Ask<'_>,
        asker: &Asker,
        patience: &Patience,
        cancel: Cancel,
    ) -> Result<Outcome> {
        let mut seat = self.0.pending.admit(ask.id, asker)?;
        let mut given_up = GivenUp { shared: self.0.clone(), id: ask.id, cancel, sent: false };
        let outbox = self.0.outbox.borrow().clone().ok_or_else(stopping)?;
        let sent = patience.wait(pin!(outbox.send(line(&ask.body)))).await?;
        // The process's input is closed when nobody holds this any more.
        drop(outbox);
        given_up.sent = true;
        if sent.is_err() {
            return Err(self.ended().await);
        }
        let answered = seat.answer(patience).await;
        given_up.sent = answered.is_err();
        answered
    }

    /// Ends it: standard input is closed, then it is given time, then signals. Waits until it is gone.
    pub(super) async fn stop(&self) {
        self.0.gently.set(true);
        self.0.outbox.replace(None);
        self.0.stop.notify_one();
        self.ended().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.outbox.replace(None);
        self.0.stop.notify_one();
    }
}

/// A request that waits; dropping it before its answer came gives it up and tells the server.
struct GivenUp {
    shared: Rc<Shared>,
    id: u64,
    cancel: Cancel,
    sent: bool,
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        if self.sent && self.cancel == Cancel::Tell {
            self.shared.push(&message::cancelled(self.id));
        }
    }
}

impl Shared {
    /// Queues a message nobody waits for.
    fn push(&self, message: &[u8]) {
        let dropped = self.outbox.borrow().as_ref().is_some_and(|outbox| outbox.try_send(line(message)).is_err());
        if dropped {
            tracing::debug!(server = &*self.server, "dropped a message the process does not read");
        }
    }

    /// Marks the process as ended and fails all that wait. Only the first reason counts.
    fn finish(&self, why: Error) {
        self.outbox.replace(None);
        self.pending.finish(why);
    }

    fn take_lines(self: &Rc<Self>, lines: &mut Lines) -> Result<()> {
        while let Some(text) = lines.next()? {
            match incoming::read(&text) {
                Ok(batch) => batch.into_iter().for_each(|message| {
                    let shared = self.clone();
                    self.pending.take(message, move |body| shared.push(&body));
                }),
                Err(_) => self.stray(&text),
            }
        }
        Ok(())
    }

    fn stray(&self, text: &[u8]) {
        let count = self.stray_lines.get();
        self.stray_lines.set(count.saturating_add(1));
        if count < STRAY_LINES_LOGGED {
            let text = printable(&String::from_utf8_lossy(&text[..text.len().min(1024)]), 200);
            tracing::warn!(server = &*self.server, text, "passed over a line on stdout that is no JSON-RPC");
        }
    }
}

fn stopping() -> Error {
    Error::new(Kind::Unreachable, "it is being stopped").retry(Retry::Safe)
}

fn command(spec: &StdioSpec) -> child::Command {
    let own = |name: &str| spec.env.iter().any(|(set, _)| **set == *name);
    let inherited = INHERITED.into_iter().filter(|name| !own(name));
    let inherited = inherited.filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
    let set = spec.env.iter().map(|(name, value)| (OsString::from(&**name), OsString::from(&**value)));
    child::Command {
        program: OsString::from(&*spec.command),
        args: spec.args.iter().map(|arg| OsString::from(&**arg)).collect(),
        env: inherited.chain(set).collect(),
        cwd: spec.cwd.clone(),
    }
}

/// A message as a line. A client's arguments may hold line ends between their tokens.
fn line(message: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(message.len() + 1);
    line.extend_from_slice(message);
    rpc::one_line(&mut line);
    line.push(b'\n');
    line.into()
}

/// Owns standard input: writes what is queued, and closes it when nobody can queue any more.
async fn write(shared: Rc<Shared>, mut stdin: PipeWriter, mut lines: Receiver<Bytes>) {
    while let Some(line) = lines.recv().await {
        if let Err(error) = stdin.write_all(&line).await {
            tracing::debug!(server = &*shared.server, "cannot write to the process: {error}");
            return;
        }
    }
}

/// Owns standard output until its end.
async fn read(shared: Rc<Shared>, mut stdout: PipeReader) {
    let (mut lines, mut turns) = (Lines::new(STDIO_LINE_MAX), Turns::default());
    loop {
        let mut buf = lines.room();
        let Some(count) = stdout.read(&mut buf).await.ok().filter(|count| *count > 0) else { return };
        turns.took(count).await;
        if let Err(error) = lines.filled(buf).and_then(|()| shared.take_lines(&mut lines)) {
            shared.finish(error.retry(Retry::Unsafe));
            shared.stop.notify_one();
            return;
        }
    }
}

/// Owns the child: waits for its end, or ends it when told to.
async fn reap(shared: Rc<Shared>, process: child::Process, reader: JoinHandle<()>) {
    let status = {
        let (exit, stop) = (pin!(process.wait()), pin!(shared.stop.notified()));
        match select(exit, stop).await {
            Either::Left((status, _)) => Some(status),
            Either::Right(_) => None,
        }
    };
    let why = match status {
        Some(status) => {
            // What it wrote last may still be in the pipe.
            let _ = time::timeout(LAST_WORDS, reader).await;
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            format!("its process has ended by itself ({status}); its stderr is in the log")
        }
        None => {
            end(process, shared.gently.get()).await;
            "it is being stopped".to_owned()
        }
    };
    shared.finish(Error::new(Kind::Unreachable, why).retry(Retry::Unsafe));
}

async fn end(process: child::Process, gently: bool) {
    if !gently {
        process.kill(Signal::Kill);
    }
    if let Err(error) = process.stop(STOP_PATIENCE).await {
        tracing::warn!("cannot see a server's process end: {error}");
    }
}
