//! `tollgate-load overhead`: what a gate adds, beside a bare relay and peers, in one run.

use super::load::{duration, rate};
use crate::engine;
use crate::failure::Failure;
use crate::order::{Era, Load, Order, Stage};
use crate::overhead::{Cast, Peer, Place, Plan, Stand, Summary, measure, render};
use crate::scenario::{Scenario, ServerKind};
use crate::stage::{descriptors, gate};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use tollgate::rt::shard::cores;

/// Least number of tools the built-in server serves: as many as a usual server has.
const TOOLS_MIN: usize = 20;

/// Arguments of `overhead`. Without any it starts everything itself: the built-in server and the clients on all cores
/// but the first, and there in turn the relay and the gate.
#[derive(Debug, Args)]
pub struct OverheadArgs {
    /// Built-in scenario, or a file
    #[arg(long, value_name = "NAME", default_value = "call")]
    scenario: PathBuf,
    /// Protocol era of the clients; the scenario's first where absent
    #[arg(long, value_name = "ERA", value_parser = era)]
    era: Option<Era>,
    /// Rounds; each loads every target once
    #[arg(long, value_name = "COUNT", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Only saturation: what a call costs
    #[arg(long, conflicts_with = "rate")]
    closed: bool,
    /// Only an open loop at this rate, requests a second; without it and --closed: both, the open loop at 5000
    #[arg(long, value_name = "RATE")]
    rate: Option<f64>,
    /// Connections of the clients
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    connections: usize,
    /// Measured seconds of each run
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    duration: Duration,
    /// Left out before each run
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    warm_up: Duration,
    /// The gate's binary; `tollgate` beside this program where absent
    #[arg(long, value_name = "PATH")]
    gate: Option<PathBuf>,
    /// Measure nginx as a plain reverse proxy too
    #[arg(long)]
    nginx: bool,
    /// Measure another gateway too, which you have started on the core of --target-core in front of --upstream:
    /// `NAME=URL,PID[,key=KEY][,prefix=PREFIX]`
    #[arg(long = "peer", value_name = "PEER", requires = "upstream")]
    peers: Vec<Peer>,
    /// A server that runs already (`tollgate-load upstream --cores …`), instead of one that this command starts
    #[arg(long, value_name = "URL")]
    upstream: Option<Place>,
    /// Core of whatever is measured; the first one where absent
    #[arg(long, value_name = "CORE")]
    target_core: Option<usize>,
    /// End with all figures on one line of JSON, instead of tables
    #[arg(long)]
    json: bool,
    /// Allow a peer or server that is not on this machine
    #[arg(long)]
    allow_remote: bool,
}

pub(super) fn run(args: &OverheadArgs) -> Result<(), Failure> {
    descriptors::raise()?;
    let scenario = Scenario::load(&args.scenario)?;
    let cast = cast(args, &scenario)?;
    let plan = Plan { orders: orders(args, &cast.client_cores)?, rounds: args.rounds.into() };
    let stand = Stand::start(&cast)?;
    let mut load = |order: &Order, target: &_| engine::run(order, target, &mut |_| {});
    let measured = measure(&plan, &stand.targets, &mut load, &mut |what| eprintln!("{what}"))?;
    let summary = Summary::of(&measured, &scenario.name);
    if args.json {
        let json = serde_json::to_string(&summary).map_err(|e| Failure::new(format!("the figures as JSON: {e}")))?;
        println!("{json}");
    } else {
        print!("{}", render(&summary));
    }
    if summary.valid { Ok(()) } else { Err(Failure::invalid(summary.reasons.join("; "))) }
}

fn cast(args: &OverheadArgs, scenario: &Scenario) -> Result<Cast, Failure> {
    if scenario.server == ServerKind::Stdio {
        let words = "a stdio server can only be reached through a gate: there is no direct way to compare with";
        return Err(Failure::usage(format!("scenario {}: {words}; use `run`", scenario.name)));
    }
    check_places(args)?;
    let (target_core, client_cores) = split_cores(args.target_core)?;
    Ok(Cast {
        program: std::env::current_exe().map_err(|e| Failure::new(format!("the path of this program: {e}")))?,
        gate: args.gate.clone().map_or_else(gate::beside, existing)?,
        nginx: args.nginx,
        peers: args.peers.clone(),
        upstream: args.upstream.clone(),
        tools: scenario.tools_min.max(TOOLS_MIN),
        keys: scenario.keys.count,
        target_core,
        client_cores,
    })
}

/// A relative path counts from here, and not from the folder in which the gate is started.
fn existing(path: PathBuf) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|e| Failure::usage(format!("--gate {}: {e}", path.display())))
}

fn check_places(args: &OverheadArgs) -> Result<(), Failure> {
    let peers = args.peers.iter().map(|peer| peer.address);
    let mut places = peers.chain(args.upstream.iter().map(|place| place.address));
    match places.find(|place| !place.ip().is_loopback()).filter(|_| !args.allow_remote) {
        None => Ok(()),
        Some(place) => Err(Failure::usage(format!(
            "{place} is not on this machine: load on somebody else's server is an attack; \
             if it is yours, add --allow-remote"
        ))),
    }
}

/// The target's core, and all others for clients and server.
fn split_cores(target: Option<usize>) -> Result<(usize, Vec<usize>), Failure> {
    let all = cores().map_err(|e| Failure::new(format!("the cores of this machine: {e}")))?;
    let target = target.or(all.first().copied()).unwrap_or(0);
    let rest: Vec<_> = all.iter().copied().filter(|&core| core != target).collect();
    match rest.is_empty() || rest.len() == all.len() {
        false => Ok((target, rest)),
        true => Err(Failure::usage(format!(
            "core {target} for the target leaves {rest:?} of {all:?} for the clients; both need cores of their own"
        ))),
    }
}

/// The runs of one target in one round.
fn orders(args: &OverheadArgs, cores: &[usize]) -> Result<Vec<Order>, Failure> {
    let closed = args.rate.is_none().then_some(Load::Closed);
    let rate = rate(args.rate.unwrap_or(5000.0)).map_err(|e| Failure::usage(format!("--rate: {e}")))?;
    let open = (!args.closed).then(|| Load::Open(vec![Stage { from: rate, to: rate, lasts: args.duration }]));
    let order = |load| Order {
        scenario: args.scenario.clone(),
        era: args.era,
        load,
        connections: args.connections,
        warm_up: args.warm_up,
        lasts: args.duration,
        patience: Duration::from_secs(10),
        cores: cores.to_vec(),
    };
    Ok(closed.into_iter().chain(open).map(order).collect())
}

fn era(text: &str) -> Result<Era, String> {
    match text {
        "modern" => Ok(Era::Modern),
        "legacy" => Ok(Era::Legacy),
        _ => Err("either `modern` or `legacy`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_has_a_core_of_its_own() {
        assert!(split_cores(Some(100_000)).is_err());
        if cores().unwrap().len() > 1 {
            let (target, rest) = split_cores(None).unwrap();
            assert!(!rest.contains(&target) && !rest.is_empty());
        }
    }
}
