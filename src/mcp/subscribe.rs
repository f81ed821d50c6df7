//! Listen streams (2026-07-28 patterns/subscriptions) and the word that a list has changed.

use super::meta::{Params, SUBSCRIPTION_ID, wrong};
use crate::base::error::{Error, Kind, Result};
use crate::base::limits::SUBSCRIPTIONS_MAX;
use crate::catalog::ListKind;
use crate::wire::rpc;
use std::borrow::Cow;

/// A list that may change, with a notice of its own. That of resources is also that of
/// templates and skills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The list of tools.
    Tools,
    /// The list of prompts.
    Prompts,
    /// The lists of resources, templates and skills, whose files are resources.
    Resources,
}

impl Change {
    /// All of them; each stands at its own number.
    pub const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    /// The lists of which the notice speaks.
    pub fn lists(self) -> &'static [ListKind] {
        match self {
            Self::Tools => &[ListKind::Tools],
            Self::Prompts => &[ListKind::Prompts],
            Self::Resources => &[ListKind::Resources, ListKind::Templates, ListKind::Skills],
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources => "notifications/resources/list_changed",
        }
    }

    fn flag(self) -> &'static str {
        ["toolsListChanged", "promptsListChanged", "resourcesListChanged"][self as usize]
    }

    /// The notice: to a legacy session's GET stream, or to the listen stream that the request with this raw id opened.
    pub fn notice(self, subscription: Option<&[u8]>) -> Vec<u8> {
        match subscription {
            None => {
                let mut out = Vec::with_capacity(80);
                rpc::notification(&mut out, self.method(), None);
                out
            }
            Some(id) => notification(self.method(), &[b"{\"_meta\":", &*meta(id), b"}"].concat()),
        }
    }
}

/// What a listen request asked for, as far as it is honoured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listen([bool; Change::ALL.len()]);

impl Listen {
    /// All that there is, as a legacy stream gets it unasked.
    pub const ALL: Self = Self([true; Change::ALL.len()]);

    /// Whether a notice was asked for.
    pub fn wants(self, change: Change) -> bool {
        self.0[change as usize]
    }

    /// Reads `params.notifications`.
    ///
    /// # Errors
    /// `Kind::InvalidParams` where the filter is missing, no object, or a member has the wrong type.
    pub fn read(params: &Params<'_>) -> Result<Self> {
        let filter = params.notifications.filter(|raw| rpc::is_object(raw));
        let filter = filter.ok_or_else(|| wrong("notifications must be an object"))?;
        let mut listen = Self::default();
        for field in rpc::object_fields(filter) {
            match &*field.key {
                b"resourceSubscriptions" | b"taskIds" if !rpc::is_array(field.value) => {
                    return Err(wrong("resourceSubscriptions and taskIds must be arrays"));
                }
                key => {
                    let asked = Change::ALL.into_iter().find(|change| change.flag().as_bytes() == key);
                    if let Some(change) = asked {
                        listen.0[change as usize] = flag(field.value)?;
                    }
                }
            }
        }
        Ok(listen)
    }

    /// The first message of the stream: what is honoured, these resources and tasks too. `id` is the request's raw one.
    pub fn acknowledged(self, id: &[u8], resources: &[&str], tasks: &[&str]) -> Vec<u8> {
        let honoured = Change::ALL.into_iter().filter(|change| self.wants(*change));
        let mut honoured: Vec<String> = honoured.map(|change| format!("\"{}\":true", change.flag())).collect();
        for (member, named) in [("resourceSubscriptions", resources), ("taskIds", tasks)] {
            let quoted = named.iter().map(|text| String::from_utf8_lossy(&rpc::quoted(text)).into_owned());
            let quoted: Vec<_> = quoted.collect();
            if !quoted.is_empty() {
                honoured.push(format!("\"{member}\":[{}]", quoted.join(",")));
            }
        }
        let honoured = format!("{{{}}}", honoured.join(","));
        let params = [b"{\"_meta\":", &*meta(id), b",\"notifications\":", honoured.as_bytes(), b"}"].concat();
        notification("notifications/subscriptions/acknowledged", &params)
    }
}

/// The word that a resource changed: to a legacy session's GET stream, or to the listen stream that the request with
/// this raw id opened.
pub fn updated(uri: &str, subscription: Option<&[u8]>) -> Vec<u8> {
    let uri = rpc::quoted(uri);
    let params = match subscription {
        None => [b"{\"uri\":", &*uri, b"}"].concat(),
        Some(id) => [b"{\"_meta\":", &*meta(id), b",\"uri\":", &uri, b"}"].concat(),
    };
    notification("notifications/resources/updated", &params)
}

/// The resources that a listen request names.
///
/// # Errors
/// `Kind::InvalidParams` where they are no array of strings, or too many.
pub fn resources<'a>(params: &Params<'a>) -> Result<Vec<Cow<'a, str>>> {
    named(params, "resourceSubscriptions")
}

/// The tasks that a listen request names, by the ids that the client holds.
///
/// # Errors
/// As [`resources`].
pub fn tasks<'a>(params: &Params<'a>) -> Result<Vec<Cow<'a, str>>> {
    named(params, "taskIds")
}

