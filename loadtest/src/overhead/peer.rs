//! Another gateway, as the command line names it: `NAME=URL,PID[,key=KEY][,prefix=PREFIX]`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// A gateway that somebody else has started in front of the same server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name in reports.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Host and port as written.
    pub host: String,
    /// Path of its MCP endpoint.
    pub path: String,
    /// Its process, for CPU time.
    pub process: Option<u32>,
    /// Bearer key it wants.
    pub key: Option<String>,
    /// What it puts before the names of the server's tools.
    pub prefix: String,
}

/// An `http://` URL taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it leads.
    pub address: SocketAddr,
    /// Host and port as written.
    pub host: String,
    /// Path, at least `/`.
    pub path: String,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").ok_or_else(|| format!("`{url}` is no http:// URL"))?;
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let with_port = if host.contains("]:") || (host.contains(':') && !host.ends_with(']')) {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let mut found = with_port.to_socket_addrs().map_err(|e| format!("`{host}`: {e}"))?;
        let address = found.next().ok_or_else(|| format!("`{host}` has no address"))?;
        Ok(Self { address, host: host.to_owned(), path: path.to_owned() })
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not NAME=URL,PID[,key=KEY][,prefix=PREFIX]");
        let (name, rest) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
        if ["direct", "relay", "gate", "nginx"].contains(&name) {
            return Err(format!("`{name}` is taken; give the peer another name"));
        }
        let mut parts = rest.split(',');
        let Place { address, host, path } = parts.next().ok_or_else(wrong)?.parse()?;
        let name = name.to_owned();
        let mut peer = Self { name, address, host, path, process: None, key: None, prefix: String::new() };
        for part in parts {
            match part.split_once('=') {
                Some(("key", key)) => peer.key = Some(key.to_owned()),
                Some(("prefix", prefix)) => peer.prefix = prefix.to_owned(),
                Some(("pid", pid)) => peer.process = Some(pid.parse().map_err(|_| wrong())?),
                None => peer.process = Some(part.parse().map_err(|_| wrong())?),
                Some(_) => return Err(wrong()),
            }
        }
        Ok(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_read_with_all_it_may_carry() {
        let peer: Peer = "other=http://127.0.0.1:9000/mcp/,123,key=a-b,prefix=fake_".parse().unwrap();
        assert_eq!((peer.name.as_str(), peer.path.as_str(), peer.process), ("other", "/mcp/", Some(123)));
        assert_eq!((peer.key.as_deref(), peer.prefix.as_str(), peer.address.port()), (Some("a-b"), "fake_", 9000));
        let bare: Peer = "other=http://127.0.0.1".parse().unwrap();
        assert_eq!((bare.address.port(), bare.path.as_str(), bare.process), (80, "/", None));
        let six: Place = "http://[::1]:81/x".parse().unwrap();
        assert_eq!((six.address.to_string().as_str(), six.path.as_str()), ("[::1]:81", "/x"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for bad in ["x", "=http://127.0.0.1", "x=127.0.0.1:1", "x=http://127.0.0.1:1,pid", "x=http://127.0.0.1:1,a=b"] {
            assert!(bad.parse::<Peer>().is_err(), "{bad}");
        }
        assert!("gate=http://127.0.0.1:1,1".parse::<Peer>().unwrap_err().contains("taken"));
    }
}
