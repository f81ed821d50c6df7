//! `tollgate budget`: what is spent of budgets, and how an operator gives more. Works with and without a running gate.

use crate::base::clock::{Clock, WallTime};
use crate::base::error::{Error, Kind, Result};
use crate::cli::Failure;
use crate::cli::bounds::tell_the_gate;
use crate::cli::key::expiry;
use crate::cli::known::Known;
use crate::cli::output::{self, timestamp};
use crate::control::{Changes, RAISE, Raise, current, drawn};
use crate::policy::{Budget, CalendarPeriod, Ledger, Level, Money, Span};
use crate::store::objects::{self, Expected};
use crate::store::{Store, ledger};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Arguments of `budget`.
#[derive(Debug, Args)]
pub struct BudgetArgs {
    #[command(subcommand)]
    command: BudgetCommand,
}

#[derive(Debug, Subcommand)]
enum BudgetCommand {
    /// Show what is spent of the period of now, as the journal says
    List {
        /// Whose: a key's id, `team:NAME`, `customer:NAME`, `tools:NAME` or `server:NAME`; all of them without it
        whose: Option<String>,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Let the period of now begin anew: what is spent of it up to now does not count
    Reset(ResetArgs),
    /// Let more be spent for a time
    Raise(RaiseArgs),
}

#[derive(Debug, Args)]
struct ResetArgs {
    /// Whose: a key's id, `team:NAME`, `customer:NAME`, `tools:NAME` or `server:NAME`
    whose: String,
    /// Which of its budgets: minute, hour, day, week, month or year; all of them without it
    #[arg(long, value_name = "PERIOD")]
    period: Option<String>,
}

#[derive(Debug, Args)]
struct RaiseArgs {
    /// Whose: a key's id, `team:NAME`, `customer:NAME`, `tools:NAME` or `server:NAME`
    whose: String,
    /// How much more, in US dollars, such as `5.00`; it takes the place of a raise before
    #[arg(long, value_name = "DOLLARS")]
    by: String,
    /// How long: `12h`, `4w`, or a day or time such as `2027-02-20`
    #[arg(long, value_name = "TIME")]
    until: String,
    /// Which of its budgets: minute, hour, day, week, month or year; all of them without it
    #[arg(long, value_name = "PERIOD")]
    period: Option<String>,
}

/// What stands of one budget now.
struct Standing<'a> {
    budget: &'a Budget,
    period: CalendarPeriod,
    /// What the journal charges, calls under way with the most they may cost.
    charged: Money,
    /// Of that, calls under way.
    reserved: Money,
    /// What may be charged beside, after a loss of power.
    lost: Money,
    /// What does not count, as it was spent before a reset.
    forgiven: Money,
    raise: Option<Raise>,
}

pub(crate) fn run(args: &BudgetArgs, config: &Path) -> std::result::Result<(), Failure> {
    let known = Known::load(config)?;
    match &args.command {
        BudgetCommand::List { whose, json } => list(&known, whose.as_deref(), *json),
        BudgetCommand::Reset(args) => reset(&known, args),
        BudgetCommand::Raise(args) => raise(&known, args),
    }
}

