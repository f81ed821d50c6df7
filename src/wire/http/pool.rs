//! Connections of one shard that wait for their next request.

use crate::base::buf;
use crate::base::clock::{Clock, Instant};
use crate::base::limits::{IDLE_PER_ENDPOINT_MAX, POOL_IDLE_MS};
use crate::rt::stream::Stream;
use crate::rt::{task, time};
use crate::wire::http::conn::Conn;
use crate::wire::http::endpoint::Endpoint;
use crate::wire::http::head::{KnownResponse, ResponseHead};
use crate::wire::http::method::Method;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// Longest time a connection waits.
const IDLE: Duration = Duration::from_millis(POOL_IDLE_MS);

/// A connection back for less than this is not looked at before it is used again: under load that would be a system
/// call for each request, and hardly any server closes one so soon. Those that do are found out.
const FRESH: Duration = Duration::from_millis(5);
/// A connection that ends within this time after an answer says that its server is one of those.
const SOON: Duration = Duration::from_secs(1);

type Shelves<S> = HashMap<Endpoint, Rc<Shelf<S>>, foldhash::fast::RandomState>;

/// A shard's waiting connections, a shelf for each endpoint.
pub(crate) struct Pool<S> {
    shelves: RefCell<Shelves<S>>,
    sweeping: Cell<bool>,
}

struct Idle<S> {
    conn: Conn<S>,
    since: Instant,
    until: Instant,
}

/// One endpoint's waiting connections, the longest waiting first.
pub(crate) struct Shelf<S> {
    idle: RefCell<VecDeque<Idle<S>>>,
    pool: Weak<Pool<S>>,
    /// The head of an answer that was parsed last: the server's next is likely to say the same.
    known: RefCell<Option<Rc<KnownResponse>>>,
    /// Its server has closed a connection right behind an answer, without a word.
    abrupt: Cell<bool>,
}

impl<S: Stream> Pool<S> {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self { shelves: RefCell::default(), sweeping: Cell::new(false) })
    }

    /// The shelf of an endpoint.
    pub(crate) fn shelf(self: &Rc<Self>, endpoint: &Endpoint) -> Rc<Shelf<S>> {
        let mut shelves = self.shelves.borrow_mut();
        if let Some(shelf) = shelves.get(endpoint) {
            return shelf.clone();
        }
        let shelf = Rc::new(Shelf {
            idle: RefCell::default(),
            pool: Rc::downgrade(self),
            known: RefCell::default(),
            abrupt: Cell::new(false),
        });
        shelves.insert(endpoint.clone(), shelf.clone());
        shelf
    }

    /// How many connections wait.
    pub(crate) fn len(&self) -> usize {
        self.shelves.borrow().values().map(|shelf| shelf.idle.borrow().len()).sum()
    }

    /// Sees to it that nothing waits for ever.
    fn start_sweeping(self: &Rc<Self>) {
        if !self.sweeping.replace(true) {
            drop(task::spawn(Self::sweep(Rc::downgrade(self))));
        }
    }

    /// Closes what waited too long or was closed by its server, until nothing waits.
    async fn sweep(pool: Weak<Self>) {
        loop {
            time::sleep(IDLE / 4).await;
            let Some(pool) = pool.upgrade() else { return };
            pool.drop_expired();
            if pool.len() == 0 {
                pool.sweeping.set(false);
                return;
            }
        }
    }

    /// Drops what is past its time, and empty shelves that nobody holds.
    fn drop_expired(&self) {
        let now = Clock::now();
        self.shelves.borrow_mut().retain(|_, shelf| {
            let mut idle = shelf.idle.borrow_mut();
            idle.retain(|idle| idle.until > now && !idle.conn.stream.peek_closed());
            !idle.is_empty() || Rc::strong_count(shelf) > 1
        });
    }
}

impl<S: Stream> Shelf<S> {
    /// The connection used last that is still good. One whose server closed it, or sent something nobody asked for, is
    /// dropped here: the next answer read from it would not be ours.
    pub(crate) fn take(&self) -> Option<Conn<S>> {
        let now = Clock::recent();
        let mut idle = self.idle.borrow_mut();
        while let Some(last) = idle.pop_back() {
            let fresh = now.since(last.since) < FRESH;
            let trusted = fresh && !self.abrupt.get();
            if last.until > now && (trusted || is_quiet(&last.conn.stream)) {
                return Some(last.conn);
            }
            let soon = last.until > now && now.since(last.since) < SOON;
            self.abrupt.set(self.abrupt.get() || soon);
        }
        None
    }

    /// The head of an answer to `to` at the front of what arrived, if it says what the last one said, and its length.
    pub(crate) fn known_head(&self, arrived: &[u8], to: Method, head_max: usize) -> Option<(ResponseHead, usize)> {
        ResponseHead::like(self.known.borrow().as_ref()?, arrived, to, head_max)
    }

    /// Keeps a head that was parsed, to know the next by.
    pub(crate) fn learn(&self, head: &ResponseHead) {
        *self.known.borrow_mut() = head.known();
    }

    /// Its server closed a connection that was taken for good: from now on each is looked at.
    pub(crate) fn distrust(&self) {
        self.abrupt.set(true);
    }

    /// Keeps a connection for the next request; `hint` is how long its server says it will wait.
    pub(crate) fn put(&self, conn: Conn<S>, hint: Option<Duration>) {
        let since = Clock::recent();
        let until = since + hint.unwrap_or(IDLE).min(IDLE);
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= IDLE_PER_ENDPOINT_MAX {
            idle.pop_front();
        }
        idle.push_back(Idle { conn, since, until });
        if let Some(pool) = self.pool.upgrade() {
            pool.start_sweeping();
        }
    }
}

/// Whether a server has neither closed its connection nor sent something.
fn is_quiet<S: Stream>(stream: &S) -> bool {
    let mut probe = buf::take();
    let read = stream.try_read(&mut probe);
    buf::give(probe);
    match read.map_err(|error| error.kind()) {
        Err(ErrorKind::WouldBlock) => true,
        Err(ErrorKind::Unsupported) => !stream.peek_closed(),
        _ => false,
    }
}
