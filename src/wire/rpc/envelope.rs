//! A body → JSON-RPC messages: requests, notifications, responses, alone or in a batch.

use super::keys::Name;
use super::members::{Members, can_note};
use super::scan::{Scanner, Stumbled};
use super::walk::natural;
use super::{is_object, is_string, string};
use crate::base::error::{Error, Kind};
use crate::base::limits::{RPC_BATCH_MAX, RPC_ID_MAX};
use std::borrow::Cow;

/// Largest magnitude of a number used as id: beyond it, readers with doubles disagree (2^53).
const ID_NUMBER_MAX: u64 = 1 << 53;

/// What a body holds.
#[allow(clippy::large_enum_variant, reason = "nearly every body is one message, and a box would be an allocation each")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// One message.
    Single(Envelope<'a>),
    /// An array of 1 to `RPC_BATCH_MAX` messages (legal in 2025-03-26 only; the caller judges).
    Batch(Vec<Envelope<'a>>),
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// A method with an id: wants an answer.
    Request,
    /// A method without an id.
    Notification,
    /// A result or an error.
    Response,
}

/// One message; spans are raw JSON out of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// What the message is.
    pub kind: MessageKind,
    /// The raw id: a string of up to `RPC_ID_MAX` bytes or an integer within ±2^53. Always there on a request; absent
    /// on a response that carries `null` or no id.
    pub id: Option<&'a [u8]>,
    /// The method, escapes read. There on requests and notifications.
    pub method: Option<Cow<'a, str>>,
    /// The raw `params`, always an object.
    pub params: Option<&'a [u8]>,
    /// The members of `result` where there is one, else of `params`, noted on the way: nobody need look for them again.
    pub members: Members<'a>,
    /// The members of the `_meta` among them, where that is an object.
    pub meta: Members<'a>,
    /// The raw `result`, any value. There on a response without `error`.
    pub result: Option<&'a [u8]>,
    /// The raw `error`, always an object. There on a response without `result`.
    pub error: Option<&'a [u8]>,
}

impl Envelope<'_> {
    /// The method; empty on a response.
    pub fn method_name(&self) -> &str {
        self.method.as_deref().unwrap_or("")
    }
}

/// Why a body was refused, with the id to echo where one could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcFault {
    /// `Kind::Parse` (not JSON we accept) or `Kind::InvalidRequest` (not JSON-RPC we accept).
    pub error: Error,
    /// The raw id of the message at fault, if it has a valid one.
    pub id: Option<Box<[u8]>>,
}

impl From<Error> for RpcFault {
    fn from(error: Error) -> Self {
        Self { error, id: None }
    }
}

/// Reads a body in one strict pass (see `scan.rs`) and says what it holds.
///
/// # Errors
/// `Kind::Parse` if the body is not JSON as the pass accepts it; `Kind::InvalidRequest` if it is not JSON-RPC 2.0:
/// wrong `jsonrpc`, an id out of bounds, `params` that are no object, both `result` and `error`, an empty or too long
/// batch.
pub fn parse(body: &[u8]) -> Result<Message<'_>, RpcFault> {
    if !can_note(body) {
        return Err(Error::new(Kind::Parse, "not JSON we accept: a text of 4 GiB or more").into());
    }
    let mut scanner = Scanner::new(body);
    let start = scanner.start();
    if scanner.byte(start) == Some(b'[') {
        return batch(body, &mut scanner, start);
    }
    let mut members = Top::new(body);
    let read = members.read(&mut scanner, start).and_then(|end| scanner.end(end));
    read.map_err(|stumbled| scanner.error(stumbled))?;
    if scanner.byte(start) == Some(b'{') { members.envelope().map(Message::Single) } else { Err(not_object().into()) }
}

fn not_object() -> Error {
    invalid("a message is an object")
}

