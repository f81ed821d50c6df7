//! Listeners, threads, bounds and places.

use crate::config::document::Step;
use crate::config::env::Lookup;
use crate::config::file::{Config, Driver, Journal, Listen, Tls};
use crate::config::notes::Notes;
use crate::config::settings::{
    Hosts, JournalSettings, LimitSettings, ListenSettings, Origins, RuntimeSettings, Settings, TlsPaths,
};
use crate::config::state::{self, StateDir};
use crate::rt::disk;
use crate::rt::shard::DriverChoice;
use sha2::{Digest as _, Sha256};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The settings; where a value is wrong, a stand-in, and the report says so.
pub(crate) fn settings(written: &Config, lookup: &Lookup, notes: &mut Notes<'_>) -> Settings {
    let state = StateDir::new(path(&written.state.directory, &["state", "directory"], lookup, notes));
    let journal = journal(&written.journal, &state, lookup, notes);
    let listen = listen(&written.listen, lookup, notes);
    let admin = admin(written, listen.address, notes);
    let approval_page = super::approval::page(written, notes);
    Settings { listen, admin, runtime: runtime(written), limits: limits(written), state, journal, approval_page }
}

fn listen(written: &Listen, lookup: &Lookup, notes: &mut Notes<'_>) -> ListenSettings {
    let address = address(&written.address, &["listen", "address"], notes);
    let tls = written.tls.as_ref().map(|tls| tls_paths(tls, lookup, notes));
    if !address.ip().is_loopback() {
        check_open_listener(written, address, notes);
    }
    let hosts = Hosts::new(address, &written.allowed_hosts).unwrap_or_else(|at| {
        let place = ["listen".into(), "allowed_hosts".into(), Step::Index(at)];
        notes.error(
            &place,
            "this is not a host",
            "write a name or address, with or without a port: `gate.example.com`",
        );
        Hosts::default()
    });
    let origins = Origins::new(address, &written.allowed_origins).unwrap_or_else(|at| {
        let place = ["listen".into(), "allowed_origins".into(), Step::Index(at)];
        notes.error(
            &place,
            "this is not an origin",
            "write scheme, host and port if unusual: `https://app.example.com`",
        );
        Origins::default()
    });
    ListenSettings { address, hosts, origins, tls }
}

fn check_open_listener(written: &Listen, address: SocketAddr, notes: &mut Notes<'_>) {
    let place = ["listen".into(), "address".into()];
    if written.tls.is_none() && !written.insecure_any_address {
        let help = "set `listen.tls`, or listen on 127.0.0.1; if something in front ends TLS, say \
                    `listen.insecure_any_address = true`";
        notes.error(&place, "keys would cross the network in clear text", help);
    }
    if written.allowed_hosts.is_empty() && address.ip().is_unspecified() {
        let help = "list the names clients use: `allowed_hosts = [\"gate.example.com\"]`";
        notes.error(&place, "no `Host` would be allowed on this listener", help);
    }
}

fn admin(written: &Config, listen: SocketAddr, notes: &mut Notes<'_>) -> SocketAddr {
    let place: [Step<'_>; 2] = ["admin".into(), "address".into()];
    let admin = address(&written.admin.address, &["admin", "address"], notes);
    if !admin.ip().is_loopback() && !written.admin.insecure_any_address {
        let help = "listen on 127.0.0.1, or say `admin.insecure_any_address = true`";
        notes.error(&place, "whoever reaches this address could read health and metrics", help);
    }
    if admin == listen && admin.port() != 0 {
        notes.error(&place, "this is the address that clients connect to", "give health and metrics another port");
    }
    admin
}

/// An IP address with a port; names are refused because what they stand for can change.
fn address(written: &str, place: &[&str; 2], notes: &mut Notes<'_>) -> SocketAddr {
    let stand_in = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    written.parse().unwrap_or_else(|_| {
        let place = [place[0].into(), place[1].into()];
        let help = match written.rsplit_once(':') {
            Some(("localhost", port)) => format!("write `127.0.0.1:{port}`"),
            Some(("" | "*", port)) => format!("write `0.0.0.0:{port}` for every address of this machine"),
            _ => "write an IP address and a port: `127.0.0.1:8080` or `[::1]:8080`".into(),
        };
        notes.error(&place, "this is not an address to listen on", help);
        stand_in
    })
}

fn tls_paths(written: &Tls, lookup: &Lookup, notes: &mut Notes<'_>) -> TlsPaths {
    let mut file = |written: &str, name: &'static str| {
        let place = ["listen".into(), "tls".into(), name.into()];
        if written.is_empty() {
            notes.error(&place, format!("`listen.tls` has no `{name}`"), "name a PEM file");
            return PathBuf::new();
        }
        let path = resolved_path(written, &place, lookup, notes);
        if let Err(error) = std::fs::File::open(&path) {
            notes.error(&place, format!("{} cannot be read: {error}", path.display()), "name a PEM file");
        } else if name == "key" && disk::is_world_readable(&path) {
            let help = format!("run `chmod 600 {}`", path.display());
            notes.warning(&place, "every user of this machine can read this private key", help);
        }
        path
    };
    TlsPaths { cert: file(&written.cert, "cert"), key: file(&written.key, "key") }
}

