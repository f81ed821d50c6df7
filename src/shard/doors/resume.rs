//! GET with `Last-Event-ID`: a legacy client comes back to a stream that broke, has what it missed there, and hears on
//! (2025-11-25 transports, resumability; docs/protocol.md 9).

use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::{KeyId, ShardId};
use crate::base::limits::REPLAY_RETRY_MS;
use crate::mcp::event_id::{self, EventId};
use crate::mcp::revision::Revision;
use crate::mcp::session::Session;
use crate::rt::stream::Stream;
use crate::shard::doors::held::BEAT;
use crate::shard::doors::stream::{After, begin_get};
use crate::shard::exchange::Exchange;
use crate::shard::messages::{Pull, Pulled, Rest};
use crate::shard::relay::SSE_HEADERS;
use crate::shard::replay::primed;
use crate::shard::reread;
use crate::shard::streams::{Call, OpenStream};
use crate::shard::teller::spread_retry_ms;
use crate::shard::{Shard, refuse};
use crate::wire::http::{Body, ServerConn};
use crate::wire::{rpc, sse};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::rc::Rc;

/// A stream that a client has come back to, as its connection reads it.
pub(crate) struct Reading {
    open: OpenStream,
    key: KeyId,
    /// The shard that keeps the stream.
    home: ShardId,
    pull: Pull,
    rest: Rest,
    /// What stands for the stream in the ids of its events, where its client knows events without data.
    primes: Option<Box<str>>,
    /// The answer to a call comes on it: a gate that drains waits for that.
    is_call: bool,
}

/// What a reader's wait came to.
enum Turn {
    Pulled(Result<Pulled>),
    Called(Call),
    Gone,
}

/// Goes on with the stream of an event, from there.
pub(super) async fn begin<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    session: &Session,
    text: &str,
) -> Result<After> {
    let shard = &exchange.shard;
    let Some(id) = event_id::open(&shard.sealing, text, &session.id) else { return refuse_id(exchange, conn).await };
    if id.is_last {
        // What ends a client's attempts to come back (WHATWG HTML 9.2.1): there is nothing more to have.
        return conn.respond(204, &[], Body::Empty).await.map(|()| After::Done);
    }
    let (home, key) = (id.stream.shard, exchange.principal.key);
    let mut pull = Pull { session: session.id, number: id.stream.number, reader: None, after: id.at };
    let open = OpenStream::reading(shard, key, session.id);
    let begun = match open {
        Ok(open) => reread::pull(shard, home, &pull).await.map(|pulled| (open, pulled)),
        Err(error) => Err(error),
    };
    let (open, reader, rest) = match begun {
        Ok((open, Pulled::Read(reader, rest))) => (open, reader, rest),
        Ok((open, Pulled::Lost | Pulled::Taken)) => {
            drop(open);
            return lost(exchange, conn, session, text, &id).await;
        }
        Err(error) => return refuse::plain(shard, conn, &error).await.map(|()| After::Done),
    };
    pull.reader = Some(reader);
    conn.start_stream(200, SSE_HEADERS).await?;
    let primes = (session.revision == Revision::V2025_11_25).then(|| sealed_part(text).into());
    if primes.is_some() {
        // Where this connection breaks too before anything comes on it, the client knows where it was.
        conn.write_stream(primed(text, REPLAY_RETRY_MS)).await?;
    }
    let is_call = id.stream.request.is_some();
    Ok(After::Resumed(Box::new(Reading { open, key, home, pull, rest, primes, is_call })))
}

/// Refuses an id that opens no stream of the session: there is one answer, whoever's it is.
pub(super) async fn refuse_id<S: Stream>(exchange: &Exchange, conn: &mut ServerConn<S>) -> Result<After> {
    let words = "Last-Event-ID names no event of this session: open the stream without it";
    let error = Error::new(Kind::InvalidRequest, words);
    refuse::plain(&exchange.shard, conn, &error).await.map(|()| After::Done)
}

