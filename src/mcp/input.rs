//! Calls that need input from the client (2026-07-28, multi round-trip requests): the `input_required` result, and the
//! request that comes again with the answers.

use super::caps::ClientCaps;
use super::meta::wrong;
use super::model::Model;
use super::question::{InputMethod, InputRequest};
use crate::base::error::{Error, Kind, Result};
use crate::base::limits::{INPUT_KEY_MAX, INPUT_REQUESTS_MAX, REQUEST_STATE_MAX, UPSTREAM_STATE_MAX};
use crate::wire::rpc::{self, Edit};
use smallvec::SmallVec;
use std::borrow::Cow;

/// An `input_required` result, read from a modern server or to be given to a modern client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputRequired<'a> {
    /// What is asked, by key.
    pub requests: Vec<(Cow<'a, str>, InputRequest<'a>)>,
    /// What the client shall send back as it is.
    pub state: Option<Cow<'a, str>>,
}

impl<'a> InputRequired<'a> {
    /// Reads the raw result of a modern server.
    ///
    /// # Errors
    /// `Kind::BadAnswer` where it asks for nothing and has no state (an empty `inputRequests` asks for nothing), where
    /// it asks for more than `INPUT_REQUESTS_MAX` things or in another form than the schema has, and where its state is
    /// no string or longer than `UPSTREAM_STATE_MAX`.
    pub fn read(result: &'a [u8]) -> Result<Self> {
        let (mut required, mut stated) = (Self::default(), None);
        for field in rpc::object_fields(result) {
            match &*field.key {
                b"inputRequests" => required.requests = read_requests(field.value)?,
                b"requestState" => stated = Some(field.value),
                _ => (),
            }
        }
        if let Some(raw) = stated {
            let state = rpc::string(raw).filter(|state| state.len() <= UPSTREAM_STATE_MAX);
            required.state = Some(state.ok_or_else(|| bad("server's requestState is no string or too long"))?);
        }
        if required.requests.is_empty() && required.state.is_none() {
            return Err(bad("server asks for input and names none"));
        }
        Ok(required)
    }

    /// Whether all of it may be asked of a client that declared this.
    pub fn is_permitted(&self, caps: ClientCaps) -> bool {
        self.requests.iter().all(|(_, request)| request.is_permitted(caps))
    }

