//! The one way anything is executed at a server, whatever door asked: decide, record the intent, run, record the
//! outcome.
//!
//! No record, no answer: an outcome that could not be recorded is an error to the client, also where the server has
//! answered well. What is denied, hidden and absent answers alike; only the journal knows which it was.

use crate::audit::{self, Denied, Digest, Era, Intent, Outcome, Status};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::{Place, Seq, ServerId, ShardId};
use crate::base::phase::Phase;
use crate::catalog::Tool;
use crate::mcp::caps::ClientCaps;
use crate::mcp::revision;
use crate::mcp::vendor::{self, Carried, Declared};
use crate::policy::{Asked, Reason, Switches, Verdict, unknown_tool};
use crate::shard::Shard;
use crate::shard::approve;
use crate::shard::converse;
use crate::shard::exchange::Exchange;
use crate::shard::session::SessionKey;
use crate::shard::spend::{self, Spending};
use crate::shard::under_way::{Entered, Of};
use crate::shard::wanted::{self, Admitted, Target, Wanted};
use crate::telemetry::{CallOutcome, ServerSlot};
use crate::upstream::answer::{self, Answer, CallMeta, UpstreamCall};
use crate::upstream::operation::Input;
use crate::upstream::said::Sink;
use crate::upstream::upstreams::scope_key;
use crate::wire::rpc;
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;

/// JSON-RPC code of a resource that is not there, in the legacy era alone.
const LEGACY_NOT_FOUND: i32 = -32002;

/// The parent of a call that comes from no other entry.
const NOBODY: Place = Place { shard: ShardId(0), seq: Seq(0) };

/// A request as a door understood it.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// What is wanted, in the client's words.
    pub(crate) wanted: Wanted<'a>,
    /// What the client answers to what a modern server asked in an earlier round.
    pub(crate) input: Input<'a>,
    /// What goes upstream in `_meta`.
    pub(crate) meta: CallMeta<'a>,
    /// What the client can do.
    pub(crate) caps: ClientCaps,
    /// What a modern client said, of which extensions that the gate does not know may be a part.
    pub(crate) declared: Declared<'a>,
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

/// What came of asking whether a call may be made: if not, what is answered.
pub(crate) type Admission = std::result::Result<Admitted, Result<Answer>>;

impl Caller<'_> {
    /// The era it speaks, in the words of the protocol.
    pub(crate) fn mcp_era(&self) -> revision::Era {
        match self.era {
            Era::Legacy => revision::Era::Legacy,
            Era::Modern => revision::Era::Modern,
        }
    }
}

/// Runs a call to its end: [`admit`], an approval where it needs one, then [`perform`].
pub(crate) async fn run(
    exchange: &mut Exchange,
    call: &Call<'_>,
    mirrored: impl FnOnce(&Tool) -> Result<()>,
    sink: &Sink,
    mut cancelled: Pin<&mut impl Future<Output = ()>>,
) -> Result<Answer> {
    let admitted = match admit(exchange, call, mirrored) {
        Ok(admitted) => admitted,
        Err(refused) => return refused,
    };
    if admitted.needs_approval {
        // Boxed, as few calls need one and each would carry the room for it.
        let cleared = Box::pin(approve::clear(exchange, call, &admitted, None, sink, cancelled.as_mut())).await;
        if let Some(told) = cleared {
            return told;
        }
    }
    perform(exchange, call, &admitted, sink, cancelled).await
}

/// Whether the call may be made, and of what. `mirrored` checks what the head says of the call once the tool is known.
/// A refusal is recorded.
pub(crate) fn admit(exchange: &mut Exchange, call: &Call<'_>, mirrored: impl FnOnce(&Tool) -> Result<()>) -> Admission {
    let admitted = match call.wanted {
        Wanted::Tool { name, .. } => admit_tool(exchange, call, name, mirrored).map_err(Err),
        _ => admit_other(exchange, call),
    };
    exchange.stamps.end(Phase::Decide);
    admitted
}

