//! Reads one HTTP answer after another from whatever pieces the socket gives. A short answer with a length costs one
//! look at its head and no copy.

use super::chunks::Chunks;
use tollgate::wire::sse::Decoder;

/// Most headers of an answer that are looked at.
const HEADERS_MAX: usize = 64;
/// Longest head that is believed, in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// Room that a read is given at least, in bytes.
const ROOM: usize = 16 * 1024;
/// Longest event of a stream, in bytes.
const EVENT_MAX: usize = 64 * 1024 * 1024;

/// The answer is no HTTP, or ends too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It is not what HTTP or SSE allow; in words.
    Malformed(&'static str),
    /// The connection ended within it.
    Closed,
}

/// What [`Reader::advance`] came upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing whole yet: read more.
    More,
    /// An event of a stream, in [`Reader::event`].
    Event,
    /// The whole answer, in [`Reader::body`].
    Answer,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(usize),
    Chunked(Chunks),
    UntilClose,
}

#[derive(Clone, Debug)]
struct Head {
    status: u16,
    framing: Framing,
    is_stream: bool,
    closes: bool,
    session: Option<String>,
}

/// Reads the answers of one connection.
#[derive(Debug)]
pub struct Reader {
    /// What was read, from the first byte of the current answer on (after the head of a coded one: what is not yet
    /// decoded).
    buf: Vec<u8>,
    head: Option<Head>,
    /// Where in `buf` the body lies, of an answer with a length.
    body_at: usize,
    /// A decoded body.
    decoded: Vec<u8>,
    sse: Option<Decoder>,
    event: Vec<u8>,
    /// The event that answers, of a stream.
    reply: Vec<u8>,
    has_ended: bool,
    is_done: bool,
    bytes: u64,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            buf: Vec::with_capacity(ROOM),
            head: None,
            body_at: 0,
            decoded: Vec::new(),
            sse: None,
            event: Vec::new(),
            reply: Vec::new(),
            has_ended: false,
            is_done: false,
            bytes: 0,
        }
    }
}

impl Reader {
    /// Forgets the last answer; the next begins.
    pub fn begin(&mut self) {
        self.buf.clear();
        self.head = None;
        self.decoded.clear();
        self.sse = None;
        self.reply.clear();
        self.has_ended = false;
        self.is_done = false;
        self.bytes = 0;
    }

    /// The buffer to append the next bytes to; give it back with [`Reader::give`].
    pub fn take(&mut self) -> Vec<u8> {
        let mut buf = std::mem::take(&mut self.buf);
        buf.reserve(self.wanted().saturating_sub(buf.len()).max(ROOM / 4));
        buf
    }

    /// Bytes that `buf` will hold at the end of the answer, as far as they are known.
    fn wanted(&self) -> usize {
        match self.head.as_ref().map(|head| head.framing) {
            Some(Framing::Length(length)) => self.body_at + length,
            _ => ROOM,
        }
    }

    /// Gives the buffer back; `read` bytes were appended, 0: the connection has ended.
    pub fn give(&mut self, buf: Vec<u8>, read: usize) {
        self.buf = buf;
        self.bytes += read as u64;
        self.has_ended |= read == 0;
    }

    /// Looks at what is there.
    ///
    /// # Errors
    /// See [`Broken`]; the connection is of no further use.
    pub fn advance(&mut self) -> Result<Found, Broken> {
        if self.is_done {
            return Ok(Found::Answer);
        }
        if self.head.is_none() && !self.read_head()? {
            return if self.has_ended { Err(Broken::Closed) } else { Ok(Found::More) };
        }
        let is_whole = self.decode()?;
        if self.next_event() {
            return Ok(Found::Event);
        }
        match (is_whole, self.has_ended) {
            (true, _) => {
                self.is_done = true;
                Ok(Found::Answer)
            }
            (false, true) => Err(Broken::Closed),
            (false, false) => Ok(Found::More),
        }
    }

