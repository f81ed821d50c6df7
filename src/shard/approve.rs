//! Calls that need somebody's approval: held until one fits, and made once with it.
//!
//! Whoever keeps the approvals is asked twice: how the call stands, and, when everything else lets it through, to use
//! the approval up. That second step is on the disk before the call goes out, so a call that a crash cuts off is not
//! made again. Nothing that the client says counts as an approval.

use crate::audit::{Decided, Held as HeldEntry};
use crate::base::buf::Piece;
use crate::base::clock::{Clock, WallTime};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::{ApprovalId, Place, ShardId};
use crate::base::limits::{APPROVAL_ARGUMENTS_MAX, APPROVAL_WAIT_MS, INPUT_TTL_MS};
use crate::catalog::Tool;
use crate::mcp::approval::{self, HeldCall, INPUT_KEY};
use crate::mcp::input::InputRequired;
use crate::mcp::question::InputRequest;
use crate::mcp::result::RawResult;
use crate::mcp::revision::{Era, Revision};
use crate::mcp::state::{self, Asked, Cleared, Held};
use crate::policy::{Binding, Decision, Hold, Pending, Plea, Standing, Wish, exact_digest};
use crate::rt::local::{self, OneSender};
use crate::rt::{random, time};
use crate::shard::Shard;
use crate::shard::call::{self, Call};
use crate::shard::exchange::Exchange;
use crate::shard::wanted::Admitted;
use crate::store::approvals::Suggestion;
use crate::telemetry::{ApprovalStep, CallOutcome};
use crate::upstream::answer::{Answer, Outcome};
use crate::upstream::said::{Event, EventKind, Reply, Sink};
use crate::wire::rpc;
use foldhash::HashMap;
use futures_util::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

/// Time after its due time that an answer is waited for.
const GRACE: Duration = Duration::from_secs(10);
/// Time a call that is made again waits for a decision.
const WAIT: Duration = Duration::from_millis(APPROVAL_WAIT_MS);

/// Where pleas go.
pub(crate) type Plead = Arc<dyn Fn(Plea) -> bool + Send + Sync>;

/// The way of one shard to the approvals.
pub(crate) struct Approvals {
    own: ShardId,
    plead: Plead,
    next: Cell<u64>,
    waiting: RefCell<HashMap<u64, OneSender<Standing>>>,
}

/// An answer that is waited for; dropping it ends that.
struct Waiting<'a>(&'a Approvals, u64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.borrow_mut().remove(&self.1);
    }
}

impl Approvals {
    /// The way of shard `own`.
    pub(crate) fn new(own: ShardId, plead: Plead) -> Self {
        Self { own, plead, next: Cell::new(0), waiting: RefCell::default() }
    }

    async fn ask(&self, wish: Wish, wait: Duration) -> Result<Standing> {
        let number = self.next.replace(self.next.get() + 1);
        let (answer, answered) = local::oneshot();
        self.waiting.borrow_mut().insert(number, answer);
        let _waiting = Waiting(self, number);
        if !(self.plead)(Plea { from: self.own, number, wish }) {
            return Err(Error::new(Kind::Overloaded, "too many calls ask for approvals at once: try again"));
        }
        match time::timeout(wait + GRACE, answered).await {
            Ok(Ok(Standing::Failed(error))) => Err(error),
            Ok(Ok(standing)) => Ok(standing),
            Ok(Err(_)) => Err(Error::new(Kind::Overloaded, "the gate is stopping: call again")),
            Err(_) => Err(Error::new(Kind::Timeout, "the approvals cannot be asked now: try again")),
        }
    }

    /// Tells something that no answer is awaited to. What is lost is asked for again, or forgotten at the next start.
    fn tell(&self, wish: Wish) {
        if !(self.plead)(Plea { from: self.own, number: u64::MAX, wish }) {
            tracing::warn!("word about an approval was lost: control lags behind");
        }
    }

    /// Takes an answer. Whoever asked may be gone.
    pub(crate) fn answered(&self, number: u64, standing: Standing) {
        if let Some(answer) = self.waiting.borrow_mut().remove(&number) {
            let _ = answer.send(standing);
        }
    }

    /// Lets go of all who wait.
    pub(crate) fn clear(&self) {
        self.waiting.borrow_mut().clear();
    }
}

/// What came of holding a call.
enum Settled {
    /// It may be made, with this approval.
    Approved(ApprovalId),
    /// It is not made, and its client is told this.
    Told(Answer),
}