/// Makes an admitted call, if no limit is reached. When `cancelled` resolves first, it is cancelled upstream and
/// recorded so.
pub(crate) async fn perform(
    exchange: &mut Exchange,
    call: &Call<'_>,
    admitted: &Admitted,
    sink: &Sink,
    cancelled: Pin<&mut impl Future<Output = ()>>,
) -> Result<Answer> {
    let slot = exchange.in_force.slot(admitted.server);
    let shard = exchange.shard.clone();
    let under_way = enter(exchange, &shard, call, admitted)?;
    let permit = spend::permit(exchange, call, admitted)?;
    let (_permit, mut spending) = match exchange.snapshot().limits.price_of(admitted.tool_id()) {
        None => (permit, None),
        // Boxed, as most tools have no price.
        Some(price) => Box::pin(spend::pay(exchange, call, admitted, (permit, price))).await?,
    };
    let mut parent = NOBODY;
    if admitted.needs_approval {
        // The last thing before the call goes out: an approval that is used up for nothing is gone. What is reserved
        // for a call that is not made after all goes back as it is dropped.
        match Box::pin(approve::claim(exchange, call, admitted)).await {
            Ok(decided) => parent = decided,
            Err(told) => return told,
        }
    }
    let seq = match record_intent(exchange, call, admitted, (parent, spending.as_deref_mut()), &under_way).await {
        Ok(seq) => seq,
        Err(error) => {
            // What was stopped is counted as refused already.
            if error.kind != Kind::Stopped {
                count(exchange, slot, error.kind);
            }
            return Err(error);
        }
    };
    exchange.shard.metrics.calls(slot).in_flight.inc();
    let answer = execute(exchange, call, admitted, sink, (cancelled, &under_way)).await;
    exchange.shard.metrics.calls(slot).in_flight.dec();
    exchange.stamps.end(Phase::Call);
    record_outcome(exchange, slot, (seq, spending), &answer)?;
    answer
}

fn admit_tool(
    exchange: &Exchange,
    call: &Call<'_>,
    name: &str,
    mirrored: impl FnOnce(&Tool) -> Result<()>,
) -> Result<Admitted> {
    let catalog = exchange.catalog();
    let (door, grant, narrowing) = (exchange.door, exchange.grant(), exchange.narrowing.as_ref());
    let asked = Asked { name, door, grant, narrowing, approvals: &exchange.snapshot().approvals };
    let admission = asked.admit(catalog);
    let known = admission.tool.map(|id| catalog.tool(id));
    match admission.verdict {
        Verdict::Deny(reason) => {
            let is_off = reason == Reason::NotGranted && known.is_some_and(|tool| is_off(exchange, tool));
            record_denial(exchange, call, known, if is_off { Switches::REASON } else { reason.name() })?;
            Err(unknown_tool(name))
        }
        verdict @ (Verdict::Allow(id) | Verdict::Hold(id)) => match mirrored(catalog.tool(id)) {
            Ok(()) => {
                let (server, target) = (catalog.tool(id).server, Target::Tool(id));
                Ok(Admitted { needs_approval: matches!(verdict, Verdict::Hold(_)), ..Admitted::new(server, target) })
            }
            Err(error) => {
                record_denial(exchange, call, known, error.kind.name())?;
                Err(error)
            }
        },
    }
}

/// Whether a tool is switched off: a principal's grants then lack it.
fn is_off(exchange: &Exchange, tool: &Tool) -> bool {
    let server = exchange.catalog().server_name(tool.server);
    exchange.snapshot().switches.stops(server, Some(tool.name())).is_some()
}

