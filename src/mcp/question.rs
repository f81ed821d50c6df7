//! What servers ask of clients, in both eras: an input request of a modern result, or a request of a legacy server; and
//! the answers.
//!
//! Bytes that need not change are copied. `_meta` of a legacy request is about that request alone and does not cross.

use super::caps::ClientCaps;
use super::revision::Revision;
use crate::base::limits::INPUT_REQUESTS_MAX;
use crate::wire::rpc::{self, Edit};
use smallvec::SmallVec;
use std::borrow::Cow;

/// The methods a server may ask of a client (2026-07-28 schema, `InputRequest`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputMethod {
    /// `elicitation/create`: a form or a visit to a URL.
    Elicit,
    /// `sampling/createMessage`.
    Sample,
    /// `roots/list`.
    Roots,
}

impl InputMethod {
    /// The method of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Elicit, Self::Sample, Self::Roots].into_iter().find(|method| method.as_str() == name)
    }

    /// Its name on the wire, the same in both eras.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Elicit => "elicitation/create",
            Self::Sample => "sampling/createMessage",
            Self::Roots => "roots/list",
        }
    }

    /// What a modern server is told where a legacy client answers with a JSON-RPC error, which `inputResponses` have
    /// no form for. An elicitation ended without a choice, which is what `cancel` says; `decline` would be a choice
    /// that nobody made. For the others there is nothing true to say, as an invented text or an empty list of roots is
    /// an answer, and to a missing response a server only asks again: there the call itself has to end.
    pub fn refused(self) -> Option<&'static [u8]> {
        match self {
            Self::Elicit => Some(br#"{"action":"cancel"}"#),
            Self::Sample | Self::Roots => None,
        }
    }

    /// A client's raw answer as either era takes it; nothing if it is no answer to this method. Members of a modern
    /// result go, and an empty `content` that some clients send where nothing was accepted.
    pub fn answer(self, raw: &[u8]) -> Option<Cow<'_, [u8]>> {
        let seen = Answered::read(raw);
        let fits = match self {
            Self::Elicit => seen.is_elicited(),
            Self::Sample => seen.is_sampled(),
            Self::Roots => seen.is_rooted(),
        };
        let mut edits = SmallVec::<[Edit<'_>; 2]>::new();
        if seen.typed {
            edits.push(Edit::Remove("resultType"));
        }
        if self == Self::Elicit && seen.content.is_some_and(rpc::is_null) {
            edits.push(Edit::Remove("content"));
        }
        fits.then(|| edited(raw, &edits))
    }
}

/// The members of an answer that show what it is.
#[derive(Default)]
struct Answered<'a> {
    typed: bool,
    action: Option<&'a [u8]>,
    content: Option<&'a [u8]>,
    role: Option<&'a [u8]>,
    model: Option<&'a [u8]>,
    roots: Option<&'a [u8]>,
}

impl<'a> Answered<'a> {
    fn read(raw: &'a [u8]) -> Self {
        let mut seen = Self::default();
        for field in rpc::object_fields(raw) {
            let slot = match &*field.key {
                b"resultType" => {
                    seen.typed = true;
                    continue;
                }
                b"action" => &mut seen.action,
                b"content" => &mut seen.content,
                b"role" => &mut seen.role,
                b"model" => &mut seen.model,
                b"roots" => &mut seen.roots,
                _ => continue,
            };
            *slot = Some(field.value);
        }
        seen
    }

    fn is_elicited(&self) -> bool {
        let action = self.action.and_then(rpc::string);
        matches!(action.as_deref(), Some("accept" | "decline" | "cancel"))
            && self.content.is_none_or(|raw| rpc::is_object(raw) || rpc::is_null(raw))
    }

    fn is_sampled(&self) -> bool {
        let role = self.role.and_then(rpc::string);
        matches!(role.as_deref(), Some("assistant" | "user"))
            && self.model.is_some_and(rpc::is_string)
            && self.content.is_some_and(|raw| rpc::is_object(raw) || rpc::is_array(raw))
    }

    fn is_rooted(&self) -> bool {
        self.roots.is_some_and(|raw| rpc::is_array(raw) && rpc::array_items(raw).all(is_root))
    }
}

