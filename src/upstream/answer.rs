//! One call as it is handed to a server, and what comes back: events on the way, then one answer.

use crate::base::buf::Piece;
use crate::base::error::{Error, Kind, Result, Side};
use crate::base::ids::KeyId;
use crate::base::limits::{RELAY_BYTES_MAX, RELAY_EVENTS_MAX};

use crate::catalog::HeaderParam;
use crate::mcp::meta::LogLevel;
use crate::mcp::result::RawResult;
use crate::mcp::revision::Era;
use crate::mcp::trace::TraceContext;
use crate::rt::local::Notify;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// Whose session or process of a server a call runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ScopeKey {
    /// The one that all keys share.
    #[default]
    Shared,
    /// That of one key.
    Key(KeyId),
    /// That of one downstream session of a key.
    Session(KeyId, [u8; 16]),
    /// The gate's own, for listing, where callers do not share one.
    Gate,
}

/// One tool execution, ready for any transport. All of it is borrowed: from the client's request and the snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpstreamCall<'a> {
    /// The tool's name as the server knows it.
    pub tool: &'a str,
    /// The raw JSON object of the arguments, forwarded untouched; absent where the client gave none.
    pub arguments: Option<&'a [u8]>,
    /// The arguments that the tool's definition wants mirrored into `Mcp-Param-*` headers (modern HTTP only).
    pub header_params: &'a [HeaderParam],
    /// What goes into `params._meta` beside what the gate itself puts there.
    pub meta: CallMeta<'a>,
    /// Whose session or process it runs in, already reduced by [`Scope`](crate::upstream::spec::Scope).
    pub scope: ScopeKey,
}

/// The members of `params._meta` that a caller decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallMeta<'a> {
    /// Whether progress is wanted. The token is our own id.
    pub progress: bool,
    /// The least log level wanted, for servers of the modern era.
    pub log_level: Option<LogLevel>,
    /// The gate's own span, the parent of the server's.
    pub trace: Option<TraceContext>,
    /// The trace's vendor state, passed on.
    pub tracestate: Option<&'a str>,
}

/// A call that owns what it says, to cross to the server's home shard.
#[derive(Debug)]
pub struct OwnedCall {
    tool: Box<str>,
    arguments: Option<Box<[u8]>>,
    header_params: Box<[HeaderParam]>,
    progress: bool,
    log_level: Option<LogLevel>,
    trace: Option<TraceContext>,
    tracestate: Option<Box<str>>,
    scope: ScopeKey,
}

impl From<&UpstreamCall<'_>> for OwnedCall {
    fn from(call: &UpstreamCall<'_>) -> Self {
        let CallMeta { progress, log_level, trace, tracestate } = call.meta;
        Self {
            tool: call.tool.into(),
            arguments: call.arguments.map(Into::into),
            header_params: call.header_params.into(),
            progress,
            log_level,
            trace,
            tracestate: tracestate.map(Into::into),
            scope: call.scope,
        }
    }
}

impl OwnedCall {
    /// The call it is.
    pub fn as_call(&self) -> UpstreamCall<'_> {
        let (progress, log_level, trace) = (self.progress, self.log_level, self.trace);
        UpstreamCall {
            tool: &self.tool,
            arguments: self.arguments.as_deref(),
            header_params: &self.header_params,
            meta: CallMeta { progress, log_level, trace, tracestate: self.tracestate.as_deref() },
            scope: self.scope,
        }
    }
}

/// What a server answered: the raw JSON of one member of its response, which the bridge brings into the client's era.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The result, or the error object.
    pub outcome: Outcome,
    /// The era it is written in.
    pub era: Era,
}

/// The two ways a JSON-RPC response can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The raw value of `result`.
    Result(RawResult),
    /// The raw value of `error`: an object with `code` and `message`.
    Error(Piece),
}

/// A notification that belongs to one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is.
    pub kind: EventKind,
    /// The raw JSON object of its `params`. A progress token in it is ours; `mcp::progress` puts the client's back.
    pub params: Piece,
}

/// The notifications that are relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `notifications/progress`.
    Progress,
    /// `notifications/message`: a log line.
    Log,
}

/// Where the events of one call go as they come. Cheap to clone; it stays on its thread.
#[derive(Clone, Default)]
pub struct Sink(Way);