/// Enters a call that was admitted among those that the operator can end. One may have been admitted under a snapshot
/// that is no longer in force: what has been switched off since is looked at here.
fn enter<'a>(exchange: &Exchange, shard: &'a Shard, call: &Call<'_>, admitted: &Admitted) -> Result<Entered<'a>> {
    let (in_force, key) = (exchange.in_force.clone(), exchange.principal.key);
    let of = Of { in_force, key, server: admitted.server, tool: admitted.tool_id() };
    let now = shard.in_force.borrow();
    let is_late = !Rc::ptr_eq(&now, &exchange.in_force);
    if let Some(stopped) = is_late.then(|| of.stopped_by(&now.snapshot)).flatten() {
        let tool = admitted.tool(exchange.catalog());
        denied(exchange, call, Some(admitted.server), tool, Switches::REASON)?;
        return Err(stopped.answer());
    }
    Ok(shard.under_way.enter(of))
}

/// What is no tool: rights show in what is found at all.
fn admit_other(exchange: &Exchange, call: &Call<'_>) -> Admission {
    if let Some(admitted) = wanted::find(exchange, &call.wanted) {
        return Ok(admitted);
    }
    if let Err(error) = record_denial(exchange, call, None, Reason::NotGranted.name()) {
        return Err(Err(error));
    }
    Err(match call.wanted {
        Wanted::Resource { .. } => Ok(not_found(call.caller.era, &call.wanted)),
        _ => Err(call.wanted.unknown()),
    })
}

/// The one error that carries data: each era has its own code for it (2026-07-28 SEP-2164; 2025-11-25 resources).
pub(super) fn not_found(era: Era, wanted: &Wanted<'_>) -> Answer {
    let code = if era == Era::Modern { Kind::InvalidParams.rpc_code() } else { LEGACY_NOT_FOUND };
    let (message, uri) = (rpc::quoted(&wanted.unknown().context), rpc::quoted(wanted.name()));
    let (message, uri) = (String::from_utf8_lossy(&message), String::from_utf8_lossy(&uri));
    let error = format!(r#"{{"code":{code},"message":{message},"data":{{"uri":{uri}}}}}"#);
    let era = if era == Era::Modern { revision::Era::Modern } else { revision::Era::Legacy };
    Answer { outcome: answer::Outcome::Error(error.into_bytes().into()), era }
}

async fn execute(
    exchange: &Exchange,
    call: &Call<'_>,
    admitted: &Admitted,
    sink: &Sink,
    (cancelled, under_way): (Pin<&mut impl Future<Output = ()>>, &Entered<'_>),
) -> Result<Answer> {
    let spec = exchange.snapshot().server(admitted.server).ok_or_else(unserved)?;
    let offered = || exchange.catalog().server(admitted.server).and_then(|server| server.extensions.as_deref());
    let (extensions, meta) = vendor::carried(call.declared, &spec.extensions, || offered().unwrap_or_default());
    let upstream = UpstreamCall {
        vendor: Carried { extensions: &extensions, meta: &meta },
        operation: admitted.operation(exchange.catalog(), &call.wanted),
        input: call.input,
        meta: call.meta,
        caps: call.caps.allowed_by(spec.asks),
        client: call.caller.mcp_era(),
        scope: scope_key(spec.scope, exchange.principal.key, call.caller.session),
    };
    let server = exchange.shard.upstream(&exchange.in_force, admitted.server, &spec.name)?;
    let running = pin!(converse::call(&exchange.shard, &server, &upstream, call.caller.revision, sink));
    // What ends a call is looked at first: what was ended while it waited for its turn is not sent.
    match select(select(pin!(under_way.stopped()), cancelled), running).await {
        Either::Right((answer, _)) => answer,
        Either::Left((Either::Right(((), _)), _)) => Err(Error::new(Kind::Cancelled, "the client cancelled the call")),
        Either::Left((Either::Left((stopped, _)), _)) => Err(stopped.answer()),
    }
}

/// What is recorded of a call.
pub(super) fn intent<'a>(
    exchange: &'a Exchange,
    call: &Call<'a>,
    (server, name, tool): (&'a str, &'a str, Option<&Tool>),
    verdict: &'a str,
) -> Intent<'a> {
    let arguments = call.wanted.arguments();
    Intent {
        key: exchange.principal.key.as_str(),
        client: call.caller.client,
        client_version: call.caller.client_version,
        era: call.caller.era,
        revision: call.caller.revision,
        server,
        tool: name,
        definition_hash: wanted::definition_hash(tool),
        arguments_digest: arguments.map_or(Digest::default(), audit::digest),
        arguments_bytes: arguments.map_or(0, |raw| raw.len() as u64),
        verdict,
        trace_id: call.caller.trace_id,
        epoch: exchange.snapshot().epoch.0,
        parent: 0,
        parent_shard: 0,
    }
}

