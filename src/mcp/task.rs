//! Tasks (extension `io.modelcontextprotocol/tasks`, SEP-2663): results that come later, under an id.
//!
//! A server's id is given to a client sealed with the server's name and the client's key, so that it leads back to its
//! server without a table and serves no other key. It has no expiry of its own: a server may change a task's `ttlMs`
//! while it runs, so the server says when a task is gone. A seal is good until the gate starts anew.
//!
//! One task has one id for its client: what comes later carries the id that the client holds, as a new seal would
//! differ.

use super::caps::ClientCaps;
use super::input::{checked_responses, read_requests};
use super::meta::{SUBSCRIPTION_ID, wrong};
use super::model::Model;
use super::question::InputRequest;
use super::refusal::Refusal;
use super::seal::{Purpose, Reader, Sealing, Writer, sealed_len};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::KeyId;
use crate::base::limits::{SERVER_NAME_MAX, TASK_ID_MAX, UPSTREAM_TASK_ID_MAX};
use crate::wire::rpc::{self, Edit};
use smallvec::SmallVec;
use std::borrow::Cow;

/// Longest plain state: key, server, the server's id.
const STATE_MAX: usize = 17 + 1 + SERVER_NAME_MAX + UPSTREAM_TASK_ID_MAX;

const _: () = assert!(sealed_len(STATE_MAX) <= TASK_ID_MAX);

/// What a client asks about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskMethod {
    /// `tasks/get`: how it stands.
    Get,
    /// `tasks/update`: answers to what it asked.
    Update,
    /// `tasks/cancel`.
    Cancel,
}

impl TaskMethod {
    /// The method of that name; there is no other (`tasks/list` and `tasks/result` are unknown).
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Get, Self::Update, Self::Cancel].into_iter().find(|method| method.as_str() == name)
    }

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "tasks/get",
            Self::Update => "tasks/update",
            Self::Cancel => "tasks/cancel",
        }
    }
}

/// The `params` of a request about a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskParams<'a> {
    /// The id the client holds, still to be opened; `Mcp-Name` says the same.
    pub id: Cow<'a, str>,
    /// The raw `inputResponses` of `tasks/update`.
    pub responses: Option<&'a [u8]>,
}

impl<'a> TaskParams<'a> {
    /// Reads the raw members `taskId` and `inputResponses`.
    ///
    /// # Errors
    /// `Kind::InvalidParams` (in band) where `taskId` is no string, or an update has no object of answers. Ask
    /// [`undeclared`] first: a client without the extension is told so, whatever it sends.
    pub fn read(method: TaskMethod, id: Option<&'a [u8]>, responses: Option<&'a [u8]>) -> Result<Self> {
        let id = id.and_then(rpc::string).ok_or_else(|| wrong("taskId must be a string"))?;
        let responses = match method {
            TaskMethod::Get | TaskMethod::Cancel => None,
            TaskMethod::Update => Some(checked_responses(responses.unwrap_or_default())?),
        };
        Ok(Self { id, responses })
    }
}

/// The refusal of a request about tasks from a client that did not declare the extension; nothing for one that did.
pub fn undeclared(caps: ClientCaps, id: Option<&[u8]>) -> Option<Refusal> {
    let needed = ClientCaps(ClientCaps::TASKS);
    (!caps.has(needed.0)).then(|| Refusal::missing(needed, id))
}

/// Where a task is, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskId {
    /// The server's configured name.
    pub server: Box<str>,
    /// The id the server knows it by; `Mcp-Name` says the same upstream.
    pub inner: Box<str>,
}

impl TaskId {
    /// The id for a key of a server's task: at most `TASK_ID_MAX` characters. `inner` comes from [`Task::read`], which
    /// bounds it.
    pub fn seal(sealing: &Sealing, server: &str, key: &KeyId, inner: &str) -> String {
        let mut out = Writer::new(STATE_MAX);
        out.text(key.as_str()).text(server).bytes(inner.as_bytes());
        sealing.seal(Purpose::Task, out.finish())
    }

    /// Opens the id that a key presents.
    ///
    /// # Errors
    /// [`unknown`], one answer for all: not ours, altered, another key's.
    pub fn open(sealing: &Sealing, text: &str, key: &KeyId) -> Result<Self> {
        let plain = sealing.open(Purpose::Task, text, TASK_ID_MAX);
        plain.and_then(|plain| Self::decode(&plain, key)).ok_or_else(unknown)
    }