    /// Takes what is there of the body; whether it is whole.
    fn decode(&mut self) -> Result<bool, Broken> {
        let Some(head) = &mut self.head else { return Ok(false) };
        match &mut head.framing {
            Framing::Length(length) if !head.is_stream => match (self.buf.len() - self.body_at).cmp(length) {
                std::cmp::Ordering::Less => Ok(false),
                std::cmp::Ordering::Equal => Ok(true),
                std::cmp::Ordering::Greater => Err(Broken::Malformed("bytes after the answer")),
            },
            Framing::Length(length) => {
                let some = self.buf.len().min(*length);
                *length -= some;
                let is_whole = *length == 0;
                feed(&mut self.sse, &mut self.decoded, &self.buf[..some])?;
                self.buf.drain(..some);
                Ok(is_whole)
            }
            Framing::Chunked(chunks) => {
                let from = self.decoded.len();
                let used = chunks.decode(&self.buf, &mut self.decoded).ok_or(Broken::Malformed("a chunk"))?;
                let is_whole = chunks.is_done();
                self.buf.drain(..used);
                if is_whole && !self.buf.is_empty() {
                    return Err(Broken::Malformed("bytes after the answer"));
                }
                if let Some(sse) = &mut self.sse {
                    sse.push(&self.decoded[from..]).map_err(|_| Broken::Malformed("an endless event"))?;
                    self.decoded.clear();
                }
                Ok(is_whole)
            }
            Framing::UntilClose => {
                feed(&mut self.sse, &mut self.decoded, &self.buf)?;
                self.buf.clear();
                Ok(self.has_ended)
            }
        }
    }

    fn next_event(&mut self) -> bool {
        let Some(sse) = &mut self.sse else { return false };
        while let Some(event) = sse.next() {
            if event.data.is_empty() {
                continue;
            }
            self.event = event.data;
            if !is_notification(&self.event) {
                self.reply.clone_from(&self.event);
            }
            return true;
        }
        false
    }

    /// Reads the head if it is whole; skips interim answers.
    fn read_head(&mut self) -> Result<bool, Broken> {
        loop {
            let Some((head, length)) = parse_head(&self.buf)? else { return Ok(false) };
            if (100..200).contains(&head.status) {
                self.buf.drain(..length);
                continue;
            }
            let in_place = matches!(head.framing, Framing::Length(_)) && !head.is_stream;
            self.body_at = if in_place { length } else { 0 };
            if !in_place {
                self.buf.drain(..length);
            }
            self.sse = head.is_stream.then(|| Decoder::with_max(EVENT_MAX));
            self.head = Some(head);
            return Ok(true);
        }
    }

    /// The status; 0 before the head is read.
    pub fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, |head| head.status)
    }

    /// Whether the answer is a stream of events.
    pub fn is_stream(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.is_stream)
    }

    /// Whether the server closes the connection after this answer.
    pub fn closes(&self) -> bool {
        self.has_ended || self.head.as_ref().is_some_and(|head| head.closes)
    }

    /// The session that the answer opens.
    pub fn session(&self) -> Option<&str> {
        self.head.as_ref().and_then(|head| head.session.as_deref())
    }

    /// The event that [`Found::Event`] told of.
    pub fn event(&self) -> &[u8] {
        &self.event
    }

    /// The body of the whole answer; of a stream, the event that is no notification.
    pub fn body(&self) -> &[u8] {
        match &self.head {
            Some(Head { is_stream: true, .. }) => &self.reply,
            Some(Head { framing: Framing::Length(length), .. }) => {
                self.buf.get(self.body_at..self.body_at + length).unwrap_or_default()
            }
            _ => &self.decoded,
        }
    }

    /// Bytes read of the current answer, its head included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn feed(sse: &mut Option<Decoder>, decoded: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Broken> {
    match sse {
        Some(sse) => sse.push(bytes).map_err(|_| Broken::Malformed("an endless event")),
        None => {
            decoded.extend_from_slice(bytes);
            Ok(())
        }
    }
}

/// A message with a method, and before any result or error: the server's notification or request, not its answer.
fn is_notification(message: &[u8]) -> bool {
    let at = |key: &[u8]| memchr::memmem::find(message, key).unwrap_or(usize::MAX);
    let method = at(b"\"method\"");
    method != usize::MAX && method < at(b"\"result\"").min(at(b"\"error\""))
}

/// The head at the start of `bytes` and its length, if it is whole.
fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Broken> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_MAX => return Err(Broken::Malformed("an endless head")),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Broken::Malformed("not HTTP")),
    };
    let status = response.code.unwrap_or(0);
    let mut head = Head { status, framing: Framing::UntilClose, is_stream: false, closes: false, session: None };
    for header in response.headers.iter() {
        head.read(header.name, header.value)?;
    }
    if status == 204 || status == 304 || (100..200).contains(&status) {
        head.framing = Framing::Length(0);
    }
    head.closes |= matches!(head.framing, Framing::UntilClose);
    Ok(Some((head, length)))
}