/// Holds an admitted call that needs an approval until it may be made: nothing then, and the exchange says with which
/// approval; else what its client is told. `brought` is what the state of the request says.
pub(crate) async fn clear(
    exchange: &mut Exchange,
    call: &Call<'_>,
    admitted: &Admitted,
    brought: Option<&Held>,
    sink: &Sink,
    cancelled: Pin<&mut impl Future<Output = ()>>,
) -> Option<Result<Answer>> {
    let brought = match brought {
        Some(Held::Approved { cleared, .. }) => {
            exchange.cleared = Some(*cleared);
            return None;
        }
        Some(Held::Approval(id)) => Some(*id),
        _ => None,
    };
    let settled = {
        let settling = pin!(settle(exchange, call, admitted, brought, sink));
        match select(settling, cancelled).await {
            Either::Left((settled, _)) => settled,
            Either::Right(((), _)) => Err(Error::new(Kind::Cancelled, "the client cancelled the call")),
        }
    };
    match settled {
        Ok(Settled::Approved(approval)) => {
            exchange.cleared = Some(Cleared { approval, round: 0 });
            None
        }
        Ok(Settled::Told(answer)) => Some(Ok(answer)),
        Err(error) => Some(Err(failed(exchange, call, admitted, error))),
    }
}

/// Records that a call was not made because its approval could not be settled.
fn failed(exchange: &Exchange, call: &Call<'_>, admitted: &Admitted, error: Error) -> Error {
    let tool = admitted.tool(exchange.catalog());
    call::denied(exchange, call, Some(admitted.server), tool, error.kind.name()).err().unwrap_or(error)
}

/// Uses the approval of a call up; gives the place of its decision, else what the client is told.
pub(crate) async fn claim(
    exchange: &Exchange,
    call: &Call<'_>,
    admitted: &Admitted,
) -> std::result::Result<Place, Result<Answer>> {
    let settled = match try_claim(exchange, call, admitted).await {
        Ok(Standing::Claimed(decided)) => {
            exchange.shard.metrics.approvals(ApprovalStep::Used).inc();
            return Ok(decided);
        }
        Ok(standing) => settled(exchange, call, admitted, standing),
        Err(error) => Err(error),
    };
    Err(match settled {
        Ok(Settled::Told(answer)) => Ok(answer),
        Ok(Settled::Approved(_)) => Err(failed(exchange, call, admitted, unclear())),
        Err(error) => Err(failed(exchange, call, admitted, error)),
    })
}

async fn try_claim(exchange: &Exchange, call: &Call<'_>, admitted: &Admitted) -> Result<Standing> {
    let Cleared { approval, round } = exchange.cleared.ok_or_else(unclear)?;
    let shard = &exchange.shard;
    shard.journal.room().await?;
    let binding = suggestion(exchange, call, admitted)?.binding;
    shard.approvals.ask(Wish::Claim { approval, binding, round }, Duration::ZERO).await
}

fn unclear() -> Error {
    Error::new(Kind::Internal, "a call that needs an approval was about to be made without one")
}

async fn settle(
    exchange: &Exchange,
    call: &Call<'_>,
    admitted: &Admitted,
    brought: Option<ApprovalId>,
    sink: &Sink,
) -> Result<Settled> {
    let shard = &exchange.shard;
    let page = exchange.snapshot().settings.approval_page.as_deref();
    // Who can be asked is asked first, and waits then.
    let waits = brought.is_some() || !HeldCall::can_ask(page, call.caps);
    let hold = hold(exchange, call, admitted, (brought, if waits { WAIT } else { Duration::ZERO }))?;
    let standing = shard.approvals.ask(Wish::Hold(Box::new(hold.clone())), WAIT).await?;
    let Standing::Pending(pending) = standing else { return settled(exchange, call, admitted, standing) };
    record_held(exchange, call, admitted, &pending).await?;
    let expires = stamp(pending.expires);
    let held = HeldCall { approval: pending.approval, tool: &hold.of.tool, expires: &expires, page };
    let wait_over = || Ok(Settled::Told(told(held.result(pending.used_before))));
    let Some(question) = held.question(call.caps) else { return wait_over() };
    if call.caller.mcp_era() == Era::Modern {
        return Ok(Settled::Told(input_required(exchange, call, admitted, pending.approval, question)));
    }
    match ask_legacy(shard, call, hold.clone(), &pending, &question, sink).await? {
        None | Some(Standing::Pending(_)) => wait_over(),
        Some(standing) => settled(exchange, call, admitted, standing),
    }
}

/// What a standing that is not pending means for its call. A refusal is recorded.
fn settled(exchange: &Exchange, call: &Call<'_>, admitted: &Admitted, standing: Standing) -> Result<Settled> {
    match standing {
        Standing::Approved(approval) => Ok(Settled::Approved(approval)),
        Standing::Refused(approval, why) => {
            let tool = admitted.tool(exchange.catalog());
            call::denied(exchange, call, Some(admitted.server), tool, why.name())?;
            Ok(Settled::Told(told(approval::refused(approval, &why))))
        }
        Standing::Failed(error) => Err(error),
        Standing::Pending(_) | Standing::Held | Standing::Claimed(_) => {
            Err(Error::new(Kind::Internal, "an approval stands oddly"))
        }
    }
}