#[derive(Clone, Default)]
enum Way {
    #[default]
    Nowhere,
    Unheard,
    Queue(Rc<Queue>),
    Hand(Rc<dyn Fn(Event) -> bool>),
}

/// The reading end of a [`Sink`]: what has come and was not yet taken; nothing ever where nobody listens.
pub struct Relay(Option<Rc<Queue>>);

#[derive(Default)]
struct Queue {
    events: RefCell<VecDeque<Event>>,
    bytes: Cell<usize>,
    closed: Cell<bool>,
    more: Notify,
}

/// A bounded way from a call to the one who answers the client: at most `RELAY_EVENTS_MAX` events and
/// `RELAY_BYTES_MAX` bytes wait in it.
pub fn relay() -> (Sink, Relay) {
    let queue = Rc::new(Queue::default());
    (Sink(Way::Queue(queue.clone())), Relay(Some(queue)))
}

/// The same for a client that takes no events: what comes into it is a sign of life, and dropped.
pub fn unheard() -> (Sink, Relay) {
    (Sink(Way::Unheard), Relay(None))
}

impl Sink {
    /// A sink that wants nothing and never ends a call.
    pub fn nowhere() -> Self {
        Self::default()
    }

    /// Whether it wants nothing.
    pub fn is_nowhere(&self) -> bool {
        matches!(self.0, Way::Nowhere)
    }

    /// A sink that hands each event over at once; it says whether it wants more.
    pub fn hand(take: impl Fn(Event) -> bool + 'static) -> Self {
        Self(Way::Hand(Rc::new(take)))
    }

    /// Gives an event on. An error says that the reader is gone or too slow, and that the call is to be ended.
    pub fn push(&self, event: Event) -> Result<()> {
        let wanted = match &self.0 {
            Way::Nowhere | Way::Unheard => true,
            Way::Hand(take) => take(event),
            Way::Queue(queue) => queue.push(event),
        };
        let slow = || Error::new(Kind::Overloaded, "the client reads the events of its call too slowly");
        if wanted { Ok(()) } else { Err(slow().side(Side::Downstream)) }
    }
}

impl Queue {
    fn push(&self, event: Event) -> bool {
        let bytes = self.bytes.get() + event.params.len();
        let full = self.events.borrow().len() >= RELAY_EVENTS_MAX || bytes > RELAY_BYTES_MAX;
        if self.closed.get() || full {
            return false;
        }
        self.bytes.set(bytes);
        self.events.borrow_mut().push_back(event);
        self.more.notify_one();
        true
    }
}

impl Relay {
    /// The next event. It waits as long as none is there; race it against the call.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            match &self.0 {
                Some(queue) => queue.more.notified().await,
                None => std::future::pending().await,
            }
        }
    }

    /// The next event that is already there: what remains to be written before the answer.
    pub fn try_next(&mut self) -> Option<Event> {
        let queue = self.0.as_ref()?;
        let event = queue.events.borrow_mut().pop_front()?;
        queue.bytes.set(queue.bytes.get() - event.params.len());
        Some(event)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.closed.set(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(len: usize) -> Event {
        Event { kind: EventKind::Progress, params: vec![b' '; len].into() }
    }

    #[test]
    fn events_come_out_in_order_and_room_comes_back() {
        let (sink, mut relay) = relay();
        for round in 0..RELAY_EVENTS_MAX * 2 {
            sink.push(event(round)).expect("room");
            assert_eq!(relay.try_next(), Some(event(round)));
        }
        assert_eq!(relay.try_next(), None);
        let (sink, mut relay) = unheard();
        sink.push(event(RELAY_BYTES_MAX * 2)).expect("nobody lags");
        assert!(relay.try_next().is_none() && !sink.is_nowhere());
    }

    #[test]
    fn a_reader_that_lags_or_is_gone_ends_the_call() {
        let (sink, relay) = relay();
        for _ in 0..RELAY_EVENTS_MAX {
            sink.push(event(1)).expect("room");
        }
        assert_eq!(sink.push(event(1)).expect_err("full").kind, Kind::Overloaded);
        drop(relay);
        let (sink, relay) = super::relay();
        sink.push(event(RELAY_BYTES_MAX)).expect("room for exactly the bound");
        assert!(sink.push(event(1)).is_err());
        drop(relay);
        assert!(sink.push(event(0)).is_err());
        Sink::nowhere().push(event(9)).expect("nowhere takes all");
    }
}
