//! The command line as a client of a running gate: one request over the admin socket of the state directory.

use crate::base::error::{Error, Kind, Result};
use crate::config::state::StateDir;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Longest wait for the gate.
const WAIT: Duration = Duration::from_secs(30);
/// Longest answer, in bytes.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;
/// Most headers of an answer.
const HEADERS_MAX: usize = 32;

/// Asks the gate that runs on a state directory; nothing where none does.
///
/// # Errors
/// What the gate says, or why it cannot be asked.
pub(crate) fn ask<T: DeserializeOwned>(state: &StateDir, method: &str, path: &str) -> Result<Option<T>> {
    let socket = state.admin_socket();
    let in_place = |error: std::io::Error| Error::from(error).at(&socket.display().to_string());
    let mut stream = match UnixStream::connect(&socket) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let what = "only root and the gate's own user may use it: try with sudo";
            return Err(Error::new(Kind::Forbidden, what).at(&socket.display().to_string()));
        }
        Err(error) => return Err(in_place(error)),
    };
    stream.set_read_timeout(Some(WAIT)).and_then(|()| stream.set_write_timeout(Some(WAIT))).map_err(in_place)?;
    let head = format!("{method} {path} HTTP/1.1\r\nhost: tollgate\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(in_place)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).map_err(in_place)?;
    let (status, body) = parse(&answer).ok_or_else(|| odd("is no HTTP"))?;
    if status >= 300 {
        return Err(refused(status, body));
    }
    serde_json::from_slice(body).map(Some).map_err(|error| odd(&error.to_string()))
}

/// A segment of a path: everything but letters, digits and `-._~` percent-encoded.
pub(crate) fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(at) = head.parse(answer).ok()? else { return None };
    Some((head.code?, &answer[at..]))
}

fn refused(status: u16, body: &[u8]) -> Error {
    let kind = match status {
        404 => Kind::NotFound,
        400 => Kind::InvalidParams,
        401 | 403 => Kind::Forbidden,
        422 => Kind::Config,
        _ => Kind::Internal,
    };
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = problem["detail"].as_str().map_or_else(|| format!("the gate answered {status}"), str::to_owned);
    let findings = problem["findings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Error::new(kind, std::iter::once(&*detail).chain(findings).collect::<Vec<_>>().join("\n"))
}

fn odd(what: &str) -> Error {
    Error::new(Kind::BadAnswer, format!("the gate's answer {what}: is it of another version?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gate_says_is_read() {
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 14\r\n\r\n{\"detail\":\"x\"}";
        let (status, body) = parse(answer).expect("HTTP");
        assert_eq!((status, refused(status, body).context), (404, "x".into()));
        assert_eq!(parse(b"HTTP/1.1 200"), None);
        assert_eq!(segment("a/b c~é"), "a%2Fb%20c~%C3%A9");
    }

    #[test]
    fn where_no_gate_runs_nobody_answers() {
        let dir = tempfile::tempdir().expect("dir");
        let state = StateDir::new(dir.path());
        assert!(ask::<Value>(&state, "GET", "/v1/state").expect("no gate").is_none());
        drop(std::os::unix::net::UnixListener::bind(state.admin_socket()).expect("socket"));
        assert!(ask::<Value>(&state, "GET", "/v1/state").expect("a dead gate").is_none());
    }
}