/// What the client missed is not kept any more, and it is told so: a call's stream ends with an error in the place of
/// the answer; a GET stream begins anew with word of everything that may have changed.
async fn lost<S: Stream>(
    exchange: &Exchange,
    conn: &mut ServerConn<S>,
    session: &Session,
    text: &str,
    id: &EventId,
) -> Result<After> {
    let Some(request) = &id.stream.request else { return begin_get(exchange, conn, session, true).await };
    let words = "the answer to this request is not kept any more, for too much time has passed or too much was said; \
                 the request may have been carried out";
    let body = rpc::error_body(Some(request), &Error::new(Kind::Internal, words));
    let last = event_id::event_id(sealed_part(text), id.at.saturating_add(1), true);
    let mut event = Vec::with_capacity(body.len() + text.len() + 64);
    sse::encode(&mut event, Some("message"), Some(&last), &body);
    conn.start_stream(200, SSE_HEADERS).await?;
    conn.write_stream(event).await?;
    conn.finish_stream().await.map(|()| After::Done)
}

/// What stands for the stream in the id of an event.
fn sealed_part(text: &str) -> &str {
    text.rsplit_once('.').map_or(text, |(sealed, _)| sealed)
}

/// Reads a stream to its end, or until its client goes, comes back on another connection, or may no longer read it.
pub(crate) async fn go_on<S: Stream>(
    shard: &Rc<Shard>,
    conn: &mut ServerConn<S>,
    mut reading: Box<Reading>,
) -> Result<()> {
    conn.rest();
    loop {
        for (at, wire) in std::mem::take(&mut reading.rest.events) {
            Box::pin(conn.write_stream(wire.to_vec())).await?;
            reading.pull.after = at;
        }
        if reading.rest.is_all {
            return Box::pin(conn.finish_stream()).await;
        }
        match more(shard, conn, &reading).await? {
            Some(rest) => reading.rest = rest,
            None => return Box::pin(close(shard, conn, &reading)).await,
        }
    }
}

/// Closes a connection that reads no more: where the gate stops, with word of when to come back.
async fn close<S: Stream>(shard: &Rc<Shard>, conn: &mut ServerConn<S>, reading: &Reading) -> Result<()> {
    let Some(sealed) = reading.primes.as_deref().filter(|_| shard.is_draining() && !reading.is_call) else {
        return Ok(());
    };
    let at = event_id::event_id(sealed, reading.pull.after, false);
    conn.write_stream(primed(&at, spread_retry_ms())).await?;
    conn.finish_stream().await
}

/// Waits for more of a stream; nothing where its connection is to close.
async fn more<S: Stream>(shard: &Rc<Shard>, conn: &mut ServerConn<S>, reading: &Reading) -> Result<Option<Rest>> {
    let mut pulling = Box::pin(reread::pull(shard, reading.home, &reading.pull));
    loop {
        let turn = {
            let (called, gone) = (pin!(reading.open.called()), pin!(conn.peer_gone()));
            match select(pulling.as_mut(), select(called, gone)).await {
                Either::Left((pulled, _)) => Turn::Pulled(pulled),
                Either::Right((Either::Left((call, _)), _)) => Turn::Called(call),
                Either::Right((Either::Right(((), _)), _)) => Turn::Gone,
            }
        };
        match turn {
            Turn::Pulled(pulled) => match pulled? {
                Pulled::Read(_, rest) => return Ok(Some(rest)),
                Pulled::Lost | Pulled::Taken => return Ok(None),
            },
            Turn::Gone => return Ok(None),
            Turn::Called(_) if !reading.may_go_on(shard) => return Ok(None),
            Turn::Called(Call::Beat) => Box::pin(conn.write_stream(BEAT.to_vec())).await?,
            Turn::Called(Call::Look) => {}
        }
    }
}

impl Reading {
    fn may_go_on(&self, shard: &Shard) -> bool {
        let is_alive = !shard.ended.has(&self.pull.session);
        let is_valid = shard.in_force().snapshot.keys.standing(self.key, Clock::recent_wall()).is_some();
        is_alive && is_valid && (self.is_call || !shard.is_draining())
    }
}
