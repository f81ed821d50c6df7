//! Runs a call and brings its answer to the client: as plain JSON, or, once the first notification of the call comes,
//! as a stream of events that the answer ends.

use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::limits::REPLAY_BEGIN_MS;
use crate::base::phase::Phase;
use crate::mcp::bridge::Bridged;
use crate::mcp::revision::Revision;
use crate::mcp::session::Session;
use crate::rt::local::Notify;
use crate::rt::stream::Stream;
use crate::rt::time;
use crate::shard::Shard;
use crate::shard::exchange::Exchange;
use crate::shard::teller::Teller;
use crate::upstream::answer::Answer;
use crate::upstream::said::{Relay, Said, Sink, relay, unheard};
use crate::wire::http::{Body, ServerConn};
use crate::wire::sse;
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

/// The headers of every event stream.
pub(crate) const SSE_HEADERS: &[(&str, &str)] =
    &[("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")];

/// A call this short is not watched for a client that goes away: a watch costs two submissions to the ring.
const WATCH_AFTER: Duration = Duration::from_millis(20);

/// A call this long is answered as a stream, where its client knows how to come back to one.
const BEGIN_AFTER: Duration = Duration::from_millis(REPLAY_BEGIN_MS);

/// What a door wants to happen around a call.
pub(crate) struct Way<'a> {
    /// Whether the client takes an event stream.
    pub(crate) events: bool,
    /// Rung to cancel the call.
    pub(crate) cancel: &'a Notify,
    /// What a client that goes away means.
    pub(crate) client: Client<'a>,
}

/// What it means where a client goes away while its call runs.
pub(crate) enum Client<'a> {
    /// It cancels the call (modern).
    Cancels,
    /// Nothing (legacy): it may come back to the stream.
    ComesBack(&'a Coming<'a>),
}

/// A legacy client that may come back to the stream of its call.
pub(crate) struct Coming<'a> {
    /// The shard where the call was made.
    pub(crate) shard: &'a Rc<Shard>,
    /// The session.
    pub(crate) session: &'a Session,
    /// The raw id of the request.
    pub(crate) request: &'a [u8],
}

impl Way<'_> {
    /// Where the call puts its events, and where they come out.
    pub(crate) fn events(&self) -> (Sink, Relay) {
        if self.events { relay() } else { unheard() }
    }

    /// When something is due that no call waits for, and what.
    fn due(&self) -> Option<(Instant, Due)> {
        match self.client {
            Client::Cancels => Some((Clock::recent() + WATCH_AFTER, Due::Watch)),
            Client::ComesBack(coming) if self.events && coming.session.revision == Revision::V2025_11_25 => {
                Some((Clock::recent() + BEGIN_AFTER, Due::Begin))
            }
            Client::ComesBack(_) => None,
        }
    }
}

/// What a call comes to that takes a while.
#[derive(Clone, Copy)]
enum Due {
    /// Its client is watched.
    Watch,
    /// Its stream begins, for its client is to know how to come back to it.
    Begin,
}

/// What the loop below waits for.
enum Turn<T> {
    Ended(T),
    Said(Said),
    Due(Due),
}

/// Runs a call, whose sink is that of `events`, to its end and relays what it says on the way through `tell`, which
/// makes the bytes of a notification or of a request to the client, or nothing where the client is not to see it. Gives
/// the stream too, if one has begun. The call comes pinned: taken by value it would stand in this future twice.
pub(crate) async fn run<S: Stream, F: Future<Output = Result<Answer>>>(
    conn: &mut ServerConn<S>,
    way: &Way<'_>,
    mut running: Pin<&mut F>,
    events: &mut Relay,
    mut tell: impl FnMut(Said) -> Option<Vec<u8>>,
) -> (Result<Answer>, Told) {
    let mut told = Told { streaming: false, broken: !way.events, teller: None };
    // A moment that stays where it is: a call with much to say must not put off the watch with every event.
    let mut due = way.due();
    loop {
        match turn(running.as_mut(), events, conn, due).await {
            Turn::Ended(answer) => {
                while let Some(said) = events.try_next() {
                    Box::pin(told.message(conn, way, tell(said))).await;
                }
                return (answer, told);
            }
            // Boxed, as most calls tell nothing on the way.
            Turn::Said(said) => Box::pin(told.message(conn, way, tell(said))).await,
            Turn::Due(Due::Begin) => {
                due = None;
                Box::pin(told.begin(conn, way)).await;
            }
            Turn::Due(Due::Watch) => {
                due = None;
                way.cancel.notify_one();
            }
        }
    }
}

