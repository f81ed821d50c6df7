//! What the runtime takes from the configuration beside servers and keys, with every value checked.

use crate::config::state::StateDir;
use crate::rt::shard::DriverChoice;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The settings of one gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where clients connect.
    pub listen: ListenSettings,
    /// Where health and metrics are served.
    pub admin: SocketAddr,
    /// Threads and driver.
    pub runtime: RuntimeSettings,
    /// Bounds.
    pub limits: LimitSettings,
    /// Where state is kept.
    pub state: StateDir,
    /// The journal's places and times.
    pub journal: JournalSettings,
    /// Page where approvals are decided; `{id}` in it stands for the approval's.
    pub approval_page: Option<Box<str>>,
}

/// The data listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSettings {
    /// Address and port; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// Names a `Host` header may carry.
    pub hosts: Hosts,
    /// Origins an `Origin` header may carry.
    pub origins: Origins,
    /// Certificate and key, where TLS is spoken.
    pub tls: Option<TlsPaths>,
}

/// PEM files of the listener's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPaths {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Threads and driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeSettings {
    /// How sockets and files are driven.
    pub driver: DriverChoice,
    /// Shard threads; 0 means one for each core.
    pub shards: usize,
    /// Whether each is bound to a core.
    pub pin: bool,
}

/// Bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Longest request body, in bytes.
    pub body_max: usize,
    /// Longest answer of one call, in bytes.
    pub answer_max: usize,
    /// Time one call may take without a sign of life.
    pub call_timeout: Duration,
    /// Most client connections of one shard.
    pub connections_per_shard_max: usize,
    /// Most event streams of one key on one shard.
    pub streams_per_key_max: usize,
}

/// The journal's places and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSettings {
    /// Directory of the segment files.
    pub directory: PathBuf,
    /// Directory on tmpfs of the rings.
    pub ring_directory: PathBuf,
    /// Longest time between a record and its sync.
    pub commit: Duration,
    /// Size of one segment file, in bytes.
    pub segment_bytes: u64,
}

/// The `Host` allow-list: against DNS rebinding, a name that nobody configured is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    loopback: bool,
    own: Option<IpAddr>,
    listed: Vec<(Box<str>, Option<u16>)>,
}

/// The `Origin` allow-list: a page of an origin that nobody configured is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    loopback: bool,
    listed: Vec<Box<str>>,
}

impl Hosts {
    /// The list of a listener at `address` with these names besides, each with or without a port.
    ///
    /// Nothing if a name is not a host; its place in the list comes back.
    pub fn new(address: SocketAddr, listed: &[String]) -> Result<Self, usize> {
        let parse = |(at, name): (usize, &String)| {
            split_host(name).map(|(name, port)| (name.to_ascii_lowercase().into(), port)).ok_or(at)
        };
        let listed = listed.iter().enumerate().map(parse).collect::<Result<_, usize>>()?;
        let own = Some(address.ip()).filter(|ip| !ip.is_unspecified());
        Ok(Self { loopback: address.ip().is_loopback(), own, listed })
    }

    /// Whether a `Host` header (or the authority of an absolute target) is allowed.
    pub fn allows(&self, host: &str) -> bool {
        let Some((name, port)) = split_host(host) else { return false };
        let literal = name.parse::<IpAddr>().ok();
        let is_own = literal.is_some() && literal == self.own;
        let is_loopback = is_localhost(name) || literal.is_some_and(|ip| ip.is_loopback());
        let is_listed = |(listed, only): &(Box<str>, Option<u16>)| {
            listed.eq_ignore_ascii_case(name) && (only.is_none() || *only == port)
        };
        is_own || (self.loopback && is_loopback) || self.listed.iter().any(is_listed)
    }
}

impl Origins {
    /// The list of a listener at `address` with these origins besides.
    ///
    /// Nothing if one is not `scheme://host[:port]`; its place in the list comes back.
    pub fn new(address: SocketAddr, listed: &[String]) -> Result<Self, usize> {
        let parse =
            |(at, origin): (usize, &String)| split_origin(origin).map(|_| origin.to_ascii_lowercase().into()).ok_or(at);
        let listed = listed.iter().enumerate().map(parse).collect::<Result<_, usize>>()?;
        Ok(Self { loopback: address.ip().is_loopback(), listed })
    }

    /// Whether an `Origin` header is allowed.
    pub fn allows(&self, origin: &str) -> bool {
        let Some((_, name, _)) = split_origin(origin) else { return false };
        let is_loopback = is_localhost(name) || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let is_listed = self.listed.iter().any(|listed| listed.eq_ignore_ascii_case(origin));
        (self.loopback && is_loopback) || is_listed
    }
}

fn is_localhost(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
}

/// A host taken apart: its name without brackets or trailing dot, and its port.
fn split_host(host: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, after) = rest.split_once(']')?;
            name.parse::<std::net::Ipv6Addr>().ok()?;
            (name, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let port = match port {
        None => None,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let sane = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    let is_name = !name.is_empty() && name.len() <= 253 && name.bytes().all(sane);
    is_name.then_some((name, port))
}

fn split_origin(origin: &str) -> Option<(&str, &str, Option<u16>)> {
    let (scheme, rest) = origin.split_once("://")?;
    let sane = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let (name, port) = split_host(rest)?;
    sane.then_some((scheme, name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(address: &str, listed: &[&str]) -> Hosts {
        let listed: Vec<String> = listed.iter().map(|name| (*name).to_owned()).collect();
        Hosts::new(address.parse().expect("address"), &listed).expect("hosts")
    }

    #[test]
    fn a_loopback_listener_answers_to_loopback_names_only() {
        let hosts = hosts("127.0.0.1:8080", &[]);
        for good in ["localhost", "LOCALHOST:9", "127.0.0.1:8080", "127.8.8.8", "[::1]:8080", "localhost."] {
            assert!(hosts.allows(good), "{good}");
        }
        for bad in [
            "evil.example:8080",
            "a/?",
            "x#",
            "x@y",
            "",
            ":80",
            "localhost:",
            "localhost:+1",
            "[::1",
            "127.0.0.1.evil.example",
        ] {
            let port_only = bad == "localhost:";
            assert!(!hosts.allows(bad) || port_only, "{bad}");
        }
    }

    #[test]
    fn an_open_listener_answers_to_what_is_listed() {
        let hosts = hosts("0.0.0.0:8443", &["gate.example.com", "other.example:8443"]);
        assert!(hosts.allows("Gate.example.com:1") && hosts.allows("other.example:8443"));
        for bad in ["other.example", "other.example:1", "localhost", "0.0.0.0"] {
            assert!(!hosts.allows(bad), "{bad}");
        }
        assert_eq!(Hosts::new("127.0.0.1:1".parse().expect("address"), &["ok".into(), "a/b".into()]), Err(1));
    }

    #[test]
    fn origins_are_whole() {
        let address = "127.0.0.1:8080".parse().expect("address");
        let local = Origins::new(address, &["https://app.example".into()]).expect("origins");
        for good in ["http://localhost:3000", "http://[::1]", "https://app.example", "https://APP.example"] {
            assert!(local.allows(good), "{good}");
        }
        for bad in ["null", "", "https://evil.example", "https://app.example.evil", "https://app.example:1", "file://"]
        {
            assert!(!local.allows(bad), "{bad}");
        }
        let open = Origins::new("0.0.0.0:1".parse().expect("address"), &[]).expect("origins");
        assert!(!open.allows("http://localhost:3000"));
        assert_eq!(Origins::new(address, &["app.example".into()]), Err(0));
    }
}