    fn decode(plain: &[u8], key: &KeyId) -> Option<Self> {
        let mut state = Reader::new(plain);
        let is_own = state.text()? == key.as_str();
        let server = state.text().filter(|_| is_own)?.into();
        Some(Self { server, inner: std::str::from_utf8(state.rest()).ok()?.into() })
    }
}

/// The one answer to every task id that leads nowhere: also where its server is gone or hidden, and where the server
/// does not know it (any more).
pub fn unknown() -> Error {
    wrong("unknown task")
}

/// Whether a server's raw error says that it does not know the task: then the answer is [`unknown`].
pub fn is_unknown(error: &[u8]) -> bool {
    rpc::field(error, "code").and_then(rpc::integer) == Some(Kind::InvalidParams.rpc_code().into())
}

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// It runs.
    Working,
    /// It waits for answers.
    InputRequired,
    /// It is done; its result is there.
    Completed,
    /// It was cancelled.
    Cancelled,
    /// It failed; its error is there.
    Failed,
}

impl TaskStatus {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "working" => Some(Self::Working),
            "input_required" => Some(Self::InputRequired),
            "completed" => Some(Self::Completed),
            "cancelled" => Some(Self::Cancelled),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }

    /// Whether it stays so.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Failed)
    }
}

/// What a server says of a task: in the result that begins one, in that of `tasks/get`, in `notifications/tasks`. All
/// three are flat. Times and `ttlMs` are the client's to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task<'a> {
    /// The server's id: not empty, at most `UPSTREAM_TASK_ID_MAX` bytes.
    pub id: Cow<'a, str>,
    /// How it stands.
    pub status: TaskStatus,
    /// What it asks of the client, by key.
    pub requests: Vec<(Cow<'a, str>, InputRequest<'a>)>,
}

impl<'a> Task<'a> {
    /// Reads a raw result, or the raw `params` of a notification.
    ///
    /// # Errors
    /// `Kind::BadAnswer` where id or status are missing or of the wrong form, or what it asks for is.
    pub fn read(raw: &'a [u8]) -> Result<Self> {
        let (mut id, mut status, mut requests) = (None, None, Vec::new());
        for field in rpc::object_fields(raw) {
            match &*field.key {
                b"taskId" => id = rpc::string(field.value),
                b"status" => status = rpc::string(field.value).and_then(|name| TaskStatus::parse(&name)),
                b"inputRequests" => requests = read_requests(field.value)?,
                _ => (),
            }
        }
        let id = id.filter(|id| (1..=UPSTREAM_TASK_ID_MAX).contains(&id.len()));
        let (id, status) = id.zip(status).ok_or_else(|| bad("server's task has no valid taskId and status"))?;
        Ok(Self { id, status, requests })
    }

    /// The same, as the answer about the task with this id of the server's.
    ///
    /// # Errors
    /// As [`Task::read`], and where the server speaks of another task: that may be another key's.
    pub fn read_of(raw: &'a [u8], inner: &str) -> Result<Self> {
        let task = Self::read(raw)?;
        if task.id == inner { Ok(task) } else { Err(bad("server answered about another task")) }
    }

    /// Whether all it asks may be asked of a client that declared this.
    pub fn is_permitted(&self, caps: ClientCaps) -> bool {
        self.requests.iter().all(|(_, request)| request.is_permitted(caps))
    }
}

fn bad(why: &'static str) -> Error {
    Error::new(Kind::BadAnswer, why)
}

