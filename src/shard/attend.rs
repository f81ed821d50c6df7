//! What the gate does for a modern client at a legacy server: it plays a modern server that asks with `input_required`.

use crate::base::buf::Piece;
use crate::base::clock::{Clock, WallTime};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::ShardId;
use crate::base::limits::INPUT_TTL_MS;
use crate::mcp::input::{InputRequired, Retry};
use crate::mcp::question::InputRequest;
use crate::mcp::result::RawResult;
use crate::mcp::revision::Era;
use crate::mcp::state::{self, Asked, Held};
use crate::rt::local::{self, Notify};
use crate::rt::task;
use crate::shard::call::{self, Call};
use crate::shard::exchange::Exchange;
use crate::shard::messages::{Resume, ToShard};
use crate::shard::owned::OwnedCall;
use crate::shard::park::{Running, Turn};
use crate::shard::wanted::Admitted;
use crate::shard::{Busy, Shard};
use crate::upstream::answer::{Answer, Outcome};
use crate::upstream::said::{Reply, Sink, relay};
use std::pin::pin;
use std::rc::Rc;

/// Starts an admitted call in a task of its own.
pub(crate) fn start(mut exchange: Exchange, call: &Call<'_>, admitted: Admitted) -> Running {
    let owned = OwnedCall::from(call);
    // A shard that drains drops its parked calls first, and must still tell their servers.
    let busy = Busy::new(&exchange.shard);
    let (sink, said) = relay();
    let (ended, answer) = local::oneshot();
    let cancel = Rc::new(Notify::new());
    let cancelled = cancel.clone();
    drop(task::spawn(async move {
        let call = owned.as_call();
        let cancelled = pin!(cancelled.notified());
        let answer = call::perform(&mut exchange, &call, &admitted, &sink, cancelled).await;
        // Whoever waited may be gone: the outcome stands in the journal.
        let _ = ended.send(answer);
        drop(busy);
    }));
    Running::new(said, answer, cancel)
}

/// What a call has come to.
pub(crate) enum Attended {
    /// It has ended with this answer of its server.
    Ended(Answer),
    /// It is parked, and this answer, which is the gate's own, asks what its server asks.
    Asks(Answer),
}

/// Goes on with a call until it has ended, or parks it and answers what its server asks.
///
/// # Errors
/// As the call ends; [`Kind::Overloaded`] where no more calls may be parked.
pub(crate) async fn attend(shard: &Shard, asked: &Asked<'_>, running: Running, sink: &Sink) -> Result<Attended> {
    match running.go_on(sink).await {
        Turn::Ended(answer) => answer.map(Attended::Ended),
        Turn::Asks(running) => park(shard, asked, running).map(Attended::Asks),
    }
}

/// The answer of a modern server that asks what this one asks. A question that the modern era has no form for was
/// dropped when it came.
fn park(shard: &Shard, asked: &Asked<'_>, running: Running) -> Result<Answer> {
    let text = |key: &str| key.to_owned().into();
    let requests = running.questions().filter_map(|(key, method, params)| {
        let request = InputRequest::legacy(method, Some(params))?;
        Some((text(key), InputRequest { method: request.method, params: request.params.into_owned().into() }))
    });
    let requests: Vec<_> = requests.collect();
    if shard.is_draining() {
        return Err(Error::new(Kind::Overloaded, "the gate is stopping: call again"));
    }
    let park = shard.parks.park(asked.key, running)?;
    shard.measure_parks();
    let until = WallTime(Clock::wall().0 + INPUT_TTL_MS);
    let state = state::seal(&shard.sealing, asked, until, &Held::Park { shard: shard.id, park });
    let result = InputRequired { requests, state: Some(state.into()) }.result(&shard.model);
    Ok(Answer { outcome: Outcome::Result(RawResult::from(Piece::from(result))), era: Era::Modern })
}

/// Goes on with a parked call: its client has come back, perhaps to another shard than the one where it is parked.
///
/// # Errors
/// As the call ends; [`Kind::InvalidParams`] where it is no longer there, or an answer is not one to its question.
pub(crate) async fn resume(
    shard: &Shard,
    (home, number): (ShardId, u64),
    asked: &Asked<'_>,
    responses: Option<&[u8]>,
    sink: &Sink,
) -> Result<Answer> {
    if home == shard.id {
        return resume_here(shard, number, asked, responses, sink).await;
    }
    let message = |ticket| {
        let (server, responses) = (asked.server.into(), responses.map(Into::into));
        let (key, digest) = (asked.key, asked.digest);
        ToShard::Resume(Box::new(Resume { ticket, number, server, key, digest, responses }))
    };
    shard.peers.ask(home, sink, message).await
}

/// As [`resume`], on the shard where it is parked.
pub(crate) async fn resume_here(
    shard: &Shard,
    number: u64,
    asked: &Asked<'_>,
    responses: Option<&[u8]>,
    sink: &Sink,
) -> Result<Answer> {
    let mut running = shard.parks.take(number, asked.key).ok_or_else(gone)?;
    shard.measure_parks();
    let retry = Retry { responses, state: None };
    let replied = running.reply(|key, method| {
        let answer = retry.answer(key, method)?;
        Ok(answer.map(|raw| Reply::Result((&*raw).into())))
    });
    match replied {
        // Only a legacy server's call is parked, and such an answer asks for nothing.
        Ok(()) => match attend(shard, asked, running, sink).await? {
            Attended::Ended(answer) | Attended::Asks(answer) => Ok(answer),
        },
        Err(error) => {
            // Its client may still come back with an answer of the right form.
            shard.parks.put_back(number, asked.key, running);
            shard.measure_parks();
            Err(error)
        }
    }
}

fn gone() -> Error {
    Error::new(Kind::InvalidParams, "invalid requestState")
}