fn runtime(written: &Config) -> RuntimeSettings {
    let driver = match written.runtime.driver {
        Driver::Auto => DriverChoice::Auto,
        Driver::IoUring => DriverChoice::IoUring,
        Driver::Epoll => DriverChoice::Epoll,
    };
    RuntimeSettings { driver, shards: size(u64::from(written.runtime.shards)), pin: written.runtime.pin }
}

fn limits(written: &Config) -> LimitSettings {
    LimitSettings {
        body_max: size(written.limits.body_max_bytes),
        answer_max: size(written.limits.answer_max_bytes),
        call_timeout: Duration::from_millis(written.limits.call_timeout_ms),
        connections_per_shard_max: size(written.limits.connections_per_shard_max),
        streams_per_key_max: size(written.limits.streams_per_key_max),
    }
}

/// A number that `ranges` has found within its bounds, as a size.
pub(super) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn journal(written: &Journal, state: &StateDir, lookup: &Lookup, notes: &mut Notes<'_>) -> JournalSettings {
    let mut named = |written: &Option<String>, name: &'static str| {
        written.as_ref().map(|written| path(written, &["journal", name], lookup, notes))
    };
    let directory = named(&written.directory, "directory").unwrap_or_else(|| state.journal_dir());
    let ring_directory = named(&written.ring_directory, "ring_directory").unwrap_or_else(|| default_ring_dir(state));
    let commit = Duration::from_millis(written.commit_ms);
    JournalSettings { directory, ring_directory, commit, segment_bytes: written.segment_bytes }
}

/// The unit's runtime directory, else one in shared memory that only gates on the same state directory share.
fn default_ring_dir(state: &StateDir) -> PathBuf {
    let unit = std::env::var("RUNTIME_DIRECTORY").ok().and_then(|all| all.split(':').next().map(PathBuf::from));
    unit.filter(|path| path.is_absolute()).unwrap_or_else(|| {
        let absolute = std::path::absolute(state.path()).unwrap_or_else(|_| state.path().into());
        let digest = Sha256::digest(absolute.as_os_str().as_encoded_bytes());
        Path::new("/dev/shm").join(format!("tollgate-{}", state::hex(&digest[..8])))
    })
}

fn path(written: &str, place: &[&str; 2], lookup: &Lookup, notes: &mut Notes<'_>) -> PathBuf {
    resolved_path(written, &[place[0].into(), place[1].into()], lookup, notes)
}

/// A path with its references read, absolute.
pub(super) fn resolved_path(written: &str, place: &[Step<'_>], lookup: &Lookup, notes: &mut Notes<'_>) -> PathBuf {
    match lookup.resolve(written) {
        Ok(resolved) if resolved.unread.is_none() && resolved.value.is_empty() => {
            notes.error(place, "the path is empty", "name one, or leave the key out")
        }
        Ok(resolved) => return lookup.path(&resolved.value),
        Err(error) => notes.error(place, error.what, error.help),
    }
    PathBuf::new()
}
