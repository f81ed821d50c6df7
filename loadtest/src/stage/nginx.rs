//! nginx as a plain reverse proxy: one worker, keep-alive on both sides, nothing logged.

use super::process::{Process, Spec};
use crate::failure::Failure;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Patience until it listens.
const READY: Duration = Duration::from_secs(20);
/// Where Debian puts it, and where other systems do.
const PLACES: &[&str] = &["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx", "/usr/local/bin/nginx"];

/// Its configuration.
const TEMPLATE: &str = include_str!("nginx.conf");

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    /// Its process.
    pub process: Process,
    /// Where clients connect.
    pub address: SocketAddr,
}

impl Nginx {
    /// Writes its configuration into a folder of its own, starts it on these cores and waits until it listens.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start(folder: &Path, to: SocketAddr, cores: Vec<usize>) -> Result<Self, Failure> {
        let program = installed()?;
        let held = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = held.map_err(|e| Failure::new(format!("no free port on 127.0.0.1: {e}")))?;
        let config = folder.join("nginx.conf");
        fs::write(&config, configuration(folder, address, to))
            .map_err(|e| Failure::new(format!("{}: {e}", config.display())))?;
        let error_log = folder.join("error.log").display().to_string();
        let args = ["-c", &config.display().to_string(), "-p", &folder.display().to_string(), "-e", &error_log];
        let args = args.map(str::to_owned).into();
        let mut process = Process::start(&Spec { name: "nginx", program: &program, args, cores, folder })?;
        process.until(READY, "its listener", || TcpStream::connect(address).is_ok())?;
        Ok(Self { process, address })
    }
}

fn installed() -> Result<PathBuf, Failure> {
    let place = PLACES.iter().map(PathBuf::from).find(|place| place.is_file());
    place.ok_or_else(|| Failure::usage("nginx is not installed; on Debian: apt-get install nginx-light"))
}

fn configuration(folder: &Path, listen: SocketAddr, to: SocketAddr) -> String {
    let listen = listen.to_string();
    TEMPLATE
        .replace("@folder@", &folder.display().to_string())
        .replace("@listen@", &listen)
        .replace("@to@", &to.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::ready;
    use crate::upstream::{Eras, Offer, Service, generate, start};

    #[test]
    fn it_passes_requests_on_where_it_is_installed() {
        let folder = tempfile::tempdir().unwrap();
        let offer =
            Offer { definitions: generate(508), page: 0, delay: Duration::ZERO, answer_bytes: 1, eras: Eras::Both };
        let to = start(Service::new(offer), "127.0.0.1:0".parse().unwrap(), &[]).unwrap().address;
        let cores = tollgate::rt::shard::cores().unwrap();
        match Nginx::start(folder.path(), to, cores) {
            Ok(nginx) => assert!(ready::lists(nginx.address, "/mcp", None, "echo")),
            Err(failure) => assert!(failure.to_string().contains("apt-get install"), "{failure}"),
        }
    }
}
