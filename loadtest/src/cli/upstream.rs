//! `tollgate-load upstream`: the built-in MCP server.

use crate::failure::Failure;
use crate::stage::descriptors;
use crate::upstream::{self, Eras, Offer, Service};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `upstream`.
#[derive(Debug, Args)]
pub struct UpstreamArgs {
    /// Where to listen; port 0 takes a free one. Standard output says the URL once it answers
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Speak over standard input and output instead
    #[arg(long, conflicts_with_all = ["listen", "cores"])]
    stdio: bool,
    /// Pin one thread to each of these cores; without it, one thread runs anywhere
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    cores: Vec<usize>,
    /// Tools to serve: a JSON file `{"tools":[…]}`, or a folder of such files
    #[arg(long, value_name = "PATH", conflicts_with = "tools")]
    catalog: Option<PathBuf>,
    /// Tools to generate, always the same
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    tools: usize,
    /// Tools on one page of a list; 0: all on one
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    page: usize,
    /// Milliseconds before each tool answers
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay_ms: u64,
    /// Bytes of text that each tool answers
    #[arg(long, value_name = "BYTES", default_value_t = 200)]
    answer_bytes: usize,
    /// Protocol eras it speaks
    #[arg(long, value_enum, default_value_t = Eras::Both)]
    eras: Eras,
}

pub(super) fn run(args: &UpstreamArgs) -> Result<(), Failure> {
    let definitions = match &args.catalog {
        Some(path) => upstream::read(path)?,
        None => upstream::generate(args.tools),
    };
    let delay = Duration::from_millis(args.delay_ms);
    let (page, answer_bytes, eras) = (args.page, args.answer_bytes, args.eras);
    let service = Service::new(Offer { definitions, page, delay, answer_bytes, eras });
    if args.stdio {
        return upstream::serve_stdio(service);
    }
    descriptors::raise()?;
    let running = upstream::start(service, args.listen, &args.cores)?;
    println!("http://{}/mcp", running.address);
    running.wait();
    Err(Failure::new("the built-in server: its threads have ended"))
}
