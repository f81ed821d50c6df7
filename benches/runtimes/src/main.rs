//! What a proxied request costs on each runtime: `proxy RUNTIME UPSTREAM`, and the `upstream` and `load` around it.
//!
//! | file | what |
//! |---|---|
//! | `message.rs` | where an HTTP message ends |
//! | `relay.rs` | the proxy loop, the same for every runtime, over the few operations of [`relay::Wire`] |
//! | `proxy/` | those operations, one file a runtime |
//! | `upstream.rs`, `load.rs` | the server behind and the clients in front, the same for every runtime |

mod load;
mod message;
mod proxy;
mod relay;
mod upstream;

use std::io;
use std::process::ExitCode;

const USAGE: &str = "usage: runtimes proxy monoio-uring|monoio-epoll|glommio|tokio UPSTREAM
       runtimes upstream
       runtimes load ADDRESS CONNECTIONS SECONDS PID";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["proxy", runtime, upstream] => proxy::run(runtime, upstream),
        ["upstream"] => upstream::run(),
        ["load", address, connections, seconds, pid] => load::run(address, connections, seconds, pid),
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runtimes: error: {error}");
            ExitCode::FAILURE
        }
    }
}