fn named<'a>(params: &Params<'a>, member: &str) -> Result<Vec<Cow<'a, str>>> {
    let named = params.notifications.and_then(|filter| rpc::field(filter, member)).unwrap_or(b"[]");
    let wrong = |words: String| Error::new(Kind::InvalidParams, words);
    let mut texts = Vec::new();
    for item in rpc::array_items(named) {
        if texts.len() == SUBSCRIPTIONS_MAX {
            return Err(wrong(format!("{member} must not name more than {SUBSCRIPTIONS_MAX}")));
        }
        texts.push(rpc::string(item).ok_or_else(|| wrong(format!("{member} must be an array of strings")))?);
    }
    Ok(texts)
}

/// The last message of a stream that the gate ends: the request's result, before the stream is closed.
pub fn ended(id: &[u8]) -> Vec<u8> {
    let result = [br#"{"resultType":"complete","_meta":"#, &*meta(id), b"}"].concat();
    let mut out = Vec::new();
    rpc::result(&mut out, id, &result);
    out
}

fn flag(raw: &[u8]) -> Result<bool> {
    rpc::boolean(raw).ok_or_else(|| wrong("a notification filter must be true or false"))
}

fn meta(id: &[u8]) -> Vec<u8> {
    [b"{\"", SUBSCRIPTION_ID.as_bytes(), b"\":", id, b"}"].concat()
}

fn notification(method: &str, params: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    rpc::notification(&mut out, method, Some(params));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;
    use serde_json::{Value, json};

    fn read(params: &str) -> Result<Listen> {
        Listen::read(&Params::read(Some(params.as_bytes())))
    }

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn only_what_has_a_source_is_honoured() {
        let all = r#"{"notifications":{"toolsListChanged":true,"promptsListChanged":true,
            "resourceSubscriptions":["a://b"],"taskIds":["t"]}}"#;
        assert_eq!(read(all), Ok(Listen([true, true, false])));
        assert_eq!(read(r#"{"notifications":{"resourcesListChanged":true}}"#), Ok(Listen([false, false, true])));
        assert_eq!(read(r#"{"notifications":{"toolsListChanged":false}}"#), Ok(Listen::default()));
        assert_eq!(read(r#"{"notifications":{}}"#), Ok(Listen::default()));
        for bad in [
            "{}",
            r#"{"notifications":[]}"#,
            r#"{"notifications":{"toolsListChanged":1}}"#,
            r#"{"notifications":{"promptsListChanged":null}}"#,
            r#"{"notifications":{"resourceSubscriptions":"a"}}"#,
            r#"{"notifications":{"taskIds":{}}}"#,
        ] {
            assert_eq!(read(bad).unwrap_err().kind, Kind::InvalidParams, "{bad}");
        }
    }

    #[test]
    fn what_a_request_names_is_bounded() {
        let of = |member: &str, items: &str| {
            let text = format!(r#"{{"notifications":{{"{member}":[{items}]}}}}"#);
            let params = Params::read(Some(text.as_bytes()));
            let named = if member == "taskIds" { tasks(&params) } else { resources(&params) };
            named.map(|named| named.len()).map_err(|error| error.kind)
        };
        for member in ["taskIds", "resourceSubscriptions"] {
            let all = |count| vec!["\"a:b\""; count].join(",");
            assert_eq!(of(member, &all(SUBSCRIPTIONS_MAX)), Ok(SUBSCRIPTIONS_MAX));
            assert_eq!(of(member, &all(SUBSCRIPTIONS_MAX + 1)), Err(Kind::InvalidParams));
            assert_eq!(of(member, "7"), Err(Kind::InvalidParams));
        }
    }

    /// 2026-07-28 patterns/subscriptions: every message carries the id of the listen request, in its own type.
    #[test]
    fn every_message_of_a_stream_names_its_subscription() {
        for (raw, id) in [(&b"7"[..], json!(7)), (b"\"7\"", json!("7"))] {
            let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
            let ack = value(&Listen([true, false, true]).acknowledged(raw, &["a://\"b"], &["t"]));
            assert_eq!(ack["method"], "notifications/subscriptions/acknowledged");
            let honoured = json!({"toolsListChanged": true, "resourcesListChanged": true,
                "resourceSubscriptions": ["a://\"b"], "taskIds": ["t"]});
            assert_eq!(ack["params"], json!({"_meta": meta, "notifications": honoured}));
            assert_eq!(value(&Listen::default().acknowledged(raw, &[], &[]))["params"]["notifications"], json!({}));
            for change in Change::ALL {
                let changed = value(&change.notice(Some(raw)));
                assert_eq!((&changed["method"], &changed["params"]["_meta"]), (&json!(change.method()), &meta));
            }
            let end = json!({"jsonrpc": "2.0", "id": id, "result": {"resultType": "complete", "_meta": meta}});
            assert_eq!(value(&ended(raw)), end);
        }
        let legacy = value(&Change::Prompts.notice(None));
        assert_eq!(legacy, json!({"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"}));
    }
}
