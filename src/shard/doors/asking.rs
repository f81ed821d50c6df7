//! Requests of modern clients that may lead to questions: those of clients that can be asked something, and those that
//! come again with answers (docs/protocol.md 5).

use crate::base::buf::Piece;
use crate::base::clock::{Clock, WallTime};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::ServerId;
use crate::base::limits::INPUT_TTL_MS;
use crate::catalog::Tool;
use crate::mcp::caps::ClientCaps;
use crate::mcp::input::{self, InputRequired, Retry};
use crate::mcp::question;
use crate::mcp::result::RawResult;
use crate::mcp::revision::Era;
use crate::mcp::state::{self, Asked, Cleared, Held};
use crate::shard::Shard;
use crate::shard::approve;
use crate::shard::attend::{self, Attended};
use crate::shard::call::{self, Call};
use crate::shard::exchange::Exchange;
use crate::shard::wanted;
use crate::upstream::answer::{Answer, Outcome};
use crate::upstream::operation::Input;
use crate::upstream::said::Sink;
use crate::wire::rpc;
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::{Pin, pin};

/// JSON-RPC code of a legacy server that wants a URL visited before it is called again (2025-11-25).
const VISIT_FIRST: i64 = -32042;

/// Runs a call that may lead to questions, or goes on with one that has. When `cancelled` resolves first, it is
/// cancelled upstream.
pub(super) async fn run(
    exchange: &mut Exchange,
    call: &Call<'_>,
    retry: &Retry<'_>,
    mirrored: impl FnOnce(&Tool) -> Result<()>,
    sink: &Sink,
    mut cancelled: Pin<&mut impl Future<Output = ()>>,
) -> Result<Answer> {
    let admitted = match call::admit(exchange, call, mirrored) {
        Ok(admitted) => admitted,
        Err(refused) => return refused,
    };
    let (in_force, shard) = (exchange.in_force.clone(), exchange.shard.clone());
    let spec = in_force.snapshot.server(admitted.server).ok_or_else(call::unserved)?;
    let asked = Asked { server: &spec.name, key: exchange.principal.key, digest: call.wanted.digest() };
    let held = match &retry.state {
        Some(text) => match state::open(&shard.sealing, text, &asked, Clock::wall()) {
            Ok(held) => Some(held),
            Err(error) => return Err(refused(exchange, call, admitted.server, error)),
        },
        None => None,
    };
    if let Some(Held::Park { shard: home, park }) = held {
        let resumed = attend::resume(&shard, (home, park), &asked, retry.responses, sink);
        let resumed = unless(pin!(resumed), cancelled).await;
        return match resumed {
            Err(error) if error.kind == Kind::InvalidParams => Err(refused(exchange, call, admitted.server, error)),
            resumed => resumed,
        };
    }
    if admitted.needs_approval {
        let told = approve::clear(exchange, call, &admitted, held.as_ref(), sink, cancelled.as_mut()).await;
        if let Some(told) = told {
            return told;
        }
    }
    let inner = match &held {
        Some(Held::Inner(inner) | Held::Approved { inner, .. }) => Some(rpc::quoted(inner)),
        _ => None,
    };
    // What the client answered to the gate itself is no answer to the server.
    let responses = retry.responses.filter(|_| !matches!(held, Some(Held::Approval(_))));
    let input = Input { responses, state: inner.as_deref() };
    let (call, caps) = (Call { input, ..*call }, call.caps.allowed_by(spec.asks));
    let server = shard.upstream(&in_force, admitted.server, &spec.name)?;
    if caps.can_be_asked() && server.may_ask(Era::Modern) {
        let running = attend::start(exchange.clone(), &call, admitted);
        let attended = unless(pin!(attend::attend(&shard, &asked, running, sink)), cancelled).await?;
        return match attended {
            // What was known of its era may have been wrong: a modern server asks in its answer.
            Attended::Ended(answer) => {
                let cleared = exchange.cleared;
                visits(&shard, (&asked, cleared), caps, relayed(&shard, (&asked, cleared), caps, answer)?)
            }
            Attended::Asks(answer) => Ok(answer),
        };
    }
    let answer = call::perform(exchange, &call, &admitted, sink, cancelled).await?;
    relayed(&shard, (&asked, exchange.cleared), caps, answer)
}