fn list(known: &Known, whose: Option<&str>, json: bool) -> std::result::Result<(), Failure> {
    let (now, budgets) = (Clock::wall(), chosen(known, whose, None)?);
    let (ledger, changes) = figures(known, now)?;
    let standings: Vec<_> = budgets.iter().map(|budget| Standing::of(budget, (&ledger, &changes), now)).collect();
    if json {
        return output::print_json(&standings.iter().map(|standing| standing.json()).collect());
    }
    let head =
        ["BUDGET", "LIMIT", "SPENT", "UNDER WAY", "LOST", "LEFT", "RAISED", "RESETS"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(standings.iter().map(|standing| standing.row())).collect();
    output::print(&output::table(&rows))
}

fn reset(known: &Known, args: &ResetArgs) -> std::result::Result<(), Failure> {
    let (now, budgets) = (Clock::wall(), chosen(known, Some(&args.whose), args.period.as_deref())?);
    let (ledger, changes) = figures(known, now)?;
    Store::open(known.compiled.settings.state.path())?.change(|tx| {
        for budget in &budgets {
            let standing = Standing::of(budget, (&ledger, &changes), now);
            // What calls under way have reserved counts on: they may cost less.
            let before = standing.charged.plus(standing.lost).minus(standing.reserved);
            ledger::forgive(tx, &budget.cell_label(standing.period), before.0)?;
        }
        Ok(())
    })?;
    done(known, &args.whose, "reset")
}

fn raise(known: &Known, args: &RaiseArgs) -> std::result::Result<(), Failure> {
    let wrong = |what: String| Error::new(Kind::InvalidParams, what);
    let by = Money::parse(&args.by);
    let by = by.ok_or_else(|| wrong(format!("--by {:.40}: write dollars, such as `5.00`", output::tame(&args.by))))?;
    let until = expiry("--until", &args.until, Clock::wall())?;
    let until = until.ok_or_else(|| wrong("--until: a raise ends; to raise a budget for good, change it".into()))?;
    let budgets = chosen(known, Some(&args.whose), args.period.as_deref())?;
    let body = serde_json::to_string(&Raise { by: by.0, until: until.0 }).map_err(|error| wrong(error.to_string()))?;
    Store::open(known.compiled.settings.state.path())?.change(|tx| {
        for budget in &budgets {
            let label = budget.label();
            let seen = objects::get(tx, RAISE, &label)?.map(|raise| raise.revision);
            let expected = seen.map_or(Expected::Absent, Expected::Revision);
            objects::put(tx, RAISE, &label, &body, expected)?;
        }
        Ok(())
    })?;
    done(known, &args.whose, &format!("raised by {by} until {}", timestamp(until)))
}

fn done(known: &Known, whose: &str, what: &str) -> std::result::Result<(), Failure> {
    let told = tell_the_gate(&known.compiled.settings.state);
    output::complain(&format!("the budget of {} is {what}{told}\n", output::tame(whose)));
    Ok(())
}

/// The budgets of somebody, or all, in the order of their labels.
fn chosen<'a>(known: &'a Known, whose: Option<&str>, period: Option<&str>) -> Result<Vec<&'a Arc<Budget>>> {
    let span = match period.map(|name| Span::named(name).ok_or(name)) {
        Some(Err(name)) => {
            let what = format!("--period {:.40}: one of minute, hour, day, week, month, year", output::tame(name));
            return Err(Error::new(Kind::InvalidParams, what));
        }
        Some(Ok(span)) => Some(span),
        None => None,
    };
    let (level, name) = match whose.map(|whose| whose.split_once(':').unwrap_or((Level::Key.name(), whose))) {
        Some((level, name)) => (Some(level), Some(name)),
        None => (None, None),
    };
    let mine = |budget: &&Arc<Budget>| {
        level.is_none_or(|level| budget.level.name() == level)
            && name.is_none_or(|name| &*budget.name == name)
            && span.is_none_or(|span| budget.terms.span == span)
    };
    let mut budgets: Vec<_> = known.snapshot.limits.budgets().filter(mine).collect();
    budgets.sort_by_key(|budget| (budget.level, budget.name.clone(), budget.terms.span));
    if budgets.is_empty() && whose.is_some() {
        let what = format!("{:.80} has no such budget; see `tollgate budget list`", output::tame(whose.unwrap_or("")));
        return Err(Error::new(Kind::NotFound, what));
    }
    Ok(budgets)
}

/// The ledger as the journal has it now.
fn figures(known: &Known, now: WallTime) -> Result<(Ledger, Changes)> {
    let settings = &known.compiled.settings;
    drawn((settings.state.path(), &settings.journal.directory), &known.snapshot, now)
}

impl<'a> Standing<'a> {
    fn of(budget: &'a Budget, (ledger, changes): (&Ledger, &Changes), now: WallTime) -> Self {
        let period = current(budget, now);
        let label = budget.cell_label(period);
        let row = ledger.row(&label).unwrap_or_default();
        let forgiven = Money(changes.forgiven.get(&*label).copied().unwrap_or(0));
        let raise = changes.raises.get(&*budget.label()).copied().filter(|raise| now.0 < raise.until);
        let (charged, lost, reserved) = (Money(row.charged), Money(row.lost), ledger.reserved(&label));
        Self { budget, period, charged, reserved, lost, forgiven, raise }
    }

    fn spent(&self) -> Money {
        self.charged.plus(self.lost).minus(self.forgiven)
    }

    fn left(&self) -> Money {
        let raised = Money(self.raise.map_or(0, |raise| raise.by));
        self.budget.terms.limit.plus(raised).plus(self.forgiven).minus(self.charged.plus(self.lost))
    }

    fn row(&self) -> Vec<String> {
        let Self { budget, period, reserved, lost, .. } = self;
        let limit = format!("{} ({})", budget.terms, budget.terms.zone.name());
        let raised = self.raise.map_or_else(String::new, |raise| {
            format!("{} until {}", Money(raise.by), timestamp(WallTime(raise.until)))
        });
        let whose = format!("{} {}", budget.level.name(), budget.name);
        let amounts = [self.spent(), *reserved, *lost, self.left()].map(|amount| amount.to_string());
        [whose, limit].into_iter().chain(amounts).chain([raised, timestamp(period.end)]).collect()
    }

    fn json(&self) -> Value {
        let Self { budget, period, charged, reserved, lost, forgiven, raise } = self;
        json!({
            "level": budget.level.name(), "name": &*budget.name, "period": budget.terms.span.name(),
            "time_zone": budget.terms.zone.name(), "limit": budget.terms.limit.to_string(),
            "spent": self.spent().to_string(), "left": self.left().to_string(),
            "charged_microdollars": charged.0, "reserved_microdollars": reserved.0, "lost_microdollars": lost.0,
            "forgiven_microdollars": forgiven.0,
            "raised": raise.map(|raise| json!({"by": Money(raise.by).to_string(),
                "until": timestamp(WallTime(raise.until))})),
            "began": timestamp(period.start), "resets": timestamp(period.end),
            "label": budget.cell_label(*period),
        })
    }
}
