//! Arguments → command → exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // Before anything starts a thread: this process is then the guard of one stdio server.
    if args.next().is_some_and(|name| name == tollgate::rt::guard::COMMAND) {
        return tollgate::rt::guard::run(args);
    }
    tollgate::cli::main()
}
