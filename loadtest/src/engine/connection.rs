//! One client connection: opened when it is needed, one request in flight, its answer read and judged.

use super::plan::Plan;
use crate::order::Era;
use crate::scenario::Reading;
use crate::trouble::Trouble;
use crate::wire::{Asked, Broken, Found, Id, Reader, Session, judge, judge_strictly};
use std::sync::Arc;
use std::time::Duration;
use tollgate::base::clock::{Clock, Instant};
use tollgate::rt::net::TcpStream;
use tollgate::rt::stream::Stream as _;
use tollgate::rt::time;

/// A connection that has idled as long as this is looked at before it is used: servers close idle ones.
const STALE: Duration = Duration::from_secs(1);

/// Why a request got no good answer, with words on it.
#[derive(Clone, Debug)]
pub(super) struct Bad {
    /// The kind.
    pub(super) trouble: Trouble,
    /// For people.
    pub(super) words: String,
}

/// A bad answer or none.
fn bad(trouble: Trouble, words: impl Into<String>) -> Bad {
    Bad { trouble, words: words.into() }
}

/// What an exchange saw on its way.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The first byte of a stream's body.
    pub(super) first_byte: Option<Instant>,
    /// Times between a stream's events.
    pub(super) gaps: Vec<Duration>,
    /// The last event.
    last_event: Option<Instant>,
}

/// One connection, and the legacy session that lives on it.
#[derive(Debug)]
pub(super) struct Connection {
    plan: Arc<Plan>,
    stream: Option<TcpStream>,
    reader: Reader,
    out: Vec<u8>,
    /// What `out` holds: request and key.
    holds: Option<(usize, usize)>,
    /// The key that the next request carries.
    pub(super) key: usize,
    session: Session,
    has_session: bool,
    /// An answer of this connection was parsed whole.
    is_checked: bool,
    used_at: Instant,
    /// Requests since it was opened.
    requests: u64,
    /// Requests since its session was.
    session_requests: u64,
}

impl Connection {
    /// Not yet open.
    pub(super) fn new(plan: Arc<Plan>, key: usize) -> Self {
        Self {
            plan,
            stream: None,
            reader: Reader::default(),
            out: Vec::new(),
            holds: None,
            key,
            session: Session::default(),
            has_session: false,
            is_checked: false,
            used_at: Instant(0),
            requests: 0,
            session_requests: 0,
        }
    }

    /// Connects and opens a session, where that is not yet done; `ids` gives ids of requests.
    ///
    /// # Errors
    /// The server does not let us.
    pub(super) async fn ensure_open(&mut self, ids: &mut impl FnMut() -> Id) -> Result<(), Bad> {
        let is_stale = Clock::now().since(self.used_at) > STALE;
        if is_stale && self.stream.as_ref().is_some_and(tollgate::rt::stream::Stream::peek_closed) {
            self.close();
        }
        if self.stream.is_none() {
            self.connect().await?;
        }
        if self.plan.requests.era() == Era::Legacy && !self.has_session {
            self.open_session(ids).await?;
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), Bad> {
        let (address, patience) = (self.plan.address, self.plan.patience);
        let stream = time::timeout(patience, TcpStream::connect(address)).await;
        let stream = stream.map_err(|_| bad(Trouble::Timeout, format!("{address}: no connection in time")))?;
        self.stream = Some(stream.map_err(|error| bad(Trouble::Connect, format!("{address}: {error}")))?);
        self.is_checked = false;
        self.requests = 0;
        self.used_at = Clock::now();
        Ok(())
    }

    async fn open_session(&mut self, ids: &mut impl FnMut() -> Id) -> Result<(), Bad> {
        self.session = Session::default();
        self.holds = None;
        let fixed = self.plan.fixed;
        self.exchange(fixed.initialize, ids(), &mut Seen::default()).await?;
        if let Some(id) = self.reader.session() {
            self.session = Session::new(id);
        }
        self.holds = None;
        self.prepare(fixed.initialized, None);
        self.send_and_read(&mut Seen::default()).await?;
        if !(200..300).contains(&self.reader.status()) {
            let words = format!("notifications/initialized: status {}", self.reader.status());
            return Err(bad(Trouble::Http(self.reader.status()), words));
        }
        self.has_session = true;
        self.session_requests = 0;
        Ok(())
    }

    /// Ends the session with a `DELETE`; whatever is answered, it is over for us.
    pub(super) async fn end_session(&mut self) {
        if !std::mem::take(&mut self.has_session) {
            return;
        }
        let (plan, session) = (self.plan.clone(), std::mem::take(&mut self.session));
        plan.requests.write_delete(self.key, &session, &mut self.out);
        self.holds = None;
        if self.send_and_read(&mut Seen::default()).await.is_err() {
            self.close();
        }
    }

    /// Closes what the scenario wants closed after so many requests.
    pub(super) async fn end_what_is_due(&mut self) {
        if self.plan.scenario.session_requests.is_some_and(|most| self.session_requests >= most) {
            self.end_session().await;
        }
        if self.plan.scenario.reconnect_after.is_some_and(|most| self.requests >= most) {
            self.stream = None;
        }
    }

    /// Drops the connection, and with it the session.
    fn close(&mut self) {
        self.stream = None;
        self.has_session = false;
    }

    /// Writes a request into the buffer that goes out; how long it is.
    pub(super) fn prepare(&mut self, request: usize, id: Option<Id>) -> usize {
        let holds = Some((request, self.key));
        if self.holds != holds {
            self.plan.requests.write(request, self.key, &self.session, &mut self.out);
            self.holds = holds;
        }
        if let Some(id) = id {
            self.plan.requests.patch(request, id, &mut self.out);
        }
        self.out.len()
    }

    /// Sends a request and judges its answer.
    ///
    /// # Errors
    /// See [`Bad`]; after anything but a whole answer the connection is closed.
    pub(super) async fn exchange(&mut self, request: usize, id: Id, seen: &mut Seen) -> Result<(), Bad> {
        self.prepare(request, Some(id));
        self.exchange_prepared(request, id, seen).await
    }

    /// As [`Connection::exchange`], of what [`Connection::prepare`] has written.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn exchange_prepared(&mut self, request: usize, id: Id, seen: &mut Seen) -> Result<(), Bad> {
        self.requests += 1;
        self.session_requests += 1;
        self.send_and_read(seen).await?;
        let requests = &self.plan.requests;
        let asked = Asked { method: requests.get(request).method, id, era: requests.era() };
        let (status, body) = (self.reader.status(), self.reader.body());
        let judged = if std::mem::replace(&mut self.is_checked, true) {
            judge(&asked, status, body)
        } else {
            judge_strictly(&asked, status, body)
        };
        // The server has forgotten the session: the next request opens another.
        if status == 404 && self.plan.requests.era() == Era::Legacy {
            self.has_session = false;
        }
        judged.map_err(|(trouble, words)| bad(trouble, words))
    }