fn batch<'a>(body: &'a [u8], scanner: &mut Scanner<'a>, start: usize) -> Result<Message<'a>, RpcFault> {
    let mut all = Vec::new();
    let mut count = 0;
    let read = scanner.array(start, |scanner, at| {
        count += 1;
        let mut members = Top::new(body);
        let end = members.read(scanner, at)?;
        if count <= RPC_BATCH_MAX {
            all.push(members);
        }
        Ok(end)
    });
    read.and_then(|end| scanner.end(end)).map_err(|stumbled| scanner.error(stumbled))?;
    if count == 0 || count > RPC_BATCH_MAX {
        return Err(invalid(format!("a batch holds 1 to {RPC_BATCH_MAX} messages, not {count}")).into());
    }
    // One bad element refuses the whole batch: nobody has to guess which part was done.
    let envelopes: Result<Vec<_>, RpcFault> = all.into_iter().map(Top::envelope).collect();
    envelopes.map(Message::Batch).map_err(|fault| RpcFault { id: None, ..fault })
}

/// A member of a message.
#[derive(Clone, Copy)]
enum Member {
    Jsonrpc,
    Id,
    Method,
    Params,
    Result,
    Error,
    /// One that JSON-RPC does not name.
    Other,
}

impl Member {
    fn named(name: Name<'_>) -> Self {
        match &*name.text() {
            b"jsonrpc" => Self::Jsonrpc,
            b"id" => Self::Id,
            b"method" => Self::Method,
            b"params" => Self::Params,
            b"result" => Self::Result,
            b"error" => Self::Error,
            _ => Self::Other,
        }
    }
}

/// The members JSON-RPC names, as they came. Names are compared exactly, without escapes; others are passed over.
struct Top<'a> {
    jsonrpc: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    method: Option<&'a [u8]>,
    params: Option<&'a [u8]>,
    result: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
    members: Members<'a>,
    meta: Members<'a>,
}

impl<'a> Top<'a> {
    fn new(body: &'a [u8]) -> Self {
        let (members, meta) = (Members::new(body), Members::new(body));
        Self { jsonrpc: None, id: None, method: None, params: None, result: None, error: None, members, meta }
    }

    /// Reads one value; of an object, keeps the members.
    fn read(&mut self, scanner: &mut Scanner<'a>, at: usize) -> Result<usize, Stumbled> {
        if scanner.byte(at) != Some(b'{') {
            return scanner.value(at);
        }
        scanner.object_by(at, |scanner, name, start| {
            let member = Member::named(name);
            let end = match self.wants_members(member) && scanner.byte(start) == Some(b'{') {
                true => self.read_members(scanner, start)?,
                false => scanner.value(start)?,
            };
            self.note(member, scanner.span(start, end));
            Ok(end)
        })
    }

    /// Whether the members of this one are to be noted. A result's own take the place of what `params` has left.
    fn wants_members(&mut self, member: Member) -> bool {
        match member {
            Member::Params => self.result.is_none(),
            Member::Result => {
                self.members.clear();
                self.meta.clear();
                true
            }
            _ => false,
        }
    }

    fn read_members(&mut self, scanner: &mut Scanner<'a>, at: usize) -> Result<usize, Stumbled> {
        let Self { members, meta, .. } = self;
        scanner.object_by(at, |scanner, name, start| {
            let end = match name.is(b"_meta") && scanner.byte(start) == Some(b'{') {
                true => read_into(meta, scanner, start)?,
                false => scanner.value(start)?,
            };
            members.note(name, scanner.span(start, end));
            Ok(end)
        })
    }

    fn note(&mut self, member: Member, value: &'a [u8]) {
        let slot = match member {
            Member::Jsonrpc => &mut self.jsonrpc,
            Member::Id => &mut self.id,
            Member::Method => &mut self.method,
            Member::Params => &mut self.params,
            Member::Result => &mut self.result,
            Member::Error => &mut self.error,
            Member::Other => return,
        };
        *slot = Some(value);
    }

