//! Keeps the approvals: asked for by shards, decided by people through the store, used once.
//!
//! The store is the truth, so that whoever decides need not reach this process: while something waits, it is looked at
//! every [`APPROVAL_LOOK_MS`]. A decision counts once a shard has it in its journal.

use crate::base::clock::{Clock, WallTime};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::{ApprovalId, ShardId};
use crate::base::limits::{APPROVAL_LOOK_MS, APPROVAL_RECORD_MS, APPROVAL_REQUESTS_MAX};
use crate::config::Snapshot;
use crate::config::state::StateDir;
use crate::control::{Control, Fleet};
use crate::policy::{Decision, Hold, Pending, Plea, Standing, Wish};
use crate::rt::random;
use crate::store::approvals::{self as table, Approval, Refusal, State};
use crate::store::{Connection, Store};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// The approvals of one gate.
pub struct Approvals {
    state: StateDir,
    /// Open only while something waits: else whoever copies, locks or replaces the store would meet an idle gate.
    store: Option<Store>,
    waiters: Vec<Waiter>,
    /// Decisions that a shard was told to record, and when.
    told: HashMap<ApprovalId, Instant>,
    /// When the store is looked at next; never where nothing in it can change by itself or by somebody else.
    due: Option<Instant>,
}

/// A request that waits for a decision.
struct Waiter {
    from: ShardId,
    number: u64,
    pending: Pending,
    until: Instant,
}

/// What a look at the store has found.
struct Look {
    /// Decisions to be recorded.
    decided: Vec<Approval>,
    pending: usize,
}

impl Approvals {
    /// Opens those of a state directory.
    ///
    /// # Errors
    /// As the store says.
    pub fn open(state: &StateDir) -> Result<Self> {
        let mut store = state.store()?;
        store.change(table::forget_unheld)?;
        Ok(Self {
            state: state.clone(),
            store: None,
            waiters: Vec::new(),
            told: HashMap::new(),
            due: Some(Instant::now()),
        })
    }

    fn store(&mut self) -> Result<&mut Store> {
        let store = match self.store.take() {
            Some(store) => store,
            None => Store::hurried(self.state.path())?,
        };
        Ok(self.store.insert(store))
    }

    /// When the store is to be looked at.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// How a call stands; nothing where it waits.
    fn hold(&mut self, (from, number): (ShardId, u64), hold: &Hold) -> Option<Standing> {
        match self.held(hold) {
            Ok(Standing::Pending(pending)) if self.may_wait(hold, &pending) => {
                self.waiters.push(Waiter { from, number, pending, until: Instant::now() + hold.wait });
                None
            }
            Ok(standing) => Some(standing),
            Err(error) => Some(failed(error)),
        }
    }

    fn may_wait(&self, hold: &Hold, pending: &Pending) -> bool {
        !pending.is_unheld && !hold.wait.is_zero() && self.waiters.len() < APPROVAL_REQUESTS_MAX
    }

    fn held(&mut self, hold: &Hold) -> Result<Standing> {
        let (now, binding) = (Clock::wall(), &hold.of.binding);
        self.expire(now)?;
        let found = self.store()?.read(|store| {
            let brought = hold.brought.map_or(Ok(None), |id| table::get(store, id))?;
            // One that no longer fits is not spoken of: the call is another one now.
            match brought.filter(|approval| approval.of.binding == *binding) {
                Some(approval) => Ok(Some(approval)),
                None => table::find(store, binding, now),
            }
        })?;
        found.map_or_else(|| self.suggest(hold, now), |found| Ok(standing(found, now)))
    }