    async fn send_and_read(&mut self, seen: &mut Seen) -> Result<(), Bad> {
        let patience = self.plan.patience;
        let done = match time::timeout(patience, self.talk(seen)).await {
            Ok(done) => done,
            Err(_) => Err(bad(Trouble::Timeout, format!("no whole answer in {patience:?}"))),
        };
        self.used_at = Clock::now();
        // A session outlives a connection that the server closes after an answer.
        if done.is_err() || self.reader.closes() {
            self.stream = None;
        }
        if done.is_err() {
            self.has_session = false;
        }
        done
    }

    async fn talk(&mut self, seen: &mut Seen) -> Result<(), Bad> {
        self.send().await?;
        loop {
            match self.reader.advance() {
                Ok(Found::Answer) => return Ok(()),
                Ok(Found::Event) => seen.event(),
                Ok(Found::More) => self.read().await?,
                Err(broken) => return Err(broken_answer(broken)),
            }
            if seen.first_byte.is_none() && self.reader.is_stream() {
                seen.first_byte = Some(Clock::now());
            }
        }
    }

    /// Sends what is written, and makes ready to read its answer.
    async fn send(&mut self) -> Result<(), Bad> {
        let Some(stream) = &mut self.stream else {
            return Err(bad(Trouble::Closed, "the connection is closed"));
        };
        let (written, out) = stream.write_all(std::mem::take(&mut self.out)).await;
        self.out = out;
        written.map_err(|error| bad(Trouble::Closed, format!("while sending: {error}")))?;
        self.reader.begin();
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Bad> {
        let Some(stream) = &mut self.stream else {
            return Err(bad(Trouble::Closed, "the connection is closed"));
        };
        let buf = self.reader.take();
        let (read, buf) = match self.plan.reading() {
            Reading::Eager => stream.read(buf).await,
            Reading::Sips { bytes, pause } => sip(stream, buf, bytes, pause).await,
        };
        let read = read.map_err(|error| bad(Trouble::Closed, format!("while reading: {error}")))?;
        self.reader.give(buf, read);
        Ok(())
    }

    /// Opens an idle stream on this connection, and gives the socket: modern by `subscriptions/listen`, legacy by a
    /// GET of the session.
    ///
    /// # Errors
    /// It is not answered with a stream.
    pub(super) async fn into_stream(mut self, id: Id) -> Result<TcpStream, Bad> {
        let plan = self.plan.clone();
        match plan.requests.era() {
            Era::Modern => drop(self.prepare(plan.fixed.listen, Some(id))),
            Era::Legacy => plan.requests.write_get(self.key, &self.session, &mut self.out),
        }
        match time::timeout(plan.patience, self.read_stream_head()).await {
            Ok(done) => done?,
            Err(_) => return Err(bad(Trouble::Timeout, "the stream was not answered in time")),
        }
        self.stream.take().ok_or_else(|| bad(Trouble::Closed, "the stream ended at once"))
    }

    async fn read_stream_head(&mut self) -> Result<(), Bad> {
        self.send().await?;
        while self.reader.status() == 0 {
            self.read().await?;
            self.reader.advance().map_err(broken_answer)?;
        }
        match self.reader.status() {
            200 if self.reader.is_stream() => Ok(()),
            status => Err(bad(Trouble::Http(status), "a stream was asked for and not given")),
        }
    }

    /// Bytes of the last answer.
    pub(super) fn bytes_in(&self) -> u64 {
        self.reader.bytes()
    }

    /// The last answer's body.
    pub(super) fn body(&self) -> &[u8] {
        self.reader.body()
    }
}

impl Seen {
    fn event(&mut self) {
        let now = Clock::now();
        if let Some(last) = self.last_event.replace(now) {
            self.gaps.push(now.since(last));
        }
    }
}

/// Reads a few bytes, then rests.
async fn sip(
    stream: &mut TcpStream,
    mut buf: Vec<u8>,
    bytes: usize,
    pause: Duration,
) -> (std::io::Result<usize>, Vec<u8>) {
    let (read, some) = stream.read(Vec::with_capacity(bytes)).await;
    buf.extend_from_slice(&some);
    time::sleep(pause).await;
    (read, buf)
}

fn broken_answer(broken: Broken) -> Bad {
    match broken {
        Broken::Closed => bad(Trouble::Closed, "the connection ended before the answer did"),
        Broken::Malformed(words) => bad(Trouble::Malformed, words),
    }
}
