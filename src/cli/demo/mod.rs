//! `tollgate demo`: a gate in front of two small built-in MCP servers, with a key that works at once.
//!
//! It stands on its own: no network beyond loopback, no packages, its state in a temporary directory that goes with it.

mod paste;
mod protocol;
mod server;
mod tools;

use crate::base::error::{Error, Kind, Result};
use crate::cli::serve::{self, Serving};
use crate::config::state::StateDir;
use crate::config::{Compiled, Lookup, Purpose};
use crate::policy::{Pepper, Token};
use clap::Args;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use tools::DemoServer;

/// The hidden command that the demo starts as its stdio server.
pub(crate) const SERVER_COMMAND: &str = "__demo-server";

/// Starts a gate with two small built-in servers and prints how to connect.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Print one line `{"url":…,"key":…,"admin":…}` once it answers, and nothing else.
    #[arg(long)]
    json: bool,
    /// Address and port of the gate; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// Runs the demo until it is told to stop.
///
/// # Errors
/// Whatever keeps the gate from starting.
pub(crate) fn run(args: &DemoArgs) -> Result<()> {
    let scratch = Scratch::make()?;
    let calendar = start_calendar()?;
    let (text, key) = configuration(args.listen, calendar, &scratch.0)?;
    let path = scratch.0.join("tollgate.toml");
    let compiled = Compiled::from_text(&path, &text, &Lookup::process(&scratch.0), Purpose::Serve);
    let compiled = compiled.map_err(|report| Error::new(Kind::Config, report.lines().join("\n")))?;
    let json = args.json;
    serve::run_settled(compiled, move |serving| announce(serving, &key, json))
}

/// Serves the stdio server of the demo on stdin and stdout.
///
/// # Errors
/// Where they fail.
pub(crate) fn run_server() -> Result<()> {
    server::run_stdio(DemoServer::Notes)
}

fn announce(serving: &Serving, key: &str, json: bool) {
    let url = format!("http://{}/mcp", serving.listen);
    let admin = format!("http://{}", serving.admin);
    if json {
        println!("{}", serde_json::json!({"url": url, "key": key, "admin": admin}));
        return;
    }
    println!("A gate with two servers, `notes` (stdio) and `calendar` (HTTP).\n");
    println!("  url    {url}\n  key    {key}\n  health {admin}/readyz\n");
    print!("{}", paste::entries(&url, key));
    println!("\nCtrl-C ends it.");
}

/// A directory that is gone once the demo ends.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tollgate-demo-{}", std::process::id()));
        StateDir::new(&path).create()?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What remains is small, in the temporary directory, and nobody's secret any more.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The demo's configuration and the token of its one key.
fn configuration(listen: SocketAddr, calendar: SocketAddr, scratch: &Path) -> Result<(String, String)> {
    let own = std::env::current_exe()?;
    let token = Token::generate();
    let mac = Pepper::new(&mut StateDir::new(scratch).pepper()?).mac(&token.presented());
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let text = format!(
        "[listen]\naddress = \"{listen}\"\n[admin]\naddress = \"127.0.0.1:0\"\n[state]\ndirectory = {state}\n\
         [servers.notes]\ncommand = {own}\nargs = [\"{SERVER_COMMAND}\"]\n\
         [servers.calendar]\nurl = \"http://{calendar}/mcp\"\n\
         [[keys]]\nid = \"{id}\"\nname = \"demo\"\nmac = \"{mac}\"\nallow = [\"*/*\"]\n",
        state = quoted(&scratch.to_string_lossy()),
        own = quoted(&own.to_string_lossy()),
        id = token.id(),
        mac = mac.to_hex(),
    );
    Ok((text, token.reveal().to_owned()))
}

/// Starts the HTTP server of the demo on a thread and a free port of its own.
fn start_calendar() -> Result<SocketAddr> {
    let (told, wait) = sync_channel(1);
    std::thread::Builder::new().name("calendar".into()).spawn(move || {
        let told_error = told.clone();
        if let Err(error) = serve_calendar(move |address| drop(told.send(Ok(address)))) {
            drop(told_error.send(Err(Error::from(error))));
        }
    })?;
    wait.recv().map_err(|_| Error::new(Kind::Internal, "the demo's own server ended before it listened"))?
}

fn serve_calendar(listening: impl FnOnce(SocketAddr)) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        listening(listener.local_addr()?);
        axum::serve(listener, server::router(DemoServer::Calendar)).await
    })
}
