//! Which message waits for which: the handshake goes alone, requests go side by side, a cancelled one stops.
//!
//! A legacy session that the gate no longer knows is opened again with the client's own handshake, once a request: the
//! client over stdio cannot know that there is a session at all.

use super::gate::{Gate, Head, Patience, meaning};
use super::headers::{self, Learned};
use super::lines::Output;
use crate::base::buf::Piece;
use crate::base::error::{Error, Kind, Result};
use crate::base::limits::{CALL_DEADLINE_MS, STDIO_IN_FLIGHT_MAX};
use crate::rt::local::Notify;
use crate::rt::mailbox::Receiver;
use crate::rt::{task, time};
use crate::wire::rpc::{self, Envelope, Message, MessageKind};
use futures_util::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// Pauses before the stream of unrelated messages is opened again, in seconds; the last one repeats.
const REOPEN_S: [u64; 5] = [1, 2, 5, 15, 30];
/// Id of our own `tools/list`, which no client sees.
const OWN_ID: &[u8] = br#""tollgate-connect""#;

/// Relays until standard input ends and what was asked is answered.
///
/// # Errors
/// Standard output cannot be written.
pub(super) async fn run(gate: Gate, mut lines: Receiver<Vec<u8>>, out: impl Output) -> Result<()> {
    let bridge = Rc::new(Bridge::new(gate, Box::new(out)));
    while let Some(line) = lines.recv_or_end().await {
        bridge.clone().line(line.into()).await;
        if let Some(error) = bridge.broken.take() {
            return Err(error);
        }
    }
    // Who closes our input still wants the answers to what it asked.
    let _ = time::timeout(Duration::from_millis(CALL_DEADLINE_MS), bridge.drained()).await;
    bridge.end_session().await;
    bridge.broken.take().map_or(Ok(()), Err)
}

/// One client and one gate.
struct Bridge {
    gate: Gate,
    out: Box<dyn Output>,
    session: RefCell<Session>,
    learned: RefCell<Learned>,
    /// Requests in flight by their raw id.
    asked: RefCell<HashMap<Box<[u8]>, Rc<Asked>>>,
    /// Rings when a request has ended.
    ended: Notify,
    /// Why standard output cannot be written.
    broken: Cell<Option<Error>>,
}

/// What is known of the legacy session.
#[derive(Default)]
struct Session {
    id: Option<String>,
    revision: Option<String>,
    /// The client's `initialize` line, to open the session again with.
    hello: Option<Piece>,
    /// Counts up whenever the session is opened again.
    round: u64,
    streaming: bool,
}

/// A request in flight.
struct Asked {
    cancel: Notify,
    is_modern: bool,
    /// Whether input may end while it still waits.
    endless: bool,
}

/// A message to be sent.
struct Outgoing {
    line: Piece,
    /// The raw id of a request.
    id: Option<Box<[u8]>>,
    revision: Option<String>,
    headers: Vec<(String, String)>,
    patience: Patience,
    is_list: bool,
}

impl Bridge {
    fn new(gate: Gate, out: Box<dyn Output>) -> Self {
        Self {
            gate,
            out,
            session: RefCell::default(),
            learned: RefCell::default(),
            asked: RefCell::default(),
            ended: Notify::new(),
            broken: Cell::new(None),
        }
    }

    async fn line(self: Rc<Self>, line: Piece) {
        match rpc::parse(&line) {
            Ok(Message::Single(message)) => self.single(&message, line.clone()).await,
            // 2025-03-26 only; the gate judges.
            Ok(Message::Batch(_)) => self.relay(self.legacy(line.clone(), None)).await,
            Err(fault) => self.say(rpc::error_body(fault.id.as_deref(), &fault.error)),
        }
    }

    async fn single(self: Rc<Self>, message: &Envelope<'_>, line: Piece) {
        let revision = headers::revision(message);
        match (message.kind, message.method_name()) {
            (MessageKind::Request, "initialize") if revision.is_none() => self.open(message, line).await,
            (MessageKind::Request, _) => {
                if message.method_name() == "tools/call" && revision.is_some() && !self.learned.borrow().any() {
                    self.learn(message).await;
                }
                let outgoing = self.outgoing(message, line, revision);
                self.ask(outgoing, message.method_name() == "subscriptions/listen").await;
            }
            (MessageKind::Notification, "notifications/cancelled") if self.cancel(message) => {}
            (MessageKind::Notification, "notifications/initialized") if revision.is_none() => {
                self.relay(self.legacy(line, None)).await;
                self.stream();
            }
            _ => {
                let outgoing = self.outgoing(message, line, revision);
                self.relay(outgoing).await;
            }
        }
    }

    /// The handshake goes alone: what follows needs its session.
    async fn open(self: Rc<Self>, message: &Envelope<'_>, line: Piece) {
        {
            let mut session = self.session.borrow_mut();
            *session = Session { hello: Some(line.clone()), streaming: session.streaming, ..Session::default() };
        }
        self.relay(self.legacy(line, message.id)).await;
    }

