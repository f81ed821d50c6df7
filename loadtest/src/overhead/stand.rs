//! Server, relay, gate and nginx, each on its cores, and the targets they make.

use super::peer::{Peer, Place};
use crate::failure::Failure;
use crate::order::Target;
use crate::stage::gate::{self, Gate, Wanted};
use crate::stage::nginx::Nginx;
use crate::stage::process::{Process, Spec};
use crate::stage::ready;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Who takes part, and where.
#[derive(Clone, Debug)]
pub struct Cast {
    /// This program: server and relay are its commands.
    pub program: PathBuf,
    /// The `tollgate` binary.
    pub gate: PathBuf,
    /// Whether nginx takes part.
    pub nginx: bool,
    /// Other gateways, started by somebody else.
    pub peers: Vec<Peer>,
    /// A server that runs already, instead of the built-in one.
    pub upstream: Option<Place>,
    /// Tools the built-in server serves besides its own.
    pub tools: usize,
    /// Keys the gate gets.
    pub keys: usize,
    /// The core of whatever is measured.
    pub target_core: usize,
    /// The cores of the clients and the server.
    pub client_cores: Vec<usize>,
}

/// Everything started. Dropping it stops everything.
#[derive(Debug)]
pub struct Stand {
    /// What is loaded: `direct` first, then `relay`, `gate` and the peers.
    pub targets: Vec<Target>,
    _processes: Vec<Process>,
    _gate: Gate,
    _nginx: Option<Nginx>,
    // Removed last: the processes write into it.
    _folder: tempfile::TempDir,
}

impl Stand {
    /// Starts everything and waits until all of it answers.
    ///
    /// # Errors
    /// Something does not start; its log is in the words.
    pub fn start(cast: &Cast) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("tollgate-load-").tempdir();
        let folder = folder.map_err(|e| Failure::new(format!("a folder for what is started: {e}")))?;
        let mut processes = Vec::new();
        let direct = match &cast.upstream {
            Some(place) => target("direct", place, None),
            None => {
                let server = server(cast, folder.path())?;
                let direct = target("direct", &server.1, Some(server.0.id()));
                processes.push(server.0);
                direct
            }
        };
        let (relay, place) = relay(cast, direct.address, folder.path())?;
        let through_relay = Target { path: direct.path.clone(), ..target("relay", &place, Some(relay.id())) };
        processes.push(relay);
        let gate = start_gate(cast, &direct, folder.path())?;
        let through_gate = gate_target(&gate);
        let nginx = cast.nginx.then(|| start_nginx(cast, direct.address, folder.path())).transpose()?;
        let through_nginx = nginx.as_ref().map(|nginx| nginx_target(nginx, &direct.path));
        let peers = cast.peers.iter().map(peer_target);
        let targets =
            [direct, through_relay, through_gate].into_iter().chain(through_nginx).chain(peers).collect::<Vec<_>>();
        targets.iter().try_for_each(answers)?;
        Ok(Self { targets, _processes: processes, _gate: gate, _nginx: nginx, _folder: folder })
    }
}

/// Every target must list the tool that all have, before time is spent on any of them.
fn answers(target: &Target) -> Result<(), Failure> {
    let tool = format!("{}echo", target.prefix);
    if ready::lists(target.address, &target.path, target.keys.first().map(String::as_str), &tool) {
        return Ok(());
    }
    let (name, address, path) = (&target.name, target.address, &target.path);
    let what = format!("{name} at http://{address}{path} does not list the tool `{tool}`");
    Err(Failure::new(format!("{what}; every target stands in front of one `tollgate-load upstream`")))
}

fn target(name: &str, place: &Place, process: Option<u32>) -> Target {
    Target {
        name: name.to_owned(),
        address: place.address,
        host: place.host.clone(),
        path: place.path.clone(),
        keys: Vec::new(),
        prefix: String::new(),
        metrics: None,
        process,
    }
}

fn gate_target(gate: &Gate) -> Target {
    let place = Place { address: gate.address, host: gate.address.to_string(), path: gate::PATH.to_owned() };
    Target {
        keys: gate.keys.clone(),
        prefix: format!("{}__", gate::SERVER),
        metrics: Some((gate.admin, "/metrics".to_owned())),
        ..target("gate", &place, Some(gate.process.id()))
    }
}

fn nginx_target(nginx: &Nginx, path: &str) -> Target {
    let place = Place { address: nginx.address, host: nginx.address.to_string(), path: path.to_owned() };
    target("nginx", &place, Some(nginx.process.id()))
}

fn peer_target(peer: &Peer) -> Target {
    let place = Place { address: peer.address, host: peer.host.clone(), path: peer.path.clone() };
    let (keys, prefix) = (peer.key.iter().cloned().collect(), peer.prefix.clone());
    Target { keys, prefix, ..target(&peer.name, &place, peer.process) }
}

/// The built-in server: on the clients' cores, because only the target's core shall be the target's alone.
fn server(cast: &Cast, folder: &Path) -> Result<(Process, Place), Failure> {
    let cores = cast.client_cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let args = ["upstream", "--tools", &cast.tools.to_string(), "--cores", &cores].map(str::to_owned).into();
    let (program, cores) = (cast.program.as_path(), cast.client_cores.clone());
    let mut process = Process::start(&Spec { name: "upstream", program, args, cores, folder })?;
    let place = process.first_line()?.parse().map_err(|e| Failure::new(format!("the built-in server: {e}")))?;
    Ok((process, place))
}

fn relay(cast: &Cast, to: SocketAddr, folder: &Path) -> Result<(Process, Place), Failure> {
    let args = ["relay", "--to", &to.to_string()].map(str::to_owned).into();
    let (program, cores) = (cast.program.as_path(), vec![cast.target_core]);
    let mut process = Process::start(&Spec { name: "relay", program, args, cores, folder })?;
    let address = process.first_line()?;
    let place = format!("http://{address}").parse().map_err(|e| Failure::new(format!("the relay: {e}")))?;
    Ok((process, place))
}

fn start_gate(cast: &Cast, direct: &Target, folder: &Path) -> Result<Gate, Failure> {
    let own = own_folder(folder, "gate")?;
    let server = format!("url = \"http://{}{}\"", direct.address, direct.path);
    let cores = vec![cast.target_core];
    Gate::start(&Wanted { binary: &cast.gate, folder: &own, cores, server, keys: cast.keys.max(1) })
}

fn start_nginx(cast: &Cast, to: SocketAddr, folder: &Path) -> Result<Nginx, Failure> {
    Nginx::start(&own_folder(folder, "nginx")?, to, vec![cast.target_core])
}

fn own_folder(folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let own = folder.join(name);
    std::fs::create_dir(&own).map_err(|e| Failure::new(format!("{}: {e}", own.display())))?;
    Ok(own)
}