    fn suggest(&mut self, hold: &Hold, now: WallTime) -> Result<Standing> {
        let mut entropy = [0; 16];
        random::fill(&mut entropy);
        let approval = ApprovalId::from_entropy(entropy);
        let span = u64::try_from(hold.expires.as_millis()).unwrap_or(u64::MAX);
        let expires = WallTime(now.0.saturating_add(span));
        let used_before = self.store()?.change(|store| {
            table::suggest(store, approval, &hold.of, (now, expires))?;
            Ok(table::find_used(store, &hold.of.binding)?.map(|used| used.id))
        })?;
        self.look_soon();
        Ok(Standing::Pending(Pending { approval, expires, is_unheld: true, used_before }))
    }

    /// Uses an approval up, if the call may still be made as it was asked for.
    fn claim(&mut self, snapshot: &Snapshot, (id, binding): (ApprovalId, &[u8; 32]), round: u32) -> Result<Standing> {
        let now = Clock::wall();
        let Some(found) = self.store()?.read(|store| table::get(store, id))? else {
            return Ok(Standing::Refused(id, Refusal::Expired));
        };
        if found.of.binding != *binding || !stands(snapshot, &found, now) {
            return Ok(Standing::Refused(id, Refusal::Changed));
        }
        let recorded = found.recorded.filter(|_| round == 0 || found.state == State::Used);
        if let Some(place) = recorded
            && self.store()?.change(|store| table::claim(store, id, binding, round, now))?
        {
            return Ok(Standing::Claimed(place));
        }
        Ok(match standing(found, now) {
            // Approved when it was read and not to be had: another request has taken it.
            Standing::Approved(_) => Standing::Refused(id, Refusal::Used),
            Standing::Pending(_) => Standing::Refused(id, Refusal::Changed),
            other => other,
        })
    }