async fn turn<S: Stream, F: Future>(
    running: Pin<&mut F>,
    events: &mut Relay,
    conn: &ServerConn<S>,
    due: Option<(Instant, Due)>,
) -> Turn<F::Output> {
    let late = async {
        match due {
            Some((at, what)) => {
                time::sleep_until(at).await;
                if let Due::Watch = what {
                    // Boxed, as most calls have ended by then.
                    Box::pin(conn.peer_gone()).await;
                }
                what
            }
            None => std::future::pending().await,
        }
    };
    let (next, late) = (pin!(events.next()), pin!(late));
    match select(running, select(next, late)).await {
        Either::Left((ended, _)) => Turn::Ended(ended),
        Either::Right((Either::Left((said, _)), _)) => Turn::Said(said),
        Either::Right((Either::Right((what, _)), _)) => Turn::Due(what),
    }
}

/// How far an answer has come as a stream.
pub(crate) struct Told {
    streaming: bool,
    /// Nothing more is written on this connection.
    broken: bool,
    /// Keeps what is said, where the client may come back.
    teller: Option<Teller>,
}

impl Told {
    /// Says a notification or a request. On a connection that cannot be written to no more is said; whether that
    /// cancels the call is the watch's to say.
    async fn message<S: Stream>(&mut self, conn: &mut ServerConn<S>, way: &Way<'_>, message: Option<Vec<u8>>) {
        let Some(json) = message.filter(|_| way.events) else { return };
        self.begin(conn, way).await;
        match &self.teller {
            Some(teller) => {
                let wire = teller.say(&json);
                self.write(conn, &wire).await;
            }
            None => self.write(conn, &framed(&json)).await,
        }
    }

    /// Begins the stream, if it has not begun.
    async fn begin<S: Stream>(&mut self, conn: &mut ServerConn<S>, way: &Way<'_>) {
        if std::mem::replace(&mut self.streaming, true) {
            return;
        }
        if let Client::ComesBack(coming) = way.client {
            self.teller = Some(Teller::new(coming.shard, coming.session, Some(coming.request)));
        }
        self.broken = conn.start_stream(200, SSE_HEADERS).await.is_err();
        if let Some(first) = self.teller.as_ref().and_then(Teller::first) {
            self.write(conn, &first).await;
        }
    }

    /// Writes an event. A client that has come back on another connection reads it there.
    async fn write<S: Stream>(&mut self, conn: &mut ServerConn<S>, event: &[u8]) {
        self.broken |= self.teller.as_ref().is_some_and(|teller| teller.stream().is_taken());
        if !self.broken {
            self.broken = conn.write_stream(event.to_vec()).await.is_err();
        }
    }

    /// Says the answer, which ends the stream.
    async fn end<S: Stream>(mut self, conn: &mut ServerConn<S>, body: Vec<u8>) -> Result<()> {
        let Some(teller) = self.teller.take() else {
            self.write(conn, &framed(&body)).await;
            return self.close(conn).await;
        };
        self.broken |= teller.stream().is_taken();
        let wire = teller.end(&body);
        self.write(conn, &wire).await;
        self.close(conn).await
    }

    /// Ends the stream on this connection; one that is not ended closes its connection.
    async fn close<S: Stream>(self, conn: &mut ServerConn<S>) -> Result<()> {
        if self.broken { Ok(()) } else { conn.finish_stream().await }
    }
}

