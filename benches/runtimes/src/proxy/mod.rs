//! The proxies, one file a runtime: each listens on a free port, says which, and serves every client it accepts.

mod glommio;
mod monoio;
mod tokio;

use std::io;
use std::net::SocketAddr;

/// Where proxies and upstream listen: a free port of loopback.
pub(crate) const ANY_PORT: &str = "127.0.0.1:0";

/// Runs the proxy of one runtime on this thread until it is killed.
pub(crate) fn run(runtime: &str, upstream: &str) -> io::Result<()> {
    let upstream: SocketAddr = upstream.parse().map_err(|_| io::Error::other("the upstream is not ADDRESS:PORT"))?;
    match runtime {
        "monoio-uring" => monoio::on_uring(upstream),
        "monoio-epoll" => monoio::on_epoll(upstream),
        "glommio" => glommio::run(upstream),
        "tokio" => tokio::run(upstream),
        _ => Err(io::Error::other(format!("there is no proxy on {runtime}"))),
    }
}

/// Says where the listener is.
pub(crate) fn announce(address: SocketAddr) {
    println!("{address}");
}
