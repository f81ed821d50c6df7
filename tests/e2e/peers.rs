//! Real clients and servers as processes: where `tests/setup` put them, how they start, how a client is driven.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What servers may ask of clients, as lines of a server's table; nothing while the gate carries no questions.
pub(crate) const POLICY: &str = "sampling = true\nroots = true\n";

/// The folder of tests.
pub(crate) fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// What `tests/setup` installed. Fails loudly where it has not run.
pub(crate) fn installed(path: &str) -> PathBuf {
    let cache = tests().join(".cache");
    assert!(cache.join("stamp").is_file(), "tests/.cache is not filled: run tests/setup first");
    let path = cache.join(path);
    assert!(path.exists(), "{} is missing: run tests/setup", path.display());
    path
}

pub(crate) fn node() -> PathBuf {
    installed("bin/node")
}

/// A server process; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    /// Starts a server that prints `{"url": …}` once it listens.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(tests()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let hello: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {line}"));
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self { child, url: hello["url"].as_str().unwrap().to_owned() }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        let port = self.url.rsplit(':').next().and_then(|rest| rest.split('/').next());
        SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap().parse().unwrap()))
    }

    /// Our dual-era fixture.
    pub(crate) fn everything(era: &str) -> Self {
        Self::start(&node(), &["fixtures/everything.mjs", "--era", era])
    }

    /// The TypeScript SDK v2 as a server, 2026-07-28 only.
    pub(crate) fn ts_modern() -> Self {
        Self::start(&node(), &["fixtures/ts_modern.mjs"])
    }

    /// The Python SDK 2 as a server, both eras.
    pub(crate) fn py_server() -> Self {
        let port = crate::gate::free_address().port().to_string();
        let server = Self::start(&installed("modern/bin/python"), &["fixtures/py_server.py", &port]);
        wait_for_port(port.parse().unwrap());
        server
    }

    /// npm's server-everything over Streamable HTTP, legacy.
    pub(crate) fn npm_everything() -> Self {
        Self::npm_everything_on("streamableHttp", "mcp")
    }

    /// npm's server-everything over HTTP+SSE, the transport of 2024-11-05.
    pub(crate) fn npm_everything_sse() -> Self {
        Self::npm_everything_on("sse", "sse")
    }

    fn npm_everything_on(transport: &str, path: &str) -> Self {
        let port = crate::gate::free_address().port();
        let mut command = Command::new(node());
        command.arg(npm_program("server-everything")).arg(transport).env("PORT", port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        wait_for_port(port);
        Self { child, url: format!("http://127.0.0.1:{port}/{path}") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for_port(port: u16) {
    crate::gate::eventually("a server listens", Duration::from_secs(30), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
}

/// The entry point of an official npm server.
pub(crate) fn npm_program(name: &str) -> String {
    let path = installed("npm/node_modules/@modelcontextprotocol").join(name).join("dist/index.js");
    assert!(path.is_file(), "{} is missing: run tests/setup", path.display());
    path.to_str().unwrap().to_owned()
}

/// An official client, as a driver of `tests/clients`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    PyModern,
    PyLegacy,
    TsV2,
    TsV1,
    Inspector,
}

impl Driver {
    fn command(self) -> Command {
        let (program, script) = match self {
            Self::PyModern => (installed("modern/bin/python"), "py_modern.py"),
            Self::PyLegacy => (installed("legacy/bin/python"), "py_legacy.py"),
            Self::TsV2 => (node(), "ts_v2.mjs"),
            Self::TsV1 => (node(), "ts_v1.mjs"),
            Self::Inspector => (node(), "inspector.mjs"),
        };
        let mut command = Command::new(program);
        command.arg(tests().join("clients").join(script));
        command
    }

    /// Runs a job of `tests/clients/README.md` and gives its report.
    pub(crate) fn drive(self, job: &Value) -> Value {
        let from = Instant::now();
        let mut command = self.command();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(job.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let report = out.lines().last().and_then(|line| serde_json::from_str(line).ok());
        let tail = &err[err.char_indices().rev().nth(4000).map_or(0, |(at, _)| at)..];
        println!("{self:?} {}: {:?}", job["era"], from.elapsed());
        report.unwrap_or_else(|| panic!("{self:?} in era {}: {}: {out}\n{tail}", job["era"], output.status))
    }
}

/// A job for a driver at a URL. The era "sse" is the legacy one over its older transport.
pub(crate) fn job(url: &str, key: Option<&str>, era: &str, calls: &[Value]) -> Value {
    let (era, transport) = if era == "sse" { ("legacy", "sse") } else { (era, "http") };
    json!({"url": url, "key": key, "era": era, "transport": transport, "calls": calls})
}