    fn envelope(self) -> Result<Envelope<'a>, RpcFault> {
        let echo = self.id.filter(|id| id_fits(id));
        self.judge().map_err(|error| RpcFault { error, id: echo.map(Box::from) })
    }

    fn judge(self) -> Result<Envelope<'a>, Error> {
        if self.jsonrpc != Some(br#""2.0""#) && self.jsonrpc.and_then(string).as_deref() != Some("2.0") {
            return Err(invalid("jsonrpc must be \"2.0\""));
        }
        if self.params.is_some_and(|params| !is_object(params)) {
            return Err(invalid("params must be an object"));
        }
        let id = self.id.filter(|&id| id != b"null");
        if id.is_some_and(|id| !id_fits(id)) {
            return Err(invalid("id must be a string of up to 256 bytes or an integer within 2^53"));
        }
        let kind = self.kind()?;
        let method = self.method.and_then(string);
        let Self { params, result, error, members, meta, .. } = self;
        Ok(Envelope { kind, id, method, params, members, meta, result, error })
    }

    fn kind(&self) -> Result<MessageKind, Error> {
        let answers = (self.result.is_some(), self.error.is_some());
        match (self.method, answers) {
            (Some(method), (false, false)) => self.call_kind(method),
            (None, (true, false)) => Ok(MessageKind::Response),
            (None, (false, true)) if self.error.is_some_and(is_object) => Ok(MessageKind::Response),
            (None, (false, true)) => Err(invalid("error must be an object")),
            (None, (false, false)) => Err(invalid("a message has a method, a result or an error")),
            _ => Err(invalid("a message has only one of method, result and error")),
        }
    }

    fn call_kind(&self, method: &[u8]) -> Result<MessageKind, Error> {
        if !is_string(method) {
            return Err(invalid("method must be a string"));
        }
        match self.id {
            Some(b"null") => Err(invalid("the id of a request must not be null")),
            Some(_) => Ok(MessageKind::Request),
            None => Ok(MessageKind::Notification),
        }
    }
}

fn invalid(why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::InvalidRequest, why)
}

/// Reads an object and notes its members.
fn read_into<'a>(members: &mut Members<'a>, scanner: &mut Scanner<'a>, at: usize) -> Result<usize, Stumbled> {
    scanner.object_by(at, |scanner, name, start| {
        let end = scanner.value(start)?;
        members.note(name, scanner.span(start, end));
        Ok(end)
    })
}

