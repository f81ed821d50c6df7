//! Servers that are child processes: newline-delimited JSON over standard input and output.
//!
//! | file | what it holds |
//! |---|---|
//! | `lines.rs` | whole lines out of a pipe, under a bound |
//! | `process.rs` | one process: its pipes and the requests that wait |
//! | `stderr.rs` | its standard error into our log |
//! | `open.rs` | start, probe and handshake: a process that is ready to be asked |
//! | `server.rs` | the processes of one server: one for each scope or set of capabilities, restarted within bounds |

mod lines;
mod open;
mod process;
mod server;
mod stderr;
#[cfg(test)]
mod tests;

pub(super) use server::StdioServer;
