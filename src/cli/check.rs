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