fn hold(
    exchange: &Exchange,
    call: &Call<'_>,
    admitted: &Admitted,
    (brought, wait): (Option<ApprovalId>, Duration),
) -> Result<Hold> {
    let need = admitted.tool_id().and_then(|id| exchange.snapshot().approvals.need(id));
    let expires = need.ok_or_else(call::unserved)?.expires();
    Ok(Hold { of: suggestion(exchange, call, admitted)?, expires, brought, wait })
}

/// What the call asks an approval for.
fn suggestion(exchange: &Exchange, call: &Call<'_>, admitted: &Admitted) -> Result<Suggestion> {
    let (snapshot, catalog) = (exchange.snapshot(), exchange.catalog());
    let tool: &Tool = admitted.tool(catalog).ok_or_else(call::unserved)?;
    let raw = call.wanted.arguments().unwrap_or_default();
    if raw.len() > APPROVAL_ARGUMENTS_MAX {
        let words = format!(
            "{} needs an approval, and arguments longer than {APPROVAL_ARGUMENTS_MAX} bytes cannot be kept for one: \
             make them shorter",
            tool.exposed()
        );
        return Err(Error::new(Kind::InvalidParams, words));
    }
    let (server, arguments) = (catalog.server_name(admitted.server), exact_digest(raw));
    let (key, version) = (exchange.principal.key, snapshot.approvals.version());
    let bound = Binding { key, server, tool: tool.name(), definition: &tool.hash, arguments: &arguments, version };
    Ok(Suggestion {
        binding: bound.digest(),
        key,
        server: server.into(),
        tool: tool.exposed().into(),
        definition: tool.hash,
        policy: *version,
        arguments: String::from_utf8_lossy(raw).into(),
        arguments_digest: arguments,
    })
}

/// Records that the call is held; where the approval has no entry yet, this is its own, and its client is told of it
/// only once the store knows: else nobody could decide it after a crash.
async fn record_held(exchange: &Exchange, call: &Call<'_>, admitted: &Admitted, pending: &Pending) -> Result<()> {
    let (shard, catalog) = (&exchange.shard, exchange.catalog());
    let name = admitted.recorded(catalog, &call.wanted);
    let what = (catalog.server_name(admitted.server), &*name, admitted.tool(catalog));
    let call = call::intent(exchange, call, what, "hold");
    let entry = HeldEntry { call, approval: pending.approval.as_str(), expires_ms: pending.expires.0 };
    match (shard.journal.held(&entry), pending.is_unheld) {
        (Ok(seq), is_unheld) => {
            let slot = exchange.in_force.slot(admitted.server);
            shard.metrics.calls(slot).outcome(CallOutcome::Held).inc();
            if is_unheld {
                shard.metrics.approvals(ApprovalStep::Held).inc();
                let wish = Wish::Held(pending.approval, Place { shard: shard.id, seq });
                shard.approvals.ask(wish, Duration::ZERO).await?;
            }
            Ok(())
        }
        (Err(error), is_unheld) => {
            if is_unheld {
                shard.approvals.tell(Wish::Unheld(pending.approval));
            }
            Err(error)
        }
    }
}

/// Records a decision for control, and says where.
pub(crate) fn record_decision(shard: &Shard, decision: &Decision) {
    let entry = Decided {
        approval: decision.approval.as_str(),
        held: decision.held.seq.0,
        held_shard: decision.held.shard.0,
        decision: decision.state.name(),
        by: &decision.by,
        reason: &decision.reason,
    };
    match shard.journal.decided(&entry) {
        Ok(seq) => {
            shard.metrics.approvals(ApprovalStep::of(decision.state.name())).inc();
            shard.approvals.tell(Wish::Recorded(decision.approval, Place { shard: shard.id, seq }));
        }
        // Control asks again; until then nothing is called with it.
        Err(error) => tracing::warn!(approval = %decision.approval, %error, "a decision could not be recorded yet"),
    }
}

/// A modern client is asked in the answer, and comes back with the state.
fn input_required(
    exchange: &Exchange,
    call: &Call<'_>,
    admitted: &Admitted,
    approval: ApprovalId,
    question: InputRequest<'static>,
) -> Answer {
    let shard = &exchange.shard;
    let server = exchange.catalog().server_name(admitted.server);
    let asked = Asked { server, key: exchange.principal.key, digest: call.wanted.digest() };
    let until = WallTime(Clock::wall().0 + INPUT_TTL_MS);
    let state = state::seal(&shard.sealing, &asked, until, &Held::Approval(approval));
    let requests = vec![(INPUT_KEY.into(), question)];
    let result = InputRequired { requests, state: Some(state.into()) }.result(&shard.model);
    Answer { outcome: Outcome::Result(RawResult::from(Piece::from(result))), era: Era::Modern }
}

