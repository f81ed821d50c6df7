//! Server-sent events, both ways (WHATWG HTML 9.2), as a machine that may be fed in any pieces.

use crate::base::error::{Error, Kind, Result, Retry, Side};
use crate::base::limits::SSE_EVENT_MAX;
use std::collections::VecDeque;

/// One event. Fields the stream did not send for it are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its type; `message` where missing.
    pub event: Option<String>,
    /// Its data: the lines joined by LF. Whether it is UTF-8 is for the reader of the data to check.
    pub data: Vec<u8>,
    /// Its id.
    pub id: Option<String>,
    /// Time to wait before reconnecting, in milliseconds.
    pub retry: Option<u64>,
}

/// Takes a stream of events apart. Bounded: one event, its unfinished line included, may hold
/// [`SSE_EVENT_MAX`] bytes unless made with another bound.
#[derive(Debug)]
pub struct Decoder {
    ready: VecDeque<Event>,
    current: Event,
    has_data: bool,
    line: Vec<u8>,
    /// The last byte seen was a CR, so an LF now belongs to it.
    after_cr: bool,
    /// Nothing but a byte order mark may have been seen.
    at_start: bool,
    last_id: Option<String>,
    retry: Option<u64>,
    event_max: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::with_max(SSE_EVENT_MAX)
    }
}

impl Decoder {
    /// A decoder with the default bound.
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder whose events may hold `event_max` bytes.
    pub fn with_max(event_max: usize) -> Self {
        Self {
            ready: VecDeque::new(),
            current: Event::default(),
            has_data: false,
            line: Vec::new(),
            after_cr: false,
            at_start: true,
            last_id: None,
            retry: None,
            event_max,
        }
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// An event is longer than the bound; events before it can still be taken, the stream is of no further use.
    pub fn push(&mut self, mut input: &[u8]) -> Result<()> {
        if self.after_cr && !input.is_empty() {
            input = input.strip_prefix(b"\n").unwrap_or(input);
            self.after_cr = false;
        }
        while let Some(end) = memchr::memchr2(b'\r', b'\n', input) {
            self.extend_line(&input[..end])?;
            self.end_line();
            let skip = match &input[end..] {
                [b'\r', b'\n', ..] => 2,
                _ => 1,
            };
            self.after_cr = input[end] == b'\r' && end + 1 == input.len();
            input = &input[end + skip..];
        }
        self.extend_line(input)
    }

    /// The next whole event.
    #[allow(clippy::should_implement_trait, reason = "more events may come after nothing")]
    pub fn next(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// The last id the stream gave, by an event or alone: what a reconnecting reader sends as `Last-Event-ID`.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The last time to wait before reconnecting that the stream gave, in milliseconds.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<()> {
        let held = self.current.data.len() + self.line.len();
        if held + bytes.len() > self.event_max {
            let words = format!("an event is longer than {} bytes", self.event_max);
            return Err(Error::new(Kind::BadAnswer, words).side(Side::Upstream).retry(Retry::Unsafe));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        let mark: &[u8] = if std::mem::take(&mut self.at_start) { b"\xef\xbb\xbf" } else { b"" };
        let text = line.strip_prefix(mark).unwrap_or(&line);
        if text.is_empty() {
            self.end_event()
        } else {
            self.field(text)
        }
        line.clear();
        self.line = line;
    }

    fn field(&mut self, text: &[u8]) {
        let (name, value) = match memchr::memchr(b':', text) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, &text[text.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => self.data(value),
            b"event" => self.current.event = Some(String::from_utf8_lossy(value).into_owned()),
            b"id" if !value.contains(&0) => self.current.id = Some(String::from_utf8_lossy(value).into_owned()),
            b"retry" => self.current.retry = number(value).or(self.current.retry),
            _ => {}
        }
    }

    fn data(&mut self, value: &[u8]) {
        if self.has_data {
            self.current.data.push(b'\n');
        }
        self.current.data.extend_from_slice(value);
        self.has_data = true;
    }

    /// An event without any data line is not one, but its id and retry count.
    fn end_event(&mut self) {
        let event = std::mem::take(&mut self.current);
        if event.id.is_some() {
            self.last_id.clone_from(&event.id);
        }
        self.retry = event.retry.or(self.retry);
        if std::mem::take(&mut self.has_data) {
            self.ready.push_back(event);
        }
    }
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    digits?.parse().ok()
}

/// Appends one event. Line ends in `data` make further data lines; characters that would end a line are left out of
/// `event` and `id`.
pub fn encode(out: &mut Vec<u8>, event: Option<&str>, id: Option<&str>, data: &[u8]) {
    out.reserve(data.len() + 32);
    push_field(out, "event: ", event);
    push_field(out, "id: ", id);
    let mut rest = data;
    while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
        push_line(out, &rest[..end]);
        let skip = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[end + skip..];
    }
    push_line(out, rest);
    out.push(b'\n');
}

/// Appends a comment line, which keeps a quiet stream alive and is no event.
pub fn encode_comment(out: &mut Vec<u8>) {
    out.extend_from_slice(b":\n\n");
}

fn push_line(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(line);
    out.push(b'\n');
}

fn push_field(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    out.extend_from_slice(name.as_bytes());
    out.extend(value.bytes().filter(|b| !matches!(b, b'\r' | b'\n' | 0)));
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &[u8]) -> Vec<Event> {
        let mut decoder = Decoder::new();
        decoder.push(text).unwrap();
        std::iter::from_fn(|| decoder.next()).collect()
    }

