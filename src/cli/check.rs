//! `tollgate check`: everything wrong with the configuration at once, or the configuration as the gate understands it.

use crate::base::error::{Error, Kind};
use crate::cli::{Failure, output};
use crate::config::{Compiled, Purpose, Report, mask};
use crate::rt::probe::probe;
use crate::upstream::spec::{ServerSpec, Target, TransportSpec};
use clap::Args;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

/// Longest wait for one server, so that a check of many ends soon.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Do not try to reach the servers
    #[arg(long)]
    offline: bool,
    /// Print what is wrong or doubtful, and nothing else
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(args: &CheckArgs, config: &Path) -> Result<(), Failure> {
    let mut compiled = Compiled::load(config, Purpose::Check)?;
    for words in probe().words() {
        compiled.warnings.warning(words, "");
    }
    warn_of_pins(&mut compiled);
    if !args.offline {
        dial(&compiled.servers, &mut compiled.warnings);
    }
    if !compiled.warnings.is_empty() {
        output::complain(&compiled.warnings.render(output::stderr_has_colour()));
    }
    if args.quiet {
        return Ok(());
    }
    let text = toml::to_string(&mask::config(&compiled.written));
    output::print(&text.map_err(|error| Error::new(Kind::Internal, error.to_string()))?)
}

/// Warns of pins that cannot be read: the gate starts, and withholds the tools they are of.
fn warn_of_pins(compiled: &mut Compiled) {
    let state = &compiled.settings.state;
    for server in &compiled.servers {
        let (pins, file) = (state.pins(&server.name), state.pins_file(&server.name));
        let what = match (pins.fault(), pins.faults()) {
            (None, 0) => continue,
            (Some(why), _) => format!("the pins of server {} cannot be read: {}: {why}", server.name, file.display()),
            (None, bad) => format!("{bad} pins of server {} cannot be read: {}", server.name, file.display()),
        };
        let help = "their tools are withheld: see `tollgate drift list`; restore the file, or approve them";
        compiled.warnings.warning(what, help);
    }
}

/// Warns of servers that cannot be reached now; the gate would start without them.
fn dial(servers: &[std::sync::Arc<ServerSpec>], warnings: &mut Report) {
    for server in servers {
        let TransportSpec::Http(http) = &server.transport else { continue };
        let Ok(target) = Target::parse(&http.url) else { continue };
        if let Err(error) = reach(&target) {
            let what = format!("server {}: {}:{} cannot be reached: {error}", server.name, target.host, target.port);
            warnings.warning(what, "the gate starts without it and takes it in when it is up");
        }
    }
}

fn reach(target: &Target) -> std::io::Result<()> {
    let mut last = std::io::Error::other("the name has no address");
    for address in (&*target.host, target.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, DIAL_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}
