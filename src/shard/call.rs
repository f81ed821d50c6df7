//! The one way a tool is executed, whatever door asked: decide, record the intent, run, record the outcome.
//!
//! No record, no answer: an outcome that could not be recorded is an error to the client, also where the server has
//! answered well. Denied, hidden and absent tools answer alike; only the journal knows which it was.

use crate::audit::{self, Denied, Digest, Era, Intent, Outcome, Status};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::{Seq, ToolId};
use crate::base::phase::Phase;
use crate::catalog::Tool;
use crate::policy::{Asked, Verdict, unknown_tool};
use crate::shard::exchange::Exchange;
use crate::shard::session::SessionKey;
use crate::telemetry::{CallOutcome, ServerSlot};
use crate::upstream::answer::{self, Answer, CallMeta, Sink, UpstreamCall};
use crate::upstream::upstreams::scope_key;
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::pin;

/// A call as a door understood it.
pub(crate) struct Call<'a> {
    /// The tool's name as the client sent it.
    pub(crate) name: &'a str,
    /// The raw arguments; nothing where the client gave none.
    pub(crate) arguments: Option<&'a [u8]>,
    /// What goes upstream in `_meta`.
    pub(crate) meta: CallMeta<'a>,
    /// Who calls, for the record.
    pub(crate) caller: Caller<'a>,
}

/// What is recorded of a caller beside its key.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    /// The era it speaks.
    pub(crate) era: Era,
    /// The revision it speaks.
    pub(crate) revision: &'a str,
    /// The client's name from its handshake or `_meta`.
    pub(crate) client: &'a str,
    /// The client's version from the same place.
    pub(crate) client_version: &'a str,
    /// W3C trace id; zeros if there is none.
    pub(crate) trace_id: [u8; 16],
    /// The legacy session it belongs to.
    pub(crate) session: Option<SessionKey>,
}

/// Runs a call to its end. `mirrored` checks what the head says of the call once the tool is known. When `cancelled`
/// resolves first, the call is cancelled upstream and recorded so.
pub(crate) async fn run(
    exchange: &mut Exchange,
    call: Call<'_>,
    mirrored: impl FnOnce(&Tool) -> Result<()>,
    sink: &Sink,
    cancelled: impl Future<Output = ()>,
) -> Result<Answer> {
    let tool = admit(exchange, &call, mirrored)?;
    exchange.stamps.end(Phase::Decide);
    let in_force = exchange.in_force.clone();
    let tool = in_force.snapshot.catalog.tool(tool);
    let slot = in_force.slot(tool.server);
    let seq = record_intent(exchange, &call, tool).await.inspect_err(|error| count(exchange, slot, error.kind))?;
    exchange.shard.metrics.calls(slot).in_flight.inc();
    let answer = execute(exchange, &call, tool, sink, cancelled).await;
    exchange.shard.metrics.calls(slot).in_flight.dec();
    exchange.stamps.end(Phase::Call);
    record_outcome(exchange, slot, seq, &answer)?;
    answer
}

/// Whether the call may be made, and of which tool. A refusal is recorded.
fn admit(exchange: &Exchange, call: &Call<'_>, mirrored: impl FnOnce(&Tool) -> Result<()>) -> Result<ToolId> {
    let catalog = exchange.catalog();
    let asked =
        Asked { name: call.name, door: exchange.door, grant: exchange.grant(), narrowing: exchange.narrowing.as_ref() };
    let admission = asked.admit(catalog);
    let known = admission.tool.map(|id| catalog.tool(id));
    match admission.verdict {
        Verdict::Deny(reason) => {
            record_denial(exchange, call, known, reason.name())?;
            Err(unknown_tool(call.name))
        }
        Verdict::Allow(id) => match mirrored(catalog.tool(id)) {
            Ok(()) => Ok(id),
            Err(error) => {
                record_denial(exchange, call, known, error.kind.name())?;
                Err(error)
            }
        },
    }
}

