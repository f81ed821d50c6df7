//! What a call with a price costs: the most is reserved of every budget in its way before it is recorded, and settled
//! once its outcome is.

use crate::audit::{Intent, Outcome, Reserved};
use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::ids::Seq;
use crate::base::limits::LEASE_WAIT_MS;
use crate::policy::{Basis, Came, Charged, Permit, Price, Refused, Reservation, Unpaid};
use crate::rt::time;
use crate::shard::Shard;
use crate::shard::call::{Call, count, denied};
use crate::shard::exchange::Exchange;
use crate::shard::wanted::Admitted;
use crate::upstream::answer::{self, Answer};
use std::sync::Arc;
use std::time::Duration;

/// Time between the first two looks whether more is leased; it doubles.
const FIRST_LOOK: Duration = Duration::from_micros(500);

/// What a call may cost, reserved.
pub(super) struct Spending {
    price: Arc<Price>,
    reservation: Reservation,
}

/// Why a call with a price is not made.
enum Unaffordable {
    /// A budget is spent.
    Refused(Refused),
    /// Nobody can tell in time: the ledger leased no more.
    Unknown(Error),
}

/// Counts the call at every meter in its way. A refusal is recorded.
pub(super) fn permit(exchange: &Exchange, call: &Call<'_>, admitted: &Admitted) -> Result<Permit> {
    match exchange.snapshot().limits.take(&charged(exchange, admitted), Clock::recent()) {
        Ok(permit) => Ok(permit),
        Err(refused) => {
            exchange.shard.metrics.limited(refused.level as usize).inc();
            Err(refuse(exchange, call, admitted, &refused))
        }
    }
}

fn charged(exchange: &Exchange, admitted: &Admitted) -> Charged {
    let chain = exchange.snapshot().keys.chain(&exchange.principal);
    Charged { chain, tool: admitted.tool_id(), server: admitted.server }
}

/// Records that a limit or a budget refused the call; gives the answer.
fn refuse(exchange: &Exchange, call: &Call<'_>, admitted: &Admitted, refused: &Refused) -> Error {
    let tool = admitted.tool(exchange.catalog());
    denied(exchange, call, Some(admitted.server), tool, refused.reason()).err().unwrap_or_else(|| refused.answer())
}

/// Reserves what the call may cost. Where that cannot be, the call counts nowhere; a refusal is recorded.
pub(super) async fn pay(
    exchange: &Exchange,
    call: &Call<'_>,
    admitted: &Admitted,
    (permit, price): (Permit, &Arc<Price>),
) -> Result<(Permit, Option<Box<Spending>>)> {
    match reserve(exchange, &charged(exchange, admitted), price, call.wanted.arguments()).await {
        Ok(spending) => Ok((permit, Some(Box::new(spending)))),
        Err(unaffordable) => {
            permit.give_back();
            Err(match unaffordable {
                Unaffordable::Unknown(error) => {
                    count(exchange, exchange.in_force.slot(admitted.server), error.kind);
                    error
                }
                Unaffordable::Refused(refused) => {
                    exchange.shard.metrics.money.over_budget(refused.level as usize).inc();
                    refuse(exchange, call, admitted, &refused)
                }
            })
        }
    }
}

/// Reserves the most that a call with these raw arguments may cost. Where this host has leased too little of a budget
/// that has enough, it waits a moment for the ledger.
async fn reserve(
    exchange: &Exchange,
    charged: &Charged,
    price: &Arc<Price>,
    arguments: Option<&[u8]>,
) -> std::result::Result<Spending, Unaffordable> {
    let shard = &exchange.shard;
    let (worst, until) = (price.worst(arguments), Clock::now() + Duration::from_millis(LEASE_WAIT_MS));
    let mut pause = FIRST_LOOK;
    loop {
        let wall = Clock::recent_wall();
        match exchange.snapshot().limits.reserve(charged, worst, wall, |budget| shard.want_lease(budget, worst)) {
            Ok(reservation) => return Ok(Spending { price: price.clone(), reservation }),
            Err(Unpaid::Refused(refused)) => return Err(Unaffordable::Refused(refused)),
            Err(Unpaid::Lease(budget)) if Clock::now() < until => {
                shard.want_lease(&budget, worst);
                time::sleep(pause).await;
                pause *= 2;
            }
            Err(Unpaid::Lease(budget)) => {
                let what = format!(
                    "budget of {} {}: its ledger does not answer in time; see the gate's log, and try again",
                    budget.level.name(),
                    budget.name
                );
                return Err(Unaffordable::Unknown(Error::new(Kind::Overloaded, what).retry(Retry::Safe)));
            }
        }
    }
}

impl Spending {
    /// Records the intent of the call with what is reserved for it.
    pub(super) fn begin(&mut self, shard: &Shard, intent: Intent<'_>) -> Result<Seq> {
        let budgets = self.reservation.labels();
        let reserved = self.reservation.amount().0;
        let seq = shard.journal.reserved(&Reserved { call: intent, reserved, budgets: &budgets })?;
        self.reservation.recorded();
        Ok(seq)
    }

    /// Records the outcome of the call with what it cost, and gives back the rest. Where the record fails, all of it
    /// stays charged.
    pub(super) fn end(self, shard: &Shard, seq: Seq, (outcome, answer): (&Outcome<'_>, &Result<Answer>)) -> Result<()> {
        let (cost, basis) = self.price.settle(self.reservation.amount(), came(answer));
        shard.journal.settled(seq, outcome, (cost.0, basis as u8))?;
        shard.metrics.money.spent(cost.0, basis == Basis::Unread);
        self.reservation.settle(cost);
        Ok(())
    }
}

/// What is known of a call, as far as its price goes.
fn came(answer: &Result<Answer>) -> Came<'_> {
    match answer {
        Ok(Answer { outcome: answer::Outcome::Result(result), .. }) => Came::Result(result),
        Ok(Answer { outcome: answer::Outcome::Error(_), .. }) => Came::Unknown,
        Err(Error { retry: Retry::Safe | Retry::After(_), .. }) => Came::Unsent,
        Err(_) => Came::Unknown,
    }
}
