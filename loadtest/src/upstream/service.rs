//! A message → its answer. Everything that can be rendered before the first request is.

use super::definitions::Definition;
use super::scan::{self, Asked};
use super::tools::{self, Own};
use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;
use tollgate::wire::rpc;

const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";
/// What a cacheable result of the modern era carries.
const CACHED: &str = r#","ttlMs":3600000,"cacheScope":"public""#;
/// Under what key the modern era names the server.
const SERVER: &str = "io.modelcontextprotocol/serverInfo";
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;

/// Which protocol eras the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Eras {
    /// Both.
    Both,
    /// 2026-07-28 on only: refuses `initialize`.
    Modern,
    /// Sessions only: refuses what comes without one.
    Legacy,
}

/// What the server is to serve.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its tools, besides its own `echo`, `sized`, `slow` and `progress`; each answers the same text.
    pub definitions: Vec<Definition>,
    /// Tools on one page of a list; 0: all on one.
    pub page: usize,
    /// Time before each tool answers; whole milliseconds.
    pub delay: Duration,
    /// Bytes of text that each tool answers.
    pub answer_bytes: usize,
    /// Eras it speaks.
    pub eras: Eras,
}

/// The server's answers, shared by all its threads.
#[derive(Debug)]
pub struct Service {
    pub(super) eras: Eras,
    delay: Duration,
    /// Names of tools as they stand in a message, quotes included.
    names: HashSet<Box<[u8]>>,
    pages: Vec<Rendered>,
    called: Rendered,
    discovered: Vec<u8>,
    initialized: Vec<u8>,
}

/// The answer to one message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    /// The raw id to answer under.
    pub(super) id: Option<&'a [u8]>,
    /// How long to wait first.
    pub(super) after: Duration,
    /// What to say then.
    pub(super) what: What<'a>,
}