/// A legacy client is asked on the stream of its call, which waits meanwhile: for the decision, as long as the client
/// does not decline. Nothing where it does, cannot be asked, or says that it was approved and that is not so.
async fn ask_legacy(
    shard: &Shard,
    call: &Call<'_>,
    hold: Hold,
    pending: &Pending,
    question: &InputRequest<'_>,
    sink: &Sink,
) -> Result<Option<Standing>> {
    let revision = Revision::parse(call.caller.revision).unwrap_or(Revision::NEWEST_LEGACY);
    let id = u128::from_be_bytes(random::label());
    let params = question.legacy_params(revision, &format!("{id:032x}"));
    let answered = sink.ask(None, question.method.as_str(), Piece::from(&*params))?;
    let left = Duration::from_millis(pending.expires.0.saturating_sub(Clock::wall().0));
    let wait = left.min(Duration::from_millis(INPUT_TTL_MS));
    let hold = Hold { brought: Some(pending.approval), wait, ..hold };
    let decision = pin!(shard.approvals.ask(Wish::Hold(Box::new(hold)), wait));
    match select(decision, pin!(answered)).await {
        Either::Left((standing, _)) => {
            visited(&params, sink);
            standing.map(Some)
        }
        Either::Right((Ok(Reply::Result(raw)), decision)) if is_accepted(&raw) => {
            time::timeout(WAIT, decision).await.map_or(Ok(None), |standing| standing.map(Some))
        }
        Either::Right(_) => Ok(None),
    }
}

/// Tells a client that still shows the page that there is nothing left to visit (2025-11-25 client/elicitation).
fn visited(params: &[u8], sink: &Sink) {
    let Some(id) = rpc::field(params, "elicitationId") else { return };
    let params = [br#"{"elicitationId":"#, id, b"}"].concat();
    // A client too slow for it does without.
    let _ = sink.push(Event { kind: EventKind::Visited, params: Piece::from(params) });
}

fn is_accepted(answer: &[u8]) -> bool {
    rpc::field(answer, "action").and_then(rpc::string).as_deref() == Some("accept")
}

/// A result that the gate itself gives, in the form that every client understands.
fn told(result: Vec<u8>) -> Answer {
    Answer { outcome: Outcome::Result(RawResult::from(Piece::from(result))), era: Era::Legacy }
}

/// A time as people read it.
fn stamp(at: WallTime) -> String {
    let seconds = i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{sim, task};
    use std::rc::Rc;

    fn wish() -> Wish {
        Wish::Claim { approval: ApprovalId::from_entropy([1; 16]), binding: [0; 32], round: 0 }
    }

    fn approvals(room: bool) -> Rc<Approvals> {
        Rc::new(Approvals::new(ShardId(0), Arc::new(move |_| room)))
    }

    #[test]
    fn an_answer_reaches_the_one_who_asked_and_nobody_is_kept() {
        sim::run(1, async {
            let way = approvals(true);
            let asking = way.clone();
            let asked = task::spawn(async move { asking.ask(wish(), Duration::ZERO).await });
            task::yield_now().await;
            let place = Place { shard: ShardId(0), seq: crate::base::ids::Seq(3) };
            way.answered(7, Standing::Claimed(place));
            way.answered(0, Standing::Claimed(place));
            assert_eq!(asked.await, Ok(Standing::Claimed(place)));
            let late = way.ask(wish(), Duration::from_secs(1)).await;
            assert_eq!(late.map_err(|error| error.kind), Err(Kind::Timeout));
            assert!(way.waiting.borrow().is_empty());
            let full = approvals(false);
            assert_eq!(full.ask(wish(), WAIT).await.map_err(|error| error.kind), Err(Kind::Overloaded));
            assert!(full.waiting.borrow().is_empty());
        });
    }

    #[test]
    fn who_waits_is_let_go_when_the_gate_stops() {
        sim::run(1, async {
            let way = approvals(true);
            let asking = way.clone();
            let asked = task::spawn(async move { asking.ask(wish(), WAIT).await });
            task::yield_now().await;
            way.clear();
            assert_eq!(asked.await.map_err(|error| error.kind), Err(Kind::Overloaded));
        });
    }

    #[test]
    fn only_an_answer_that_accepts_goes_on_waiting() {
        for (raw, accepts) in [
            (r#"{"action":"accept"}"#, true),
            (r#"{"action":"accept","content":{}}"#, true),
            (r#"{"action":"decline"}"#, false),
            (r#"{"action":"cancel"}"#, false),
            ("{}", false),
            ("7", false),
        ] {
            assert_eq!(is_accepted(raw.as_bytes()), accepts, "{raw}");
        }
    }
}
