//! The first contact with a target: which tools it lists, and whether one call goes through, before load is put on it.

use super::connection::{Bad, Connection, Seen};
use super::pick::Picks;
use super::plan::{Fixed, Plan, measured};
use super::schedule::Schedule;
use crate::failure::Failure;
use crate::metrics;
use crate::order::{Era, Load, Order, Target};
use crate::scenario::{Scenario, Tools};
use crate::wire::{Arguments, Call, Id, Requests};
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::thread::JoinHandle;
use tollgate::base::ids::ShardId;
use tollgate::rt::probe;
use tollgate::rt::shard::{self, DriverChoice, ShardSpec};

/// Pages of a list of tools that are read.
const PAGES_MAX: usize = 100;
/// The fake upstream's tools that want arguments of their own.
const SPECIAL: [&str; 4] = ["echo", "sized", "slow", "progress"];
/// Ring entries of a client thread.
const RING_ENTRIES: u32 = 1024;

/// One page of `tools/list`, as far as it is of interest.
#[derive(Deserialize)]
struct Answer {
    result: Page,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    tools: Vec<Tool>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Tool {
    name: String,
}

/// Makes the plan of a run, after a look at the target.
///
/// # Errors
/// Nothing listens, no list is answered, or a tool that the scenario needs is not in it.
pub(super) fn plan(scenario: Scenario, era: Era, order: &Order, target: &Target) -> Result<Plan, Failure> {
    check_keys(&scenario, target)?;
    if let Some((address, path)) = &target.metrics {
        metrics::scrape(*address, path).map_err(|failure| failure.within("metrics"))?;
    }
    let mut plan = bare(scenario, era, order, target);
    let names = {
        let plan = Arc::new(bare(plan.scenario.clone(), era, order, target));
        on_a_thread(order, move || list_tools(plan))?
    };
    let calls = tools_to_call(&plan.scenario, &names, target)?;
    let calls: Vec<usize> = calls.iter().map(|tool| plan.requests.add_call(&call(&plan.scenario, tool))).collect();
    let list = plan.requests.add_list(None);
    plan.picks = Picks::new(plan.scenario.mix, &plan.scenario.tools, list, calls);
    Ok(plan)
}

fn check_keys(scenario: &Scenario, target: &Target) -> Result<(), Failure> {
    let (wanted, given) = (scenario.keys.count, target.keys.len());
    if given == 0 || given >= wanted {
        return Ok(());
    }
    let words =
        format!("scenario {} needs {wanted} keys, and {given} were given; add --key or --key-file", scenario.name);
    Err(Failure::usage(words))
}

/// A plan without any tool to call.
pub(super) fn bare(scenario: Scenario, era: Era, order: &Order, target: &Target) -> Plan {
    let mut requests = Requests::new(target, era);
    let fixed = Fixed {
        initialize: requests.add_initialize(),
        initialized: requests.add_initialized(),
        listen: requests.add_listen(),
    };
    let schedule = match &order.load {
        Load::Closed => None,
        Load::Open(stages) => Some(Schedule::new(order.warm_up, stages)),
    };
    Plan {
        picks: Picks::new(scenario.mix, &scenario.tools, 0, Vec::new()),
        address: target.address,
        threads: order.cores.len().max(1),
        connections: order.connections.max(1),
        warm_up: order.warm_up,
        lasts: measured(order),
        patience: order.patience,
        process: target.process,
        metrics: target.metrics.clone(),
        stop_at: AtomicI64::new(i64::MAX),
        scenario,
        requests,
        fixed,
        schedule,
    }
}

fn call<'a>(scenario: &Scenario, tool: &'a str) -> Call<'a> {
    let Tools::One(name) = &scenario.tools else {
        return Call { tool, arguments: Arguments::Text, bytes: scenario.request_bytes };
    };
    let arguments = match (name.as_str(), scenario.progress) {
        ("sized", _) => Arguments::Sized(scenario.answer_bytes),
        ("slow", _) => Arguments::Slow(scenario.answer_ms),
        (_, Some(progress)) => Arguments::Progress(progress.events, progress.every_ms),
        _ => Arguments::Text,
    };
    Call { tool, arguments, bytes: scenario.request_bytes }
}

/// The names of the tools to call, as the target has them.
fn tools_to_call(scenario: &Scenario, names: &[String], target: &Target) -> Result<Vec<String>, Failure> {
    let ours: Vec<&String> = names.iter().filter(|name| name.starts_with(&target.prefix)).collect();
    if ours.is_empty() && !names.is_empty() {
        let words =
            format!("{} lists {} tools, none of them with the --prefix {}", target.name, names.len(), target.prefix);
        return Err(Failure::new(words));
    }
    if ours.len() < scenario.tools_min {
        let (have, need) = (ours.len(), scenario.tools_min);
        let words = format!("{} lists {have} tools, and scenario {} needs {need}", target.name, scenario.name);
        return Err(Failure::new(words));
    }
    match &scenario.tools {
        _ if scenario.mix.call == 0 => Ok(Vec::new()),
        Tools::One(name) => one_tool(name, names, target).map(|name| vec![name]),
        Tools::RoundRobin | Tools::Zipf(_) => catalogue(&ours, target),
    }
}