/// What to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// A raw result.
    Result(Cow<'a, [u8]>),
    /// The raw result of `initialize`: a session begins.
    Session(&'a [u8]),
    /// An error, and the HTTP status it has in the modern era.
    Error(u16, i32, &'static str),
    /// Nothing: it was a notification or a response.
    Accepted,
    /// Progress under a raw token, then the result.
    Progress { token: &'a [u8], events: u64, every: Duration, result: &'a [u8] },
}

/// A result as each era has it.
#[derive(Debug)]
pub(super) struct Rendered {
    modern: Vec<u8>,
    legacy: Vec<u8>,
}

impl Rendered {
    /// `members` without braces; `more` is what the modern era adds.
    pub(super) fn new(members: &str, more: &str) -> Self {
        let modern = format!("{{{members},\"resultType\":\"complete\"{more}}}").into_bytes();
        Self { modern, legacy: format!("{{{members}}}").into_bytes() }
    }

    fn pick(&self, legacy: bool) -> &[u8] {
        if legacy { &self.legacy } else { &self.modern }
    }
}

impl Service {
    /// Renders the answers.
    pub fn new(offer: Offer) -> Self {
        let mut definitions = tools::definitions();
        let own: HashSet<_> = definitions.iter().map(|tool| tool.name.clone()).collect();
        definitions.extend(offer.definitions.into_iter().filter(|tool| !own.contains(&tool.name)));
        let server = r#"{"name":"tollgate-load-upstream","version":"1.0.0"}"#;
        let capabilities = r#""capabilities":{"tools":{}}"#;
        let versions = format!(r#""supportedVersions":["{MODERN}"]"#);
        let named = format!(r#""_meta":{{"{SERVER}":{server}}}"#);
        let discovered = format!(r#"{{"resultType":"complete",{versions},{capabilities}{CACHED},{named}}}"#);
        let initialized = format!(r#"{{"protocolVersion":"{LEGACY}",{capabilities},"serverInfo":{server}}}"#);
        Self {
            eras: offer.eras,
            delay: offer.delay,
            names: definitions.iter().map(|tool| rpc::quoted(&tool.name).into()).collect(),
            pages: pages(&definitions, offer.page),
            called: tools::text(&format!("\"{}\"", "x".repeat(offer.answer_bytes))),
            discovered: discovered.into_bytes(),
            initialized: initialized.into_bytes(),
        }
    }

    /// Answers one message; nothing if it is none.
    pub(super) fn answer<'a>(&'a self, body: &'a [u8], legacy: bool) -> Option<Reply<'a>> {
        let asked = scan::message(body)?;
        if asked.id.is_none() || asked.method.is_empty() {
            return Some(Reply { id: None, after: Duration::ZERO, what: What::Accepted });
        }
        let mut after = Duration::ZERO;
        let what = match asked.method {
            b"tools/call" => self.call(&asked, legacy, &mut after),
            b"tools/list" => self.list(&asked, legacy),
            b"server/discover" if self.eras != Eras::Legacy => What::Result(Cow::Borrowed(&self.discovered)),
            b"initialize" if self.eras != Eras::Modern => What::Session(&self.initialized),
            b"ping" => What::Result(Cow::Borrowed(b"{}")),
            _ => What::Error(404, METHOD_NOT_FOUND, "this server has no such method"),
        };
        Some(Reply { id: asked.id, after, what })
    }

    fn call<'a>(&'a self, asked: &Asked<'a>, legacy: bool, after: &mut Duration) -> What<'a> {
        let Some(name) = scan::member(asked.params, b"name") else {
            return What::Error(200, INVALID_PARAMS, "params.name is missing");
        };
        if !self.names.contains(name) {
            return What::Error(200, INVALID_PARAMS, "this server has no such tool");
        }
        *after = self.delay;
        let fixed = self.called.pick(legacy);
        match Own::asked(name, asked.params) {
            None => What::Result(Cow::Borrowed(fixed)),
            Some(Own::Text(text)) => What::Result(Cow::Owned(tools::text_bytes(&text, legacy))),
            Some(Own::Slow(time)) => {
                *after += time;
                What::Result(Cow::Borrowed(fixed))
            }
            Some(Own::Progress { token: Some(token), events, every }) => {
                What::Progress { token, events, every, result: fixed }
            }
            Some(Own::Progress { token: None, events, every }) => {
                *after += every.saturating_mul(u32::try_from(events).unwrap_or(u32::MAX));
                What::Result(Cow::Borrowed(fixed))
            }
            Some(Own::Wrong(why)) => What::Error(200, INVALID_PARAMS, why),
        }
    }

    fn list<'a>(&'a self, asked: &Asked<'a>, legacy: bool) -> What<'a> {
        let page = match scan::member(asked.params, b"cursor") {
            None => Some(0),
            Some(cursor) => std::str::from_utf8(scan::unquoted(cursor)).ok().and_then(|number| number.parse().ok()),
        };
        match page.and_then(|page: usize| self.pages.get(page)) {
            Some(page) => What::Result(Cow::Borrowed(page.pick(legacy))),
            None => What::Error(200, INVALID_PARAMS, "this server gave out no such cursor"),
        }
    }
}

/// Renders a list; a cursor is the number of its page.
fn pages(definitions: &[Definition], page: usize) -> Vec<Rendered> {
    let chunks: Vec<_> = definitions.chunks(if page == 0 { definitions.len() } else { page }).collect();
    let render = |(at, chunk): (usize, &&[Definition])| {
        let texts: Vec<_> = chunk.iter().map(|tool| tool.text.as_str()).collect();
        let next = if at + 1 < chunks.len() { format!(r#","nextCursor":"{}""#, at + 1) } else { String::new() };
        let members = format!(r#""tools":[{}]{next}"#, texts.join(","));
        Rendered::new(&members, CACHED)
    };
    chunks.iter().enumerate().map(render).collect()
}

#[cfg(test)]
mod tests {
    use super::super::definitions::generate;
    use super::*;
    use serde_json::Value;

    fn service(page: usize, eras: Eras) -> Service {
        let delay = Duration::from_millis(3);
        Service::new(Offer { definitions: generate(10), page, delay, answer_bytes: 5, eras })
    }

    fn result(service: &Service, body: &str, legacy: bool) -> Value {
        match service.answer(body.as_bytes(), legacy).unwrap().what {
            What::Result(result) => serde_json::from_slice(&result).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_list_comes_whole_or_in_pages_that_together_are_the_whole() {
        let list = |cursor: &str| format!(r#"{{"id":1,"method":"tools/list","params":{{{cursor}}}}}"#);
        let whole = result(&service(0, Eras::Both), r#"{"id":1,"method":"tools/list"}"#, false);
        assert_eq!((whole["tools"].as_array().unwrap().len(), &whole["resultType"]), (14, &Value::from("complete")));
        let paged = service(5, Eras::Both);
        let mut tools = Vec::new();
        let mut cursor = String::new();
        for left in [true, true, false] {
            let page = result(&paged, &list(&cursor), true);
            assert_eq!((page.get("resultType"), page.get("nextCursor").is_some()), (None, left));
            tools.extend(page["tools"].as_array().unwrap().clone());
            cursor = format!("\"cursor\":{}", page["nextCursor"]);
        }
        assert_eq!(&Value::from(tools), &whole["tools"]);
        let wrong = list("\"cursor\":\"9\"");
        assert!(matches!(paged.answer(wrong.as_bytes(), true).unwrap().what, What::Error(200, INVALID_PARAMS, _)));
    }

    #[test]
    fn a_call_answers_the_fixed_text_after_the_delay_and_an_unknown_tool_is_told() {
        let service = service(0, Eras::Both);
        let call = |name: &str| format!(r#"{{"method":"tools/call","id":"a","params":{{"name":"{name}"}}}}"#);
        let answer = result(&service, &call("search_issue_0"), false);
        assert_eq!((&answer["content"][0]["text"], &answer["isError"]), (&"xxxxx".into(), &false.into()));
        assert_eq!(service.answer(call("search_issue_0").as_bytes(), true).unwrap().after.as_millis(), 3);
        let (unknown, nameless) = (call("nothing"), r#"{"method":"tools/call","id":"a","params":{}}"#);
        for body in [unknown.as_str(), nameless] {
            assert!(matches!(service.answer(body.as_bytes(), true).unwrap().what, What::Error(200, INVALID_PARAMS, _)));
        }
    }

    #[test]
    fn each_era_can_be_switched_off() {
        let (discover, initialize) = (r#"{"id":1,"method":"server/discover"}"#, r#"{"id":1,"method":"initialize"}"#);
        let refused = |eras: Eras, body: &str| {
            let service = service(0, eras);
            let what = service.answer(body.as_bytes(), false).unwrap().what;
            matches!(what, What::Error(404, METHOD_NOT_FOUND, _))
        };
        assert!(refused(Eras::Legacy, discover) && !refused(Eras::Legacy, initialize));
        assert!(refused(Eras::Modern, initialize) && !refused(Eras::Modern, discover));
        assert!(!refused(Eras::Both, discover) && !refused(Eras::Both, initialize));
        let notification = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert_eq!(service(0, Eras::Both).answer(notification, true).unwrap().what, What::Accepted);
    }
}
