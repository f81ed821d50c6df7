//! Runs a call and brings its answer to the client: as plain JSON, or, once the first notification of the call comes,
//! as a stream of events that the answer ends.

use crate::base::clock::{Clock, Instant};
use crate::base::error::{Kind, Result};
use crate::base::phase::Phase;
use crate::mcp::bridge::Bridged;
use crate::rt::local::Notify;
use crate::rt::stream::Stream;
use crate::rt::time;
use crate::shard::exchange::Exchange;
use crate::upstream::answer::{Answer, Relay, Said, Sink, relay, unheard};
use crate::wire::http::{Body, ServerConn};
use crate::wire::sse;
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

/// The headers of every event stream.
pub(crate) const SSE_HEADERS: &[(&str, &str)] =
    &[("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")];

/// A call this short is not watched for a client that goes away: a watch costs two submissions to the ring.
const WATCH_AFTER: Duration = Duration::from_millis(20);

/// What a door wants to happen around a call.
pub(crate) struct Way<'a> {
    /// Whether the client takes an event stream.
    pub(crate) events: bool,
    /// Whether a client that goes away cancels the call (modern) or not (legacy).
    pub(crate) gone_is_cancel: bool,
    /// Rung to cancel the call.
    pub(crate) cancel: &'a Notify,
}

impl Way<'_> {
    /// Where the call puts its events, and where they come out.
    pub(crate) fn events(&self) -> (Sink, Relay) {
        if self.events { relay() } else { unheard() }
    }
}

/// What the loop below waits for.
enum Turn<T> {
    Ended(T),
    Said(Said),
    Gone,
}

/// Runs a call, whose sink is that of `events`, to its end and relays what it says on the way through `tell`, which
/// makes the bytes of a notification or of a request to the client, or nothing where the client is not to see it. Says
/// whether a stream has begun. The call comes pinned: taken by value it would stand in this future twice.
pub(crate) async fn run<S: Stream, F: Future<Output = Result<Answer>>>(
    conn: &mut ServerConn<S>,
    way: &Way<'_>,
    mut running: Pin<&mut F>,
    events: &mut Relay,
    mut tell: impl FnMut(Said) -> Option<Vec<u8>>,
) -> (Result<Answer>, bool) {
    let mut told = Told { streaming: false, broken: !way.events };
    // A moment that stays where it is: a call with much to say must not put off the watch with every event.
    let mut watch_from = way.gone_is_cancel.then(|| Clock::recent() + WATCH_AFTER);
    loop {
        match turn(running.as_mut(), events, conn, watch_from).await {
            Turn::Ended(answer) => {
                while let Some(said) = events.try_next() {
                    Box::pin(told.message(conn, tell(said))).await;
                }
                return (answer, told.streaming);
            }
            // Boxed, as most calls tell nothing on the way.
            Turn::Said(said) => Box::pin(told.message(conn, tell(said))).await,
            Turn::Gone => {
                watch_from = None;
                way.cancel.notify_one();
            }
        }
    }
}

async fn turn<S: Stream, F: Future>(
    running: Pin<&mut F>,
    events: &mut Relay,
    conn: &ServerConn<S>,
    watch_from: Option<Instant>,
) -> Turn<F::Output> {
    let gone = async {
        match watch_from {
            Some(from) => {
                time::sleep_until(from).await;
                // Boxed, as most calls have ended by then.
                Box::pin(conn.peer_gone()).await;
            }
            None => std::future::pending::<()>().await,
        }
    };
    let (next, gone) = (pin!(events.next()), pin!(gone));
    match select(running, select(next, gone)).await {
        Either::Left((ended, _)) => Turn::Ended(ended),
        Either::Right((Either::Left((said, _)), _)) => Turn::Said(said),
        Either::Right((Either::Right(_), _)) => Turn::Gone,
    }
}

/// How far an answer has come as a stream.
struct Told {
    streaming: bool,
    broken: bool,
}

impl Told {
    /// Writes a notification or a request. A client that cannot be written to is told no more; whether that cancels the
    /// call is the watch's to say.
    async fn message<S: Stream>(&mut self, conn: &mut ServerConn<S>, message: Option<Vec<u8>>) {
        let Some(json) = message.filter(|_| !self.broken) else { return };
        if !self.streaming {
            self.streaming = true;
            self.broken = conn.start_stream(200, SSE_HEADERS).await.is_err();
        }
        if !self.broken {
            self.broken = conn.write_stream(framed(&json)).await.is_err();
        }
    }
}

/// Gives the client the answer of its call, which ends the exchange.
pub(crate) async fn answer<S: Stream>(
    exchange: &mut Exchange,
    conn: &mut ServerConn<S>,
    streaming: bool,
    bridged: Bridged,
) -> Result<()> {
    exchange.shard.metrics.bytes_out.add(bridged.body.len() as u64);
    let written = finish(conn, streaming, bridged.status, bridged.body).await;
    exchange.stamps.end(Phase::Write);
    exchange.shard.metrics.record_phases(&exchange.stamps);
    written
}

/// Writes the final message of a call: the last event of its stream where one has begun, else a plain JSON answer.
pub(crate) async fn finish<S: Stream>(
    conn: &mut ServerConn<S>,
    streaming: bool,
    status: u16,
    body: Vec<u8>,
) -> Result<()> {
    if streaming {
        conn.write_stream(framed(&body)).await?;
        return conn.finish_stream().await;
    }
    let json = ("content-type", "application/json");
    match status {
        503 => conn.respond(503, &[json, ("retry-after", "1")], Body::Vec(body)).await,
        status => conn.respond(status, &[json], Body::Vec(body)).await,
    }
}

/// The HTTP status of an error that ends a call: what the revision demands for its codes, 503 where the client should
/// come back, else 200, for the answer is a JSON-RPC error of a request that was understood (docs/protocol.md 2).
pub(crate) fn status_of(kind: Kind) -> u16 {
    match kind {
        Kind::HeaderMismatch | Kind::MissingCapability | Kind::UnsupportedVersion => 400,
        Kind::Overloaded | Kind::Journal => 503,
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
    use crate::base::error::Error;
    use crate::rt::sim::{self, SimStream};
    use crate::rt::task;
    use crate::upstream::answer::{Event, EventKind};
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
        let way = Way { events, gone_is_cancel: true, cancel: &cancel };
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
