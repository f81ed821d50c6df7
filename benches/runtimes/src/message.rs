//! Where an HTTP message ends: its head by httparse, its body by `content-length`.

use std::io;

/// Most bytes of one message; a longer one is an error.
pub(crate) const MESSAGE_MAX: usize = 4 * 1024;
const HEADERS_MAX: usize = 32;

/// Which side speaks.
#[derive(Clone, Copy)]
pub(crate) enum From {
    Client,
    Server,
}

/// The length of the message that `bytes` begins with; nothing while its head or its body is not complete.
pub(crate) fn length(bytes: &[u8], from: From) -> io::Result<Option<usize>> {
    let mut room = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let (status, headers) = match from {
        From::Client => {
            let mut request = httparse::Request::new(&mut room);
            (request.parse(bytes), &*request.headers)
        }
        From::Server => {
            let mut response = httparse::Response::new(&mut room);
            (response.parse(bytes), &*response.headers)
        }
    };
    let httparse::Status::Complete(head) = status.map_err(io::Error::other)? else { return Ok(None) };
    let body = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body = body.map_or(Some(0), |header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
    let whole = body.and_then(|body| head.checked_add(body)).filter(|whole| *whole <= MESSAGE_MAX);
    let whole = whole.ok_or_else(|| io::Error::other("a message is too long or does not say its length"))?;
    Ok((bytes.len() >= whole).then_some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_after_its_body() {
        let request = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nok";
        for end in 0..request.len() {
            assert_eq!(length(&request[..end], From::Client).unwrap(), None);
        }
        assert_eq!(length(request, From::Client).unwrap(), Some(request.len()));
        assert_eq!(length(b"HTTP/1.1 204 No Content\r\n\r\n", From::Server).unwrap(), Some(27));
        assert!(length(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n", From::Server).is_err());
        assert!(length(b"\0", From::Client).is_err());
    }
}