    /// The raw result for a modern client.
    pub fn result(&self, model: &Model) -> Vec<u8> {
        let mut out = br#"{"resultType":"input_required""#.to_vec();
        if !self.requests.is_empty() {
            out.extend_from_slice(br#","inputRequests":{"#);
            for (at, (key, request)) in self.requests.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                rpc::quote(&mut out, key);
                out.push(b':');
                request.write(&mut out);
            }
            out.push(b'}');
        }
        if let Some(state) = &self.state {
            out.extend_from_slice(br#","requestState":"#);
            rpc::quote(&mut out, state);
        }
        out.extend_from_slice(br#","_meta":"#);
        out.extend_from_slice(model.result_meta());
        out.push(b'}');
        out
    }
}

/// A modern server's raw `input_required` result for a modern client: with our state in the place of the server's,
/// where it has one, and with `serverInfo`; the rest is copied.
pub fn relayed(result: &[u8], state: Option<&str>, model: &Model) -> Vec<u8> {
    let state = state.map(rpc::quoted);
    let meta = model.named_meta(rpc::field(result, "_meta"));
    let mut edits = SmallVec::<[Edit<'_>; 2]>::new();
    edits.extend(state.as_deref().map(|state| Edit::Set("requestState", state)));
    edits.extend(meta.as_deref().map(|meta| Edit::Set("_meta", meta)));
    let mut out = Vec::with_capacity(result.len() + 256);
    rpc::edit(&mut out, result, &edits);
    out
}

/// Reads a raw `inputRequests`: of a result, or of a task.
///
/// # Errors
/// `Kind::BadAnswer` as [`InputRequired::read`] says.
pub fn read_requests(raw: &[u8]) -> Result<Vec<(Cow<'_, str>, InputRequest<'_>)>> {
    if !rpc::is_object(raw) {
        return Err(bad("server's inputRequests is no object"));
    }
    let mut requests = Vec::new();
    for field in rpc::object_fields(raw) {
        if requests.len() == INPUT_REQUESTS_MAX {
            return Err(bad("server asks for too much input at once"));
        }
        let key = text(field.key).filter(|key| key.len() <= INPUT_KEY_MAX);
        let request = InputRequest::modern(field.value);
        requests.push(key.zip(request).ok_or_else(|| bad("server asks for input in a form that is not valid"))?);
    }
    Ok(requests)
}

fn text(key: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match key {
        Cow::Borrowed(key) => std::str::from_utf8(key).ok().map(Cow::Borrowed),
        Cow::Owned(key) => String::from_utf8(key).ok().map(Cow::Owned),
    }
}

fn bad(why: &'static str) -> Error {
    Error::new(Kind::BadAnswer, why)
}

/// What a request brings that comes again with answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry<'a> {
    /// The raw `inputResponses`: an object of objects.
    pub responses: Option<&'a [u8]>,
    /// The `requestState`, still to be opened.
    pub state: Option<Cow<'a, str>>,
}

impl<'a> Retry<'a> {
    /// Reads the raw members `inputResponses` and `requestState` of a request's `params`; nothing where there is
    /// neither. `null` is taken for absent.
    ///
    /// # Errors
    /// `Kind::InvalidParams` (in band) where responses are no object of objects or the state is no string, or longer
    /// than any we gave.
    pub fn read(responses: Option<&'a [u8]>, state: Option<&'a [u8]>) -> Result<Option<Self>> {
        let present = |raw: &&[u8]| !rpc::is_null(raw);
        let (responses, state) = (responses.filter(present), state.filter(present));
        if responses.is_none() && state.is_none() {
            return Ok(None);
        }
        let responses = responses.map(checked_responses).transpose()?;
        let opaque = |raw| rpc::string(raw).filter(|state| state.len() <= REQUEST_STATE_MAX);
        let state = state.map(|raw| opaque(raw).ok_or_else(invalid_state)).transpose()?;
        Ok(Some(Self { responses, state }))
    }

    /// The client's raw answer to what was asked under this key, as either era takes it; nothing where it is missing:
    /// then a server asks again.
    ///
    /// # Errors
    /// `Kind::InvalidParams` where it is no answer to that method.
    pub fn answer(&self, key: &str, method: InputMethod) -> Result<Option<Cow<'a, [u8]>>> {
        let raw = self.responses.and_then(|responses| rpc::field(responses, key));
        raw.map(|raw| method.answer(raw).ok_or_else(|| wrong("an input response is not of the form that was asked")))
            .transpose()
    }
}

/// A raw `inputResponses` as it came, once it is seen to be an object of objects. Keys that nobody asked for do no
/// harm.
///
/// # Errors
/// `Kind::InvalidParams` where it is not.
pub fn checked_responses(raw: &[u8]) -> Result<&[u8]> {
    let fits = rpc::is_object(raw) && rpc::object_fields(raw).all(|field| rpc::is_object(field.value));
    if fits { Ok(raw) } else { Err(wrong("inputResponses must be an object of objects")) }
}

/// The one answer to every state that is not ours, or not for this request.
pub(super) fn invalid_state() -> Error {
    wrong("invalid requestState")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const ROOTS: &str = r#"{"method":"roots/list"}"#;

    fn kind(result: &str) -> Kind {
        InputRequired::read(result.as_bytes()).unwrap_err().kind
    }

    #[test]
    fn a_server_asks_for_things_by_key_and_gives_a_state() {
        let raw = format!(
            r#"{{"resultType":"input_required","inputRequests":{{"r\u006fots":{ROOTS},"name":{{"method":
                "elicitation/create","params":{{"message":"m","requestedSchema":{{"type":"object"}}}}}}}},
                "requestState":"s\u0031","vendor":1}}"#
        );
        let required = InputRequired::read(raw.as_bytes()).unwrap();
        let keys: Vec<_> = required.requests.iter().map(|(key, request)| (&**key, request.method)).collect();
        assert_eq!(keys, [("roots", InputMethod::Roots), ("name", InputMethod::Elicit)]);
        assert_eq!(required.state.as_deref(), Some("s1"));
        assert!(required.is_permitted(ClientCaps(ClientCaps::ROOTS | ClientCaps::ELICITATION)));
        assert!(!required.is_permitted(ClientCaps(ClientCaps::ROOTS)));
        let alone = InputRequired::read(br#"{"requestState":""}"#).unwrap();
        assert_eq!((alone.requests.len(), alone.state.as_deref()), (0, Some("")), "a server may shed load so");
        assert!(alone.is_permitted(ClientCaps(0)));
    }

    #[test]
    fn what_the_schema_does_not_allow_is_a_bad_answer() {
        let long = format!(r#"{{"requestState":"{}"}}"#, "x".repeat(UPSTREAM_STATE_MAX + 1));
        let many: Vec<_> = (0..=INPUT_REQUESTS_MAX).map(|at| format!(r#""{at}":{ROOTS}"#)).collect();
        let many = format!(r#"{{"inputRequests":{{{}}}}}"#, many.join(","));
        let key = format!(r#"{{"inputRequests":{{"{}":{ROOTS}}}}}"#, "k".repeat(INPUT_KEY_MAX + 1));
        for bad in [
            "{}",
            r#"{"inputRequests":{}}"#,
            r#"{"inputRequests":null,"requestState":"s"}"#,
            r#"{"inputRequests":[],"requestState":"s"}"#,
            r#"{"inputRequests":{"a":{}},"requestState":"s"}"#,
            r#"{"inputRequests":{"a":{"method":"tools/call","params":{}}}}"#,
            r#"{"inputRequests":{"a":{"method":"elicitation/create"}}}"#,
            r#"{"requestState":7}"#,
            r#"{"requestState":null}"#,
            &long,
            &many,
            &key,
        ] {
            assert_eq!(kind(bad), Kind::BadAnswer, "{:.80}", bad);
        }
    }

    #[test]
    fn a_result_that_was_built_reads_back_as_the_same() {
        let roots = InputRequest::legacy("roots/list", None).unwrap();
        let model = Model::new("1", None);
        for state in [None, Some("st\"ate".into())] {
            let required =
                InputRequired { requests: vec![("k\"1".into(), roots.clone()), ("k2".into(), roots.clone())], state };
            let raw = required.result(&model);
            assert_eq!(InputRequired::read(&raw).unwrap(), required);
            let value: Value = serde_json::from_slice(&raw).unwrap();
            assert_eq!(value["resultType"], "input_required");
            assert_eq!(value["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "tollgate");
        }
        let state_only = InputRequired { requests: Vec::new(), state: Some("s".into()) };
        let value: Value = serde_json::from_slice(&state_only.result(&model)).unwrap();
        assert!(value.get("inputRequests").is_none() && value["requestState"] == "s");
    }

    #[test]
    fn a_relayed_result_changes_its_state_and_nothing_else() {
        let model = Model::new("1", None);
        let asked = r#""inputRequests":{ "a" : {"method":"roots\/list"} }"#;
        let raw = format!(r#"{{"resultType":"input_required",{asked},"requestState":"inner","_meta":{{"x":1.0}}}}"#);
        let relayed_once = relayed(raw.as_bytes(), Some("sealed"), &model);
        let text = String::from_utf8(relayed_once.clone()).unwrap();
        assert!(text.contains(asked) && text.contains(r#""x":1.0"#) && !text.contains("inner"), "{text}");
        let value: Value = serde_json::from_slice(&relayed_once).unwrap();
        assert_eq!(value["requestState"], "sealed");
        assert_eq!(value["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "tollgate");
        assert_eq!(relayed(&relayed_once, None, &model), relayed_once, "nothing left to change");
    }

    #[test]
    fn a_retry_brings_answers_and_state() {
        let read = |responses: Option<&'static str>, state: Option<&'static str>| {
            Retry::read(responses.map(str::as_bytes), state.map(str::as_bytes))
        };
        assert_eq!(read(None, None), Ok(None));
        assert_eq!(read(Some("null"), Some("null")), Ok(None));
        let retry = read(Some(r#"{"a":{"action":"decline"},"b":{},"extra":{}}"#), Some(r#""s""#)).unwrap().unwrap();
        assert_eq!(retry.state.as_deref(), Some("s"));
        assert_eq!(retry.answer("a", InputMethod::Elicit).unwrap().as_deref(), Some(&br#"{"action":"decline"}"#[..]));
        assert_eq!(retry.answer("c", InputMethod::Elicit), Ok(None), "missing: asked again");
        assert_eq!(retry.answer("b", InputMethod::Roots).unwrap_err().kind, Kind::InvalidParams);
        let bare = read(None, Some(r#""s""#)).unwrap().unwrap();
        assert_eq!(bare.answer("a", InputMethod::Elicit), Ok(None));
        for (responses, state) in [
            (Some("[]"), None),
            (Some("7"), Some(r#""s""#)),
            (Some(r#"{"a":7}"#), None),
            (Some(r#"{"a":{},"b":null}"#), None),
            (None, Some("7")),
            (None, Some("{}")),
        ] {
            assert_eq!(read(responses, state).unwrap_err().kind, Kind::InvalidParams, "{responses:?} {state:?}");
        }
        let long = rpc::quoted(&"x".repeat(REQUEST_STATE_MAX + 1));
        assert_eq!(Retry::read(None, Some(&long)), Err(invalid_state()));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let model = Model::new("1", None);
        bolero::check!().for_each(|raw: &[u8]| {
            if let Ok(required) = InputRequired::read(raw) {
                assert!(required.requests.len() <= INPUT_REQUESTS_MAX);
                let _ = required.result(&model);
            }
            let _ = (Retry::read(Some(raw), Some(raw)), relayed(raw, Some("s"), &model));
            if let Ok(Some(retry)) = Retry::read(Some(raw), None) {
                let _ = retry.answer("a", InputMethod::Sample);
            }
        });
    }
}
