//! What a client is told of a call that is held for an approval: a question, where it can be asked one, else a result.
//!
//! Nothing that a client answers approves anything: the question only shows where somebody can, and when to go on.

use super::caps::ClientCaps;
use super::question::{InputMethod, InputRequest};
use crate::base::ids::ApprovalId;
use crate::store::approvals::Refusal;
use crate::wire::rpc;

/// The key under which a modern client is asked.
pub const INPUT_KEY: &str = "approval";

/// A call that is held.
#[derive(Clone, Copy, Debug)]
pub struct HeldCall<'a> {
    /// The approval that it waits for.
    pub approval: ApprovalId,
    /// The tool's exposed name.
    pub tool: &'a str,
    /// When the approval ends, as people read it.
    pub expires: &'a str,
    /// Page where approvals are decided; `{id}` in it stands for the approval's.
    pub page: Option<&'a str>,
}

impl HeldCall<'_> {
    /// Whether a client that declared this can be asked.
    pub fn can_ask(page: Option<&str>, caps: ClientCaps) -> bool {
        caps.has(ClientCaps::ELICITATION) || (page.is_some() && caps.has(ClientCaps::ELICITATION_URL))
    }

    /// The question to a client that declared this: a visit to the page, where there is one and it can show it, else a
    /// form without fields; nothing where it can be asked neither.
    pub fn question(&self, caps: ClientCaps) -> Option<InputRequest<'static>> {
        let mut params = Vec::new();
        match self.page.filter(|_| caps.has(ClientCaps::ELICITATION_URL)) {
            Some(page) => {
                params.extend_from_slice(br#"{"mode":"url","url":"#);
                rpc::quote(&mut params, &page.replace("{id}", self.approval.as_str()));
                params.extend_from_slice(br#","message":"#);
                rpc::quote(&mut params, &self.words("open the page to see it"));
                params.push(b'}');
            }
            None if caps.has(ClientCaps::ELICITATION) => {
                params.extend_from_slice(br#"{"mode":"form","message":"#);
                let how = format!("see it with `tollgate approval show {}`", self.approval);
                rpc::quote(&mut params, &self.words(&how));
                params.extend_from_slice(br#","requestedSchema":{"type":"object","properties":{}}}"#);
            }
            None => return None,
        }
        Some(InputRequest { method: InputMethod::Elicit, params: params.into() })
    }

    fn words(&self, how: &str) -> String {
        let Self { approval, tool, expires, .. } = self;
        format!(
            "{tool} is called only once somebody approves it. Approval {approval} waits until {expires}: {how}. Your \
             answer here does not approve it; give it when it was approved, or decline to stop waiting."
        )
    }

    /// The result for a client that cannot be asked, in the form of the legacy era: what to do, and then to call again.
    pub fn result(&self, used_before: Option<ApprovalId>) -> Vec<u8> {
        let Self { approval, tool, expires, .. } = self;
        let before = used_before.map_or_else(String::new, |id| {
            format!(" An earlier call with the same arguments was made with approval {id}; this is another one.")
        });
        told(&format!(
            "held for approval: {tool} is called only once somebody approves it. Approval {approval} waits until \
             {expires}: have a person look at it and approve it, then make the very same call again.{before}"
        ))
    }
}

/// The result that tells a client why a held call was not made, in the form of the legacy era.
pub fn refused(approval: ApprovalId, why: &Refusal) -> Vec<u8> {
    let words = match why {
        Refusal::Denied(reason) if reason.is_empty() => format!("approval {approval} was denied: nothing was called"),
        Refusal::Denied(reason) => format!("approval {approval} was denied: nothing was called: {reason}"),
        Refusal::Expired => format!(
            "approval {approval} has expired: nothing was called; make the call again to ask for another approval"
        ),
        Refusal::Used => format!(
            "approval {approval} is used up: the call was begun with it and is not made a second time, whether or not \
             its answer arrived; look at what it has done before you make the call again, which asks for another \
             approval"
        ),
        Refusal::Changed => format!(
            "approval {approval} no longer fits: the tool, the key or the rules have changed since it was asked for; \
             nothing was called; make the call again to ask for another approval"
        ),
    };
    told(&words)
}

fn told(words: &str) -> Vec<u8> {
    let mut out = br#"{"content":[{"type":"text","text":"#.to_vec();
    rpc::quote(&mut out, words);
    out.extend_from_slice(br#"}],"isError":true}"#);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn held(page: Option<&'static str>) -> HeldCall<'static> {
        let approval = ApprovalId::from_entropy([0; 16]);
        HeldCall { approval, tool: "git__delete\"", expires: "2026-12-01T00:00:00Z", page }
    }

    fn asked(page: Option<&'static str>, caps: u16) -> Option<Value> {
        let Some(asked) = held(page).question(ClientCaps(caps)) else {
            assert!(!HeldCall::can_ask(page, ClientCaps(caps)));
            return None;
        };
        let mut raw = Vec::new();
        asked.write(&mut raw);
        let again = InputRequest::modern(&raw).expect("the schema has it so");
        assert!(again.is_permitted(ClientCaps(caps)));
        assert!(HeldCall::can_ask(page, ClientCaps(caps)));
        serde_json::from_slice(&again.params).ok()
    }

    #[test]
    fn a_client_is_asked_only_what_it_declared() {
        let (form, url) = (ClientCaps::ELICITATION, ClientCaps::ELICITATION_URL);
        let page = Some("https://h/a/{id}?x={id}");
        let shown = asked(page, form | url).expect("asked");
        assert_eq!(shown["url"], "https://h/a/aaaaaaaaaaaaaaaa?x=aaaaaaaaaaaaaaaa");
        assert!(shown["message"].as_str().is_some_and(|text| text.contains("git__delete\" is called only once")));
        assert_eq!(asked(page, form).expect("asked")["mode"], "form");
        assert_eq!(asked(None, form | url).expect("asked")["requestedSchema"]["properties"], serde_json::json!({}));
        assert_eq!((asked(None, url), asked(page, ClientCaps::ROOTS)), (None, None));
    }

    #[test]
    fn results_are_errors_of_the_tool_that_say_what_to_do() {
        let id = ApprovalId::from_entropy([0; 16]);
        let mut all = vec![held(None).result(None), held(None).result(Some(ApprovalId::from_entropy([1; 16])))];
        let refusals = [Refusal::Denied("no\n\"way\"".into()), Refusal::Denied("".into()), Refusal::Expired];
        all.extend(refusals.iter().chain(&[Refusal::Used, Refusal::Changed]).map(|why| refused(id, why)));
        for raw in all {
            let value: Value = serde_json::from_slice(&raw).expect("JSON");
            assert_eq!((&value["isError"], &value["content"][0]["type"]), (&Value::Bool(true), &Value::from("text")));
            let text = value["content"][0]["text"].as_str().expect("text");
            assert!(text.contains("aaaaaaaaaaaaaaaa") && !text.contains("  "), "{text}");
        }
    }
}
