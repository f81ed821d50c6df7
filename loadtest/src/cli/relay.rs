//! `tollgate-load relay`: the bare relay.

use crate::failure::Failure;
use crate::relay::Relay;
use crate::stage::{descriptors, pin};
use clap::Args;
use std::net::SocketAddr;

/// Arguments of `relay`.
#[derive(Debug, Args)]
pub struct RelayArgs {
    /// Where to listen; port 0 takes a free one. Standard output says the address once it relays
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to copy to: each client gets a connection of its own there
    #[arg(long, value_name = "ADDRESS")]
    to: SocketAddr,
    /// Pin it to this core
    #[arg(long, value_name = "CORE")]
    core: Option<usize>,
}

pub(super) fn run(args: &RelayArgs) -> Result<(), Failure> {
    descriptors::raise()?;
    if let Some(core) = args.core {
        pin::pin(&[core])?;
    }
    let relay = Relay::bind(args.listen, args.to)?;
    println!("{}", relay.address());
    match relay.run()? {}
}