impl Head {
    fn read(&mut self, name: &str, value: &[u8]) -> Result<(), Broken> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            10 if is("connection") => self.closes = value.eq_ignore_ascii_case(b"close"),
            12 if is("content-type") => self.is_stream = starts(value, b"text/event-stream"),
            14 if is("content-length") && !matches!(self.framing, Framing::Chunked(_)) => {
                self.framing = Framing::Length(decimal(value)?);
            }
            14 if is("mcp-session-id") => self.session = String::from_utf8(value.to_vec()).ok(),
            17 if is("transfer-encoding") => self.framing = Framing::Chunked(Chunks::default()),
            _ => {}
        }
        Ok(())
    }
}

fn starts(value: &[u8], with: &[u8]) -> bool {
    value.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

fn decimal(value: &[u8]) -> Result<usize, Broken> {
    let wrong = Broken::Malformed("content-length is no number");
    std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the wire in these pieces; the events and the answer it gives.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(Vec<Vec<u8>>, Reader), Broken> {
        let (mut reader, mut events) = (Reader::default(), Vec::new());
        reader.begin();
        let mut pieces = pieces.into_iter();
        loop {
            match reader.advance()? {
                Found::Answer => return Ok((events, reader)),
                Found::Event => events.push(reader.event().to_vec()),
                Found::More => {
                    let piece = pieces.next().unwrap_or_default();
                    let mut buf = reader.take();
                    buf.extend_from_slice(piece);
                    reader.give(buf, piece.len());
                }
            }
        }
    }

    /// Every split into two, and into single bytes.
    fn for_each_split(wire: &[u8], check: impl Fn(Vec<Vec<u8>>, Reader)) {
        for cut in 1..wire.len() {
            let (events, reader) = read([&wire[..cut], &wire[cut..]]).unwrap();
            assert_eq!(reader.bytes(), wire.len() as u64, "{cut}");
            check(events, reader);
        }
        let (events, reader) = read(wire.chunks(1)).unwrap();
        check(events, reader);
    }

    #[test]
    fn a_body_with_a_length_is_found_whatever_the_pieces() {
        let wire = b"HTTP/1.1 100 Continue\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 11\r\nMcp-Session-Id: abc\r\n\r\n{\"a\":\"b c\"}";
        for_each_split(wire, |events, reader| {
            assert_eq!((reader.status(), reader.body()), (200, &b"{\"a\":\"b c\"}"[..]));
            assert_eq!((events.len(), reader.session(), reader.closes()), (0, Some("abc"), false));
        });
    }

    #[test]
    fn a_chunked_body_is_put_together() {
        let wire = b"HTTP/1.1 400 X\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n2\r\n\"}\r\n0\r\n\r\n";
        for_each_split(wire, |_, reader| assert_eq!((reader.status(), reader.body()), (400, &b"{\"a\"}"[..])));
    }

    #[test]
    fn a_stream_gives_its_events_and_the_one_that_answers() {
        let progress = b"data: {\"method\":\"notifications/progress\",\"params\":{\"result\":1}}\n\n";
        let answer = b"event: message\ndata: {\"id\":1,\n data: \"result\":{\"method\":2}}\n\n".replace_line();
        let mut wire =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for part in [&progress[..], &answer] {
            wire.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            wire.extend_from_slice(part);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        for_each_split(&wire, |events, reader| {
            assert!(reader.is_stream());
            assert_eq!(events.len(), 2);
            assert_eq!(reader.body(), b"{\"id\":1,\n\"result\":{\"method\":2}}");
        });
    }

    trait ReplaceLine {
        fn replace_line(self) -> Vec<u8>;
    }

    impl<const N: usize> ReplaceLine for &[u8; N] {
        fn replace_line(self) -> Vec<u8> {
            String::from_utf8_lossy(self).replace("\n data", "\ndata").into_bytes()
        }
    }

    #[test]
    fn a_body_may_end_with_the_connection() {
        let (_, reader) = read([&b"HTTP/1.0 200 OK\r\n\r\nab"[..], b"c", b""]).unwrap();
        assert_eq!((reader.body(), reader.closes()), (&b"abc"[..], true));
    }

    #[test]
    fn what_is_broken_is_told() {
        let wires: [(&[u8], Broken); 5] = [
            (b"", Broken::Closed),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", Broken::Closed),
            (b"SSH-2.0-x\r\n\r\n", Broken::Malformed("not HTTP")),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", Broken::Malformed("bytes after the answer")),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Broken::Malformed("content-length is no number")),
        ];
        for (wire, broken) in wires {
            assert_eq!(read([wire]).err(), Some(broken), "{}", String::from_utf8_lossy(wire));
        }
    }
}