    fn expire(&mut self, now: WallTime) -> Result<()> {
        if self.store()?.read(|store| table::has_expired(store, now))? {
            self.store()?.change(|store| table::expire(store, now))?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<Look> {
        self.expire(Clock::wall())?;
        self.store()?.read(|store: &Connection| {
            Ok(Look { decided: table::unrecorded(store)?, pending: table::count_pending(store, None)? })
        })
    }

    fn look_soon(&mut self) {
        let soon = Instant::now() + Duration::from_millis(APPROVAL_LOOK_MS);
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    /// Those who wait for one approval, or whose time is over.
    fn ready(&mut self, of: Option<ApprovalId>) -> Vec<Waiter> {
        let now = Instant::now();
        let is_ready = |waiter: &mut Waiter| match of {
            Some(id) => waiter.pending.approval == id,
            None => waiter.until <= now,
        };
        self.waiters.extract_if(.., is_ready).collect()
    }
}

impl<F: Fleet> Control<F> {
    /// Does what a shard wishes, and answers it.
    pub(super) fn plead(&mut self, Plea { from, number, wish }: Plea) {
        let approvals = &mut self.approvals;
        let standing = match wish {
            Wish::Hold(hold) => approvals.hold((from, number), &hold),
            Wish::Claim { approval, binding, round } => {
                let claimed = approvals.claim(&self.snapshot, (approval, &binding), round);
                Some(claimed.unwrap_or_else(failed))
            }
            Wish::Held(id, place) => {
                let kept = approvals.store().and_then(|it| it.change(|store| table::note_held(store, id, place)));
                Some(kept.map_or_else(failed, |()| Standing::Held))
            }
            Wish::Unheld(id) => {
                log_failure(approvals.store().and_then(|it| it.change(|store| table::withdraw(store, id))));
                self.answer(Some(id));
                None
            }
            Wish::Recorded(id, place) => {
                log_failure(approvals.store().and_then(|it| it.change(|store| table::note_recorded(store, id, place))));
                approvals.told.remove(&id);
                self.answer(Some(id));
                None
            }
        };
        if let Some(standing) = standing {
            self.fleet.stand(from, number, standing);
        }
        self.approvals.look_soon();
    }

    /// Looks what people have decided, and whose time is over.
    pub(super) fn look_at_approvals(&mut self) {
        self.approvals.due = None;
        match self.approvals.look() {
            Ok(look) => {
                self.have_recorded(&look.decided);
                if let Some(first) = self.readings.metrics.first() {
                    first.approvals_pending.set(look.pending as u64);
                }
                self.answer(None);
                if look.pending > 0 || !look.decided.is_empty() || !self.approvals.waiters.is_empty() {
                    self.approvals.look_soon();
                } else {
                    self.approvals.store = None;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the approvals cannot be looked at");
                self.approvals.store = None;
                self.approvals.due = Some(Instant::now() + Duration::from_millis(APPROVAL_RECORD_MS));
            }
        }
    }

    /// Has shards record decisions: each by the shard that has the call's entry.
    fn have_recorded(&mut self, decided: &[Approval]) {
        let (now, again) = (Instant::now(), Duration::from_millis(APPROVAL_RECORD_MS));
        let shards = self.readings.metrics.len().max(1);
        self.approvals.told.retain(|_, at| now < *at + again);
        for approval in decided {
            let Some(held) = approval.held.filter(|_| !self.approvals.told.contains_key(&approval.id)) else {
                continue;
            };
            self.approvals.told.insert(approval.id, now);
            let (by, reason) = (approval.decided_by.as_str().into(), approval.reason.as_str().into());
            let decision = Decision { approval: approval.id, held, state: approval.state, by, reason };
            let shard = usize::from(held.shard.0) % shards;
            self.fleet.record_decision(ShardId(u16::try_from(shard).unwrap_or_default()), decision);
        }
    }

    /// Answers those who wait for an approval that was decided, or, where none is said, those whose time is over.
    fn answer(&mut self, of: Option<ApprovalId>) {
        for waiter in self.approvals.ready(of) {
            let id = waiter.pending.approval;
            let read = self.approvals.store().and_then(|it| it.read(|store| table::get(store, id)));
            let standing = match read {
                Ok(Some(found)) => standing(found, Clock::wall()),
                Ok(None) => Standing::Refused(id, Refusal::Expired),
                Err(error) => failed(error),
            };
            self.fleet.stand(waiter.from, waiter.number, standing);
        }
    }
}

/// How an approval stands for a call that it is bound to.
fn standing(found: Approval, now: WallTime) -> Standing {
    let id = found.id;
    match found.state {
        // What is approved counts once the journal says so.
        State::Pending | State::Approved if found.expires <= now => Standing::Refused(id, Refusal::Expired),
        State::Approved if found.recorded.is_some() => Standing::Approved(id),
        State::Pending | State::Approved => {
            let expires = found.expires;
            Standing::Pending(Pending { approval: id, expires, is_unheld: found.held.is_none(), used_before: None })
        }
        State::Denied => Standing::Refused(id, Refusal::Denied(found.reason)),
        State::Used => Standing::Refused(id, Refusal::Used),
        State::Expired => Standing::Refused(id, Refusal::Expired),
    }
}

/// Whether what an approval is bound to is still so: the key may call the tool, whose definition is the same, and the
/// rules say the same.
fn stands(snapshot: &Snapshot, approval: &Approval, now: WallTime) -> bool {
    let of = &approval.of;
    let Some(principal) = snapshot.keys.standing(of.key, now) else { return false };
    let (catalog, grant) = (&snapshot.catalog, snapshot.grant(principal.grant));
    let tool = catalog.tool_listed(&of.tool).filter(|id| grant.allows(*id));
    tool.is_some_and(|id| catalog.tool(id).hash == of.definition) && *snapshot.approvals.version() == of.policy
}

fn failed(error: Error) -> Standing {
    if error.kind != Kind::Overloaded {
        tracing::error!(%error, "an approval could not be looked at or changed");
    }
    Standing::Failed(error)
}

fn log_failure(done: Result<()>) {
    if let Err(error) = done {
        tracing::error!(%error, "word about an approval could not be kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{KeyId, Place, Seq};
    use crate::store::approvals::Suggestion;

    fn hold(brought: Option<ApprovalId>) -> Hold {
        let of = Suggestion {
            binding: [7; 32],
            key: KeyId::parse("k1").expect("a key's id"),
            server: "a".into(),
            tool: "a__x".into(),
            definition: [1; 32],
            policy: [2; 32],
            arguments: "{}".into(),
            arguments_digest: [3; 32],
        };
        Hold { of, expires: Duration::from_secs(60), brought, wait: Duration::from_secs(5) }
    }

    fn pending(standing: Standing) -> Pending {
        match standing {
            Standing::Pending(pending) => pending,
            other => panic!("{other:?}"),
        }
    }

    const WHO: (ShardId, u64) = (ShardId(1), 4);

    #[test]
    fn two_calls_that_are_the_same_wait_for_one_approval() {
        let dir = tempfile::tempdir().expect("dir");
        let mut approvals = Approvals::open(&StateDir::new(dir.path())).expect("store");
        let first = pending(approvals.hold(WHO, &hold(None)).expect("new ones do not wait"));
        assert!(first.is_unheld && first.used_before.is_none());
        let again = pending(approvals.hold(WHO, &hold(None)).expect("nobody waits for what nobody can decide"));
        assert!(again.is_unheld && again.approval == first.approval, "its entry is asked for once more");
        let place = Place { shard: ShardId(0), seq: Seq(9) };
        approvals.store().expect("store").change(|store| table::note_held(store, first.approval, place)).expect("held");
        assert_eq!(approvals.hold(WHO, &hold(None)), None, "the second waits");
        let hurried = Hold { wait: Duration::ZERO, ..hold(None) };
        assert!(!pending(approvals.hold(WHO, &hurried).expect("told at once")).is_unheld);
        assert_eq!(approvals.waiters[0].pending.approval, first.approval);
        let other = Hold { of: Suggestion { binding: [8; 32], ..hold(None).of }, ..hold(Some(first.approval)) };
        assert!(pending(approvals.hold(WHO, &other).expect("new")).is_unheld, "what was brought does not fit");
        assert_eq!(approvals.ready(Some(first.approval)).len(), 1);
        assert!(approvals.ready(None).is_empty());
    }

    #[test]
    fn a_decision_counts_once_it_is_recorded_and_a_use_is_told_to_whoever_brings_it() {
        let dir = tempfile::tempdir().expect("dir");
        let mut approvals = Approvals::open(&StateDir::new(dir.path())).expect("store");
        let id = pending(approvals.hold(WHO, &hold(None)).expect("new")).approval;
        let place = Place { shard: ShardId(0), seq: Seq(9) };
        let change = |approvals: &mut Approvals, change: &dyn Fn(&crate::store::Transaction<'_>) -> Result<()>| {
            approvals.store().expect("store").change(change).expect("changed");
        };
        change(&mut approvals, &|store| table::note_held(store, id, place));
        change(&mut approvals, &|store| table::decide(store, id, true, ("cli", ""), Clock::wall()).map(drop));
        assert_eq!(approvals.look().map(|look| (look.decided.len(), look.pending)), Ok((1, 0)));
        assert_eq!(approvals.hold(WHO, &hold(None)), None, "not recorded yet");
        change(&mut approvals, &|store| table::note_recorded(store, id, place));
        assert_eq!(approvals.hold(WHO, &hold(None)), Some(Standing::Approved(id)));
        change(&mut approvals, &|store| table::claim(store, id, &[7; 32], 0, Clock::wall()).map(drop));
        let used = approvals.hold(WHO, &hold(Some(id)));
        assert_eq!(used, Some(Standing::Refused(id, Refusal::Used)));
        let again = pending(approvals.hold(WHO, &hold(None)).expect("new"));
        assert_eq!((again.is_unheld, again.used_before), (true, Some(id)));
    }
}
