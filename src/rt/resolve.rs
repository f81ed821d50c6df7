//! Names to addresses, by the machine's resolver on a helper thread.
//!
//! A resolver that hangs holds its thread for many seconds. So all who ask for a name on one shard wait for one lookup:
//! a dead name cannot take the helper threads that live names and files need.

use super::local::Notify;
use super::{mode, offload, sim, task};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::rc::Rc;

/// Host and port.
type Name = (Box<str>, u16);

/// A lookup under way.
#[derive(Default)]
struct Lookup {
    found: OnceCell<io::Result<Vec<SocketAddr>>>,
    ended: Notify,
}

thread_local! {
    static UNDER_WAY: RefCell<HashMap<Name, Rc<Lookup>>> = RefCell::default();
}

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
    let found =
        shared((host.into(), port), |(host, port)| (&**host, *port).to_socket_addrs().map(Vec::from_iter)).await?;
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("host {host} has no address")));
    }
    Ok(found)
}

/// Waits for the lookup of a name, which is begun if there is none. It goes on when nobody waits any more.
async fn shared(name: Name, look: fn(&Name) -> io::Result<Vec<SocketAddr>>) -> io::Result<Vec<SocketAddr>> {
    let under_way = UNDER_WAY.with_borrow(|all| all.get(&name).cloned());
    let lookup = under_way.unwrap_or_else(|| begin(name, look));
    loop {
        match lookup.found.get() {
            Some(Ok(found)) => return Ok(found.clone()),
            Some(Err(error)) => return Err(io::Error::new(error.kind(), error.to_string())),
            None => lookup.ended.notified().await,
        }
    }
}

fn begin(name: Name, look: fn(&Name) -> io::Result<Vec<SocketAddr>>) -> Rc<Lookup> {
    let lookup = Rc::new(Lookup::default());
    UNDER_WAY.with_borrow_mut(|all| all.insert(name.clone(), lookup.clone()));
    let entry = Entry { name, lookup: lookup.clone() };
    task::spawn(async move {
        let asked = entry.name.clone();
        // Set once, here.
        let _ = entry.lookup.found.set(offload::run(move || look(&asked)).await.flatten());
    });
    lookup
}

/// A lookup's place among those under way; given up when the lookup ends, with its runtime at the latest.
struct Entry {
    name: Name,
    lookup: Rc<Lookup>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        // The thread may be ending.
        let _ = UNDER_WAY.try_with(|all| all.borrow_mut().remove(&self.name));
        self.lookup.ended.notify_all();
    }
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
    use crate::rt::time;
    use std::time::Duration;

    #[test]
    fn a_name_that_hangs_leaves_the_helpers_to_others() {
        on_each_driver(|| async {
            let slow = |_: &Name| {
                std::thread::park_timeout(Duration::from_millis(300));
                Ok(vec![SocketAddr::from(([127, 0, 0, 9], 1))])
            };
            let all: Vec<_> = (0..200).map(|_| task::spawn(shared(("slow".into(), 1), slow))).collect();
            drop(task::spawn(time::timeout(Duration::from_millis(1), shared(("slow".into(), 1), slow))));
            time::sleep(Duration::from_millis(50)).await;
            assert_eq!(resolve("localhost", 81).await.unwrap()[0].port(), 81);
            for one in all {
                assert_eq!(one.await.unwrap(), [SocketAddr::from(([127, 0, 0, 9], 1))]);
            }
            assert!(shared(("bad".into(), 1), |_| Err(io::ErrorKind::NotFound.into())).await.is_err());
            assert_eq!(UNDER_WAY.with_borrow(HashMap::len), 0);
        });
    }

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