fn is_root(raw: &[u8]) -> bool {
    rpc::field(raw, "uri").is_some_and(rpc::is_string)
}

/// One thing a server asks of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRequest<'a> {
    /// What is asked.
    pub method: InputMethod,
    /// The raw `params`, as the modern era has them; `{}` where there were none.
    pub params: Cow<'a, [u8]>,
}

impl<'a> InputRequest<'a> {
    /// A raw member of `inputRequests`; nothing if it is none.
    pub fn modern(raw: &'a [u8]) -> Option<Self> {
        let method = InputMethod::parse(&rpc::string(rpc::field(raw, "method")?)?)?;
        let params = rpc::field(raw, "params").unwrap_or(b"{}");
        fits(method, params).then_some(Self { method, params: Cow::Borrowed(params) })
    }

    /// A request of a legacy server: method and raw `params`; nothing if it is none of the three or of the wrong form.
    /// What the modern era does not know is taken out: `elicitationId`, `task` (2025-11-25), `_meta`.
    pub fn legacy(method: &str, params: Option<&'a [u8]>) -> Option<Self> {
        let method = InputMethod::parse(method)?;
        let params = params.unwrap_or(b"{}");
        let known = ["_meta", "task", "elicitationId"].map(Edit::Remove);
        let alien = |key: &[u8]| matches!(key, b"_meta" | b"task" | b"elicitationId");
        let edits = if rpc::object_fields(params).any(|field| alien(&field.key)) { &known[..] } else { &[] };
        fits(method, params).then(|| Self { method, params: edited(params, edits) })
    }

    /// Whether it may be asked of a client that declared this.
    pub fn is_permitted(&self, caps: ClientCaps) -> bool {
        caps.permits(self.method.as_str(), Some(&self.params))
    }

    /// The raw `params` of a request to a legacy client. A visit to a URL needs an id there, unlike any other of the
    /// session; a form had no `mode` before 2025-11-25.
    pub fn legacy_params(&self, revision: Revision, elicitation_id: &str) -> Cow<'_, [u8]> {
        let mode = rpc::field(&self.params, "mode");
        match (self.method, mode.and_then(rpc::string).as_deref()) {
            (InputMethod::Elicit, Some("url")) => {
                edited(&self.params, &[Edit::Set("elicitationId", &rpc::quoted(elicitation_id))])
            }
            (InputMethod::Elicit, Some(_)) if revision < Revision::V2025_11_25 => {
                edited(&self.params, &[Edit::Remove("mode")])
            }
            _ => Cow::Borrowed(&self.params),
        }
    }

    /// Appends it as a member of `inputRequests` has it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"method":""#);
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.extend_from_slice(br#"","params":"#);
        out.extend_from_slice(&self.params);
        out.push(b'}');
    }
}

/// The visits that a legacy server's error `-32042` asks for before the call is made again (2025-11-25 schema,
/// `URLElicitationRequiredError`), from its raw `data`; nothing if they are none, too many or no visits.
pub fn required_visits(data: &[u8]) -> Option<Vec<InputRequest<'_>>> {
    let items = rpc::field(data, "elicitations")?;
    let visit = |raw| InputRequest::legacy("elicitation/create", Some(raw)).filter(is_visit);
    let visits: Vec<_> = rpc::array_items(items).take(INPUT_REQUESTS_MAX + 1).map(visit).collect::<Option<_>>()?;
    (1..=INPUT_REQUESTS_MAX).contains(&visits.len()).then_some(visits)
}

fn is_visit(request: &InputRequest<'_>) -> bool {
    rpc::field(&request.params, "mode").and_then(rpc::string).as_deref() == Some("url")
}

/// Whether raw `params` have what the schemas of both eras require of the method.
fn fits(method: InputMethod, params: &[u8]) -> bool {
    let part = |key| rpc::field(params, key);
    let form = match method {
        InputMethod::Roots => true,
        InputMethod::Sample => part("messages").is_some_and(rpc::is_array) && part("maxTokens").is_some(),
        InputMethod::Elicit => {
            let mode = part("mode").map(rpc::string);
            let asks = match mode.as_ref().map(Option::as_deref) {
                None | Some(Some("form")) => part("requestedSchema").is_some_and(rpc::is_object),
                Some(Some("url")) => part("url").is_some_and(rpc::is_string),
                Some(_) => false,
            };
            asks && part("message").is_some_and(rpc::is_string)
        }
    };
    form && rpc::is_object(params)
}