/// The listed tools without those of the fake upstream that want arguments of their own.
fn catalogue(listed: &[&String], target: &Target) -> Result<Vec<String>, Failure> {
    let is_special = |name: &&&String| SPECIAL.iter().any(|special| is_called(name, special));
    let names: Vec<String> = listed.iter().filter(|name| !is_special(name)).map(|name| (*name).clone()).collect();
    if names.is_empty() {
        return Err(Failure::new(format!(
            "{} lists no tool that takes any arguments; give it a catalogue",
            target.name
        )));
    }
    Ok(names)
}

/// Whether a tool is called so, with or without something before it.
fn is_called(listed: &str, name: &str) -> bool {
    listed.strip_suffix(name).is_some_and(|start| start.is_empty() || start.ends_with(['_', '-', '.', '/']))
}

/// The tool of that name behind the prefix; without one, whatever single tool's name ends with it after a separator.
fn one_tool(name: &str, names: &[String], target: &Target) -> Result<String, Failure> {
    let wanted = format!("{}{name}", target.prefix);
    if names.contains(&wanted) {
        return Ok(wanted);
    }
    let alike: Vec<&String> = names.iter().filter(|listed| is_called(listed, name)).collect();
    match alike[..] {
        [only] if target.prefix.is_empty() => Ok(only.clone()),
        _ => {
            let count = names.len();
            let words = format!(
                "{} lists {count} tools, but none is called {wanted}; give --prefix as the target puts it before names",
                target.name
            );
            Err(Failure::new(words))
        }
    }
}

async fn list_tools(plan: Arc<Plan>) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    let mut cursor = None;
    for page in 0..PAGES_MAX {
        // A plan of its own for each page: requests are made before a run, never within.
        let mut paged = Plan { requests: plan.requests.clone(), ..clone_without_requests(&plan) };
        let list = paged.requests.add_list(cursor.as_deref());
        let mut connection = Connection::new(Arc::new(paged), 0);
        let mut n = page as u64;
        let mut ids = || {
            n += 1;
            Id::nth(n)
        };
        connection.ensure_open(&mut ids).await.map_err(refused)?;
        connection.exchange(list, ids(), &mut Seen::default()).await.map_err(refused)?;
        let answer: Answer = serde_json::from_slice(connection.body())
            .map_err(|error| Failure::new(format!("tools/list was answered with something else: {error}")))?;
        connection.end_session().await;
        names.extend(answer.result.tools.into_iter().map(|tool| tool.name));
        match answer.result.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    Ok(names)
}

fn clone_without_requests(plan: &Plan) -> Plan {
    Plan {
        scenario: plan.scenario.clone(),
        requests: plan.requests.clone(),
        picks: plan.picks.clone(),
        schedule: plan.schedule.clone(),
        metrics: plan.metrics.clone(),
        stop_at: AtomicI64::new(i64::MAX),
        ..*plan
    }
}

fn refused(bad: Bad) -> Failure {
    Failure::new(format!("the first tools/list failed: {}: {}", bad.trouble, bad.words))
}

/// Runs a future on a thread of its own, because the caller's may have a runtime.
fn on_a_thread<T, M, F>(order: &Order, main: M) -> Result<T, Failure>
where
    T: Send + 'static,
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = Result<T, Failure>> + 'static,
{
    let (told, wait) = std::sync::mpsc::sync_channel(1);
    let thread = spawn(0, order.cores.first().copied(), move || async move { drop(told.send(main().await)) })?;
    let done = wait.recv().map_err(|_| Failure::new("the client's thread died"))?;
    drop(thread.join());
    done
}

/// Starts the n-th client thread, pinned to this core.
pub(super) fn spawn<M, F>(n: usize, core: Option<usize>, main: M) -> Result<JoinHandle<()>, Failure>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let driver = shard::choose(DriverChoice::Auto, &probe::probe()).map_err(|error| Failure::new(error.to_string()))?;
    let id = ShardId(n.try_into().map_err(|_| Failure::usage("too many client threads"))?);
    let spec = ShardSpec { id, core, driver, entries: RING_ENTRIES };
    shard::spawn_shard(spec, main).map_err(|error| Failure::new(format!("client thread {n}: {error}")))
}