async fn record_intent(
    exchange: &Exchange,
    call: &Call<'_>,
    admitted: &Admitted,
    (parent, spending): (Place, Option<&mut Spending>),
    under_way: &Entered<'_>,
) -> Result<Seq> {
    let journal = &exchange.shard.journal;
    journal.room().await?;
    let catalog = exchange.catalog();
    let name = admitted.recorded(catalog, &call.wanted);
    let what = (catalog.server_name(admitted.server), &*name, admitted.tool(catalog));
    // It may have waited for its money: what was ended meanwhile is not sent, and costs nothing.
    if spending.is_some()
        && let Some(stopped) = under_way.is_stopped()
    {
        denied(exchange, call, Some(admitted.server), admitted.tool(catalog), Switches::REASON)?;
        return Err(stopped.answer());
    }
    let intent = intent(exchange, call, what, "allow");
    let intent = Intent { parent: parent.seq.0, parent_shard: parent.shard.0, ..intent };
    match spending {
        None => journal.intent(&intent),
        Some(spending) => spending.begin(&exchange.shard, intent),
    }
}

fn record_denial(exchange: &Exchange, call: &Call<'_>, tool: Option<&Tool>, reason: &str) -> Result<()> {
    denied(exchange, call, tool.map(|tool| tool.server), tool, reason)
}

/// Records that a call of this server was refused once it was known that it may be made.
pub(crate) fn record_refusal(exchange: &Exchange, call: &Call<'_>, server: ServerId, reason: &str) -> Result<()> {
    denied(exchange, call, Some(server), None, reason)
}

/// Records that a call was refused.
pub(super) fn denied(
    exchange: &Exchange,
    call: &Call<'_>,
    server: Option<ServerId>,
    tool: Option<&Tool>,
    reason: &str,
) -> Result<()> {
    let slot = server.map_or(ServerSlot::OTHER, |server| exchange.in_force.slot(server));
    exchange.shard.metrics.calls(slot).outcome(CallOutcome::Denied).inc();
    let server = server.map_or("", |server| exchange.catalog().server_name(server));
    let name = tool.map_or_else(|| wanted::recorded(&call.wanted), |tool| tool.exposed().into());
    let denied = Denied { call: intent(exchange, call, (server, &name, tool), "deny"), reason };
    exchange.shard.journal.denied(&denied).map(drop)
}

fn record_outcome(
    exchange: &Exchange,
    slot: ServerSlot,
    (seq, spending): (Seq, Option<Box<Spending>>),
    answer: &Result<Answer>,
) -> Result<()> {
    let (status, kind, result) = match answer {
        Ok(answer) => (status(answer), None, measured(answer)),
        Err(error) => (Status::Error, Some(error.kind), (Digest::default(), 0)),
    };
    let outcome = Outcome::new(status, kind, result, &exchange.stamps);
    let recorded = match spending {
        None => exchange.shard.journal.outcome(seq, &outcome),
        Some(spending) => spending.end(&exchange.shard, seq, (&outcome, answer)),
    };
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

/// What the snapshot says it cannot be.
pub(crate) fn unserved() -> Error {
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

pub(super) fn count(exchange: &Exchange, slot: ServerSlot, kind: Kind) {
    exchange.shard.metrics.calls(slot).outcome(kind.into()).inc();
}
