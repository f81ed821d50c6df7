//! A gate with one shard, a key and its journal, as a measurement needs it.

use super::process::{Process, Spec};
use super::ready;
use crate::failure::Failure;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Patience until it has listed its servers.
const READY: Duration = Duration::from_secs(60);
/// Folder of tmpfs where the journal's ring lies, as on a machine where it is set up well.
const SHARED_MEMORY: &str = "/dev/shm";
/// What the one server behind it is called; its tools are `fake__…`.
pub const SERVER: &str = "fake";

/// Path of its MCP endpoint.
pub const PATH: &str = "/mcp";

/// What a gate needs to be started.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The `tollgate` binary.
    pub binary: &'a Path,
    /// A folder of its own: configuration, state, log.
    pub folder: &'a Path,
    /// The cores it may use.
    pub cores: Vec<usize>,
    /// What stands under `[servers.fake]`, as TOML: `url = "…"`, or `command` and `args`.
    pub server: String,
    /// Keys to make; at least one.
    pub keys: usize,
}

/// A running gate.
#[derive(Debug)]
pub struct Gate {
    /// Its process.
    pub process: Process,
    /// Where clients connect.
    pub address: SocketAddr,
    /// Where its metrics are.
    pub admin: SocketAddr,
    /// Keys that may use every tool.
    pub keys: Vec<String>,
    // Removed when the gate is gone: fields are dropped in this order.
    _ring: tempfile::TempDir,
}

impl Gate {
    /// Writes its configuration, makes its keys, starts it and waits until it is ready.
    ///
    /// # Errors
    /// The binary is not there, refuses the configuration, or does not get ready.
    pub fn start(wanted: &Wanted<'_>) -> Result<Self, Failure> {
        let [address, admin] = free_addresses()?;
        let ring = ring_folder()?;
        let config = wanted.folder.join("tollgate.toml");
        let text = configuration(address, admin, ring.path(), &wanted.server);
        fs::write(&config, text).map_err(|e| Failure::new(format!("{}: {e}", config.display())))?;
        let made = (0..wanted.keys).map(|number| key(wanted.binary, &config, number));
        let keys: Vec<_> = made.collect::<Result<_, _>>()?;
        let args = ["--log", "warn", "serve", "--config"].map(str::to_owned).into_iter();
        let args = args.chain([config.display().to_string()]).collect();
        let (program, cores, folder) = (wanted.binary, wanted.cores.clone(), wanted.folder);
        let mut process = Process::start(&Spec { name: "gate", program, args, cores, folder })?;
        let tool = format!("{SERVER}__echo");
        let key = keys.first().map(String::as_str);
        process.until(READY, "the list of its tools", || ready::lists(address, PATH, key, &tool))?;
        Ok(Self { process, address, admin, keys, _ring: ring })
    }
}

fn configuration(address: SocketAddr, admin: SocketAddr, ring: &Path, server: &str) -> String {
    let ring = ring.display();
    format!(
        "[listen]\naddress = \"{address}\"\n\n[admin]\naddress = \"{admin}\"\n\n[runtime]\nshards = 1\n\n\
         [state]\ndirectory = \"state\"\n\n[journal]\nring_directory = \"{ring}\"\n\n[servers.{SERVER}]\n{server}\n"
    )
}

/// Two addresses of loopback that are free now.
fn free_addresses() -> Result<[SocketAddr; 2], Failure> {
    let failed = |e: std::io::Error| Failure::new(format!("no free port on 127.0.0.1: {e}"));
    // Both are held until both are known.
    let held = [TcpListener::bind("127.0.0.1:0").map_err(failed)?, TcpListener::bind("127.0.0.1:0").map_err(failed)?];
    Ok([held[0].local_addr().map_err(failed)?, held[1].local_addr().map_err(failed)?])
}

fn ring_folder() -> Result<tempfile::TempDir, Failure> {
    let place = if Path::new(SHARED_MEMORY).is_dir() { PathBuf::from(SHARED_MEMORY) } else { std::env::temp_dir() };
    let made = tempfile::Builder::new().prefix("tollgate-load-").tempdir_in(&place);
    made.map_err(|e| Failure::new(format!("{}: {e}", place.display())))
}

/// Makes a key that may use every tool.
fn key(binary: &Path, config: &Path, number: usize) -> Result<String, Failure> {
    let failed = |what: &dyn std::fmt::Display| Failure::new(format!("{} key new: {what}", binary.display()));
    let mut command = Command::new(binary);
    command.args(["key", "new", &format!("load-{number}"), "--allow", "*/*", "--config"]).arg(config);
    let output = command.output().map_err(|e| failed(&e))?;
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr).trim()));
    }
    let key = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if key.is_empty() { Err(failed(&"it printed no key")) } else { Ok(key) }
}

/// The `tollgate` binary beside this one.
///
/// # Errors
/// There is none.
pub fn beside() -> Result<PathBuf, Failure> {
    let ours = std::env::current_exe().map_err(|e| Failure::new(format!("the path of this program: {e}")))?;
    let binary = ours.with_file_name("tollgate");
    match binary.is_file() {
        true => Ok(binary),
        false => {
            let place = binary.display();
            Err(Failure::usage(format!("{place}: not there; build it (cargo build --release) or name one with --gate")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_free_addresses_differ() {
        let [a, b] = free_addresses().unwrap();
        assert_ne!(a, b);
    }
}
