//! Streams that are held open and say nothing: `subscriptions/listen`, or legacy sessions with a GET stream.

use super::connection::{Bad, Connection};
use super::plan::Plan;
use super::thread::Local;
use crate::trouble::Trouble;
use crate::wire::Id;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use tollgate::base::clock::Clock;
use tollgate::rt::net::TcpStream;
use tollgate::rt::stream::Stream as _;
use tollgate::rt::task;

/// Streams that are opened at a time.
const AT_ONCE: usize = 32;
/// Bytes of one look at a stream.
const LOOK: usize = 4096;

/// The open streams of one thread.
#[derive(Default)]
pub(super) struct Streams(Vec<TcpStream>);

/// Opens so many streams.
///
/// # Errors
/// One could not be opened, or was answered with something else.
pub(super) async fn open(plan: &Arc<Plan>, count: usize, ids: &Rc<Cell<u64>>) -> Result<Streams, Bad> {
    let left = Rc::new(Cell::new(count));
    let opened = Rc::new(RefCell::new(Vec::with_capacity(count)));
    let openers: Vec<_> = (0..AT_ONCE.min(count))
        .map(|_| task::spawn(open_some(plan.clone(), left.clone(), ids.clone(), opened.clone())))
        .collect();
    for opener in openers {
        opener.await?;
    }
    Ok(Streams(opened.take()))
}

async fn open_some(
    plan: Arc<Plan>,
    left: Rc<Cell<usize>>,
    ids: Rc<Cell<u64>>,
    opened: Rc<RefCell<Vec<TcpStream>>>,
) -> Result<(), Bad> {
    let mut next = || {
        ids.set(ids.get() + 1);
        Id::nth(ids.get())
    };
    while let Some(rest) = left.get().checked_sub(1) {
        left.set(rest);
        let mut connection = Connection::new(plan.clone(), rest % plan.requests.keys().max(1));
        connection.ensure_open(&mut next).await.map_err(|bad| number(bad, rest))?;
        let stream = connection.into_stream(next()).await.map_err(|bad| number(bad, rest))?;
        opened.borrow_mut().push(stream);
    }
    Ok(())
}

fn number(bad: Bad, left: usize) -> Bad {
    Bad { words: format!("idle stream with {left} still to open: {}", bad.words), ..bad }
}

impl Streams {
    /// Reads whatever they say until they are dropped with the tasks; one that ends is a failure.
    pub(super) fn watch(self, local: &Rc<Local>) -> Vec<task::JoinHandle<()>> {
        self.0.into_iter().map(|stream| task::spawn(watch(stream, local.clone()))).collect()
    }
}

async fn watch(stream: TcpStream, local: Rc<Local>) {
    let mut buf = Vec::new();
    loop {
        let read = match stream.readable().await {
            Ok(()) => {
                buf.reserve(LOOK);
                stream.try_read(&mut buf)
            }
            Err(error) => Err(error),
        };
        match read {
            Ok(bytes) if bytes > 0 => local.recorder.borrow_mut().aside(Clock::now(), bytes as u64),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => {
                local.recorder.borrow_mut().refused(Clock::now(), Trouble::Closed, 1);
                return;
            }
        }
        // Between two looks an idle stream holds no memory.
        buf = Vec::new();
    }
}