/// A server's raw result with the client's id of the task, and with `serverInfo`; the rest is copied.
pub fn renamed(result: &[u8], id: &str, model: &Model) -> Vec<u8> {
    let id = rpc::quoted(id);
    let meta = model.named_meta(rpc::field(result, "_meta"));
    let mut edits: SmallVec<[Edit<'_>; 2]> = SmallVec::new();
    edits.push(Edit::Set("taskId", &id));
    edits.extend(meta.as_deref().map(|meta| Edit::Set("_meta", meta)));
    edited(result, &edits)
}

/// The whole `notifications/tasks` for a client's listen stream: the raw `params` of the server's, with the client's id
/// of the task, and the raw id of the client's listen request in the place of ours upstream.
pub fn notification(params: &[u8], id: &str, subscription: &[u8]) -> Vec<u8> {
    let meta = rpc::field(params, "_meta").filter(|meta| rpc::is_object(meta)).unwrap_or(b"{}");
    let meta = edited(meta, &[Edit::Set(SUBSCRIPTION_ID, subscription)]);
    let params = edited(params, &[Edit::Set("taskId", &rpc::quoted(id)), Edit::Set("_meta", &meta)]);
    let mut out = Vec::with_capacity(params.len() + 64);
    rpc::notification(&mut out, "notifications/tasks", Some(&params));
    out
}

fn edited(object: &[u8], edits: &[Edit<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.len() + TASK_ID_MAX);
    rpc::edit(&mut out, object, edits);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const CREATED: &str = r#"{"resultType":"task","taskId":"t\u0031","status":"working","createdAt":"c",
        "lastUpdatedAt":"l","ttlMs":null,"pollIntervalMs":1e3}"#;

    fn key(text: &str) -> KeyId {
        KeyId::parse(text).unwrap()
    }

    fn value(raw: &[u8]) -> Value {
        serde_json::from_slice(raw).unwrap()
    }

    #[test]
    fn an_id_leads_back_to_its_server_for_its_key_only() {
        let sealing = Sealing::new(&[1; 32]);
        for inner in ["t1", "✓ \"quoted\"", &"x".repeat(UPSTREAM_TASK_ID_MAX)] {
            let id = TaskId::seal(&sealing, &"s".repeat(SERVER_NAME_MAX), &key("k1"), inner);
            assert!(id.len() <= TASK_ID_MAX && id.bytes().all(|byte| byte.is_ascii_graphic()), "fits a header");
            let opened = TaskId::open(&sealing, &id, &key("k1")).unwrap();
            assert_eq!((&*opened.server, &*opened.inner), (&*"s".repeat(SERVER_NAME_MAX), inner));
            assert_eq!(TaskId::open(&sealing, &id, &key("k2")), Err(unknown()));
            assert_eq!(TaskId::open(&Sealing::new(&[2; 32]), &id, &key("k1")), Err(unknown()));
        }
        let session = sealing.seal(Purpose::Session, b"\x02k1\x01st".to_vec());
        let long = "A".repeat(TASK_ID_MAX + 4);
        for bad in ["", "t1", "gate-test", &session, &long] {
            assert_eq!(TaskId::open(&sealing, bad, &key("k1")), Err(unknown()), "{bad}");
        }
        assert_eq!(unknown().kind.rpc_code(), -32602);
        assert!(is_unknown(br#"{"code":-32602,"message":"no such task"}"#));
        assert!(!is_unknown(br#"{"code":-32603,"message":"m"}"#) && !is_unknown(b"{}"));
    }

    #[test]
    fn a_task_is_read_and_renamed() {
        let task = Task::read(CREATED.as_bytes()).unwrap();
        assert_eq!((&*task.id, task.status, task.requests.len()), ("t1", TaskStatus::Working, 0));
        let model = Model::new("1", None);
        let raw = renamed(CREATED.as_bytes(), "sealed", &model);
        assert!(String::from_utf8_lossy(&raw).contains(r#""pollIntervalMs":1e3"#), "the rest is copied");
        let mut expected = value(CREATED.as_bytes());
        expected["taskId"] = json!("sealed");
        expected["_meta"] = value(model.result_meta());
        assert_eq!(value(&raw), expected);
        assert_eq!(Task::read(&raw).unwrap().id, "sealed");
    }

    #[test]
    fn an_answer_is_about_the_task_that_was_asked_for() {
        let raw = br#"{"taskId":"t1","status":"input_required","inputRequests":{"a":{"method":"roots/list"}}}"#;
        let task = Task::read_of(raw, "t1").unwrap();
        assert_eq!((task.status, task.requests.len()), (TaskStatus::InputRequired, 1));
        assert!(task.is_permitted(ClientCaps(ClientCaps::ROOTS)) && !task.is_permitted(ClientCaps(0)));
        assert_eq!(Task::read_of(raw, "t2").unwrap_err().kind, Kind::BadAnswer);
        for (name, is_final) in
            [("working", false), ("input_required", false), ("completed", true), ("cancelled", true), ("failed", true)]
        {
            assert_eq!(TaskStatus::parse(name).map(TaskStatus::is_final), Some(is_final));
        }
        let long = format!(r#"{{"taskId":"{}","status":"working"}}"#, "x".repeat(UPSTREAM_TASK_ID_MAX + 1));
        for bad in [
            "{}",
            "[]",
            r#"{"taskId":"t"}"#,
            r#"{"taskId":"","status":"working"}"#,
            r#"{"taskId":7,"status":"working"}"#,
            r#"{"taskId":"t","status":"idle"}"#,
            r#"{"taskId":"t","status":"working","inputRequests":[]}"#,
            &long,
        ] {
            assert_eq!(Task::read(bad.as_bytes()).unwrap_err().kind, Kind::BadAnswer, "{bad:.60}");
        }
    }

    #[test]
    fn a_notification_names_the_client_s_task_and_subscription() {
        let params = br#"{"taskId":"t1","status":"completed","result":{"content":[ ]},
            "_meta":{"io.modelcontextprotocol/subscriptionId":9,"x":1}}"#;
        let message = value(&notification(params, "sealed", b"\"7\""));
        assert_eq!(
            (&message["method"], &message["params"]["taskId"]),
            (&json!("notifications/tasks"), &json!("sealed"))
        );
        let meta = json!({"io.modelcontextprotocol/subscriptionId": "7", "x": 1});
        assert_eq!((&message["params"]["_meta"], &message["params"]["result"]), (&meta, &json!({"content": []})));
        let message = value(&notification(br#"{"taskId":"t1","status":"working"}"#, "s", b"7"));
        assert_eq!(message["params"]["_meta"], json!({"io.modelcontextprotocol/subscriptionId": 7}));
    }

    /// SEP-2663, required capabilities: whatever is asked, and before the id is looked at.
    #[test]
    fn a_client_without_the_extension_is_told_so() {
        let refusal = undeclared(ClientCaps(!ClientCaps::TASKS), Some(b"1")).unwrap();
        assert_eq!((refusal.status, refusal.error.kind.rpc_code()), (400, -32021));
        let data = json!({"requiredCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}});
        assert_eq!(value(&refusal.body())["error"]["data"], data);
        assert_eq!(undeclared(ClientCaps(ClientCaps::TASKS), Some(b"1")), None);
    }

    #[test]
    fn requests_about_tasks_are_read() {
        use TaskMethod::{Cancel, Get, Update};
        for method in [Get, Update, Cancel] {
            assert_eq!(TaskMethod::parse(method.as_str()), Some(method));
        }
        for other in ["tasks/list", "tasks/result", "tasks/Get", ""] {
            assert_eq!(TaskMethod::parse(other), None);
        }
        let read = |method, id: &'static str, responses: Option<&'static str>| {
            TaskParams::read(method, Some(id.as_bytes()), responses.map(str::as_bytes))
        };
        let got = read(Get, r#""t\u0031""#, Some("7")).unwrap();
        assert_eq!((&*got.id, got.responses), ("t1", None));
        let got = read(Update, r#""t""#, Some(r#"{ "a":{} }"#)).unwrap();
        assert_eq!(got.responses, Some(&br#"{ "a":{} }"#[..]));
        for (method, id, responses) in [
            (Get, "7", None),
            (Cancel, "null", None),
            (Update, r#""t""#, None),
            (Update, r#""t""#, Some("null")),
            (Update, r#""t""#, Some(r#"{"a":7}"#)),
        ] {
            assert_eq!(read(method, id, responses).unwrap_err().kind, Kind::InvalidParams, "{id} {responses:?}");
        }
        assert!(TaskParams::read(Get, None, None).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let (sealing, model) = (Sealing::new(&[1; 32]), Model::new("1", None));
        bolero::check!().with_type::<(String, Vec<u8>)>().for_each(|(text, raw)| {
            assert_eq!(TaskId::open(&sealing, text, &KeyId::ANONYMOUS), Err(unknown()));
            let _ = (TaskId::decode(raw, &KeyId::ANONYMOUS), is_unknown(raw), renamed(raw, text, &model));
            let _ = (notification(raw, text, b"1"), TaskParams::read(TaskMethod::Update, Some(raw), Some(raw)));
            if let Ok(task) = Task::read(raw) {
                let id = TaskId::seal(&sealing, "s", &KeyId::ANONYMOUS, &task.id);
                assert_eq!(*TaskId::open(&sealing, &id, &KeyId::ANONYMOUS).unwrap().inner, *task.id);
            }
        });
    }
}