async fn execute(
    exchange: &Exchange,
    call: &Call<'_>,
    tool: &Tool,
    sink: &Sink,
    cancelled: impl Future<Output = ()>,
) -> Result<Answer> {
    let spec = exchange.snapshot().server(tool.server).ok_or_else(unserved)?;
    let upstream = UpstreamCall {
        tool: &tool.name,
        arguments: call.arguments,
        header_params: &tool.header_params,
        meta: call.meta,
        scope: scope_key(spec.scope, exchange.principal.key, call.caller.session),
    };
    let running = pin!(exchange.shard.call_upstream(&spec.name, &upstream, sink));
    match select(running, pin!(cancelled)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), _)) => Err(Error::new(Kind::Cancelled, "the client cancelled the call")),
    }
}

fn intent<'a>(exchange: &'a Exchange, call: &'a Call<'_>, tool: Option<&'a Tool>, verdict: &'a str) -> Intent<'a> {
    Intent {
        key: exchange.principal.key.as_str(),
        client: call.caller.client,
        client_version: call.caller.client_version,
        era: call.caller.era,
        revision: call.caller.revision,
        server: tool.map_or("", |tool| exchange.catalog().server_name(tool.server)),
        tool: tool.map_or(call.name, |tool| &tool.exposed),
        definition_hash: tool.map_or(Digest::default(), |tool| tool.hash),
        arguments_digest: call.arguments.map_or(Digest::default(), audit::digest),
        arguments_bytes: call.arguments.map_or(0, |raw| raw.len() as u64),
        verdict,
        trace_id: call.caller.trace_id,
        epoch: exchange.snapshot().epoch.0,
        parent: 0,
        parent_shard: 0,
    }
}

async fn record_intent(exchange: &Exchange, call: &Call<'_>, tool: &Tool) -> Result<Seq> {
    let journal = &exchange.shard.journal;
    journal.room().await?;
    journal.intent(&intent(exchange, call, Some(tool), "allow"))
}

fn record_denial(exchange: &Exchange, call: &Call<'_>, tool: Option<&Tool>, reason: &str) -> Result<()> {
    let slot = tool.map_or(ServerSlot::OTHER, |tool| exchange.in_force.slot(tool.server));
    exchange.shard.metrics.calls(slot).outcome(CallOutcome::Denied).inc();
    let denied = Denied { call: intent(exchange, call, tool, "deny"), reason };
    exchange.shard.journal.denied(&denied).map(drop)
}

fn record_outcome(exchange: &Exchange, slot: ServerSlot, seq: Seq, answer: &Result<Answer>) -> Result<()> {
    let (status, kind, result) = match answer {
        Ok(answer) => (status(answer), None, measured(answer)),
        Err(error) => (Status::Error, Some(error.kind), (Digest::default(), 0)),
    };
    let outcome = Outcome::new(status, kind, result, &exchange.stamps);
    let recorded = exchange.shard.journal.outcome(seq, &outcome);
    let counted = match (&recorded, kind, answer) {
        (Err(error), _, _) => CallOutcome::from(error.kind),
        (Ok(()), Some(kind), _) => CallOutcome::from(kind),
        (Ok(()), None, Ok(Answer { outcome: answer::Outcome::Error(_), .. })) => CallOutcome::RpcError,
        (Ok(()), None, _) if status == Status::ToolError => CallOutcome::ToolError,
        (Ok(()), None, _) => CallOutcome::Ok,
    };
    let calls = exchange.shard.metrics.calls(slot);
    calls.outcome(counted).inc();
    calls.upstream.record(exchange.stamps.spent(Phase::Call));
    recorded
}

fn unserved() -> Error {
    Error::new(Kind::Internal, "a tool of the catalogue belongs to no server")
}

fn status(answer: &Answer) -> Status {
    match &answer.outcome {
        answer::Outcome::Error(_) => Status::Error,
        answer::Outcome::Result(result) if result.gist().is_error => Status::ToolError,
        answer::Outcome::Result(_) => Status::Ok,
    }
}

fn measured(answer: &Answer) -> (Digest, u64) {
    let raw: &[u8] = match &answer.outcome {
        answer::Outcome::Result(result) => result,
        answer::Outcome::Error(error) => error,
    };
    (audit::digest(raw), raw.len() as u64)
}

fn count(exchange: &Exchange, slot: ServerSlot, kind: Kind) {
    exchange.shard.metrics.calls(slot).outcome(kind.into()).inc();
}