    fn outgoing(&self, message: &Envelope<'_>, line: Piece, revision: Option<String>) -> Outgoing {
        let id = message.id.filter(|_| message.kind == MessageKind::Request);
        let Some(revision) = revision else { return self.legacy(line, id) };
        let patience = if message.method_name() == "subscriptions/listen" { Patience::Stream } else { Patience::Call };
        let headers = headers::modern(message, &self.learned.borrow());
        let is_list = message.method_name() == "tools/list";
        Outgoing { line, id: id.map(Into::into), revision: Some(revision), headers, patience, is_list }
    }

    fn legacy(&self, line: Piece, id: Option<&[u8]>) -> Outgoing {
        let id = id.map(Into::into);
        Outgoing { line, id, revision: None, headers: Vec::new(), patience: Patience::Call, is_list: false }
    }

    /// Sends a request beside others, and stops it when it is cancelled.
    async fn ask(self: Rc<Self>, outgoing: Outgoing, endless: bool) {
        let Some(id) = outgoing.id.clone() else { return };
        while self.asked.borrow().len() >= STDIO_IN_FLIGHT_MAX {
            self.ended.notified().await;
        }
        let asked = Rc::new(Asked { cancel: Notify::new(), is_modern: outgoing.revision.is_some(), endless });
        self.asked.borrow_mut().insert(id.clone(), asked.clone());
        task::spawn(async move {
            let work = pin!(self.relay(outgoing));
            // A modern request is cancelled by closing its connection, which dropping it does.
            if let Either::Right(_) = select(work, pin!(asked.cancel.notified())).await {
                tracing::debug!("a request was cancelled");
            }
            self.asked.borrow_mut().remove(&id);
            self.ended.notify_one();
        });
    }

    /// Stops a modern request that a notification names; false where the gate has to be told instead.
    fn cancel(&self, message: &Envelope<'_>) -> bool {
        let id = message.params.and_then(|params| rpc::field(params, "requestId"));
        let asked = id.and_then(|id| self.asked.borrow().get(id).cloned());
        match asked {
            Some(asked) if asked.is_modern => {
                asked.cancel.notify_one();
                true
            }
            // A modern client cancels nothing over HTTP that has ended already.
            _ => self.session.borrow().hello.is_none(),
        }
    }

    /// Sends a message and says what comes back; a request is answered whatever happens.
    async fn relay(&self, outgoing: Outgoing) {
        let mut answered = false;
        let mut result = self.exchange(&outgoing, &mut answered).await;
        let lost = matches!(&result, Ok(head) if head.status == 404) && outgoing.revision.is_none() && !answered;
        if lost && self.reopen().await {
            result = self.exchange(&outgoing, &mut answered).await;
        }
        let error = match result {
            Ok(_) if answered => return,
            Ok(head) if outgoing.id.is_none() && head.status < 300 => return,
            Ok(head) => meaning(&head),
            Err(error) => error,
        };
        match &outgoing.id {
            Some(id) if !answered => self.say(rpc::error_body(Some(id), &error)),
            _ => tracing::warn!("{error}"),
        }
    }

    async fn exchange(&self, outgoing: &Outgoing, answered: &mut bool) -> Result<Head> {
        let headers = self.headers(outgoing);
        let known = self.session.borrow().id.is_some();
        let is_hello = self.session.borrow().hello.as_ref() == Some(&outgoing.line);
        let mut hear = |head: &Head, message: Vec<u8>| {
            // A session that is gone is opened again before the client hears of it.
            if head.status == 404 && known && outgoing.revision.is_none() && !is_hello {
                return Ok(());
            }
            let Some(message) = self.hear(outgoing, message, is_hello, answered) else { return Ok(()) };
            self.out.message(message).inspect_err(|error| self.broken.set(Some(error.clone())))
        };
        let sent = self.gate.post(&headers, outgoing.line.clone(), outgoing.patience, &mut hear);
        let head = sent.await?;
        if is_hello && head.session.is_some() {
            self.session.borrow_mut().id.clone_from(&head.session);
        }
        Ok(head)
    }

    /// Looks at a message on its way to the client; nothing if it is none.
    fn hear(&self, outgoing: &Outgoing, message: Vec<u8>, is_hello: bool, answered: &mut bool) -> Option<Vec<u8>> {
        let named = match rpc::parse(&message).ok()? {
            Message::Single(answer) if answer.kind == MessageKind::Response => {
                *answered = true;
                self.learn_from(outgoing, &answer, is_hello)
            }
            batch_or_other => {
                *answered |= matches!(batch_or_other, Message::Batch(_));
                None
            }
        };
        named.or(Some(message))
    }

    /// Keeps what an answer tells; gives the message to send in its stead where the client could not tell whose it is.
    fn learn_from(&self, outgoing: &Outgoing, answer: &Envelope<'_>, is_hello: bool) -> Option<Vec<u8>> {
        if let (None, Some(id), Some(error)) = (answer.id, &outgoing.id, answer.error) {
            // Refused before its id was read: the client still waits under that id.
            let mut named = Vec::new();
            rpc::error_object(&mut named, Some(id), error);
            return Some(named);
        }
        if let Some(result) = answer.result.filter(|_| outgoing.is_list) {
            self.learned.borrow_mut().take(result);
        }
        if let Some(result) = answer.result.filter(|_| is_hello) {
            let revision = rpc::field(result, "protocolVersion").and_then(rpc::string);
            self.session.borrow_mut().revision = revision.map(|text| text.into_owned());
        }
        None
    }

