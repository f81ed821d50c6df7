//! Connections of one shard that wait for their next request.

use crate::base::buf;
use crate::base::clock::{Clock, Instant};
use crate::base::limits::{IDLE_PER_ENDPOINT_MAX, POOL_IDLE_MS};
use crate::rt::stream::Stream;
use crate::rt::{task, time};
use crate::wire::http::conn::Conn;
use crate::wire::http::endpoint::Endpoint;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// Longest time a connection waits.
const IDLE: Duration = Duration::from_millis(POOL_IDLE_MS);

struct Idle<S> {
    conn: Conn<S>,
    until: Instant,
}

/// Waiting connections by endpoint, the longest waiting first.
pub(crate) struct Pool<S> {
    idle: RefCell<HashMap<Endpoint, VecDeque<Idle<S>>, foldhash::fast::RandomState>>,
    sweeping: Cell<bool>,
}

impl<S: Stream> Pool<S> {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self { idle: RefCell::default(), sweeping: Cell::new(false) })
    }

    /// The connection used last that is still good. One whose server closed it, or sent something nobody asked for, is
    /// dropped here: the next answer read from it would not be ours.
    pub(crate) fn take(&self, endpoint: &Endpoint) -> Option<Conn<S>> {
        let now = Clock::now();
        let mut idle = self.idle.borrow_mut();
        let waiting = idle.get_mut(endpoint)?;
        while let Some(last) = waiting.pop_back() {
            if last.until > now && is_quiet(&last.conn.stream) {
                return Some(last.conn);
            }
        }
        None
    }

    /// Keeps a connection for its endpoint's next request; `hint` is how long its server says it will wait.
    pub(crate) fn put(self: &Rc<Self>, endpoint: &Endpoint, conn: Conn<S>, hint: Option<Duration>) {
        let until = Clock::now() + hint.unwrap_or(IDLE).min(IDLE);
        let mut idle = self.idle.borrow_mut();
        if !idle.contains_key(endpoint) {
            idle.insert(endpoint.clone(), VecDeque::new());
        }
        if let Some(waiting) = idle.get_mut(endpoint) {
            if waiting.len() >= IDLE_PER_ENDPOINT_MAX {
                waiting.pop_front();
            }
            waiting.push_back(Idle { conn, until });
        }
        drop(idle);
        if !self.sweeping.replace(true) {
            drop(task::spawn(Self::sweep(Rc::downgrade(self))));
        }
    }

    /// How many connections wait.
    pub(crate) fn len(&self) -> usize {
        self.idle.borrow().values().map(VecDeque::len).sum()
    }

    /// Closes what waited too long or was closed by its server, until nothing waits.
    async fn sweep(pool: Weak<Self>) {
        loop {
            time::sleep(IDLE / 4).await;
            let Some(pool) = pool.upgrade() else { return };
            if pool.drop_expired() == 0 {
                pool.sweeping.set(false);
                return;
            }
        }
    }

    /// Drops what is past its time; how many are left.
    fn drop_expired(&self) -> usize {
        let now = Clock::now();
        self.idle.borrow_mut().retain(|_, waiting| {
            waiting.retain(|idle| idle.until > now && !idle.conn.stream.peek_closed());
            !waiting.is_empty()
        });
        self.len()
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