/// Gives the client the answer of its call, which ends the exchange.
pub(crate) async fn answer<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    told: Told,
    bridged: Bridged,
) -> Result<()> {
    exchange.shard.metrics.bytes_out.add(bridged.body.len() as u64);
    let written = match (told.streaming, bridged.retry_after) {
        // Boxed, as most answers come whole, and few clients are told to come back.
        (true, _) => Box::pin(told.end(conn, bridged.body)).await,
        (false, Some(seconds)) => Box::pin(come_back(conn, bridged.status, seconds, bridged.body)).await,
        (false, None) => finish(conn, bridged.status, bridged.body).await,
    };
    exchange.stamps.end(Phase::Write);
    exchange.shard.metrics.record_phases(&exchange.stamps);
    written
}

/// Writes a plain JSON answer.
pub(crate) async fn finish<S: Stream>(conn: &mut ServerConn<S>, status: u16, body: Vec<u8>) -> Result<()> {
    let json = ("content-type", "application/json");
    conn.respond(status, &[json], Body::Vec(body)).await
}

async fn come_back<S: Stream>(conn: &mut ServerConn<S>, status: u16, seconds: u32, body: Vec<u8>) -> Result<()> {
    let headers = [("content-type", "application/json"), ("retry-after", &*seconds.to_string())];
    conn.respond(status, &headers, Body::Vec(body)).await
}

/// Seconds after which a client may come back with what was refused.
pub(crate) fn retry_after(error: &Error) -> Option<u32> {
    match (error.retry, status_of(error.kind)) {
        (Retry::After(seconds), _) => Some(seconds),
        (_, 503) => Some(1),
        _ => None,
    }
}

/// The HTTP status of an error that ends a call: what the revision demands for its codes, 503, 429 and 402 where the
/// client should come back, else 200, for the answer is a JSON-RPC error of a request that was understood
/// (docs/protocol.md 2).
pub(crate) fn status_of(kind: Kind) -> u16 {
    match kind {
        Kind::HeaderMismatch | Kind::MissingCapability | Kind::UnsupportedVersion => 400,
        Kind::Overloaded | Kind::Journal => 503,
        Kind::Limited => 429,
        Kind::Spent => 402,
        _ => 200,
    }
}

/// A message as an event of a stream.
pub(crate) fn framed(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + 32);
    sse::encode(&mut out, Some("message"), None, json);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::sim::{self, SimStream};
    use crate::rt::task;
    use crate::upstream::said::{Event, EventKind};
    use crate::wire::http::HttpLimits;

    /// Says something every few milliseconds for as long as somebody takes it.
    async fn talk(sink: &Sink) -> Result<Answer> {
        loop {
            time::sleep(Duration::from_millis(5)).await;
            sink.push(Event { kind: EventKind::Progress, params: "{}".into() })?;
        }
    }

    /// A call that talks until it is cancelled.
    async fn chatter(sink: Sink, cancel: &Notify) -> Result<Answer> {
        match select(pin!(talk(&sink)), pin!(cancel.notified())).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) => Err(Error::new(Kind::Cancelled, "cancelled")),
        }
    }

    async fn cancelled_after(events: bool, said: Option<&'static [u8]>) -> Duration {
        let (mut client, stream) = SimStream::pair();
        let mut conn = ServerConn::new(stream, HttpLimits::default());
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()).await.0.unwrap();
        conn.read_head().await.unwrap().unwrap();
        drop(task::spawn(async move {
            time::sleep(Duration::from_millis(200)).await;
            drop(client);
        }));
        let cancel = Notify::new();
        let way = Way { events, cancel: &cancel, client: Client::Cancels };
        let start = Clock::now();
        let (sink, mut events) = way.events();
        let call = pin!(chatter(sink, &cancel));
        let ran = run(&mut conn, &way, call, &mut events, |_| said.map(Vec::from));
        let (answer, _) = time::timeout(Duration::from_secs(60), ran).await.expect("the call is cancelled");
        assert_eq!(answer.unwrap_err().kind, Kind::Cancelled);
        Clock::now().since(start)
    }

    /// 2026-07-28 streamable HTTP: any disconnect is a cancellation, however much the call has to say.
    #[test]
    fn a_client_that_goes_is_seen_between_many_events() {
        for (events, said) in [(true, None), (false, None), (true, Some(&b"{}"[..]))] {
            sim::run(1, async move {
                let took = cancelled_after(events, said).await;
                assert!(took < Duration::from_millis(300), "{events} {said:?}: {took:?}");
            });
        }
    }
}