    fn headers(&self, outgoing: &Outgoing) -> Vec<(String, String)> {
        let Some(revision) = &outgoing.revision else {
            let is_hello = self.session.borrow().hello.as_ref() == Some(&outgoing.line);
            return if is_hello { Vec::new() } else { self.session_headers() };
        };
        let mut headers = vec![("mcp-protocol-version".to_owned(), revision.clone())];
        headers.extend(outgoing.headers.iter().cloned());
        headers
    }

    fn session_headers(&self) -> Vec<(String, String)> {
        let session = self.session.borrow();
        let id = session.id.iter().map(|id| ("mcp-session-id".to_owned(), id.clone()));
        let revision = session.revision.iter().map(|text| ("mcp-protocol-version".to_owned(), text.clone()));
        id.chain(revision).collect()
    }

    /// Opens a session again that the gate no longer knows; false where there was none.
    async fn reopen(&self) -> bool {
        let (hello, round) = {
            let mut session = self.session.borrow_mut();
            let Some(hello) = session.hello.clone().filter(|_| session.id.is_some()) else { return false };
            session.round += 1;
            (hello, session.round)
        };
        tracing::info!("the gate has forgotten the session; opening another");
        let mut revision = None;
        let mut hear = |_: &Head, message: Vec<u8>| {
            let result = rpc::field(&message, "result").and_then(|result| rpc::field(result, "protocolVersion"));
            revision = result.and_then(rpc::string).map(|text| text.into_owned());
            Ok(())
        };
        let opened = self.gate.post(&[], hello, Patience::Call, &mut hear).await;
        let Ok(Head { status: 200, session: Some(session) }) = opened else { return false };
        {
            let mut known = self.session.borrow_mut();
            // Of several requests that lost the session, the last to open one keeps it.
            if known.round == round {
                (known.id, known.revision) = (Some(session), revision);
            }
        }
        let ready = Piece::from(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        self.gate.post(&self.session_headers(), ready, Patience::Call, &mut |_, _| Ok(())).await.is_ok()
    }

    /// Keeps the stream of messages that answer no request open, where the gate offers one.
    fn stream(self: Rc<Self>) {
        if std::mem::replace(&mut self.session.borrow_mut().streaming, true) {
            return;
        }
        task::spawn(async move {
            for pause in REOPEN_S.into_iter().chain(std::iter::repeat(REOPEN_S[REOPEN_S.len() - 1])) {
                let headers = self.session_headers();
                let told = self.gate.listen(&headers, &mut |_, message| self.out.message(message)).await;
                if matches!(told, Ok(Head { status: 405, .. })) {
                    return;
                }
                time::sleep(Duration::from_secs(pause)).await;
            }
        });
    }

    /// Lists the tools for ourselves: a call before any list must carry its annotated arguments too.
    async fn learn(&self, call: &Envelope<'_>) {
        let meta = call.params.and_then(|params| rpc::field(params, "_meta")).unwrap_or(b"{}");
        let params = [br#"{"_meta":"#, meta, b"}"].concat();
        let mut line = Vec::new();
        rpc::request(&mut line, OWN_ID, "tools/list", Some(&params));
        let Ok(Message::Single(message)) = rpc::parse(&line) else { return };
        let mut headers = headers::modern(&message, &Learned::default());
        headers.extend(headers::revision(&message).map(|revision| ("mcp-protocol-version".to_owned(), revision)));
        let body = Piece::from(&*line);
        let mut hear = |_: &Head, message: Vec<u8>| {
            if let Ok(Message::Single(Envelope { result: Some(result), .. })) = rpc::parse(&message) {
                self.learned.borrow_mut().take(result);
            }
            Ok(())
        };
        if let Err(error) = self.gate.post(&headers, body, Patience::Call, &mut hear).await {
            tracing::debug!("the tools could not be listed: {error}");
        }
    }

    fn say(&self, message: Vec<u8>) {
        if let Err(error) = self.out.message(message) {
            self.broken.set(Some(error));
        }
    }

    /// Waits until every request that can end has ended.
    async fn drained(&self) {
        while self.asked.borrow().values().any(|asked| !asked.endless) {
            self.ended.notified().await;
        }
    }

    async fn end_session(&self) {
        let headers = self.session_headers();
        if self.session.borrow().id.is_some() {
            let ended = time::timeout(Duration::from_secs(2), self.gate.end(&headers)).await;
            let ended = ended.unwrap_or_else(|_| Err(Error::new(Kind::Timeout, "no answer")));
            ended.unwrap_or_else(|error| tracing::debug!("the session could not be ended: {error}"));
        }
    }
}
