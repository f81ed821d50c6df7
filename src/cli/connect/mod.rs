//! `tollgate connect`: a bridge for clients that only start programs. Lines of JSON on standard input and output become
//! Streamable HTTP requests with a key, in either era.
//!
//! | file | what it does |
//! |---|---|
//! | `lines.rs` | standard input as lines, standard output as lines |
//! | `headers.rs` | what a message says that must stand in headers too |
//! | `gate.rs` | one exchange with the gate |
//! | `bridge.rs` | which message waits for which, sessions, cancellation |

mod bridge;
mod gate;
mod headers;
mod lines;

use crate::base::error::{Error, Kind, Result};
use crate::cli::Failure;
use crate::rt::shard::{self, DriverChoice};
use crate::rt::{mailbox, probe};
use crate::upstream::spec::Target;
use crate::wire::http::{Endpoint, HeaderBlock};
use crate::wire::tls;
use clap::Args;
use gate::Gate;
use std::net::IpAddr;
use std::path::PathBuf;

/// Lines read ahead from standard input.
const LINES_MAX: usize = 64;

/// Arguments of `connect`.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// URL of the gate, such as `https://gate.example.com/mcp`
    url: String,
    /// Variable of the environment that holds the key; without it, requests carry none
    #[arg(long, value_name = "VAR")]
    key_env: Option<String>,
    /// PEM file of certificate authorities to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

pub(crate) fn run(args: &ConnectArgs) -> std::result::Result<(), Failure> {
    let gate = gate(args)?;
    let driver = shard::choose(DriverChoice::Auto, &probe::probe())?;
    let (sender, receiver) = mailbox::try_mailbox(LINES_MAX).map_err(Error::from)?;
    lines::read_stdin(sender)?;
    shard::block_on(driver, bridge::run(gate, receiver, lines::Stdout)).map_err(Error::from)??;
    Ok(())
}

fn gate(args: &ConnectArgs) -> Result<Gate> {
    let target = Target::parse(&args.url)?;
    let key = args.key_env.as_deref().map(key).transpose()?;
    let local = &*target.host == "localhost" || target.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if key.is_some() && !target.tls && !local {
        tracing::warn!("the key crosses the network in clear text: use https://");
    }
    let tls = if target.tls { Some(tls::client_config(args.ca_file.as_deref())?) } else { None };
    let mut headers = HeaderBlock::new(&[("user-agent", concat!("tollgate-connect/", env!("CARGO_PKG_VERSION")))])?;
    if let Some(key) = key {
        headers.push("authorization", &format!("Bearer {key}"))?;
    }
    Ok(Gate::new(Endpoint::new(&target.host, target.port, tls), target.path, headers))
}

/// The key in a variable. It is never printed.
fn key(variable: &str) -> Result<String> {
    let wrong = |what: &str| Error::new(Kind::InvalidParams, format!("--key-env {variable}: the variable {what}"));
    let key = std::env::var(variable).map_err(|_| wrong("is not set, or not text"))?;
    let key = key.trim();
    let sane = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
    if sane { Ok(key.into()) } else { Err(wrong("holds no key: `tg_…`, on one line")) }
}

#[cfg(test)]
mod tests;
