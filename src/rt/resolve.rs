//! Names to addresses, by the machine's resolver on a helper thread.

use super::{mode, offload, sim};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// The addresses of a host, in the resolver's order. A literal address (`10.0.0.1`, `::1`, `[::1]`) needs no thread.
/// The resolver keeps its own time (usually 5 s a try): limit it with [`super::time::timeout`].
///
/// # Errors
/// No such host, no answer, or all helper threads busy.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Some(ip) = literal(host) {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if mode::is_sim() {
        return sim::resolve(host, port);
    }
    let name = host.to_owned();
    let found = offload::run(move || (name.as_str(), port).to_socket_addrs().map(Vec::from_iter)).await??;
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("host {host} has no address")));
    }
    Ok(found)
}

fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(inside) => inside.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::shard::tests::on_each_driver;

    #[test]
    fn literals_and_names_resolve_and_nonsense_does_not() {
        on_each_driver(|| async {
            for (host, ip) in [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("[::1]", "[::1]:80")] {
                assert_eq!(resolve(host, 80).await.unwrap(), [ip.parse::<SocketAddr>().unwrap()]);
            }
            let local = resolve("localhost", 81).await.unwrap();
            assert!(local.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 81));
            assert!(resolve("no such host", 80).await.is_err());
            assert!(resolve("", 80).await.is_err());
        });
    }
}