/// Records that a call did not go on, and says why.
fn refused(exchange: &Exchange, call: &Call<'_>, server: ServerId, error: Error) -> Error {
    call::record_refusal(exchange, call, server, "invalid_state").err().unwrap_or(error)
}

/// An answer as its modern client is to see it: where its server wants input, with the state sealed to this key and
/// request, and to the approval it was made with.
///
/// # Errors
/// [`Kind::BadAnswer`]: the server asks what the client does not do, or nothing.
fn relayed(shard: &Shard, asked: (&Asked<'_>, Option<Cleared>), caps: ClientCaps, answer: Answer) -> Result<Answer> {
    if !answer.asks_for_input() {
        return Ok(answer);
    }
    let required = InputRequired::read(answer.raw())?;
    if !required.is_permitted(caps) {
        return Err(Error::new(Kind::BadAnswer, "the server asks for what this client does not do for it"));
    }
    let state = required.state.as_deref().map(|inner| seal(shard, asked, inner));
    let result = input::relayed(answer.raw(), state.as_deref(), &shard.model);
    Ok(Answer { outcome: Outcome::Result(RawResult::from(Piece::from(result))), era: Era::Modern })
}

/// As [`relayed`], for a call that was made for a client that can be asked nothing: its server may still want to be
/// called again with a state.
pub(super) fn late(exchange: &Exchange, call: &Call<'_>, answer: Answer) -> Result<Answer> {
    if call.caps.can_be_asked() || !answer.asks_for_input() {
        return Ok(answer);
    }
    let admitted = wanted::find(exchange, &call.wanted).ok_or_else(call::unserved)?;
    let server = exchange.catalog().server_name(admitted.server);
    let asked = Asked { server, key: exchange.principal.key, digest: call.wanted.digest() };
    // It can be asked nothing, so only a state may come.
    relayed(&exchange.shard, (&asked, exchange.cleared), ClientCaps::default(), answer)
}

/// A legacy server's word that a URL is to be visited first, as a modern server says it. The call is made anew then.
fn visits(shard: &Shard, asked: (&Asked<'_>, Option<Cleared>), caps: ClientCaps, answer: Answer) -> Result<Answer> {
    let Outcome::Error(error) = &answer.outcome else { return Ok(answer) };
    let code = rpc::field(error, "code").and_then(rpc::integer);
    if answer.era == Era::Modern || code != Some(VISIT_FIRST) {
        return Ok(answer);
    }
    let visits = rpc::field(error, "data").and_then(question::required_visits);
    let requests =
        visits.into_iter().flatten().enumerate().map(|(at, visit)| (format!("visit_{}", at + 1).into(), visit));
    let required = InputRequired { requests: requests.collect(), state: Some(seal(shard, asked, "").into()) };
    if required.requests.is_empty() || !required.is_permitted(caps) {
        return Ok(answer);
    }
    let result = required.result(&shard.model);
    Ok(Answer { outcome: Outcome::Result(RawResult::from(Piece::from(result))), era: Era::Modern })
}

fn seal(shard: &Shard, (asked, cleared): (&Asked<'_>, Option<Cleared>), inner: &str) -> String {
    let until = WallTime(Clock::wall().0 + INPUT_TTL_MS);
    let inner = inner.into();
    let held = match cleared {
        Some(cleared) => Held::Approved { cleared: cleared.next(), inner },
        None => Held::Inner(inner),
    };
    state::seal(&shard.sealing, asked, until, &held)
}

async fn unless<T>(
    running: Pin<&mut impl Future<Output = Result<T>>>,
    cancelled: Pin<&mut impl Future<Output = ()>>,
) -> Result<T> {
    match select(running, cancelled).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), _)) => Err(Error::new(Kind::Cancelled, "the client cancelled the call")),
    }
}