fn edited<'a>(object: &'a [u8], edits: &[Edit<'_>]) -> Cow<'a, [u8]> {
    if edits.is_empty() {
        return Cow::Borrowed(object);
    }
    let mut out = Vec::with_capacity(object.len() + 64);
    rpc::edit(&mut out, object, edits);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const FORM: &str = r#"{"message":"n\u0061me?","requestedSchema":{ "type":"object","properties":{} }}"#;

    fn value(raw: &[u8]) -> Value {
        serde_json::from_slice(raw).unwrap()
    }

    #[test]
    fn a_legacy_request_becomes_a_modern_one() {
        let asked = InputRequest::legacy("elicitation/create", Some(FORM.as_bytes())).unwrap();
        assert!(matches!(asked.params, Cow::Borrowed(raw) if raw == FORM.as_bytes()), "untouched");
        let url = br#"{"mode":"url","elicitationId":"e1","url":"https://a/b","message":"go","task":{"ttl":1},
            "_meta":{"progressToken":7}}"#;
        let asked = InputRequest::legacy("elicitation/create", Some(url)).unwrap();
        assert_eq!(value(&asked.params), json!({"mode": "url", "url": "https://a/b", "message": "go"}));
        assert!(asked.is_permitted(ClientCaps(ClientCaps::ELICITATION_URL)));
        assert!(!asked.is_permitted(ClientCaps(ClientCaps::ELICITATION)), "url mode was not declared");
        let asked = InputRequest::legacy("roots/list", None).unwrap();
        let mut out = Vec::new();
        asked.write(&mut out);
        assert_eq!(out, br#"{"method":"roots/list","params":{}}"#);
    }

    #[test]
    fn a_modern_request_becomes_a_legacy_one() {
        let raw = br#"{"method":"elicitation/create","params":{"mode":"url","url":"u:","message":"go"}}"#;
        let asked = InputRequest::modern(raw).unwrap();
        let expected = json!({"mode": "url", "url": "u:", "message": "go", "elicitationId": "id\"1"});
        assert_eq!(value(&asked.legacy_params(Revision::V2025_11_25, "id\"1")), expected);
        let raw = br#"{"method":"elicitation/create","params":{"mode":"form","message":"m","requestedSchema":{}}}"#;
        let asked = InputRequest::modern(raw).unwrap();
        let untouched = asked.legacy_params(Revision::V2025_11_25, "e");
        assert_eq!(untouched, &asked.params[..]);
        let older = value(&asked.legacy_params(Revision::V2025_06_18, "e"));
        assert_eq!(older, json!({"message": "m", "requestedSchema": {}}));
    }

    #[test]
    fn what_the_schema_does_not_allow_is_no_request() {
        for (method, params) in [
            ("elicitation/create", "{}"),
            ("elicitation/create", r#"{"message":"m"}"#),
            ("elicitation/create", r#"{"message":1,"requestedSchema":{}}"#),
            ("elicitation/create", r#"{"message":"m","requestedSchema":[]}"#),
            ("elicitation/create", r#"{"message":"m","mode":"url","requestedSchema":{}}"#),
            ("elicitation/create", r#"{"message":"m","mode":"voice","requestedSchema":{}}"#),
            ("elicitation/create", r#"{"message":"m","mode":null,"requestedSchema":{}}"#),
            ("sampling/createMessage", r#"{"messages":{},"maxTokens":1}"#),
            ("sampling/createMessage", r#"{"messages":[]}"#),
            ("roots/list", "[]"),
            ("ping", "{}"),
            ("tools/call", "{}"),
        ] {
            assert_eq!(InputRequest::legacy(method, Some(params.as_bytes())), None, "{method} {params}");
            let raw = format!(r#"{{"method":"{method}","params":{params}}}"#);
            assert_eq!(InputRequest::modern(raw.as_bytes()), None, "{raw}");
        }
        for raw in ["{}", "[]", "7", r#"{"method":7}"#, r#"{"params":{}}"#] {
            assert_eq!(InputRequest::modern(raw.as_bytes()), None, "{raw}");
        }
    }

    #[test]
    fn answers_pass_as_they_are_where_they_are_answers() {
        use InputMethod::{Elicit, Roots, Sample};
        let sampled = r#"{"role":"assistant","model":"m","content":{"type":"text","text":"\u0061"},"x":1.0}"#;
        for (method, raw) in [
            (Elicit, r#"{"action":"accept","content":{"a": 1.0 }}"#),
            (Elicit, r#"{"action":"decline"}"#),
            (Elicit, r#"{"action":"c\u0061ncel"}"#),
            (Sample, sampled),
            (Sample, r#"{"role":"assistant","model":"m","content":[]}"#),
            (Roots, r#"{"roots":[]}"#),
            (Roots, r#"{"roots":[{"uri":"file:///a","name":"n"}],"_meta":{}}"#),
        ] {
            assert!(
                matches!(method.answer(raw.as_bytes()), Some(Cow::Borrowed(same)) if same == raw.as_bytes()),
                "{raw}"
            );
        }
        for (method, raw) in [
            (Elicit, "{}"),
            (Elicit, "7"),
            (Elicit, r#"{"action":"maybe"}"#),
            (Elicit, r#"{"action":"accept","content":[]}"#),
            (Elicit, sampled),
            (Sample, r#"{"role":"system","model":"m","content":{}}"#),
            (Sample, r#"{"role":"assistant","content":{}}"#),
            (Sample, r#"{"role":"assistant","model":"m","content":null}"#),
            (Roots, r#"{"roots":{}}"#),
            (Roots, r#"{"roots":["file:///a"]}"#),
            (Roots, "[]"),
        ] {
            assert_eq!(method.answer(raw.as_bytes()), None, "{raw}");
        }
    }

    #[test]
    fn an_answer_loses_what_strict_parsers_trip_over() {
        let raw = br#"{"resultType":"complete","action":"decline","content":null}"#;
        assert_eq!(InputMethod::Elicit.answer(raw).as_deref(), Some(&br#"{"action":"decline"}"#[..]));
        let raw = br#"{"resultType":"complete","roots":[]}"#;
        assert_eq!(InputMethod::Roots.answer(raw).as_deref(), Some(&br#"{"roots":[]}"#[..]));
    }

    /// 2026-07-28 schema, `ElicitResult`: cancel is an end without an explicit choice.
    #[test]
    fn an_error_for_an_answer_is_a_cancel_where_that_can_be_said() {
        let said = InputMethod::Elicit.refused().unwrap();
        assert_eq!(InputMethod::Elicit.answer(said).as_deref(), Some(said));
        assert_eq!((InputMethod::Sample.refused(), InputMethod::Roots.refused()), (None, None));
    }

    #[test]
    fn visits_that_an_error_requires_are_read() {
        let visit = json!({"mode": "url", "elicitationId": "e", "url": "https://a", "message": "m"});
        let data = |visits: Vec<Value>| json!({ "elicitations": visits }).to_string();
        let two = data(vec![visit.clone(); 2]);
        let visits = required_visits(two.as_bytes()).unwrap();
        assert_eq!(visits.len(), 2);
        assert_eq!(value(&visits[1].params), json!({"mode": "url", "url": "https://a", "message": "m"}));
        let form = json!({"message": "m", "requestedSchema": {}});
        for bad in [vec![], vec![form], vec![json!(1)], vec![visit; INPUT_REQUESTS_MAX + 1]] {
            assert_eq!(required_visits(data(bad).as_bytes()), None);
        }
        assert_eq!(required_visits(b"{}"), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        bolero::check!().for_each(|raw: &[u8]| {
            if let Some(asked) = InputRequest::modern(raw) {
                let _ = (asked.legacy_params(Revision::V2025_06_18, "e"), asked.is_permitted(ClientCaps(0x1ff)));
            }
            for method in [InputMethod::Elicit, InputMethod::Sample, InputMethod::Roots] {
                let _ = (InputRequest::legacy(method.as_str(), Some(raw)), method.answer(raw), required_visits(raw));
            }
        });
    }
}
