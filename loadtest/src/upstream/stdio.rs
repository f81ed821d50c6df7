//! The same service over standard input and output: one message a line.

use super::service::{Reply, Service, What};
use crate::failure::Failure;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;
use tollgate::wire::rpc;

/// JSON-RPC code of what is no message.
const PARSE: i32 = -32700;
/// Room for a line before it is known how long it is.
const LINE_ROOM: usize = 4 * 1024;

/// Answers until standard input ends. What waits (`slow`, `progress`, `--delay-ms`) does so on a thread of its own, so
/// that other calls are answered meanwhile.
///
/// # Errors
/// Standard input or output cannot be used any more.
pub fn serve(service: Service) -> Result<(), Failure> {
    let service = Arc::new(service);
    let mut input = std::io::stdin().lock();
    let mut line = Vec::with_capacity(LINE_ROOM);
    let mut legacy = false;
    loop {
        line.clear();
        match input.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(()),
            Ok(_) if line.trim_ascii().is_empty() => {}
            Ok(_) => one(&service, &line, &mut legacy)?,
            Err(e) => return Err(Failure::new(format!("standard input: {e}"))),
        }
    }
}

fn one(service: &Arc<Service>, line: &[u8], legacy: &mut bool) -> Result<(), Failure> {
    let Some(reply) = service.answer(line, *legacy) else {
        let mut out = Vec::new();
        rpc::error(&mut out, None, PARSE, "not a JSON-RPC message", None);
        return put(out);
    };
    *legacy |= matches!(reply.what, What::Session(_));
    if reply.after.is_zero() && !matches!(reply.what, What::Progress { .. }) {
        return say(&reply);
    }
    let (service, line, legacy) = (service.clone(), line.to_vec(), *legacy);
    let later = move || {
        if let Some(reply) = service.answer(&line, legacy) {
            pause(reply.after);
            // Whoever read us is gone: the main thread learns it too and ends.
            let _ = say(&reply);
        }
    };
    let thread = std::thread::Builder::new().name("waiting-call".to_owned()).spawn(later);
    thread.map(drop).map_err(|e| Failure::new(format!("a thread for a call that waits: {e}")))
}

/// Renders and writes a reply.
fn say(reply: &Reply<'_>) -> Result<(), Failure> {
    let mut out = Vec::new();
    let id = reply.id.unwrap_or(b"null");
    match &reply.what {
        What::Accepted => return Ok(()),
        What::Result(result) => rpc::result(&mut out, id, result),
        What::Session(result) => rpc::result(&mut out, id, result),
        What::Error(_, code, message) => rpc::error(&mut out, reply.id, *code, message, None),
        What::Progress { token, events, every, result } => {
            tell(&String::from_utf8_lossy(token), *events, *every)?;
            rpc::result(&mut out, id, result);
        }
    }
    put(out)
}

fn tell(token: &str, events: u64, every: Duration) -> Result<(), Failure> {
    for event in 1..=events {
        pause(every);
        let params = format!(r#"{{"progressToken":{token},"progress":{event},"total":{events}}}"#);
        let mut out = Vec::new();
        rpc::notification(&mut out, "notifications/progress", Some(params.as_bytes()));
        put(out)?;
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a thread that does nothing else, and no runtime on it")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Writes one message as a line.
fn put(mut message: Vec<u8>) -> Result<(), Failure> {
    message.push(b'\n');
    let mut output = std::io::stdout().lock();
    output.write_all(&message).and_then(|()| output.flush()).map_err(|e| Failure::new(format!("standard output: {e}")))
}