    fn data(text: &str) -> Event {
        Event { data: text.into(), ..Event::default() }
    }

    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(events(b"data: YHOO\ndata: +2\ndata: 10\n\n"), [data("YHOO\n+2\n10")]);
        assert_eq!(events(b"data\n\ndata\ndata\n\ndata:"), [data(""), data("\n")]);
        assert_eq!(events(b"data:test\n\ndata: test\n\n"), [data("test"), data("test")]);
        let first = Event { id: Some("1".into()), ..data("first event") };
        let second = Event { id: Some(String::new()), ..data("second event") };
        let text = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
        assert_eq!(events(text), [first, second, data(" third event")]);
    }

    #[test]
    fn every_line_end_and_a_byte_order_mark() {
        assert_eq!(events(b"\xef\xbb\xbfdata: a\r\ndata: b\rdata: c\n\r\n"), [data("a\nb\nc")]);
        let event = Event { event: Some("endpoint".into()), retry: Some(15), ..data("/m") };
        assert_eq!(events(b"event: endpoint\nretry: 15\nretry: x\nother: y\ndata: /m\n\n"), [event]);
    }

    #[test]
    fn an_id_without_data_is_no_event_but_is_remembered() {
        let mut decoder = Decoder::new();
        decoder.push(b"id: 7\nretry: 20\n\nid: a\0b\ndata\n\n").unwrap();
        assert_eq!(decoder.next(), Some(data("")));
        assert_eq!((decoder.next(), decoder.last_event_id(), decoder.retry_ms()), (None, Some("7"), Some(20)));
    }

    #[test]
    fn an_event_has_a_bound_however_it_comes() {
        for text in ["data: ", "data: a\n", ": c", "x"] {
            let mut decoder = Decoder::with_max(1000);
            decoder.push(b"data: before\n\n").unwrap();
            let pushed = (0..=1000).try_for_each(|_| decoder.push(text.as_bytes()));
            let error = pushed.unwrap_err();
            assert_eq!((error.kind, error.side), (Kind::BadAnswer, Side::Upstream));
            assert_eq!(decoder.next(), Some(data("before")));
        }
        let mut decoder = Decoder::with_max(100);
        (0..1000).try_for_each(|_| decoder.push(b"data: small\n\n")).unwrap();
    }

    #[test]
    fn what_is_encoded_decodes_the_same_however_it_is_split() {
        bolero::check!().with_type::<(Option<String>, Option<String>, Vec<Vec<u8>>, Vec<u8>)>().for_each(
            |(event, id, datas, cuts)| {
                let mut wire = Vec::new();
                datas.iter().for_each(|data| encode(&mut wire, event.as_deref(), id.as_deref(), data));
                let (mut decoder, mut at) = (Decoder::new(), 0);
                for cut in cuts.iter().map(|cut| usize::from(*cut)).chain([wire.len()]) {
                    let to = (at + cut).min(wire.len());
                    decoder.push(&wire[at..to]).unwrap();
                    at = to;
                }
                let clean = |text: &String| text.replace(['\r', '\n', '\0'], "");
                for data in datas {
                    let read = decoder.next().unwrap();
                    assert_eq!(read.data, lines(data));
                    assert_eq!((read.event, read.id), (event.as_ref().map(clean), id.as_ref().map(clean)));
                }
                assert_eq!(decoder.next(), None);
            },
        );
    }

    /// Line ends as an event stream can carry them.
    fn lines(data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, byte) in data.iter().enumerate() {
            match byte {
                b'\n' if at > 0 && data[at - 1] == b'\r' => {}
                b'\r' => out.push(b'\n'),
                other => out.push(*other),
            }
        }
        out
    }

    #[test]
    fn anything_decodes_the_same_whole_and_byte_by_byte() {
        bolero::check!().for_each(|input: &[u8]| {
            let mut decoder = Decoder::new();
            input.chunks(1).try_for_each(|piece| decoder.push(piece)).unwrap();
            let pieces: Vec<Event> = std::iter::from_fn(|| decoder.next()).collect();
            assert_eq!(pieces, events(input));
        });
    }
}