/// Whether a raw value may be an id: a string within bounds, or an integer written as one within ±2^53.
fn id_fits(raw: &[u8]) -> bool {
    match raw.first() {
        Some(b'"') => raw.len() <= RPC_ID_MAX,
        Some(b'-' | b'0'..=b'9') => {
            natural(raw.strip_prefix(b"-").unwrap_or(raw)).is_some_and(|number| number <= ID_NUMBER_MAX)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(body: &str) -> Envelope<'_> {
        match parse(body.as_bytes()).unwrap() {
            Message::Single(envelope) => envelope,
            Message::Batch(_) => panic!("a batch: {body}"),
        }
    }

    fn fault(body: &str) -> (i32, Option<String>) {
        let fault = parse(body.as_bytes()).unwrap_err();
        (fault.error.kind.rpc_code(), fault.id.map(|id| String::from_utf8(id.into()).unwrap()))
    }

    #[test]
    fn a_request_gives_its_raw_spans() {
        let body = r#" {"jsonrpc" : "2.0", "method":"tools/call", "id": "a\u0062", "extra":[1],
            "params": { "name" : "x" } } "#;
        let envelope = single(body);
        assert_eq!(envelope.kind, MessageKind::Request);
        assert_eq!(envelope.method_name(), "tools/call");
        assert!(matches!(envelope.method, Some(Cow::Borrowed(_))));
        assert_eq!(envelope.id, Some(&br#""a\u0062""#[..]));
        assert_eq!(envelope.params, Some(&br#"{ "name" : "x" }"#[..]));
    }

    #[test]
    fn names_are_exact_after_escapes() {
        assert_eq!(single(r#"{"jsonrpc":"2.0","id":1,"met\u0068od":"pin\u0067"}"#).method_name(), "ping");
        assert_eq!(fault(r#"{"jsonrpc":"2.0","id":1,"Method":"ping"}"#), (-32600, Some("1".into())));
        assert_eq!(fault(r#"{"jsonrpc":"2.0","id":1,"method":"a","met\u0068od":"b"}"#).0, -32700);
    }

    fn noted(members: &Members<'_>) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        members.iter().map(|(name, value)| (text(&name.text()), text(value))).collect()
    }

    #[test]
    fn members_of_params_and_result_are_noted_on_the_way() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let call = single(r#"{"jsonrpc":"2.0","method":"m","params":{"a": 1 ,"\u005fmeta":{"x":[] }}}"#);
        assert_eq!(noted(&call.members), [pair("a", "1"), pair("_meta", r#"{"x":[] }"#)]);
        assert_eq!(noted(&call.meta), [pair("x", "[]")]);
        for (body, members, meta) in [
            (r#""result":{"b":2}"#, &[pair("b", "2")][..], &[][..]),
            (r#""params":{"a":1,"_meta":{"x":0}},"result":{"b":2}"#, &[pair("b", "2")], &[]),
            (r#""result":{"_meta":{"y":3}},"params":{"a":1}"#, &[pair("_meta", r#"{"y":3}"#)], &[pair("y", "3")]),
            (r#""params":{"a":1,"_meta":{"x":0}},"result":7"#, &[], &[]),
            (r#""result":7,"params":{"a":1}"#, &[], &[]),
            (r#""result":{"_meta":[1]}"#, &[pair("_meta", "[1]")], &[]),
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,{body}}}"#);
            let envelope = single(&body);
            assert_eq!((&noted(&envelope.members)[..], &noted(&envelope.meta)[..]), (members, meta), "{body}");
        }
    }

    #[test]
    fn kinds_are_told_apart() {
        assert_eq!(single(r#"{"jsonrpc":"2.0","method":"n"}"#).kind, MessageKind::Notification);
        assert_eq!(single(r#"{"jsonrpc":"2.0","id":1,"result":null}"#).kind, MessageKind::Response);
        let error = single(r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#);
        assert_eq!((error.kind, error.id), (MessageKind::Response, None));
        for bad in [
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":"text"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":null}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#,
            r#"{"jsonrpc":2.0,"id":1,"method":"a"}"#,
            r#"{"id":1,"method":"a"}"#,
        ] {
            assert_eq!(fault(bad), (-32600, Some("1".into())), "{bad}");
        }
    }

    #[test]
    fn an_id_is_echoed_byte_for_byte_or_refused() {
        let body = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"a"}}"#);
        for id in ["0", "-1", "9007199254740992", "-9007199254740992", r#""""#, r#""\u00e9\n""#] {
            assert_eq!(single(&body(id)).id, Some(id.as_bytes()), "{id}");
        }
        let long = format!("\"{}\"", "x".repeat(RPC_ID_MAX));
        let refused = [
            "9007199254740993",
            "18446744073709551617",
            "1.0",
            "1e2",
            "0.5",
            "null",
            "true",
            "[1]",
            "{}",
            long.as_str(),
        ];
        for id in refused {
            assert_eq!(fault(&body(id)), (-32600, None), "{id}");
        }
    }

    #[test]
    fn a_batch_is_whole_or_refused() {
        let body = r#"[{"jsonrpc":"2.0","id":1,"method":"a"}, {"jsonrpc":"2.0","method":"b"}]"#;
        let Message::Batch(all) = parse(body.as_bytes()).unwrap() else { panic!("single") };
        let kinds: Vec<_> = all.iter().map(|envelope| envelope.kind).collect();
        assert_eq!(kinds, [MessageKind::Request, MessageKind::Notification]);
        for bad in ["[]", "[1]", "[[]]", r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{}]"#] {
            assert_eq!(fault(bad), (-32600, None), "{bad}");
        }
        let many = |count: usize| format!("[{}]", vec![r#"{"jsonrpc":"2.0","method":"b"}"#; count].join(","));
        assert!(parse(many(RPC_BATCH_MAX).as_bytes()).is_ok());
        assert_eq!(fault(&many(RPC_BATCH_MAX + 1)).0, -32600);
    }

    #[test]
    fn what_is_json_but_no_message_is_an_invalid_request() {
        for body in ["1", "null", "\"a\"", "true"] {
            assert_eq!(fault(body), (-32600, None), "{body}");
        }
        for body in ["", "{", "{}x", "[", "1 1"] {
            assert_eq!(fault(body), (-32700, None), "{body}");
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic() {
        bolero::check!().for_each(|body: &[u8]| {
            if let Ok(Message::Single(envelope)) = parse(body) {
                assert!(serde_json::from_slice::<serde_json::Value>(body).unwrap().is_object());
                assert!(envelope.kind != MessageKind::Request || envelope.id.is_some());
            }
        });
    }
}
